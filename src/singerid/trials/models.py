"""Lists of enrollment models on disk: which recordings are enrolled together."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from singerid.errors import SingeridError
from singerid.records import atomic_write
from singerid.trials import TrialList
from singerid.trials.words import Index, decoded, encoded, opened, strangers


def write_models(path: str | os.PathLike[str], trials: TrialList) -> None:
    """Write ``model recording recording …`` lines (Kaldi's spk2utt), atomically.

    Raises:
        SingeridError: the trials have no models, or an id is empty.
    """
    if not trials.models:
        raise SingeridError("the trials have no models", where=path, do="set n_enroll above 1")
    names, ids = encoded(trials.model_names), encoded(trials.ids)
    with atomic_write(path) as file:
        for name, rows in zip(names, trials.models, strict=True):
            file.write(f"{name} {' '.join(ids[row] for row in rows)}\n")


def read_models(path: str | os.PathLike[str]) -> dict[str, list[str]]:
    """Read ``model recording recording …`` lines.

    Returns:
        The recordings of each model, in the order of the file.

    Raises:
        SingeridError: unreadable or empty, a model without recordings, one that comes twice, or
            a recording that comes twice in a model.
    """
    models: dict[str, list[str]] = {}
    with opened(path, "models") as file:
        for number, line in enumerate(file, 1):
            words = line.split()
            where = f"{path}:{number}"
            names = [decoded(word, where) for word in words]
            if len(names) == 1 or (names and names[0] in models):
                raise SingeridError(
                    "model has no recordings" if len(names) == 1 else "model comes twice",
                    where=where, found=repr(names[0]), expected="model recording recording …",
                )  # fmt: skip
            if len(set(names[1:])) < len(names[1:]):
                twice = next(name for i, name in enumerate(names) if name in names[1:i])
                raise SingeridError("recording comes twice", where=where, found=repr(twice))
            if names:
                models[names[0]] = names[1:]
    if not models:
        raise SingeridError("the file lists no models", where=path)
    return models


def member_rows(
    path: object, models: Mapping[str, Sequence[str]], index: Index
) -> list[tuple[int, ...]]:
    """Rows of the recordings of each model.

    Raises:
        SingeridError: some are not in the index; they are counted, the first few named.
    """
    members = [tuple(map(index.row_of, names)) for names in models.values()]
    strange = [
        f"{name!r} (model {model!r})"
        for (model, names), rows in zip(models.items(), members, strict=True)
        for name, row in zip(names, rows, strict=True)
        if row < 0
    ]
    if strange:
        raise strangers(path, "models", len(strange), strange)
    return members
