"""Encoders in folders and on the Hugging Face Hub, which is played by a transport of httpx."""

import base64
import hashlib
import json
import logging
from importlib import import_module

import numpy as np
import pytest

from singerid import hub
from singerid.encoder_graph import parse_header, with_header
from singerid.errors import CheckpointError, ConfigError, MismatchError, MissingExtraError
from singerid.singer_encoder import SingerEncoder

pytest.importorskip("onnx")
huggingface_hub = pytest.importorskip("huggingface_hub")
# The client of huggingface_hub, which is of another name in each of its versions.
httpx = import_module(type(huggingface_hub.get_session()).__module__.partition(".")[0])
COMMIT = "5f" * 20


@pytest.fixture(scope="module")
def encoder(small_encoder):
    return SingerEncoder.from_pretrained(small_encoder / "e.onnx")


class Hub:
    """Plays huggingface.co: files by path, and what was asked and committed."""

    def __init__(self):
        self.files, self.asked, self.committed, self.down = {}, [], {}, False

    def __call__(self, request):
        if self.down:
            raise httpx.ConnectError("[Errno -2] Name or service not known", request=request)
        self.asked.append((request.method, request.url.path, request.headers.get("authorization")))
        if request.url.path.startswith("/api/"):
            return self.api(request.url.path, request)
        if request.url.path.startswith("/private/"):
            return httpx.Response(401, headers={"X-Error-Code": "RepoNotFound"}, request=request)
        name, _, rest = request.url.path[1:].partition("/resolve/")
        revision, _, file = rest.partition("/")
        if revision not in ("main", COMMIT, "v1"):
            headers = {"X-Error-Code": "RevisionNotFound"}
            return httpx.Response(404, headers=headers, request=request)
        if (name, file) not in self.files:
            headers = {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT}
            return httpx.Response(404, headers=headers, request=request)
        data = self.files[name, file]
        headers = {"ETag": f'"{hashlib.sha1(data).hexdigest()}"', "X-Repo-Commit": COMMIT}
        if request.method == "HEAD":
            headers["Content-Length"] = str(len(data))
            return httpx.Response(200, headers=headers, request=request)
        return httpx.Response(200, headers=headers, content=data, request=request)

    def api(self, path, request):
        said = {"url": "https://huggingface.co/anna/tiny", "name": "anna/tiny"}
        if "/preupload/" in path:
            files = [file["path"] for file in json.loads(request.read())["files"]]
            files = [{"path": f, "uploadMode": "regular", "shouldIgnore": False} for f in files]
            said = {"files": files}
        elif "/commit/" in path:
            for line in map(json.loads, request.read().splitlines()):
                if line["key"] == "file":
                    value = line["value"]
                    self.committed[value["path"]] = base64.b64decode(value["content"])
            said = {
                "commitUrl": f"https://huggingface.co/anna/tiny/commit/{COMMIT}",
                "commitOid": COMMIT, "pullRequestUrl": None, "hookOutput": "",
            }  # fmt: skip
        return httpx.Response(200, json=said, request=request)


@pytest.fixture
def web(monkeypatch):
    """The Hub, instead of the network."""
    played = Hub()
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    transport = httpx.MockTransport(played)
    huggingface_hub.set_client_factory(lambda: httpx.Client(transport=transport))
    yield played
    huggingface_hub.set_client_factory(httpx.Client)


def test_a_folder_holds_all_that_it_takes(encoder, small_encoder, tmp_path):
    folder = tmp_path / "anna" / "tiny"
    encoder.save_pretrained(folder, license="cc-by-4.0", weights=small_encoder / "e.safetensors")
    assert {path.name for path in folder.iterdir()} == {
        "encoder.onnx", "encoder.safetensors", "README.md", "config.json",
    }  # fmt: skip
    assert (folder / "encoder.onnx").read_bytes() == (small_encoder / "e.onnx").read_bytes()
    assert (folder / "encoder.safetensors").read_bytes() == (
        small_encoder / "e.safetensors"
    ).read_bytes()
    config = json.loads((folder / "config.json").read_text())
    assert config["encoder"] == encoder.fingerprint
    assert config["dim"] == 8
    found = SingerEncoder.from_pretrained(folder)
    assert found.fingerprint == encoder.fingerprint
    noise = np.random.default_rng(0).standard_normal((1, 5000)).astype(np.float32)
    np.testing.assert_array_equal(found.embedder.encode(noise), encoder.embedder.encode(noise))


