"""Virtual singers: what is measured in the audio is what was meant."""

import dataclasses

import librosa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from singerid.errors import ConfigError
from singerid.melody import CONSONANTS, VOWELS, Microphone, Note, Room, Song, draw_song
from singerid.singing import CONTROL_HZ, pitch_curve, sing
from singerid.voices import draw_singer, formants_hz

RATE = 16_000
COLUMNS = ["path", "corpus", "kind", "singer", "gender", "song", "split", "sample_rate", "duration"]


def rng(*seed):
    return np.random.default_rng(seed)


def singer_of(seed, gender, **habits):
    return dataclasses.replace(draw_singer(rng(seed), "x", gender), **habits)


def steady(seed=0, gender="M", **habits):
    """A singer who holds a tone without vibrato, drift, jitter or shimmer."""
    calm = dict.fromkeys(["vibrato_cents", "scoop_cents", "drift_cents", "jitter", "shimmer"], 0.0)
    return singer_of(seed, gender, **{**calm, "detune_cents": 0.0, **habits})


def tone(vowel="ɑ", seconds=2.0, pitch=0.0):
    return Song((Note(pitch, seconds, vowel),))


def measured_f0(audio, frame_length=1024):
    """YIN every 5 ms: `(n_frames,)` in Hz, aligned with `pitch_curve`."""
    return librosa.yin(
        audio, fmin=RATE / frame_length * 2.5, fmax=1000, sr=RATE,
        frame_length=frame_length, hop_length=RATE // CONTROL_HZ,
    )  # fmt: skip


def measured_formants(audio, order=20):
    """Formants in Hz from the linear prediction of the whole tone's autocorrelation."""
    emphasized = librosa.effects.preemphasis(audio) * np.hanning(len(audio))
    roots = np.roots(librosa.lpc(emphasized, order=order))
    hz, width = np.angle(roots) * RATE / 2 / np.pi, -np.log(np.abs(roots)) * RATE / np.pi
    return np.sort(hz[(hz > 200) & (width < 500)])


