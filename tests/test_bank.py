"""Voice bank: codes lose little, envelopes are what formants say, damage is found on opening."""

import dataclasses
import json
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest

from singerid.errors import MismatchError, StoreError
from singerid.features import melcepstrum
from singerid.spec import FeatureSpec
from singerid.voicebank.bank import VoiceBank, check, joined
from singerid.voicebank.codes import (
    APERIODICITY_RANGE_DB,
    cepstra_of,
    cepstrum_code,
    cosines,
    quantized_aperiodicity,
    quantized_cepstra,
)
from singerid.voicebank.parametric import bank_from_voices
from singerid.voicebank.spec import FORMAT, BankSettings, BankSpec, band_weights, read_bank_spec
from singerid.voices import draw_singer, formants_hz

HZ = np.linspace(0, 8000, 513)


@pytest.fixture(scope="module")
def bank():
    """Three virtual singers with two recordings each."""
    rng = np.random.default_rng(0)
    singers = [draw_singer(rng, name, gender) for name, gender in ("aF", "bM", "cF")]
    return bank_from_voices(singers, rng, n_recordings=2, seconds=1.0)


# ------------------------------------------------------------------------------------------- codes


@pytest.mark.parametrize("alpha", [0.0, 0.42])
def test_cosines_give_the_logarithm_of_the_power(alpha):
    power = 1 + 0.9 * np.cos(np.pi * HZ / 8000) ** 3
    cepstra = cepstra_of(power, 48, alpha)
    found = np.exp(cepstra @ cosines(HZ, 16000, 48, alpha))
    np.testing.assert_allclose(found, power, rtol=2e-3)
    ours = cepstra.copy()
    ours[0] /= 2
    np.testing.assert_allclose(melcepstrum.power_spectrum(ours, 513, alpha), power, rtol=2e-3)


def test_cepstra_of_white_noise_are_its_level():
    cepstra = cepstra_of(np.full((2, 513), 4.0), 16, 0.42)
    np.testing.assert_allclose(cepstra[:, 0], np.log(4), atol=1e-8)
    np.testing.assert_allclose(cepstra[:, 1:], 0, atol=1e-8)


def test_eight_bits_are_off_by_half_a_step_at_most():
    scale, offset = cepstrum_code(48)
    inside = np.random.default_rng(0).uniform(-127, 127, (500, 48)) * scale + offset
    error = quantized_cepstra(inside) * scale + offset - inside
    assert np.all(np.abs(error) <= 0.5001 * scale)
    limits = quantized_cepstra(np.array([np.full(48, 1e3), np.full(48, -1e3)]))
    assert limits.tolist() == [[127] * 48, [-127] * 48]


def test_error_of_eight_bits_in_decibels():
    """Far below what 48 coefficients leave out of speech (0.8 dB, benchmarks/bank_error.py)."""
    scale, offset = cepstrum_code(48)
    cepstra = np.random.default_rng(0).uniform(-100, 100, (500, 48)) * scale + offset
    basis = cosines(HZ, 16000, 48, 0.42)
    error = (quantized_cepstra(cepstra) * scale + offset - cepstra) @ basis * 10 / np.log(10)
    assert 0.1 < np.sqrt(np.mean(error**2)) < 0.25


def test_aperiodicity_codes():
    low, high = APERIODICITY_RANGE_DB
    db = np.linspace(low, high, 999)
    found = quantized_aperiodicity(db) * ((high - low) / 255) + low
    assert np.abs(found - db).max() <= 0.51 * (high - low) / 255
    assert quantized_aperiodicity(np.array([-99.0, 99.0])).tolist() == [0, 255]


@pytest.mark.parametrize(
    ("rate", "bands"),
    [
        (16000, (0, 1000, 2000, 3000, 6000, 8000)),
        (8000, (0, 1000, 2000, 3000, 4000)),
        (22050, (0, 1000, 2000, 3000, 6000, 9000, 11025)),
    ],
)
def test_bands_reach_from_zero_to_half_the_sample_rate(rate, bands):
    spec = BankSpec(features=FeatureSpec(audio={"sample_rate": rate}, mel={"fmax": 3900}))
    assert spec.band_hz == bands
    weights = band_weights(spec, np.linspace(0, rate / 2, 200))
    assert weights.shape == (spec.n_bands, 200)
    np.testing.assert_allclose(weights.sum(axis=0), 1, atol=1e-6)
    np.testing.assert_allclose(band_weights(spec, bands), np.eye(spec.n_bands), atol=1e-6)


