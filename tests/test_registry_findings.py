"""The registry: outliers, doubles, the index, another encoder, files of other commands."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest

from registry_voices import exemplar, exemplars, voice
from singerid.embeddings import EmbeddingSet, normalize, read_embeddings, write_embeddings
from singerid.errors import BatchError, MismatchError, SingeridError
from singerid.registry import Exemplar, NotEnrolledError, Registry, RegistryError, index, roll
from singerid.registry.agreement import odd_ones, two_voices
from singerid.registry.dedupe import prior_of_pairs, same_voice, threshold
from singerid.registry.listening import digest
from singerid.registry.tables import STAGING
from singerid.scoring import model_cosine
from singerid.scoring.calibration import Calibration, Line
from singerid.scoring.scorer import Scorer
from singerid.table import read_table, write_table

pytest.importorskip("lancedb")
LINE = Line(10.0, -4.0, ((0.01, 0.5),), 100, 1000, 20)
CALIBRATION = Calibration("enc", Scorer(), LINE, (), (LINE,))


@pytest.fixture
def registry(tmp_path):
    return Registry.open(tmp_path / "r", create=True)


# Agreement


def stacked(*groups):
    return np.stack([one.vector for group in groups for one in group])


def test_the_intruder_is_the_odd_one():
    vectors = stacked(exemplars(0, 5), [exemplar(1)])
    (odd,) = odd_ones(vectors)
    others = vectors[:5] @ vectors[:5].T
    assert odd.row == 5
    assert odd.score == pytest.approx(float((vectors[:5] @ vectors[5]).mean()), abs=1e-6)
    assert odd.usual == pytest.approx((others.sum() - 5) / 20, abs=1e-6)
    assert odd_ones(vectors[:5]) == []
    assert odd_ones(vectors[4:]) == []  # of two, neither is


def test_of_three_that_agree_none_is_odd():
    for seed in range(20):
        assert odd_ones(stacked(exemplars(seed, 3))) == []


def test_two_voices_are_told_apart():
    split = two_voices(stacked(exemplars(0, 4), exemplars(1, 3)))
    assert [sorted(group) for group in split.groups] == [[0, 1, 2, 3], [4, 5, 6]]
    vectors = stacked(exemplars(0, 4), exemplars(1, 3))
    assert split.between == pytest.approx(float((vectors[:4] @ vectors[4:].T).mean()), abs=1e-6)
    assert split.within > 0.6
    assert two_voices(stacked(exemplars(0, 7))) is None
    assert two_voices(stacked(exemplars(0, 3))) is None
    assert two_voices(stacked(exemplars(0, 6), [exemplar(1)])) is None  # that is an outlier


def test_enrolling_points_out_what_does_not_fit(registry):
    registry.enroll("Bob", exemplars(1), "enc")
    done = registry.enroll("Ann", [*exemplars(0, 4), exemplar(1, 7, path="bob.wav")], "enc")
    ((id, reason),) = done.outliers
    assert registry.exemplar(id).path == "bob.wav"
    assert reason.startswith("score ")
    assert "with the other 4, which have 0." in reason
    assert registry.outliers("Ann") == done.outliers
    # More of somebody else, under a name with recordings of its own.
    done = registry.enroll("Ann", [exemplar(1, 8)], "enc")
    assert [name for name, _ in done.near_other] == ["Bob"]


def test_a_second_name_is_noticed(registry):
    registry.enroll("Bob", exemplars(1), "enc")
    registry.enroll("Ann", exemplars(0), "enc")
    given = [exemplar(1, take) for take in (7, 8)]
    assert registry.enroll("Robert", given, "enc").near_other == []  # nothing to judge by
    done = registry.enroll("Rob", [exemplar(1, 9)], "enc", near=0.6)
    names, scores = zip(*done.near_other, strict=True)
    assert set(names) == {"Bob", "Robert"}
    expected = float(np.mean(stacked(exemplars(1)) @ exemplar(1, 9).vector))
    assert dict(done.near_other)["Bob"] == pytest.approx(expected, abs=1e-5)
    assert list(scores) == sorted(scores, reverse=True)


# Doubles


def test_dedupe(registry):
    registry.enroll("Ann", exemplars(0), "enc")
    registry.enroll("Bob", exemplars(1, 4), "enc")
    registry.enroll("Robert", [exemplar(1, take) for take in (7, 8)], "enc")
    registry.enroll("duo", [*exemplars(2, 4), *exemplars(3, 3)], "enc")
    same, two = registry.dedupe(CALIBRATION)
    assert (same.kind, same.singers) == ("same", ("Bob", "Robert"))
    a, b = (stacked(registry.exemplars(name)) for name in same.singers)
    assert same.score == pytest.approx(float(np.mean(a @ b.T)), abs=1e-5)
    prior = prior_of_pairs(4)
    llr = 10 * same.score - 4
    odds = np.exp(llr) * prior / (1 - prior)
    assert same.probability == pytest.approx(odds / (1 + odds), abs=1e-5)
    assert (two.kind, two.singers) == ("two", ("duo",))
    ids = [one.id for one in registry.exemplars("duo")]
    assert [set(group) for group in two.groups] == [set(ids[:4]), set(ids[4:])]
    assert two.to_dict()["kind"] == "two"
    # By a score alone.
    assert len([one for one in registry.dedupe(least=-1.0) if one.kind == "same"]) == 6
    assert [one.kind for one in registry.dedupe(least=0.99)] == ["two"]


def test_dedupe_needs_to_know_what_scores_mean(registry):
    registry.enroll("Ann", exemplars(0), "enc")
    with pytest.raises(SingeridError, match=r"no calibration tells which.*--threshold"):
        registry.dedupe()
    with pytest.raises(MismatchError, match="the calibration is another encoder's"):
        registry.dedupe(dataclasses.replace(CALIBRATION, encoder="other"))


def test_the_threshold_is_where_one_voice_is_as_likely_as_two():
    for n in (2, 10, 10_000):
        score = threshold(CALIBRATION, n)
        assert float(CALIBRATION.probability(10 * score - 4, prior_of_pairs(n))) == pytest.approx(
            0.5
        )
    assert threshold(CALIBRATION, 10_000) > threshold(CALIBRATION, 10)


def test_all_pairs_are_found_in_blocks(monkeypatch):
    rng = np.random.default_rng(0)
    vectors = normalize(rng.standard_normal((40, 8)))
    names = [f"s{i:02}" for i in range(40)]
    listed = roll.Roll(
        names, {name: i for i, name in enumerate(names)}, np.full(40, 2), np.full(40, 4.0),
        np.zeros(40, np.uint64),
    )  # fmt: skip
    agreement = rng.uniform(0.5, 1, 40).astype(np.float32)
    centroids = roll.Centroids(listed, vectors, agreement, "g")
    scores = (vectors @ vectors.T) * np.outer(agreement, agreement)
    expected = {(names[i], names[j]) for i in range(40) for j in range(i) if scores[i, j] >= 0.2}
    monkeypatch.setattr("singerid.registry.dedupe._BLOCK", 7)
    seen = []
    found = same_voice(centroids, Scorer(), 0.2, on_progress=seen.append)
    assert {tuple(reversed(one.singers)) for one in found} == expected
    assert sum(seen) == 40
    # Other scorers are asked for the scores of the centroids.
    odd = dataclasses.replace(Scorer(), transform=_shifted())
    raw = odd.matrix(vectors, vectors)
    found = same_voice(centroids, odd, 0.2)
    assert len(found) == sum(raw[i, j] >= 0.2 for i in range(40) for j in range(i))


def _shifted():
    from singerid.scoring.backend import Transform

    return Transform(mean=np.full(8, 0.1))


# Centroids


def test_centroids_are_kept_and_renewed(registry, monkeypatch):
    rng = np.random.default_rng(0)
    for seed in range(12):
        registry.enroll(f"s{seed}", exemplars(seed, int(rng.integers(1, 5))), "enc")
    table = registry._table
    first = roll.read_centroids(table, roll.read_roll(table))
    registry.enroll("s3", [exemplar(3, 9)], "enc")
    registry.remove("s5")
    registry.rename("s7", "renamed")
    registry.remove_exemplar(registry.exemplars("s0")[0].id)
    read = []
    monkeypatch.setattr(roll, "one_of", lambda column, values: read.extend(values) or "true")
    now = roll.read_roll(table)
    renewed = roll.read_centroids(table, now, first)
    assert set(read) <= {"s0", "s3", "renamed"}
    monkeypatch.undo()
    renewed = roll.read_centroids(table, now, first)
    anew = roll.read_centroids(table, now)
    np.testing.assert_allclose(renewed.vectors, anew.vectors, atol=1e-6)
    np.testing.assert_allclose(renewed.agreement, anew.agreement, atol=1e-6)
    monkeypatch.setattr(roll, "_FEW", 1)  # many have changed: all are read
    again = roll.read_centroids(table, now, first)
    np.testing.assert_allclose(again.vectors, anew.vectors, atol=1e-6)
    models = [[i for i, s in enumerate(now.names) if s == name] for name in now.names]
    assert len(models) == len(anew.vectors)
    mine = stacked(registry.exemplars("s3"))
    row = now.rows["s3"]
    both = model_cosine(mine, [list(range(len(mine)))], np.zeros(1, int), np.zeros(1, int), "mean")
    expected = anew.vectors[row] @ mine[0] * anew.agreement[row]
    assert both[0] == pytest.approx(float(expected), abs=1e-5)


# Index


def test_the_index_finds_what_all_comparisons_find(registry):
    vectors = stacked(*(exemplars(100 + i, 2) for i in range(300)))
    names = [f"s{i // 2}" for i in range(600)]
    registry.import_embeddings(EmbeddingSet([str(i) for i in range(600)], names, vectors, "enc"))
    questions = [exemplar(seed).vector for seed in range(20)]
    exact = [registry.candidates(q, "enc", 5) for q in questions]
    hits = [registry.search(q, "enc", 5) for q in questions]
    registry.build_index()
    assert index.has_index(registry._table)
    same = [
        len({a.singer for a in one} & {b.singer for b in registry.candidates(q, "enc", 5)})
        for one, q in zip(exact, questions, strict=True)
    ]
    assert np.mean(same) > 4.7
    for q, one in zip(questions, exact, strict=True):
        for found in registry.candidates(q, "enc", 5):
            np.testing.assert_allclose(found.vector, registry.singer(found.singer).vector)
        assert registry.candidates(q, "enc", 1)[0].vector @ q <= one[0].vector @ q + 1e-6
    found = [registry.search(q, "enc", 5) for q in questions]
    ids = [[{h.exemplar.id for h in a} for a in many] for many in (hits, found)]
    assert np.mean([len(a & b) for a, b in zip(*ids, strict=True)]) > 4.7
    # What is enrolled later is found without being indexed; what is removed is not.
    registry.enroll("new", exemplars(77), "enc")
    assert registry.candidates(exemplar(77, 9).vector, "enc", 1)[0].singer == "new"
    registry.rename("new", "newer")
    assert registry.candidates(exemplar(77, 9).vector, "enc", 1)[0].singer == "newer"
    registry.remove("newer")
    assert registry.candidates(exemplar(77, 9).vector, "enc", 1)[0].singer != "newer"
    registry.purge()
    assert index.has_index(registry._table)
    assert len(registry.candidates(questions[0], "enc", 10_000)) == len(registry) == 300
    registry.drop_index()
    assert not index.has_index(registry._table)
    assert not registry.wants_index
    assert [c.singer for c in registry.candidates(questions[0], "enc", 5)] == [
        c.singer for c in exact[0]
    ]


def test_one_singer_with_all_the_nearest_does_not_hide_the_others(registry):
    registry.enroll("many", [exemplar(0, take, noise=0.1) for take in range(60)], "enc")
    for seed in range(1, 9):
        registry.enroll(f"s{seed}", [exemplar(seed)], "enc")
    registry.build_index()
    assert len(registry.candidates(exemplar(0).vector, "enc", 5)) == 5


def test_an_index_is_wanted_by_many(registry, monkeypatch):
    registry.enroll("Ann", exemplars(0), "enc")
    assert not registry.wants_index
    monkeypatch.setattr(index, "INDEX_FROM", 3)
    assert registry.wants_index


# Files


def test_export_and_import(registry, tmp_path):
    registry.enroll("O'Ann", exemplars(0, labels={"song": "a"}), "enc")
    registry.enroll("Bob", exemplars(1, 2), "enc")
    embeddings = registry.embeddings()
    write_embeddings(tmp_path / "e.parquet", embeddings)
    write_table(tmp_path / "t.parquet", registry.to_table())
    other = Registry.open(tmp_path / "other", create=True)
    back = read_embeddings(tmp_path / "e.parquet")
    assert other.import_embeddings(back, "e.parquet") == 5
    assert other.import_embeddings(back) == 0
    ours, theirs = registry.exemplars("O'Ann"), other.exemplars("O'Ann")
    for name in ("seconds", "path", "sha256", "labels"):
        assert [getattr(a, name) for a in ours] == [getattr(b, name) for b in theirs]
    np.testing.assert_array_equal(stacked(ours), stacked(theirs))
    assert {one.source for one in theirs} == {"e.parquet"}
    third = Registry.open(tmp_path / "third", create=True)
    table = read_table(tmp_path / "t.parquet")
    assert third.import_table(table) == 2
    assert third.import_table(table) == 0
    (one,) = third.exemplars("O'Ann")
    assert one.labels == {"n_recordings": "3", "song": "a"}
    np.testing.assert_array_equal(third.to_table().centroids[1], table.centroids[1])
    with pytest.raises(MismatchError, match="two different encoders"):
        third.import_table(dataclasses.replace(table, encoder="other"))
    assert third.import_embeddings(back.select([])) == 0


# Another encoder


class Embedder:
    """Takes a file's first bytes for its voice."""

    def __init__(self, fingerprint, dim=5, fails=()):
        self.fingerprint, self.dim, self.fails = fingerprint, dim, fails
        self.asked = []

    def embed_recordings(self, recordings, n_processes=1, on_progress=None, on_warning=None):
        self.asked += [one.id for one in recordings]
        good = [one for one in recordings if Path(one.path).read_bytes()[:1] not in self.fails]
        bad = [SingeridError("too bad", where=one.path) for one in recordings if one not in good]
        if not good:
            raise BatchError("all failed", bad)
        vectors = np.stack([self.vector(Path(one.path).read_bytes()[0]) for one in good])
        on_progress(sum(one.duration for one in good))
        return build_set(good, vectors, self.fingerprint), bad

    def vector(self, seed):
        return normalize(voice([7, seed], self.dim)[None])[0]


