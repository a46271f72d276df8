"""Re-singing's settings: what is drawn, from which range, and whether it makes a new person.

Ranges are physiological; the plan (`singerid.resinging.plan`) says how each number acts.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, model_validator

from singerid.sections import Section, setting

Role = Literal["within", "identity", "off"]
"""Of an effect: drawn for each crop, drawn once for each identity, or left out."""


def check_ranges(section: BaseModel) -> None:
    """Every `…min…` must not exceed its `…max…`, every `lowest…` its `highest…`.

    Raises:
        ValueError: one does.
    """
    values = section.model_dump()
    for name, low in values.items():
        other = name.replace("min", "max") if "min" in name.split("_") else name
        other = other.replace("lowest", "highest")
        if other != name and low > values[other]:
            raise ValueError(f"{name} {low:g} must not exceed {other} {values[other]:g}")


class ResingSettings(Section):
    """How voices are sung anew.

    An identity is a singer and a variant. Variant 0 is the natural voice; the others differ by
    the effects whose role is "identity". Effects "within" vary from crop to crop of one identity.
    """

    real_share: float = setting(0.35, "share of crops that are the real recordings", ge=0, le=1)
    variants: int = setting(4, "identities made of one singer, the natural one included", ge=1)

    warp_role: Role = setting("identity", "of the tract's length")
    warp_min: float = setting(
        0.80, "lowest factor on the frequencies of formants (adults' tracts differ by 0.8 … 1.25; "
        "Fitch and Giedd 1999, J. Acoust. Soc. Am. 106)", ge=0.5, le=1,
    )  # fmt: skip
    warp_max: float = setting(1.25, "highest factor", ge=1, le=2)
    warp_gap: float = setting(
        0.05, "least distance of two variants' factors, and of 1, in nepers", ge=0, le=0.2
    )
    pitch_coupling: float = setting(
        1.0, "a warped voice's pitch is multiplied by this power of its factor", ge=0, le=4
    )
    larynx: float = setting(
        0.02, "change of the tract's length within a person, up or down: singers move the larynx "
        "by a centimeter (Sundberg 1987, The science of the singing voice, ch. 5)", ge=0, le=0.1,
    )  # fmt: skip
    bend_role: Role = setting("identity", "of formants moved one by one")
    bend: float = setting(
        0.05, "most by which low, middle and high formants move apart from one another: mouth and "
        "throat grow apart (Fant 1966, Q. Rep. STL 7(4))", ge=0, le=0.15,
    )  # fmt: skip

    stretch_min: float = setting(1.0, "least mean stretch of voiced frames", ge=1, le=10)
    stretch_max: float = setting(6.0, "greatest mean stretch of voiced frames", ge=1, le=10)
    sustain: float = setting(
        0.6, "most by which the level's changes in voiced frames are evened out, as a share",
        ge=0, le=1,
    )  # fmt: skip

    pitch_min: float = setting(
        -0.2, "lowest center of a melody, relative to the median F0", unit="octaves", ge=-2, le=2
    )
    pitch_max: float = setting(1.2, "highest center", unit="octaves", ge=-2, le=3)
    lowest_f0: float = setting(65.0, "lowest note of anyone", unit="Hz", ge=55, le=200)
    highest_f0: float = setting(1050.0, "highest note of anyone", unit="Hz", ge=200, le=1500)
    note_min: float = setting(0.15, "shortest note", unit="s", ge=0.05, le=20)
    note_max: float = setting(3.0, "longest note", unit="s", ge=0.05, le=20)
    leap: float = setting(
        7.0,
        "notes of the widest melodies lie within this of the center",
        unit="semitones",
        ge=0,
        le=18,
    )
    glide_min: float = setting(
        2.5, "slowest portamento, as natural frequency of the pitch control (Saitou et al. 2005, "
        "Speech Comm. 46)", unit="Hz", ge=0.5, le=20,
    )  # fmt: skip
    glide_max: float = setting(11.0, "quickest portamento", unit="Hz", ge=0.5, le=30)
    scoop_probability: float = setting(0.25, "of a note that begins below its pitch", ge=0, le=1)
    scoop_cents: float = setting(150.0, "typical depth of a scoop", unit="cents", ge=0, le=1200)
    vibrato_role: Role = setting("within", "of vibrato")
    vibrato_probability: float = setting(0.75, "of a crop with vibrato", ge=0, le=1)
    vibrato_hz_min: float = setting(
        4.0, "slowest vibrato (Prame 1994, J. Acoust. Soc. Am. 96: 6.0 Hz, singers 5.2 … 6.7)",
        unit="Hz", ge=1, le=12,
    )  # fmt: skip
    vibrato_hz_max: float = setting(7.0, "quickest vibrato", unit="Hz", ge=1, le=12)
    vibrato_cents_min: float = setting(
        15.0, "smallest extent, mean to peak (Prame 1997, J. Acoust. Soc. Am. 102: 34 … 123 cents "
        "on the stage)", unit="cents", ge=0, le=400,
    )  # fmt: skip
    vibrato_cents_max: float = setting(120.0, "greatest extent", unit="cents", ge=0, le=400)
    vibrato_onset: float = setting(0.4, "longest straight beginning of a note", unit="s", ge=0)
    drift_cents: float = setting(10.0, "slow wandering of pitch (rms)", unit="cents", ge=0, le=100)
    jitter_cents: float = setting(
        3.0, "frame-to-frame deviation of pitch (rms; Titze 1994, Principles of voice production, "
        "ch. 11)", unit="cents", ge=0, le=50,
    )  # fmt: skip

    effort_role: Role = setting("within", "of vocal effort: level and slope of the spectrum")
    effort_db: float = setting(
        8.0, "most by which a crop is louder or softer than the speech", unit="dB", ge=0, le=30
    )
    effort_swell_db: float = setting(3.0, "slow swelling (rms)", unit="dB", ge=0, le=20)
    effort_octave_db: float = setting(
        6.0, "louder with pitch (Titze and Sundberg 1992, J. Acoust. Soc. Am. 91: 8 to 9)",
        unit="dB/octave", ge=0, le=20,
    )  # fmt: skip
    effort_tilt: float = setting(
        0.3, "slope in dB per octave for each dB of effort (Nordenberg and Sundberg 2004, Logop. "
        "Phoniatr. Vocol. 29: 1.5 to 1.8 dB at 2 … 3 kHz for 1 dB of level)", ge=0, le=1,
    )  # fmt: skip
    source_role: Role = setting("within", "of the first partial: pressed to flowing phonation")
    source_db: float = setting(
        5.0, "most by which the first partial is raised or lowered (Sundberg 1987, ch. 4: up to "
        "15 dB between pressed and flow phonation)", unit="dB", ge=0, le=15,
    )  # fmt: skip
    register_probability: float = setting(
        0.4, "of a crop that goes into the light register above the passaggio", ge=0, le=1
    )
    register_db: float = setting(
        6.0, "the light register's stronger first partial; its slope falls by half as much an "
        "octave (Sundberg and Hogset 2001, J. Voice 15)", unit="dB", ge=0, le=20,
    )  # fmt: skip
    passaggio_min: float = setting(290.0, "lowest passaggio (Titze 1994, ch. 10)", unit="Hz", gt=0)
    passaggio_max: float = setting(680.0, "highest passaggio", unit="Hz", gt=0)
    breath_role: Role = setting("within", "of breathiness")
    breath_min_db: float = setting(-6.0, "least change of the noise in voiced frames", unit="dB")
    breath_max_db: float = setting(
        10.0, "greatest change (Hillenbrand and Houde 1996, J. Speech Hear. Res. 39)", unit="dB"
    )
    opening: float = setting(
        1.0, "most of the way that F1 goes up to F0 at high pitch (Joliveau et al. 2004, Nature "
        "427), as a share", ge=0, le=1,
    )  # fmt: skip
    nasal_role: Role = setting("within", "of nasality")
    nasal_db: float = setting(
        8.0, "deepest zero of a coupled nose, its pole half as high (Hawkins and Stevens 1985, "
        "J. Acoust. Soc. Am. 77)", unit="dB", ge=0, le=20,
    )  # fmt: skip
    ring_role: Role = setting("within", "of the singer's formant")
    ring_db: float = setting(
        8.0, "highest singer's formant, at 2.4 … 3.4 kHz (Sundberg 1974, J. Acoust. Soc. Am. 55)",
        unit="dB", ge=0, le=25,
    )  # fmt: skip

    @model_validator(mode="after")
    def _check(self) -> Self:
        check_ranges(self)
        return self


class ChannelSettings(Section):
    """What lies between a mouth and a file; each effect with its probability, one draw a crop."""

    eq_probability: float = setting(0.6, "of another microphone's curve", ge=0, le=1)
    eq_db: float = setting(3.0, "its deviations (rms)", unit="dB", ge=0, le=20)
    slope_db: float = setting(1.5, "most of its slope, up or down", unit="dB/octave", ge=0, le=6)
    band_probability: float = setting(0.15, "of a limited band", ge=0, le=1)
    low_cut_min: float = setting(60.0, "lowest lower edge", unit="Hz", gt=0)
    low_cut_max: float = setting(300.0, "highest lower edge (telephone)", unit="Hz", gt=0)
    high_cut_min: float = setting(3400.0, "lowest upper edge (telephone)", unit="Hz", gt=0)
    high_cut_max: float = setting(7500.0, "highest upper edge", unit="Hz", gt=0)
    room_probability: float = setting(0.3, "of a room", ge=0, le=1)
    decay_min: float = setting(0.15, "shortest reverberation time RT60", unit="s", gt=0)
    decay_max: float = setting(1.2, "longest reverberation time", unit="s", gt=0, le=10)
    wet_min_db: float = setting(-20.0, "least energy of reverberation to direct", unit="dB")
    wet_max_db: float = setting(-3.0, "greatest", unit="dB")
    noise_probability: float = setting(0.5, "of noise", ge=0, le=1)
    snr_min_db: float = setting(15.0, "lowest signal-to-noise ratio", unit="dB", ge=-20, le=120)
    snr_max_db: float = setting(55.0, "highest", unit="dB", ge=-20, le=120)
    color_min: float = setting(-6.0, "steepest noise (brown)", unit="dB/octave", ge=-12, le=6)
    color_max: float = setting(0.0, "flattest noise (white)", unit="dB/octave", ge=-12, le=6)
    codec_probability: float = setting(0.15, "of what a lossy codec leaves out", ge=0, le=1)
    codec_min_db: float = setting(
        20.0, "least masked level below the neighborhood's peak that is lost", unit="dB", gt=0
    )
    codec_max_db: float = setting(45.0, "greatest", unit="dB", gt=0)
    band_loss_probability: float = setting(
        0.3, "of a codec that drops its highest bands", ge=0, le=1
    )
    accompaniment_probability: float = setting(0.1, "of chords that leak in", ge=0, le=1)
    accompaniment_min_db: float = setting(8.0, "lowest voice-to-chords ratio", unit="dB")
    accompaniment_max_db: float = setting(35.0, "highest", unit="dB")
    level_min_db: float = setting(-12.0, "lowest gain", unit="dB", ge=-60, le=60)
    level_max_db: float = setting(6.0, "highest gain", unit="dB", ge=-60, le=60)

    @model_validator(mode="after")
    def _check(self) -> Self:
        check_ranges(self)
        return self


PLAIN = ResingSettings(
    real_share=0, variants=1, warp_role="off", larynx=0, bend_role="off", stretch_max=1, sustain=0,
    pitch_min=0, pitch_max=0, leap=0, note_min=1.5, scoop_probability=0, vibrato_role="off",
    drift_cents=0, jitter_cents=0, effort_role="off", effort_swell_db=0, effort_octave_db=0,
    source_role="off", register_probability=0, breath_role="off", opening=0, nasal_role="off",
    ring_role="off",
)  # fmt: skip
"""Nothing but one steady note on the median F0: what tests and figures switch effects on from."""

CLEAN = ChannelSettings(
    eq_probability=0, band_probability=0, room_probability=0, noise_probability=0,
    codec_probability=0, accompaniment_probability=0, level_min_db=0, level_max_db=0,
)  # fmt: skip
"""No channel at all."""