def test_its_card(encoder, tmp_path):
    encoder.save_pretrained(tmp_path / "tiny", license="cc-by-4.0")
    text = (tmp_path / "tiny" / "README.md").read_text()
    card = huggingface_hub.ModelCard(text)
    assert (card.data.license, card.data.library_name) == ("cc-by-4.0", "singerid")
    assert "singing" in card.data.tags
    assert 'SingerEncoder.from_pretrained("tiny")' in text
    assert f"| encoder | {encoder.fingerprint}; only vectors" in text
    assert "Voices are biometric data" in text
    (tmp_path / "tiny" / "README.md").write_text("mine")
    encoder.save_pretrained(tmp_path / "tiny")
    assert (tmp_path / "tiny" / "README.md").read_text() == "mine"
    encoder.save_pretrained(tmp_path / "other", card=tmp_path / "tiny" / "README.md")
    assert (tmp_path / "other" / "README.md").read_text() == "mine"


def test_what_is_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert all(map(hub.is_name, ("anna/tiny", "A1/b.c-d_e")))
    for other in (
        "default",
        "./anna/tiny",
        "/anna/tiny",
        "a/b/c",
        "runs/e.onnx",
        "~/x",
        "a/..",
        "",
    ):
        assert not hub.is_name(other)
    (tmp_path / "anna" / "tiny").mkdir(parents=True)
    assert not hub.is_name("anna/tiny")