def build_set(recordings, vectors, encoder):
    ids = [one.id for one in recordings]
    return EmbeddingSet(ids, [one.singer for one in recordings], vectors, encoder)


@pytest.fixture
def files(registry, tmp_path):
    """A registry of three singers with files of one letter."""
    for seed, letter in enumerate("abc"):
        path = tmp_path / f"{letter}.wav"
        path.write_bytes(letter.encode())
        given = exemplar(seed, path=str(path), sha256=digest(path), clip=letter.upper().encode())
        registry.enroll(letter, [given], "enc")
    return registry


def test_reembed(files):
    before = {one.name: files.exemplars(one.name)[0] for one in files.singers()}
    other = Registry.open(files.place)
    assert other.candidates(exemplar(0).vector, "enc", 1)[0].singer == "a"
    embedder, seconds = Embedder("new"), []
    done = files.reembed(embedder, seconds.append)
    assert (done.n_exemplars, done.from_clips, sum(seconds)) == (3, [], 6.0)
    assert (other.encoder, other.dim) == ("new", 5)
    for name, old in before.items():
        (one,) = other.exemplars(name)
        np.testing.assert_array_equal(one.vector, embedder.vector(ord(name)))
        assert dataclasses.replace(one, vector=old.vector) == dataclasses.replace(old)
        assert other.clip(one.id) == name.upper().encode()
        found = other.candidates(embedder.vector(ord(name)), "new", 1)[0]
        assert found.singer == name  # not from the centroids of the old encoder
    with pytest.raises(MismatchError, match="two different encoders"):
        files.enroll("d", exemplars(3), "enc")
    # Again with the same one: nothing of the last time is taken.
    assert files.reembed(embedder).n_exemplars == 3
    assert len(embedder.asked) == 6


