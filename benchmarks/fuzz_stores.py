"""Folders of which one file is bad: stores, banks, runs, registries. The good ones are golden."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from fuzz_targets import Subject, Trap, used
from fuzz_texts import DEEP, DIGITS, NASTY

GOLDEN = Path(__file__).parents[1] / "tests" / "golden" / "0.1"
_VALUES: list[object] = [
    None,
    True,
    -1,
    0,
    10**9,
    2**63 - 1,
    2**64,
    10**30,
    10**400,
    0.5,
    1e308,
    "",
    "x",
    [],
    {},
    [[]],
]


def store(folder: Path) -> Subject:
    """With checksums, which find everything, and without, as an older version wrote it."""
    from singerid.store import Store

    for name in ("bad_kept", "bad_bare"):
        shutil.copytree(GOLDEN / "store", folder / name)
    (folder / "bad_bare" / "checksums.json").unlink()

    def read(path: Path) -> None:
        found = Store(path.parent)
        for recording in found.recordings:
            found.check(recording.id)
            if not np.isfinite(found.features(recording.id).sum(dtype=np.float64)):
                raise AssertionError("frames that match their checksum are not finite")

    return _folder(folder, "bad_bare", read, _store_traps("bad_bare"), ["bad_kept"])


def _folder(
    folder: Path,
    name: str,
    read: Callable[[Path], object],
    traps: Sequence[Trap],
    others: Sequence[str] = (),
    fresh: bool = False,
) -> Subject:
    seeds = [
        (str(file.relative_to(folder)), file.read_bytes())
        for place in (name, *others)
        for file in sorted((folder / place).iterdir())
    ]
    words = [b'"shard"', b'"start"', b'"n_frames"', b'"crc32"', b'"id"', b'"format"', b"-1", b"2.5"]
    named = [name, *others]
    return Subject(seeds, read, words, traps, template=folder, fresh=fresh, named=named)


def _changed_lines(name: str, file: str) -> list[Trap]:
    """Each field of the first line of an index with values that it cannot have."""
    kind = name.removeprefix("bad_").split("_")[0].replace("bare", "store")
    first, *rest = (GOLDEN / kind / file).read_bytes().splitlines(keepends=True)
    line = json.loads(first)
    bad = [line | {field: value} for field in line for value in _VALUES]
    bad += [{k: v for k, v in line.items() if k != field} for field in line]
    texts = [json.dumps(one).encode() + b"\n" for one in bad]
    texts += [
        DEEP + b"\n",
        DIGITS + b"\n",
        b"[]\n",
        b"null\n",
        b"\xff\n",
        b"{}\n",
        b'"x"\n',
        first * 2,
    ]
    texts += [json.dumps(line | {"id": text}).encode() + b"\n" for text in NASTY]
    return [(f"{name}/{file}", b"".join([text, *rest]), False) for text in texts]


def _spec_traps(name: str, kind: str) -> list[Trap]:
    spec = json.loads((GOLDEN / kind / "spec.json").read_bytes())
    texts = [json.dumps(spec | {field: value}) for field in spec for value in _VALUES]
    sections = {key: value for key, value in spec.items() if isinstance(value, dict)}
    texts += [
        json.dumps(spec | {section: values | {field: value}})
        for section, values in sections.items()
        for field in values
        for value in _VALUES
    ]
    files = [text.encode() for text in texts] + [DEEP, DIGITS, b"[]", b"null", b"", b"\xff"]
    return [(f"{name}/spec.json", data, False) for data in files]


def _store_traps(name: str) -> list[Trap]:
    sums = [
        b'{"spec.json": 1e999, "recordings.jsonl": 1}',
        DEEP,
        DIGITS,
        b"[]",
        b"null",
        b"\xff",
        b'{"spec.json": "x"}',
        b'{"spec.json": [], "recordings.jsonl": {}}',
    ]
    huge = {"shard": 0, "start": 0, "n_frames": 10**9, "crc32": 0}
    first = json.loads((GOLDEN / "store" / "index.jsonl").read_bytes().splitlines()[0])
    many = b"".join(
        json.dumps(first | huge | {"id": f"x{i}"}).encode() + b"\n" for i in range(50_000)
    )
    return [
        *_changed_lines(name, "index.jsonl"),
        *_changed_lines(name, "recordings.jsonl"),
        *_spec_traps(name, "store"),
        (f"{name}/index.jsonl", many, True),
        *((f"{name}/checksums.json", data, False) for data in sums),
        *((f"{name}/features-00000.f32", data, True) for data in (b"", b"x", b"\xff" * 32256)),
    ]


def store_check(folder: Path) -> Subject:
    """`store check`, then `store repair`, which may not touch a shard, nor leave a new finding."""
    from singerid.errors import StoreError
    from singerid.store_check import check, repair

    shutil.copytree(GOLDEN / "store", folder / "bad_bare")
    (folder / "bad_bare" / "checksums.json").unlink()
    shutil.copytree(GOLDEN / "store", folder / "bad_kept")

    def read(path: Path) -> None:
        store = path.parent
        before = [hashlib.sha256(shard.read_bytes()).hexdigest() for shard in store.glob("*.f32")]
        check(store)
        found = repair(store)
        after = [hashlib.sha256(shard.read_bytes()).hexdigest() for shard in store.glob("*.f32")]
        if before != after:
            raise AssertionError("repair changes a shard")
        left = check(store).findings
        if any("is damaged" in str(finding) for finding in left):
            raise AssertionError(f"repair leaves {left[0]}")
        for finding in found.findings:
            if not str(finding).isprintable():
                raise AssertionError(f"not printable: {finding}")
        if found.findings:
            raise StoreError("is damaged", where=path)

    return _folder(folder, "bad_bare", read, _store_traps("bad_bare"), ["bad_kept"], fresh=True)


def bank(folder: Path) -> Subject:
    from singerid.voicebank.bank import VoiceBank, check

    shutil.copytree(GOLDEN / "bank", folder / "bad_bank")

    def read(path: Path) -> None:
        found = VoiceBank.open(path.parent)
        check(path.parent)
        for row in range(len(found)):
            found.cepstra(found.frames(row))
            found.aperiodicity_db(found.frames(row))
            np.asarray(found.mel[found.mel_frames(row)])

    name = "bad_bank"
    traps = [
        *_changed_lines(name, "index.jsonl"),
        *_changed_lines(name, "recordings.jsonl"),
        *_spec_traps(name, "bank"),
    ]
    return _folder(folder, name, read, traps)


def run(folder: Path) -> Subject:
    """Settings, provenance and log of a run; its weights are in `fuzz_weights`."""
    from singerid.config import read_config_file, resolve
    from singerid.model_card import write_model_card
    from singerid.run import RunLog, changed_settings, latest_checkpoint

    shutil.copytree(GOLDEN / "run", folder / "bad_run")
    good = resolve(read_config_file(GOLDEN / "run" / "config.yaml"))

    def read(path: Path) -> None:
        latest_checkpoint(path.parent)
        changed_settings(path.parent, good)
        RunLog(path.parent, 2)
        write_model_card(path.parent, alarms=[])

    files = {
        name: (GOLDEN / "run" / name).read_bytes() for name in ("provenance.json", "log.jsonl")
    }
    facts = json.loads(files["provenance.json"])
    texts = [json.dumps(facts | {field: value}).encode() for field in facts for value in _VALUES]
    texts += [json.dumps(facts | {"command": text, "data": text}).encode() for text in NASTY]
    traps = [
        ("bad_run/provenance.json", data, False) for data in [*texts, DEEP, DIGITS, b"[]", b"\xff"]
    ]
    first = json.loads(files["log.jsonl"].splitlines()[0])
    lines = [json.dumps(first | {field: value}).encode() for field in first for value in _VALUES]
    traps += [
        ("bad_run/log.jsonl", data + b"\n", False)
        for data in [*lines, DEEP, DIGITS, b"[]", b"\xff"]
    ]
    seeds = [(f"bad_run/{name}", data) for name, data in files.items()]
    seeds.append(("bad_run/config.yaml", (GOLDEN / "run" / "config.yaml").read_bytes()))
    return Subject(seeds, read, traps=traps, template=folder, fresh=True, named=["bad_run"])


def registry(folder: Path) -> Subject:
    """LanceDB's own files."""
    from singerid.registry import Registry

    shutil.copytree(GOLDEN / "registry", folder / "bad_registry")

    def read(path: Path) -> None:
        found = Registry.open(path.parents[[p.name for p in path.parents].index("bad_registry")])
        for info in found.singers():
            for one in found.exemplars(info.name):
                found.clip(one.id)
        vector = np.eye(1, found.dim, dtype=np.float32)[0]
        with used(path):
            found.search(vector, "abc")
            found.candidates(vector, "abc", 3)
            found.to_table()

    seeds = [
        (str(file.relative_to(folder)), file.read_bytes())
        for file in sorted((folder / "bad_registry").rglob("*"))
        if file.is_file()
    ]
    empty = [(name, b"", False) for name, _ in seeds]
    cut = [(name, data[: len(data) // 2], False) for name, data in seeds]
    text = [(name, DEEP, False) for name, _ in seeds]
    named = ["bad_registry", "exemplars", "clips"]
    return Subject(seeds, read, traps=[*empty, *cut, *text], template=folder, named=named)
