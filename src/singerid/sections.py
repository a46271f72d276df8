"""Every setting of every stage, once: type, unit, range, default, help, the original's flag."""

from __future__ import annotations

import hashlib
import itertools
import json
from functools import lru_cache
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


def setting(
    default: Any, help: str, *, unit: str | None = None, flag: str | None = None, **bounds: Any
) -> Any:
    """One setting: `flag` is the short flag of the original implementation, if it had one."""
    extra = {"unit": unit, "flag": flag}
    return Field(default, description=help, json_schema_extra=extra, **bounds)  # type: ignore[arg-type]


class Section(BaseModel):
    """A group of settings; frozen, and unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class AudioSettings(Section):
    """How files become samples."""

    sample_rate: int = setting(
        16000, "rate that all audio is resampled to", unit="Hz", flag="-sr", ge=4000, le=192000
    )
    min_seconds: float = setting(
        0.5, "shorter recordings are refused: they hold too little voice", unit="s", ge=0.1
    )
    silence_db: float = setting(
        0.0, "pauses below this level, relative to the loudest 10 ms, are cut out; 0 for none",
        unit="dB", ge=-120, le=0,
    )  # fmt: skip
    min_level_db: float = setting(
        0.0, "recordings of a lower RMS level are amplified to it, 0 for none",
        unit="dBFS", ge=-90, le=0,
    )  # fmt: skip


class MelSettings(Section):
    """Mel spectrogram; the defaults are AutoVC's front end."""

    n_fft: int = setting(
        1024, "length of the Hann window and FFT, even", unit="samples", ge=64, le=16384,
        multiple_of=2, flag="-fs",
    )  # fmt: skip
    hop_length: int = setting(256, "distance of two frames", unit="samples", ge=16, le=16384)
    n_mels: int = setting(80, "number of mel bands", flag="-nhf", ge=8, le=512)
    fmin: float = setting(90.0, "lowest band edge", unit="Hz", flag="-fmin", ge=0)
    fmax: float = setting(7600.0, "highest band edge", unit="Hz", flag="-fmax", gt=0)
    highpass: float = setting(
        30.0, "cut-off of the 5th-order Butterworth high-pass, 0 for none", unit="Hz", ge=0
    )
    gain: float = setting(0.96, "factor on the samples after the high-pass", gt=0, le=1)
    dither: float = setting(1e-6, "peak-to-peak uniform noise added to the samples", ge=0, le=0.1)
    padding: Literal["reflect", "zero"] = setting(
        "reflect", "what lies beyond both ends of a recording: its mirror image, or silence"
    )
    spectrum: Literal["magnitude", "power"] = setting("magnitude", "what the bands sum up")
    scale: Literal["decibel", "linear"] = setting(
        "decibel", "of the bands: levels mapped to [0, 1] as below, or the sums as they are"
    )
    reference_db: float = setting(16.0, "level subtracted from the mel levels", unit="dB")
    floor_db: float = setting(
        -100.0, "lowest level; [floor, 0] is mapped to [0, 1]", unit="dB", lt=0
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.fmin >= self.fmax:
            raise ValueError(f"fmin {self.fmin:g} Hz must lie below fmax {self.fmax:g} Hz")
        if self.hop_length > self.n_fft:
            raise ValueError(f"hop_length {self.hop_length} exceeds n_fft {self.n_fft}")
        return self


class FeatureSettings(Section):
    """Which features."""

    stream: Literal["mel", "world"] = setting(
        "mel", "mel spectrogram, or WORLD's envelope and aperiodicity", flag="-ft"
    )


class WorldSettings(Section):
    """WORLD vocoder (Morise et al. 2016); its F0 also conditions mel features on pitch."""

    f0_method: Literal["dio", "harvest", "wav2world"] = setting(
        "dio",
        "F0 by dio or harvest, refined by stonemask, or the one-call analysis (71 to 800 Hz)",
        flag="-wp",
    )
    fmin: float = setting(50.0, "lowest F0", unit="Hz", ge=20, le=200)
    fmax: float = setting(1100.0, "highest F0", unit="Hz", gt=20, le=2000)
    frame_period: float = setting(
        5.0, "distance of two frames", unit="ms", flag="-fdm", ge=1, le=100
    )
    reduction: Literal["mfsc", "world", "mcep-power", "mcep-db"] = setting(
        "mfsc",
        "mel-frequency spectral coefficients, WORLD's own coding, or mel-cepstra of power or of dB",
        flag="-drm",
    )
    envelope_dims: int = setting(40, "values of the envelope", ge=2, le=512)
    aperiodicity_dims: int = setting(
        4, "values of the aperiodicity (WORLD's own coding fixes them)", flag="-naf", ge=2, le=512
    )
    alpha: float = setting(0.45, "all-pass constant that warps the frequency axis", gt=-1, lt=1)
    aperiodicity_input: bool = setting(True, "the encoder sees the aperiodicity, too", flag="-uaf")

    def n_aperiodicities(self, sample_rate: int) -> int:
        """Number of aperiodicity values: set, or one per 3 kHz band in WORLD's own coding."""
        if self.reduction != "world":
            return self.aperiodicity_dims
        return min(15000, sample_rate // 2 - 3000) // 3000

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.fmin >= self.fmax:
            raise ValueError(f"fmin {self.fmin:g} Hz must lie below fmax {self.fmax:g} Hz")
        return self


class PitchSettings(Section):
    """Pitch conditioning: a one-hot MIDI number beside the features."""

    condition: bool = setting(False, "the encoder sees the pitch as well", flag="-pc")
    tracker: Literal["world", "swift-f0"] = setting(
        "world", "of the F0: WORLD's, or a neural one (mel features only)"
    )
    low: int = setting(36, "lowest MIDI number with a class of its own", ge=0, le=127)
    high: int = setting(81, "highest MIDI number with a class of its own", ge=0, le=127)

    @property
    def n_classes(self) -> int:
        """MIDI numbers and one class for unvoiced frames."""
        return self.high - self.low + 2

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low {self.low} must lie below high {self.high}")
        return self


@lru_cache(maxsize=64)
def _columns(*sizes: tuple[str, int]) -> dict[str, slice[int, int, None]]:
    """Slices of so many columns each, side by side; asked for with every partial."""
    ends = list(itertools.accumulate(n for _, n in sizes))
    return {k: slice(end - n, end) for (k, n), end in zip(sizes, ends, strict=True)}


def _width(column: slice[int, int, None]) -> int:
    return column.stop - column.start


class FeatureSpec(Section):
    """The front end of an encoder: what turns a file into its input. Stored beside every array."""

    audio: AudioSettings = AudioSettings()
    features: FeatureSettings = FeatureSettings()
    mel: MelSettings = MelSettings()
    world: WorldSettings = WorldSettings()
    pitch: PitchSettings = PitchSettings()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.mel.fmax > self.audio.sample_rate / 2:
            raise ValueError(
                f"mel.fmax {self.mel.fmax:g} Hz exceeds half of audio.sample_rate "
                f"{self.audio.sample_rate} Hz"
            )
        if self.mel.highpass >= self.audio.sample_rate / 2:
            raise ValueError(
                f"mel.highpass {self.mel.highpass:g} Hz must lie below half of audio.sample_rate "
                f"{self.audio.sample_rate} Hz"
            )
        lowest = 12000 if self.world.reduction == "world" else 8000
        uses_world = self.features.stream == "world" or self.pitch.condition
        if uses_world and self.audio.sample_rate < lowest:
            raise ValueError(
                f"audio.sample_rate {self.audio.sample_rate} Hz is below the {lowest} Hz that "
                "WORLD needs here"
            )
        if self.features.stream == "world" and self.pitch.tracker != "world":
            raise ValueError("pitch.tracker must be world for WORLD features")
        return self

    @property
    def columns(self) -> dict[str, slice[int, int, None]]:
        """What each value of a stored frame is, in order."""
        pitch = (("midi", 1), ("unvoiced", 1))
        if self.features.stream == "mel":
            return _columns(("mel", self.mel.n_mels), *(pitch if self.pitch.condition else ()))
        n_aperiodicities = self.world.n_aperiodicities(self.audio.sample_rate)
        envelope = ("envelope", self.world.envelope_dims)
        return _columns(envelope, ("aperiodicity", n_aperiodicities), *pitch)

    @property
    def n_dims(self) -> int:
        """Number of values of a stored frame."""
        return sum(_width(column) for column in self.columns.values())

    @property
    def n_inputs(self) -> int:
        """Number of values of a frame as the encoder sees it."""
        n = sum(_width(self.columns[name]) for name in self.input_streams)
        return n + self.n_pitch_classes

    @property
    def n_pitch_classes(self) -> int:
        """Number of the last values of an input frame that are a one-hot pitch."""
        return self.pitch.n_classes if self.pitch.condition else 0

    @property
    def input_streams(self) -> list[str]:
        """Names of the columns that the encoder sees as they are stored."""
        if self.features.stream == "mel":
            return ["mel"]
        return ["envelope", "aperiodicity"] if self.world.aperiodicity_input else ["envelope"]

    @property
    def hop_seconds(self) -> float:
        """Distance of two frames in seconds."""
        if self.features.stream == "world":
            return self.world.frame_period / 1000
        return self.mel.hop_length / self.audio.sample_rate

    def fingerprint(self) -> str:
        """Short hash of all values: equal only for equal front ends."""
        return fingerprint(self.model_dump())


class ManifestSettings(Section):
    """How singers are divided over the splits."""

    splits: Literal["auto", "given", "draw"] = setting(
        "auto", "take the corpus's own splits, draw them, or draw only if it has none"
    )
    channel: Literal["corpus", "mix", "left", "right"] = setting(
        "corpus",
        "which channel holds the voice: what the corpus says, or the same for all files",
        flag="-cc",
    )
    valid_share: float = setting(0.15, "share of the singers drawn for validation", ge=0, lt=1)
    test_share: float = setting(0.0, "share of the singers drawn for the test", ge=0, lt=1)
    seed: int = setting(0, "seed of the draw", ge=0, lt=2**32)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.valid_share + self.test_share >= 1:
            raise ValueError(
                f"valid_share {self.valid_share:g} and test_share {self.test_share:g} leave no "
                "singer for training"
            )
        return self


class BatchSettings(Section):
    """What one training step sees."""

    n_singers: int = setting(8, "singers in a batch", flag="-spb", ge=2, le=4096)
    n_partials: int = setting(10, "partials of each singer in a batch", flag="-ups", ge=2, le=4096)
    partial_frames: int = setting(128, "length of a partial", unit="frames", flag="-nt", ge=8)


class AugmentSettings(Section):
    """How training partials are changed; only where features are made on the fly."""

    noise_probability: float = setting(
        0.5, "chance that a training partial gets Gaussian noise", ge=0, le=1
    )
    snr_min_db: float = setting(20.0, "lowest signal-to-noise ratio", unit="dB", ge=-20, le=120)
    snr_max_db: float = setting(50.0, "highest signal-to-noise ratio", unit="dB", ge=-20, le=120)
    eq_probability: float = setting(
        0.5, "chance that a training partial passes a random seven-band equalizer", ge=0, le=1
    )
    eq_gain_db: float = setting(
        12.0, "largest boost or cut of one of its bands", unit="dB", ge=0, le=40
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.snr_min_db > self.snr_max_db:
            raise ValueError(
                f"snr_min_db {self.snr_min_db:g} must not exceed snr_max_db {self.snr_max_db:g}"
            )
        return self


class EncoderSettings(Section):
    """The network."""

    hidden_size: int = setting(768, "units of each LSTM layer", flag="-hs", ge=4, le=8192)
    n_layers: int = setting(3, "LSTM layers", flag="-nl", ge=1, le=16)
    dim: int = setting(256, "length of an embedding", flag="-es", ge=2, le=8192)
    normalization: Literal["none", "range", "standard", "global", "feature"] = setting(
        "none",
        "of the input: each partial to [0, 1] (range) or to mean 0 and variance 1 (standard); by "
        "mean and variance of all training frames (global), or of each dimension (feature)",
        flag="-nm",
    )
    relu: bool = setting(True, "ReLU before the normalization (AutoVC's encoder has none)")


class LossSettings(Section):
    """What training makes small."""

    ge2e: Literal["softmax", "contrast"] = setting(
        "softmax", "variant of the GE2E loss (Wan et al. 2018, eq. 6 or 7)"
    )
    objective: Literal["ge2e", "prediction", "total"] = setting(
        "ge2e", "the loss that is optimized; all are logged", flag="-ul"
    )
    init_scale: float = setting(10.0, "initial scale w of the similarities", gt=0)
    init_bias: float = setting(-5.0, "initial bias b of the similarities")
    scale_gradient: float = setting(
        0.01, "factor on the gradients of scale and bias (Wan et al. 2018, section 3)", gt=0, le=1
    )


class TrainSettings(Section):
    """Cycles of training and validation steps, and when to end."""

    steps: int = setting(100_000, "upper limit of training steps", flag="-stp", ge=1)
    iters: Literal["given", "auto"] = setting(
        "given", "sizes of the cycles: as given below, or computed from the corpus"
    )
    train_iters: int = setting(40, "training steps in a cycle", flag="-ti", ge=1)
    val_iters: int = setting(40, "validation steps in a cycle", flag="-vi", ge=1)
    patience: int = setting(
        50, "cycles without improvement of the validation GE2E loss before stopping",
        flag="-p", ge=1,
    )  # fmt: skip
    threshold: float = setting(0.0, "smallest change that counts as improvement", flag="-et", ge=0)
    learning_rate: float = setting(1e-4, "of the Adam optimizer", flag="-lri", gt=0, le=1)
    freeze: str = setting(
        "", "encoder weights that stay as they are: beginnings of their names, with commas (lstm)"
    )
    gradient_clip: float = setting(3.0, "limit of the gradient norm", gt=0)
    precision: Literal["auto", "32", "bf16"] = setting(
        "auto", "arithmetic of the network; auto takes bf16 where the processor has it"
    )
    workers: int = setting(
        0, "processes that assemble batches beside the training", flag="-w", ge=0, le=256
    )
    log_every: int = setting(10, "training steps between two logged lines", ge=1)
    seed: int = setting(0, "seed of weights and batches", ge=0, lt=2**32)


class EmbedSettings(Section):
    """How a recording becomes one vector."""

    overlap: float = setting(0.0, "share of a partial that the next one repeats", ge=0, le=0.95)
    crops: int = setting(
        0, "partials at random places instead of tiles (the original's way), 0 for tiles", ge=0
    )
    seed: int = setting(0, "seed of the places", ge=0, lt=2**32)
    precision: Literal["auto", "32", "bf16"] = setting(
        "32", "arithmetic of the network; bf16 is faster, and moves a vector by about 0.5 degrees"
    )
    batch_partials: int = setting(64, "partials that are encoded at once", ge=1)


class TableSettings(Section):
    """How recordings become one centroid a singer."""

    min_recordings: int = setting(1, "singers with fewer recordings are left out", ge=1)
    max_recordings: int = setting(0, "recordings drawn per singer, 0 for all", ge=0)
    max_singers: int = setting(0, "singers drawn, 0 for all", ge=0)
    seed: int = setting(0, "seed of the draws", ge=0, lt=2**32)


class EvaluateSettings(Section):
    """Which trials, and how sure."""

    cross_song: bool = setting(True, "target trials pair different songs where songs are known")
    within_corpus: bool = setting(True, "nontarget trials pair recordings of one corpus")
    max_trials: int = setting(2_000_000, "trials are sampled above this number", ge=100)
    n_bootstrap: int = setting(200, "resamples of the singers for the 95 % intervals", ge=0)
    seed: int = setting(0, "seed of the sampling", ge=0, lt=2**32)


class PlotSettings(Section):
    """The map."""

    method: Literal["tsne", "pca", "umap"] = setting("tsne", "projection to two dimensions")
    perplexity: float = setting(40.0, "t-SNE perplexity, lowered for small sets", gt=1)
    color: str = setting("singer", "label that is shown by color")
    marker: str = setting("gender", "label that is shown by the marker")
    max_singers: int = setting(0, "singers drawn, 0 for all", ge=0)
    max_recordings: int = setting(0, "recordings drawn per singer, 0 for all", ge=0)
    seed: int = setting(0, "seed of projection and draws", ge=0, lt=2**32)


def fingerprint(value: object) -> str:
    """First 12 hex digits of the SHA-256 of a value's canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]
