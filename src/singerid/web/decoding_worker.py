"""A process that decodes one upload after another, and that may die doing so.

Decoders are large C libraries that read whatever strangers send. So they run here, with limits on
memory, processor time and files, without the service's secrets, and speak through one socket:
JSON for what is asked and answered, then plain samples. Nothing is unpickled on either side.
"""

from __future__ import annotations

import os
import resource
import socket
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt

from singerid import audio
from singerid.decoding import Decoder, ffmpeg
from singerid.errors import AudioError, SingeridError
from singerid.quality import Quality, assess
from singerid.web.wire import receive_message, send_message

FloatArray = npt.NDArray[np.float32]
MOST_CHANNELS = 32
LEAST_RATE, MOST_RATE = 4_000, 384_000  # Hz
_MOST_FILES = 32


def main() -> None:
    """Answer on the socket whose number is the first argument until it is closed."""
    connection = socket.socket(fileno=int(sys.argv[1]))
    limit_process(int(sys.argv[2]) << 20)
    warm_up()
    send_message(connection, {"ready": True})
    while True:
        try:
            job = receive_message(connection)
        except (EOFError, OSError):  # the service has ended, or does not want this any more
            return
        _limit_processor_time(float(job["cpu_seconds"]))
        answer, payloads = answer_to(job)
        send_message(connection, answer, *payloads)
        if answer.get("worn_out"):
            return


def limit_process(n_bytes: int) -> None:
    """No more memory than this, no files written, no core dumps, nothing said aloud."""
    for limit, value in (
        (resource.RLIMIT_AS, n_bytes),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, _MOST_FILES),
    ):
        resource.setrlimit(limit, (value, value))
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):  # libraries print what files made them think of
        os.dup2(nowhere, stream)


def warm_up() -> None:
    """Load what a first file would wait for."""
    ffmpeg()
    tone = np.sin(np.arange(16_000, dtype=np.float32) * 0.1)
    assess(tone, 16_000)


def _limit_processor_time(seconds: float) -> None:
    """The kernel ends the process that computes longer, even if nobody is left to watch it."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    end = int(usage.ru_utime + usage.ru_stime + seconds) + 2
    resource.setrlimit(resource.RLIMIT_CPU, (end, resource.RLIM_INFINITY))


def answer_to(job: dict[str, Any]) -> tuple[dict[str, Any], list[bytes]]:
    """What is answered to a job, and the bytes that follow: samples, then the clip."""
    try:
        samples, quality = hear(job["path"], job["sample_rate"], job["max_seconds"])
        clip = _clip(job["path"], job["clip_seconds"]) if job["clip_seconds"] else b""
    except SingeridError as error:
        return {"error": _fields(error)}, []
    except MemoryError:  # what else is left half done is not known
        large = AudioError("needs too much memory to be decoded", do="convert it to WAV or FLAC")
        return {"error": _fields(large), "worn_out": True}, []
    return {"quality": asdict(quality)}, [samples.tobytes(), clip]


def hear(path: str, sample_rate: int, max_seconds: float) -> tuple[FloatArray, Quality]:
    """Decode a file block by block, never more than may be.

    Args:
        path: any audio file.
        sample_rate: of the result in Hz.
        max_seconds: longest recording that is taken.

    Returns:
        Mono float32 `(n_samples,)`, and what it is worth.

    Raises:
        AudioError: it cannot be decoded, or is longer than `max_seconds`; by its header, or else
            as soon as so much has been decoded.
    """
    with Decoder(path) as decoder:
        _check_header(decoder, max_seconds)
        blocks = _Bounded(decoder, max_seconds)
        parts = list(audio.conform_blocks(blocks, decoder.sample_rate, sample_rate))
        decoder.check_whole(blocks.n_decoded)
    samples = np.concatenate(parts)
    return samples, assess(samples, sample_rate)


class _Bounded:
    """Mono blocks of a file, until there are too many."""

    def __init__(self, decoder: Decoder, max_seconds: float) -> None:
        self._decoder, self._max_seconds = decoder, max_seconds
        self.n_decoded = 0

    def __iter__(self) -> Iterator[FloatArray]:
        for block in self._decoder.blocks():
            self.n_decoded += len(block)
            if self.n_decoded > self._max_seconds * self._decoder.sample_rate:
                raise _too_long(f"more than {self._max_seconds:g} s", self._max_seconds)
            yield audio.to_mono(block, "mix", self._decoder.path)


def _check_header(decoder: Decoder, max_seconds: float) -> None:
    """Refuse what need not even be decoded."""
    if decoder.channels > MOST_CHANNELS:
        raise AudioError(
            "has too many channels", found=decoder.channels, expected=f"at most {MOST_CHANNELS}"
        )
    if not LEAST_RATE <= decoder.sample_rate <= MOST_RATE:
        raise AudioError(
            "has a sample rate that nobody sings at", found=f"{decoder.sample_rate} Hz",
            expected=f"{LEAST_RATE} to {MOST_RATE} Hz",
        )  # fmt: skip
    seconds = decoder.n_frames / decoder.sample_rate
    if seconds > max_seconds:
        raise _too_long(f"{seconds:.0f} s", max_seconds)


def _too_long(found: str, max_seconds: float) -> AudioError:
    return AudioError(
        "is too long", found=found, expected=f"at most {max_seconds:g} s", do="send a part of it"
    )


def _clip(path: str, seconds: float) -> bytes:
    from singerid.report.players import make_clip

    return make_clip(path, "mix", seconds).media


def _fields(error: SingeridError) -> dict[str, Any]:
    """An error without `where`, which is a name that only the service knows."""
    texts = {name: getattr(error, name) for name in ("what", "found", "expected", "do")}
    return {name: None if value is None else str(value) for name, value in texts.items()}


if __name__ == "__main__":
    main()
