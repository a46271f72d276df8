"""Commands beyond the main job: other weights, features on the fly, WORLD, tiny and validate."""

import contextlib
import io
import json
import sys

import numpy as np
import pytest
import soundfile
import torch

from singerid import run
from singerid.checkpoint import load_encoder, load_weights_only
from singerid.cli import main
from singerid.embeddings import read_embeddings
from singerid.records import read_recordings

NET = [
    "--preset", "original", "--encoder.hidden_size", "16", "--encoder.n_layers", "1",
    "--encoder.dim", "8",
]  # fmt: skip
SMALL = [
    "--batch.n_singers", "2", "--batch.n_partials", "2", "--batch.partial_frames", "32",
    "--train.train_iters", "2", "--train.val_iters", "1", "--train.precision", "32",
    "--train.steps", "4", "--train.learning_rate", "1e-2",
]  # fmt: skip


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(run, "save_input_pictures", lambda *a: None)
    torch.set_num_threads(1)


def call(*arguments):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main([str(argument) for argument in arguments])
    return status, out.getvalue().splitlines(), err.getvalue().splitlines()


def done(*arguments):
    status, out, err = call(*arguments)
    assert (status, err) == (0, [])
    return out


def refused(message, *arguments):
    status, _, err = call(*arguments)
    assert status == 1
    assert len(err) == 1
    assert message in err[0]


@pytest.fixture(scope="module")
def trained(store, tmp_path_factory):
    """A finished run on the stored features."""
    path = tmp_path_factory.mktemp("trained") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "save_input_pictures", lambda *a: None)
        done("train", store.path, "-o", path, *NET, *SMALL)
    return path


def test_a_new_run_starts_from_the_weights_of_an_old_one(trained, store, tmp_path):
    """With a vanishing learning rate it keeps them; only the sizes of its own are ignored."""
    file = trained / "encoder.safetensors"
    still = [*SMALL[:-1], "1e-12"]
    out = done("train", store.path, "-o", tmp_path / "new", "--init", file, *still)
    assert "steps 0 to 4" in " ".join(out)
    old, new = load_encoder(trained), load_encoder(tmp_path / "new")
    assert new.settings == old.settings
    for name, tensor in old.encoder.state_dict().items():
        torch.testing.assert_close(new.encoder.state_dict()[name], tensor, atol=1e-9, rtol=0)


def test_steps_can_be_counted_on(trained, store, tmp_path):
    file, path = trained / "encoder.safetensors", tmp_path / "on"
    step = load_encoder(trained).provenance["step"]
    more = [*SMALL, "--train.steps", step + 3]
    out = done("train", store.path, "-o", path, "--init", file, "--keep-step", *more)
    assert f"steps {step} to {step + 3}" in " ".join(out)
    assert out[-1].startswith(f"{path}: ended at step {step + 3}, reached the step limit")
    steps = [json.loads(line)["step"] for line in (path / "log.jsonl").open()]
    assert min(steps) > step
    assert max(steps) == step + 3
    out = done("train", "--resume", path, "--train.steps", step + 6)
    assert out[-1].startswith(f"{path}: ended at step {step + 6}")


def test_weights_of_another_front_end_are_refused(trained, corpus_csv, tmp_path):
    done("manifest", corpus_csv, "--corpus", "csv", "-o", tmp_path / "m.jsonl", "--tiny")
    done("features", tmp_path / "m.jsonl", "-o", tmp_path / "s", "--mel.fmin", 50)
    refused(
        "weights and data have different feature specs", "train", tmp_path / "s",
        "-o", tmp_path / "r", "--init", trained / "encoder.safetensors", *SMALL,
    )  # fmt: skip
    done("features", tmp_path / "m.jsonl", "-o", tmp_path / "t",
         "--encoder", trained / "encoder.safetensors")  # fmt: skip


def test_weights_of_autovc_become_an_encoder(store, tmp_path):
    lstm, linear = torch.nn.LSTM(80, 12, 2), torch.nn.Linear(12, 6)
    state = {f"module.lstm.{k}": v for k, v in lstm.state_dict().items()}
    state |= {f"module.embedding.{k}": v for k, v in linear.state_dict().items()}
    torch.save({"model_b": state}, tmp_path / "autovc.ckpt")
    file = tmp_path / "encoder.safetensors"
    out = done("import", tmp_path / "autovc.ckpt", "-o", file)
    assert out == [f"{file}: encoder {load_encoder(file).fingerprint}"]
    done("embed", store.path, "--encoder", file, "-o", tmp_path / "e.parquet")
    vectors = read_embeddings(tmp_path / "e.parquet").vectors
    assert vectors.shape == (12, 6)
    assert (vectors < 0).any()  # no ReLU


