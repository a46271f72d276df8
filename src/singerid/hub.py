"""Encoders as folders that the Hugging Face Hub takes, there and here.

A folder holds ``encoder.onnx`` (see `singerid.encoder_graph`), ``config.json`` (what it is, in
short), ``README.md`` (its card), and, for those who want to train on, ``encoder.safetensors``. Only
the first two are ever read, and neither format can hold code.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from singerid.card import exported_card
from singerid.encoder_graph import GraphHeader, parse_header, read_model
from singerid.errors import CheckpointError, MismatchError, MissingExtraError, SingeridError
from singerid.formats import FORMATS, check_format
from singerid.json_lines import parse
from singerid.records import atomic_write

MODEL, WEIGHTS, CARD, CONFIG = "encoder.onnx", "encoder.safetensors", "README.md", "config.json"
_LIBRARY = "singerid"
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]*[A-Za-z0-9_]")
_FILES = (".onnx", ".safetensors", ".pt", ".ts", ".jit", ".ckpt")
_MEANINGS = {
    "LocalEntryNotFoundError": "no connection to the Hub, and nothing in the cache",
    "OfflineModeIsEnabled": "HF_HUB_OFFLINE is set, and nothing in the cache",
    "GatedRepoError": "a repository that asks for consent first",
    "RepositoryNotFoundError": "no such repository, or a private one",
    "RevisionNotFoundError": "no such revision",
    "RemoteEntryNotFoundError": f"a repository without {MODEL}",
}


def is_name(place: str | os.PathLike[str]) -> bool:
    """True for ``user/name``, unless there is a file or folder of that name."""
    text = os.fspath(place)
    is_file = text.endswith(_FILES)
    return bool(_NAME.fullmatch(text)) and not is_file and not os.path.lexists(text)


def read_folder(folder: str | os.PathLike[str]) -> bytes:
    """The exported encoder in a folder that `save_folder` made.

    Raises:
        CheckpointError: it is not there, or damaged.
        MismatchError: ``config.json`` is of another encoder.
    """
    folder = Path(folder)
    model = read_model(folder / MODEL)
    _check(model, folder / CONFIG, folder / MODEL)
    return model


def fetch(
    name: str,
    revision: str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    token: str | None = None,
) -> bytes:
    """The exported encoder of a repository on the Hub; kept in the cache of huggingface_hub.

    Args:
        name: ``user/name``.
        revision: branch, tag or commit; None for the newest.
        cache_dir: where downloads are kept; None for the usual place.
        token: of an account that may read it; None for the one that is logged in, if any.

    Raises:
        CheckpointError: it cannot be fetched, or is no encoder of ours.
        MismatchError: ``config.json`` is of another encoder.
        MissingExtraError: huggingface_hub is not installed.
    """
    kind = _repository(f"{name} (no file or folder here)")
    options = {"revision": revision, "cache_dir": cache_dir, "token": token}
    try:
        model: bytes = kind.from_pretrained(name, **options).files[MODEL]
    except SingeridError:
        raise
    except Exception as error:  # its exceptions have no base of their own
        raise CheckpointError(
            "is no file or folder here, and cannot be fetched from the Hugging Face Hub",
            where=name if revision is None else f"{name} at {revision}", found=_said(error),
            do="check the name and the network; a private one needs a token",
        ) from error  # fmt: skip
    return model


def save_folder(folder: str | os.PathLike[str], files: Mapping[str, bytes]) -> None:
    """Write an encoder's files, see `files_of`; a card that is there stays.

    Raises:
        CheckpointError: they cannot be written.
        MissingExtraError: huggingface_hub is not installed.
    """
    repository = _repository()(files)
    try:
        repository.save_pretrained(folder)
    except OSError as error:
        raise CheckpointError(
            "cannot be written", where=folder, found=error.strerror or error
        ) from error


def push(
    name: str,
    files: Mapping[str, bytes],
    message: str,
    private: bool | None = None,
    token: str | None = None,
    branch: str | None = None,
) -> str:
    """Put an encoder's files into a repository on the Hub, made if need be; returns the URL.

    Args:
        name: ``user/name``.
        files: see `files_of`.
        message: of the commit.
        private: whether a new repository can be seen by its owner only; None for the usual.
        token: of an account that may write it; None for the one that is logged in.
        branch: None for the main one.

    Raises:
        CheckpointError: the Hub cannot be reached, or refuses.
        MissingExtraError: huggingface_hub is not installed.
    """
    repository = _repository()(files)
    try:
        url = repository.push_to_hub(
            name, commit_message=message, private=private, token=token, branch=branch
        )
    except Exception as error:  # its exceptions have no base of their own
        raise CheckpointError(
            "cannot be put on the Hugging Face Hub", where=name, found=_said(error),
            do="check the name, the network, and that the token may write",
        ) from error  # fmt: skip
    return str(url)


def files_of(
    model: bytes,
    place: str,
    license: str = "",
    weights: str | os.PathLike[str] | None = None,
    card: str | os.PathLike[str] | None = None,
) -> dict[str, bytes]:
    """What a folder of an exported encoder holds, by file name.

    Args:
        model: the exported encoder.
        place: where it can be loaded from, for the card.
        license: of the weights, as the Hub names it (``cc-by-4.0``); "" for unknown.
        weights: the encoder file that was exported.
        card: a Markdown file instead of the card that is made.

    Raises:
        CheckpointError: not an exported encoder, or a file cannot be read.
    """
    header = parse_header(model, MODEL)
    text = exported_card(header, place, license).encode()
    files = {
        MODEL: model, CONFIG: _config(header), CARD: text if card is None else read_model(card)
    }  # fmt: skip
    return files if weights is None else files | {WEIGHTS: read_model(weights)}


def _config(header: GraphHeader) -> bytes:
    values = {
        "library_name": _LIBRARY, "format": FORMATS["hub folder"], "name": header.name,
        "encoder": header.fingerprint, "dim": header.dim,
        "sample_rate": header.spec.audio.sample_rate,
    }  # fmt: skip
    return (json.dumps(values, indent=2) + "\n").encode()


def _check(model: bytes, config: Path, where: object) -> None:
    """Refuse an encoder that is not the one that the folder says it holds."""
    header = parse_header(model, where)
    if not config.exists():
        return
    try:
        values = parse(config.read_bytes())
        check_format(values.get("format", 1), "hub folder", config, CheckpointError)
        found = values.get("encoder", header.fingerprint)
    except (OSError, ValueError, AttributeError) as error:
        raise CheckpointError("is damaged", where=config, found=str(error)[:80]) from error
    if found != header.fingerprint:
        raise MismatchError(
            f"{MODEL} is not the encoder that {CONFIG} names", where=where,
            found=header.fingerprint, expected=found, do="fetch or save all files again",
        )  # fmt: skip


@cache
def _mixin() -> type[Any]:
    """A class of the files in a repository, by huggingface_hub's own mixin."""
    from huggingface_hub import ModelHubMixin, hf_hub_download

    class Repository(ModelHubMixin, library_name=_LIBRARY):
        """What is in a repository, by file name."""

        def __init__(self, files: Mapping[str, bytes]) -> None:
            self.files = files

        def _save_pretrained(self, save_directory: Path) -> None:
            for name, data in self.files.items():
                path = save_directory / name
                if name != CARD or not path.exists():
                    with atomic_write(path, "wb") as file:
                        file.write(data)

        @classmethod
        def _from_pretrained(cls, *, model_id: str, **options: Any) -> Repository:
            path = Path(hf_hub_download(model_id, MODEL, **options))
            model = read_model(path)
            _check(model, path.with_name(CONFIG), f"{model_id}/{MODEL}")
            return cls({MODEL: model})

    return Repository


def _repository(where: object = None) -> type[Any]:
    try:
        return _mixin()
    except ImportError as error:
        raise MissingExtraError("huggingface_hub", "hub", where) from error


def _said(error: Exception) -> str:
    """What an exception of huggingface_hub means, or its kind and first line."""
    for kind in type(error).__mro__:
        if kind.__name__ in _MEANINGS:
            return _MEANINGS[kind.__name__]
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"[:160]
