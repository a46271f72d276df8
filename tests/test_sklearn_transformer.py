"""The encoder in pipelines of scikit-learn."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import soundfile
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import check_estimator

from singerid.errors import BatchError, CheckpointError, ConfigError, MismatchError
from singerid.singer_encoder import SingerEncoder
from singerid.sklearn_transformer import SingerEmbedding


@pytest.fixture(scope="module")
def path(small_encoder):
    return str(small_encoder / "e.onnx")


@pytest.fixture(scope="module")
def files(recordings):
    return [r.path for r in recordings[:6]]


@pytest.fixture(scope="module")
def expected(path, files):
    encoder = SingerEncoder.from_pretrained(path)
    return np.stack([encoder.embed_file(file) for file in files])


def test_paths_become_a_matrix(path, files, expected):
    for given in (files, [Path(file) for file in files], np.array(files)):
        found = SingerEmbedding(path).fit_transform(given)
        assert (found.dtype, found.shape) == (np.float32, (6, 8))
        np.testing.assert_allclose(found, expected, atol=1e-6)
    found = SingerEmbedding(path, n_jobs=-1).transform(files)  # there is nothing to fit
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_samples_become_a_matrix(path, files, expected):
    samples = [soundfile.read(file, dtype="float32")[0] for file in files]
    found = SingerEmbedding(path, sample_rate=16_000).fit_transform(samples)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    square = np.stack([s[:32_000] for s in samples[:2]])
    assert SingerEmbedding(path, sample_rate=16_000).transform(square).shape == (2, 8)
    with pytest.raises(ConfigError, match=r"^SingerEmbedding.sample_rate: is not set, though rec"):
        SingerEmbedding(path).fit_transform(samples)


def test_nothing_becomes_no_rows(path):
    assert SingerEmbedding(path).fit_transform([]).shape == (0, 8)


def test_in_a_pipeline(path, files, recordings):
    singers = [r.singer for r in recordings[:6]]
    pipeline = make_pipeline(SingerEmbedding(path), LogisticRegression(C=1e3))
    assert list(pipeline.fit(files, singers).predict(files)) == singers
    assert pipeline[:-1].get_feature_names_out().tolist() == [
        f"singerembedding{i}" for i in range(8)
    ]
    again = pickle.loads(pickle.dumps(pipeline))
    np.testing.assert_array_equal(again.predict_proba(files), pipeline.predict_proba(files))
    grid = {"singerembedding__min_voice": [0, 0.05]}
    search = GridSearchCV(pipeline, grid, cv=2, refit=False).fit(files[:4], [0, 0, 1, 1])
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_clones_and_parameters(path):
    made = SingerEmbedding(path, sample_rate=44_100, on_error="nan", n_jobs=2, min_voice=0.5)
    expected = {
        "encoder": path, "sample_rate": 44_100, "on_error": "nan", "n_jobs": 2, "min_voice": 0.5,
    }  # fmt: skip
    assert made.fit([]).get_params() == clone(made).get_params() == expected
    assert not hasattr(clone(made), "fingerprint_")
    for parameter, value in (("on_error", "zero"), ("n_jobs", 0)):
        with pytest.raises(ConfigError, match=rf"^{parameter}: un.* found {value}; expected "):
            SingerEmbedding(path, **{parameter: value}).fit([])
    with pytest.raises(CheckpointError, match=r"^gone.onnx"):
        SingerEmbedding("gone.onnx").fit([])


def test_pickles_hold_a_name_and_know_the_encoder(path, files, small_encoder, tmp_path):
    own = tmp_path / "own.onnx"
    own.write_bytes(Path(path).read_bytes())
    fitted = SingerEmbedding(own).fit([])
    expected = fitted.transform(files[:1])
    data = pickle.dumps(fitted)
    assert len(data) < 2000
    np.testing.assert_array_equal(pickle.loads(data).transform(files[:1]), expected)
    from singerid.encoder_graph import parse_header, with_header

    model = own.read_bytes()
    header = parse_header(model, "e").model_copy(update={"fingerprint": "f" * 12})
    own.write_bytes(with_header(model, header))
    with pytest.raises(MismatchError, match=r"found encoders .* and ffffffffffff"):
        pickle.loads(data).transform(files[:1])
    fitted.set_params(encoder=own, min_voice=0)  # another one, without a fit
    with pytest.raises(MismatchError):
        fitted.transform(files[:1])
    assert fitted.fit([]).fingerprint_ == "f" * 12


def test_what_cannot_be_embedded(path, files, expected, tmp_path):
    given = [tmp_path / "gone.wav", files[1], tmp_path / "lost.wav"]
    with pytest.raises(BatchError) as caught:
        SingerEmbedding(path).fit_transform(given)
    assert str(caught.value).startswith(
        f"2 of 3 recordings have no embedding: row 0: {tmp_path}/gone.wav: cannot be opened; "
    )
    assert " | row 2: " in str(caught.value)
    assert len(caught.value.failures) == 2
    with pytest.warns(UserWarning, match="^2 of 3 recordings have no embedding: row 0"):
        found = SingerEmbedding(path, on_error="nan").fit_transform(given)
    assert np.isnan(found[[0, 2]]).all()
    np.testing.assert_allclose(found[1], expected[1], atol=1e-6)
    with pytest.raises(BatchError, match=r"\| row 4: .* … and 4 more$"):
        SingerEmbedding(path).transform(given[:1] * 9)


# Checks that hand over no matrix of numbers: those are no recordings.
APPLICABLE = (
    "check_estimator_cloneable", "check_estimator_tags_renamed", "check_valid_tag_types",
    "check_estimator_repr", "check_no_attributes_set_in_init", "check_mixin_order",
    "check_parameters_default_constructible", "check_get_params_invariance", "check_set_params",
    "check_do_not_raise_errors_in_init_or_set_param", "check_estimator_get_tags_default_keys",
)  # fmt: skip


@pytest.mark.parametrize("name", [n for n in APPLICABLE if hasattr(estimator_checks, n)])
def test_checks_of_scikit_learn(path, name):
    getattr(estimator_checks, name)("SingerEmbedding", SingerEmbedding(path))


@pytest.mark.filterwarnings("ignore:Can't test estimator")
def test_all_checks_of_scikit_learn_for_such_input(path):
    check_estimator(SingerEmbedding(path))
