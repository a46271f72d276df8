"""Bad input in few cases; `benchmarks/fuzz.py` tries the many (docs/reliability.md)."""

import io
import pickle
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from singerid import audio
from singerid.checkpoint import load_encoder, load_weights_only
from singerid.config import ConfigErrors, read_config_file, resolve
from singerid.corpora import scan
from singerid.data import TrainingData
from singerid.embeddings import read_embeddings
from singerid.errors import CheckpointError, SingeridError
from singerid.foreign import read_foreign
from singerid.records import read_recordings
from singerid.registry import Registry, RegistryError
from singerid.robustness.files import read_robustness
from singerid.runtime import OnnxSingerEncoder
from singerid.scoring.calibration_file import read_calibration
from singerid.segment_files import read_segments
from singerid.store import Store
from singerid.store_check import check, repair
from singerid.table import read_table
from singerid.train import fit
from singerid.trials.files import read_trials
from singerid.trials.models import read_models
from singerid.voicebank.bank import VoiceBank

GOLDEN = Path(__file__).parent / "golden" / "0.1"
BENCHMARK = Path(__file__).parents[1] / "benchmarks" / "fuzz.py"
FEW = settings(
    max_examples=60, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip


def read_config(path):
    return resolve(read_config_file(path), path)


def read_store(path):
    store = Store(path.parent)
    for recording in store.recordings:
        store.check(recording.id)


READERS = {
    "manifest/manifest.jsonl": read_recordings,
    "configuration/config.yaml": read_config,
    "segments/song.json": read_segments,
    "rttm/song.rttm": read_segments,
    "labels/song.txt": read_segments,
    "trials/voxceleb.txt": read_trials,
    "models/models.txt": read_models,
    "robustness-report/robustness.json": lambda path: read_robustness(path.parent),
    "store/index.jsonl": read_store,
    "store/spec.json": read_store,
    "store/checksums.json": read_store,
    "bank/index.jsonl": lambda path: VoiceBank.open(path.parent),
    "calibration/calibration.safetensors": read_calibration,
    "embeddings/embeddings.parquet": read_embeddings,
    "table/table.parquet": read_table,
    "encoder/lstm.safetensors": load_encoder,
    "run/saved_model.pt": read_foreign,
}


def one_clear_line(error):
    lines = [str(problem) for problem in getattr(error, "problems", [error])]
    for line in lines:
        assert line.isprintable()
        assert len(line) < 2000
    return lines


def read_or_refused(read, path):
    """None, or the message; anything else is raised."""
    try:
        read(path)
    except SingeridError as error:
        return " ".join(one_clear_line(error))
    return None


@st.composite
def changes(draw):
    """How bytes are changed: where, how many are taken out, what comes in their place."""
    pieces = st.one_of(
        st.binary(max_size=8),
        st.sampled_from([
            b"\0", b"\n", b'"', b"[", b"{", b"[" * 3000, b"9" * 5000, b"1e999", b"NaN", b"null",
            b"-1", b"\x1b[31m", b"\xff\xff\xff\xff", b"\xed\xa0\x80", b"&a [*a]", b"%ff",
            b"\xe2\x80\xae",
        ]),
    )  # fmt: skip
    one = st.tuples(st.floats(0, 1), st.integers(0, 40), pieces)
    return draw(st.lists(one, min_size=1, max_size=4))


def changed(data, how):
    data = bytearray(data)
    for place, n, piece in how:
        at = int(place * len(data))
        data[at : at + n] = piece
    return bytes(data)


@pytest.mark.parametrize("name", READERS)
@FEW
@given(how=changes())
def test_changed_files_are_read_or_refused_in_one_line(tmp_path, name, how):
    folder = tmp_path / name.split("/")[0]
    if not folder.exists():
        shutil.copytree(GOLDEN / folder.name, folder)
    path = tmp_path / name
    path.write_bytes(changed((GOLDEN / name).read_bytes(), how))
    said = read_or_refused(READERS[name], path)
    assert said is None or path.name in said or str(folder) in said


@FEW
@given(
    start=st.sampled_from([
        b"RIFF\xff\xff\xff\xffWAVEfmt ", b"fLaC\0\0\0\x22", b"OggS\0\2", b"\xff\xfb\x90\x64",
        b"ID3\4\0\0", b"FORM\0\0\0\x20AIFFCOMM", b".snd\0\0\0\x18", b"caff\0\1\0\0",
        b"\0\0\0\x18ftypM4A ",
        b"\x1aE\xdf\xa3",
        b"riff.\x91\xcf\x11", b"RF64\xff\xff\xff\xffWAVEds64", b"#!AMR\n", b"0&\xb2u\x8ef\xcf\x11",
        b"NIST_1A\n   1024\n", b"Creative Voice File\x1a", b"TTA1\1\0", b"wvpk", b"",
    ]),
    rest=st.binary(max_size=300),
)  # fmt: skip
def test_bytes_that_begin_like_audio(tmp_path, start, rest):
    path = tmp_path / "song"
    path.write_bytes(start + rest)
    said = read_or_refused(lambda path: audio.load(path, 16000), path)
    assert said is None or str(path) in said


# ------------------------------------------------------------------------------- nothing executes


class Payload:
    """Makes a file when it is unpickled."""

    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        return type(self.canary).touch, (self.canary,)


def zipped(pickled):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/version", "3\n")
        archive.writestr("archive/byteorder", "little")
    return file.getvalue()


@pytest.mark.parametrize("wrap", [bytes, zipped])
@pytest.mark.parametrize("name", ["ckpt_3.ckpt", "saved_model.pt", "3000000-BL.ckpt"])
@pytest.mark.parametrize("inner", [False, True])
def test_pickled_programs_are_not_run(tmp_path, wrap, name, inner):
    payload = Payload(tmp_path / "canary")
    pickled = pickle.dumps({"model_state": payload} if inner else payload, 2)
    (tmp_path / name).write_bytes(wrap(pickled))
    for read in (read_foreign, load_weights_only):
        with pytest.raises(CheckpointError, match=f"{name}: cannot be loaded as plain") as caught:
            read(tmp_path / name)
        one_clear_line(caught.value)
    assert not payload.canary.exists()
    pickle.loads(pickled)
    assert payload.canary.exists()  # it would have been made


def test_yaml_makes_no_objects(tmp_path):
    canary = tmp_path / "canary"
    text = f"!!python/object/apply:os.system ['touch {canary}']"
    (tmp_path / "c.yaml").write_text(f"train: {text}")
    with pytest.raises(SingeridError, match="could not determine a constructor"):
        read_config_file(tmp_path / "c.yaml")
    assert not canary.exists()


# -------------------------------------------------------------------------------- nothing is huge


def test_lists_that_declare_more_than_there_is(tmp_path):
    shutil.copytree(GOLDEN / "store", tmp_path / "store")
    index = tmp_path / "store" / "index.jsonl"
    index.write_text(index.read_text().replace('"n_frames": ', '"n_frames": 1000000000', 1))
    with pytest.raises(SingeridError, match=r"features-00000.f32: shard is cut short"):
        read_store(index)
    found = check(tmp_path / "store")
    assert "recordings are lost" in str(found.findings[0])
    repair(tmp_path / "store")
    assert check(tmp_path / "store").n_recordings == found.n_recordings


FIELDS = [("store", name) for name in ("shard", "start", "n_frames", "crc32")]
FIELDS += [("bank", name) for name in ("start", "n_mel_frames", "median_f0", "level", "crc32")]


@pytest.mark.parametrize(("kind", "field"), FIELDS)
@pytest.mark.parametrize("value", ["null", '"1"', "[]", "NaN", "1" + "0" * 400])
def test_odd_numbers_in_an_index(tmp_path, kind, field, value):
    folder = shutil.copytree(GOLDEN / kind, tmp_path / kind)
    line, *rest = (folder / "index.jsonl").read_text().splitlines()
    start, _, end = line.partition(f'"{field}": ')
    line = f'{start}"{field}": {value}{end.lstrip("-.0123456789")}'
    (folder / "index.jsonl").write_text("\n".join([line, *rest, ""]))
    with pytest.raises(SingeridError, match=r"index.jsonl:1: index line is damaged"):
        {"store": Store, "bank": VoiceBank.open}[kind](folder)


def test_a_damaged_registry_is_one_line(tmp_path):
    folder = shutil.copytree(GOLDEN / "registry", tmp_path / "registry")
    (manifest,) = folder.glob("exemplars.lance/_versions/*.manifest")
    data = manifest.read_bytes()
    for bad in (data[:20], b"", data.replace(b"singerid.dim", b"singerid.dxm"),
                data.replace(b"singerid.encoder", b"singerid.encodes")):  # fmt: skip
        manifest.write_bytes(bad)
        with pytest.raises(RegistryError, match=str(folder)) as caught:
            Registry.open(folder).singers()
        one_clear_line(caught.value)


def test_an_exported_encoder_of_a_deep_header(tmp_path):
    model = (GOLDEN / "exported-encoder" / "encoder.onnx").read_bytes()
    entry = b"\x0a\x08singerid\x12\xa0\x8d\x06" + b"[" * 100_000
    (tmp_path / "e.onnx").write_bytes(model + b"\x72\xae\x8d\x06" + entry)
    with pytest.raises(CheckpointError, match=r"e.onnx: has a damaged header; found nested too"):
        OnnxSingerEncoder.load(tmp_path / "e.onnx")


# ------------------------------------------------------------------------------ names that attack


NAMES = ["=cmd|' /C calc'!A0", "../../x", "a\nb", "\x1b[31mred", "\u202eabc", "a\0b", "/etc/passwd"]


@pytest.mark.parametrize("name", NAMES)
def test_names_in_a_csv_stay_names(tmp_path, name):
    quoted = name.replace('"', '""')
    (tmp_path / "c.csv").write_text(f'path,singer\n"{quoted}","{quoted}"\n', newline="")
    found = scan("csv", tmp_path / "c.csv")
    for source in found.sources:
        assert source.singer == name
        said = read_or_refused(audio.probe, source.path)
        assert said is not None


def test_a_link_to_a_device_is_no_recording(tmp_path):
    (tmp_path / "endless.wav").symlink_to("/dev/zero")
    with pytest.raises(SingeridError, match=r"endless.wav: is a folder or a device, no file"):
        audio.load(tmp_path / "endless.wav", 16000)


def test_problems_of_a_configuration_are_one_line_each(tmp_path):
    (tmp_path / "c.yaml").write_text('"a\\n\\e[31m": 1\ntrain: {"x\\n": 1, steps: "\\e[1m"}\n')
    with pytest.raises(ConfigErrors) as caught:
        read_config(tmp_path / "c.yaml")
    assert len(one_clear_line(caught.value)) == 3


# --------------------------------------------------------------------------------------- the many


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="limits of Linux")
@pytest.mark.parametrize(
    "targets",
    [
        "manifest csv lhotse mirdata corpus_table trials scores models config declaration segments",
        "store store_check bank run registry embeddings table vectors calibration",
        "encoder foreign exported onnx torchscript hub", "http wire",
        "audio_wav audio_flac audio_ogg audio_mp3 audio_mp3bare audio_m4a audio_wma audio_caf",
    ],
)  # fmt: skip
def test_drawn_cases(targets):
    command = [sys.executable, str(BENCHMARK), *targets.split(), "--drawn", "--cases", "60"]
    done = subprocess.run([*command, "--seed", "1"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = [line.strip("| ").split(" | ") for line in done.stdout.splitlines()[2:]]
    assert len(rows) == len(targets.split())
    assert all((n, found) == ("60", "0") for _, n, _, _, found, _ in rows)


def test_the_benchmark_finds_what_it_should(tmp_path, monkeypatch):
    """Were it blind, the table of the documentation would be worth nothing."""
    monkeypatch.syspath_prepend(str(BENCHMARK.parent))
    import fuzz_child
    from fuzz_targets import Subject

    guard = fuzz_child.Guard(tmp_path, frozenset())

    def outcome(read, must_refuse=False):
        found = fuzz_child.outcome(Subject([], read), tmp_path / "x.txt", guard, must_refuse)
        return found if isinstance(found, str) else found["problem"]

    def refuse(message):
        def read(path):
            raise SingeridError(message, where=path)

        return read

    def unnamed(path):
        raise SingeridError("x")

    assert outcome(lambda path: None) == "read"
    assert outcome(lambda path: None, True) == "is read, and should not be"
    assert outcome(refuse("no")) == "refused"
    assert "does not name the file" in outcome(unnamed)
    assert "ZeroDivisionError" in outcome(lambda path: 1 // 0)
    assert "does os.system" in outcome(lambda path: __import__("os").system(":"))
    outside = tmp_path.parent / "elsewhere"
    assert f"does open {outside}" in outcome(lambda path: outside.write_bytes(b""))
    assert outcome(lambda path: (tmp_path / "y").write_bytes(b"")) == "read"
    assert fuzz_child.problem_of(SingeridError("a" * 400), ["x"]) is not None
    assert np.array_equal(*(fuzz_child.mutated(b"abc", [b"d"], [], np.random.default_rng(3))
                            for _ in range(2)))  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        {"state_dict": None}, {"singerid": []}, {"loops": {}}, {"callbacks": 1},
        {"steps_before": "x"}, {"optimizer_states": [{}]}, {"pytorch-lightning_version": None},
    ],
)  # fmt: skip
def test_a_checkpoint_of_another_state_is_not_gone_on_from(tmp_path, change):
    shutil.copytree(GOLDEN / "run", tmp_path / "run")
    shutil.copytree(GOLDEN / "store", tmp_path / "store")
    path = tmp_path / "run" / "ckpt_2.ckpt"
    torch.save(load_weights_only(path) | change, path)
    config = read_config(tmp_path / "run" / "config.yaml")
    config = config.model_copy(update={"train": config.train.model_copy(update={"steps": 3})})
    data = TrainingData.from_store(config, Store(tmp_path / "store"))
    with pytest.raises(CheckpointError, match=r"ckpt_2.ckpt: (holds no|cannot be gone)") as caught:
        fit(config, data, tmp_path / "run", resume=True, say=lambda line: None)
    one_clear_line(caught.value)
    assert not list((tmp_path / "run").glob("*3*"))
