"""What the service answers, typed; OpenAPI is made from this."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from singerid.registry.names import MAX_NAME, RegistryError, check_name


def _clean(name: str) -> str:
    """A name that the registry takes, and that can be part of an address."""
    try:
        kept = check_name(name)
    except RegistryError as error:
        raise ValueError(f"{error.what}: expected {error.expected}") from error
    if kept in (".", ".."):
        raise ValueError("no address can hold this name")
    return kept


SingerName = Annotated[
    str, StringConstraints(min_length=1, max_length=MAX_NAME), AfterValidator(_clean)
]
"""Name of a singer who is enrolled."""


class Model(BaseModel):
    """An answer; nothing is in it that is not documented."""

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="null")


class ErrorParts(Model):
    """What went wrong."""

    what: str
    where: str | None = Field(None, description="the field or file concerned")
    found: str | None = None
    expected: str | None = None
    do: str | None = Field(None, description="what can be done about it")


class ErrorAnswer(Model):
    """Every answer that is not a success."""

    error: ErrorParts


class QualityAnswer(Model):
    """How far a recording's embedding can be trusted."""

    score: float = Field(description="in [0, 1]")
    reasons: list[str] = Field(description="what is wrong; empty if nothing is")
    seconds: float
    voice_seconds: float
    peak_db: float
    snr_db: float
    clipped_share: float
    bandwidth_hz: float


class EmbedAnswer(Model):
    """A recording as a vector."""

    embedding: list[float] = Field(description="of unit length")
    encoder: str = Field(description="fingerprint; vectors of different encoders never mix")
    seconds: float
    voice_seconds: float
    quality: QualityAnswer


class VerifyAnswer(Model):
    """Whether two voices are one; without a calibration only the score is known."""

    score: float = Field(description="higher is more alike")
    llr: float | None = Field(None, description="log-likelihood ratio, natural")
    probability: float | None = Field(None, description="of one singer")
    accepted: bool | None = Field(None, description="at a known rate of false alarms")
    prior: float | None = Field(None, description="probability before listening")
    threshold: float | None = Field(None, description="of the score")
    false_alarm: float | None = Field(None, description="rate that the threshold stands for")
    seconds: list[float]
    quality: list[QualityAnswer | None] = Field(description="null: of an enrolled singer")


class CandidateAnswer(Model):
    """A singer whom it may be."""

    singer: str
    score: float
    llr: float | None = None
    probability: float | None = None
    n_recordings: int
    exemplar: str | None = Field(None, description="one that can be heard")


class IdentifyAnswer(Model):
    """Who it is."""

    singer: str | None = Field(description="null: nobody who is enrolled")
    probability: float | None = Field(description="of the best candidate")
    unknown_probability: float | None = Field(description="of somebody who is not enrolled")
    margin: float | None = Field(description="score of the best less that of the runner-up")
    n_singers: int
    prior: float = Field(description="probability, before listening, that it is one of them")
    seconds: float
    voice_seconds: float
    quality: QualityAnswer
    candidates: list[CandidateAnswer]


class HitAnswer(Model):
    """An exemplar that sounds alike."""

    exemplar: str
    singer: str
    score: float
    seconds: float
    labels: dict[str, str]


class SearchAnswer(Model):
    """The nearest exemplars, best first."""

    hits: list[HitAnswer]


class EnrolledFile(Model):
    """A file that is an exemplar now."""

    id: str
    file: str
    seconds: float
    quality: QualityAnswer


class FailedFile(Model):
    """A file that cannot be used."""

    file: str
    error: ErrorParts


class Outlier(Model):
    """An exemplar that is unlike the singer's others."""

    id: str
    reason: str


class NearSinger(Model):
    """Another singer who sounds much alike."""

    singer: str
    score: float
    probability: float | None = None


class EnrollAnswer(Model):
    """What became of the files."""

    singer: str
    enrolled: list[EnrolledFile]
    known: list[str] = Field(description="files that were enrolled before")
    failed: list[FailedFile]
    outliers: list[Outlier]
    near: list[NearSinger]


class SingerLine(Model):
    """A singer in a list."""

    name: str
    n_exemplars: int
    seconds: float
    labels: dict[str, str]
    enrolled_at: str = Field(description="ISO 8601, UTC")


class SingersAnswer(Model):
    """Some singers, by name."""

    total: int = Field(description="singers that match the query")
    singers: list[SingerLine]


class ExemplarLine(Model):
    """An exemplar of a singer."""

    id: str
    file: str
    seconds: float
    quality: float = Field(description="in [0, 1]")
    labels: dict[str, str]
    enrolled_at: str
    has_clip: bool


class SingerAnswer(SingerLine):
    """A singer with all exemplars."""

    exemplars: list[ExemplarLine]


class Rename(Model):
    """The new name of a singer."""

    name: SingerName


class RemoveAnswer(Model):
    """How much was forgotten."""

    removed: int


class HealthAnswer(Model):
    """That the service lives, and with what."""

    status: str
    encoder: str
    n_singers: int
    n_exemplars: int
    version: str = Field(description="of singerid")


class ReadyAnswer(Model):
    """That the service takes requests."""

    ready: bool
