"""Every address of the service: what it answers, and how it says no."""

import hashlib
import json
import re

import numpy as np
import pytest

import singerid
from singerid.errors import MismatchError
from singerid.registry import Registry
from singerid.registry.exemplar import Exemplar
from singerid.web.app import create_app
from web_app import TOKEN, enroll, error_of, judge, part, recording, serving, sung


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """Two singers of two songs each."""
    with serving(tmp_path_factory.mktemp("web") / "registry", workers=2) as client:
        for name, singer in (("Anna", 0), ("Béla Bartók/2", 1)):
            assert enroll(client, name, singer).status_code == 200
        yield client


@pytest.fixture
def empty(tmp_path):
    with serving(tmp_path / "registry", max_files=2) as client:
        yield client


def ask(client, path, singer=0, song=5, field="file", **data):
    return client.post(path, data=data, files={field: part(recording(singer, song))})


def test_embedding_is_that_of_the_judge(client):
    answer = ask(client, "/embed").json()
    voice = judge().hear_samples(sung(0, 5), 16_000, "x")
    # FLAC keeps 16 bits; and other rows in a batch change the last digits.
    assert np.dot(answer["embedding"], voice.vector) > 0.99999
    assert answer["encoder"] == judge().encoder.fingerprint
    assert answer["seconds"] == 4.0
    assert answer["voice_seconds"] == answer["quality"]["voice_seconds"] > 1
    assert answer["quality"]["score"] == pytest.approx(voice.quality.score, abs=0.01)


def test_verify_two_recordings(client):
    files = {"a": part(recording(0, 5)), "b": part(recording(0, 6))}
    same = client.post("/verify", files=files).json()
    other = client.post("/verify", files=files | {"b": part(recording(1, 6))}).json()
    assert same["score"] > other["score"]
    assert same["probability"] > other["probability"]
    assert same["seconds"] == [4.0, 4.0]
    assert [quality["seconds"] for quality in same["quality"]] == [4.0, 4.0]
    assert {"llr", "accepted", "prior", "threshold", "false_alarm"} <= same.keys()


def test_verify_an_enrolled_singer(client):
    right = ask(client, "/singers/Anna/verify", 0).json()
    wrong = ask(client, "/singers/Anna/verify", 1).json()
    assert right["score"] > wrong["score"]
    assert right["seconds"] == [4.0, 8.0]
    assert right["quality"][1] is None
    slash = ask(client, "/singers/B%C3%A9la%20Bart%C3%B3k%2F2/verify", 1).json()
    assert slash["score"] > wrong["score"]


def test_identify(client):
    answer = ask(client, "/identify", 1, top="1").json()
    (best,) = answer["candidates"]
    assert best["singer"] == "Béla Bartók/2"
    assert best["n_recordings"] == answer["n_singers"] == 2
    assert answer["singer"] in (best["singer"], None)
    assert best["probability"] == answer["probability"]
    assert 0 <= answer["unknown_probability"] <= 1
    assert answer["margin"] > 0
    clip = client.get(f"/exemplars/{best['exemplar']}/audio")
    assert clip.headers["content-type"] == "audio/mpeg"
    assert clip.content[:2] in (b"\xff\xfb", b"\xff\xf3", b"ID")
    assert len(ask(client, "/identify").json()["candidates"]) == 2


def test_search(client):
    hits = ask(client, "/search", 0, top="3").json()["hits"]
    assert len(hits) == 3
    assert hits[0]["singer"] == "Anna"
    assert [hit["score"] for hit in hits] == sorted((hit["score"] for hit in hits), reverse=True)


def test_nobody_is_enrolled(empty):
    for path in ("/identify", "/search"):
        answer = ask(empty, path)
        assert answer.status_code == 409
        assert error_of(answer) == {"what": "nobody is enrolled", "do": "enroll somebody first"}
    assert empty.get("/map").status_code == 409
    assert empty.get("/singers").json() == {"total": 0, "singers": []}
    assert empty.get("/health").json()["n_singers"] == 0


