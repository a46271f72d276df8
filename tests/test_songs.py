"""Songs to listen to: whose they are, how they sound, what is said and drawn of them."""

import json
from dataclasses import replace

import numpy as np
import pytest

from singerid.errors import ConfigError, StoreError
from singerid.features import world
from singerid.resing_settings import PLAIN, ResingSettings
from singerid.resinging.bank_tensors import BankTensors
from singerid.resinging.levels import decibels
from singerid.resinging.pictures import song_figure
from singerid.resinging.render import Renderer
from singerid.resinging.songs import PEAK_DB, choose_rows, sing_song
from singerid.voicebank.parametric import bank_from_voices
from singerid.voices import draw_singer
from synthetic_voices import always_voiced, synthetic_bank

BANK = synthetic_bank()
TENSORS = BankTensors.of(BANK)
RATE = 16_000


def changed(**values):
    return ResingSettings(**PLAIN.model_dump() | values)


# ---------------------------------------------------------------------------------------- choosing


def test_songs_go_from_singer_to_singer():
    rows = choose_rows(BANK, 6, seed=1)
    assert sorted(rows) == list(range(6))
    for three in (rows[:3], rows[3:]):
        assert {BANK.singers[row] for row in three} == set(BANK.singers)
    assert choose_rows(BANK, 8, seed=1) == rows + rows[:2]
    assert len({tuple(choose_rows(BANK, 6, seed)) for seed in range(10)}) > 5


def test_a_singer_or_a_recording_can_be_asked_for():
    assert sorted(choose_rows(BANK, 2, 0, singer="singer1")) == [2, 3]
    assert choose_rows(BANK, 3, 0, id="4") == [4, 4, 4]
    assert choose_rows(BANK, 1, 0, singer="singer2", id="4") == [4]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"singer": "singer9"}, r"no singer 'singer9'; found 3 others; did you mean 'singer"),
        ({"id": "nothing like it"}, r"no recording 'nothing like it'; found 6 others$"),
        ({"singer": "singer0", "id": "4"}, r"nothing to sing; found none of 'singer0' is '4'"),
    ],
)
def test_who_is_not_there_is_named(asked, words):
    with pytest.raises(StoreError, match=words):
        choose_rows(BANK, 1, 0, **asked)


def test_nobody_sings_in_an_empty_bank():
    with pytest.raises(StoreError, match="nothing to sing; found no recordings"):
        choose_rows(replace(BANK, ids=(), singers=()), 1, 0)


# ------------------------------------------------------------------------------------------- sound


@pytest.fixture(scope="module")
def songs():
    pytest.importorskip("pyworld")
    voices = always_voiced(BANK)
    tensors = BankTensors.of(voices)
    settings = ResingSettings()
    return [
        sing_song(voices, tensors, k, settings, variant=k, seconds=2.0, seed=k) for k in range(3)
    ]


def test_songs_fill_the_scale_without_clipping_and_begin_and_end_softly(songs):
    for song in songs:
        assert len(song.samples) == 1 + round((song.plan.n_frames - 1) * 0.01 * RATE)
        peak = np.abs(song.samples).max()
        assert 20 * np.log10(peak) == pytest.approx(PEAK_DB, abs=1e-3)
        for edge in (song.samples[:16], song.samples[-16:]):
            assert np.abs(edge).max() < 0.03 * peak


def test_the_gain_is_said():
    pytest.importorskip("pyworld")
    rms = []
    for level in (0, -30):
        voices = BANK.select([0])
        voices.levels[:] = level
        song = sing_song(voices, BankTensors.of(voices), 0, PLAIN, seconds=1.0)
        power = np.mean(np.square(song.samples, dtype=float))
        rms.append(10 * np.log10(power) - song.facts["gain_db"])
    assert rms[0] - rms[1] == pytest.approx(30, abs=0.2)


def test_f0_in_the_sound_is_that_of_the_plan(songs):
    for song in songs:
        found = world.track_f0(song.samples, RATE, fmin=71, frame_period_ms=10)
        wanted = song.plan.f0[0].numpy()
        n = min(len(found), len(wanted)) - 5
        voiced = (found[5:n] > 0) & (wanted[5:n] > 0)
        assert voiced.mean() > 0.9
        cents = 1200 * np.log2(found[5:n][voiced] / wanted[5:n][voiced])
        assert np.median(np.abs(cents)) < 10


