"""Embeddings for TensorBoard's projector: an interactive map of the validation recordings.

The projector finds ``projector_config.pbtxt`` beside the events of a run; the files that it names
are tables of numbers and of labels. Neither torch nor TensorBoard is needed to write them.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from singerid.errors import SingeridError, one_line
from singerid.records import Recording, atomic_write, columns_of

CONFIG, VECTORS, LABELS = (
    "projector_config.pbtxt",
    "projector/vectors.tsv",
    "projector/labels.tsv",
)
_PRIVATE = ("path", "sha256")
_CONFIG_TEXT = """embeddings {{
  tensor_name: "{name}"
  tensor_path: "{vectors}"
  metadata_path: "{labels}"
}}
"""


def write_projector(
    folder: str | os.PathLike[str],
    vectors: npt.NDArray[np.floating],
    recordings: Sequence[Recording],
    name: str = "validation",
) -> Path:
    """Write a map into a run folder; one that is there is replaced.

    Shown by ``tensorboard --logdir FOLDER``, tab "Projector".

    Args:
        folder: where the events are.
        vectors: `(n, dim)`.
        recordings: of the rows; id, singer, split and labels are shown, paths are not.
        name: of the map.

    Returns:
        The configuration that the projector looks for.

    Raises:
        SingeridError: vectors do not fit the recordings.
    """
    folder, rows = Path(folder), np.asarray(vectors)
    if rows.ndim != 2 or len(rows) != len(recordings) or not len(rows):
        raise SingeridError(
            "vectors do not fit recordings", found=f"shape {rows.shape}, {len(recordings)}",
            expected="(n, dim), n at least 1",
        )  # fmt: skip
    columns = {"id": [r.id for r in recordings]} | {
        label: column for label, column in columns_of(recordings).items() if label not in _PRIVATE
    }
    with atomic_write(folder / VECTORS) as file:  # raw bytes that happen to be text break it
        np.savetxt(file, rows, "%.6g", "\t")
    with atomic_write(folder / LABELS) as file:
        for cells in (columns, *zip(*columns.values(), strict=True)):
            file.write("\t".join(one_line(cell) for cell in cells) + "\n")
    title = one_line(name).replace("\\", "/").replace('"', "'")
    with atomic_write(folder / CONFIG) as file:
        file.write(_CONFIG_TEXT.format(name=title, vectors=VECTORS, labels=LABELS))
    return folder / CONFIG
