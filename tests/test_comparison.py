"""Two encoders on the same trials: paired differences, common recordings, disagreements."""

import numpy as np
import pytest

from singerid.comparison import common, compare, comparison_lines
from singerid.embeddings import EmbeddingSet
from singerid.errors import MismatchError, SingeridError
from singerid.evaluate import draw, evaluate
from singerid.leaderboard import markdown, rank, write_leaderboard
from singerid.sections import EvaluateSettings, TrialSettings
from test_evaluate import make

QUICK = EvaluateSettings(n_bootstrap=200)


def renamed(embeddings, encoder):
    return EmbeddingSet(
        embeddings.ids, embeddings.singers, embeddings.vectors, encoder, labels=embeddings.labels
    )


@pytest.fixture(scope="module")
def sets():
    return {
        "good": make(n_singers=20, noise=1.5),
        "same": renamed(make(n_singers=20, noise=1.5), "other name"),
        "bad": renamed(make(n_singers=20, noise=4, seed=1), "bad"),
    }


@pytest.fixture(scope="module")
def differences(sets):
    return compare(sets, draw(sets["good"], TrialSettings()), QUICK)


def test_rates_are_those_of_each_report(sets, differences):
    for difference in differences:
        a = evaluate(sets[difference.a], settings=QUICK).slices[difference.slice]
        b = evaluate(sets[difference.b], settings=QUICK).slices[difference.slice]
        assert (difference.eer_a, difference.eer_b) == (a.eer, b.eer)
        assert difference.difference == b.eer - a.eer
        assert (difference.n_targets, difference.n_nontargets) == (a.n_targets, a.n_nontargets)


def test_equal_encoders_differ_by_nothing(differences):
    same = [d for d in differences if d.b == "same"]
    assert {d.slice for d in same} >= {"all", "same gender"}
    for difference in same:
        assert difference.difference == 0
        assert difference.interval == (0, 0)  # the same draws for both
        assert not difference.is_clear


def test_a_worse_encoder_is_clearly_worse(differences):
    bad = [d for d in differences if d.b == "bad" and d.slice == "all"]
    assert len(bad) == 1
    low, high = bad[0].interval
    assert 0 < low < bad[0].difference < high
    assert bad[0].is_clear


def test_pairing_narrows_the_interval():
    """Two encoders that err alike: the difference is surer than either rate."""
    a = make(n_singers=20, noise=3)
    rng = np.random.default_rng(5)
    moved = a.vectors + 0.02 * rng.normal(size=a.vectors.shape)
    moved /= np.linalg.norm(moved, axis=1, keepdims=True)
    b = EmbeddingSet(a.ids, a.singers, moved.astype(np.float32), "b", labels=a.labels)
    found = compare({"a": a, "b": b}, draw(a, TrialSettings()), QUICK)[0]
    alone = evaluate(a, settings=QUICK).slices["all"].eer_interval
    assert found.interval[1] - found.interval[0] < (alone[1] - alone[0]) / 2


def test_lines(differences):
    lines = comparison_lines(differences)
    assert len(lines) == len(differences)
    line = next(line for line in lines if "bad" in line and line.startswith("all"))
    assert "points [+" in line
    assert not line.endswith("not clear")
    assert next(line for line in lines if " same " in line).endswith(
        "+0.0 points [+0.0, +0.0]: not clear"
    )


def test_one_set_is_no_comparison(sets):
    with pytest.raises(SingeridError, match="nothing to compare with; found 1 set"):
        compare({"good": sets["good"]}, draw(sets["good"], TrialSettings()))


def test_recordings_that_only_one_has_are_left_out_and_said():
    a, b = make(n_singers=6), renamed(make(n_singers=6), "b")
    order = np.random.default_rng(0).permutation(36)
    sets, remarks = common({"a": a.select(np.arange(30)), "b": b.select(order)})
    assert list(sets["a"].ids) == list(sets["b"].ids) == list(a.ids[:30])
    np.testing.assert_array_equal(sets["a"].vectors, sets["b"].vectors)
    assert remarks == ["b: 6 of 36 recordings are not in all sets and are left out"]


def test_sets_that_disagree_are_refused():
    a = make(n_singers=6)
    with pytest.raises(MismatchError, match="a and b: the sets have no recording in common"):
        common({"a": a.select(np.arange(5)), "b": a.select(np.arange(5, 9))})
    other = EmbeddingSet(a.ids, ["x", *a.singers[1:]], a.vectors, "b")
    with pytest.raises(MismatchError, match="b: recording 0: the sets disagree about a recording"):
        common({"a": a, "b": other})


def test_leaderboard_ranks_and_agrees_with_the_reports(tmp_path):
    corpora = {"corpus": ["A"] * 60 + ["B"] * 60}
    sets = {
        "bad": make(n_singers=20, noise=4, **corpora),
        "good": make(n_singers=20, noise=1.5, **corpora),
    }
    board = rank(sets, draw(sets["bad"], TrialSettings()), QUICK)
    assert board.encoders == ["good", "bad"]
    assert board.corpora == ["A, same gender", "B, same gender"]
    for name, embeddings in sets.items():
        slices = evaluate(embeddings, settings=QUICK).slices
        for corpus in "AB":
            assert (
                board.cells[name][f"{corpus}, same gender"]
                == (slices[f"corpus {corpus}, same gender"])
            )
    lines = markdown(board).splitlines()
    assert lines[0].startswith("| encoder | A, same gender (10 singers, ")
    assert lines[2].startswith("| good | ")
    assert lines[2].count("[") == 2
    write_leaderboard(board, tmp_path / "board.md")
    assert (tmp_path / "board.md").read_text() == markdown(board)
    assert '"good"' in (tmp_path / "board.json").read_text()


def test_leaderboard_without_corpora(sets):
    board = rank(sets, draw(sets["good"], TrialSettings()), QUICK)
    assert board.corpora == ["same gender"]
    assert board.encoders[-1] == "bad"