def test_a_folder_goes_before_a_repository(encoder, web, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    encoder.save_pretrained("anna/tiny")
    assert SingerEncoder.from_pretrained("anna/tiny").fingerprint == encoder.fingerprint
    assert not web.asked
    with pytest.raises(ConfigError, match=r"^anna/tiny: has no revisions: .*; found v1$"):
        SingerEncoder.from_pretrained("anna/tiny", revision="v1")


def serve(web, encoder, **more):
    for file, data in (hub.files_of(encoder.embedder.model, "anna/tiny") | more).items():
        web.files["anna/tiny", file] = data


def test_from_the_hub_and_then_from_its_cache(encoder, web, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    serve(web, encoder, **{"pytorch_model.bin": b"\x80pickle", "encoder.safetensors": b"unread"})
    options = {"cache_dir": tmp_path / "cache", "token": "hf_secret"}
    found = SingerEncoder.from_pretrained("anna/tiny", revision="v1", **options)
    assert found.fingerprint == encoder.fingerprint
    assert {path.rpartition("/")[2] for _, path, _ in web.asked} == {"config.json", "encoder.onnx"}
    assert {token for _, _, token in web.asked} == {"Bearer hf_secret"}
    web.down = True
    again = SingerEncoder.from_pretrained("anna/tiny", revision="v1", **options)
    assert again.fingerprint == encoder.fingerprint


@pytest.mark.parametrize(
    ("name", "revision", "found"),
    [
        ("private/tiny", None, "no such repository, or a private one"),
        ("anna/tiny", "v9", "no such revision"),
        ("anna/empty", None, "a repository without encoder.onnx"),
    ],
)
def test_what_the_hub_does_not_have(encoder, web, tmp_path, monkeypatch, name, revision, found):
    monkeypatch.chdir(tmp_path)
    serve(web, encoder)
    with pytest.raises(CheckpointError) as caught:
        SingerEncoder.from_pretrained(name, revision=revision, cache_dir=tmp_path / "cache")
    where = name if revision is None else f"{name} at {revision}"
    assert str(caught.value) == (
        f"{where}: is no file or folder here, and cannot be fetched from the Hugging Face Hub; "
        f"found {found}; check the name and the network; a private one needs a token"
    )


def test_without_a_network(encoder, web, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    web.down = True
    with pytest.raises(CheckpointError) as caught:
        SingerEncoder.from_pretrained("anna/tiny", cache_dir=tmp_path / "cache")
    assert "found no connection to the Hub, and nothing in the cache; check" in str(caught.value)
    with pytest.raises(CheckpointError) as caught:
        encoder.push_to_hub("anna/tiny", token="hf_secret")
    assert str(caught.value) == (
        "anna/tiny: cannot be put on the Hugging Face Hub; found ConnectError: [Errno -2] Name or "
        "service not known; check the name, the network, and that the token may write"
    )


def test_what_is_fetched_must_be_what_is_said(encoder, web, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    serve(web, encoder, **{"config.json": b'{"encoder": "012345678901"}'})
    with pytest.raises(MismatchError, match=r"encoder.onnx is not the encoder that config.json "):
        SingerEncoder.from_pretrained("anna/tiny", cache_dir=tmp_path / "cache")
    serve(web, encoder, **{"encoder.onnx": b"\x80\x04no model"})
    with pytest.raises(CheckpointError, match="is not an exported encoder of singerid"):
        SingerEncoder.from_pretrained("anna/tiny", cache_dir=tmp_path / "other")


def test_folders_are_looked_at_like_repositories(encoder, tmp_path):
    encoder.save_pretrained(tmp_path / "a")
    header = parse_header(encoder.embedder.model, "e").model_copy(update={"fingerprint": "f" * 12})
    (tmp_path / "a" / "encoder.onnx").write_bytes(with_header(encoder.embedder.model, header))
    with pytest.raises(MismatchError, match="found ffffffffffff; expected"):
        SingerEncoder.from_pretrained(tmp_path / "a")
    for damaged in (b"{", b"[]", b"\xff"):
        (tmp_path / "a" / "config.json").write_bytes(damaged)
        with pytest.raises(CheckpointError, match=r"config.json: is damaged; found "):
            SingerEncoder.from_pretrained(tmp_path / "a")


def test_push(encoder, small_encoder, web):
    url = encoder.push_to_hub(
        "anna/tiny", token="hf_secret", weights=small_encoder / "e.safetensors"
    )
    assert url == f"https://huggingface.co/anna/tiny/commit/{COMMIT}"
    expected = hub.files_of(
        encoder.embedder.model, "anna/tiny", weights=small_encoder / "e.safetensors"
    )
    assert web.committed == expected
    assert b'from_pretrained("anna/tiny")' in web.committed["README.md"]
    assert {token for _, _, token in web.asked} == {"Bearer hf_secret"}


def test_only_exported_encoders(small_encoder, tmp_path):
    encoder = SingerEncoder.from_pretrained(small_encoder / "e.safetensors")
    for refused in (encoder.save_pretrained, encoder.push_to_hub):
        with pytest.raises(ConfigError, match=r"^only an exported encoder can be .* singerid expo"):
            refused(tmp_path / "a")


def test_a_folder_that_cannot_be_written(encoder, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match=r"file: cannot be written; found File exists"):
        encoder.save_pretrained(tmp_path / "file")


def test_without_the_extra(encoder, tmp_path, monkeypatch):
    def missing():
        raise ImportError

    monkeypatch.chdir(tmp_path)
    encoder.save_pretrained(tmp_path / "a")
    monkeypatch.setattr(hub, "_mixin", missing)
    assert SingerEncoder.from_pretrained("a").fingerprint == encoder.fingerprint
    with pytest.raises(MissingExtraError) as caught:
        SingerEncoder.from_pretrained("anna/tiny")
    assert str(caught.value) == (
        "anna/tiny (no file or folder here): huggingface_hub is not installed; install it with: "
        "pip install 'singerid[hub]'"
    )
    with pytest.raises(MissingExtraError, match=r"^huggingface_hub is not installed; "):
        encoder.save_pretrained(tmp_path / "b")
