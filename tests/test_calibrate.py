"""Calibrations from embeddings: what they say of other singers, several durations, refusals."""

import numpy as np
import pytest

from singerid.calibrate import calibrate, summary_lines
from singerid.embeddings import EmbeddingSet
from singerid.errors import ConfigError, MismatchError
from singerid.evaluate import evaluate
from singerid.sections import CalibrateSettings, EvaluateSettings, TrialSettings
from test_evaluate import make

QUICK = EvaluateSettings(n_bootstrap=0)


def lasting(embeddings, seconds, names="singer", encoder="encoder-1"):
    """The same with a duration, and other names."""
    return EmbeddingSet(
        embeddings.ids, [s.replace("singer", names) for s in embeddings.singers],
        embeddings.vectors, encoder, [seconds] * len(embeddings), labels=embeddings.labels,
    )  # fmt: skip


@pytest.fixture(scope="module")
def development():
    return lasting(make(n_singers=20, noise=0.8), 8.0)


@pytest.fixture(scope="module")
def others():
    return lasting(make(n_singers=20, noise=0.8, seed=7), 8.0, "other")


@pytest.mark.parametrize(
    "settings",
    [
        CalibrateSettings(), CalibrateSettings(transform="center"),
        CalibrateSettings(transform="whiten", plda=True), CalibrateSettings(cohort=True),
    ],
)  # fmt: skip
def test_ratios_are_reliable_on_other_singers(development, others, settings):
    calibration = calibrate([development], settings=settings)
    result = evaluate(others, settings=QUICK, calibration=calibration).slices["all"]
    assert result.min_cllr < 0.7
    assert result.cllr < result.min_cllr + 0.1
    assert result.act_dcf < 1


def test_a_background_fits_the_scorer(development, others):
    settings = CalibrateSettings(transform="center")
    background = lasting(make(n_singers=30, noise=0.8, seed=3), 8.0, "background")
    calibration = calibrate([development], None, settings, background)
    assert set(calibration.scorer.singers) == set(background.singers)
    assert evaluate(others, settings=QUICK, calibration=calibration).slices["all"].cllr < 0.8
    with pytest.raises(MismatchError, match="fitted on singers of these trials"):
        calibrate([development], None, settings, development)


def test_several_durations_have_lines_of_their_own(development):
    short = lasting(make(n_singers=20, noise=4), 2.0)
    calibration = calibrate([development, short], None, CalibrateSettings(durations="3"))
    assert calibration.edges == (3.0,)
    assert not any(line.borrowed for line in calibration.classes)
    of_short, of_long = calibration.classes
    assert of_short.held_out_cllr > of_long.held_out_cllr
    lines = summary_lines(calibration)
    assert [line.split("  ")[0].strip() for line in lines[:3]] == [
        "all", "0-3 s", "3 s and longer"
    ]  # fmt: skip
    assert all("log-likelihood ratio = " in line for line in lines[:3])


def test_models_of_several_recordings(development):
    calibration = calibrate([development], TrialSettings(n_enroll=2))
    single = calibrate([development])
    assert calibration.overall.held_out_cllr < single.overall.held_out_cllr
    centered = CalibrateSettings(transform="center")
    assert calibrate([development], TrialSettings(n_enroll=2), centered).overall.n_targets > 0


def test_encoders_do_not_mix(development):
    other = lasting(make(n_singers=20), 8.0, encoder="encoder-2")
    with pytest.raises(MismatchError, match="encoder-1 and encoder-2"):
        calibrate([development, other])
    calibration = calibrate([development])
    with pytest.raises(MismatchError, match="the calibration is another encoder's"):
        evaluate(other, settings=QUICK, calibration=calibration)


def test_lists_of_numbers():
    embeddings = make(n_singers=8)
    with pytest.raises(
        ConfigError, match=r"calibrate\.durations: not a list of numbers; found 3,x"
    ):
        calibrate([embeddings], None, CalibrateSettings(durations="3,x"))
    calibration = calibrate([embeddings], None, CalibrateSettings(durations="", false_alarms="0.2"))
    assert len(calibration.classes) == 1
    assert [rate for rate, _ in calibration.overall.thresholds] == [0.2]
    assert np.isfinite(calibration.overall.scale)
