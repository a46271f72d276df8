"""Who is it: verification and open-set identification from calibrated scores."""

import math

import numpy as np
import pytest

from singerid.errors import AudioError, ConfigError, MismatchError, SingeridError
from singerid.judge import Judge, Voice, load_judge
from singerid.quality import Quality
from singerid.scoring.calibration import Calibration, Line
from singerid.scoring.scorer import Scorer
from singerid.table import Candidate

LINE = Line(20.0, -10.0, ((0.01, 0.6), (0.001, None)), 1000, 1000, 50, 0.3)
QUALITY = Quality(1.0, (), 8.0, 6.0, -3.0, 40.0, 0.0, 8000.0)


class Fixed:
    """An embedder that hears the same voice in everything."""

    fingerprint, sample_rate, name = "enc", 16000, "fixed"

    def embed(self, samples, sample_rate):
        assert sample_rate == 16000
        if not samples.any():
            raise AudioError("is silent", found="zeros", do="give sound")
        return np.array([1, 0, 0], np.float32)


def calibrated(line=LINE, **options):
    calibration = Calibration("enc", Scorer(), line, (), (line,))
    return Judge(Fixed(), calibration, "here", **options)


def candidate(singer, cosine, seconds=20.0):
    vector = np.array([cosine, math.sqrt(1 - cosine**2), 0], np.float32)
    return Candidate(singer, vector, seconds, 3)


VOICE = Voice("a.wav", np.array([1, 0, 0], np.float32), QUALITY)


def test_verification_of_known_numbers():
    judge = calibrated()
    answer = judge.verify(VOICE.vector, candidate("x", 0.7).vector, 8.0)
    assert answer["score"] == pytest.approx(0.7, abs=1e-6)
    assert answer["llr"] == pytest.approx(4.0, abs=1e-3)
    assert answer["probability"] == pytest.approx(1 / (1 + math.exp(-4)), abs=1e-4)
    assert answer["accepted"] is True
    assert answer["threshold"] == 0.6
    assert judge.verify(VOICE.vector, candidate("x", 0.55).vector, 8.0)["accepted"] is False
    # The rate was not measured: the likelier answer is taken.
    loose = calibrated(false_alarm=0.001).verify(VOICE.vector, candidate("x", 0.55).vector, 8.0)
    assert (loose["threshold"], loose["accepted"]) == (None, True)


def test_without_a_calibration_there_are_scores_only():
    judge = Judge(Fixed())
    assert judge.verify(VOICE.vector, candidate("x", 0.5).vector, 0.0) == {"score": 0.5}
    answer = judge.identify(VOICE, [candidate("x", 0.2), candidate("y", 0.6)], 2)
    assert answer["singer"] == "y"
    assert answer["probability"] is None
    assert answer["unknown_probability"] is None
    assert answer["margin"] == pytest.approx(0.4, abs=1e-6)
    assert answer["candidates"][0] == {"singer": "y", "score": 0.6, "n_recordings": 3}


def naive_posterior(llrs, prior, n_singers):
    """Bayes' rule, one hypothesis after the other."""
    weights = [prior / n_singers * math.exp(llr) for llr in llrs]
    total = sum(weights) + (1 - prior)
    return [weight / total for weight in weights], (1 - prior) / total


@pytest.mark.parametrize("prior", [0.1, 0.5, 0.99])
def test_open_set_probabilities_are_those_of_bayes(prior):
    cosines = [0.62, 0.4, 0.61, -0.2]
    people = [candidate(name, c) for name, c in zip("abcd", cosines, strict=True)]
    answer = calibrated(prior=prior).identify(VOICE, people, 4, top=4)
    expected, unknown = naive_posterior([20 * c - 10 for c in cosines], prior, 4)
    found = {one["singer"]: one["probability"] for one in answer["candidates"]}
    for name, value in zip("abcd", expected, strict=True):
        assert found[name] == pytest.approx(value, abs=2e-6)
    assert answer["unknown_probability"] == pytest.approx(unknown, abs=2e-6)
    assert answer["singer"] == ("a" if expected[0] > unknown else None)
    assert answer["margin"] == pytest.approx(0.01, abs=1e-6)
    assert [one["singer"] for one in answer["candidates"]] == ["a", "c", "b", "d"]


def test_more_singers_ask_for_more_likeness():
    judge, person = calibrated(), [candidate("a", 0.75)]  # log-likelihood ratio 5
    few, many = (judge.identify(VOICE, person, n) for n in (1, 100_000))
    assert few["singer"] == "a"
    assert many["singer"] is None
    assert few["probability"] > 0.99 > 0.01 > many["probability"]
    assert judge.identify(VOICE, [candidate("a", 1.0)], 1000)["singer"] == "a"


def test_those_not_looked_at_never_count_more_than_the_last_candidate():
    """The best of many that are all unlike: naming it needs evidence of its own."""
    judge = calibrated()
    some = judge.identify(VOICE, [candidate("a", 0.8), candidate("b", 0.0)], 1000)
    whole = [candidate("a", 0.8), *(candidate(f"b{i}", 0.0) for i in range(999))]
    everyone = judge.identify(VOICE, whole, 1000)
    assert some["probability"] == pytest.approx(everyone["probability"], abs=1e-5)
    assert len(everyone["candidates"]) == 5


def test_probabilities_stay_finite():
    steep = Line(5000.0, -10.0, ((0.01, 0.6),), 1000, 1000, 50, 0.3)
    answer = calibrated(steep).identify(VOICE, [candidate("a", 1.0), candidate("b", -1.0)], 2)
    assert answer["probability"] == 1.0
    assert [one["probability"] for one in answer["candidates"]] == [1.0, 0.0]


def test_nobody_enrolled():
    with pytest.raises(SingeridError, match="nobody is enrolled; enroll somebody first"):
        calibrated().identify(VOICE, [], 0)


def test_what_cannot_be_judged():
    with pytest.raises(ConfigError, match="prior out of range; found 1; expected between 0 and 1"):
        calibrated(prior=1)
    with pytest.raises(ConfigError, match=r"no threshold for this false alarm rate; found 0\.3"):
        calibrated(false_alarm=0.3)
    with pytest.raises(MismatchError, match="another encoder's"):
        Judge(Fixed(), Calibration("other", Scorer(), LINE, (), (LINE,)), "here")


def test_hearing_names_the_recording():
    judge = calibrated()
    with pytest.raises(AudioError, match=r"^microphone: is silent; found peak digital zero"):
        judge.hear_samples(np.zeros(16000, np.float32), 16000, "microphone")
    time = np.arange(32000) / 16000
    tone = (0.5 * np.sin(2 * np.pi * 220 * time)).astype(np.float32)
    voice = judge.hear_samples(tone, 16000, "microphone")
    assert voice.path == "microphone"
    assert voice.durations()["seconds"] == 2.0
    assert 1.5 < voice.voice_seconds <= 2.0


def test_the_encoder_that_comes_along_has_a_calibration():
    judge = load_judge()
    assert judge.origin == "default"
    facts = judge.facts()
    assert facts["encoder"] == judge.encoder.fingerprint
    assert facts["calibration"]["origin"] == "default"
