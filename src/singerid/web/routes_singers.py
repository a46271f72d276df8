"""Who is enrolled: /enroll, /singers, /exemplars."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import APIRouter, File, Form, Path, Query, UploadFile
from fastapi.responses import Response

from singerid.errors import SingeridError
from singerid.judge import Voice
from singerid.registry.exemplar import Enrollment, Exemplar
from singerid.registry.names import NotEnrolledError, RegistryError, check_labels
from singerid.web import schemas
from singerid.web.lookups import near_singers, singer_answer, singer_line
from singerid.web.refusals import documented, fields_of
from singerid.web.routes_voices import Name, TheService
from singerid.web.service import Heard, Service
from singerid.web.uploads import LimitedRoute

router = APIRouter(route_class=LimitedRoute, tags=["singers"])
Id = Annotated[str, Path(max_length=64, description="id of an exemplar")]
_LABELS = 'JSON object of texts, such as {"song": "Erlkönig"}'


@dataclass
class _Batch:
    """The files of one enrollment."""

    heard: list[Heard] = field(default_factory=list)
    failed: list[dict[str, Any]] = field(default_factory=list)


@router.post(
    "/enroll",
    response_model=schemas.EnrollAnswer,
    responses=documented(408, 409, 413, 415, 422, 504),
)
async def enroll(
    service: TheService,
    singer: Annotated[schemas.SingerName, Form(description="name; a new one or a known one")],
    files: Annotated[list[UploadFile], File(description="recordings of this singer alone")],
    labels: Annotated[str, Form(description=_LABELS)] = "{}",
) -> dict[str, Any]:
    """Remember a singer's voice by some recordings; what cannot be used is listed."""
    kept_labels = _labels(labels)
    most = service.settings.max_files
    if len(files) > most:
        raise SingeridError(
            "too many files at once", where="files", found=len(files), expected=f"at most {most}"
        )
    batch = await _hear_all(service, files)
    if not batch.heard:
        return {"singer": singer, "enrolled": [], "known": [], "failed": batch.failed,
                "outliers": [], "near": []}  # fmt: skip
    exemplars = [_exemplar(one, kept_labels) for one in batch.heard]
    fingerprint = service.judge.encoder.fingerprint
    bar = await service.ask(service.enrolled_judge.near)
    done = await service.ask(service.registry.enroll, singer, exemplars, fingerprint, bar)
    vectors = [one.voice.vector for one in batch.heard]
    near = await service.ask(
        near_singers, service.registry, service.judge, vectors, done.near_other
    )
    return _enroll_answer(done, batch) | {"near": near}


async def _hear_all(service: Service, files: list[UploadFile]) -> _Batch:
    batch = _Batch()
    clip_seconds = service.settings.clip_seconds
    for file in files:
        try:
            batch.heard.append(await service.hear(file, clip_seconds))
        except SingeridError as error:
            parts = fields_of(error)
            batch.failed.append({"file": parts["where"], "error": parts})
    return batch


def _exemplar(heard: Heard, labels: Mapping[str, str]) -> Exemplar:
    """What the registry keeps; of the file's place only its name, for it is gone."""
    voice = heard.voice
    return Exemplar(
        voice.vector, seconds=voice.seconds, voice_seconds=voice.voice_seconds, path=voice.path,
        sha256=heard.sha256, quality=voice.quality.score, labels=labels, clip=heard.clip,
        source="upload",
    )  # fmt: skip


def _enroll_answer(done: Enrollment, batch: _Batch) -> dict[str, Any]:
    known = {one.sha256 for one in done.known}
    new: list[Voice] = [one.voice for one in batch.heard if one.sha256 not in known]
    enrolled = [
        {"id": id, "file": voice.path, "seconds": round(voice.seconds, 3),
         "quality": voice.quality.to_dict()}
        for id, voice in zip(done.added, new, strict=False)
    ]  # fmt: skip
    return {
        "singer": done.singer, "enrolled": enrolled, "failed": batch.failed,
        "known": [one.voice.path for one in batch.heard if one.sha256 in known],
        "outliers": [{"id": id, "reason": reason} for id, reason in done.outliers],
    }  # fmt: skip


def _labels(text: str) -> dict[str, str]:
    try:
        labels = json.loads(text or "{}")
    except (ValueError, RecursionError) as error:
        raise SingeridError("not JSON", where="labels", expected=_LABELS) from error
    if not isinstance(labels, dict):
        raise SingeridError("not an object", where="labels", expected=_LABELS)
    try:
        return check_labels(labels)
    except RegistryError as error:  # which otherwise is the registry's own trouble
        raise SingeridError(
            error.what, where="labels", found=error.found, expected=error.expected
        ) from error


@router.get("/singers", response_model=schemas.SingersAnswer, responses=documented(422))
async def singers(
    service: TheService,
    query: Annotated[str, Query(max_length=200, description="part of the name")] = "",
    offset: Annotated[int, Query(ge=0, le=10**9)] = 0,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> dict[str, Any]:
    """Enrolled singers by name."""
    found = await service.ask(service.registry.singers, query)
    lines = [singer_line(info) for info in found[offset : offset + limit]]
    return {"total": len(found), "singers": lines}


@router.get(
    "/singers/{name:path}", response_model=schemas.SingerAnswer, responses=documented(404, 422)
)
async def singer(service: TheService, name: Name) -> dict[str, Any]:
    """A singer with all exemplars."""
    return singer_answer(name, await service.ask(service.registry.exemplars, name))


@router.patch(
    "/singers/{name:path}",
    response_model=schemas.SingerAnswer,
    responses=documented(404, 408, 409, 413, 415, 422),
)
async def rename(service: TheService, name: Name, new: schemas.Rename) -> dict[str, Any]:
    """Give a singer another name."""
    await service.ask(service.registry.rename, name, new.name)
    return await singer(service, new.name)


@router.delete(
    "/singers/{name:path}", response_model=schemas.RemoveAnswer, responses=documented(404, 422)
)
async def remove(service: TheService, name: Name) -> dict[str, int]:
    """Forget a singer, with all exemplars and clips."""
    return {"removed": await service.ask(service.registry.remove, name)}


@router.delete(
    "/exemplars/{id}", response_model=schemas.RemoveAnswer, responses=documented(404, 422)
)
async def remove_exemplar(service: TheService, id: Id) -> dict[str, int]:
    """Forget one exemplar; with the last one, the singer."""
    await service.ask(service.registry.remove_exemplar, id)
    return {"removed": 1}


@router.get(
    "/exemplars/{id}/audio",
    response_class=Response,
    responses=documented(404, 422)
    | {200: {"content": {"audio/mpeg": {}}, "description": "A clip to listen to."}},
)
async def clip(service: TheService, id: Id) -> Response:
    """How an exemplar sounds."""
    media = await service.ask(service.registry.clip, id)
    if media is None:
        raise NotEnrolledError("no clip of this exemplar", where=id)
    return Response(media, media_type="audio/mpeg")
