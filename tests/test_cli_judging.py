"""Commands that judge: trials, evaluate of several, leaderboard, calibrate, verify, identify."""

import json
from dataclasses import replace

import numpy as np
import pytest

from singerid.embeddings import EmbeddingSet, read_embeddings, write_embeddings
from singerid.scoring.calibration_file import read_calibration, write_calibration
from singerid.table import build_table, write_table
from test_cli import call, done, refused
from test_evaluate import make


def saved(path, embeddings, encoder="encoder-1", seconds=8.0):
    made = EmbeddingSet(
        embeddings.ids, embeddings.singers, embeddings.vectors, encoder,
        [seconds] * len(embeddings), labels=embeddings.labels,
    )  # fmt: skip
    write_embeddings(path, made)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    at = tmp_path_factory.mktemp("judging")
    saved(at / "good.parquet", make(n_singers=20, noise=1))
    saved(at / "bad.parquet", make(n_singers=20, noise=3, seed=1), "encoder-2")
    return at


# trials


@pytest.mark.parametrize(
    ("format", "line"),
    [
        ("voxceleb", "1 recording%200 recording%201"),
        ("kaldi", "recording%200 recording%201 target"),
        ("speaker_pairs", "1,recording 0,recording 1"),
    ],
)
def test_trials_are_built_and_linted(folder, tmp_path, format, line):
    out = tmp_path / "trials.txt"
    source = folder / "good.parquet"
    result = done_or_warned("trials", "build", source, "-o", out, "--format", format)
    assert result.out[0] == f"{out}: 240 targets, 6,840 nontargets"
    assert line in out.read_text().splitlines()
    linted = done_or_warned("trials", "lint", out, folder / "good.parquet")
    assert linted.out[-1].startswith(f"{out}: 7,080 trials, 0 errors")


def done_or_warned(*arguments):
    result = call(*arguments)
    assert result.status == 0, result.err
    assert all(line.startswith("warning: ") for line in result.err)
    return result


def test_trials_of_a_manifest(manifest_jsonl, tmp_path):
    out = tmp_path / "trials.txt"
    result = call("trials", "build", manifest_jsonl, "-o", out, "--train", manifest_jsonl)
    assert result.status == 0
    assert "6 targets" in result.out[0]
    assert any("train" in line for line in [*result.out, *result.err] if "T1" in line)
    broken = tmp_path / "broken.txt"
    name = out.read_text().split()[1]
    broken.write_text(out.read_text() + f"1 {name} {name}\n")
    result = call("trials", "lint", broken, manifest_jsonl)
    assert result.status == 1
    assert "errors" in result.err[-1]


def test_models_of_several_recordings(folder, tmp_path):
    out = tmp_path / "trials.txt"
    result = done_or_warned(
        "trials", "build", folder / "good.parquet", "-o", out, "--trials.n_enroll", 2
    )
    assert "models of 2 recordings" in result.out[1]
    result = done_or_warned(
        "evaluate", folder / "good.parquet", "-o", tmp_path / "report", "--list", out,
        "--models", f"{out}.models", "--evaluate.n_bootstrap", 0,
    )  # fmt: skip
    assert (tmp_path / "report" / "models.txt").is_file()
    assert any(line.startswith("all") for line in result.out)


def test_trials_that_name_unknown_recordings(folder, tmp_path):
    trials = tmp_path / "trials.txt"
    trials.write_text("1 nobody recording%201\n0 recording%200 recording%201\n")
    result = call("evaluate", folder / "good.parquet", "-o", tmp_path / "r", "--list", trials)
    assert result.status == 1
    assert "nobody" in result.err[-1]
    assert not (tmp_path / "r").exists()


# evaluate, leaderboard


def test_two_encoders(folder, tmp_path):
    result = done_or_warned(
        "evaluate", folder / "good.parquet", folder / "bad.parquet", "-o", tmp_path / "r",
        "--evaluate.n_bootstrap", 100,
    )  # fmt: skip
    difference = next(line for line in result.out if line.startswith("all") and "points" in line)
    assert "bad" in difference
    assert "[+" in difference
    for name in ("good", "bad"):
        report = json.loads((tmp_path / "r" / name / "report.json").read_text())
        assert {d["b"] for d in report["comparison"]} == {"bad"}
        assert "good" in (tmp_path / "r" / name / "report.html").read_text()


