"""Plans: time maps, tunes and traits do what the settings say, and depend on the seed alone."""

import math

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from singerid.resing_settings import PLAIN, ChannelSettings, ResingSettings
from singerid.resinging.bank_tensors import BankTensors
from singerid.resinging.draws import Draws, seeded
from singerid.resinging.plan import draw_plan
from singerid.resinging.timemap import draw_time_map
from singerid.resinging.traits import Identities, formant_shifts, source_hz
from singerid.resinging.tune import draw_tune
from synthetic_voices import N_FRAMES, synthetic_bank

BANK = BankTensors.of(synthetic_bank())
CPU = torch.device("cpu")
HOP = 0.01


def changed(**values):
    """`PLAIN` with some effects switched on; checked as a user's settings are."""
    return ResingSettings(**PLAIN.model_dump() | values)


def plan_of(settings, n_crops=6, n_frames=200, seed=0, identities=None):
    people = Identities(len(BANK.names), settings)
    identities = torch.arange(n_crops) % people.n if identities is None else identities
    rows = BANK.order[BANK.first[identities // people.variants]]
    return draw_plan(
        BANK, rows, identities, people, seeded(seed), settings, n_frames=n_frames, hop_seconds=HOP
    )


def tune_of(settings, n_crops=8, n_frames=400, median=200.0, seed=0):
    people = Identities(n_crops, settings)
    draws = Draws(n_crops, seeded(seed), CPU)
    traits = people.draw(torch.arange(n_crops) * people.variants, draws)
    return draw_tune(torch.full((n_crops,), median), traits, n_frames, HOP, settings, draws)


def assert_equal(plan, other):
    for name in plan.__slots__:
        mine, theirs = getattr(plan, name), getattr(other, name)
        assert torch.equal(torch.as_tensor(mine), torch.as_tensor(theirs)), name


# ------------------------------------------------------------------------------------------- seeds


def test_the_same_seed_makes_the_same_plan():
    assert_equal(plan_of(ResingSettings(), seed=5), plan_of(ResingSettings(), seed=5))
    assert not torch.equal(plan_of(ResingSettings()).f0, plan_of(ResingSettings(), seed=1).f0)


def test_generators_of_neighboring_keys_are_unrelated():
    first = torch.stack([torch.rand(64, generator=seeded(0, step)) for step in range(64)])
    other = torch.stack([torch.rand(64, generator=seeded(1, step)) for step in range(64)])
    assert len({round(float(x), 5) for x in torch.cat([first, other])[:, 0]}) > 120
    correlation = np.corrcoef(torch.cat([first, other]).numpy())
    assert np.abs(correlation - np.eye(128)).max() < 0.6
    assert not torch.equal(
        torch.rand(4, generator=seeded(1, 2)), torch.rand(4, generator=seeded(2, 1))
    )


def test_wandering_has_unit_variance_and_the_rates_asked_for():
    time = torch.arange(4000) * HOP
    slow = Draws(200, seeded(0), CPU).wander(time, 0.5, 2.0)
    assert float(slow.var()) == pytest.approx(1, abs=0.1)
    power = torch.fft.rfft(slow).abs().square().mean(0)
    hz = torch.fft.rfftfreq(4000, HOP)
    assert float(power[(hz > 0.4) & (hz < 2.2)].sum() / power.sum()) > 0.98


# ---------------------------------------------------------------------------------------- time map


def test_without_stretch_the_speech_goes_on_at_its_own_pace():
    plan = plan_of(PLAIN)
    period = BANK.spec.frame_period
    source = (plan.left - plan.left[:, :1]) % N_FRAMES + plan.fraction
    expected = torch.arange(200) * HOP / period
    assert torch.allclose(source, expected.expand(6, -1), atol=1e-3)


def test_voiced_frames_are_stretched_as_asked_and_unvoiced_ones_are_not():
    settings = changed(stretch_min=3, stretch_max=3)
    rows = torch.zeros(20, dtype=torch.long)
    # Ten times the source: the crop passes through all that its hold was computed from.
    time_map = draw_time_map(BANK, rows, 1000, HOP, settings, Draws(20, seeded(0), CPU))
    unvoiced = ~time_map.voiced
    source = time_map.left % N_FRAMES + time_map.fraction
    pace = source.diff(dim=1) * BANK.spec.frame_period / HOP
    inside = unvoiced[:, 1:] & unvoiced[:, :-1] & (pace > 0)
    assert pace[inside].mean() == pytest.approx(1, abs=0.02)
    voiced = time_map.voiced[:, 1:] & time_map.voiced[:, :-1] & (pace > 0)
    # Time in voiced frames over time in the speech that they cover.
    assert 1 / float(pace[voiced].mean()) == pytest.approx(3, rel=0.2)


def test_the_edges_of_voiced_stretches_keep_their_time():
    settings = changed(stretch_min=4, stretch_max=4)
    time_map = draw_time_map(
        BANK, torch.zeros(20, dtype=torch.long), 800, HOP, settings, Draws(20, seeded(1), CPU)
    )
    place = time_map.left % N_FRAMES % 40  # voiced for 30 of 40 frames
    counts = torch.bincount(place.reshape(-1), minlength=40).float()
    edges, middle = counts[[0, 1, 28, 29]].mean(), counts[8:22].mean()
    assert middle > 3 * edges
    assert edges == pytest.approx(float(counts[31:39].mean()), rel=0.2)


def test_sources_stay_within_their_recording():
    plan = plan_of(ResingSettings(), n_crops=12, n_frames=1200)
    low, high = BANK.starts[plan.rows][:, None], BANK.starts[plan.rows + 1][:, None]
    for frame in (plan.left, plan.right):
        assert bool((frame >= low).all())
        assert bool((frame < high).all())
    assert bool((plan.fraction >= 0).all())
    assert bool((plan.fraction <= 1).all())


def test_frames_are_voiced_where_the_speech_is():
    plan = plan_of(ResingSettings())
    nearest = torch.where(plan.fraction > 0.5, plan.right, plan.left)
    assert torch.equal(plan.f0 > 0, BANK.f0[nearest] > 0)


def test_hum_that_a_tracker_took_for_a_voice_is_not_sung():
    quiet = BANK.cepstrum.clone()
    hum = torch.arange(len(quiet)) % 40 < 10
    quiet[hum, 0] = -120
    bank = BankTensors(**{k: getattr(BANK, k) for k in BANK.__slots__} | {"cepstrum": quiet})
    rows = torch.zeros(4, dtype=torch.long)
    time_map = draw_time_map(bank, rows, 300, HOP, PLAIN, Draws(4, seeded(0), CPU))
    nearest = torch.where(time_map.fraction > 0.5, time_map.right, time_map.left)
    assert not bool((time_map.voiced & hum[nearest]).any())
    assert bool(time_map.voiced.any())


# -------------------------------------------------------------------------------------------- tune


def test_a_plain_tune_is_one_note_on_the_median():
    tune = tune_of(PLAIN)
    assert torch.allclose(tune.f0, torch.tensor(200.0), rtol=1e-5)
    assert float(tune.slope.abs().max()) < 1e-4


def test_vibrato_has_the_rate_and_extent_asked_for():
    settings = changed(
        vibrato_role="within", vibrato_probability=1, vibrato_hz_min=5.5, vibrato_hz_max=5.5,
        vibrato_cents_min=80, vibrato_cents_max=80, vibrato_onset=0, note_min=20, note_max=20,
    )  # fmt: skip
    cents = 1200 * torch.log2(tune_of(settings, n_crops=16, n_frames=800).f0 / 200).numpy()
    steady = cents[:, 400:]
    spectrum = np.abs(np.fft.rfft(steady * np.hanning(400), 8192))
    rates = np.fft.rfftfreq(8192, HOP)[spectrum.argmax(1)]
    assert np.abs(rates - 5.5).max() < 0.4  # the rate wanders by 3 %
    assert rates.mean() == pytest.approx(5.5, abs=0.15)
    assert np.sqrt(2) * steady.std(1) == pytest.approx(80, rel=0.05)


def test_vibrato_sets_in_after_the_straight_beginning():
    straight = {}
    for onset in (0, 1):
        settings = changed(
            vibrato_role="within", vibrato_probability=1, vibrato_onset=onset, note_min=2,
            note_max=2, vibrato_cents_min=50,
        )  # fmt: skip
        f0 = tune_of(settings, n_crops=64, n_frames=400).f0
        # A turning point of vibrato is flat for a moment, a straight beginning for longer.
        flat = (1200 * torch.log2(f0 / 200)).abs() < 0.5
        straight[onset] = float(flat.float().mean())
    assert straight[0] < 0.05
    assert straight[1] == pytest.approx(0.25, abs=0.07)  # half a second of two
    off = tune_of(changed(vibrato_role="within", vibrato_probability=0))
    assert torch.allclose(off.f0, torch.tensor(200.0))


def test_notes_lie_on_the_scale_and_are_reached():
    settings = changed(leap=7, note_min=1.2, note_max=1.2, glide_min=10, glide_max=11)
    tune = tune_of(settings, n_crops=20, n_frames=1000)
    semitones = 12 * torch.log2(tune.f0 / tune.center[:, None])
    still = tune.slope.abs() < 1e-4
    assert float(still.float().mean()) > 0.5
    held = semitones[still]
    assert torch.allclose(held, held.round(), atol=0.02)
    assert len(set(held.round().tolist())) > 5
    assert float(held.abs().max()) <= 12  # a leap of 7 semitones is at most 4 or 5 degrees


def test_there_are_narrow_melodies_and_wide_ones():
    """A reach is drawn for each crop: as often one degree as the widest, and sometimes none."""
    settings = changed(leap=12, note_min=0.2, note_max=0.4, glide_min=10, glide_max=11)
    tune = tune_of(settings, n_crops=400, n_frames=800)
    still = tune.slope.abs() < 1e-3
    semitones = 12 * torch.log2(tune.f0 / 200)
    widest = torch.where(still, semitones.abs(), 0).max(1).values.round()
    shares = torch.bincount(widest.long(), minlength=13) / 400
    assert len(shares) == 13  # nobody leaves the octave; seven degrees make one
    assert 0.06 < float(shares[0]) < 0.2  # one of eight reaches is nothing: a single note
    assert 0.06 < float(shares[12]) < 0.2
    assert 0.3 < float(shares[:6].sum()) < 0.7
    one = tune_of(changed(note_min=0.2, note_max=0.4), n_crops=20)
    assert torch.allclose(one.f0, torch.tensor(200.0))  # no leap, one note


def test_a_change_of_note_follows_the_second_order_control():
    settings = changed(leap=7, note_min=1.5, note_max=1.5, glide_min=4, glide_max=4)
    tune = tune_of(settings, n_crops=40, n_frames=150)
    semitones = 12 * torch.log2(tune.f0 / 200)
    steps = (semitones[:, -1] - semitones[:, 0]).abs()
    slopes = tune.slope.abs().max(1).values * 12 / math.log(2)
    moved = steps > 1
    # The steepest rise of a step through 1 / (s² + 2ζωs + ω²), ζ 0.6 … 0.95: 0.37 to 0.5 ω a step.
    ratio = (slopes / steps)[moved] / (2 * math.pi * 4)
    assert int(moved.sum()) > 5
    assert bool((ratio > 0.3).all())
    assert float(ratio.median()) < 0.55


def test_melodies_cover_the_range_about_the_median_and_nobody_leaves_what_can_be_sung():
    settings = changed(pitch_min=-0.4, pitch_max=1.1)
    octaves = torch.log2(tune_of(settings, n_crops=300, n_frames=20).center / 200)
    assert float(octaves.min()) == pytest.approx(-0.4, abs=0.03)
    assert float(octaves.max()) == pytest.approx(1.1, abs=0.03)
    for median in (70.0, 900.0):
        f0 = tune_of(ResingSettings(), n_crops=50, median=median).f0
        assert float(f0.min()) >= 0.9 * 65 - 0.01
        assert float(f0.max()) <= 1.1 * 1050 + 0.1


def test_scoops_begin_below_the_note():
    settings = changed(scoop_probability=1, scoop_cents=200, note_min=0.5, note_max=0.5)
    tune = tune_of(settings, n_crops=100, n_frames=100)
    cents = 1200 * torch.log2(tune.f0 / 200)
    assert float(cents.max()) < 1
    assert 60 < float(-cents.min(1).values.mean()) < 300


def test_f0_does_not_jump_where_notes_with_vibrato_and_scoops_follow_one_another():
    settings = changed(
        scoop_probability=1, scoop_cents=150, vibrato_role="within", vibrato_probability=1,
        vibrato_cents_min=120, vibrato_onset=0, note_min=0.2, note_max=0.6,
    )  # fmt: skip
    people = Identities(20, settings)
    draws = Draws(20, seeded(0), CPU)
    traits = people.draw(torch.arange(20) * people.variants, draws)
    tune = draw_tune(torch.full((20,), 200.0), traits, 3000, 0.001, settings, draws)
    cents = 1200 * torch.log2(tune.f0 / 200)
    assert float(cents.std()) > 40
    assert float(cents.diff(dim=1).abs().max()) < 30  # a millisecond


def test_drift_and_jitter_have_the_size_asked_for():
    drift = 1200 * torch.log2(tune_of(changed(drift_cents=20), 50, 2000).f0 / 200)
    assert float(drift.std()) == pytest.approx(20, rel=0.15)
    jitter = 1200 * torch.log2(tune_of(changed(jitter_cents=5), 8).f0 / 200)
    assert float(jitter.diff(dim=1).std()) == pytest.approx(5 * math.sqrt(2), rel=0.05)
    assert float(tune_of(changed(jitter_cents=5), 8).slope.abs().max()) < 1e-3  # no widened lobes


def test_a_voice_without_pitch_is_given_one():
    nobody = BankTensors(
        **{k: getattr(BANK, k) for k in BANK.__slots__} | {"median_f0": torch.zeros(6)}
    )
    people = Identities(3, PLAIN)
    identities = torch.arange(3)
    plan = draw_plan(
        nobody, identities * 2, identities, people, seeded(0), PLAIN, n_frames=50, hop_seconds=HOP
    )
    assert torch.allclose(plan.f0[plan.f0 > 0], torch.tensor(155.0))


# ------------------------------------------------------------------------------------------ traits


def test_warps_of_a_singer_keep_apart_and_one_is_natural():
    settings = ResingSettings(variants=5, bend_role="off", larynx=0)
    people = Identities(200, settings)
    traits = people.draw(torch.arange(people.n), Draws(people.n, seeded(0), CPU))
    warps = traits["warp"].reshape(200, 5)
    assert bool((warps[:, 0] == 0).all())
    assert float(warps.exp().min()) >= 0.8 - 1e-6
    assert float(warps.exp().max()) <= 1.25 + 1e-6
    assert float(warps.exp().min()) < 0.82
    assert float(warps.exp().max()) > 1.22
    distance = (warps[:, :, None] - warps[:, None]).abs() + torch.eye(5)
    assert float(distance.min()) >= settings.warp_gap - 1e-6


def test_an_identity_keeps_its_traits_and_varies_the_others():
    settings = ResingSettings(effort_role="identity", ring_role="identity")
    people = Identities(3, settings)
    same = torch.full((50,), 6)  # variant 2 of singer 1
    traits = people.draw(same, Draws(50, seeded(0), CPU))
    for name in ("warp", "bend_low", "effort", "ring", "ring_hz"):
        assert len(set(traits[name].tolist())) == 1, name
    for name in ("larynx", "source", "breath", "nasal", "vibrato_hz"):
        assert len(set(traits[name].tolist())) > 40, name
    again = Identities(3, settings).draw(same, Draws(50, seeded(9), CPU))
    assert torch.equal(traits["warp"], again["warp"])
    assert not torch.equal(traits["source"], again["source"])


def test_natural_voices_are_not_changed_by_what_makes_identities():
    settings = ResingSettings(effort_role="identity", vibrato_role="identity")
    people = Identities(20, settings)
    traits = people.draw(torch.arange(20) * 4, Draws(20, seeded(0), CPU))
    for name in ("warp", "bend_low", "bend_middle", "bend_high", "effort"):
        assert not bool(traits[name].any()), name
    assert len(set(traits["vibrato_hz"].tolist())) == 20  # a habit of singing, which speech lacks


def test_a_role_decides_alone_and_moves_no_other_number():
    within = plan_of(ResingSettings(ring_role="within"))
    off = plan_of(ResingSettings(ring_role="off"))
    assert float(within.ring.max()) > 0
    assert float(off.ring.max()) == 0
    assert torch.equal(within.f0, off.f0)
    assert torch.equal(within.nasal, off.nasal)


def test_frequency_axis_is_scaled_as_the_shifts_say():
    hz = torch.tensor([100.0, 500.0, 1600.0, 3500.0, 7000.0])
    whole = source_hz(torch.full((1, 3), math.log(1.25)), hz)
    assert torch.allclose(whole, hz[None] / 1.25)
    one = torch.tensor([[0.0, 0.1, 0.0]])
    ratios = torch.log(hz / source_hz(one, hz)[0])
    assert torch.allclose(ratios, torch.tensor([0, 0, 0.1, 0, 0]), atol=1e-6)
    fine = torch.linspace(50, 8000, 2000)
    bent = torch.tensor([[0.15, -0.15, 0.15]])
    assert bool((source_hz(bent, fine).diff() > 0).all())
    zero = dict.fromkeys(("warp", "larynx", "bend_low", "bend_middle", "bend_high"), torch.zeros(2))
    assert torch.equal(formant_shifts(zero), torch.zeros(2, 3))


# ------------------------------------------------------------------------------------------ effort


def test_effort_brings_its_tilt_and_leaves_consonants_their_spectrum():
    settings = changed(effort_role="within", effort_db=8, effort_tilt=0.3)
    plan = plan_of(settings, n_crops=12)
    voiced = plan.f0 > 0
    assert 0.1 < float(voiced.float().mean()) < 0.9
    assert float(plan.level[voiced].std()) > 2
    assert torch.allclose(plan.tilt[voiced], 0.3 * plan.level[voiced], atol=1e-4)
    assert not bool(plan.tilt[~voiced].any())
    assert float(plan.level.abs().max()) <= 8.001
    for level, own in zip(plan.level, voiced, strict=True):  # one effort a crop, half in consonants
        assert torch.allclose(level[~own], level[own][0] / 2, atol=1e-4)


def test_higher_notes_are_louder():
    plan = plan_of(changed(effort_octave_db=6, leap=12, note_min=0.3, note_max=0.5), 6, 400)
    voiced = plan.f0 > 0
    center = plan.f0[voiced] / torch.exp2(plan.level[voiced] / 6)
    medians = BANK.median_f0[plan.rows][:, None].expand_as(plan.f0)[voiced]
    assert torch.allclose(center, medians, rtol=1e-3)


def test_the_light_register_begins_at_the_passaggio():
    settings = changed(
        register_probability=1, passaggio_min=300, passaggio_max=300, pitch_min=-1, pitch_max=2
    )
    plan = plan_of(settings, n_crops=200, n_frames=30)
    f0, lift = plan.f0, plan.first_partial
    assert float(lift[f0 > 360].min()) > 5.8
    assert float(lift[(f0 > 0) & (f0 < 250)].max()) < 0.2
    assert torch.allclose(plan.tilt, -lift / 2 * (f0 > 0), atol=1e-5)


def test_sustained_vowels_fade_less():
    level = plan_of(changed(sustain=1), n_crops=6).level
    assert float(level.abs().max()) > 0
    c0 = BANK.cepstrum[:, 0].float() * BANK.scale[0] * 10 / math.log(10)
    plan = plan_of(changed(sustain=1), n_crops=6)
    spoken = torch.lerp(c0[plan.left], c0[plan.right], plan.fraction)
    voiced = plan.f0 > 0
    assert float((spoken + level)[voiced].std()) < float(spoken[voiced].std())


def test_mouths_open_above_f1_only():
    plan = plan_of(changed(opening=1, pitch_min=1.9, pitch_max=1.9), n_crops=12)
    assert float(plan.opening.max()) > 1.1
    low = plan_of(changed(opening=1))
    assert bool((low.opening == 1).all())


# ---------------------------------------------------------------------------------------- settings


def test_ranges_are_checked():
    with pytest.raises(ValidationError, match="stretch_min 7 must not exceed stretch_max 6"):
        ResingSettings(stretch_min=7)
    with pytest.raises(ValidationError, match="vibrato_hz_min 8 must not exceed vibrato_hz_max 7"):
        ResingSettings(vibrato_hz_min=8)
    with pytest.raises(ValidationError, match="snr_min_db 60 must not exceed snr_max_db 55"):
        ChannelSettings(snr_min_db=60)
    with pytest.raises(ValidationError, match="extra"):
        ResingSettings(pitch=1)


def test_a_plan_can_be_cut():
    plan = plan_of(ResingSettings())
    part = plan.crops(slice(2, 4))
    assert len(part) == 2
    assert part.n_frames == plan.n_frames == 200
    assert torch.equal(part.f0, plan.f0[2:4])
    assert torch.equal(part.warp, plan.warp[2:4])
    assert_equal(plan, plan.to("cpu"))
