"""Who sings when, on tracks whose singers are directions in space."""

import numpy as np
import pytest

from singerid.embeddings import normalize
from singerid.errors import MismatchError
from singerid.judge import Judge
from singerid.scoring.calibration import Calibration, Line
from singerid.scoring.scorer import Scorer
from singerid.sections import SegmentSettings
from singerid.segment_errors import segment_errors
from singerid.segments import Segment, found_segments, known_segments, phrases
from singerid.table import SingerTable
from singerid.tracks import Track
from singerid.voice_clusters import cluster, log_ratios

DIM, FRAME, WINDOW = 64, 0.02, 3.0
SETTINGS = SegmentSettings()
LINE = Line(12.0, -4.0, ((0.01, 0.4),), 1000, 10_000, 20)


class Encoder:
    """Only its name is asked for here."""

    fingerprint, sample_rate = "space", 16_000


def judge(calibrated=True):
    calibration = Calibration("space", Scorer(), LINE, (), (LINE,)) if calibrated else None
    return Judge(Encoder(), calibration)


def singers(n, seed=0):
    return normalize(np.random.default_rng(seed).normal(size=(n, DIM)))


def table(vectors, names):
    n = len(names)
    return SingerTable(names, vectors, [3] * n, [60.0] * n, [0.0] * n, "space")


def track(turns, seconds, vectors, noise=1.0, seed=1):
    """A track with turns `(start, end, row of vectors)`; windows are mixed by their voice."""
    rng = np.random.default_rng(seed)
    times = (np.arange(round(seconds / FRAME)) + 0.5) * FRAME
    who = np.full(len(times), -1)
    for start, end, row in turns:
        who[(times >= start) & (times < end)] = row
    starts = np.arange(0, seconds - WINDOW + 1e-9, 1.0)
    kept, found = [], []
    for start in starts:
        own = who[(times >= start) & (times < start + WINDOW)]
        if np.mean(own >= 0) >= SETTINGS.min_voice:
            clean = np.mean([vectors[row] for row in own[own >= 0]], axis=0)
            found.append(clean + noise * rng.normal(size=DIM) / np.sqrt(DIM))
            kept.append(start)
    peaks = np.where(who >= 0, 0.5, 0.0).astype(np.float32)
    unit = normalize(np.asarray(found)) if found else np.zeros((0, 0), np.float32)
    return Track(seconds, np.asarray(kept), WINDOW, unit, who >= 0, peaks, FRAME)


TURNS = [(1.0, 12.0, 0), (13.0, 25.0, 1), (25.5, 32.0, 0), (34.0, 48.0, 2), (48.8, 59.0, 1)]


def truth(names, turns=TURNS):
    return [(start, end, names[row]) for start, end, row in turns]


def as_turns(segments, unknown="?"):
    return [(s.start, s.end, s.singer or unknown) for s in segments]


@pytest.mark.parametrize("calibrated", [True, False])
def test_known_singers_are_found(calibrated):
    people, names = singers(12), [f"p{i}" for i in range(12)]
    heard = track(TURNS, 60.0, people)
    result = known_segments(judge(calibrated), heard, table(people, names), SETTINGS)
    errors = segment_errors(truth(names), as_turns(result.segments), match=False)
    assert errors.rate < 0.06
    assert {s.singer for s in result.segments} == {"p0", "p1", "p2"}
    ends = [s.end for s in result.segments[:-1]]
    assert all(end <= s.start for end, s in zip(ends, result.segments[1:], strict=True))
    assert all(s.probability > 0.5 and s.score > 0.3 for s in result.segments)


def test_somebody_else_is_unknown():
    people = singers(4)
    heard = track(TURNS, 60.0, people)
    result = known_segments(judge(), heard, table(people[[0, 1, 3]], ["a", "b", "d"]), SETTINGS)
    expected = truth(["a", "b", "?"])
    assert segment_errors(expected, as_turns(result.segments), match=False).rate < 0.08
    (stranger,) = [s for s in result.segments if s.singer is None]
    assert stranger.score is None
    assert stranger.start == pytest.approx(34, abs=0.5)
    assert result.singers == ("a", "b", "d", None)


def test_nobody_of_the_table():
    people = singers(8)
    heard = track(TURNS, 60.0, people[:3])
    result = known_segments(judge(), heard, table(people[4:], list("wxyz")), SETTINGS)
    assert {s.singer for s in result.segments} == {None}


def test_a_large_table_is_narrowed_down():
    people, names = singers(300), [f"p{i:03}" for i in range(300)]
    heard = track(TURNS, 60.0, people)
    few = SETTINGS.model_copy(update={"max_singers": 5})
    result = known_segments(judge(), heard, table(people, names), few)
    assert len(result.singers) == 6
    assert segment_errors(truth(names), as_turns(result.segments), match=False).rate < 0.08