def test_import_names_what_is_wrong(tmp_path):
    torch.save({"model_b": {"module.lstm.weight_ih_l0": torch.zeros(4, 80)}}, tmp_path / "x.ckpt")
    refused("x.ckpt: ", "import", tmp_path / "x.ckpt", "-o", tmp_path / "e.safetensors")
    assert not (tmp_path / "e.safetensors").exists()


def test_validation_only_changes_nothing(trained):
    before = {path.name: path.stat().st_mtime_ns for path in trained.glob("*.*")}
    out = done("train", "--resume", trained, "--validate")
    last = [json.loads(line) for line in (trained / "log.jsonl").open()][-1]
    line = next(line for line in out if line.startswith("step      4  valid"))
    assert f"ge2e {last['ge2e_loss']:.4f}" in line
    after = {path.name: path.stat().st_mtime_ns for path in trained.glob("*.*")}
    assert {name: after[name] for name in before if "events" not in name} == {
        name: time for name, time in before.items() if "events" not in name
    }


@pytest.mark.parametrize("augmented", [True, False])
def test_features_on_the_fly_train_like_stored_ones(manifest_jsonl, trained, tmp_path, augmented):
    off = ["--augment.noise_probability", 0, "--augment.eq_probability", 0]
    path = tmp_path / "run"
    done("train", manifest_jsonl, "-o", path, *NET, *SMALL, *([] if augmented else off))
    stored, streamed = (
        [json.loads(line) for line in (p / "log.jsonl").open()] for p in (trained, path)
    )
    gaps = [abs(a["ge2e_loss"] - b["ge2e_loss"]) for a, b in zip(stored, streamed, strict=True)]
    assert max(gaps) < 1e-2 if not augmented else max(gaps) > 1e-4
    done("train", "--resume", path, "--train.steps", 6)
    assert load_weights_only(run.latest_checkpoint(path))["global_step"] == 6


def test_tiny_takes_a_handful(corpus_csv, tmp_path):
    done("manifest", corpus_csv, "--corpus", "csv", "-o", tmp_path / "m.jsonl", "--tiny")
    assert len(read_recordings(tmp_path / "m.jsonl")) == 12  # 3 splits × 2 singers × 2 songs
    done("features", tmp_path / "m.jsonl", "-o", tmp_path / "s")
    done("train", tmp_path / "s", "-o", tmp_path / "r", "--preset", "tiny")
    assert (tmp_path / "r" / "encoder.safetensors").exists()


def test_sizes_from_the_corpus(store, tmp_path):
    out = done("train", store.path, "-o", tmp_path / "r", *NET, *SMALL, "--train.iters", "auto")
    assert [line.split(":")[0] for line in out[:2]] == ["cycle train", "cycle valid"]
    assert "recordings × " in out[0]


def test_world_features_from_store_to_audio_and_vectors(manifest_jsonl, tmp_path):
    pytest.importorskip("pyworld")
    lines = manifest_jsonl.read_text().splitlines(keepends=True)
    picked = [line for line in lines if "/song_00" in line]
    (tmp_path / "m.jsonl").write_text("".join(picked))
    store = tmp_path / "world"
    done("features", tmp_path / "m.jsonl", "-o", store, "-ft", "world", "-pc", "true",
         "--workers", 1)  # fmt: skip
    done("train", store, "-o", tmp_path / "r", *NET, *SMALL, "-nm", "feature")
    done("embed", store, "--encoder", tmp_path / "r", "-o", tmp_path / "e.parquet")
    recording = read_recordings(tmp_path / "m.jsonl")[0]
    done("embed", recording.path, "--encoder", tmp_path / "r", "-o", tmp_path / "f.parquet")
    stored, direct = (read_embeddings(tmp_path / f"{n}.parquet").vectors[0] for n in "ef")
    assert float(stored @ direct) > 0.9999
    done("resynthesize", store, "--id", recording.id, "-o", tmp_path / "x.wav")
    samples, rate = soundfile.read(tmp_path / "x.wav")
    assert rate == 16_000
    assert abs(len(samples) / rate - recording.duration) < 0.02
    assert np.abs(samples).max() > 0.05


def test_mel_cannot_be_resynthesized(store, tmp_path):
    refused("holds no WORLD features", "resynthesize", store.path, "-o", tmp_path / "x.wav")


