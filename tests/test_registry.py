"""The registry: enrolling, asking, renaming, refusing."""

import dataclasses

import numpy as np
import pytest

from registry_voices import DIM, exemplar, exemplars, voice
from singerid.embeddings import mean_direction
from singerid.errors import MismatchError, MissingExtraError, SingeridError
from singerid.registry import NameTakenError, NotEnrolledError, Registry, RegistryError
from singerid.registry.names import check_labels, check_name
from singerid.registry.place import default_place, local_folder
from singerid.registry.tables import equals, one_of

pytest.importorskip("lancedb")


@pytest.fixture
def registry(tmp_path):
    made = Registry.open(tmp_path / "r", create=True)
    for seed, name in enumerate(["Ann", "ben", "Ćelia O'Connor"]):
        made.enroll(name, exemplars(seed), "enc")
    return made


# Enrolling


def test_an_empty_registry(tmp_path):
    registry = Registry.open(tmp_path / "r", create=True)
    assert (len(registry), registry.n_exemplars, registry.version) == (0, 0, 0)
    assert (registry.encoder, registry.dim) == ("", 0)
    assert registry.singers() == []
    assert registry.candidates(exemplar(0).vector, "enc", 3) == []
    assert registry.search(exemplar(0).vector, "enc", 3) == []
    assert registry.clip("x") is None
    assert registry.dedupe(least=0.5) == []
    assert len(registry.embeddings()) == 0
    with pytest.raises(NotEnrolledError, match="no singer 'Ann'"):
        registry.exemplars("Ann")
    with pytest.raises(NotEnrolledError, match="no singer 'Ann'"):
        registry.remove("Ann")
    for ask in (registry.build_index, lambda: registry.reembed(None)):
        with pytest.raises(RegistryError, match="nobody is enrolled"):
            ask()


def test_what_is_enrolled_is_found_again_as_it_was(tmp_path):
    registry = Registry.open(tmp_path / "r", create=True)
    given = exemplar(
        1, path="/a/ü 'x'.wav", voice_seconds=1.5, quality=0.75, clip=b"mp3", source="by hand",
        sha256="ab" * 32, labels={"song": "It's \"A\"", "gender": "F"},
    )  # fmt: skip
    done = registry.enroll("  Ann ", [given], "enc")
    assert (done.singer, len(done.added), done.known) == ("Ann", 1, [])
    again = Registry.open(tmp_path / "r")
    (found,) = again.exemplars("Ann")
    assert again.exemplar(done.added[0]).singer == "Ann"
    np.testing.assert_array_equal(found.vector, given.vector)
    for name in ("seconds", "voice_seconds", "path", "sha256", "quality", "labels", "source"):
        assert getattr(found, name) == getattr(given, name)
    assert (found.id, found.singer, found.has_clip) == (done.added[0], "Ann", True)
    assert found.enrolled_at.endswith("+00:00")
    assert found.clip is None
    assert again.clip(found.id) == b"mp3"
    assert (again.encoder, again.dim, len(again), again.n_exemplars) == ("enc", DIM, 1, 1)


def test_the_same_bytes_are_enrolled_once(registry):
    version = registry.version
    done = registry.enroll("Ann", exemplars(0), "enc")
    assert (done.added, len(done.known), registry.n_exemplars) == ([], 3, 9)
    assert registry.version == version
    new = exemplar(0, 7, sha256="x")
    done = registry.enroll("Ann", [new, new, exemplar(0, 0)], "enc")
    assert (len(done.added), len(done.known), registry.n_exemplars) == (1, 2, 10)
    # The same recording of another singer may be a duet.
    assert len(registry.enroll("ben", [exemplar(0, 0)], "enc").added) == 1


def test_another_encoder_is_refused(registry):
    with pytest.raises(MismatchError, match=r"two different encoders.*other and enc"):
        registry.enroll("Ann", [exemplar(0, 9)], "other")
    with pytest.raises(MismatchError, match="two different encoders"):
        registry.candidates(exemplar(0).vector, "other", 1)
    with pytest.raises(MismatchError, match="two different encoders"):
        registry.search(exemplar(0).vector, "other", 1)
    assert registry.n_exemplars == 9