# ---------------------------------------------------------------------------------- virtual voices


def test_shapes_and_columns(bank):
    n = int(bank.starts[-1])
    assert len(bank) == 6
    assert bank.ids == ("a/00", "a/01", "b/00", "b/01", "c/00", "c/01")
    assert bank.singers == ("a", "a", "b", "b", "c", "c")
    assert bank.genders == ("F", "F", "M", "M", "F", "F")
    assert set(bank.splits) == {"train"}
    assert (bank.f0.shape, bank.onset.shape) == ((n,), (n,))
    assert (bank.cepstrum.shape, bank.aperiodicity.shape) == ((n, 48), (n, 6))
    assert bank.cepstrum.dtype == np.int8
    assert bank.aperiodicity.dtype == np.uint8
    assert bank.mel.shape == (0, 80)
    assert bank.onset.sum() == 6
    assert bank.onset[bank.starts[:-1]].all()
    for row in range(6):
        f0 = bank.f0[bank.frames(row)]
        np.testing.assert_allclose(f0[f0 > 0], bank.median_f0[row])
    assert bank.median_f0[0] > bank.median_f0[2]  # a woman's, a man's


def test_mean_power_is_one(bank):
    for row in range(6):
        power = bank.envelope(bank.frames(row), HZ)
        assert 0.8 < power.mean() < 1.2


def test_envelopes_peak_at_the_formants():
    """A held vowel of a voice with narrow formants: the first two stand out where they should."""
    rng = np.random.default_rng(1)
    singer = dataclasses.replace(draw_singer(rng, "x", "M"), bandwidth_scale=0.8, breathiness=0.01)
    bank = bank_from_voices([singer], rng, seconds=20.0, spec=BankSpec(settings={"order": 128}))
    hz = np.arange(200, 3000, 10)
    levels = np.log(bank.envelope(bank.frames(0), hz))
    peaks = [hz[1:-1][(x[1:-1] > x[:-2]) & (x[1:-1] > x[2:])] for x in levels]
    for vowel in ("ɑ", "ɛ"):
        f1, f2 = formants_hz(singer, vowel)[:2]
        near = [all(np.abs(peak - f).min() < 40 for f in (f1, f2)) for peak in peaks if len(peak)]
        assert np.mean(near) > 0.05, vowel  # one vowel of eight, held three quarters of the time


def test_breathy_voices_are_aperiodic():
    rng = np.random.default_rng(2)
    clear = dataclasses.replace(draw_singer(rng, "x", "F"), breathiness=0.01)
    levels = []
    for breathiness in (0.01, 0.1):
        singer = dataclasses.replace(clear, breathiness=breathiness)
        bank = bank_from_voices([singer], np.random.default_rng(3), seconds=3.0)
        levels.append(np.median(bank.aperiodicity_db(bank.frames(0))[bank.f0 > 0], axis=0))
    np.testing.assert_allclose(np.clip(levels[1] - levels[0], 0, 20)[2:4], 20, atol=1.5)
    assert np.all(np.diff(levels[0]) >= 0)  # noise lies high, glottal pulses low
    unvoiced = bank.aperiodicity_db(bank.frames(0))[bank.f0 == 0]
    np.testing.assert_allclose(unvoiced, 0)


def test_voices_are_a_function_of_their_seed():
    def make(seed):
        rng = np.random.default_rng(seed)
        return bank_from_voices([draw_singer(rng, "x", "F")], rng, seconds=1.0)

    np.testing.assert_array_equal(make(0).cepstrum, make(0).cepstrum)
    assert np.any(make(0).cepstrum[:50] != make(1).cepstrum[:50])


# --------------------------------------------------------------------------------- parts and joins