def test_reembed_without_the_files(files, tmp_path):
    (tmp_path / "a.wav").unlink()
    (tmp_path / "b.wav").write_bytes(b"x")
    with pytest.raises(BatchError, match=r"2 of 3 exemplars cannot.*nothing is changed") as error:
        files.reembed(Embedder("new"))
    texts = sorted(map(str, error.value.failures))
    id = files.exemplars("a")[0].id
    assert texts[0] == (
        f"a.wav: exemplar {id} of a: its file is gone; bring it back, or remove the exemplar: "
        f"singerid singers remove --exemplar {id}; or take its clip: --from-clips"
    )
    assert "b: its file has been changed" in texts[1]
    assert files.encoder == "enc"
    embedder = Embedder("new")
    done = files.reembed(embedder, from_clips=True)
    assert len(done.from_clips) == 2
    assert len(embedder.asked) == 2  # c was embedded the first time
    np.testing.assert_array_equal(files.exemplars("a")[0].vector, embedder.vector(ord("A")))


def test_reembed_that_fails_changes_nothing(files):
    with pytest.raises(BatchError, match="1 of 3 exemplars cannot") as error:
        files.reembed(Embedder("new", fails=(b"b",)))
    assert "too bad" in str(error.value.failures[0])
    with pytest.raises(BatchError, match="3 of 3 exemplars cannot"):
        files.reembed(Embedder("newer", fails=(b"a", b"b", b"c")))
    assert files.encoder == "enc"
    assert files.candidates(exemplar(1).vector, "enc", 1)[0].singer == "b"


