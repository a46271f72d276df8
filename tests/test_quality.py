"""Quality of synthetic recordings whose noise, clipping, band and level are known."""

import json

import numpy as np
import pytest
from scipy import signal

from singerid.quality import Quality, assess
from singerid.voicing import find_voice

RATE = 16_000


def voice(seconds=8.0, rate=RATE, seed=0):
    """Half-second notes with vibrato, without pauses; mean square 0.01, up to 7.5 kHz."""
    t = np.arange(int(seconds * rate)) / rate
    notes = np.array([0, 4, 7, 5, 2, 9, 11, -1])[(2 * t).astype(int) % 8] / 12
    f0 = 220 * 2 ** (notes + 0.02 * np.sin(2 * np.pi * 5.5 * t))
    phase = 2 * np.pi * np.cumsum(f0) / rate + seed
    x = sum(np.sin(k * phase + k * k) / k for k in range(1, 27) if k * f0.max() < rate / 2)
    return (0.1 * x / np.sqrt(np.mean(x**2))).astype(np.float32)


def noise(n, rms, seed=1):
    return (rms * np.random.default_rng(seed).standard_normal(n)).astype(np.float32)


def with_pauses(x, share=0.5, period=RATE // 2):
    """Stretches of voice, and silence in between."""
    sings = (np.arange(len(x)) % period) < (1 - share) * period
    return x * sings


def heads(quality):
    return [reason.split(":")[0] for reason in quality.reasons]


def test_a_good_recording_has_no_reasons():
    x = voice()
    quality = assess(x, RATE)
    assert quality.reasons == ()
    assert 0.85 < quality.score <= 1
    assert quality.seconds == 8
    assert quality.voice_seconds == pytest.approx(8, abs=0.2)
    assert quality.clipped_share == 0
    assert quality.peak_db == pytest.approx(20 * np.log10(np.abs(x).max()), abs=1e-3)


@pytest.mark.parametrize("pauses", [0.0, 0.4])
@pytest.mark.parametrize("snr_db", [30, 20, 10, 3])
def test_the_noise_is_measured_with_and_without_pauses(snr_db, pauses):
    x = voice()
    y = with_pauses(x, pauses) + noise(len(x), 0.1 * 10 ** (-snr_db / 20))
    quality = assess(y, RATE)
    assert quality.snr_db == pytest.approx(snr_db, abs=2.5)
    assert ("noisy" in heads(quality)) == (snr_db < 15)


def test_noise_behind_a_gate_is_heard_within_the_voice():
    x = voice()
    y = with_pauses(x + noise(len(x), 0.03), 0.5, 4 * RATE)
    assert assess(y, RATE).snr_db == pytest.approx(10.5, abs=2.5)


def test_pauses_of_digital_silence_are_no_noise():
    assert assess(with_pauses(voice()), RATE).snr_db > 30


def test_clipping_is_counted():
    x = 5 * voice()
    y = np.clip(x, -1, 1)
    quality = assess(y, RATE)
    assert quality.clipped_share == pytest.approx(np.mean(np.abs(x) >= 0.999))
    assert quality.clipped_share > 0.001
    assert f"clipped: {100 * quality.clipped_share:.2g} % of samples" in quality.reasons
    assert quality.score < assess(x / 10, RATE).score


@pytest.mark.parametrize("edge", [2000, 3400])
def test_a_narrow_band_is_found(edge):
    sos = signal.butter(16, edge, output="sos", fs=RATE)
    y = signal.sosfiltfilt(sos, voice() + noise(8 * RATE, 0.001)).astype(np.float32)
    quality = assess(y, RATE)
    assert quality.bandwidth_hz == pytest.approx(edge, rel=0.25)
    assert f"narrow band: nothing above {quality.bandwidth_hz / 1000:.1f} kHz" in quality.reasons
    assert quality.score < assess(voice(), RATE).score


def test_a_low_sample_rate_is_a_narrow_band():
    quality = assess(voice(rate=8000), 8000)
    assert quality.bandwidth_hz <= 4000
    assert heads(quality) == ["narrow band"]


def test_level_alone_changes_nothing_but_the_level():
    x = voice()
    loud, soft = assess(x, RATE), assess(x * np.float32(10 ** (-60 / 20)), RATE)
    assert soft.peak_db == pytest.approx(loud.peak_db - 60, abs=1e-3)
    assert soft.snr_db == pytest.approx(loud.snr_db, abs=0.1)
    assert soft.reasons == (f"quiet: peak {soft.peak_db:.0f} dB",)
    assert soft.score < loud.score


def test_more_voice_is_better_by_the_measured_law():
    short, longer = assess(voice(1.5), RATE), assess(voice(8), RATE)
    assert heads(short) == ["short"]
    assert short.reasons[0] == f"short: {short.voice_seconds:.1f} s of voice"
    clean = [q.score / (q.voice_seconds / (q.voice_seconds + 0.7)) for q in (short, longer)]
    assert clean[0] == pytest.approx(clean[1], rel=0.05)


def test_little_voice_in_much_silence():
    x = np.concatenate([voice(4), np.zeros(60 * RATE, np.float32)])
    assert assess(x, RATE).reasons == ("little voice: 6 %",)


@pytest.mark.parametrize("n", [0, 1, 100, 1500, RATE])
def test_without_a_voice_the_score_is_zero(n):
    quality = assess(noise(n, 0.1), RATE)
    assert quality.score == 0
    assert quality.reasons == ("no voice",)
    assert np.isfinite([quality.peak_db, quality.snr_db, quality.bandwidth_hz]).all()


def test_silence_is_judged_too():
    quality = assess(np.zeros(RATE, np.float32), RATE)
    assert (quality.score, quality.peak_db) == (0, -120)


def test_a_given_voicing_is_used():
    x = voice()
    assert assess(x, RATE, find_voice(x, RATE)) == assess(x, RATE)
    nothing = find_voice(np.zeros_like(x), RATE)
    assert assess(x, RATE, nothing).reasons == ("no voice",)


def test_an_hour_looks_at_no_more_frames_than_minutes():
    """The measures of a repeated recording are those of the recording."""
    x = voice() + noise(8 * RATE, 0.01)
    once, often = assess(x, RATE), assess(np.tile(x, 20), RATE)
    assert often.snr_db == pytest.approx(once.snr_db, abs=1)
    assert often.bandwidth_hz == pytest.approx(once.bandwidth_hz, abs=200)


def test_as_json():
    quality = assess(voice(2), RATE)
    data = json.loads(json.dumps(quality.to_dict()))
    assert data["reasons"] == list(quality.reasons)
    assert set(data) == set(Quality.__dataclass_fields__)
    assert data["snr_db"] == pytest.approx(quality.snr_db, abs=1e-4)