def test_enrolling_tells_what_became_of_every_file(empty):
    files = [("files", part(recording(0, 0), "..\\..\\a.flac")), ("files", part(b"no", "../b.txt"))]
    form = {"singer": " Anna ", "labels": json.dumps({"song": "Erlkönig"})}
    answer = empty.post("/enroll", data=form, files=files).json()
    assert answer["singer"] == "Anna"
    (enrolled,), (failed,) = answer["enrolled"], answer["failed"]
    assert enrolled["file"] == "a.flac"
    assert enrolled["quality"]["seconds"] == enrolled["seconds"] == 4.0
    assert failed["file"] == failed["error"]["where"] == "b.txt"
    assert "is not audio" in failed["error"]["what"]
    again = empty.post("/enroll", data=form, files=files[:1]).json()
    assert (again["known"], again["enrolled"]) == (["a.flac"], [])
    singer = empty.get("/singers/Anna").json()
    assert singer["labels"] == {"song": "Erlkönig"}
    (exemplar,) = singer["exemplars"]
    assert (exemplar["file"], exemplar["has_clip"]) == ("a.flac", True)
    assert exemplar["id"] == enrolled["id"]
    kept = empty.app.state.service.registry.exemplar(exemplar["id"])
    assert kept.path == "a.flac"  # nothing that a later command would open elsewhere
    assert kept.sha256 == hashlib.sha256(recording(0, 0)).hexdigest()


def test_one_voice_under_two_names_is_pointed_out(empty):
    enroll(empty, "Anna", 0)
    answer = enroll(empty, "Hannah", 0, songs=(0, 2)).json()
    assert [near["singer"] for near in answer["near"]] == ["Anna"]
    assert 0.5 < answer["near"][0]["probability"] <= 1


@pytest.mark.parametrize(
    ("data", "n_files", "where", "what"),
    [
        ({"singer": "  "}, 1, "singer", "name of a singer cannot be used"),
        ({"singer": "a\nb"}, 1, "singer", "name of a singer cannot be used"),
        ({"singer": ".."}, 1, "singer", "no address can hold this name"),
        ({"singer": "x" * 201}, 1, "singer", "at most 200"),
        ({"singer": "x"}, 0, "files", "required"),
        ({"singer": "x"}, 3, "files", "too many files at once"),
        ({"singer": "x", "labels": "{"}, 1, "labels", "not JSON"),
        ({"singer": "x", "labels": "[1]"}, 1, "labels", "not an object"),
        ({"singer": "x", "labels": '{"a": 1}'}, 1, "labels", "label cannot be used"),
        ({"singer": "x", "labels": "[" * 50_000}, 1, "labels", "not JSON"),
    ],
)
def test_enrollments_that_are_refused(empty, data, n_files, where, what):
    files = [("files", part(recording(0, 0)))] * n_files
    answer = empty.post("/enroll", data=data, files=files or {"x": part(b"")})
    assert answer.status_code == 422
    assert what in error_of(answer)["what"]
    assert error_of(answer)["where"] == where


def test_listing_singers(client):
    answer = client.get("/singers").json()
    assert answer["total"] == 2
    assert [one["name"] for one in answer["singers"]] == ["Anna", "Béla Bartók/2"]
    assert answer["singers"][0]["n_exemplars"] == 2
    assert answer["singers"][0]["seconds"] == 8.0
    second = client.get("/singers", params={"offset": 1, "limit": 1}).json()
    assert [one["name"] for one in second["singers"]] == ["Béla Bartók/2"]
    assert client.get("/singers", params={"query": "bart"}).json()["total"] == 1
    for wrong in ({"limit": 501}, {"offset": -1}, {"query": "x" * 201}):
        assert client.get("/singers", params=wrong).status_code == 422