def harmonic_to_noise_db(audio, f0):
    """Power of the best fitting harmonics of `f0` over that of the rest, in 100 ms of a tone."""
    excerpt = audio[RATE : RATE + RATE // 10].astype(float)
    angle = 2 * np.pi * f0 / RATE * np.outer(np.arange(len(excerpt)), np.arange(1, RATE / 2 / f0))
    basis = np.hstack([np.cos(angle), np.sin(angle)])
    harmonic = basis @ np.linalg.lstsq(basis, excerpt)[0]
    return 10 * np.log10(np.sum(harmonic**2) / np.sum((excerpt - harmonic) ** 2))


def power_db(audio, low_hz=0.0, high_hz=RATE / 2):
    power = np.abs(np.fft.rfft(audio * np.hanning(len(audio)))) ** 2
    hz = np.fft.rfftfreq(len(audio), 1 / RATE)
    return 10 * np.log10(power[(hz >= low_hz) & (hz < high_hz)].sum() / len(audio))


@pytest.mark.parametrize(("seed", "gender"), [(1, "F"), (2, "M"), (3, "F"), (4, "M")])
def test_audio_follows_the_intended_pitch(seed, gender):
    singer = singer_of(seed, gender)
    melody = [(0, "ɑ"), (4, "e"), (2, "o"), (-3, "ʌ"), (0, "ɛ")]
    song = Song(tuple(Note(pitch, 0.7, vowel) for pitch, vowel in melody))
    meant = pitch_curve(singer, song, rng(seed, 9))
    measured = measured_f0(sing(singer, song, rng(seed, 9)))
    cents = 1200 * np.log2(measured[10:-10] / meant[10 : len(measured) - 10])
    assert np.median(np.abs(cents)) < 15
    assert np.quantile(np.abs(cents), 0.9) < 50


@pytest.mark.parametrize(("rate", "extent"), [(4.7, 90.0), (5.6, 40.0), (6.8, 60.0)])
def test_vibrato_is_the_singers(rate, extent):
    singer = steady(
        5, "F", vibrato_hz=rate, vibrato_cents=extent, vibrato_onset_s=0.3, center_midi=66.0
    )
    f0 = measured_f0(sing(singer, tone(seconds=5.0), rng(0)), frame_length=512)
    cents = 1200 * np.log2(f0 / np.median(f0))
    assert cents[20:55].std() < 8  # straight before the onset
    full = cents[120:-40] - cents[120:-40].mean()
    rising = np.flatnonzero((full[:-1] < 0) & (full[1:] >= 0))
    assert (len(rising) - 1) * CONTROL_HZ / (rising[-1] - rising[0]) == pytest.approx(
        rate, rel=0.05
    )
    assert np.sqrt(2) * full.std() == pytest.approx(extent, rel=0.15)


@pytest.mark.parametrize("vowel", ["ɑ", "ɛ", "ʌ", "e", "i"])
@pytest.mark.parametrize("seed", [1, 6])
def test_formants_lie_where_meant(vowel, seed):
    singer = steady(seed, "M", center_midi=43.0, vibrato_cents=25.0, cluster=0.0, breathiness=0.01)
    measured = measured_formants(sing(singer, tone(vowel), rng(0)))
    for meant in formants_hz(singer, vowel)[:4]:
        nearest = measured[np.argmin(np.abs(measured - meant))]
        assert nearest == pytest.approx(meant, rel=0.08, abs=40)


def test_a_longer_tract_lowers_all_formants():
    singer = steady(1, "M", center_midi=43.0, vibrato_cents=25.0, cluster=0.0, breathiness=0.01)
    short, long = (
        measured_formants(sing(dataclasses.replace(singer, tract_length_cm=cm), tone("ɛ"), rng(0)))[
            :4
        ]
        for cm in (15.0, 18.0)
    )
    np.testing.assert_allclose(short / long, 18 / 15, rtol=0.03)


def test_cluster_draws_the_upper_formants_together():
    singer = singer_of(2, "M")
    spread = [
        np.ptp(formants_hz(dataclasses.replace(singer, cluster=cluster), "ɑ")[2:])
        for cluster in (0.0, 0.35, 0.7)
    ]
    assert spread[0] > 1.1 * spread[1] > 1.2 * spread[2]


def test_the_piriform_sinuses_leave_a_notch():
    singer = steady(3, "M", breathiness=0.01)
    lower, higher = (
        sing(dataclasses.replace(singer, sinus_hz=hz), tone(), rng(0)) for hz in (4200.0, 5300.0)
    )
    in_lower = power_db(lower, 4000, 4400) - power_db(lower, 5100, 5500)
    in_higher = power_db(higher, 4000, 4400) - power_db(higher, 5100, 5500)
    assert in_higher - in_lower > 8


def test_f1_gives_way_to_a_high_pitch():
    """[i] at 659 Hz, far above its F1 of 300 Hz, has the open mouth of a vowel with F1 = 659 Hz."""
    singer = steady(1, "F", center_midi=76.0, breathiness=0.5, tilt_hz=1.0)  # nearly a whisper
    assert formants_hz(singer, "i")[0] < 450
    audio = sing(singer, tone("i"), rng(0))
    assert power_db(audio, 550, 640) > power_db(audio, 300, 390) + 6


def test_breath_noise_swells_with_the_open_glottis():
    singer = steady(
        1, center_midi=45.0, open_quotient=0.5, asymmetry=0.6, breathiness=0.5, tilt_hz=1.0
    )  # 110 Hz; without tilt the pulses' own highs would swell too
    quiet = dataclasses.replace(tone(), microphone=Microphone(noise_db=-120.0))
    noise = librosa.effects.preemphasis(sing(singer, quiet, rng(0)), coef=0.99)
    place = np.arange(len(noise)) * 110 / RATE % 1
    power = np.histogram(place, 8, weights=noise**2)[0]
    assert 10 * np.log10(power.max() / power.min()) > 4


def test_breath_is_heard():
    noisy, clear = (
        harmonic_to_noise_db(
            sing(steady(1, "F", breathiness=breath, center_midi=64.0), tone(), rng(0)),
            440 * 2 ** (-5 / 12),
        )
        for breath in (0.5, 0.01)
    )
    assert clear > 25
    assert 5 < noisy < clear - 12


def test_effort_and_a_sharp_closing_are_bright():
    def brightness(tilt_hz, effort):
        song = dataclasses.replace(tone(), effort=effort)
        audio = sing(steady(1, tilt_hz=tilt_hz), song, rng(0))
        return power_db(audio, 2000) - power_db(audio, 0, 1000)

    assert brightness(1500.0, 1.0) > brightness(1500.0, -1.0) + 3
    assert brightness(3000.0, 0.0) > brightness(750.0, 0.0) + 3


@pytest.mark.parametrize(("habit", "least_db"), [("jitter", 3), ("shimmer", 3)])
def test_irregular_cycles_are_less_harmonic(habit, least_db):
    regular, irregular = (
        harmonic_to_noise_db(
            sing(steady(1, breathiness=0.005, center_midi=57.0, **{habit: x}), tone(), rng(0)),
            220.0,
        )
        for x in (0.0, 0.05)
    )
    assert regular - irregular > least_db


def syllable(consonant, singer):
    """Audio of the consonant between two vowels, and of the vowel before it."""
    audio = sing(singer, Song((Note(0, 0.6, "ɑ"), Note(0, 0.6, "ɑ", consonant))), rng(0))
    length = sum(phase.seconds for phase in CONSONANTS[consonant]) * singer.articulation
    begin, end = int(0.6 * RATE), int((0.6 + length) * RATE)
    margin = RATE // 50  # the mouth needs time
    return audio[begin + margin : end - margin // 4], audio[begin // 4 : begin // 2]


def test_consonants_have_their_manner():
    singer = steady(1, "M", articulation=1.2, coarticulation_s=0.012)
    for sibilant in ("s", "ʃ"):
        noise, vowel = syllable(sibilant, singer)
        assert power_db(noise, 2500) > power_db(noise, 0, 1000) + 10
        assert power_db(noise, 2500) > power_db(vowel, 2500)
    hushed, hissed = syllable("ʃ", singer)[0], syllable("s", singer)[0]
    assert power_db(hushed, 2500, 4000) > power_db(hissed, 2500, 4000) + 6
    nasal, vowel = syllable("n", singer)
    assert power_db(vowel, 1000) - power_db(nasal, 1000) > 10 + power_db(vowel) - power_db(nasal)
    for stop in ("p", "t", "k", "b", "d", "g"):
        sound, vowel = syllable(stop, singer)
        closure = sound[RATE // 100 : RATE // 50]
        assert power_db(closure) < power_db(vowel) - 12
        assert power_db(sound[RATE // 40 :], 1000) > power_db(closure, 1000) + 10  # the burst


def test_nasals_have_an_antiresonance(monkeypatch):
    singer = steady(1, "M", articulation=3.0)
    nasal = syllable("n", singer)[0]
    (phase,) = CONSONANTS["n"]
    monkeypatch.setitem(CONSONANTS, "n", (dataclasses.replace(phase, nasal_zero_hz=0.0),))
    oral = syllable("n", singer)[0]
    notch = [power_db(sound, 1550, 1850) - power_db(sound, 0, 600) for sound in (oral, nasal)]
    assert notch[0] > notch[1] + 8


def test_notes_outside_the_range_are_sung_an_octave_nearer():
    singer = steady(0, "F", center_midi=69.0, range_semitones=15.0)
    song = Song((Note(0, 1, "ɑ"), Note(9, 1, "ɑ"), Note(-9, 1, "ɑ"), Note(6, 1, "ɑ")))
    curve = pitch_curve(singer, song, rng(0))
    held = 12 * np.log2(curve[[150, 350, 550, 750]] / 440)
    np.testing.assert_allclose(held, [0, -3, 3, 6], atol=0.1)


def test_phrases_are_scooped_and_rests_prepare_the_next_note():
    singer = steady(0, scoop_cents=150.0, center_midi=57.0, glide_damping=1.0)
    song = Song((Note(0, 1), Note(4, 1), Note(0, 0.5, ""), Note(2, 1)))
    cents = 1200 * np.log2(pitch_curve(singer, song, rng(0)) / 220)
    assert cents[0] == pytest.approx(-150, abs=1)
    assert cents[220:399].min() > -1  # no scoop within a phrase
    assert cents[499] == pytest.approx(200, abs=2)
    assert cents[500] == pytest.approx(50, abs=5)


def test_genders_differ_by_ranges_that_overlap_within():
    for gender, low, high in (("F", 59, 67), ("M", 48, 56)):
        drawn = [draw_singer(rng(seed), "x", gender) for seed in range(60)]
        centers = np.array([singer.center_midi for singer in drawn])
        half = np.array([singer.range_semitones for singer in drawn]) / 2
        assert ((low <= centers) & (centers <= high)).all()
        assert (centers - half).max() < (centers + half).min()  # all share some notes
        assert all(4.5 <= singer.vibrato_hz <= 7 for singer in drawn)
    mean = [
        np.mean([draw_singer(rng(seed), "x", gender).tract_length_cm for seed in range(60)])
        for gender in "FM"
    ]
    assert mean[0] + 1.5 < mean[1]


def test_unknown_gender_and_vowel_are_refused():
    with pytest.raises(ConfigError, match=r"^ann: gender unknown; found 'f'; expected F or M$"):
        draw_singer(rng(0), "ann", "f")
    with pytest.raises(ConfigError, match=r"^vowel unknown; found 'y'; expected i e"):
        formants_hz(singer_of(0, "F"), "y")


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("inf")])
def test_song_without_a_duration_is_refused(seconds):
    with pytest.raises(ConfigError, match=r"^a song needs a duration; found .*; expected seconds"):
        draw_song(rng(0), seconds)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32), st.floats(0.05, 40))
def test_songs_last_as_long_as_asked_and_can_be_sung(seed, seconds):
    song = draw_song(rng(seed), seconds)
    assert song.seconds == pytest.approx(seconds)
    sung = [note for note in song.notes if note.vowel]
    assert sung
    assert song.notes[-1].vowel
    assert all(note.vowel in VOWELS and note.consonant in CONSONANTS for note in sung)
    assert all(abs(note.pitch) < 16 for note in sung)
    assert len(song.notes) == 1 or min(note.seconds for note in song.notes) > 0.2


@pytest.mark.parametrize("rate", [8000, 16_000, 44_100])
def test_audio_is_fit_for_a_file(rate):
    for seed, gender in ((10, "F"), (11, "M")):
        song = draw_song(rng(seed), 2.5)
        audio = sing(singer_of(seed, gender), song, rng(seed, 1), rate)
        assert audio.dtype == np.float32
        assert audio.shape == (round(2.5 * rate),)
        assert np.isfinite(audio).all()
        assert np.abs(audio).max() == pytest.approx(song.microphone.peak, rel=1e-5)
        assert 0.3 < song.microphone.peak < 0.9
        assert abs(audio.mean()) < 1e-4


def test_the_voice_is_the_same_at_another_rate():
    singer, song = steady(1, breathiness=0.005), tone("ɛ")
    low, high = sing(singer, song, rng(0), RATE), sing(singer, song, rng(0), 48_000)
    high = librosa.resample(high, orig_sr=48_000, target_sr=RATE)
    for band in ((0, 1000), (1000, 3000), (3000, 6000)):
        level = [power_db(audio, *band) - power_db(audio, 0, 6000) for audio in (low, high)]
        assert level[0] == pytest.approx(level[1], abs=1.0)


def test_equal_seeds_sing_alike_and_others_do_not():
    singer, song = singer_of(1, "F"), draw_song(rng(2), 2.0)
    once = sing(singer, song, rng(3))
    np.testing.assert_array_equal(once, sing(singer, song, rng(3)))
    assert not np.array_equal(once, sing(singer, song, rng(4)))
    assert draw_song(rng(2), 2.0) == song != draw_song(rng(3), 2.0)
    assert singer_of(1, "F") == singer != singer_of(2, "F")


def test_room_and_microphone_are_heard():
    singer, dry = steady(1), Song((Note(0, 1.0, "ɑ"), Note(0, 0.5, "")))
    wet = dataclasses.replace(dry, room=Room(0.4, 0.0, 0.01, 1))
    after = slice(int(1.06 * RATE), int(1.21 * RATE))
    tail = [power_db(sing(singer, song, rng(0))[after], 0, 1000) for song in (dry, wet)]
    assert tail[1] > tail[0] + 6  # louder than the breath drawn there
    dull = dataclasses.replace(dry, microphone=Microphone(slope_db=-3.0))
    bright = [power_db(sing(singer, song, rng(0)), 2000, 4000) for song in (dull, dry)]
    assert bright[1] > bright[0] + 3
    noisy = dataclasses.replace(dry, microphone=Microphone(noise_db=-30.0, peak=0.5))
    hiss = sing(singer, noisy, rng(0))[after]
    assert 20 * np.log10(hiss.std() / 0.5) == pytest.approx(-30, abs=1)


def test_identity_lies_in_the_voice():
    """Two songs of one singer in one pitch range are more alike than songs of two singers."""
    vectors, who = [], []
    for seed in range(5):
        singer = singer_of(seed, "F", center_midi=62.0, range_semitones=18.0)
        for k in range(4):
            song = draw_song(rng(seed, k), 4.0)
            mfcc = librosa.feature.mfcc(y=sing(singer, song, rng(seed, k, 1)), sr=RATE, n_mfcc=20)
            vectors.append(np.append(mfcc.mean(axis=1), mfcc.std(axis=1)))
            who.append(seed)
    vectors = (vectors - np.mean(vectors, axis=0)) / np.std(vectors, axis=0)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    a, b = np.triu_indices(len(who), 1)
    score, target = np.sum(vectors[a] * vectors[b], axis=1), np.array(who)[a] == np.array(who)[b]
    area = np.mean(score[target][:, None] > score[~target])
    assert 0.7 < area < 0.999  # neither hidden nor given away
