"""An open audio file as blocks of samples, whatever its format and name.

Files are recognized by their content, never by their name (the ``.m4a`` of DAMP is Ogg Vorbis).
libsndfile decodes what it knows: WAV, FLAC, Ogg Vorbis and Opus, MP3, AIFF, CAF and more. FFmpeg
(through PyAV, the extra ``ffmpeg``) decodes the rest, such as AAC and WMA. Most decoders take a
file that was cut short for a shorter one, so what headers promise is compared with what is there.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import ExitStack
from io import FileIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile

from singerid import mpeg
from singerid.errors import AudioError, one_line
from singerid.remote import fetched

FloatArray = npt.NDArray[np.float32]
_BLOCK_FRAMES = 1 << 16
_RATES = (1_000, 1_000_000)  # Hz
_UNKNOWN = 1 << 60  # libsndfile says 2^63 - 1 frames where a header tells no length

# First bytes of a file: offset, size and byte order of the length that its header promises, and
# the bytes before those that it counts.
_LENGTHS: dict[bytes, tuple[int, int, Any, int]] = {
    b"RIFF": (4, 4, "little", 8),
    b"RF64": (20, 8, "little", 8),
    b"riff": (16, 8, "little", 0),  # Sony Wave64
    b"FORM": (4, 4, "big", 8),  # AIFF
    b".snd": (8, 4, "big", 24),  # Sun AU
}
_HEADERLESS = {"aac", "ac3", "eac3", "loas", "mp3"}  # FFmpeg guesses their durations
_MOST_PLANES = 7  # of more, PyAV (18) takes what follows in memory for further planes


def ffmpeg() -> Any:
    """The module av, silenced; None if it is not installed. It takes 100 ms to import."""
    try:
        import av
    except ImportError:
        return None
    av.logging.set_level(None)
    return av


class _Streamed(soundfile.SoundFile):  # type: ignore[misc]
    """FLAC of unknown length: without the seek after each read, which fails at the end."""

    def seekable(self) -> bool:
        """Whatever libsndfile thinks."""
        return False


class Decoder:
    """An open audio file, to be used in a ``with`` statement.

    Attributes:
        path: the file, or its URL; or the name that was given for errors.
        sample_rate: Hz.
        channels: number of channels.
        n_frames: samples per channel by the header; 0 for none.

    Raises:
        AudioError: missing, not a file, empty, cut short, or nothing that can be decoded.
    """

    sample_rate: int
    channels: int
    n_frames: int

    def __init__(self, path: str | os.PathLike[str], name: str | os.PathLike[str] = "") -> None:
        self.path = name or path
        self._container: Any = None
        self._sound: Any = None
        with ExitStack() as stack:  # ends what was begun, if it cannot be opened
            local = stack.enter_context(fetched(path, AudioError))
            self._file = stack.enter_context(self._open_file(local))
            stack.callback(self._close)
            self._open()
            self._resources = stack.pop_all()

    def _open_file(self, local: Path) -> FileIO:
        try:
            if local.exists() and not local.is_file():  # opening a pipe would wait
                raise AudioError("is a folder or a device, no file", where=self.path)
            return local.open("rb", buffering=0)
        except OSError as error:
            raise AudioError("cannot be opened", where=self.path, found=error.strerror) from error
        except ValueError as error:  # a name that no file can have
            raise AudioError("cannot be opened", where=self.path, found=error) from error

    def _open(self) -> None:
        size = os.fstat(self._file.fileno()).st_size
        if size == 0:
            raise AudioError("is empty (0 bytes)", where=self.path, do="copy or export it again")
        self._head = self._file.read(64)
        self._check_promised_length(size)
        self._check_boxes_of_mp4(size)
        self._check_end_of_ogg(size)
        counted = mpeg.is_counted(self._file)
        self._file.seek(0)
        try:
            # A descriptor, as libsndfile would take the format "raw" from a name.
            self._sound = soundfile.SoundFile(self._file.fileno(), closefd=False)
            if self._sound.format == "MP3" and not counted:
                self._count_mp3()
        except soundfile.LibsndfileError as error:
            if self._head[:4] == b"caff" and error.code == 3:  # malformed; FFmpeg ignores it
                raise self._truncated("a chunk that ends too soon", "a whole CAF file") from error
            self._open_with_ffmpeg("is not audio that libsndfile can decode")
            return
        if self._sound is None:
            self._open_with_ffmpeg("is MPEG audio that does not tell its length")
            return
        self.sample_rate, self.channels = self._sound.samplerate, self._sound.channels
        self._check_rate()
        self.n_frames = self._sound.frames
        if self.n_frames >= _UNKNOWN:
            self._open_streamed()
            self.n_frames = sum(map(len, self.blocks()))
            self._open_streamed()

    def _check_rate(self) -> None:
        """A small file that says 1 Hz would become a huge one at any other rate."""
        if not _RATES[0] <= self.sample_rate <= _RATES[1]:
            raise AudioError(
                "has a sample rate that nobody sings at", where=self.path,
                found=f"{self.sample_rate} Hz", expected=f"{_RATES[0]:,} to {_RATES[1]:,} Hz",
                do="export it again",
            )  # fmt: skip

    def _count_mp3(self) -> None:
        """Open it anew with the number of its frames, or not at all."""
        self._sound.close()
        self._sound = None
        file = mpeg.with_count(self._file)
        if file is not None:
            self._sound = soundfile.SoundFile(file)

    def _open_streamed(self) -> None:
        self._sound.close()
        self._file.seek(0)
        self._sound = _Streamed(self._file.fileno(), closefd=False)

    def _open_with_ffmpeg(self, reason: str) -> None:
        av = ffmpeg()
        if av is None:
            raise self._needs_ffmpeg(reason)
        self._file.seek(0)
        # Without its name, by which FFmpeg would take any bytes for raw samples.
        file = SimpleNamespace(read=self._file.read, seek=self._seek, tell=self._file.tell)
        try:
            self._container = av.open(file, options={"protocol_whitelist": "none"})
            stream = self._container.streams.audio[0]
            self.sample_rate, self.channels = int(stream.rate), int(stream.channels)
            if self.sample_rate < 1 or self.channels < 1:
                raise ValueError("no sample rate")
            self._check_rate()
            self.n_frames = max(0, round(self._seconds(stream) * self.sample_rate))
        except MemoryError as error:  # headers promise what they like
            raise AudioError(
                "needs too much memory to be opened", where=self.path, found=self._start(),
                do="convert it to WAV or FLAC, or remove it",
            ) from error  # fmt: skip
        except (av.error.FFmpegError, IndexError, ValueError, TypeError, AttributeError) as error:
            raise self._undecodable() from error  # AttributeError: of a codec unknown to FFmpeg

    def _seek(self, offset: int, whence: int = 0) -> int:
        """For FFmpeg, which a damaged file may send before its start; -1: no such place."""
        try:
            return self._file.seek(offset, whence)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            return -1

    def _seconds(self, stream: Any) -> float:
        """Duration by the header, or else of all packets (which takes 0.3 ms a second)."""
        if self._container.format.name not in _HEADERLESS:
            if stream.duration is not None:
                return float(stream.duration * stream.time_base)
            if self._container.duration is not None:
                return float(self._container.duration) / 1_000_000
        ticks = sum(packet.duration or 0 for packet in self._container.demux(stream))
        self._container.seek(0)
        return float(ticks * stream.time_base)

    def _undecodable(self) -> AudioError:
        return AudioError(
            "is not audio that libsndfile or FFmpeg can decode", where=self.path,
            found=self._start(), do="convert it to WAV or FLAC, or remove it",
        )  # fmt: skip

    def _needs_ffmpeg(self, reason: str) -> AudioError:
        return AudioError(
            f"{reason}, and FFmpeg is not installed",
            where=self.path, found=self._start(),
            do="convert it to WAV or FLAC, or pip install 'singerid[ffmpeg]' "
            "(adds FFmpeg; its wheels carry GPL libraries, see docs/dependencies.md)",
        )  # fmt: skip

    def _start(self) -> str:
        printable = self._head[:16].decode("ascii", "backslashreplace")
        return f"a file that starts with {printable!r}"

    def _check_promised_length(self, size: int) -> None:
        """A file cut short still opens, with fewer samples; its header tells."""
        if self._head[:4] not in _LENGTHS:
            return
        start, width, order, uncounted = _LENGTHS[self._head[:4]]
        length = int.from_bytes(self._head[start : start + width], order)
        streamed = length == 0 or (length >= 0xFFFFFFF0 and width == 4)  # to a pipe: unknown
        promised = length + uncounted
        if promised > size + 1 and not streamed:  # + 1: some writers forget the pad byte
            raise self._truncated(f"{size} bytes", f"{promised} bytes by its header")

    def _check_boxes_of_mp4(self, size: int) -> None:
        """MP4 is a row of boxes that start with their lengths (ISO/IEC 14496-12)."""
        if self._head[4:8] != b"ftyp":
            return
        end = 0
        while end < size:
            self._file.seek(end)
            box = self._file.read(16)
            length = int.from_bytes(box[:4], "big")
            if length == 1:
                length = int.from_bytes(box[8:], "big")
            if length < 8:  # 0: up to the end of the file
                return
            end += length
        if end > size:
            raise self._truncated(f"{size} bytes", f"{end} bytes by its header")

    def _check_end_of_ogg(self, size: int) -> None:
        """An Ogg stream ends with a whole page that says so (RFC 3533); one cut short does not."""
        if self._head[:4] != b"OggS":
            return
        self._file.seek(max(0, size - 65307))  # the longest Ogg page
        tail = self._file.read()
        page = tail[max(0, tail.rfind(b"OggS")) :]
        n_segments = page[26] if len(page) > 26 else 255
        whole = len(page) >= 27 + n_segments + sum(page[27 : 27 + n_segments])
        if not whole or not page[5] & 0x04:
            raise self._truncated("no last page", "an Ogg stream with an end")

    def _truncated(self, found: str, expected: str) -> AudioError:
        return AudioError(
            "is truncated", where=self.path, found=found, expected=expected,
            do="copy or export it again",
        )  # fmt: skip

    def blocks(self) -> Iterator[FloatArray]:
        """Decode from the start to the end.

        Yields:
            float32 `(n_samples, n_channels)`, of any length.

        Raises:
            AudioError: the data is damaged.
        """
        if self._container is not None:
            yield from self._ffmpeg_blocks()
            return
        try:
            while len(block := self._sound.read(_BLOCK_FRAMES, "float32", always_2d=True)):
                yield block
        except soundfile.LibsndfileError as error:
            raise self._broken(error.error_string) from error

    def _ffmpeg_blocks(self) -> Iterator[FloatArray]:
        import av

        try:
            for frame in self._container.decode(audio=0):
                if frame.sample_rate != self.sample_rate:
                    raise self._broken(f"{frame.sample_rate} Hz after {self.sample_rate} Hz")
                block = _channels(frame)
                if block.dtype.kind != "f":
                    zero = 128 if block.dtype == np.uint8 else 0
                    scale = float(np.iinfo(block.dtype).max // (2 if zero else 1)) + 1
                    block = (block.astype(np.float32) - zero) / np.float32(scale)
                yield block.T.astype(np.float32, copy=False)
        except av.error.FFmpegError as error:
            raise self._broken(error.strerror) from error
        except ValueError as error:  # a frame that is not what it says
            raise self._broken(str(error)) from error

    def _broken(self, found: str | None) -> AudioError:
        return AudioError(
            "breaks off while decoding", where=self.path, found=one_line(found),
            do="copy or export it again",
        )  # fmt: skip

    def check_whole(self, n_decoded: int) -> None:
        """Refuse a file that gave clearly fewer frames than its header promised.

        Raises:
            AudioError: more than 0.25 s are missing, or any sample of a FLAC file.
        """
        missing = (self.n_frames - n_decoded) / self.sample_rate
        exact = self._sound is not None and self._sound.format == "FLAC"
        if missing > (0 if exact else 0.25):  # encoder delay and rounding stay far below
            raise self._truncated(
                f"{n_decoded / self.sample_rate:.2f} s",
                f"{self.n_frames / self.sample_rate:.2f} s by its header",
            )

    def __enter__(self) -> Decoder:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._resources.close()

    def _close(self) -> None:
        for resource in (self._sound, self._container):
            if resource is not None:
                resource.close()


def _channels(frame: Any) -> npt.NDArray[Any]:
    """Samples of a frame of PyAV, `(n_channels, n_samples)`."""
    n_channels = frame.layout.nb_channels
    if frame.format.is_planar and n_channels > _MOST_PLANES:
        import av

        packed = av.AudioResampler(frame.format.packed, frame.layout, frame.sample_rate)
        parts = [part.to_ndarray() for part in packed.resample(frame)]
        return np.concatenate(parts, axis=1).reshape(-1, n_channels).T
    samples: npt.NDArray[Any] = frame.to_ndarray()
    return samples if frame.format.is_planar else samples.reshape(-1, n_channels).T