def test_renaming_and_removing(empty):
    enroll(empty, "Anna", 0)
    enroll(empty, "Bert", 1)
    taken = empty.patch("/singers/Anna", json={"name": "Bert"})
    assert taken.status_code == 409
    assert error_of(taken)["what"] == "there is a singer 'Bert' already"
    assert "where" not in error_of(taken)  # the place of the registry
    renamed = empty.patch("/singers/Anna", json={"name": "a/../b'\"; DROP"})
    assert renamed.json()["name"] == "a/../b'\"; DROP"
    assert empty.get("/singers/Anna").status_code == 404
    one, two = renamed.json()["exemplars"]
    assert empty.delete(f"/exemplars/{one['id']}").json() == {"removed": 1}
    assert empty.get(f"/exemplars/{one['id']}/audio").status_code == 404
    assert empty.delete(f"/exemplars/{one['id']}").status_code == 404
    assert empty.delete("/singers/Bert").json() == {"removed": 2}
    assert [s["name"] for s in empty.get("/singers").json()["singers"]] == [renamed.json()["name"]]
    assert empty.get(f"/exemplars/{two['id']}/audio").status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/singers/Nobody"), ("DELETE", "/singers/Nobody"), ("PATCH", "/singers/Nobody"),
        ("GET", "/exemplars/x' OR '1'='1/audio"), ("DELETE", "/exemplars/x' OR '1'='1"),
        ("GET", "/exemplars/..%2f..%2fetc%2fpasswd/audio"), ("GET", "/static/../app.py"),
        ("GET", "/static/%2e%2e/app.py"), ("GET", "/nothing"),
    ],
)  # fmt: skip
def test_what_is_not_there(client, method, path):
    answer = client.request(method, path, json={"name": "x"} if method == "PATCH" else None)
    assert answer.status_code == 404
    assert error_of(answer)["what"]
    assert client.get("/health").json()["n_exemplars"] == 4  # nothing was removed


def test_verifying_who_is_not_enrolled(client):
    answer = ask(client, "/singers/Nobody/verify")
    assert answer.status_code == 404
    assert "Nobody" in error_of(answer)["what"]


def test_other_types_of_bodies(client):
    answer = client.post("/identify", json={"file": "x"})
    assert answer.status_code == 415
    assert error_of(answer)["expected"] == "multipart/form-data"
    answer = client.patch("/singers/Anna", content=b"name=x")
    assert answer.status_code == 415
    answer = client.patch(
        "/singers/Anna", content=b"{", headers={"content-type": "application/json"}
    )
    assert answer.status_code == 422
    answer = client.post("/identify", data={"file": "text"}, files={"x": part(b"")})
    assert answer.status_code == 422
    assert error_of(answer)["where"] == "file"
    answer = client.post("/identify", content=b"x", headers={"content-type": "multipart/form-data"})
    assert answer.status_code == 400
    assert client.put("/identify").status_code == 405


@pytest.mark.parametrize("top", ["0", "51", "x", "1e9", "-1"])
def test_numbers_out_of_range(client, top):
    answer = ask(client, "/identify", top=top)
    assert answer.status_code == 422
    assert error_of(answer)["where"] == "top"


def test_the_map_is_drawn_once_a_version(client):
    first = client.get("/map")
    assert first.headers["content-type"] == "text/html; charset=utf-8"
    assert "frame-ancestors 'self'" in first.headers["content-security-policy"]
    meta = re.search('http-equiv="Content-Security-Policy" content="([^"]*)"', first.text)
    assert "default-src 'none'" in meta[1]
    assert "'sha256-" in meta[1]
    assert "Anna" in first.text
    view = client.app.state.map
    kept = view._kept
    client.get("/map")
    assert view._kept is kept
    extra = enroll(client, "Anna", 0, songs=(7,)).json()["enrolled"][0]["id"]
    assert extra in client.get("/map").text
    client.delete(f"/exemplars/{extra}")


