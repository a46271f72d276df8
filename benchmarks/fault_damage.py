"""Damage on purpose in what is kept: stores, voice banks, vectors, encoders, checkpoints."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path

import numpy as np

from fault_stages import Bench, Tally, flat
from singerid import pretrained, store_writer
from singerid.checkpoint import load_encoder, load_weights_only
from singerid.embeddings import EmbeddingSet, read_embeddings
from singerid.errors import SingeridError
from singerid.extraction import extract
from singerid.runtime import OnnxSingerEncoder
from singerid.spec import FeatureSpec
from singerid.store_check import check, repair
from singerid.table import SingerTable, read_table
from singerid.voicebank.building import build_bank
from singerid.voicebank.spec import BankSpec


def store(bench: Bench, n: int) -> Iterator[Tally]:
    """Damage in every file of a store: named by `check`, put right by `repair` and `features`."""
    store_writer.SHARD_BYTES = 600_000
    whole, spec = bench.folder / "shards", FeatureSpec()
    extract(bench.recordings, whole, spec)
    names = sorted(f.name for f in whole.iterdir() if f.name != ".lock")
    for what in ("a bit flipped", "cut short", "gone"):
        tally, made = Tally(f"a file of a store, {what}"), 0
        for i in range(n if what != "gone" else len(names)):
            at = bench.place() / "store"
            shutil.copytree(whole, at)
            name = names[i % len(names)]
            damage(at / name, what, bench.rng)
            tally.tries += 1
            tally.hit += is_named(at, name)
            result, _ = extract(bench.recordings, at, spec)
            made += result.n_done
            same = all((at / name).read_bytes() == (whole / name).read_bytes() for name in names)
            tally.lost += not same
            shutil.rmtree(at.parent)
        tally.found.append(again(made, tally, bench))
        yield tally


def is_named(at: Path, name: str) -> bool:
    """Whether `check` names a file that is damaged; then the store is repaired."""
    try:
        findings = check(at).findings
        repair(at)
    except SingeridError as error:
        return name in str(error)
    if name == "checksums.json" and not (at / name).exists():
        return True  # nothing says that it was ever there
    if name in ("index.jsonl", "recordings.jsonl") and not findings:
        return False
    return any(name in str(finding) for finding in findings) or (
        name in ("index.jsonl", "recordings.jsonl")  # its consequences are
    )


def damage(file: Path, what: str, rng: np.random.Generator) -> None:
    """Change a file at random."""
    data = bytearray(file.read_bytes())
    position = int(rng.integers(len(data)))
    if what == "gone":
        file.unlink()
    elif what == "cut short":
        os.truncate(file, position)
    else:
        data[position] ^= 1 << int(rng.integers(8))
        file.write_bytes(data)


def bank(bench: Bench, n: int) -> Iterator[Tally]:
    """Damage in every file of a voice bank, put right by `voices`."""
    whole, spec = bench.folder / "bank", BankSpec()
    build_bank(bench.recordings, whole, spec)
    names = sorted(f.name for f in whole.iterdir() if f.name != ".lock")
    for what in ("a bit flipped", "cut short", "gone"):
        tally, made = Tally(f"a file of a voice bank, {what}"), 0
        for i in range(n if what != "gone" else len(names)):
            at, name = bench.place() / "bank", names[i % len(names)]
            shutil.copytree(whole, at)
            damage(at / name, what, bench.rng)
            tally.tries += 1
            try:
                built, _ = build_bank(bench.recordings, at, spec)
            except SingeridError:
                tally.hit += 1
                tally.lost += 1
                tally.found.append(f"{name}: the bank has to be made anew")
            else:
                made += built.n_done
                changed = [f for f in names if (at / f).read_bytes() != (whole / f).read_bytes()]
                tally.hit += built.n_done > 0
                tally.lost += bool(changed)
                tally.found += [f"{name} stays damaged" for name in changed]
            shutil.rmtree(at.parent)
        tally.found.append(again(made, tally, bench))
        yield tally


def again(made: int, tally: Tally, bench: Bench) -> str:
    """How much was made again."""
    share = f"{made / tally.tries:.1f} of {len(bench.recordings)}"
    return f"{share} recordings made again on average"


def files(bench: Bench, n: int) -> Iterator[Tally]:
    """Damage in what else is kept: it is refused, or what is read is the same."""
    for name in ("train", "table"):
        bench.whole(bench.stages[name])
    run = bench.made / "train"
    kinds: list[tuple[Path, Callable[[Path], object]]] = [
        (bench.made / "embed", lambda p: plain(read_embeddings(p))),
        (bench.made / "table", lambda p: plain(read_table(p))),
        (run / "encoder.safetensors", encoder_content),
        (run / "saved_model.pt", lambda p: flat(load_weights_only(p))),
        (next(run.glob("*.ckpt")), lambda p: flat(load_weights_only(p))),
        (pretrained.path_of("default", ".onnx"), vector_of_noise),
    ]
    for file, content in kinds:
        for what in ("a bit flipped", "cut short"):
            tally = Tally(f"{'embeddings' if file.name == 'embed' else file.name}, {what}")
            intact, copy = content(file), bench.place() / file.name
            for _ in range(n):
                shutil.copy(file, copy)
                damage(copy, what, bench.rng)
                tally.tries += 1
                try:
                    now = content(copy)
                except SingeridError:
                    tally.hit += 1
                except Exception as error:
                    tally.found.append(f"raises {type(error).__name__}")
                else:
                    tally.lost += now != intact
            yield tally


def registry(bench: Bench, n: int) -> Iterator[Tally]:
    """Damage in any file of a registry: it is refused, or what is read is the same."""
    stage = bench.stages["enroll"]
    whole, folder = bench.whole(stage).content, bench.made / "enroll"
    names = sorted(str(f.relative_to(folder)) for f in folder.rglob("*") if f.stat().st_size)
    names = [name for name in names if (folder / name).is_file()]
    for what in ("a bit flipped", "cut short"):
        tally = Tally(f"a file of a registry, {what}")
        for i in range(n):
            at, name = bench.place() / "registry", names[i % len(names)]
            shutil.copytree(folder, at)
            damage(at / name, what, bench.rng)
            tally.tries += 1
            try:
                now = stage.content(at)
            except SingeridError:
                tally.hit += 1
            except BaseException as error:  # Rust's panics are no exceptions
                if isinstance(error, KeyboardInterrupt):
                    raise
                tally.found.append(f"{Path(name).suffix} raises {type(error).__name__}")
            else:
                if now != whole:
                    tally.lost += 1
                    tally.found.append(f"{Path(name).suffix} is read as something else")
            shutil.rmtree(at.parent)
        yield tally


def plain(table: EmbeddingSet | SingerTable) -> dict[str, object]:
    """Every value of a set or a table."""
    values = {field.name: getattr(table, field.name) for field in fields(table)}
    return {
        name: value.tobytes() if isinstance(value, np.ndarray) else value
        for name, value in values.items()
    }


def encoder_content(file: Path) -> object:
    """All of an encoder but where it came from, which is for people."""
    found = load_encoder(file)
    facts = found.settings, found.spec, found.partial_frames, found.fingerprint
    return facts, flat(dict(found.encoder.state_dict()))


def vector_of_noise(file: Path) -> bytes:
    """What an exported encoder makes of a second of noise."""
    noise = 0.1 * np.random.default_rng(0).standard_normal(16000).astype(np.float32)
    return OnnxSingerEncoder.load(file).encode(noise[None]).tobytes()
