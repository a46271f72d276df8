"""Fuzzing guided by coverage, of the parsers that are written in Python.

    pip install atheris        # a tool of this benchmark; nothing of the package needs it
    python benchmarks/fuzz_guided.py [target ...] [--seconds N] [--seed N]

Atheris (libFuzzer) sees which branches of singerid an input takes, and keeps what finds new ones.
It starts from the good files and the smaller traps of `fuzz.py`. An input must be read, or refused
by one clear line; the first that is neither ends its target, and is left in the current folder.
"""

from __future__ import annotations

import argparse
import importlib
import io
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

TARGETS = (
    "manifest", "csv", "lhotse", "mirdata", "corpus_table", "trials", "models", "config",
    "declaration", "segments", "pairs", "names", "wire", "mp3_counter", "onnx_header", "headers",
)  # fmt: skip
_SMALL = 4096  # bytes of what it starts from


def _mp3_counter(path: Path) -> None:
    from singerid import mpeg

    with io.FileIO(path) as file:
        mpeg.is_counted(file)
        joined = mpeg.with_count(file)
        if joined is not None:
            joined.seek(0)
            joined.read(1 << 16)
            joined.seek(-5, io.SEEK_END)
            joined.read(5)


def _onnx_header(path: Path) -> None:
    from singerid.encoder_graph import has_header, parse_header, with_header

    model = path.read_bytes()
    if has_header(model):
        with_header(model, parse_header(model, path))


def _headers(path: Path) -> None:
    """What is looked at before libsndfile or FFmpeg sees a file."""
    from singerid.decoding import Decoder

    decoder = object.__new__(Decoder)
    decoder.path = path
    with path.open("rb", buffering=0) as file:
        decoder._file = file
        size = path.stat().st_size
        decoder._head = file.read(64)
        decoder._check_promised_length(size)
        decoder._check_boxes_of_mp4(size)
        decoder._check_end_of_ogg(size)


_OWN: dict[str, tuple[Callable[[Path], None], tuple[str, ...]]] = {
    "mp3_counter": (_mp3_counter, ("mp3", "mp3bare", "mp3av", "mp2")),
    "onnx_header": (_onnx_header, ()),
    "headers": (
        _headers,
        ("wav", "m4a", "ogg", "opus", "aiff", "w64", "rf64", "au", "caf", "flac"),
    ),
}


def child(target: str, folder: Path, options: list[str]) -> None:
    """Fuzz one target until time is up; does not return."""
    atheris: Any = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["singerid"]):
        from fuzz_child import problem_of
        from fuzz_targets import Subject, make
        from singerid.errors import SingeridError

        if target in _OWN:
            read, kinds = _OWN[target]
            from fuzz_audio import encoded, tone
            from fuzz_stores import GOLDEN

            seeds = [(f"bad.{kind}", encoded(kind, tone(0.1))) for kind in kinds]
            model = (GOLDEN / "exported-encoder" / "encoder.onnx").read_bytes()
            seeds = seeds or [("bad.onnx", model[-3000:]), ("bad.onnx", model[:300])]
            subject = Subject(seeds, read)
        else:
            subject = make(target, folder)
        for name, data in subject.seeds:
            (folder / name).write_bytes(data)
            try:
                subject.read(folder / name)  # what it imports is instrumented, too
            except SingeridError:
                continue
    names = sorted({name for name, _ in subject.seeds})
    corpus = folder / "corpus"
    corpus.mkdir()
    files = [(name, data) for name, data in subject.seeds]
    files += [(name, data) for name, data, _ in subject.traps if len(data) <= _SMALL]
    for number, (name, data) in enumerate(files):
        (corpus / str(number)).write_bytes(bytes([names.index(name)]) + data)

    def one_input(data: bytes) -> None:
        name = names[data[0] % len(names)] if data else names[0]
        path = folder / name
        path.write_bytes(data[1:])
        try:
            subject.read(path)
        except SingeridError as error:
            if problem := problem_of(error, [name, *subject.named]):
                raise AssertionError(problem) from error

    atheris.Setup([sys.argv[0], *options, str(corpus)], one_input)
    atheris.Fuzz()


def run(target: str, seconds: int, seed: int) -> tuple[str, bool]:
    """A row of the table, and whether something was found."""
    with tempfile.TemporaryDirectory(prefix="guided-") as folder:
        options = [f"-max_total_time={seconds}", f"-seed={seed + 1}", "-rss_limit_mb=3000",
                   "-timeout=20", "-max_len=20000", "-print_final_stats=1"]  # fmt: skip
        command = [sys.executable, __file__, "--child", target, folder, *options]
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", check=False,
            timeout=seconds + 300,
        )  # fmt: skip
    said = done.stderr
    runs = re.findall(r"stat::number_of_executed_units:\s+(\d+)", said)
    branches = re.findall(r"cov: (\d+)", said)
    found = done.returncode != 0
    if found:
        print(said[-3000:], file=sys.stderr)
    n_runs = int(runs[-1]) if runs else 0
    return (
        f"| {target} | {n_runs:,} | {branches[0] if branches else '?'} | "
        f"{branches[-1] if branches else '?'} | {int(found)} |"
    ), found


def main() -> None:
    if "--child" in sys.argv:
        target, folder, *options = sys.argv[2:]
        child(target, Path(folder), options)
        return
    parser = argparse.ArgumentParser(description="Fuzzing guided by coverage.")
    parser.add_argument("targets", nargs="*", help=f"default: all, {' '.join(TARGETS)}")
    parser.add_argument("--seconds", type=int, default=120, help="for each (default: 120)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    print("| parser | inputs | branches at first | branches in the end | findings |", flush=True)
    print("|---|---|---|---|---|", flush=True)
    results = []
    for target in arguments.targets or TARGETS:
        row, found = run(target, arguments.seconds, arguments.seed)
        print(row, flush=True)
        results.append(found)
    sys.exit(any(results))


if __name__ == "__main__":
    main()