def test_a_table_of_another_encoder():
    people = singers(3)
    other = SingerTable(["a"], people[:1], [1], [1.0], [0.0], "another")
    with pytest.raises(MismatchError, match="another"):
        known_segments(judge(), track(TURNS, 60.0, people), other, SETTINGS)


@pytest.mark.parametrize("n_singers", [0, 3])
def test_clusters_are_singers(n_singers):
    heard = track(TURNS, 60.0, singers(3))
    settings = SETTINGS.model_copy(update={"n_singers": n_singers})
    result = found_segments(judge(), heard, settings)
    errors = segment_errors(truth("abc"), as_turns(result.segments))
    assert errors.rate < 0.08
    assert result.segments[0].singer == "singer A"
    assert set(result.singers) == {"singer A", "singer B", "singer C"}


def test_one_singer_stays_one():
    heard = track([(0, 20, 0), (22, 60, 0)], 60.0, singers(1))
    assert found_segments(judge(), heard, SETTINGS).singers == ("singer A",)


def test_most_singers_are_a_limit():
    heard = track(TURNS, 60.0, singers(3))
    settings = SETTINGS.model_copy(update={"max_singers": 2})
    assert len(found_segments(judge(), heard, settings).singers) == 2


def test_clusters_of_vectors():
    people = singers(3)
    rng = np.random.default_rng(5)
    rows = rng.integers(0, 3, 60)
    vectors = normalize(people[rows] + 0.7 * rng.normal(size=(60, DIM)) / np.sqrt(DIM))
    labels = cluster(judge(), vectors, WINDOW, SETTINGS)
    same = rows[:, None] == rows
    assert ((labels[:, None] == labels) == same).all()
    assert labels[0] == 0
    assert list(dict.fromkeys(labels)) == [0, 1, 2]
    assert cluster(judge(), vectors[:1], WINDOW, SETTINGS).tolist() == [0]


def test_average_linkage_stops_at_the_calibrated_threshold():
    """Two vectors are one singer exactly if their ratio exceeds the threshold."""
    angle = np.arccos(0.5)
    pair = np.array([[1, 0], [np.cos(angle), np.sin(angle)]], np.float32)
    ratio = float(log_ratios(judge(), 0.5, WINDOW))
    assert ratio == pytest.approx(12 * 0.5 - 4)
    for above, n in ((-0.1, 1), (0.1, 2)):
        settings = SETTINGS.model_copy(update={"threshold": ratio + above})
        assert len(set(cluster(judge(), pair, WINDOW, settings))) == n


def test_nothing_sung_is_no_segment():
    heard = track([], 30.0, singers(1))
    people = table(singers(2), ["a", "b"])
    for result in (
        known_segments(judge(), heard, people, SETTINGS), found_segments(judge(), heard, SETTINGS)
    ):  # fmt: skip
        assert result.segments == ()
        assert len(result.probabilities) == 300
        assert result.seconds_of() == {}


def test_short_doubts_are_no_segments():
    people = singers(2)
    heard = track([(0, 20, 0), (20, 20.6, 1), (20.6, 40, 0)], 40.0, people)
    result = known_segments(judge(), heard, table(people, ["a", "b"]), SETTINGS)
    assert [s.singer for s in result.segments] == ["a"]


def test_the_seconds_of_each():
    result = known_segments(
        judge(), track(TURNS, 60.0, singers(3)), table(singers(3), list("abc")), SETTINGS
    )
    seconds = result.seconds_of()
    assert list(seconds) == ["b", "a", "c"]
    assert seconds["b"] == pytest.approx(22.2, abs=1)
    assert sum(seconds.values()) == pytest.approx(sum(s.seconds for s in result.segments))


def test_phrases_reach_across_short_pauses():
    voiced = np.zeros(100, bool)
    voiced[[*range(10, 20), *range(25, 30), *range(60, 61)]] = True
    assert phrases(voiced, 0.1, 0.5) == [(1.0, 3.0), (6.0, pytest.approx(6.1))]
    assert len(phrases(voiced, 0.1, 0.4)) == 3
    assert phrases(~voiced, 0.1, 0.0)[0] == (0.0, 1.0)
    assert phrases(np.zeros(0, bool), 0.1, 1.0) == []


def test_more_singers_than_letters():
    from singerid.segments import _letter

    assert [_letter(i) for i in (0, 25, 26, 51, 52, 701, 702)] == [
        "singer A", "singer Z", "singer AA", "singer AZ", "singer BA", "singer ZZ", "singer AAA"
    ]  # fmt: skip


def test_a_segment_knows_its_length():
    assert Segment(1.5, 4.0, "a").seconds == 2.5
