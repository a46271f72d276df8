"""Files of every version so far are read as they were; files from the future are refused by name.

The golden files lie in ``tests/golden/VERSION``; see `golden_make` and docs/formats.md.
"""

import importlib
import json
import math
import platform
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

import golden_make
import golden_read
from singerid.cli import main
from singerid.errors import SingeridError
from singerid.formats import FIXED, FORMATS, check_format
from singerid.records import Recording

GOLDEN = Path(__file__).parent / "golden"
VERSIONS = sorted(path.name for path in GOLDEN.iterdir() if path.is_dir())
EXPECTED = {
    version: json.loads((GOLDEN / version / "expected.json").read_text("utf-8"))
    for version in VERSIONS
}
FILES = [(version, name) for version in VERSIONS for name in EXPECTED[version]]
LATEST = {
    name: max((EXPECTED[version][name]["format"], version) for version, n in FILES if n == name)[1]
    for _, name in FILES
}
"""The version of singerid that wrote the newest golden file of a format."""

HAS_TO_SAY = {"exported encoder", "calibration", "encoder", "bank", "registry"}
"""Formats whose every file has held its version from the first on."""


COMMANDS = {
    "manifest": "features manifest/manifest.jsonl -o out",
    "configuration": "config --config configuration/config.yaml",
    "store": "store check store",
    "bank": "resing bank -o songs",
    "run": "train --resume run",
    "checkpoint": "train --resume run --train.steps 4",
    "saved model": "import run/saved_model.pt -o encoder.safetensors",
    "encoder": "export encoder/lstm.safetensors -o encoder.onnx",
    "exported encoder": "embed store --encoder exported-encoder/encoder.onnx -o e.parquet",
    "calibration":
        "evaluate embeddings/embeddings.parquet -o report "
        "--calibration calibration/calibration.safetensors",
    "embeddings": "table embeddings/embeddings.parquet -o table.parquet",
    "table": "identify table/table.parquet song.wav",
    "registry": "singers list --registry registry",
    "robustness report":
        "evaluate embeddings/embeddings.parquet -o report --robustness robustness-report",
}  # fmt: skip
"""What a user types that reads a format; Python alone reads hub folders and segments."""


@pytest.fixture(scope="module")
def made_now(tmp_path_factory):
    """What this version writes: the folder."""
    folder = tmp_path_factory.mktemp("written-by-this-version") / "now"
    golden_make.make(folder)
    return folder


@pytest.fixture
def copy_of(tmp_path):
    """Copies what a version wrote; readers may write beside it."""
    return lambda version: shutil.copytree(GOLDEN / version, tmp_path / version)