def test_page_and_documentation_ask_nobody_else(client):
    for path in ("/", "/docs"):
        answer = client.get(path)
        assert answer.status_code == 200
        assert "//" not in re.sub(r"https?://(127|localhost)|<!--.*?-->", "", answer.text) or (
            not re.search(r"""(src|href)=["'](https?:)?//""", answer.text)
        )
        policy = answer.headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
    assert "POST /identify" in client.get("/docs").text
    assert client.get("/static/app.js").status_code == 200
    assert client.get("/redoc").status_code == 404
    assert "/identify" in client.get("/openapi.json").json()["paths"]


def test_health_metrics_and_request_ids(client):
    health = client.get("/health", headers={"X-Request-ID": "mine-1"})
    assert health.headers["x-request-id"] == "mine-1"
    assert health.json() == {
        "status": "ok", "encoder": judge().encoder.fingerprint, "n_singers": 2, "n_exemplars": 4,
        "version": singerid.__version__,
    }  # fmt: skip
    forged = client.get("/health", headers={"X-Request-ID": "x\tinjected{}"})
    assert re.fullmatch("[0-9a-f]{16}", forged.headers["x-request-id"])
    assert client.get("/ready").json() == {"ready": True}
    client.get("/singers/Somebody%20Private")
    metrics = client.get("/metrics")
    assert metrics.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    lines = metrics.text.splitlines()
    assert "singerid_exemplars 4" in lines
    counted = 'singerid_requests_total{method="GET",route="/singers/{name}",status="404"}'
    assert any(line.startswith(counted) for line in lines)
    assert "Private" not in metrics.text


def test_cross_origin_requests_get_no_permission(client):
    preflight = client.options("/enroll", headers={
        "Origin": "https://evil.example", "Access-Control-Request-Method": "POST"})  # fmt: skip
    assert "access-control-allow-origin" not in preflight.headers
    for origin in ("https://evil.example", "null", "http://testserver.evil.example", "http://["):
        answer = client.post("/enroll", data={"singer": "x"}, headers={"Origin": origin})
        assert answer.status_code == 403
        assert error_of(answer)["what"] == "the request comes from another site's page"
    same = client.patch(
        "/singers/Nobody", json={"name": "x"}, headers={"Origin": "http://testserver"}
    )
    assert same.status_code == 404
    other_name = client.get("/singers", headers={"Host": "evil.example"})
    assert other_name.status_code == 400
    assert "host name" in error_of(other_name)["what"]


def test_a_registry_of_another_encoder_is_refused(tmp_path):
    registry = Registry.open(tmp_path / "r", create=True)
    registry.enroll("x", [Exemplar(np.eye(1, 8, dtype=np.float32)[0])], "other-encoder")
    with pytest.raises(MismatchError, match="other-encoder"):
        create_app(judge(), registry)


def test_token(tmp_path):
    with serving(tmp_path / "registry", token=TOKEN) as client:
        for path in ("/", "/health", "/ready", "/static/app.js", "/openapi.json", "/docs"):
            assert client.get(path).status_code == 200
        right = {"Authorization": f"Bearer {TOKEN}"}
        wrong = ({}, {"Authorization": "Bearer x"}, {"Authorization": TOKEN},
                 {"Authorization": f"Basic {TOKEN}"}, {"Cookie": f"singerid={TOKEN}"},
                 {"Authorization": "Bearer \xff".encode("latin-1")})  # fmt: skip
        for headers in wrong:
            answer = client.get("/singers", headers=headers)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Bearer"
        for path in ("/metrics", "/map", "/exemplars/x/audio"):
            assert client.get(path).status_code == 401
        assert client.delete("/singers/x").status_code == 401
        answer = client.get("/singers", headers=right)
        assert answer.status_code == 200
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly; SameSite=Strict" in cookie
        assert TOKEN not in cookie
        # What links and <audio> send from now on; only for reading.
        assert client.get("/singers").status_code == 200
        assert client.delete("/singers/x").status_code == 401
        assert client.delete("/singers/x", headers=right).status_code == 404