def test_facts_are_what_was_sung():
    pytest.importorskip("pyworld")
    settings = changed(
        variants=2, warp_role="identity", warp_min=1.0, warp_max=1.2, stretch_min=2, stretch_max=2,
        vibrato_role="within", vibrato_probability=1, vibrato_hz_min=6, vibrato_hz_max=6,
        vibrato_cents_min=50, vibrato_cents_max=50, pitch_coupling=0,
    )  # fmt: skip
    song = sing_song(BANK, TENSORS, 3, settings, variant=1, seconds=3.0, seed=5)
    facts = json.loads(json.dumps(song.facts))
    assert (facts["singer"], facts["recording"], facts["variant"]) == ("singer1", "3", 1)
    assert (facts["seed"], facts["seconds"]) == (5, 3.0)
    assert 1.05 <= facts["warp"] <= 1.2
    assert facts["formants"] == [facts["warp"]] * 3
    assert (facts["vibrato_hz"], facts["vibrato_cents"]) == (6.0, 50.0)
    assert facts["speech_f0_hz"] == pytest.approx(float(BANK.median_f0[3]), abs=0.05)
    assert facts["lowest_f0_hz"] < facts["median_f0_hz"] < facts["highest_f0_hz"]
    assert facts["highest_f0_hz"] / facts["lowest_f0_hz"] == pytest.approx(2 ** (1 / 12), rel=0.01)
    assert facts["voiced"] == pytest.approx(2 * 0.75 / (2 * 0.75 + 0.25), abs=0.08)
    assert 1.5 < facts["stretch"] < 2
    assert facts["level_db"] == facts["tilt_db_per_octave"] == 0
    assert song.line() == (
        f"singer1, variant 1, formants × {facts['warp']:.2f}, F0 {facts['median_f0_hz']:.0f} Hz "
        f"(speech {facts['speech_f0_hz']:.0f} Hz), vibrato 6.0 Hz ± 50 cents, "
        f"gain {facts['gain_db']:+.1f} dB"
    )
    plain = sing_song(BANK, TENSORS, 3, PLAIN, seconds=1.0)
    assert plain.facts["vibrato_hz"] is None
    assert "formants × 1.00" in plain.line()
    assert "no vibrato" in plain.line()


@pytest.mark.parametrize("seconds", [0.5, 61.0, float("nan")])
def test_lengths_out_of_range_are_refused(seconds):
    with pytest.raises(ConfigError, match=r"length of a song out of range; found .*; expected 1 …"):
        sing_song(BANK, TENSORS, 0, PLAIN, seconds=seconds)


# ---------------------------------------------------------------------------------------- pictures


def images(figure):
    return [axes.images[0] for axes in figure.axes if axes.images and axes.get_ylabel() != "dB"]


def test_pictures_show_recording_rendered_and_sound_on_one_scale(songs):
    voices = always_voiced(BANK)
    render = Renderer(BankTensors.of(voices))
    song = songs[1]
    figure = song_figure(render, song, "some $title$")
    recording, rendered, sound = images(figure)
    expected = decibels(render(song.plan), render.spec.mel)[0].numpy()
    np.testing.assert_allclose(rendered.get_array(), expected.T, rtol=1e-5)
    assert recording.get_array().shape == rendered.get_array().shape
    heard, drawn = sound.get_array()[:, 5:-5], rendered.get_array()[:, 5:-5]
    loud = heard > heard.max() - 40
    assert np.abs(heard - drawn)[loud].mean() < 1.5  # dB
    limits = {image.get_clim() for image in (recording, rendered, sound)}
    assert len(limits) == 1
    labels = [axes.get_ylabel() for axes in figure.axes]
    assert labels[:4] == ["recording (Hz)", "rendered (Hz)", "sound (Hz)", "F0 (Hz)"]


def test_the_plans_f0_is_drawn_on_the_first_partial(songs):
    song = songs[0]
    figure = song_figure(Renderer(BankTensors.of(always_voiced(BANK))), song)
    band = figure.axes[1].lines[0].get_ydata()
    levels = images(figure)[1].get_array()
    f0 = song.plan.f0[0].numpy()
    frames = np.flatnonzero((f0 > 150) & (np.abs(np.gradient(f0)) < 1))
    nearest = np.rint(band[frames]).astype(int)
    around = np.stack([levels[nearest + k, frames] for k in range(-3, 4)])
    assert np.mean(np.abs(around.argmax(0) - 3) <= 1) > 0.9
    plan, found = figure.axes[3].lines
    np.testing.assert_allclose(plan.get_ydata(), f0)
    assert np.nanmedian(found.get_ydata()) == pytest.approx(np.median(f0), rel=0.05)


def test_parametric_voices_have_no_recording_to_show():
    pytest.importorskip("pyworld")
    rng = np.random.default_rng(0)
    singers = [draw_singer(rng, name, "F") for name in "ab"]
    voices = bank_from_voices(singers, rng, seconds=2.0, spec=BANK.spec)
    tensors = BankTensors.of(voices)
    song = sing_song(voices, tensors, 1, ResingSettings(), variant=3, seconds=1.0)
    figure = song_figure(Renderer(tensors), song)
    assert [axes.get_ylabel() for axes in figure.axes[:3]] == [
        "rendered (Hz)", "sound (Hz)", "F0 (Hz)",
    ]  # fmt: skip
    assert len(figure.axes[0].lines) == 1


def test_whispers_have_a_picture_too():
    pytest.importorskip("pyworld")
    voices = BANK.select([0])
    voices.f0[:] = 0
    tensors = BankTensors.of(voices)
    song = sing_song(voices, tensors, 0, PLAIN, seconds=1.0)
    assert song.facts["median_f0_hz"] == song.facts["voiced"] == 0
    assert len(images(song_figure(Renderer(tensors), song))) == 3
