"""Settings, each once: type, unit, range, default, help, the original's flag.

What a section is, and all but those of training (`training_sections`) and re-singing
(`resing_settings`).
"""

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
    min_voice: float = setting(
        0.05,
        "partials with a smaller share of voice-like sound are left out, and recordings without "
        "any refused; 0 takes all (encoders exported by singerid)",
        ge=0, le=1,
    )  # fmt: skip
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


class SegmentSettings(Section):
    """Who sings when."""

    window: float = setting(3.0, "length of the windows that are embedded", unit="s", ge=1, le=30)
    hop: float = setting(1.0, "distance of windows", unit="s", ge=0.1, le=30)
    min_voice: float = setting(0.3, "windows with a smaller share of voice say nothing", ge=0, le=1)
    min_segment: float = setting(
        1.0, "shorter segments are given to their neighbors", unit="s", ge=0, le=30
    )
    max_pause: float = setting(0.5, "shorter pauses end no segment", unit="s", ge=0, le=30)
    turn: float = setting(
        20.0, "expected time until another singer takes over; longer: smoother", unit="s", gt=0
    )
    prior: float = setting(
        0.9, "probability, before listening, that it is a singer of the table", gt=0, lt=1
    )
    threshold: float = setting(
        -1.5, "without a table: log-likelihood ratio above which two clusters are one singer"
    )
    n_singers: int = setting(0, "without a table: how many sing, 0 if that is not known", ge=0)
    max_singers: int = setting(
        20, "most singers in a file: those of the table that are most alike, or clusters", ge=1
    )


class ServeSettings(Section):
    """The service: where it listens, and what it takes."""

    host: str = setting("127.0.0.1", "address to listen at, 0.0.0.0 for all", flag="--host")
    port: int = setting(8000, "0 for any free one", flag="--port", ge=0, le=65535)
    hosts: str = setting(
        "", "other names that the service may be asked by, with commas; empty: those of this "
        "machine, or any where other machines are listened to"
    )  # fmt: skip
    max_mb: int = setting(100, "longest request", unit="MB", ge=1, le=10_000)
    max_seconds: float = setting(600.0, "longest recording", unit="s", ge=1, le=36_000)
    max_files: int = setting(20, "most files in one enrollment", ge=1, le=100)
    rate: float = setting(
        120.0, "requests a minute from one address; those that only read count a tenth; 0 for any",
        ge=0,
    )  # fmt: skip
    burst: int = setting(60, "requests that may come at once above that rate", ge=1)
    queue: int = setting(64, "requests that are worked on or wait; more are refused", ge=1)
    workers: int = setting(2, "processes that decode uploads", ge=1, le=64)
    decode_timeout: float = setting(30.0, "longest that a file may take to decode", unit="s", gt=0)
    memory_mb: int = setting(2048, "memory of a decoding process", unit="MiB", ge=512)
    head_seconds: float = setting(10.0, "time for a request's head", unit="s", gt=0)
    body_seconds: float = setting(
        20.0, "time for a request's body, and 1 s more for every 16 KiB of it", unit="s", gt=0
    )
    stop_seconds: float = setting(30.0, "time for what is begun when it is stopped", unit="s", ge=0)
    clip_seconds: float = setting(
        8.0, "length of the clip that is kept of an enrolled recording, to listen to; 0 for none",
        unit="s", ge=0, le=60,
    )  # fmt: skip


class PlotSettings(Section):
    """The map."""

    method: Literal["tsne", "pca", "umap", "opentsne"] = setting(
        "tsne", "projection; opentsne: t-SNE of large sets"
    )
    dimensions: int = setting(2, "of the projection; 3 for an interactive map", ge=2, le=3)
    perplexity: float = setting(40.0, "t-SNE perplexity, lowered for small sets", gt=1)
    color: str = setting("singer", "label that is shown by color")
    marker: str = setting("gender", "label that is shown by the marker")
    max_singers: int = setting(0, "singers drawn, 0 for all", ge=0)
    max_recordings: int = setting(0, "recordings drawn per singer, 0 for all", ge=0)
    seed: int = setting(0, "seed of projection and draws", ge=0, lt=2**32)
    clips: float = setting(
        2.0, "sound in an interactive map, about 60 recordings of 4 s a MB; 0 for none",
        unit="MB", ge=0, le=200,
    )  # fmt: skip
    neighbors: int = setting(
        10, "nearest neighbors that an interactive map shows of each point", ge=0, le=100
    )
