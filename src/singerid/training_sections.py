"""Settings of training: batches, augmentation, network, losses, optimization, validation."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, field_validator, model_validator

from singerid.objective_line import parse_objective
from singerid.sections import Section, setting

LOGGERS = ("tensorboard", "wandb", "mlflow")
"""Names that `train.loggers` may hold; `singerid.loggers` has what they stand for."""


def _number(value: object) -> object:
    """Digits, as flags give them, as the number: a choice among numbers knows no strings."""
    return int(value) if isinstance(value, str) and value.isdecimal() else value


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
    cepstra: int = setting(
        0, "cepstral coefficients whose mean and covariance singerid whiten joins to the vectors; "
        "0 in training", ge=0, le=64,
    )  # fmt: skip
    gate_db: float = setting(
        50.0, "frames more than this below the loudest do not count in those statistics",
        unit="dB", gt=0,
    )  # fmt: skip
    networks: int = setting(
        1, "networks of this architecture that singerid whiten joins; 1 in training", ge=1, le=16
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


WHITENED = ("cepstra", "gate_db", "networks")
"""Settings of an encoder that `singerid whiten` makes; training leaves them as they are."""


class WhitenSettings(Section):
    """What is joined to a trained encoder, and how the whole is whitened (`singerid whiten`)."""

    cepstra: int = setting(
        20, "cepstral coefficients whose mean and covariance join the vectors", ge=2, le=64
    )
    gate_db: float = setting(
        50.0, "frames more than this below the loudest do not count in those statistics",
        unit="dB", gt=0,
    )  # fmt: skip
    batches: int = setting(40, "batches that the variation within singers is measured on", ge=1)
    partial_frames: int = setting(
        350, "length of the partials that it is measured on", unit="frames", ge=10
    )
    longest_frames: int = setting(
        625, "what the whitened encoder embeds at once; longer recordings are cut into such "
        "partials", unit="frames", ge=10,
    )  # fmt: skip
    shrinkage: float = setting(
        0.05, "share of the mean variance that is added to every direction", ge=0, le=1
    )


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
