"""Every block of docs/python.md, run in turn in one folder of virtual singing."""

import re
import shutil
from pathlib import Path

import pytest
import soundfile

from singerid import hub
from singerid.records import write_recordings

PAGE = Path(__file__).resolve().parents[1] / "docs" / "python.md"
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path, recordings, store, monkeypatch):
    """What the page speaks of: a.wav, b.flac, two singers' folders, a manifest, a store."""
    monkeypatch.chdir(tmp_path)
    songs = [soundfile.read(r.path, dtype="float32") for r in recordings[:4]]
    places = ("anna/1.wav", "anna/2.wav", "ben/1.wav", "ben/2.wav", "a.wav", "b.flac")
    for place, (samples, rate) in zip(places, [*songs, songs[0], songs[2]], strict=True):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        soundfile.write(tmp_path / place, samples[: 5 * rate], rate)
    write_recordings(tmp_path / "manifest.jsonl", recordings[:3])
    shutil.copytree(store.path, tmp_path / "store")
    return tmp_path


def test_every_block_runs(folder, monkeypatch, capsys):
    pytest.importorskip("huggingface_hub")
    pushed = {}
    monkeypatch.setattr(hub, "push", lambda name, files, *rest: pushed.update({name: files}))
    monkeypatch.setattr(hub, "fetch", lambda name, *rest: pushed[name][hub.MODEL])
    assert {language for language, _ in BLOCKS} == {"python"}
    assert len(BLOCKS) >= 9
    names = {}
    for number, (_, code) in enumerate(BLOCKS):
        exec(compile(code, f"{PAGE.name}, block {number}", "exec"), names)
    said = capsys.readouterr().out.splitlines()
    dim = names["encoder"].dim
    assert said[:2] == [
        f"a.wav ({dim},)", "lost.wav: cannot be opened; found No such file or directory"
    ]  # fmt: skip
    assert re.fullmatch(r"0.0 to 5.0 s, [5-9]\d% voice", said[2])
    assert 0 < names["probability"] < 1
    assert names["score"] < 1
    assert names["failures"] == []
    assert len(names["table"].singers) == 2
    assert names["partials"].shape[1:] == (128, 80)
    assert list(pushed) == ["user/name"]