def test_select_and_join(bank):
    some = bank.select([4, 1])
    assert some.ids == ("c/00", "a/01")
    assert some.starts.tolist() == [0, 125, 250]
    np.testing.assert_array_equal(some.cepstrum[some.frames(0)], bank.cepstrum[bank.frames(4)])
    np.testing.assert_array_equal(some.f0[some.frames(1)], bank.f0[bank.frames(1)])
    assert some.median_f0.tolist() == bank.median_f0[[4, 1]].tolist()
    again = joined([bank.select([0, 1]), bank.select([2, 3, 4, 5])])
    for field in dataclasses.fields(VoiceBank):
        ours, theirs = getattr(again, field.name), getattr(bank, field.name)
        if isinstance(theirs, np.ndarray):
            np.testing.assert_array_equal(ours, theirs)
            assert ours.dtype == theirs.dtype
        else:
            assert ours == theirs


def test_what_cannot_be_joined(bank):
    with pytest.raises(MismatchError, match="banks that share recordings cannot be joined"):
        joined([bank, bank.select([1])])
    other = bank_from_voices(
        [draw_singer(np.random.default_rng(0), "x", "F")], np.random.default_rng(0),
        spec=BankSpec(settings={"order": 32}),
    )  # fmt: skip
    with pytest.raises(MismatchError, match=r"joined; found settings\.order 32, not 48"):
        joined([bank, other])


def test_a_bank_can_be_sent_to_another_process(bank):
    copy = pickle.loads(pickle.dumps(bank))
    np.testing.assert_array_equal(copy.cepstrum, bank.cepstrum)
    assert copy.spec == bank.spec


# --------------------------------------------------------------------------------- specs and files


@pytest.mark.parametrize(
    ("features", "words"),
    [
        ({"features": {"stream": "world"}}, "mel frames without pitch conditioning"),
        ({"pitch": {"condition": True}}, "mel frames without pitch conditioning"),
        ({"audio": {"sample_rate": 7000}, "mel": {"fmax": 3000}}, "at least 8000 Hz"),
    ],
)
def test_front_ends_that_a_bank_cannot_serve(features, words):
    with pytest.raises(ValueError, match=words):
        BankSpec(features=FeatureSpec(**features))


def test_limits_of_f0():
    with pytest.raises(ValueError, match="fmin 200 Hz must lie below fmax 100 Hz"):
        BankSettings(fmin=200, fmax=100)


def test_specs_survive_their_file(tmp_path):
    spec = BankSpec(settings={"order": 32}, features=FeatureSpec(mel={"n_mels": 40}))
    (tmp_path / "spec.json").write_text(spec.model_dump_json())
    assert read_bank_spec(tmp_path) == spec
    assert spec.format == FORMAT


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "spec.json is damaged"),
        ("[]", "spec.json is damaged"),
        ("{}", f"spec.json cannot be used; found format 0 is not {FORMAT}: make the bank anew"),
        (json.dumps({"format": FORMAT, "x": 1}), "spec.json cannot be used; found Extra inputs"),
    ],
)
def test_specs_that_cannot_be_read(tmp_path, text, words):
    (tmp_path / "spec.json").write_text(text)
    with pytest.raises(StoreError, match=words):
        read_bank_spec(tmp_path)


def test_what_is_no_bank(tmp_path):
    for path in (tmp_path, tmp_path / "nowhere"):
        for use in (VoiceBank.open, check):
            with pytest.raises(
                StoreError, match=r"is not a voice bank; found no spec\.json; make one: singerid v"
            ):
                use(path)


def test_a_bank_without_its_list_is_unfinished(tmp_path):
    (tmp_path / "spec.json").write_text(BankSpec().model_dump_json())
    with pytest.raises(StoreError, match="the analysis was not finished; run singerid voices"):
        VoiceBank.open(tmp_path)


def test_reading_needs_neither_world_nor_torch():
    code = (
        "import sys\n"
        "import numpy as np\n"
        "from singerid.voicebank.bank import VoiceBank\n"
        "from singerid.voicebank.parametric import bank_from_voices\n"
        "from singerid.voices import draw_singer\n"
        "rng = np.random.default_rng(0)\n"
        "print(len(bank_from_voices([draw_singer(rng, 'x', 'F')], rng)))\n"
        "print({'torch', 'pyworld'} & set(sys.modules))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.stdout == "1\nset()\n"
