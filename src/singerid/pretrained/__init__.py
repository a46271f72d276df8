"""The encoder that comes with the package, in two files beside this one.

``default.onnx`` is what is used where no other encoder is named: with its front end and its
calibration, for onnxruntime. ``default.safetensors`` is the same encoder, of the same fingerprint,
as an encoder file: to be trained on, to be exported anew, and for stores (with torch).
"""

from __future__ import annotations

import os
from pathlib import Path

from singerid.errors import CheckpointError
from singerid.remote import is_url, kept

NAME = "default"
FOLDER = Path(__file__).parent


def path_of(encoder: str | os.PathLike[str], suffix: str) -> Path:
    """The path of an encoder that a user named.

    Args:
        encoder: ``default``, a path, or the URL of a file, which is fetched; a run folder of
            that name is given as ``./default``.
        suffix: which of the files stands for ``default``: ``.onnx`` or ``.safetensors``.

    Raises:
        CheckpointError: the file is not there, or cannot be fetched.
    """
    if encoder != NAME:
        return kept(str(encoder), CheckpointError) if is_url(encoder) else Path(encoder)
    path = (FOLDER / NAME).with_suffix(suffix)
    if not path.is_file():
        raise CheckpointError(
            "the pretrained encoder is not part of this installation", where=path,
            do="install singerid again, or give an encoder of your own",
        )  # fmt: skip
    return path