def test_an_emptied_registry_takes_another_encoder(registry):
    for name in ("Ann", "ben", "Ćelia O'Connor"):
        assert registry.remove(name) == 3
    assert (registry.encoder, len(registry)) == ("", 0)
    small = dataclasses.replace(exemplar(0), vector=np.array([0.6, 0.8], np.float32))
    registry.enroll("Ann", [small], "other")
    assert (registry.encoder, registry.dim) == ("other", 2)


@pytest.mark.parametrize(
    ("vector", "message"),
    [
        (np.ones(DIM, np.float32), "1-0.wav: vector is not of unit length; found length 4.47"),
        (np.full(DIM, np.nan, np.float32), "not of unit length"),
        (np.eye(3, dtype=np.float32)[0], "vectors of another dimension; found 3; expected 20"),
        (np.zeros((2, 3), np.float32), "vectors of different shapes"),
    ],
)
def test_vectors_that_cannot_be_used(registry, vector, message):
    with pytest.raises(RegistryError, match=message):
        registry.enroll("new", [dataclasses.replace(exemplar(1), vector=vector)], "enc")
    assert len(registry) == 3


def test_nothing_to_enroll(registry):
    with pytest.raises(RegistryError, match="Ann: nothing to enroll"):
        registry.enroll("Ann", [], "enc")


def test_a_wrong_label_leaves_everything_as_it_was(registry):
    version = registry.version
    bad = [exemplar(0, 8), exemplar(0, 9, labels={"a": "b\n"})]
    with pytest.raises(RegistryError, match="a: label cannot be used"):
        registry.enroll("Ann", bad, "enc")
    assert registry.version == version


# Names


@pytest.mark.parametrize(
    "name", ["", " \t ", "a\nb", "a\x00", "x" * 201, "a\u202eb", "\ud800", "a\u2028b"]
)
def test_names_that_cannot_be_used(registry, name):
    for ask in (
        lambda: registry.enroll(name, exemplars(5), "enc"),
        lambda: registry.rename("Ann", name),
        lambda: registry.merge(["Ann"], name),
    ):
        with pytest.raises(RegistryError, match="name of a singer cannot be used"):
            ask()


def test_a_name_has_one_form():
    assert check_name(" Ame\u0301lie ") == "Am\u00e9lie"
    assert check_name("👩‍🎤 李") == "👩‍🎤 李"


def test_labels_are_checked():
    assert check_labels({"b": "", "a": "1"}) == {"a": "1", "b": ""}
    with pytest.raises(RegistryError, match="too many labels; found 51"):
        check_labels({str(i): "" for i in range(51)})
    with pytest.raises(RegistryError, match="name of a label cannot be used"):
        check_labels({"": "x"})
    with pytest.raises(RegistryError, match="label cannot be used; found 7"):
        check_labels({"a": 7})


NASTY = [
    "O'Connor", "' OR '1'='1", "x'; DROP TABLE exemplars; --", "\\", "\\'", '"', "%", "_", "`",
    "''", "NULL", "singer", "a\\n", "${x}", "Ann' --", "/* */", "\U0001f3a4", "e\u0301",
]  # fmt: skip


def test_names_are_no_filters(registry):
    for seed, name in enumerate(NASTY, 100):
        registry.enroll(name, exemplars(seed, 2), "enc")
    assert len(registry) == 3 + len(NASTY)
    for name in NASTY:
        kept = check_name(name)
        assert {one.singer for one in registry.exemplars(kept)} == {kept}
        assert registry.rename(kept, "now " + kept) == 2
        assert registry.rename("now " + kept, kept) == 2
        assert [one.name for one in registry.singers() if one.name == kept] == [kept]
    for name in NASTY[::2]:
        assert registry.remove(check_name(name)) == 2
    for name in NASTY[1::2]:
        assert registry.merge([check_name(name)], "Ann") > 2
    assert len(registry) == 3
    for name in NASTY:
        assert registry.clip(name) is None
        with pytest.raises(NotEnrolledError):
            registry.exemplar(name)


