"""ONNX models with a declared front end: numbers by hand, every mismatch named before the work."""

import dataclasses

import numpy as np
import pytest
import soundfile
import yaml

from singerid.embeddings import mean_direction
from singerid.errors import (
    AudioError,
    BatchError,
    CheckpointError,
    SingeridError,
)
from singerid.external import load_embedder
from singerid.external.onnx_file import OnnxEncoder
from singerid.features import extract
from singerid.frames import tile_starts
from singerid.sections import EmbedSettings
from singerid.spec import FeatureSpec, MelSettings

onnx = pytest.importorskip("onnx")

DIM, FRAMES = 6, 50
SPEC = FeatureSpec(mel=MelSettings(n_mels=20))
WEIGHTS = np.random.default_rng(1).normal(size=(20, DIM)).astype(np.float32)
KERNEL = np.random.default_rng(2).normal(size=(DIM, 1, 16)).astype(np.float32)
FEATURES = {"input": "features", "sample_rate": 16000, "mel": {"n_mels": 20},
            "partial_frames": FRAMES}  # fmt: skip
WAVEFORM = {"input": "waveform", "sample_rate": 16000, "partial_seconds": 0.5}


def write(path, nodes, shape, constants, declaration, type="FLOAT", outputs=("y",), inputs=("x",)):
    """A model of these nodes from x to y, and its declaration."""
    helper, number = onnx.helper, getattr(onnx.TensorProto, type)
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info(name, number, shape) for name in inputs],
        [helper.make_tensor_value_info(name, number, None) for name in outputs],
        [onnx.numpy_helper.from_array(array, name) for name, array in constants.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    path.with_suffix(".yaml").write_text(yaml.safe_dump(declaration))
    return path


def mean_model(path, shape=("b", "t", "d"), axis=1, declaration=FEATURES, **more):
    """Mean over time, then a matrix: `(batch, frames, 20)` → `(batch, DIM)`."""
    node = onnx.helper.make_node
    nodes = [
        node("ReduceMean", ["x"], ["m"], axes=[axis], keepdims=0),
        node("MatMul", ["m", "w"], ["y"]),
    ]
    return write(path, nodes, shape, {"w": WEIGHTS}, declaration, **more)


def wave_model(path, shape=("b", "n"), declaration=WAVEFORM):
    """Loudness in DIM bands: `(batch, samples)` → `(batch, DIM)`."""
    node = onnx.helper.make_node
    first = ("Unsqueeze", ["x", "one"]) if len(shape) == 2 else ("Identity", ["x"])
    nodes = [
        node(*first, ["u"]),
        node("Conv", ["u", "k"], ["c"], strides=[8]), node("Abs", ["c"], ["a"]),
        node("ReduceMean", ["a"], ["y"], axes=[2], keepdims=0),
    ]  # fmt: skip
    constants = {"one": np.array([1]), "k": KERNEL}
    if len(shape) != 2:
        del constants["one"]
    return write(path, nodes, shape, constants, declaration)


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def by_hand(features, hop=FRAMES, length=FRAMES):
    starts = tile_starts(len(features), length, hop)
    return mean_direction(unit(np.array(
        [features[s : s + length].mean(axis=0) @ WEIGHTS for s in starts])))  # fmt: skip


def samples_of(recording):
    return soundfile.read(recording.path, dtype="float32")[0]


@pytest.mark.parametrize("n_processes", [1, 2])
def test_features_are_tiled_encoded_and_averaged(tmp_path, recordings, n_processes):
    encoder = load_embedder(mean_model(tmp_path / "m.onnx"))
    assert isinstance(encoder, OnnxEncoder)
    assert (encoder.sample_rate, encoder.dim) == (16000, DIM)
    found, failures = encoder.embed_recordings(recordings[:3], n_processes)
    assert failures == []
    assert found.encoder == encoder.fingerprint
    for row, recording in enumerate(recordings[:3]):
        features = extract(samples_of(recording), SPEC)
        np.testing.assert_allclose(found.vectors[row], by_hand(features), atol=1e-5)
        assert found.n_partials[row] == len(tile_starts(len(features), FRAMES, FRAMES))
        vector = encoder.embed(samples_of(recording), 16000)
        np.testing.assert_allclose(vector, found.vectors[row], atol=1e-6)
    assert np.abs(found.vectors[0] - found.vectors[1]).max() > 1e-3


@pytest.mark.parametrize(
    ("layout", "shape", "axis"),
    [
        (["batch", "dims", "frames"], ("b", 20, "t"), 2),
        (["batch", "frames", "dims"], (None, FRAMES, 20), 1),
        ([1, "frames", "dims"], (1, "t", "d"), 1),
        (["batch", 1, "dims", "frames"], ("b", 1, 20, "t"), 3),
    ],
)
def test_layouts_give_the_same_vectors(tmp_path, recordings, layout, shape, axis):
    expected = OnnxEncoder(mean_model(tmp_path / "m.onnx"))
    path = mean_model(tmp_path / "l.onnx", shape, axis, FEATURES | {"layout": layout})
    encoder = OnnxEncoder(path)
    samples = samples_of(recordings[0])
    np.testing.assert_allclose(
        encoder.embed(samples, 16000), expected.embed(samples, 16000), atol=1e-6
    )


@pytest.mark.parametrize("shape", [("b", "n"), ("b", 1, "n")])
def test_waveforms_are_tiled(tmp_path, recordings, shape):
    layout = ["batch", *([1] if len(shape) == 3 else []), "samples"]
    path = wave_model(tmp_path / "w.onnx", shape, WAVEFORM | {"layout": layout, "overlap": 0.5})
    encoder = OnnxEncoder(path, EmbedSettings(overlap=0.9))  # the declaration goes before
    samples = samples_of(recordings[0])
    rows = []
    for start in tile_starts(len(samples), 8000, 4000):
        windows = np.lib.stride_tricks.sliding_window_view(samples[start : start + 8000], 16)[::8]
        rows.append(np.abs(windows @ KERNEL[:, 0].T).mean(axis=0))
    expected = mean_direction(unit(np.array(rows)))
    np.testing.assert_allclose(encoder.embed(samples, 16000), expected, atol=1e-5)
    found, _ = encoder.embed_recordings(recordings[:2], 2)
    np.testing.assert_allclose(found.vectors[0], expected, atol=1e-5)
    assert found.n_partials[0] == len(rows)


def test_waveforms_level_and_pauses_are_what_the_declaration_says(tmp_path, recordings):
    quiet = 0.01 * samples_of(recordings[0])
    declared = WAVEFORM | {"audio": {"min_level_db": -20.0, "silence_db": -40.0}}
    encoder = OnnxEncoder(wave_model(tmp_path / "w.onnx", declaration=declared))
    frames = encoder.front_end.frames(np.concatenate([quiet, np.zeros(16000, np.float32)]))
    assert 10 * np.log10(np.mean(frames**2)) == pytest.approx(-20, abs=0.1)
    assert len(frames) < len(quiet) + 8000


@pytest.mark.parametrize("base", [FEATURES, WAVEFORM])
def test_whole_recordings_and_short_ones(tmp_path, recordings, base):
    whole = {k: v for k, v in base.items() if not k.startswith("partial")}
    make = mean_model if base is FEATURES else wave_model
    encoder = OnnxEncoder(make(tmp_path / "a.onnx", declaration=whole))
    samples = samples_of(recordings[0])
    short = OnnxEncoder(make(tmp_path / "b.onnx", declaration=base))
    assert encoder.fingerprint != short.fingerprint
    some, _ = encoder.embed_recordings(recordings[:2])
    assert list(some.n_partials) == [1, 1]
    np.testing.assert_allclose(some.vectors[0], encoder.embed(samples, 16000), atol=1e-6)
    if base is FEATURES:
        features = extract(samples, SPEC)
        expected = unit(features.mean(axis=0) @ WEIGHTS)
        np.testing.assert_allclose(some.vectors[0], expected, atol=1e-5)
        brief = samples[:8000]  # 32 frames: shorter than a partial, at its own length
        expected = unit(extract(brief, SPEC).mean(axis=0) @ WEIGHTS)
        np.testing.assert_allclose(short.embed(brief, 16000), expected, atol=1e-5)


def test_recording_shorter_than_a_fixed_model_is_named_and_the_rest_goes_on(tmp_path, recordings):
    encoder = OnnxEncoder(mean_model(tmp_path / "m.onnx", ("b", FRAMES, 20)))
    text, short = tmp_path / "text.wav", tmp_path / "short.wav"
    text.write_text("no audio at all")
    soundfile.write(short, samples_of(recordings[0])[:9600], 16000)
    bad = [dataclasses.replace(recordings[0], id=p.stem, path=str(p)) for p in (text, short)]
    seconds = []
    found, failures = encoder.embed_recordings([*bad, *recordings[:2]], 1, seconds.append)
    assert found.ids == [r.id for r in recordings[:2]]
    assert len(seconds) == 4
    assert "text.wav: is not audio" in str(failures[0])
    message = (
        "is shorter than the partials that the ONNX model is fixed to; found 0.61 s; expected at "
        "least 0.80 s"
    )
    assert str(failures[1]) == f"{short}: {message}"
    with pytest.raises(AudioError, match=message):
        encoder.embed(samples_of(recordings[0])[:9600], 16000)
    with pytest.raises(BatchError, match="all 2 recordings failed"):
        encoder.embed_recordings(bad)


def test_fingerprint_is_of_file_and_front_end(tmp_path):
    def of(declaration=FEATURES, **more):
        return OnnxEncoder(mean_model(tmp_path / "m.onnx", declaration=declaration, **more))

    expected = of().fingerprint
    assert expected.startswith("onnx-")
    for same in ({"name": "x"}, {"overlap": 0.5}, {"layout": ["batch", "frames", "dims"]}):
        assert of(FEATURES | same).fingerprint == expected
    changes = ({"partial_frames": 51}, {"mel": {"n_mels": 20, "fmin": 50}},
               {"audio": {"min_seconds": 1.0}}, {"layout": [1, "frames", "dims"]})  # fmt: skip
    found = {of(FEATURES | change).fingerprint for change in changes}
    found.add(of(shape=("b", "t", 20)).fingerprint)  # other bytes
    assert len(found | {expected}) == 6


def test_vector_that_is_not_finite_is_its_recordings_failure(tmp_path, recordings):
    """Log of the mean square above a threshold: not finite for quiet recordings only."""
    node = onnx.helper.make_node
    nodes = [
        node("Mul", ["x", "x"], ["s"]), node("ReduceMean", ["s"], ["m"], axes=[1], keepdims=1),
        node("Sub", ["m", "c"], ["d"]), node("Log", ["d"], ["l"]),
        node("Concat", ["l", "m"], ["y"], axis=1),
    ]  # fmt: skip
    path = write(tmp_path / "n.onnx", nodes, ("b", "n"), {"c": np.float32([1e-5])}, WAVEFORM)
    encoder = OnnxEncoder(path)
    quiet = tmp_path / "quiet.wav"
    soundfile.write(quiet, 1e-3 * samples_of(recordings[0]), 16000)
    mixed = [dataclasses.replace(recordings[0], id="q", path=str(quiet)), recordings[1]]
    found, failures = encoder.embed_recordings(mixed)
    assert found.ids == [recordings[1].id]
    assert str(failures[0]).startswith(f"{quiet}: an embedding has no direction")


@pytest.mark.parametrize(
    ("shape", "declaration", "message"),
    [
        (("b", "t"), {},
         r"found 2 axes \['b', 't'\]; expected 3 axes \['batch', 'frames', 'dims'\]"),
        (("b", "t", 20), {"mel": {"n_mels": 30}}, "found dims fixed to 20; expected 30"),
        (("b", 60, 20), {}, "found frames fixed to 60; expected 50"),
        (("b", 60, 20), {"partial_frames": None},
         "found frames fixed to 60; expected any number of frames; write partial_frames: 60"),
        ((1, "t", 20), {},
         "found batch fixed to 1; expected any number of batch; write 1 for batch in the layout"),
        ((4, "t", 20), {}, "found batch fixed to 4; expected any number of batch$"),
        ((4, "t", 20), {"layout": [1, "frames", "dims"]}, "found 1 fixed to 4; expected 1$"),
    ],
)  # fmt: skip
def test_shape_in_the_file_must_fit_the_declaration(tmp_path, shape, declaration, message):
    path = mean_model(tmp_path / "m.onnx", shape, declaration=FEATURES | declaration)
    with pytest.raises(CheckpointError, match=message) as caught:
        OnnxEncoder(path)
    assert str(caught.value).startswith(f"{path}: has another input than its declaration; found ")


def test_wave_model_of_fixed_length_needs_that_length(tmp_path):
    whole = {k: v for k, v in WAVEFORM.items() if k != "partial_seconds"}
    with pytest.raises(CheckpointError, match=r"samples fixed to 8000.*; write partial_seconds$"):
        OnnxEncoder(wave_model(tmp_path / "w.onnx", ("b", 8000), whole))
    assert OnnxEncoder(wave_model(tmp_path / "w.onnx", ("b", 8000))).dim == DIM


def test_input_that_does_not_run_is_named_before_the_work(tmp_path):
    """Nothing in the file says that the matrix needs 20 dims."""
    path = mean_model(tmp_path / "m.onnx", declaration=FEATURES | {"mel": {"n_mels": 21}})
    with pytest.raises(CheckpointError) as caught:
        OnnxEncoder(path)
    assert str(caught.value).startswith(f"{path}: does not run on its declared input; found ")
    assert str(caught.value).endswith("; expected a network for [batch, frames 50, dims 21]")


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (("Identity", ["x"], {}), r"gives no vector for each partial; found output \(2, 50, 20\); "
         r"expected \(2, dim\); check the layout in its declaration"),
        (("ReduceMean", ["x"], {"axes": [0, 1], "keepdims": 0}), r"found output \(20,\)"),
        (("ReduceMean", ["x"], {"axes": [0], "keepdims": 0}), r"found output \(50, 20\)"),
        (("RandomNormalLike", ["x"], {}), "gives no vector for each partial"),
    ],
)  # fmt: skip
def test_output_must_be_a_vector_for_each_partial(tmp_path, node, message):
    nodes = [onnx.helper.make_node(node[0], node[1], ["y"], **node[2])]
    with pytest.raises(CheckpointError, match=message):
        OnnxEncoder(write(tmp_path / "m.onnx", nodes, ("b", "t", "d"), {}, FEATURES))