def test_leaderboard(folder, tmp_path):
    out = tmp_path / "board.md"
    result = done_or_warned(
        "leaderboard", folder / "bad.parquet", folder / "good.parquet", "-o", out,
        "--evaluate.n_bootstrap", 50,
    )  # fmt: skip
    assert out.read_text().rstrip().splitlines() == result.out
    assert [line.split(" | ")[0] for line in result.out[2:]] == ["| good", "| bad"]
    assert json.loads(out.with_suffix(".json").read_text())["encoders"] == ["good", "bad"]


def test_wrong_labels_are_named(folder, tmp_path):
    refused(
        "no label 'vowel' to slice by; expected ", "evaluate", folder / "good.parquet", "-o",
        tmp_path / "r", "--evaluate.slices", "vowel",
    )  # fmt: skip
    result = call(
        "evaluate", folder / "good.parquet", "-o", tmp_path / "r", "--trials.cross", "vowel"
    )
    assert result.status == 1
    assert "vowel" in result.err[-1]


# calibrate, verify, identify


def test_calibrated_evaluation(folder, tmp_path):
    out = tmp_path / "calibration.safetensors"
    result = done("calibrate", folder / "good.parquet", "-o", out)
    assert result.out[-1] == f"{out}: for encoder encoder-1"
    assert read_calibration(out).encoder == "encoder-1"
    result = done_or_warned(
        "evaluate", folder / "good.parquet", "-o", tmp_path / "r", "--calibration", out,
        "--evaluate.n_bootstrap", 0,
    )  # fmt: skip
    assert any(line.startswith("calibration (same gender): Cllr 0.") for line in result.out)
    report = json.loads((tmp_path / "r" / "report.json").read_text())
    assert 0 < report["calibration"]["cllr"] < 1
    refused(
        "the calibration is another encoder's", "evaluate", folder / "bad.parquet", "-o",
        tmp_path / "r2", "--calibration", out,
    )  # fmt: skip


@pytest.fixture(scope="module")
def voices(recordings, tmp_path_factory):
    """Embeddings of the virtual corpus by an encoder that needs no training, its calibration."""
    at = tmp_path_factory.mktemp("voices")
    from singerid.external.onnx_file import OnnxEncoder  # noqa: F401  (onnxruntime is there)

    make_encoder(at)
    done(
        "embed",
        *[r.path for r in recordings],
        "--encoder",
        at / "level.onnx",
        "-o",
        at / "e.parquet",
    )
    found = read_embeddings(at / "e.parquet")
    named = EmbeddingSet(
        found.ids, [r.singer for r in recordings], found.vectors, found.encoder, found.seconds
    )
    write_table(at / "table.parquet", build_table(named))
    rng = np.random.default_rng(0)
    vectors = np.concatenate([named.vectors + 0.05 * rng.normal(size=named.vectors.shape)
                              for _ in range(8)])  # fmt: skip
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    many = EmbeddingSet(
        [str(i) for i in range(len(vectors))], [*named.singers] * 8, vectors.astype(np.float32),
        named.encoder, [8.0] * len(vectors),
    )  # fmt: skip
    write_embeddings(at / "dev.parquet", many)
    done("calibrate", at / "dev.parquet", "-o", at / "calibration.safetensors")
    return at


def make_encoder(at):
    """Mean of each mel band: the simplest encoder that tells voices apart a little."""
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper

    axes = helper.make_tensor("axes", TensorProto.INT64, [1], [1])
    graph = helper.make_graph(
        [helper.make_node("ReduceMean", ["x", "axes"], ["y"], keepdims=0)], "mean",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", "frames", 80])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 80])], [axes],
    )  # fmt: skip
    opset = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), at / "level.onnx")
    (at / "level.yaml").write_text(
        "input: features\nsample_rate: 16000\nlayout: [batch, frames, dims]\npartial_frames: 64\n"
    )


