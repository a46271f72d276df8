"""Every command and code block of every page is run, page by page, each in a folder of its own.

The folders hold what the page speaks of (`PREPARED`), made of the demo's virtual singers. How a
page is run, and what is made smaller for it, is in `doc_pages`.
"""

import csv
import os
import re
import shutil
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import filelock
import pytest
import soundfile

from doc_pages import (
    ASIDE,
    PAGES,
    PYTHON,
    PYTHON_STEPS,
    ROOT,
    SHELL,
    Block,
    Shell,
    blocks,
    name,
)
from singerid.records import read_recordings, write_recordings

pytest.importorskip("torch")
for extra in ("lancedb", "onnx", "optuna", "plotly", "pyworld"):
    pytest.importorskip(extra)

pytestmark = pytest.mark.slow
RUN = [page for page in PAGES if name(page) not in ASIDE and name(page) != "docs/python.md"]
"""`test_python_docs.py` runs docs/python.md, and looks at what comes out."""
PREPARED = {  # what each page finds in its folder: recordings, and "NAME=THING of the kit"
    "README.md": "voices=voices a.wav b.flac songs/one.wav songs/two.wav anna1.wav anna2.wav "
                 "anna3.wav ben1.wav ben2.wav song.wav duet.wav",
    "docs/benchmark.md": "runs/speech=run singing.jsonl=mir1k.jsonl",
    "docs/coming-from-the-original.md": "small.jsonl=manifest.jsonl old=run",
    "docs/concepts/duties.md": "anna1.wav anna2.wav anna3.wav",
    "docs/concepts/thresholds.md": "a.wav b.flac test.parquet=embeddings.parquet "
                                   "calibration.safetensors=default_calibration.safetensors",
    "docs/corpora.md": "manifest.jsonl=manifest.jsonl",
    "docs/evaluation.md": "run=run dev.jsonl=manifest.jsonl dev.parquet=run.parquet "
                          "test.parquet=run.parquet table.parquet=run_table.parquet "
                          "singing.jsonl=manifest.jsonl a.wav b.flac song.wav",
    "docs/experiments.md": "librispeech.jsonl=first_songs.jsonl",
    "docs/export.md": "runs/NAME=run calibration.safetensors=calibration.safetensors a.wav b.wav "
                      "song.flac",
    "docs/map.md": "work/embeddings.parquet=run.parquet",
    "docs/pipeline.md": "voices=voices recordings.csv=recordings.csv song.wav other.flac",
    "docs/registry.md": "a1.wav a2.mp3 a3.flac unknown.wav",
    "docs/resinging.md": "manifest.jsonl=first_songs.jsonl",
    "docs/segments.md": "table.parquet=table.parquet duet.flac concert.ogg song.mp3 take1.wav "
                        "take2.wav",
    "docs/serving.md": "song.flac a.wav b.mp3",
    "docs/sweeps.md": "examples=examples work/store=store",
    "docs/training.md": "speech.jsonl=first_songs.jsonl store=store",
    "docs/tutorials/condition.md": "examples=examples",
    "docs/voice-conversion.md": "examples=examples generated=voices/test references=voices/test "
                                "manifest.jsonl=named.jsonl singer.wav",
}  # fmt: skip
KIT = """
singerid demo
singerid manifest recordings.csv --corpus csv -o manifest.jsonl
singerid features manifest.jsonl -o store
singerid train store -o run
singerid embed store --encoder run -o run.parquet
singerid table run.parquet -o run_table.parquet
singerid calibrate run.parquet -o calibration.safetensors
singerid embed manifest.jsonl -o embeddings.parquet
singerid table embeddings.parquet -o table.parquet
singerid calibrate embeddings.parquet -o default_calibration.safetensors
singerid singers import embeddings.parquet --registry singers
singerid manifest audio/recordings.csv --corpus csv --select corpus=mir1k -o mir1k.jsonl
"""
SMALLER_EXAMPLES = (  # what is another number when a page is run
    ("conditioning.py", "n_steps=80", "n_steps=2"),
    ("sweep.py", '"steps": 1000', '"steps": 4, "train_iters": 2, "val_iters": 1'),
    ("sweep.py", "n_trials=int(n_trials)", "n_trials=int(n_trials) // 20"),
)
SINGERS = {"train": (0, 1, 2, 3), "valid": (24, 25, 26, 27), "test": (30, 31)}
"""Of the demo's, those in the kit, with two songs each."""
COLUMNS = ("path", "corpus", "kind", "singer", "gender", "song", "split")


