"""Songs for virtual singers: notes, the sounds of their syllables, room and microphone."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import scipy.fft

from singerid.errors import ConfigError

FloatArray = npt.NDArray[np.float64]

VOWELS = {
    "i": (342.0, 2322.0, 3000.0),
    "e": (476.0, 2089.0, 2691.0),
    "ɛ": (580.0, 1799.0, 2605.0),
    "ɑ": (768.0, 1333.0, 2522.0),
    "ʌ": (623.0, 1200.0, 2550.0),
    "ɔ": (652.0, 997.0, 2538.0),
    "o": (497.0, 910.0, 2459.0),
    "u": (378.0, 997.0, 2343.0),
}
"""F1, F2, F3 in Hz, means of men (Hillenbrand et al. 1995, Acoustic characteristics of
American English vowels, table V): the reference tract of `voices.REFERENCE_TRACT_CM`."""


@dataclass(frozen=True, slots=True)
class Phase:
    """A stretch of a consonant in which the mouth holds one place.

    Attributes:
        seconds: length in ordinary articulation.
        formants: F1, F2, F3 that the mouth heads for, Hz, in the reference tract.
        voicing: glottal pulses, 1 = as in a vowel.
        aspiration: noise at the glottis, 1 = [h].
        frication: noise at a narrowing of the mouth, 1 = [s].
        noise_hz: center frequency of the frication.
        noise_width_hz: its bandwidth.
        nasal_zero_hz: antiresonance of the closed mouth; 0 = velum closed.
    """

    seconds: float
    formants: tuple[float, float, float]
    voicing: float = 0.0
    aspiration: float = 0.0
    frication: float = 0.0
    noise_hz: float = 4000.0
    noise_width_hz: float = 2000.0
    nasal_zero_hz: float = 0.0


def _stop(
    voiced: bool, locus: tuple[float, float, float], noise_hz: float, width_hz: float
) -> tuple[Phase, ...]:
    """Closure, burst and, if voiceless, aspiration until the voice sets in."""
    closure = Phase(0.06, locus, voicing=0.12 if voiced else 0.0)
    burst = Phase(0.012, locus, 0.1 if voiced else 0.0, 0.2, 0.9, noise_hz, width_hz)
    return (closure, burst) if voiced else (closure, burst, Phase(0.035, locus, aspiration=0.8))


_LABIAL, _ALVEOLAR = (250.0, 900.0, 2200.0), (250.0, 1750.0, 2650.0)
_VELAR = (250.0, 2000.0, 2250.0)
CONSONANTS: dict[str, tuple[Phase, ...]] = {
    "": (),
    "m": (Phase(0.08, (250.0, 1000.0, 2200.0), voicing=0.5, nasal_zero_hz=1000.0),),
    "n": (Phase(0.07, (250.0, 1600.0, 2600.0), voicing=0.5, nasal_zero_hz=1700.0),),
    "l": (Phase(0.07, (350.0, 1150.0, 2750.0), voicing=0.5),),
    "r": (Phase(0.07, (340.0, 1100.0, 1600.0), voicing=0.5),),
    "w": (Phase(0.06, (300.0, 650.0, 2200.0), voicing=0.5),),
    "j": (Phase(0.06, (280.0, 2250.0, 3000.0), voicing=0.5),),
    "h": (Phase(0.08, (500.0, 1500.0, 2500.0), aspiration=1.0),),
    "s": (Phase(0.11, _ALVEOLAR, 0.0, 0.0, 1.0, 6000.0, 2200.0),),
    "ʃ": (Phase(0.11, _ALVEOLAR, 0.0, 0.0, 1.0, 3200.0, 1500.0),),
    "f": (Phase(0.09, _LABIAL, 0.0, 0.0, 0.3, 5000.0, 6000.0),),
    "z": (Phase(0.08, _ALVEOLAR, 0.3, 0.0, 0.5, 5800.0, 2200.0),),
    "v": (Phase(0.06, _LABIAL, 0.4, 0.0, 0.12, 4500.0, 6000.0),),
    "p": _stop(False, _LABIAL, 1200.0, 3000.0),
    "t": _stop(False, _ALVEOLAR, 4200.0, 2500.0),
    "k": _stop(False, _VELAR, 2000.0, 800.0),
    "b": _stop(True, _LABIAL, 1000.0, 3000.0),
    "d": _stop(True, _ALVEOLAR, 3800.0, 2500.0),
    "g": _stop(True, _VELAR, 1900.0, 800.0),
}
"""The phases of each consonant; loci after Klatt 1980, Software for a cascade/parallel formant
synthesizer, table III."""

BREATH = Phase(0.0, (550.0, 1500.0, 2500.0), aspiration=0.12)
"""What sounds in a rest: air drawn through an open mouth."""


@dataclass(frozen=True, slots=True)
class Note:
    """One note with its syllable, or a rest.

    Attributes:
        pitch: semitones above the center of the singer's tessitura.
        seconds: duration, consonant included.
        vowel: a key of `VOWELS`; "" makes the note a rest.
        consonant: a key of `CONSONANTS`, sung at the beginning of the note.
        level_db: loudness of the note, relative to the song's.
    """

    pitch: float
    seconds: float
    vowel: str = "ɑ"
    consonant: str = ""
    level_db: float = 0.0


@dataclass(frozen=True, slots=True)
class Room:
    """A small room: noise that decays exponentially after a first reflection.

    Attributes:
        decay_s: reverberation time RT60 in seconds.
        wet_db: energy of the reverberation relative to the direct sound.
        delay_s: time of the first reflection.
        seed: of the reflections' pattern.
    """

    decay_s: float = 0.2
    wet_db: float = -np.inf
    delay_s: float = 0.01
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Microphone:
    """A mild coloring, a noise floor and a level.

    Attributes:
        low_cut_hz: −6 dB point of the second-order high-pass.
        slope_db: gain per octave above 1 kHz, loss per octave below.
        bell_db: gain at `bell_hz`, an octave wide.
        bell_hz: center of the bell.
        noise_db: root mean square of the noise floor relative to the peak of the voice.
        peak: highest absolute sample, 0.3 … 0.9.
    """

    low_cut_hz: float = 50.0
    slope_db: float = 0.0
    bell_db: float = 0.0
    bell_hz: float = 2000.0
    noise_db: float = -80.0
    peak: float = 0.7


@dataclass(frozen=True, slots=True)
class Song:
    """What is sung, and where: everything about a recording that is not the singer.

    Attributes:
        notes: in order, rests among them.
        tempo: beats a minute.
        effort: −1 (soft, dark) … 1 (loud, bright).
        room: where it is sung.
        microphone: what records it.
    """

    notes: tuple[Note, ...]
    tempo: float = 90.0
    effort: float = 0.0
    room: Room = field(default_factory=Room)
    microphone: Microphone = field(default_factory=Microphone)

    @property
    def seconds(self) -> float:
        """Duration."""
        return sum(note.seconds for note in self.notes)


_SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 2, 3, 5, 7, 9, 10), (0, 2, 4, 7, 9))
_BEATS, _BEAT_WEIGHTS = (0.5, 1.0, 1.5, 2.0, 3.0), (0.25, 0.35, 0.15, 0.17, 0.08)
_SHORTEST_NOTE_S = 0.22


def draw_song(rng: np.random.Generator, seconds: float) -> Song:
    """Draw a melody with its syllables, room and microphone.

    Phrases of four to eight notes wander over a random scale within about an octave and a half
    around the tessitura's center; between phrases the singer breathes.

    Args:
        rng: source of all choices.
        seconds: duration of the song.

    Raises:
        ConfigError: `seconds` is not a positive number.
    """
    if not 0 < seconds < float("inf"):
        raise ConfigError("a song needs a duration", found=seconds, expected="seconds above 0")
    tempo, key = rng.uniform(66, 132), rng.uniform(-4, 4)
    scale = _SCALES[rng.integers(len(_SCALES))]
    beat, left, degree = 60 / tempo, seconds, int(rng.integers(-2, 3))
    in_phrase = int(rng.integers(4, 9))
    notes: list[Note] = []
    while left > 0:
        rest = in_phrase == 0 and left > 3 * beat
        length = 0.5 * beat if rest else beat * rng.choice(_BEATS, p=_BEAT_WEIGHTS)
        length = max(length, _SHORTEST_NOTE_S)
        if left - length < 2 * _SHORTEST_NOTE_S:
            length = left  # the last note takes what is left
        octave, step = divmod(degree, len(scale))
        pitch = key + 12 * octave + scale[step]
        notes.append(Note(pitch, length, "") if rest else _draw_note(rng, pitch, length))
        in_phrase = int(rng.integers(4, 9)) if rest else in_phrase - 1
        move = int(rng.choice([-3, -2, -1, -1, 0, 1, 1, 2, 3]))
        degree += move if abs(pitch) < 6 else -int(np.sign(pitch)) * abs(move)
        left = 0.0 if length == left else left - length
    return Song(tuple(notes), tempo, rng.uniform(-1, 1), _draw_room(rng), _draw_microphone(rng))


def _draw_note(rng: np.random.Generator, pitch: float, seconds: float) -> Note:
    """A note of this pitch and length with a random syllable; every fourth has no consonant."""
    sounds = list(CONSONANTS)
    consonant = sounds[rng.integers(1, len(sounds))] if rng.random() < 0.75 else ""
    vowel = list(VOWELS)[rng.integers(len(VOWELS))]
    return Note(pitch, seconds, vowel, consonant, rng.normal(0, 1.5))


def _draw_room(rng: np.random.Generator) -> Room:
    return Room(
        decay_s=rng.uniform(0.12, 0.5), wet_db=rng.uniform(-24, -8),
        delay_s=rng.uniform(0.004, 0.02), seed=int(rng.integers(2**31)),
    )  # fmt: skip


def _draw_microphone(rng: np.random.Generator) -> Microphone:
    return Microphone(
        low_cut_hz=rng.uniform(30, 90), slope_db=rng.normal(0, 1), bell_db=rng.normal(0, 2.5),
        bell_hz=np.exp(rng.uniform(np.log(300), np.log(6000))), noise_db=rng.uniform(-80, -52),
        peak=rng.uniform(0.35, 0.88),
    )  # fmt: skip


def record(
    voice: npt.NDArray[np.float32], song: Song, rng: np.random.Generator, sample_rate: int
) -> npt.NDArray[np.float32]:
    """Put a dry voice `(n_samples,)` into the song's room and before its microphone.

    Returns:
        float32 `(n_samples,)` without DC whose highest absolute sample is the microphone's peak.
    """
    room, microphone = song.room, song.microphone
    n = len(voice)
    n_tail = int((room.delay_s + room.decay_s) * sample_rate)
    n_fft = scipy.fft.next_fast_len(n + n_tail, real=True)
    time = np.arange(n_tail) / sample_rate - room.delay_s
    pattern = np.random.default_rng(room.seed).standard_normal(n_tail)
    tail = pattern * np.exp(-np.log(1000) / room.decay_s * time) * (time >= 0)
    tail *= 10 ** (room.wet_db / 20) / np.sqrt(np.sum(tail**2))
    tail[0] += 1.0
    response = scipy.fft.rfft(tail.astype(np.float32), n_fft)
    response *= _coloring(microphone, scipy.fft.rfftfreq(n_fft, 1 / sample_rate))
    sound = scipy.fft.irfft(scipy.fft.rfft(voice, n_fft) * response, n_fft)[:n]
    sound *= 1 / max(np.abs(sound).max(), 1e-9)
    sound += np.float32(10 ** (microphone.noise_db / 20)) * rng.standard_normal(n, np.float32)
    sound -= sound.mean()
    return np.asarray(sound * (microphone.peak / np.abs(sound).max()), np.float32)


def _coloring(microphone: Microphone, hz: FloatArray) -> npt.NDArray[np.float32]:
    """Zero-phase gain at each frequency."""
    octaves = np.log2(np.maximum(hz, 20.0))
    bell = np.exp(-2 * (octaves - np.log2(microphone.bell_hz)) ** 2)
    slope = np.clip(octaves - np.log2(1000.0), -3, 3)
    gain = 10 ** ((microphone.slope_db * slope + microphone.bell_db * bell) / 20)
    return np.asarray(gain * hz**2 / (hz**2 + microphone.low_cut_hz**2), np.float32)