def test_verify(voices, recordings):
    files = [recordings[0].path, recordings[1].path]
    assert recordings[0].singer == recordings[1].singer
    result = done("verify", *files, "--encoder", voices / "level.onnx")
    assert "threshold" in result.out[0]
    assert "probability of the same singer" in result.out[0]
    answer = json.loads(done("verify", *files, "--encoder", voices / "level.onnx", "--json").out[0])
    assert answer["files"] == files
    assert -1 <= answer["score"] <= 1
    assert answer["probability"] == pytest.approx(1 / (1 + np.exp(-answer["llr"])), abs=1e-4)
    rare = json.loads(
        done(
            "verify", *files, "--encoder", voices / "level.onnx", "--json", "--prior", 0.01
        ).out[0]
    )  # fmt: skip
    assert rare["llr"] == answer["llr"]
    assert rare["probability"] < answer["probability"]


def test_verify_without_a_calibration_says_so(voices, recordings, tmp_path):
    make_encoder(tmp_path)
    files = [recordings[0].path, recordings[4].path]
    result = call("verify", *files, "--encoder", tmp_path / "level.onnx")
    assert result.status == 0
    assert result.out[0].startswith("score ")
    assert result.err == ["warning: no calibration, so a score only; fit one: singerid calibrate"]
    refused(
        "prior out of range; found 1.0", "verify", *files, "--encoder",
        tmp_path / "level.onnx", "--prior", 1,
    )  # fmt: skip
    refused(
        "no threshold for this false alarm rate; found 0.3", "verify", *files, "--encoder",
        voices / "level.onnx", "--false-alarm", 0.3,
    )  # fmt: skip


def test_verify_says_where_no_threshold_was_measured(voices, recordings, tmp_path):
    known = read_calibration(voices / "calibration.safetensors")
    line = replace(known.overall, thresholds=((0.01, None),))
    unmeasured = replace(known, overall=line, classes=(line,) * len(known.classes))
    write_calibration(tmp_path / "c.safetensors", unmeasured)
    files = [recordings[0].path, recordings[1].path]
    options = ["--encoder", voices / "level.onnx", "--calibration", tmp_path / "c.safetensors"]
    result = done("verify", *files, *options)
    assert ", threshold for 1 % false alarms never measured; " in result.out[0]


def test_identify_goes_on_after_a_bad_file(voices, recordings, tmp_path):
    (tmp_path / "text.wav").write_text("no sound")
    files = [tmp_path / "text.wav", recordings[0].path, recordings[4].path]
    result = call("identify", voices / "table.parquet", *files, "--encoder", voices / "level.onnx")
    assert result.status == 1
    assert [line for line in result.out if line.startswith("  1. ")]
    assert sum(not line.startswith("  ") for line in result.out) == 2
    assert "text.wav" in result.errors[0]
    assert result.errors[-1] == "error: 1 of 3 files failed, the rest is done"


def test_identify_as_json(voices, recordings):
    result = done(
        "identify", voices / "table.parquet", recordings[0].path, "--encoder",
        voices / "level.onnx", "--json", "--top", 2,
    )  # fmt: skip
    answer = json.loads(result.out[0])
    assert len(answer["candidates"]) == 2
    scores = [candidate["score"] for candidate in answer["candidates"]]
    assert scores == sorted(scores, reverse=True)
    assert answer["singer"] in (None, answer["candidates"][0]["singer"])


def test_a_table_of_another_encoder_is_refused(voices, recordings, folder, tmp_path):
    write_table(tmp_path / "t.parquet", build_table(read_embeddings(folder / "good.parquet")))
    refused(
        "vectors of two different encoders cannot be compared", "identify",
        tmp_path / "t.parquet", recordings[0].path, "--encoder", voices / "level.onnx",
    )  # fmt: skip


def test_imported_vectors(tmp_path):
    (tmp_path / "v.csv").write_text("id,singer,e0,e1\na,x,1,0\nb,y,0,2\nc,y,0,0\n")
    result = call("import", tmp_path / "v.csv", "-o", tmp_path / "e.parquet", "--name", "theirs")
    assert result.status == 1
    assert len(result.errors) == 2
    found = read_embeddings(tmp_path / "e.parquet")
    assert list(found.ids) == ["a", "b"]
    assert found.encoder.startswith("external:theirs:")
