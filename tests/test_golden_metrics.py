"""Metrics against the golden file, which plain loops over small cases have written."""

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest

from singerid import metrics
from singerid.metrics import clustering, geometry, identification, likelihood
from singerid.metrics.bootstrap import bootstrap_rates

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import golden_metrics

GOLDEN = json.loads((Path(__file__).parent / "data" / "golden_metrics.json").read_text())


def close(value):
    return pytest.approx(value, abs=1e-9)


def same(found, expected):
    """Equal structures, but for rounding in the last digits."""
    if isinstance(expected, dict):
        return found.keys() == expected.keys() and all(same(found[k], expected[k]) for k in found)
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(same, found, expected))
    return found == (close(expected) if isinstance(expected, float) else expected)


def threshold_of(value):
    """Infinity is none in JSON."""
    return math.inf if value is None else value


def test_the_generator_writes_this_file():
    assert same(json.loads(json.dumps(golden_metrics.golden())), GOLDEN)


@pytest.mark.parametrize("kind", GOLDEN["verification"])
def test_verification(kind):
    case = GOLDEN["verification"][kind]
    trials = case["scores"], case["targets"]
    assert metrics.eer(*trials) == close(tuple(case["eer"]))
    assert metrics.auc(*trials) == close(case["auc"])
    assert likelihood.cllr(*trials) == close(case["cllr"])
    assert likelihood.min_cllr(*trials) == close(case["min_cllr"])
    for *costs, expected in case["min_dcf"]:
        assert metrics.min_dcf(*trials, *costs)[0] == close(expected)
    for *costs, expected in case["act_dcf"]:
        assert likelihood.act_dcf(*trials, *costs) == close(expected)
    for rate, miss, threshold in case["miss_at_false_alarm"]:
        found = metrics.miss_at_false_alarm(*trials, rate)
        assert found == (close(miss), threshold_of(threshold))


@pytest.mark.parametrize("kind", GOLDEN["verification"])
def test_bootstrap(kind):
    case = GOLDEN["verification"][kind]
    expected = case["bootstrap"]
    rng = np.random.default_rng(expected["seed"])
    found = bootstrap_rates(
        case["scores"], case["targets"], case["enroll"], case["test"], len(expected["eer"]), rng
    )
    np.testing.assert_allclose(found[0], expected["eer"], atol=1e-12)
    np.testing.assert_allclose(found[1], expected["min_dcf"], atol=1e-12)


def test_identification():
    case = GOLDEN["identification"]
    scores, singers = case["scores"], case["singers"]
    for k, expected in case["top_k"]:
        assert identification.top_k(scores, singers, k) == close(expected)
    rank = identification.mean_normalized_rank(scores, singers)
    assert rank == close(case["mean_normalized_rank"])
    precision = identification.mean_average_precision(scores, case["relevant"])
    assert precision == close(case["mean_average_precision"])
    for rate, found, threshold in case["open_set"]:
        result = identification.detection_identification_rate(scores, case["strangers"], rate)
        assert result == (close(found), threshold_of(threshold))


def test_geometry():
    case = GOLDEN["geometry"]
    vectors, singers = np.array(case["vectors"]), case["singers"]
    rough = {"abs": 1e-5}  # float32 vectors, cosines of six decimals
    assert geometry.alignment(vectors, singers) == pytest.approx(case["alignment"], **rough)
    assert geometry.uniformity(vectors) == pytest.approx(case["uniformity"], **rough)
    assert geometry.effective_rank(vectors) == pytest.approx(case["effective_rank"], **rough)
    assert geometry.hubness(vectors) == pytest.approx(case["hubness"], **rough)
    assert geometry.dead_dimensions(vectors) == case["dead_dimensions"]
    assert clustering.silhouette(vectors, singers) == pytest.approx(case["silhouette"], **rough)
