"""A voice bank from audio, and a training that lets its voices sing."""

import pytest

from singerid.voicebank.bank import VoiceBank
from test_cli import SMALL, call, done, refused


@pytest.fixture(scope="module")
def folder(manifest_jsonl, store, tmp_path_factory):
    pytest.importorskip("pyworld")
    at = tmp_path_factory.mktemp("voices")
    lines = manifest_jsonl.read_text().splitlines()
    first = [line for line in lines if "song_00" in line]
    (manifest_jsonl.parent / "first.jsonl").write_text("\n".join(first) + "\n")
    result = done(
        "voices", manifest_jsonl.parent / "first.jsonl", "-o", at / "bank", "--workers", 1
    )
    assert result.out == [
        f"{at}/bank: 6 recordings of 6 singers; 6 analyzed, 0 were there, 0 taken out"
    ]
    return at


def test_what_is_there_is_not_made_again(folder, manifest_jsonl):
    first = manifest_jsonl.parent / "first.jsonl"
    again = done("voices", first, "-o", folder / "bank", "--workers", 1)
    assert "0 analyzed, 6 were there" in again.out[0]
    bank = VoiceBank.open(folder / "bank")
    assert len(bank) == 6
    assert sorted(set(bank.splits)) == ["test", "train", "valid"]
    refused("order", "voices", first, "-o", folder / "bank", "--bank.order", 32)


def test_train_resume_and_validate_on_a_store(folder, store):
    run = folder / "run"
    settings = [*SMALL, "--resing.variants", 2, "--encoder.normalization", "level"]
    result = done(
        "train", folder / "bank", "-o", run, "--valid", store.path, "--train.steps", 2, *settings
    )
    assert any("4 training singers" in line for line in result.out)  # two, in two variants
    assert (run / "encoder.safetensors").is_file()
    resumed = call("train", "--resume", run, "--train.steps", 4)
    assert resumed.status == 1  # without the store that it is validated on
    assert "was made with other data" in resumed.err[-1]
    done("train", "--resume", run, "--valid", store.path, "--train.steps", 4)
    done("embed", store.path, "--encoder", run, "-o", folder / "e.parquet")


def test_its_voices_can_be_heard(folder):
    result = done("resing", folder / "bank", "-o", folder / "song.wav", "--singer", "virtual:v001",
                  "--seconds", 2)  # fmt: skip
    assert result.out[0].startswith(f"{folder}/song.wav: virtual:v001, variant 0, ")
    assert {path.suffix for path in folder.glob("song.*")} == {".wav", ".json", ".png"}
    refused("no singer 'virtual:v009'", "resing", folder / "bank", "-o", folder / "x.wav",
            "--singer", "virtual:v009")  # fmt: skip
    refused("is not a voice bank", "resing", folder, "-o", folder / "x.wav")