def test_more_axes_of_length_one_are_no_matter(tmp_path, recordings):
    node = onnx.helper.make_node
    nodes = [
        node("ReduceMean", ["x"], ["m"], axes=[1], keepdims=1),
        node("MatMul", ["m", "w"], ["y"]),
    ]
    path = write(tmp_path / "m.onnx", nodes, ("b", "t", "d"), {"w": WEIGHTS}, FEATURES)
    found = OnnxEncoder(path).embed(samples_of(recordings[0]), 16000)
    expected = by_hand(extract(samples_of(recordings[0]), SPEC))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_networks_that_cannot_be_used_are_named(tmp_path):
    node = onnx.helper.make_node
    mean = node("ReduceMean", ["x"], ["m"], axes=[1], keepdims=0)
    noise = [mean, node("RandomNormalLike", ["m"], ["n"]), node("Add", ["m", "n"], ["y"])]
    shape, path = ("b", "t", "d"), tmp_path / "m.onnx"
    copy = node("Identity", ["m"], ["y"])
    undefined = [mean, node("Log", ["z"], ["l"]), node("Mul", ["m", "l"], ["y"])]
    cases = [
        ({"nodes": noise}, "gives two vectors for one input; export it in evaluation mode"),
        ({"nodes": undefined, "constants": {"z": np.float32([-1])}},
         "gives values that are not finite"),
        ({"nodes": [mean, copy], "outputs": ("y", "m")},
         "does not map one array to one; found inputs x; outputs y, m; expected one each"),
        ({"nodes": [mean, copy], "inputs": ("x", "lengths")},
         "does not map one array to one; found inputs x, lengths; outputs y"),
        ({"nodes": [mean, copy], "type": "DOUBLE"},
         r"takes another type of numbers; found tensor\(double\); expected float32"),
    ]  # fmt: skip
    for case, message in cases:
        case = {"constants": {}, **case}
        with pytest.raises(CheckpointError, match=f"^{path}: {message}"):
            OnnxEncoder(write(path, shape=shape, declaration=FEATURES, **case))


