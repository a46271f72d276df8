"""A calibration on disk, alone or within an encoder's file: safetensors, which cannot hold code."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load, save

from singerid.errors import CheckpointError, SingeridError
from singerid.formats import FORMATS, check_format
from singerid.json_lines import parse
from singerid.records import atomic_write
from singerid.scoring.backend import Transform
from singerid.scoring.calibration import Calibration, Line
from singerid.scoring.cohort import Cohort
from singerid.scoring.plda import Plda
from singerid.scoring.scorer import Scorer
from singerid.sections import Section

_KEY = "singerid.scoring.calibration"
Arrays = dict[str, npt.NDArray[Any]]


class _Header(Section):
    """What the file says beside its arrays."""

    version: int
    encoder: str
    edges: tuple[float, ...]
    overall: dict[str, Any]
    classes: list[dict[str, Any]]
    singers: tuple[str, ...]
    cohort_singers: tuple[str, ...] = ()
    cohort_top: int = 0


def write_calibration(path: str | os.PathLike[str], calibration: Calibration) -> None:
    """Write a calibration, atomically."""
    with atomic_write(path, "wb") as file:
        file.write(to_bytes(calibration))


def to_bytes(calibration: Calibration) -> bytes:
    """What `write_calibration` writes."""
    scorer, cohort = calibration.scorer, calibration.scorer.cohort
    lines: TypeAdapter[Line] = TypeAdapter(Line)
    header = _Header(
        version=FORMATS["calibration"], encoder=calibration.encoder, edges=calibration.edges,
        overall=lines.dump_python(calibration.overall),
        classes=[lines.dump_python(line) for line in calibration.classes],
        singers=scorer.singers, cohort_singers=tuple(cohort.singers) if cohort else (),
        cohort_top=cohort.top if cohort else 0,
    )  # fmt: skip
    return save(_arrays(scorer), {_KEY: header.model_dump_json()})


def read_calibration(path: str | os.PathLike[str]) -> Calibration:
    """Read what `write_calibration` wrote.

    Raises:
        CheckpointError: missing, damaged, no calibration, or of a newer version.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CheckpointError(
            "cannot read the calibration", where=path, found=error, do="fit one: singerid calibrate"
        ) from error
    return from_bytes(data, path)


def from_bytes(data: bytes, where: object = "calibration") -> Calibration:
    """Parse what `to_bytes` gave.

    Args:
        data: the bytes.
        where: the file that holds them, for errors.

    Raises:
        CheckpointError: see `read_calibration`.
    """
    try:
        arrays: Arrays = load(data)
        metadata = _metadata(data)
    except (SafetensorError, ValueError, KeyError) as error:
        raise CheckpointError(
            "cannot read the calibration", where=where, found=error,
            do="fit one: singerid calibrate",
        ) from error  # fmt: skip
    if _KEY not in metadata:
        raise CheckpointError(
            "is not a calibration", where=where, found="a safetensors file without its header",
            do="fit one: singerid calibrate",
        )  # fmt: skip
    try:
        fields = parse(metadata[_KEY])
        check_format(fields["version"], "calibration", where, CheckpointError)
        return _calibration(_Header.model_validate(fields), arrays)
    except CheckpointError:
        raise
    except (ValueError, KeyError, TypeError, ValidationError, SingeridError) as error:
        raise CheckpointError(
            "the calibration is damaged", where=where, found=" ".join(str(error).split())[:160],
            do="fit it again: singerid calibrate",
        ) from error  # fmt: skip


def _metadata(data: bytes) -> dict[str, str]:
    """The texts of a valid safetensors header, which its own parser of bytes leaves out."""
    length = int.from_bytes(data[:8], "little")
    header = parse(data[8 : 8 + length])
    found: dict[str, str] = header.get("__metadata__") or {}
    return found


def _arrays(scorer: Scorer) -> Arrays:
    """The scorer's arrays by name."""
    arrays: dict[str, npt.NDArray[Any] | None] = {
        "transform.mean": scorer.transform.mean,
        "transform.projection": scorer.transform.projection,
    }
    if scorer.plda:
        arrays |= {f"plda.{name}": getattr(scorer.plda, name) for name in _PLDA}
    if scorer.cohort:
        arrays["cohort.vectors"] = scorer.cohort.vectors
    return {name: np.ascontiguousarray(a) for name, a in arrays.items() if a is not None}


_PLDA = ("mean", "basis", "between")


def _calibration(header: _Header, arrays: Arrays) -> Calibration:
    """The calibration of a header and arrays, each of which is checked."""
    for name, array in arrays.items():
        if array.dtype not in (np.float32, np.float64) or not np.isfinite(array).all():
            raise SingeridError("an array is not of finite numbers", where=name)
    mean, projection = arrays.pop("transform.mean", None), arrays.pop("transform.projection", None)
    plda = cohort = None
    if "plda.mean" in arrays:
        plda = Plda(*(arrays.pop(f"plda.{name}") for name in _PLDA))
    if "cohort.vectors" in arrays:
        vectors = arrays.pop("cohort.vectors").astype(np.float32, copy=False)
        cohort = Cohort(vectors, list(header.cohort_singers), header.cohort_top)
    if arrays:
        raise SingeridError("an array is unexpected", found=sorted(arrays)[0])
    lines: TypeAdapter[Line] = TypeAdapter(Line)
    return Calibration(
        header.encoder,
        Scorer(Transform(mean, projection), plda, cohort, header.singers),
        lines.validate_python(header.overall),
        header.edges,
        tuple(lines.validate_python(line) for line in header.classes),
    )