def test_reembed_that_is_killed_changes_nothing_and_goes_on(files, monkeypatch):
    def kill(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("singerid.registry.reembed._switch", kill)
    with pytest.raises(KeyboardInterrupt):
        files.reembed(Embedder("new"))
    monkeypatch.undo()
    again = Registry.open(files.place)
    assert (again.encoder, len(again)) == ("enc", 3)
    again.enroll("d", [dataclasses.replace(again.exemplars("a")[0], id="")], "enc")  # late
    embedder = Embedder("new")
    again.reembed(embedder)
    assert len(embedder.asked) == 1
    assert (again.encoder, len(again), again._tables.get(STAGING)) == ("new", 4, None)
    # Killed after the switch: what is left over is not taken for another run's.
    monkeypatch.setattr("singerid.registry.tables.Tables.drop", lambda *a: None)
    again.reembed(Embedder("third"))
    monkeypatch.undo()
    embedder = Embedder("third")
    again.reembed(embedder)
    assert len(embedder.asked) == 4


def test_who_enrolls_meanwhile_is_embedded_too(files, tmp_path):
    late = tmp_path / "late.wav"
    late.write_bytes(b"z")

    class Slow(Embedder):
        def embed_recordings(self, recordings, *more):
            if "z" not in files:
                given = exemplar(9, path=str(late), sha256=digest(late))
                Registry.open(files.place).enroll("z", [given], "enc")
            return super().embed_recordings(recordings, *more)

    assert files.reembed(Slow("new")).n_exemplars == 4
    assert files.encoder == "new"
    assert len(files.embeddings()) == 4


def test_leftovers_do_not_make_a_registry(tmp_path):
    (tmp_path / "r").mkdir()
    Registry.open(tmp_path / "r", create=True).enroll("Ann", exemplars(0), "enc")
    shutil.rmtree(tmp_path / "r" / "exemplars.lance" / "_versions")  # as a kill may leave it
    with pytest.raises(RegistryError, match="no registry here"):
        Registry.open(tmp_path / "r")
    registry = Registry.open(tmp_path / "r", create=True)
    assert len(registry) == 0
    registry.enroll("Bob", exemplars(1), "enc")
    with pytest.raises(NotEnrolledError):
        registry.exemplars("Ann")
    assert isinstance(registry.exemplars("Bob")[0], Exemplar)
