"""Every setting of every stage, once: type, unit, range, default, help, the original's flag."""

from __future__ import annotations

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
    f0: bool = setting(
        False, "measure the median F0 of each recording (needs the extra world) and label it f0"
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
    normalization: Literal["none", "range", "standard", "level", "global", "feature"] = setting(
        "none",
        "of the input: each partial to [0, 1] (range), to mean 0 and variance 1 (standard) or to "
        "mean 0 and a range of 70 dB (level); by mean and variance of all training frames "
        "(global), or of each dimension (feature)",
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
    max_seconds: float = setting(
        0.0, "only the middle of each recording, so much of it; 0 for all of it", unit="s", ge=0
    )
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


class TrialSettings(Section):
    """Which recordings are compared with which."""

    cross: str = setting(
        "song",
        "labels in which the two recordings of a target trial must differ, with commas "
        "(song,technique,language,session,kind); empty for any two",
    )
    nontargets: Literal["all", "same_gender", "cross_gender", "hardest"] = setting(
        "all", "nontarget trials; hardest: the most alike recordings of other singers"
    )
    hardest_k: int = setting(10, "nontargets of each recording where the hardest are taken", ge=1)
    enroll: str = setting("", "condition on the enrolled recordings, like kind=speech")
    test: str = setting("", "condition on the tested recordings, like kind=singing")
    min_pitch_gap: float = setting(
        0.0, "least distance of the two recordings' median F0 (label f0)", unit="semitones", ge=0
    )
    max_pitch_gap: float = setting(
        0.0, "largest distance of them, 0 for any", unit="semitones", ge=0
    )
    within_corpus: bool = setting(True, "no trial is of two corpora")
    n_enroll: int = setting(1, "recordings that a singer is enrolled with", ge=1)
    max_trials: int = setting(2_000_000, "trials are sampled above this number", ge=100)
    seed: int = setting(0, "seed of the sampling", ge=0, lt=2**32)


class EvaluateSettings(Section):
    """How sure, and how much is shown."""

    scoring: Literal["centroid", "mean", "max"] = setting(
        "centroid", "score of several enrolled recordings: with their centroid, or of each"
    )
    slices: str = setting(
        "", "labels by which error rates are also given by value, with commas (technique,language)"
    )
    n_bootstrap: int = setting(1000, "resamples of the singers for the 95 % intervals", ge=0)
    seed: int = setting(0, "seed of the resampling", ge=0, lt=2**32)
    clips: int = setting(20, "worst trials that can be listened to in the report", ge=0, le=200)


class CalibrateSettings(Section):
    """From scores to probabilities."""

    transform: Literal["none", "center", "whiten", "wccn"] = setting(
        "none", "of the vectors before scoring, fitted on the given singers"
    )
    plda: bool = setting(False, "score by probabilistic linear discriminant analysis")
    cohort: bool = setting(False, "adaptive score normalization (AS-norm) by the given singers")
    durations: str = setting(
        "3,6,12", "edges of the duration classes, with commas; empty for one class", unit="s"
    )
    prior: float = setting(
        0.5, "probability of a target at which the fit should be best", gt=0, lt=1
    )
    false_alarms: str = setting(
        "0.1,0.05,0.01,0.001", "false alarm rates to find thresholds for, with commas"
    )


class RobustnessSettings(Section):
    """The same trials under changed conditions."""

    conditions: str = setting(
        "", "groups, kinds or names of conditions, with commas (duration,MP3,babble 0 dB); "
        "empty for all"
    )  # fmt: skip
    music: str = setting(
        "", "folder of instrumental audio to mix in; empty: synthesized accompaniment"
    )
    babble: str = setting("", "folder of voices for the babble of others; empty: virtual singers")
    max_recordings: int = setting(0, "recordings drawn per singer, 0 for all", ge=0)
    gender: Literal["same", "any"] = setting(
        "same", "nontargets of the same gender, if genders are known, or all"
    )
    n_bootstrap: int = setting(1000, "resamples of the singers for the 95 % intervals", ge=0)
    seed: int = setting(0, "seed of conditions and resampling", ge=0, lt=2**32)


class PlotSettings(Section):
    """The map."""

    method: Literal["tsne", "pca", "umap"] = setting("tsne", "projection to two dimensions")
    perplexity: float = setting(40.0, "t-SNE perplexity, lowered for small sets", gt=1)
    color: str = setting("singer", "label that is shown by color")
    marker: str = setting("gender", "label that is shown by the marker")
    max_singers: int = setting(0, "singers drawn, 0 for all", ge=0)
    max_recordings: int = setting(0, "recordings drawn per singer, 0 for all", ge=0)
    seed: int = setting(0, "seed of projection and draws", ge=0, lt=2**32)