def check_equal(found, expected, where=""):
    """Equal, floats nearly, and embeddings with a cosine above 0.9999."""
    if where.endswith("embedding"):
        found, expected = np.array(found), np.array(expected)
        assert found @ expected > 0.9999 * np.linalg.norm(found) * np.linalg.norm(expected), where
    elif isinstance(expected, dict):
        assert found.keys() == expected.keys(), where
        for name, value in expected.items():
            check_equal(found[name], value, f"{where}.{name}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), where
        for row, (one, other) in enumerate(zip(found, expected, strict=True)):
            check_equal(one, other, f"{where}[{row}]")
    elif isinstance(expected, float):
        assert math.isclose(found, expected, rel_tol=1e-5, abs_tol=1e-4), where
    else:
        assert found == expected, where


@pytest.mark.parametrize(("version", "name"), FILES)
def test_what_was_written_is_read(version, name, copy_of):
    check_equal(golden_read.READERS[name](copy_of(version)), EXPECTED[version][name]["facts"])


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_a_file_from_the_future_is_refused_by_name(name, copy_of):
    folder = copy_of(LATEST[name])
    golden_read.RAISED[name](folder / golden_read.folder_of(name), FORMATS[name] + 1)
    known = FORMATS[name]
    message = rf"{name} format {known + 1} is newer than this singerid \(knows {known}\); upgrade s"
    with pytest.raises(SingeridError, match=message) as caught:
        golden_read.READERS[name](folder)
    assert str(folder / golden_read.folder_of(name)) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", COMMANDS)
def test_commands_say_one_line_to_a_file_from_the_future(name, copy_of, monkeypatch, capsys):
    folder = copy_of(LATEST[name])
    golden_read.RAISED[name](folder / golden_read.folder_of(name), FORMATS[name] + 1)
    monkeypatch.chdir(folder)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    assert main(COMMANDS[name].split()) == 1
    (line,) = capsys.readouterr().err.splitlines()
    place = golden_read.folder_of(name)
    message = rf"error: {place}\S*: {name} format {FORMATS[name] + 1} is newer than this singerid "
    assert re.match(message, line), line
    assert line.endswith("; upgrade singerid")
    assert (
        before.items()
        <= {p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}.items()
    )


@pytest.mark.parametrize("name", sorted(FORMATS.keys() - HAS_TO_SAY))
def test_a_file_that_says_no_version_is_of_version_one(name, copy_of):
    folder = copy_of("0.1")
    place = folder / golden_read.folder_of(name)
    golden_read.RAISED[name](place, None)
    (folder / "store" / "checksums.json").unlink()  # of the file that was changed
    check_equal(golden_read.READERS[name](folder), EXPECTED["0.1"][name]["facts"])


def test_every_format_has_golden_files():
    known = dict(FORMATS) | dict.fromkeys(FIXED, 0)
    assert known.keys() == golden_read.READERS.keys()
    assert FORMATS.keys() == golden_read.RAISED.keys()
    golden = {(name, EXPECTED[version][name]["format"]) for version, name in FILES}
    missing = known.items() - golden
    assert not missing, "write them: python tests/golden_make.py VERSION"


def test_nothing_is_added_without_a_new_version(made_now):
    """What is written today has the fields of the newest golden files, no more and no fewer."""
    for name in (*FORMATS, *FIXED):
        golden = EXPECTED[LATEST[name]][name]["outline"]
        changed = set(golden_read.outline(name, made_now)) ^ set(golden)
        assert not changed, f"{name} is of another version now: raise its number in FORMATS"


def test_golden_files_know_nothing_of_the_machine_that_made_them(made_now):
    """No folder of its disk is in them, nor its name: they are the same wherever they were made."""
    own = [made_now.parent.name, platform.node(), platform.release(), str(Path.cwd())]
    for path in filter(Path.is_file, made_now.rglob("*")):
        data = path.read_bytes()
        assert not [word for word in own if len(word) > 3 and word.encode() in data], path
    absolute = re.compile(rb"(?:^|[\s\"'=])(/(?:home|root|tmp|work|mnt|Users|var)/|[A-Z]:\\\\)")
    for path in filter(Path.is_file, GOLDEN.rglob("*")):
        assert not absolute.search(path.read_bytes()), path


def table_of(title):
    """Rows of the first table below a title of docs/formats.md, without its head."""
    page = (GOLDEN.parents[1] / "docs" / "formats.md").read_text("utf-8")
    rows = re.findall(r"(?m)^\| (.*) \|$", page.split(f"\n## {title}\n")[1].split("\n## ")[0])
    return [row.split(" | ") for row in rows[1:]]


def test_the_documentation_lists_every_format():
    assert [row[0] for row in table_of("Ours")] == [f"`{name}`" for name in FORMATS]
    fixed = " ".join(row[0] for row in table_of("Of the field"))
    assert sorted(re.findall(r"`(\w+)`", fixed)) == sorted(FIXED)


def test_readers_that_the_documentation_names_are_there():
    rows = [*table_of("Ours"), *table_of("Of the field")]
    names = {name for row in rows for name in re.findall(r"`([a-z_]+(?:\.\w+)+)`", row[3])}
    assert len(names) > 10
    for name in names - {"singerid.format"}:
        module, _, attribute = name.rpartition(".")
        assert hasattr(importlib.import_module(f"singerid.{module}"), attribute), name


def test_the_golden_files_stay_small():
    for version in VERSIONS:
        files = [path for path in (GOLDEN / version).rglob("*") if path.is_file()]
        assert sum(path.stat().st_size for path in files) < 2**20
        assert not [path for path in files if path.suffix in (".wav", ".flac", ".mp3", ".ogg")]


@pytest.mark.parametrize("found", ["2", 0, -1, None, 1.0, True])
def test_a_version_is_a_whole_number(found):
    message = r"^here: version of the table format is damaged; found .*; expected a whole number"
    with pytest.raises(SingeridError, match=message):
        check_format(found, "table", "here")


def test_a_line_of_a_manifest_may_say_its_version():
    line = '{"format": 1, "id": "a", "singer": "s", "path": "a.wav", "duration": 1, "sample_rate"'
    assert Recording.from_json(line + ": 8000}", "m:1").id == "a"