def test_weights_outside_the_file_are_refused(tmp_path, monkeypatch):
    """Else the fingerprint would not be that of the weights."""
    path = mean_model(tmp_path / "m.onnx")
    onnx.save_model(
        onnx.load(path), path, save_as_external_data=True, location="m.data", size_threshold=0
    )
    assert (tmp_path / "m.data").exists()
    monkeypatch.chdir(tmp_path)  # where onnxruntime would look for it
    with pytest.raises(CheckpointError, match=r"is not an ONNX model that onnxruntime can run.*"
                       "export it as one file$"):  # fmt: skip
        OnnxEncoder(path)


def test_files_that_cannot_be_read(tmp_path):
    path = mean_model(tmp_path / "m.onnx")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match=f"^{path}: is not an ONNX model"):
        OnnxEncoder(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(CheckpointError, match=f"^{path}: cannot be read; found Is a directory"):
        OnnxEncoder(path)
    path = mean_model(tmp_path / "n.onnx")
    path.with_suffix(".yaml").unlink()
    with pytest.raises(CheckpointError) as caught:
        OnnxEncoder(path)
    assert str(caught.value) == (
        f"{path}: lacks the declaration of its front end; expected n.yaml beside it"
    )


def test_failing_network_says_its_own_reason(tmp_path, recordings):
    """Without the codes of onnxruntime."""
    encoder = OnnxEncoder(mean_model(tmp_path / "m.onnx"))
    with pytest.raises(SingeridError, match=r"^the ONNX model fails; found ") as caught:
        encoder.encode(np.zeros((2, 50, 21), np.float32))
    assert "ONNXRuntimeError" not in str(caught.value)
