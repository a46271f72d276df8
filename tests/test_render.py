"""Rendered frames against sounds: sums of sinusoids and white noise through our own front end."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from singerid.errors import ConfigError
from singerid.features.mel import log_mel
from singerid.resing_settings import PLAIN, ResingSettings
from singerid.resinging.bank_tensors import BankTensors
from singerid.resinging.comb import HIGHEST_F0, LOWEST_F0, comb_table, frozen_noise
from singerid.resinging.draws import seeded
from singerid.resinging.levels import decibels
from singerid.resinging.plan import draw_plan
from singerid.resinging.render import Renderer, cosines, envelope_nepers, noise_nepers
from singerid.resinging.traits import Identities
from singerid.spec import AudioSettings, FeatureSettings, FeatureSpec, MelSettings
from singerid.voicebank.codes import cosines as bank_cosines
from synthetic_voices import ENCODER, FORMANTS, always_voiced, synthetic_bank, whispered

RATE = 16_000
LINEAR = {"dither": 0, "scale": "linear"}
FRONT_ENDS = {
    "encoder": MelSettings(n_fft=512, hop_length=160, spectrum="power", **LINEAR),
    "short": MelSettings(n_fft=400, hop_length=160, spectrum="power", n_mels=64, **LINEAR),
    "autovc": MelSettings(**LINEAR),
}
MELODY = ResingSettings(**PLAIN.model_dump() | {
    "vibrato_role": "within", "vibrato_probability": 1, "vibrato_cents_max": 80, "leap": 7,
    "note_min": 0.3, "note_max": 0.6, "pitch_min": -0.3, "pitch_max": 1.0,
    "stretch_min": 2, "stretch_max": 3,
})  # fmt: skip
HZ = torch.linspace(0, RATE / 2, 1025)


def planned(voices, settings=PLAIN, n_crops=3, n_frames=150, spec=ENCODER, seed=0):
    bank = BankTensors.of(voices)
    people = Identities(len(bank.names), settings)
    identities = torch.arange(n_crops) % people.n
    rows = bank.order[bank.first[identities // people.variants]]
    plan = draw_plan(
        bank, rows, identities, people, seeded(seed), settings, n_frames=n_frames,
        hop_seconds=spec.hop_seconds,
    )  # fmt: skip
    return bank, plan


def at_pitch(plan, f0):
    """The plan on one pitch, without melody."""
    return replace(plan, f0=torch.full_like(plan.f0, f0), slope=torch.zeros_like(plan.slope))


def sung(bank, plan, crop, n_samples):
    """The partials of a crop as a sum of sinusoids with random phases, `(n_samples,)`.

    A partial at h·f0 carries the power of the envelope between its neighbors: S(h·f0) · f0 / rate
    in each of the lines at plus and minus h·f0.
    """
    rng = np.random.default_rng(crop)
    time, frames = np.arange(n_samples) / RATE, np.arange(plan.n_frames) * plan.hop_seconds
    f0 = plan.f0[crop].double().numpy()
    nepers = envelope_nepers(bank, plan.crops(slice(crop, crop + 1)), HZ)[0].double().numpy()
    moving = np.exp(np.interp(time, frames, np.log(f0)))
    phase = 2 * np.pi * np.cumsum(moving) / RATE
    sound = np.zeros(n_samples)
    for h in range(1, int(RATE / 2 / f0.min()) + 1):
        level = [np.interp(h * f, HZ.numpy(), row) for f, row in zip(f0, nepers, strict=True)]
        amplitude = 2 * np.sqrt(np.exp(level) * f0 / RATE)
        below = h * moving < RATE / 2
        partial = np.cos(h * phase + 2 * np.pi * rng.random())
        sound += below * np.interp(time, frames, amplitude) * partial
    return sound.astype(np.float32)


# ------------------------------------------------------------------------------------------- sound


@pytest.mark.parametrize("name", FRONT_ENDS)
def test_partials_look_like_those_of_a_sum_of_sinusoids(name):
    mel = FRONT_ENDS[name]
    spec = FeatureSpec(mel=mel)
    voices = always_voiced(synthetic_bank(features=spec))
    bank, plan = planned(voices, MELODY, n_frames=120, spec=spec)
    rendered = decibels(Renderer(bank)(plan), mel).numpy()
    errors = []
    for crop in range(len(plan)):
        sound = sung(bank, plan, crop, (plan.n_frames - 1) * mel.hop_length + 1)
        heard = decibels(torch.from_numpy(log_mel(sound, RATE, mel)), mel).numpy()
        inner = slice(4, -4)  # the sound has edges, the crop has none
        energetic = heard[inner] > heard[inner].max() - 40
        errors.append((rendered[crop][inner] - heard[inner])[energetic])
    error = np.concatenate(errors)
    # The longer window sees more of how partials change within it.
    assert np.abs(error).mean() < (1.5 if name == "autovc" else 0.8)
    assert abs(error.mean()) < 0.25


@pytest.mark.parametrize("name", FRONT_ENDS)
def test_noise_looks_like_white_noise(name):
    mel = FRONT_ENDS[name]
    spec = FeatureSpec(mel=mel)
    bank, plan = planned(whispered(synthetic_bank(features=spec)), n_crops=6, spec=spec)
    rendered = decibels(Renderer(bank)(plan), mel)
    noise = np.random.default_rng(0).standard_normal(20 * RATE).astype(np.float32)
    heard = decibels(torch.from_numpy(log_mel(noise, RATE, mel)), mel)
    assert torch.allclose(rendered.mean((0, 1)), heard.mean(0), atol=1.0)
    assert float((rendered.mean() - heard.mean()).abs()) < 0.15
    assert torch.allclose(rendered.std((0, 1)), heard.std(0), atol=0.8)  # as restless, too
    # The median neighbor in time is as alike as overlapping windows are.
    steps = [levels.diff(dim=-2).abs().median() for levels in (rendered, heard)]
    assert float(steps[0]) == pytest.approx(float(steps[1]), rel=0.1)


def test_levels_are_those_of_the_recordings():
    voices = synthetic_bank()
    bank, plan = planned(voices)
    louder = BankTensors.of(replace(voices, levels=np.full(6, -20, np.float32)))
    change = decibels(Renderer(louder)(plan) / Renderer(bank)(plan), ENCODER.mel)
    assert torch.allclose(change, torch.tensor(-20.0), atol=1e-2)


# ------------------------------------------------------------------------------------------- pitch


def measured_f0(power, envelope, hz, near):
    """F0 within a semitone of `near`, in steps of 1 cent, by how well a comb of cosines fits."""
    candidates = near * 2 ** (torch.arange(-100, 101) / 1200)
    flat = (power / envelope)[None]
    fits = (flat * torch.cos(2 * math.pi * hz / candidates[:, None])).sum(1)
    return float(candidates[fits.argmax()])


@pytest.mark.parametrize("f0", [82.4, 146.8, 261.6, 440.7, 932.3])
def test_f0_is_the_plans_within_10_cents(f0):
    bank, plan = planned(always_voiced(synthetic_bank()), n_crops=1, n_frames=5)
    plan = at_pitch(plan, f0)
    renderer = Renderer(bank)
    power = renderer.power(plan)[0]
    envelope = envelope_nepers(bank, plan, renderer.hz)[0].exp()
    found = measured_f0(power[2], envelope[2], renderer.hz, f0 * 1.02)
    assert abs(1200 * math.log2(found / f0)) < 10


def test_vibrato_comes_out_with_its_rate_and_extent():
    settings = ResingSettings(**PLAIN.model_dump() | {
        "vibrato_role": "within", "vibrato_probability": 1, "vibrato_hz_min": 6,
        "vibrato_hz_max": 6, "vibrato_cents_min": 70, "vibrato_cents_max": 70,
        "vibrato_onset": 0, "note_min": 20, "note_max": 20, "pitch_min": 1, "pitch_max": 1,
    })  # fmt: skip
    bank, plan = planned(always_voiced(synthetic_bank()), settings, n_crops=1, n_frames=300)
    renderer = Renderer(bank)
    power = renderer.power(plan)[0]
    envelope = envelope_nepers(bank, plan, renderer.hz)[0].exp()
    low = renderer.hz < 2500  # partials higher up are smeared, as they should be
    track = np.array([
        measured_f0(p[low], e[low], renderer.hz[low], 200.0)
        for p, e in zip(power, envelope, strict=True)
    ])  # fmt: skip
    planned_f0 = plan.f0[0].numpy()
    cents = 1200 * np.log2(track / planned_f0)
    assert np.abs(cents[np.abs(1200 * np.log2(planned_f0 / 200)) < 90]).max() < 10
    swing = 1200 * np.log2(track[60:] / 200)
    assert np.sqrt(2) * swing.std() == pytest.approx(70, rel=0.07)
    spectrum = np.abs(np.fft.rfft((swing - swing.mean()) * np.hanning(len(swing)), 4096))
    assert np.fft.rfftfreq(4096, 0.01)[spectrum.argmax()] == pytest.approx(6, abs=0.4)


def test_gliding_partials_are_wider_the_higher_they_are():
    bank, plan = planned(always_voiced(synthetic_bank()), n_crops=1, n_frames=3)
    plan = at_pitch(plan, 400.0)
    renderer = Renderer(bank)
    still = renderer.power(plan)[0, 1]
    moving = renderer.power(replace(plan, slope=torch.full_like(plan.slope, 2.5)))[0, 1]
    depths = []
    for power in (still, moving):
        for h in (1, 14):
            peak = power[(renderer.hz / 400 - h).abs().argmin()]
            valley = power[(renderer.hz / 400 - h - 0.5).abs().argmin()]
            depths.append(float(10 * torch.log10(peak / valley)))
    assert depths[2] == pytest.approx(depths[0], abs=6)  # the first partial hardly sweeps
    assert depths[3] < depths[1] - 8


@pytest.mark.parametrize("f0", [LOWEST_F0 * 2 ** (step / 300) for step in (288, 623, 1103)])
def test_combs_are_sums_of_the_windows_lobes(f0):
    hz, time = np.arange(257) * (RATE / 512), np.arange(512) / RATE
    window = np.hanning(513)[:-1]
    transform = np.exp(-2j * np.pi * np.outer(hz, time)) * window
    expected = np.zeros(257)
    n = int(RATE / 2 / f0)
    for h in (*range(-n, 0), *range(1, n + 1)):
        expected += np.abs(transform @ np.exp(2j * np.pi * h * f0 * time)) ** 2
    expected *= f0 / RATE / np.sum(window**2)
    combs = comb_table(RATE, 512, 0, 257)
    found = combs.table[combs.rows(torch.tensor(f0), torch.tensor(0.0))]
    assert np.allclose(found[:245], expected[:245], rtol=0.01, atol=0.01)
    assert float(found.mean()) == pytest.approx(1, abs=0.06)


def test_combs_have_a_row_for_everything():
    combs = comb_table(RATE, 512, 0, 257)
    assert bool((combs.table > 0).all())
    rows = combs.rows(torch.tensor([0.0, 1.0, 9999.0]), torch.tensor([5.0, 0.0, 99.0]))
    assert torch.equal(combs.table[rows[0]], torch.ones(257))
    assert int(rows[1]) == 0
    assert int(rows[2]) == len(combs.table) - 2
    cents = 1200 * torch.log2(torch.tensor(HIGHEST_F0 / LOWEST_F0)) / (len(combs.table) - 1) * 9
    assert float(cents) < 4.01


def test_frozen_noise_has_mean_one():
    noise = frozen_noise(RATE, 512, 160, 2, 240)
    assert float(noise.mean()) == pytest.approx(1, abs=0.01)
    assert float(noise.std()) == pytest.approx(1, abs=0.03)  # exponentially distributed


# ---------------------------------------------------------------------------------------- envelope


def peaks_of(nepers, low, high):
    """Frequency of the highest value between two frequencies, in each frame."""
    within = (low <= HZ) & (high >= HZ)
    return HZ[within][nepers[..., within].argmax(-1)]


@pytest.mark.parametrize("factor", [0.8, 0.93, 1.25])
def test_formants_move_by_the_warp_factor_and_by_nothing_else(factor):
    bank, plan = planned(always_voiced(synthetic_bank()))
    warped = replace(plan, warp=torch.full_like(plan.warp, math.log(factor)))
    before = envelope_nepers(bank, plan, HZ)
    after = envelope_nepers(bank, warped, HZ * factor)
    assert torch.allclose(after, before, atol=2e-3)
    f3 = peaks_of(envelope_nepers(bank, warped, HZ), 2200 * factor, 2900 * factor)
    assert torch.allclose(f3, peaks_of(before, 2200, 2900) * factor, atol=10)
    for name in ("f0", "level", "tilt", "breath", "left"):
        assert torch.equal(getattr(warped, name), getattr(plan, name))


@pytest.mark.parametrize("alpha", [0.0, 0.42])
def test_cosines_are_the_banks(alpha):
    bank, _ = planned(synthetic_bank())
    settings = bank.spec.settings.model_copy(update={"alpha": alpha})
    bank = replace(bank, spec=bank.spec.model_copy(update={"settings": settings}))
    expected = torch.from_numpy(bank_cosines(HZ.numpy(), RATE, bank.spec.order, alpha))
    assert torch.allclose(cosines(HZ[None], bank)[0], expected, atol=1e-3)
    beyond = cosines(RATE - HZ[None], bank)[0]  # a mirror image above half the sample rate
    assert torch.allclose(beyond, expected, atol=2e-3)


def test_envelopes_are_the_banks():
    voices = synthetic_bank()
    bank, plan = planned(voices)
    start = int(plan.left[0, 0])
    frame = voices.envelope(slice(start, start + 1), HZ.numpy())[0]
    on_frame = replace(plan, fraction=torch.zeros_like(plan.fraction))
    found = envelope_nepers(bank, on_frame, HZ)[0, 0].exp()
    assert np.allclose(found, frame, rtol=1e-3)
    assert abs(float(peaks_of(found, 2200, 2900)) - FORMANTS[2]) < 60


def test_level_and_tilt_are_as_asked():
    bank, plan = planned(synthetic_bank())
    before = envelope_nepers(bank, plan, HZ)
    decibel = 10 / math.log(10)
    louder = envelope_nepers(bank, replace(plan, level=plan.level + 7), HZ)
    assert torch.allclose((louder - before) * decibel, torch.tensor(7.0), atol=1e-2)
    brighter = (envelope_nepers(bank, replace(plan, tilt=plan.tilt + 2), HZ) - before) * decibel
    # A slope from 100 Hz to 4 kHz; above, it falls by half as much again, and ends at 8 kHz.
    at = [int((HZ - hz).abs().argmin()) for hz in (0, 250, 500, 1000, 2000, 4000, 8000)]
    lowest = 2 * math.log2(100 / 500)
    expected = torch.tensor([lowest, -2.0, 0.0, 2.0, 4.0, 6.0, 3.0])
    assert torch.allclose(brighter[..., at], expected.expand(3, 150, 7), atol=0.05)
    high = brighter[0, 0, HZ > 4000]
    assert bool((high.diff() < 0).all())
    assert float(brighter.max()) == pytest.approx(6, abs=0.05)


@pytest.mark.parametrize("f0", [110.0, 233.0, 523.0, 1000.0])
def test_the_first_partial_is_raised_as_asked(f0):
    bank, plan = planned(always_voiced(synthetic_bank()), n_frames=3)
    plan = at_pitch(plan, f0)
    before = envelope_nepers(bank, plan, HZ)
    raised = replace(plan, first_partial=torch.full_like(plan.f0, 6.0))
    change = (envelope_nepers(bank, raised, HZ) - before)[0, 1] * (10 / math.log(10))
    at = [int((HZ - h * f0).abs().argmin()) for h in (1, 2, 3)]
    assert float(change[at[0]]) == pytest.approx(6, abs=1.2)
    assert float(change[at[1]]) < 1.0
    assert float(change[at[2]]) < 0.1


def test_nose_and_ring_act_where_they_should():
    bank, plan = planned(synthetic_bank(), n_crops=1, n_frames=3)
    before = envelope_nepers(bank, plan, HZ)
    decibel = 10 / math.log(10)
    nasal = replace(plan, nasal=torch.full_like(plan.f0, 8.0), nasal_hz=torch.tensor([800.0]))
    change = (envelope_nepers(bank, nasal, HZ) - before)[0, 0] * decibel
    assert float(HZ[change.argmin()]) == pytest.approx(800, rel=0.05)
    assert float(change.min()) == pytest.approx(-8, abs=0.3)
    assert float(HZ[change.argmax()]) == pytest.approx(800 / 2**1.5, rel=0.1)
    ring = replace(plan, ring=torch.full_like(plan.f0, 8.0), ring_hz=torch.tensor([2800.0]))
    change = (envelope_nepers(bank, ring, HZ) - before)[0, 0] * decibel
    assert float(HZ[change.argmax()]) == pytest.approx(2800, rel=0.02)
    assert float(change.max()) == pytest.approx(8, abs=0.1)
    assert float(change[HZ < 1200].abs().max()) < 0.1


def test_opening_the_mouth_raises_f1_and_nothing_above_2_khz():
    bank, plan = planned(always_voiced(synthetic_bank()), n_crops=1, n_frames=3)
    before = envelope_nepers(bank, plan, HZ)
    opened = envelope_nepers(bank, replace(plan, opening=torch.full_like(plan.f0, 1.5)), HZ)
    f1 = peaks_of(before[0, 0], 250, 700)
    assert float(peaks_of(opened[0, 0], 350, 1050) / f1) == pytest.approx(1.5, abs=0.04)
    assert torch.equal(opened[..., HZ > 2000], before[..., HZ > 2000])
    assert bool(opened.isfinite().all())


# ------------------------------------------------------------------------------------------- noise


@pytest.mark.parametrize("noise_db", [-40.0, -20.0, -10.0])
def test_noise_to_harmonic_ratio_is_as_asked(noise_db):
    bank, plan = planned(always_voiced(synthetic_bank(), noise_db), n_crops=6)
    plan = at_pitch(plan, 800.0)
    renderer = Renderer(bank)
    ratio = renderer.power(plan) / envelope_nepers(bank, plan, renderer.hz).exp()
    between = ((renderer.hz / 800 + 0.5) % 1 - 0.5).abs() > 0.4  # far from all partials
    valleys = ratio[..., between & (renderer.hz > 1000)].mean()
    assert float(10 * torch.log10(valleys)) == pytest.approx(noise_db, abs=0.7)
    assert float(ratio.mean()) == pytest.approx(1, abs=0.1)


def test_breath_adds_noise_to_voiced_frames_only():
    bank, plan = planned(synthetic_bank())
    breathy = replace(plan, breath=torch.full_like(plan.f0, 9.0))
    change = noise_nepers(bank, breathy, HZ) - noise_nepers(bank, plan, HZ)
    voiced = plan.f0 > 0
    on_frames = voiced & (plan.fraction < 0.01) & (bank.f0[plan.left] > 0)
    assert torch.allclose(change[on_frames] * 10 / math.log(10), torch.tensor(9.0), atol=0.3)
    assert bool((noise_nepers(bank, plan, HZ)[~voiced] == 0).all())
    much = replace(plan, breath=torch.full_like(plan.f0, 99.0))
    assert float(noise_nepers(bank, much, HZ).max()) <= 1e-5


# ------------------------------------------------------------------------------------------- batch


def test_a_crop_does_not_depend_on_the_others():
    bank, plan = planned(synthetic_bank(), ResingSettings(), n_crops=5)
    renderer = Renderer(bank)
    together = renderer(plan)
    assert together.shape == (5, 150, 80)
    assert bool((together > 0).all())
    assert bool(together.isfinite().all())
    alone = torch.cat([renderer(plan.crops(slice(i, i + 1))) for i in range(5)])
    assert torch.allclose(together, alone, rtol=1e-4)
    assert torch.equal(together, renderer(plan))


def test_front_ends_that_cannot_be_rendered_are_refused():
    bank, plan = planned(synthetic_bank())
    with pytest.raises(
        ConfigError, match=r"cannot be rendered.*\['mel'\] at 22050 Hz.*mel at 16000 Hz"
    ):
        Renderer(bank, FeatureSpec(audio=AudioSettings(sample_rate=22050)))
    with pytest.raises(ConfigError, match="cannot be rendered"):
        Renderer(bank, FeatureSpec(features=FeatureSettings(stream="world")))
    with pytest.raises(ConfigError, match=r"another front end.*0\.01 s.*0\.016"):
        Renderer(bank, FeatureSpec())(plan)


def test_banks_without_frames_are_refused():
    voices = synthetic_bank(n_singers=1, n_recordings=1)
    with pytest.raises(ConfigError, match=r"needs recordings of two frames"):
        BankTensors.of(replace(voices, starts=np.array([0, 1])))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_cpu_and_gpu_agree():
    bank, plan = planned(synthetic_bank(), ResingSettings(), n_crops=8)
    gpu = bank.to("cuda")
    people = Identities(len(bank.names), ResingSettings())
    identities = torch.arange(8) % people.n
    rows = bank.order[bank.first[identities // people.variants]]
    there = draw_plan(
        gpu, rows, identities, people, seeded(0), ResingSettings(), n_frames=150, hop_seconds=0.01
    )
    assert torch.allclose(there.f0.cpu(), plan.f0, rtol=1e-4)
    rendered = decibels(Renderer(gpu)(there.to("cuda")), ENCODER.mel).cpu()
    expected = decibels(Renderer(bank)(plan), ENCODER.mel)
    assert float((rendered - expected).abs().mean()) < 0.05