def test_filters():
    assert equals("a", "O'C") == "a = 'O''C'"
    assert one_of("a", ["x", "y'"]) == "a IN ('x', 'y''')"
    assert one_of("a", []) == "false"


# Asking


def test_singers_are_listed_by_name(registry):
    registry.enroll("Ann", [exemplar(0, 5, labels={"song": "b"})], "enc")
    listed = registry.singers()
    assert [one.name for one in listed] == ["Ann", "ben", "Ćelia O'Connor"]
    assert [one.n_exemplars for one in listed] == [4, 3, 3]
    assert listed[0].seconds == 8.0
    assert listed[0].enrolled_at == registry.exemplars("Ann")[0].enrolled_at
    assert [one.name for one in registry.singers("N", 1)] == ["ben", "Ćelia O'Connor"]
    assert [one.name for one in registry.singers("", 1, 1)] == ["ben"]
    assert registry.singers("zzz") == []
    assert (registry.count("B"), registry.count()) == (1, 3)
    assert "ben" in registry
    assert "Ben" not in registry


def test_labels_of_a_singer_are_those_of_all_recordings(tmp_path):
    registry = Registry.open(tmp_path / "r", create=True)
    labels = [{"gender": "F", "song": "a"}, {"gender": "F", "song": "b"}, {"gender": "F"}]
    given = [exemplar(0, take, labels=one) for take, one in enumerate(labels)]
    registry.enroll("Ann", given, "enc")
    assert registry.singers()[0].labels == {"gender": "F"}


def test_candidates_are_the_nearest_centroids(registry):
    vector = exemplar(1, 99).vector
    found = registry.candidates(vector, "enc", 2)
    assert found[0].singer == "ben"
    assert len(found) == 2
    every = registry.candidates(vector, "enc", 99)
    assert len(every) == 3
    for one in every:
        mine = registry.exemplars(one.singer)
        expected = mean_direction(np.stack([e.vector for e in mine]))
        np.testing.assert_allclose(one.vector, expected, atol=1e-6)
        np.testing.assert_allclose(registry.singer(one.singer).vector, expected, atol=1e-6)
        assert (one.seconds, one.n_recordings) == (6.0, 3)
    scores = [float(one.vector @ vector) for one in every]
    assert scores == sorted(scores, reverse=True)


def test_a_vector_of_another_shape_is_refused(registry):
    with pytest.raises(RegistryError, match=r"another shape; found \(3,\); expected \(20,\)"):
        registry.candidates(np.ones(3, np.float32), "enc", 1)


def test_search_finds_recordings(registry):
    hits = registry.search(exemplar(2, 1).vector, "enc", 4)
    assert len(hits) == 4
    assert hits[0].exemplar.path == "2-1.wav"
    assert hits[0].score == pytest.approx(1, abs=1e-6)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


def test_what_another_process_changes_is_seen(registry):
    other = Registry.open(registry.place)
    vector = exemplar(7, 1).vector
    assert other.candidates(vector, "enc", 1)[0].singer != "new"
    version = other.version
    registry.enroll("new", exemplars(7), "enc")
    assert other.version > version
    assert other.candidates(vector, "enc", 1)[0].singer == "new"
    registry.rename("new", "newer")
    assert other.candidates(vector, "enc", 1)[0].singer == "newer"
    registry.remove_exemplar(registry.exemplars("newer")[0].id)
    (found,) = other.candidates(vector, "enc", 1)
    assert found.n_recordings == 2
    np.testing.assert_allclose(found.vector, registry.singer("newer").vector, atol=1e-6)
    registry.remove("newer")
    assert other.candidates(vector, "enc", 1)[0].singer != "newer"
    assert len(other) == 3


# Changing


def test_rename(registry):
    assert registry.rename("ben", "Benjamin") == 3
    assert "ben" not in registry
    assert len(registry.exemplars("Benjamin")) == 3
    with pytest.raises(NameTakenError, match=r"there is a singer 'Ann' already.*singers merge"):
        registry.rename("Benjamin", "Ann")
    with pytest.raises(NotEnrolledError, match=r"no singer 'Benjamim'.*'Benjamin' among them"):
        registry.rename("Benjamim", "x")
    assert registry.rename("Ann", " Ann ") == 3


