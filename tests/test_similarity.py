"""Generated singing beside real: known scores, layouts of folders, the command."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from singerid.cli import main
from singerid.embeddings import EmbeddingSet, normalize, write_embeddings
from singerid.errors import ManifestError, MismatchError, SingeridError
from singerid.external import load_embedder
from singerid.pair_scores import real_pairs
from singerid.records import Recording
from singerid.scoring.calibration_file import from_bytes
from singerid.similarity import compare
from singerid.similarity_pairs import choose_way, list_recordings, pair_up, read_pairs
from singerid.similarity_report import as_fields, as_lines, similarity_figure


def made(n_singers=8, each=6, spread=0.7, seed=0, encoder="e", song=False, shift=0.0):
    """Vectors around directions that depend on the singer alone; `shift`: towards another one."""
    centers = np.random.default_rng(99).normal(size=(n_singers, 24))
    rng = np.random.default_rng(seed)
    owner = np.repeat(np.arange(n_singers), each)
    vectors = (1 - shift) * centers[owner] + shift * centers[(owner + 1) % n_singers]
    vectors = normalize(vectors + spread * rng.normal(size=(n_singers * each, 24)))
    names = [f"s{i}" for i in owner]
    labels = {"song": [str(i % 2) for i in range(len(owner))]} if song else {}
    ids = [f"{name}/{i}" for i, name in enumerate(names)]
    return EmbeddingSet(ids, names, vectors, encoder, [8.0] * len(owner), labels=labels)


def all_of_singer(generated, references):
    return [
        (i, j)
        for i, a in enumerate(generated.singers)
        for j, b in enumerate(references.singers)
        if a == b
    ]


def compared(generated, references, **settings):
    pairs = all_of_singer(generated, references)
    return compare(generated, references, pairs, n_bootstrap=200, **settings)


def test_figures_are_those_of_the_definitions():
    generated, references = made(seed=1, shift=0.4), made(seed=0)
    found = compared(generated, references)
    g, r = generated.vectors.astype(float), references.vectors.astype(float)
    own = np.equal.outer(references.singers, references.singers)
    upper = np.triu(np.ones_like(own), 1)
    same, different = (r @ r.T)[own & upper], (r @ r.T)[~own & upper]
    ours = (g @ r.T)[np.equal.outer(generated.singers, references.singers)]
    assert (found.same.n_pairs, found.different.n_pairs) == (len(same), len(different))
    assert found.generated.n_pairs == len(ours)
    assert found.generated.mean == pytest.approx(ours.mean(), abs=1e-6)
    assert found.same.mean == pytest.approx(same.mean(), abs=1e-6)
    assert found.percentile == pytest.approx(np.mean(same < ours.mean()), abs=0.01)
    assert found.auc_same == pytest.approx(np.mean(ours[:, None] > same), abs=1e-3)
    assert found.auc_different == pytest.approx(np.mean(ours[:, None] > different), abs=1e-3)
    threshold = np.sort(different)[-int(0.01 * len(different)) :][0]
    assert found.threshold == pytest.approx(threshold, abs=0.02)
    assert found.threshold_origin == "references"
    assert found.different.accepted <= 0.01
    assert found.generated.accepted == pytest.approx(np.mean(ours >= found.threshold), abs=1e-3)
    gaps = [
        ours[np.repeat(generated.singers, 6) == s].mean() - same[np.repeat(
            [f"s{i}" for i in range(8)], 15) == s].mean()
        for s in sorted(set(generated.singers))
    ]  # fmt: skip
    assert found.difference == pytest.approx(np.mean(gaps), abs=1e-6)


def test_real_recordings_look_real_and_others_do_not():
    references = made(seed=0)
    real, near, wrong = (compared(made(seed=1, shift=s), references) for s in (0, 0.4, 1))
    low, high = real.difference_interval
    assert low - 0.02 < 0 < high + 0.02
    assert 0.35 < real.percentile < 0.65
    assert 0.45 < real.auc_same < 0.55
    assert (real.named, real.n_candidates) == (1, 8)
    assert real.percentile > near.percentile > wrong.percentile
    assert near.difference_interval[1] < 0
    assert wrong.auc_different < 0.75
    assert wrong.named < 0.1
    assert all(clip.nearest != clip.singer for clip in wrong.clips[:5])


def test_the_interval_holds_the_mean_of_more_singers():
    references = made(n_singers=40, seed=0)
    every = compared(made(n_singers=40, seed=1), references)
    rows = np.flatnonzero(np.isin(every_singer := np.array(references.singers), ["s1", "s2", "s3"]))
    few = [(int(i), int(j)) for i in rows for j in rows if every_singer[i] == every_singer[j]]
    low, high = every.generated.interval
    assert low < every.generated.mean < high
    assert every.interval_over == "singers"
    small = compare(made(n_singers=40, seed=1), references, few, n_bootstrap=200)
    assert small.interval_over == "recordings"
    assert small.generated.interval[0] < small.generated.mean < small.generated.interval[1]


def test_songs_are_crossed_where_they_are_known():
    rng = np.random.default_rng(0)
    references = made(song=True)
    same, different = real_pairs(references, rng)
    songs = np.array(references.labels["song"])
    assert (songs[same[0]] != songs[same[1]]).all()
    assert same.shape == (2, 8 * 9)
    assert different.shape == (2, 48 * 47 // 2 - 8 * 15)


def test_pairs_of_many_references_are_sampled():
    n = 3000
    singers = np.array([f"s{i // 3}" for i in range(n)])
    vectors = normalize(np.random.default_rng(0).normal(size=(n, 4)))
    references = EmbeddingSet([str(i) for i in range(n)], singers.tolist(), vectors, "e")
    same, different = real_pairs(references, np.random.default_rng(0))
    assert same.shape == (2, n)  # three pairs a singer: all
    assert (singers[same[0]] == singers[same[1]]).all()
    assert 900_000 < different.shape[1] <= 1_000_000
    assert (singers[different[0]] != singers[different[1]]).all()


def test_calibrated_figures_are_those_of_the_calibration():
    calibration = from_bytes(load_embedder().calibration_bytes, "default")
    dim = {"encoder": calibration.encoder}
    generated, references = made(seed=1, **dim), made(seed=0, **dim)
    generated = replace(generated, seconds=[2.0] * 24 + [20.0] * 24)
    found = compared(generated, references, calibration=calibration, prior=0.2)
    assert found.threshold_origin == "calibration"
    clip = next(clip for clip in found.clips if clip.id == generated.ids[0])
    scores = generated.vectors[0] @ references.vectors[:6].T
    llrs = calibration.llr(scores, 2.0)
    assert clip.llr == pytest.approx(llrs.mean(), abs=1e-4)
    probabilities = calibration.probability(llrs, 0.2)
    assert clip.probability == pytest.approx(probabilities.mean(), abs=1e-4)
    short = scores >= calibration.threshold(0.01, 2.0)
    assert clip.accepted == pytest.approx(short.mean())
    with pytest.raises(MismatchError, match="the calibration is another encoder's"):
        compared(made(), made(seed=1), calibration=calibration)


def test_what_is_missing_is_said():
    nobody = replace(made(seed=1), singers=[""] * 48)
    found = compare(nobody, replace(made(), singers=[""] * 48), [(i, i) for i in range(48)])
    assert found.same is found.different is found.named is found.percentile is None
    assert found.generated.accepted is None
    assert any("nobody says whose references" in note for note in found.notes)
    one = made(n_singers=1)
    found = compared(made(n_singers=1, seed=1), one)
    assert found.different is None
    assert any("references of one singer only" in note for note in found.notes)
    assert any("fewer than 5 singers" in note for note in found.notes)
    single = made(each=1)
    found = compared(made(each=1, seed=1), single)
    assert found.same is None
    assert any("no singer has two" in note for note in found.notes)
    copied = compared(made(), made())
    assert any(note.startswith("48 pair(s) hold one recording twice") for note in copied.notes)
    assert any("no calibration" in note for note in copied.notes)
    with pytest.raises(SingeridError, match="no pairs to compare"):
        compare(made(), made(), [])
    with pytest.raises(MismatchError, match="two different encoders"):
        compared(made(), made(encoder="f"))


def test_equal_scores_lie_in_the_middle():
    """A collapsed encoder makes everything alike, and nothing may look perfect."""
    flat = replace(made(), vectors=np.tile(made().vectors[:1], (48, 1)))
    found = compared(flat, flat)
    assert (found.percentile, found.auc_same, found.auc_different) == (0.5, 0.5, 0.5)


def test_lines_json_and_picture():
    found = compared(made(seed=1, shift=0.4), made())
    lines = as_lines(found)
    assert lines[0] == "48 generated recordings of 8 singers, 288 pairs with references"
    table = [line.split()[0] for line in lines[2:6]]
    assert table == ["pairs", "generated", "real,", "real,"]
    assert any("(a real pair: 50 %)" in line for line in lines)
    assert len(lines[-5:]) == 5
    assert all("score" in line for line in lines[-5:])
    fields = json.loads(json.dumps(as_fields(found), allow_nan=False))
    assert fields["generated"]["mean"] == pytest.approx(found.generated.mean, abs=1e-6)
    assert len(fields["clips"]) == 48
    assert fields["clips"][0]["score"] <= fields["clips"][-1]["score"]
    legend = similarity_figure(found, "title").legends[0]
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts[:3] == [
        "1,008 real pairs of two singers", "120 real pairs of one singer",
        "288 generated with references",
    ]  # fmt: skip
    nobody = replace(made(), singers=[""] * 48)
    alone = compare(nobody, nobody, [(0, 1)])
    assert len(similarity_figure(alone).legends[0].get_texts()) == 2


def recording(id, singer=""):
    return Recording(id, singer, f"/x/{id}.wav", 5.0, 16000)


def test_ways_to_pair():
    generated = [recording("a/1", "a"), recording("b/1", "b")]
    references = [recording("a/1", "a"), recording("a/2", "a"), recording("b/1", "b")]
    by_singer = [("a/1", "a/1"), ("a/1", "a/2"), ("b/1", "b/1")]
    assert pair_up(generated, references, "singer") == by_singer
    assert pair_up(generated, references, "name") == [("a/1", "a/1"), ("b/1", "b/1")]
    assert pair_up(generated, references[:2], "order") == [("a/1", "a/1"), ("b/1", "a/2")]
    assert len(pair_up(generated, references, "all")) == 6
    assert choose_way(["a"], ["b", "c"]) == "singer"
    assert choose_way(["", ""], [""]) == "name"


def test_missing_counterparts():
    a, b = [recording("a/1", "a"), recording("c/1", "c")], [recording("a/1", "a")]
    with pytest.raises(ManifestError, match="c/1: has no reference of its singer; found 1 of 2"):
        pair_up(a, b, "singer")
    with pytest.raises(ManifestError, match=r"c/1: has no reference of its name.*--by singer"):
        pair_up(a, b, "name")
    with pytest.raises(ManifestError, match="found 2 generated recordings and 1 references"):
        pair_up(a, b, "order")
    with pytest.raises(ManifestError, match="recordings outside any singer's folder"):
        pair_up([recording("x")], b, "singer")
    with pytest.raises(SingeridError, match="unknown way to pair; found luck"):
        pair_up(a, b, "luck")
    with pytest.raises(ManifestError, match=r"only the generated recordings lie.*--by all"):
        choose_way(["a"], [""])
    with pytest.raises(ManifestError, match="only the reference recordings lie"):
        choose_way([""], ["a"])


def test_a_list_of_pairs(tmp_path):
    a, b = [recording("g/1", "g")], [recording("r 1"), recording("r,2")]
    path = tmp_path / "pairs.csv"
    path.write_text('\ufeffreference,generated,note\n"r,2.wav",g/1,x\nr 1,g/1.wav,\n')
    assert read_pairs(path, a, b) == [("g/1", "r,2"), ("g/1", "r 1")]
    for text, message in (
        ("generated\ng/1\n", r"has no column 'reference'; found generated; expected generated,ref"),
        ("", "has no column 'generated'; found nothing"),
        ("generated,reference\n", "lists no pairs"),
        ("generated,reference\ng/1,no\n", r"csv:2: names no reference recording.*found no; expect"),
        ("generated,reference\ng/1\n", r"csv:2: names no reference recording.*found nothing"),
    ):
        path.write_text(text)
        with pytest.raises(ManifestError, match=message):
            read_pairs(path, a, b)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ManifestError, match="cannot be read"):
        read_pairs(path, a, b)
    with pytest.raises(ManifestError, match="cannot be read; found No such file"):
        read_pairs(tmp_path / "none.csv", a, b)


def write(path, seconds=1.0):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.1 * np.sin(np.arange(int(16000 * seconds)) / 20), 16000)


def test_layouts_of_folders(tmp_path):
    write(tmp_path / "flat/a.wav")
    write(tmp_path / "flat/b.flac")
    write(tmp_path / "nested/x/1.wav")
    write(tmp_path / "nested/x/song/2.wav")
    flat, _ = list_recordings(tmp_path / "flat")
    assert [(r.id, r.singer) for r in flat] == [("a", ""), ("b", "")]
    nested, _ = list_recordings(tmp_path / "nested")
    assert [(r.id, r.singer, dict(r.labels)) for r in nested] == [
        ("x/1", "x", {}), ("x/song/2", "x", {"song": "song"})
    ]  # fmt: skip
    alone, _ = list_recordings(tmp_path / "flat/a.wav")
    assert [(r.id, r.singer) for r in alone] == [("a", "")]
    (tmp_path / "flat/c.wav").write_bytes(b"no audio")
    found, failures = list_recordings(tmp_path / "flat")
    assert len(found) == 2
    assert [failure.where.name for failure in failures] == ["c.wav"]
    write(tmp_path / "nested/3.wav")
    with pytest.raises(ManifestError, match=r"holds recordings beside folders; found 3\.wav"):
        list_recordings(tmp_path / "nested")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ManifestError, match="holds no recordings"):
        list_recordings(tmp_path / "empty")
    with pytest.raises(ManifestError, match="is not a folder"):
        list_recordings(tmp_path / "none")


@pytest.fixture(scope="module")
def folders(recordings, tmp_path_factory):
    """Songs 0 and 1 of six virtual singers: the generated, and the real ones."""
    root = tmp_path_factory.mktemp("similarity")
    for one in recordings:
        side = "generated" if one.labels["song"] == "song_01" else "real"
        target = root / side / one.singer.split(":")[1] / f"{one.labels['song']}.flac"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(Path(one.path).read_bytes())
    return root


def test_the_command(folders, capsys, tmp_path):
    places = [str(folders / "generated"), str(folders / "real")]
    picture = tmp_path / "similarity.png"
    assert main(["similarity", *places, "--json", "-o", str(picture), "--workers", "1"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["n_generated"] == 6
    assert found["generated"]["n_pairs"] == 6
    assert found["generated"]["n_singers"] == 6
    assert found["named"] == 1
    assert found["encoder_name"]
    assert picture.read_bytes().startswith(b"\x89PNG")
    encoder = load_embedder()
    clip = found["clips"][0]
    a, b = (
        encoder.embed_file(folders / side / clip["singer"] / f"{song}.flac")
        for side, song in (("generated", "song_01"), ("real", "song_00"))
    )
    assert clip["score"] == pytest.approx(float(a @ b), abs=1e-4)
    assert main(["similarity", *places, "--workers", "1"]) == 0
    output = capsys.readouterr()
    assert "6 generated recordings of 6 singers, 6 pairs" in output.out
    assert "no singer has two reference recordings" in output.err


def test_a_second_judge_that_fits_itself_to_both_sides(folders, capsys):
    places = [str(folders / "generated"), str(folders / "real")]
    assert main(["similarity", *places, "--encoder", "mfcc", "--json", "--workers", "1"]) == 0
    output = capsys.readouterr()
    found = json.loads(output.out)
    assert found["encoder"].startswith("mfcc")
    assert (found["calibration"], found["generated"]["llr"], found["threshold"]) == (None,) * 3


def test_the_command_on_embeddings(tmp_path, capsys):
    calibration = from_bytes(load_embedder().calibration_bytes, "default")
    for name, seed in (("generated", 1), ("real", 0)):
        write_embeddings(tmp_path / f"{name}.parquet", made(encoder=calibration.encoder, seed=seed))
    places = [str(tmp_path / "generated.parquet"), str(tmp_path / "real.parquet")]
    assert main(["similarity", *places]) == 0
    assert "48 generated recordings of 8 singers, 288 pairs" in capsys.readouterr().out


def test_the_command_goes_on_after_a_bad_file(folders, tmp_path, capsys):
    generated = tmp_path / "generated"
    for path in sorted((folders / "generated").rglob("*.flac"))[:2]:
        target = generated / path.parent.name / path.name
        target.parent.mkdir(parents=True)
        target.write_bytes(path.read_bytes())
    write(generated / path.parent.name / "short.wav", 0.1)
    assert main(["similarity", str(generated), str(folders / "real"), "--workers", "1"]) == 1
    output = capsys.readouterr()
    assert "2 generated recordings" in output.out
    assert "short.wav: is too short" in output.err
    assert "1 of 9 recordings failed, the rest is done" in output.err


def test_what_the_command_refuses(folders, tmp_path, capsys):
    places = [str(folders / "generated"), str(folders / "real")]
    for arguments, message in (
        ([*places, "--by", "name"], "has no reference of its name; found 6 of 6 like this"),
        ([*places, "--by", "all", "--pairs", "x.csv"], "--by and --pairs exclude each other"),
        ([*places, "-o", "x.html"], "x.html: cannot draw such a file; found .html"),
        ([places[0], str(tmp_path / "no")], "no: is not a folder"),
        ([*places, "--false-alarm", "0.3"], "no threshold for this false alarm rate"),
    ):
        assert main(["similarity", *arguments]) == 1
        assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("generated,reference\n" + "x" * 200_000, "cannot be read; found field larger"),
        ("generated,reference\na," + "x" * 90_000, "names no generated recording"),
    ],
)
def test_lists_of_pairs_with_huge_fields(tmp_path, text, message):
    (tmp_path / "p.csv").write_text(text)
    with pytest.raises(ManifestError, match=f"p.csv.*{message}") as caught:
        read_pairs(tmp_path / "p.csv", *[[Recording("b", "b", "b.wav", 1.0, 1)]] * 2)
    assert len(str(caught.value)) < 2000