def test_random_crops_are_seeded_and_others_than_tiles(trained, store, tmp_path):
    def vectors(name, *settings):
        file = tmp_path / f"{name}.parquet"
        done("embed", store.path, "--encoder", trained, "-o", file, *settings)
        return read_embeddings(file)

    a = vectors("a", "--embed.crops", 5)
    assert set(a.n_partials) == {5}
    np.testing.assert_array_equal(a.vectors, vectors("b", "--embed.crops", 5).vectors)
    assert not np.array_equal(
        a.vectors, vectors("c", "--embed.crops", 5, "--embed.seed", 1).vectors
    )
    assert not np.array_equal(a.vectors, vectors("d").vectors)


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("umap", "umap-learn is not installed; install it with: pip install 'singerid[umap]'"),
        (
            "openTSNE",
            "openTSNE is not installed; install it with: pip install 'singerid[opentsne]'",
        ),
    ],
)
def test_missing_map_maker_is_named(module, line, trained, store, tmp_path, monkeypatch):
    done("embed", store.path, "--encoder", trained, "-o", tmp_path / "e.parquet")
    monkeypatch.setitem(sys.modules, module, None)
    refused(
        line, "plot", tmp_path / "e.parquet", "-o", tmp_path / "m.png", "--plot.method",
        module.lower(),
    )  # fmt: skip


def test_a_run_is_trained_by_one_process_at_a_time(trained, store):
    with run.locked(trained):
        refused("is being trained by another process", "train", "--resume", trained,
                "--train.steps", 8)  # fmt: skip
        refused("is being trained by another process", "train", store.path, "-o", trained,
                "--overwrite", *NET, *SMALL)  # fmt: skip
    assert (trained / "encoder.safetensors").exists()


def test_damaged_frames_are_made_again(manifest_jsonl, tmp_path):
    store = tmp_path / "store"
    done("features", manifest_jsonl, "-o", store)
    shard = store / "features-00000.f32"
    whole = bytearray(shard.read_bytes())
    whole[5000] ^= 0xFF
    shard.write_bytes(whole)
    status, out, err = call("features", manifest_jsonl, "-o", store)
    assert (status, len(err)) == (0, 1)
    assert "frames do not match their checksum; found recording" in err[0]
    assert err[0].endswith("; made again")
    assert "1 recordings extracted, 11 were there" in out[0]
    assert (
        "0 recordings extracted, 12 were there" in done("features", manifest_jsonl, "-o", store)[0]
    )


def test_export(tmp_path):
    """A run becomes one file, which `--encoder` takes, with its calibration inside."""
    from singerid.checkpoint import save_encoder
    from singerid.encoder_graph import parse_header
    from singerid.encoders import build_encoder
    from singerid.scoring.calibration import Calibration, Line
    from singerid.scoring.calibration_file import write_calibration
    from singerid.scoring.scorer import Scorer
    from singerid.spec import FeatureSpec
    from singerid.training_sections import EncoderSettings

    pytest.importorskip("onnx")
    settings = EncoderSettings(kind="lstm", hidden_size=8, n_layers=1, dim=4)
    folder = tmp_path / "my-run"
    folder.mkdir()
    weights = build_encoder(settings, 80).state_dict()
    fingerprint = save_encoder(
        folder / "encoder.safetensors", weights, settings, FeatureSpec(), 32, {}
    )
    path = tmp_path / "e.onnx"
    out = done("export", folder, "-o", path)
    assert out[0].startswith(f"{path}: encoder {fingerprint}, 2.")
    assert out[0].endswith(f" of those of {folder}")
    header = parse_header(path.read_bytes(), path)
    assert (header.name, header.calibration_bytes) == ("my-run", None)

    calibration, line = tmp_path / "c.safetensors", Line(1.0, 0.0, (), 9, 9, 3)
    for encoder in ("another", fingerprint):
        write_calibration(calibration, Calibration(encoder, Scorer(), line, (), (line,)))
        if encoder == "another":
            message = f"{calibration}: is of another encoder; found another; expected {fingerprint}"
            refused(message, "export", folder, "-o", path, "--calibration", calibration)
    done("export", folder / "encoder.safetensors", "-o", path, "--calibration", calibration,
         "--name", "mine")  # fmt: skip
    header = parse_header(path.read_bytes(), path)
    assert (header.name, header.calibration_bytes) == ("mine", calibration.read_bytes())
    refused("e.pt: exported encoders end in .onnx", "export", folder, "-o", tmp_path / "e.pt")