def test_merge(registry):
    registry.enroll("ben", [exemplar(0, 0)], "enc")  # the same bytes as one of Ann's
    assert registry.merge(["Ann", "ben"], "Ann") == 6
    assert [one.name for one in registry.singers()] == ["Ann", "Ćelia O'Connor"]
    assert registry.merge(["Ann", "Ćelia O'Connor"], "both") == 9
    with pytest.raises(NotEnrolledError, match="no singer 'x'"):
        registry.merge(["both", "x"], "y")
    with pytest.raises(RegistryError, match="nobody to merge"):
        registry.merge([], "y")
    assert len(registry) == 1


def test_one_commit_each(registry):
    for change in (
        lambda: registry.rename("ben", "Ben"),
        lambda: registry.merge(["Ben", "Ann"], "Ann"),
        lambda: registry.remove("Ann"),
        lambda: registry.enroll("Ann", exemplars(0, 9), "enc"),
    ):
        version = registry.version
        change()
        assert registry.version == version + 1


def test_removed_recordings_leave_nothing_behind(tmp_path):
    registry = Registry.open(tmp_path / "r", create=True)
    registry.enroll("Ann", [exemplar(0, 0, clip=b"secret" * 99, path="Ann's secret.wav")], "enc")
    registry.enroll("ben", [exemplar(1, 0, clip=b"kept" * 99), exemplar(1, 1)], "enc")
    registry.remove("Ann")
    registry.remove_exemplar(registry.exemplars("ben")[1].id)
    registry.purge()
    (left,) = registry.exemplars("ben")
    assert registry.clip(left.id) == b"kept" * 99
    assert registry.encoder == "enc"
    vector = exemplar(0, 0).vector.tobytes()
    for path in (tmp_path / "r").rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        assert b"secretsecret" not in content
        assert b"Ann" not in content
        assert vector not in content
    assert len(Registry.open(tmp_path / "r")) == 1


# Places


def test_places(monkeypatch, tmp_path):
    monkeypatch.delenv("SINGERID_REGISTRY", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert default_place() == str(tmp_path / "singerid" / "registry")
    monkeypatch.setenv("XDG_DATA_HOME", "relative")  # to be ignored, says the specification
    assert default_place().endswith("/.local/share/singerid/registry")
    monkeypatch.setenv("SINGERID_REGISTRY", "s3://bucket/r")
    assert default_place() == "s3://bucket/r"
    assert default_place("mine") == "mine"
    assert local_folder("s3://bucket/r") is None
    assert str(local_folder("file:///a%20b/c")) == "/a b/c"


def test_places_without_a_registry(tmp_path):
    with pytest.raises(RegistryError, match=r"nowhere: no registry here; enroll somebody"):
        Registry.open(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()
    with pytest.raises(RegistryError, match="no registry here"):
        Registry.open(tmp_path)
    (tmp_path / "song.wav").write_bytes(b"")
    for create in (False, True):
        with pytest.raises(RegistryError, match=r"is no registry; found a folder with song\.wav"):
            Registry.open(tmp_path, create)
        with pytest.raises(RegistryError, match="is no folder"):
            Registry.open(tmp_path / "song.wav", create)


def test_a_newer_format_is_refused(registry, monkeypatch):
    monkeypatch.setattr("singerid.formats.FORMATS", {"registry": 0})
    with pytest.raises(RegistryError, match=r"registry format 1 is newer than this singerid .know"):
        Registry.open(registry.place)


def test_a_damaged_registry_says_so(registry, tmp_path):
    for path in (tmp_path / "r" / "exemplars.lance" / "_versions").iterdir():
        path.write_bytes(b"junk")
    with pytest.raises(RegistryError, match="the registry cannot be read or written"):
        Registry.open(registry.place)


def test_without_lancedb(monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "lancedb", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'singerid\[registry\]'"):
        Registry.open(tmp_path, create=True)


def test_voices_are_as_far_apart_as_the_tests_assume():
    assert abs(np.corrcoef(voice(0), voice(1))[0, 1]) < 0.6
    assert issubclass(RegistryError, SingeridError)
