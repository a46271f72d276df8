"""MP3 files that do not tell how long they are: frames counted, and the count put before them.

An MP3 file is a row of frames. Encoders may put a first one before them that plays nothing and
holds their number (Xing, Info or VBRI). Without it libsndfile guesses a length from the first
frames, and reads no further: of a song that begins loud, a part. So the frames are counted here,
header by header (ISO/IEC 11172-3, 2.4.1.3; 13818-3 for the low rates), and libsndfile is given
the file with such a first frame.
"""

from __future__ import annotations

import io
import re
from typing import NamedTuple

_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
_KBPS_MPEG1 = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_KBPS_MPEG2 = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_SYNC = re.compile(rb"\xff[\xe2\xe3\xf2\xf3\xfa\xfb]")  # layer III of MPEG 2.5, 2 and 1
_SEARCHED = 1 << 16  # bytes read at once in search of a frame
_COUNT = 0x0001  # a flag of the Xing header: the number of frames follows


class _Frame(NamedTuple):
    """What the four bytes at a frame's start say.

    Attributes:
        n_bytes: its length.
        kind: version and sample rate, which all frames of a file share.
    """

    n_bytes: int
    kind: tuple[int, int]


def is_counted(file: io.FileIO) -> bool:
    """True if an MP3 file starts with the number of its frames."""
    file.seek(_end_of_tag(file))
    first = file.read(192)
    return any(name in first for name in (b"Xing", b"Info", b"VBRI"))


def with_count(file: io.FileIO) -> io.RawIOBase | None:
    """An MP3 file behind a first frame that tells the number of all that follow.

    Args:
        file: open, of MPEG layer III; its position changes. It is not closed with the result.

    Returns:
        None if no frames were found, or of a bit rate that no header tells ("free format").
    """
    start = _next_frame(file, _end_of_tag(file), None)
    if start is None:
        return None
    file.seek(start)
    header = file.read(4)
    frame = _frame(header)
    assert frame is not None
    n_frames, at = 0, start
    while True:
        file.seek(at)
        following = _frame(file.read(4))
        if following is not None and following.kind == frame.kind:
            n_frames += 1
            at += following.n_bytes
            continue
        found = _next_frame(file, at, frame.kind)  # a tag at the end, or damage
        if found is None:
            return _Joined(_counting_frame(header, n_frames), file, start)
        at = found


def _end_of_tag(file: io.FileIO) -> int:
    """Length of an ID3v2 tag at the start; it comes as four times 7 bits."""
    file.seek(0)
    head = file.read(10)
    if head[:3] != b"ID3" or len(head) < 10:
        return 0
    length: int = sum(byte << by for byte, by in zip(head[6:], (21, 14, 7, 0), strict=True))
    return 10 + length


def _frame(header: bytes) -> _Frame | None:
    """Read a frame's header; None if it is none."""
    if len(header) < 4 or not _SYNC.match(header):
        return None
    version, bit_rate, rate = (header[1] >> 3) & 3, header[2] >> 4, (header[2] >> 2) & 3
    if bit_rate in (0, 15) or rate == 3:
        return None
    kbps = (_KBPS_MPEG1 if version == 3 else _KBPS_MPEG2)[bit_rate - 1]
    per_bit = 144 if version == 3 else 72  # 1152 or 576 samples, 8 bits a byte
    n_bytes = per_bit * kbps * 1000 // _RATES[version][rate] + ((header[2] >> 1) & 1)
    return _Frame(n_bytes, (version, rate))


def _next_frame(file: io.FileIO, at: int, kind: tuple[int, int] | None) -> int | None:
    """Where the next frame starts that another of its kind follows; None up to the end."""
    while True:
        file.seek(at)
        block = file.read(_SEARCHED)
        for match in _SYNC.finditer(block):
            frame = _frame(block[match.start() : match.start() + 4])
            if frame is None or kind not in (None, frame.kind):
                continue
            file.seek(at + match.start() + frame.n_bytes)
            following = _frame(file.read(4))
            if following is not None and following.kind == frame.kind:
                return at + match.start()
        if len(block) < _SEARCHED:
            return None
        at += len(block) - 3  # a header may lie across the border


def _counting_frame(header: bytes, n_frames: int) -> bytes:
    """A frame of the same kind that plays nothing and says "Xing" and a number.

    Args:
        header: of any frame of the file. The highest bit rate is taken, so that there is room.
        n_frames: frames that follow.
    """
    header = bytes([header[0], header[1] | 1, 0xE0 | (header[2] & 0x0C), header[3]])
    frame = _frame(header)
    assert frame is not None
    mono, mpeg1 = header[3] >> 6 == 3, frame.kind[0] == 3
    side = (17 if mono else 32) if mpeg1 else (9 if mono else 17)  # bytes before the name
    said = b"Xing" + _COUNT.to_bytes(4, "big") + n_frames.to_bytes(4, "big")
    return (header + bytes(side) + said).ljust(frame.n_bytes, b"\0")


class _Joined(io.RawIOBase):
    """Some bytes, then a file from some place on."""

    def __init__(self, before: bytes, file: io.FileIO, start: int) -> None:
        self._before, self._file, self._start = before, file, start
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_CUR:
            offset += self._at
        elif whence == io.SEEK_END:
            end = self._file.seek(0, io.SEEK_END)
            offset += len(self._before) + end - self._start
        self._at = max(0, offset)
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        part = self._before[self._at : self._at + len(buffer)]
        if part:
            buffer[: len(part)] = part
        else:
            self._file.seek(self._start + self._at - len(self._before))
            part = self._file.read(len(buffer)) or b""
            buffer[: len(part)] = part
        self._at += len(part)
        return len(part)
