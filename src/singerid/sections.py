"""Every setting of every stage, once: type, unit, range, default, help, the original's flag."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from singerid.objective_line import parse_objective

LOGGERS = ("tensorboard", "wandb", "mlflow")
"""Names that `train.loggers` may hold; `singerid.loggers` has what they stand for."""


def setting(
    default: Any, help: str, *, unit: str | None = None, flag: str | None = None, **bounds: Any
) -> Any:
    """One setting: `flag` is the short flag of the original implementation, if it had one."""
    extra = {"unit": unit, "flag": flag}
    return Field(default, description=help, json_schema_extra=extra, **bounds)  # type: ignore[arg-type]


def _number(value: object) -> object:
    """Digits, as flags give them, as the number: a choice among numbers knows no strings."""
    return int(value) if isinstance(value, str) and value.isdecimal() else value


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

    n_singers: int = setting(48, "singers in a batch", flag="-spb", ge=2, le=4096)
    n_partials: int = setting(2, "partials of each singer in a batch", flag="-ups", ge=2, le=4096)
    partial_frames: int = setting(175, "length of a partial", unit="frames", flag="-nt", ge=8)
    sampling: Literal["fair", "hard"] = setting(
        "fair",
        "which singers meet in a batch: any, or those of one gender and similar pitch (labels "
        "gender and f0), which are the hardest to tell apart",
    )
    hard_share: float = setting(0.5, "share of such batches where the sampling is hard", ge=0, le=1)
    spread_pitch: bool = setting(
        False, "the partials of a singer in a batch lie apart in pitch (label f0)"
    )


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


class BatchAugmentSettings(Section):
    """How whole training batches are changed, where the training runs; nothing is, by default.

    Acts on mel features of any origin: a store's, too. What noise, rooms, microphones and codecs
    do to a partial stands in the section channel.
    """

    channel_probability: float = setting(
        0.0, "chance that a partial goes through a channel (section channel)", ge=0, le=1
    )
    crop_probability: float = setting(
        0.0, "chance that all partials of a batch are cut to one shorter length", ge=0, le=1
    )
    crop_min: float = setting(0.5, "least length left, as a share", gt=0, le=1)
    mask_probability: float = setting(
        0.0, "chance that frames and bands of a partial are masked (SpecAugment)", ge=0, le=1
    )
    time_masks: int = setting(2, "spans of frames masked in such a partial", ge=0, le=32)
    time_mask_max: float = setting(0.1, "longest of them, as a share of the frames", ge=0, le=1)
    band_masks: int = setting(2, "spans of mel bands masked", ge=0, le=32)
    band_mask_max: float = setting(0.1, "widest of them, as a share of the bands", ge=0, le=1)
    shift_probability: float = setting(
        0.0, "chance that pitch and formants of a partial are shifted, as by a tape's speed",
        ge=0, le=1,
    )  # fmt: skip
    shift_max: float = setting(0.5, "largest shift, up or down", unit="semitones", ge=0, le=12)
    variants: int = setting(
        1, "identities made of one singer by warping, the natural one included", ge=1, le=64
    )
    warp_share: float = setting(
        0.5, "share of a batch's singers that are warped ones, where there are any", ge=0, le=1
    )
    warp_min: float = setting(
        0.80, "lowest factor on a warped singer's pitch and formants", ge=0.5, le=1
    )
    warp_max: float = setting(1.25, "highest factor", ge=1, le=2)
    warp_gap: float = setting(
        0.05, "least distance of two variants' factors, and of 1, in nepers", ge=0, le=0.2
    )

    @property
    def changes_anything(self) -> bool:
        """False if every batch stays as it is."""
        chances = (
            self.channel_probability, self.crop_probability, self.mask_probability,
            self.shift_probability,
        )  # fmt: skip
        return any(chances) or self.variants > 1


class EncoderSettings(Section):
    """The network."""

    kind: Literal["lstm", "resnet", "ecapa", "campplus", "redimnet"] = setting(
        "resnet",
        "architecture: LSTM (Wan et al. 2018, as the original), ResNet (He et al. 2016), "
        "ECAPA-TDNN (Desplanques et al. 2020), CAM++ (Wang et al. 2023) or ReDimNet (Yakovlev et "
        "al. 2024)",
    )
    pooling: Literal["auto", "last", "mean", "statistics", "attentive"] = setting(
        "auto",
        "how frames become one vector: the last frame's (LSTM only), their mean, mean and "
        "deviation, both with learned weights, or what is usual for the architecture",
    )
    channels: int = setting(
        0,
        "base width of a convolutional architecture; 0: 16 of a ResNet (its papers take 32), "
        "of others their paper's",
        ge=0,
        le=4096,
    )
    depth: Annotated[Literal[10, 18, 34], BeforeValidator(_number)] = setting(
        10, "layers of a ResNet"
    )
    stem_stride: Annotated[Literal[1, 2], BeforeValidator(_number)] = setting(
        2,
        "a ResNet's stride along time and frequency in its first layer; 2 leaves a quarter of "
        "the work",
    )
    hidden_size: int = setting(768, "units of each LSTM layer", flag="-hs", ge=4, le=8192)
    n_layers: int = setting(3, "LSTM layers", flag="-nl", ge=1, le=16)
    dim: int = setting(192, "length of an embedding", flag="-es", ge=2, le=8192)
    normalization: Literal["none", "range", "standard", "level", "global", "feature"] = setting(
        "level",
        "of the input: each partial to [0, 1] (range), to mean 0 and variance 1 (standard) or to "
        "mean 0 and a range of 70 dB (level); by mean and variance of all training frames "
        "(global), or of each dimension (feature)",
        flag="-nm",
    )
    relu: bool = setting(
        True, "LSTM only: ReLU before the normalization (AutoVC's encoder has none)"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.pooling == "last" and self.kind != "lstm":
            raise ValueError(
                f"pooling last is for the LSTM, whose last frame has seen all others: not for "
                f"kind {self.kind}"
            )
        if self.kind == "ecapa" and self.channels % 8:
            raise ValueError(f"channels {self.channels} of kind ecapa must be a multiple of 8")
        return self


class LossSettings(Section):
    """What training makes small."""

    ge2e: Literal["softmax", "contrast"] = setting(
        "softmax", "variant of the GE2E loss (Wan et al. 2018, eq. 6 or 7)"
    )
    objective: str = setting(
        "aam + prototypical",
        "the losses that are optimized, joined by +, with weights: aam + 0.5 prototypical; of aam, "
        "ge2e, prediction, prototypical, supcon, total (ge2e + prediction)",
        flag="-ul",
    )
    init_scale: float = setting(
        10.0, "initial scale w of the similarities (ge2e, prototypical)", gt=0
    )
    init_bias: float = setting(-5.0, "initial bias b of the similarities (ge2e)")
    scale_gradient: float = setting(
        0.01, "factor on the gradients of both (ge2e; Wan et al. 2018, section 3)", gt=0, le=1
    )
    margin: float = setting(
        0.2, "additive angular margin of aam (Deng et al. 2019, eq. 3)", unit="rad", ge=0, lt=1.57
    )
    margin_warmup: float = setting(
        0.2, "share of the training during which the margin grows from 0", ge=0, le=1
    )
    scale: float = setting(30.0, "scale of aam's cosines (s in Deng et al. 2019)", gt=0, le=1000)
    sub_centers: int = setting(
        1, "class vectors of each singer in aam (Deng et al. 2020), 3 for noisy labels", ge=1, le=16
    )
    hard_singers: int = setting(
        0, "nearest wrong singers that aam penalizes, 0 for none (inter-top-k, Zhao et al. 2021)",
        ge=0, le=1000,
    )  # fmt: skip
    hard_margin: float = setting(
        0.06, "the penalty: their angle counts as smaller by this", unit="rad", ge=0, lt=1.57
    )
    n_queries: int = setting(
        1, "partials of each singer that prototypical compares with the others' mean "
        "(Chung et al. 2020)", ge=1, le=4095,
    )  # fmt: skip
    temperature: float = setting(
        0.07, "of supcon: cosines are divided by it (Khosla et al. 2020)", gt=0, le=10
    )

    @field_validator("objective")
    @classmethod
    def _check(cls, line: str) -> str:
        parse_objective(line)
        return line


class TrainSettings(Section):
    """Cycles of training and validation steps, and when to end."""

    steps: int = setting(3000, "upper limit of training steps", flag="-stp", ge=1)
    iters: Literal["given", "auto"] = setting(
        "given", "sizes of the cycles: as given below, or computed from the corpus"
    )
    train_iters: int = setting(250, "training steps in a cycle", flag="-ti", ge=1)
    val_iters: int = setting(10, "validation steps in a cycle", flag="-vi", ge=1)
    patience: int = setting(
        20, "cycles without improvement of the monitored validation figure before stopping",
        flag="-p", ge=1,
    )  # fmt: skip
    threshold: float = setting(0.0, "smallest change that counts as improvement", flag="-et", ge=0)
    optimizer: Literal["adam", "adamw", "sgd"] = setting(
        "adamw", "adamw decouples weight decay; sgd has Nesterov's momentum of 0.9"
    )
    learning_rate: float = setting(
        2e-3, "of the optimizer, at its highest", flag="-lri", gt=0, le=1
    )
    weight_decay: float = setting(0.02, "of matrices and kernels", ge=0, le=1)
    warmup_steps: int = setting(30, "steps in which the learning rate rises from 0", ge=0)
    schedule: Literal["constant", "cosine"] = setting(
        "cosine", "the learning rate stays, or falls on a cosine to 0 at the last step"
    )
    accumulate: int = setting(1, "batches whose gradients make one step", ge=1)
    average: float = setting(
        0.0, "decay of a moving average of the weights, which is then what is validated and kept; "
        "0 for none", ge=0, lt=1,
    )  # fmt: skip
    monitor: Literal["ge2e_loss", "trial_eer"] = setting(
        "trial_eer",
        "what early stopping and the choice of the best encoder look at: the loss of "
        "the validation batches, or the equal error rate of fixed trials of whole recordings",
    )
    freeze: str = setting(
        "", "encoder weights that stay as they are: beginnings of their names, with commas (lstm)"
    )
    gradient_clip: float = setting(3.0, "limit of the gradient norm", gt=0)
    precision: Literal["auto", "32", "bf16", "fp16"] = setting(
        "auto",
        "arithmetic of the network; auto takes bf16 where the processor has it; fp16 is for "
        "GPUs that have no bf16",
    )
    compile: bool = setting(
        False,
        "let PyTorch's compiler make the training passes faster; needs a compiler, and minutes "
        "at the start",
    )
    resident: Literal["auto", "on", "off"] = setting(
        "auto",
        "keep a store's frames on the device that trains, and make batches there; auto: on "
        "a GPU that has room",
    )
    workers: int = setting(
        0, "processes that assemble batches beside the training", flag="-w", ge=0, le=256
    )
    projector: bool = setting(
        False, "write the validation recordings' map for TensorBoard's projector at the end"
    )
    loggers: str = setting(
        "tensorboard",
        "where figures go besides log.jsonl, with commas: tensorboard, wandb, mlflow; may be empty",
    )
    log_every: int = setting(10, "training steps between two logged lines", ge=1)
    seed: int = setting(0, "seed of weights and batches", ge=0, lt=2**32)

    @property
    def logger_names(self) -> list[str]:
        """The loggers that are asked for."""
        return [part for name in self.loggers.split(",") if (part := name.strip())]

    @field_validator("loggers")
    @classmethod
    def _check(cls, line: str) -> str:
        names = [name.strip() for name in line.split(",")] if line.strip() else []
        if wrong := [name for name in names if name not in LOGGERS]:
            raise ValueError(f"{wrong[0]!r} is no logger; expected {', '.join(LOGGERS)}")
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"{twice[0]} is there twice")
        return line


class ValidationSettings(Section):
    """Fixed trials of the validation singers, scored after every cycle."""

    recordings: int = setting(
        200, "recordings in the trials, shared among corpora and singers", ge=4, le=2000
    )
    seconds: float = setting(
        4.0, "the middle of each recording, so much of it", unit="s", gt=0, le=600
    )
    seed: int = setting(0, "seed of the draw; not the run's, so that runs compare", ge=0, lt=2**32)


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
