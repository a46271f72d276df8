"""The header of an exported encoder: an ONNX model that says itself how it is to be used.

An ONNX file is a protocol buffer (ModelProto, onnx.proto). Its field 14, ``metadata_props``, holds
pairs of texts; ours is the one named ``singerid``, a JSON object. Messages of protocol buffers may
be joined end to end, so a header is written behind a model, and read by skipping over the rest:
neither needs a library for ONNX. Behind it stands another pair, ``singerid.crc32``: the checksum
of all bytes before.
"""

from __future__ import annotations

import base64
import binascii
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, field_validator

from singerid.errors import CheckpointError
from singerid.formats import FORMATS, check_format
from singerid.json_lines import parse
from singerid.sections import Section
from singerid.spec import FeatureSpec

KEY, CHECKSUM = "singerid", "singerid.crc32"
_METADATA, _NAME, _VALUE = 14, 1, 2  # fields of ModelProto; of StringStringEntryProto
_BYTES = 2  # the wire type of what has a length
_FIXED = {1: 8, 5: 4}  # bytes of the wire types that have none


class GraphHeader(Section):
    """What the runtime needs to know of an exported encoder.

    Attributes:
        format: version of the file.
        name: for people.
        fingerprint: of the encoder; vectors of equal ones can be compared.
        spec: its front end. The graph begins with the window of a mel frame; what comes before
            (rate, pauses, level, high-pass, padding of the recording) is left to who runs it.
        partial_frames: length of a partial.
        dim: length of an embedding.
        provenance: where it comes from (run, step, data, versions).
        calibration: a calibration file in base64, if one belongs to it.
    """

    format: int = FORMATS["exported encoder"]
    name: str = Field(min_length=1, max_length=200)
    fingerprint: str = Field(min_length=1, max_length=200)
    spec: FeatureSpec
    partial_frames: int = Field(ge=1)
    dim: int = Field(ge=1)
    provenance: dict[str, Any] = Field(default_factory=dict)
    calibration: str | None = None

    @field_validator("calibration")
    @classmethod
    def _is_base64(cls, text: str | None) -> str | None:
        try:
            base64.b64decode(text or "", validate=True)
        except binascii.Error as error:
            raise ValueError("not base64") from error
        return text

    @property
    def calibration_bytes(self) -> bytes | None:
        """The calibration file, None if there is none."""
        return None if self.calibration is None else base64.b64decode(self.calibration)


def with_header(model: bytes, header: GraphHeader) -> bytes:
    """An ONNX model with this header, in the place of one that it may have, and a checksum.

    Raises:
        ValueError: the bytes are no protocol buffer.
    """
    kept, end = [], 0
    for number, start, content, stop in _fields(model):
        if number == _METADATA and _entry(model[content:stop])[0] in (KEY, CHECKSUM):
            kept.append(model[end:start])
            end = stop
    kept.append(model[end:])
    written = b"".join([*kept, _pair(KEY, header.model_dump_json())])
    return written + _pair(CHECKSUM, f"{zlib.crc32(written):08x}")


def _pair(name: str, value: str) -> bytes:
    entry = _message(_NAME, name.encode()) + _message(_VALUE, value.encode())
    return _message(_METADATA, entry)


def read_model(path: str | os.PathLike[str]) -> bytes:
    """The bytes of a model's file.

    Raises:
        CheckpointError: it cannot be read.
    """
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise CheckpointError("cannot be read", where=path, found=error.strerror) from error


def has_header(model: bytes) -> bool:
    """True for a file that `with_header` made, of whatever version."""
    return _header_text(model) is not None


def parse_header(model: bytes, where: object) -> GraphHeader:
    """The header of an exported encoder.

    Args:
        model: the file's bytes.
        where: its name, for errors.

    Raises:
        CheckpointError: another program's model, of a newer version, or damaged.
    """
    text = _header_text(model)
    if text is None:
        raise CheckpointError(
            "is not an exported encoder of singerid", where=where,
            found="no header in its metadata", do="make one: singerid export",
        )  # fmt: skip
    try:
        values = parse(text)
        check_format(values["format"], "exported encoder", where, CheckpointError)
        _check_sum(model, where)
        return GraphHeader.model_validate(values)
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        raise CheckpointError(
            "has a damaged header", where=where, found=" ".join(str(error).split())[:160],
            do="restore the file, or export it again",
        ) from error  # fmt: skip


def _check_sum(model: bytes, where: object) -> None:
    """Compare the bytes with the checksum, if there is one.

    Raises:
        CheckpointError: they have changed since.
    """
    for number, start, content, stop in _fields(model):
        if number == _METADATA and _entry(model[content:stop])[0] == CHECKSUM:
            found = f"{zlib.crc32(memoryview(model)[:start]):08x}"
            if stop != len(model) or found != _entry(model[content:stop])[1]:
                raise CheckpointError(
                    "does not match its checksum", where=where, found="changed bytes",
                    do="restore the file, or export it again",
                )  # fmt: skip


def _header_text(model: bytes) -> str | None:
    """The last header, as protocol buffers have it; None if there is none, or no buffer."""
    text = None
    try:
        for number, _, start, stop in _fields(model):
            if number == _METADATA:
                name, value = _entry(model[start:stop])
                text = value if name == KEY else text
    except ValueError:
        return None
    return text


def _entry(entry: bytes) -> tuple[str, str]:
    """Name and value of a pair of texts."""
    found = {number: entry[start:stop] for number, _, start, stop in _fields(entry)}
    return found.get(_NAME, b"").decode(), found.get(_VALUE, b"").decode()


def _fields(message: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Fields of a message, https://protobuf.dev/programming-guides/encoding/.

    Yields:
        Number of the field, where it starts, where its content starts, where it ends.

    Raises:
        ValueError: no message.
    """
    place = 0
    while place < len(message):
        start = place
        tag, place = _varint(message, place)
        number, wire_type = tag >> 3, tag & 7
        content = place
        if wire_type == _BYTES:
            size, content = _varint(message, place)
            place = content + size
        elif wire_type in _FIXED:
            place += _FIXED[wire_type]
        elif wire_type == 0:
            _, place = _varint(message, place)
        else:
            raise ValueError(f"wire type {wire_type}")
        if number == 0 or place > len(message):
            raise ValueError("cut off")
        yield number, start, content, place


def _varint(message: bytes, place: int) -> tuple[int, int]:
    """A number of seven bits a byte, lowest first, and where it ends."""
    value = 0
    for shift in range(0, 64, 7):
        if place >= len(message):
            break
        byte = message[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place
    raise ValueError("no number")


def _message(number: int, content: bytes) -> bytes:
    """A field that has a length."""
    return _number(number << 3 | _BYTES) + _number(len(content)) + content


def _number(value: int) -> bytes:
    """The inverse of `_varint`."""
    digits = bytearray()
    while value > 127:
        digits.append(value & 127 | 128)
        value >>= 7
    return bytes([*digits, value])