@pytest.fixture(scope="session")
def kit(tmp_path_factory):
    """A folder of things that pages speak of, made once for all processes of the tests."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder, made = shared / "kit", shared / "kit_made"
    with filelock.FileLock(shared / "kit.lock"):
        if not made.exists():
            folder.mkdir()
            make_kit(folder)
            made.touch()
    return folder


def make_kit(folder):
    """The demo's results in `singerid_demo`, and what is made of few of its recordings."""
    shell = Shell(folder, {})
    demo, *commands = KIT.strip().splitlines()
    shell.run(code(demo))
    songs = folder / "singerid_demo" / "audio"
    of = songs_of(songs, range(2))
    for singer, paths in of.items():
        for path in paths:
            at = folder / "voices" / path.parts[-3] / singer / path.name
            at.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, at)
    write_table(folder / "recordings.csv", rows(of, "virtual", "singing"))
    audio = folder / "audio"
    audio.mkdir()
    people = list(of)
    others, spoken = songs_of(songs, range(2, 4)), songs_of(songs, range(4, 6))
    write_table(audio / "recordings.csv", [
        *rows({s: of[s] for s in people[:8]}, "mir1k", "singing"),
        *rows({s: others[s] for s in people[4:]}, "ravdess_song", "singing"),
        *rows({s: spoken[s] for s in people[:6]}, "librispeech", "speech"),
    ])  # fmt: skip
    for split, singers in (("train", people[:2]), ("val", people[4:6])):
        for singer in singers:
            for path in of[singer]:
                at = audio / "damp_examples" / split / singer / f"{singer}_{path.stem[-2:]}.m4a"
                at.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, at)
    shutil.copytree(ROOT / "examples", folder / "examples")
    for example, old, new in SMALLER_EXAMPLES:
        text = (folder / "examples" / example).read_text("utf-8")
        assert text.count(old) == 1, f"{example} has no {old}"
        (folder / "examples" / example).write_text(text.replace(old, new), "utf-8")
    shell.run(code("\n".join(commands)))
    every = read_recordings(folder / "manifest.jsonl")
    first = [r for r in every if r.labels["song"] == "song_00"]
    first[0] = replace(first[0], singer="librispeech:3807")
    write_recordings(folder / "first_songs.jsonl", first)
    called = dict(zip(dict.fromkeys(r.singer for r in every), ("alice", "bob"), strict=False))
    named = [replace(r, singer=called.get(r.singer, r.singer)) for r in every]
    write_recordings(folder / "named.jsonl", named)
    shell.close()


def songs_of(folder, songs):
    """Paths of these songs of each singer of the kit."""
    return {
        f"v{n:03d}": [folder / split / f"v{n:03d}" / f"song_{k:02d}.flac" for k in songs]
        for split, numbers in SINGERS.items()
        for n in numbers
    }


def code(lines):
    return Block("the kit", 1, SHELL, lines, "")


def rows(of, corpus, kind):
    """Rows of a table of recordings: `of` holds the paths of each singer."""
    return [
        (path, corpus, kind, f"{corpus}:{singer}", "FM"[int(singer[1:]) % 2], path.stem,
         path.parts[-3])
        for singer, paths in of.items()
        for path in paths
    ]  # fmt: skip


def write_table(path, lines):
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *lines])


def lay_out(page, folder, kit):
    """What the page finds: things of the kit, and recordings, of as many singers as stems."""
    things = PREPARED.get(page, "").split()
    stems = list(dict.fromkeys(stem(thing) for thing in things if "=" not in thing))
    singers = sorted((kit / "singerid_demo/audio/train").iterdir())
    for thing in things:
        at, _, of = thing.partition("=")
        place = folder / at
        place.parent.mkdir(parents=True, exist_ok=True)
        if of and (kit / of).is_dir():
            shutil.copytree(kit / of, place)
        elif of:
            shutil.copyfile(kit / of, place)
        else:
            number = int(re.search(r"\d*$", Path(at).stem)[0] or 1) - 1
            source = singers[stems.index(stem(at))] / f"song_{number:02d}.flac"
            samples, rate = soundfile.read(source, dtype="float32")
            soundfile.write(place, samples, rate)


def stem(name):
    return re.sub(r"\d*$", "", Path(name).stem)


def in_home(page, home, kit):
    """What a page finds in the user's own folder."""
    if page == "docs/segments.md":
        shutil.copytree(kit / "singers", home / "singers")
    if page == "docs/corpora.md":
        for n, singer in enumerate(("female1", "male1")):
            for technique in ("belt", "straight", "vibrato"):
                name = f"{singer[0]}1_scales_{technique}_a.wav"
                at = home / "data/VocalSet" / singer / "scales" / technique / name
                at.parent.mkdir(parents=True)
                path = sorted((kit / "voices/train").iterdir())[n] / "song_00.flac"
                soundfile.write(at, *soundfile.read(path, dtype="int16"))


@contextmanager
def inside(folder, variables):
    """The working folder and variables of the process, as in the page's shell."""
    before, was = Path.cwd(), dict(os.environ)
    os.chdir(folder)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.chdir(before)
        os.environ.clear()
        os.environ.update(was)


@pytest.mark.parametrize("page", RUN, ids=name)
def test_every_block_of_a_page_runs(page, tmp_path, kit, capsys):
    folder = tmp_path / "page"
    folder.mkdir()
    lay_out(name(page), folder, kit)
    shell = Shell(folder, {"DEMO": str(kit / "singerid_demo"), "AUDIO": str(kit / "audio")})
    in_home(name(page), Path(shell.environment["HOME"]), kit)
    names = {}
    try:
        for block in blocks(page):
            if block.reason:
                continue
            if block.language == SHELL:
                shell.run(block)
            elif block.language == PYTHON:
                smaller = PYTHON_STEPS.sub("n_steps = 2", block.code)
                with inside(folder, shell.variables):
                    exec(compile(smaller, str(block), "exec"), names)
    finally:
        shell.close()


def test_what_is_prepared_is_for_a_page():
    assert set(PREPARED) <= {name(page) for page in RUN}
