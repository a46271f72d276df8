"""Questions about recordings: /embed, /verify, /identify, /search."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, File, Form, Path, Request, UploadFile

from singerid.judge import Voice
from singerid.registry.names import MAX_NAME
from singerid.web import schemas
from singerid.web.lookups import (
    MOST_CANDIDATES,
    candidates_of,
    nearest_exemplars,
)
from singerid.web.refusals import documented
from singerid.web.service import Service
from singerid.web.uploads import LimitedRoute

router = APIRouter(route_class=LimitedRoute, tags=["recordings"])
_UPLOAD = (408, 413, 415, 422, 504)


def service_of(request: Request) -> Service:
    """The application's service."""
    service: Service = request.app.state.service
    return service


TheService = Annotated[Service, Depends(service_of)]
Recording = Annotated[UploadFile, File(description="a recording in any audio format")]
Name = Annotated[
    str, Path(min_length=1, max_length=MAX_NAME, description="name of an enrolled singer")
]


@router.post("/embed", response_model=schemas.EmbedAnswer, responses=documented(*_UPLOAD))
async def embed(service: TheService, file: Recording) -> dict[str, Any]:
    """The vector of a recording."""
    voice = (await service.hear(file)).voice
    return {
        "embedding": voice.vector.tolist(), "encoder": service.judge.encoder.fingerprint,
        **about(voice),
    }  # fmt: skip


@router.post("/verify", response_model=schemas.VerifyAnswer, responses=documented(*_UPLOAD))
async def verify(service: TheService, a: Recording, b: Recording) -> dict[str, Any]:
    """Do two recordings hold the same voice?"""
    first, second = (await service.hear(a)).voice, (await service.hear(b)).voice
    seconds = [first.seconds, second.seconds]
    answer = service.judge.verify(first.vector, second.vector, min(seconds))
    qualities = [first.quality.to_dict(), second.quality.to_dict()]
    return answer | {"seconds": [round(s, 3) for s in seconds], "quality": qualities}


@router.post(
    "/singers/{name:path}/verify",
    response_model=schemas.VerifyAnswer,
    responses=documented(404, *_UPLOAD),
    tags=["singers"],
)
async def verify_singer(service: TheService, name: Name, file: Recording) -> dict[str, Any]:
    """Is it this enrolled singer?"""
    singer = await service.ask(service.registry.singer, name)
    voice = (await service.hear(file)).voice
    seconds = [voice.seconds, singer.seconds]
    known = [s for s in seconds if s]  # 0: unknown
    judge = await service.ask(service.enrolled_judge.get)
    answer = judge.verify(singer.vector, voice.vector, min(known))
    qualities = [voice.quality.to_dict(), None]
    return answer | {"seconds": [round(s, 3) for s in seconds], "quality": qualities}


@router.post(
    "/identify", response_model=schemas.IdentifyAnswer, responses=documented(409, *_UPLOAD)
)
async def identify(
    service: TheService,
    file: Recording,
    top: Annotated[int, Form(ge=1, le=MOST_CANDIDATES, description="candidates")] = 5,
) -> dict[str, Any]:
    """Which of the enrolled singers is it, or nobody of them?"""
    voice = (await service.hear(file)).voice
    n_singers, candidates = await service.ask(candidates_of, service.registry, service.judge, voice)
    judge = await service.ask(service.enrolled_judge.get)
    answer = judge.identify(voice, candidates, n_singers, top)
    names = [one["singer"] for one in answer["candidates"]]
    clips = await service.ask(service.clips.find, names)
    found = [
        one | {"exemplar": clip} for one, clip in zip(answer["candidates"], clips, strict=True)
    ]
    return answer | about(voice) | {"candidates": found}


@router.post("/search", response_model=schemas.SearchAnswer, responses=documented(409, *_UPLOAD))
async def search(
    service: TheService,
    file: Recording,
    top: Annotated[int, Form(ge=1, le=500, description="exemplars")] = 20,
) -> dict[str, Any]:
    """The exemplars that sound most alike."""
    voice = (await service.hear(file)).voice
    fingerprint = service.judge.encoder.fingerprint
    hits = await service.ask(nearest_exemplars, service.registry, voice.vector, fingerprint, top)
    found = [
        {
            "exemplar": hit.exemplar.id, "singer": hit.exemplar.singer,
            "score": round(float(hit.score), 6), "seconds": hit.exemplar.seconds,
            "labels": dict(hit.exemplar.labels),
        }
        for hit in hits
    ]  # fmt: skip
    return {"hits": found}


def about(voice: Voice) -> dict[str, Any]:
    """Durations and quality, for an answer."""
    return voice.durations() | {"quality": voice.quality.to_dict()}
