"""Pictures: what is in them, read from the figure; what hostile names and sizes do to them."""

import logging
import subprocess
import sys
import warnings

import numpy as np
import pytest
from matplotlib.figure import Figure

from singerid import lettering, plots
from singerid.embeddings import EmbeddingSet, normalize
from singerid.errors import SingeridError
from singerid.projection import project


@pytest.fixture(autouse=True)
def no_warnings():
    """A glyph that is missing, a layout that fails: matplotlib says so in warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def make(names, each=6, genders="FM", seed=0):
    rng = np.random.default_rng(seed)
    vectors = np.repeat(rng.normal(size=(len(names), 12)), each, axis=0)
    vectors += 0.3 * rng.normal(size=vectors.shape)
    n = len(vectors)
    labels = {"gender": [genders[i // each % len(genders)] for i in range(n)]}
    singers = [names[i // each] for i in range(n)]
    return EmbeddingSet(
        [f"r{i}" for i in range(n)], singers, normalize(vectors), "e", labels=labels
    )


def legends(figure):
    """Texts of the figure's legends."""
    return [[text.get_text() for text in legend.get_texts()] for legend in figure.legends]


def drawn_names(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def test_map_of_few_singers_has_a_legend():
    embeddings = make(["Ann", "Bo", "Cy", "Di"], genders="FM?")
    points = project(embeddings.vectors, "pca")
    figure = plots.map_figure(embeddings, points, title="4 singers")
    assert legends(figure) == [["Ann", "Bo", "Cy", "Di"], ["female", "male", "unknown"]]
    assert drawn_names(figure) == []
    drawn = np.concatenate([c.get_offsets() for c in figure.axes[0].collections])
    assert sorted(map(tuple, drawn)) == sorted(map(tuple, points))
    colors = np.concatenate([c.get_facecolors() for c in figure.axes[0].collections])
    assert len(np.unique(colors, axis=0)) == 4
    assert figure.axes[0].get_title("right") == "4 singers, 24 recordings"


@pytest.mark.parametrize(("n", "each"), [(26, 4), (300, 2)])
def test_map_of_many_singers_has_names_that_do_not_overlap(n, each):
    embeddings = make([f"singer {i}" for i in range(n)], each)
    figure = plots.map_figure(embeddings, project(embeddings.vectors, "pca"))
    figure.canvas.draw()  # as saving does; must not move anything
    assert legends(figure) == [["female", "male"]]
    texts, (axes,) = figure.axes[0].texts, figure.axes
    assert min(n, 40) * 0.6 < len(texts) <= n
    assert len(set(drawn_names(figure))) == len(texts)
    boxes = [text.get_window_extent() for text in texts]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    frame = axes.get_window_extent()
    assert all(frame.x0 < b.x0 and b.x1 < frame.x1 for b in boxes)
    assert all(frame.y0 < b.y0 and b.y1 < frame.y1 for b in boxes)


@pytest.mark.parametrize(("genders", "expected"), [("F", [["female"]]), ("?", []), ("", [])])
def test_gender_legend(genders, expected):
    embeddings = make([f"s{i}" for i in range(9)], genders=genders or [""])
    figure = plots.map_figure(embeddings, np.random.default_rng(0).normal(size=(54, 2)))
    assert legends(figure) == expected


HOSTILE = ["李明", "Zoë", "_hidden", "$\\frac$", "علي", "x" * 300, "two\nlines", "\x1b[31m"]


@pytest.mark.parametrize("more", [[], [f"s{i}" for i in range(12)]])
def test_hostile_names(more, tmp_path, caplog):
    embeddings = make(HOSTILE + more)
    with caplog.at_level(logging.WARNING):
        figure = plots.map_figure(embeddings, project(embeddings.vectors, "pca"), title="$\n")
        for suffix in plots.SUFFIXES:
            plots.save_figure(figure, tmp_path / f"map{suffix}")
    assert caplog.text == ""
    names = drawn_names(figure) if more else legends(figure)[0]
    assert {"Zoë", "_hidden", "$\\frac$", "two\\nlines"} <= set(names)
    assert max(map(len, names)) <= 40
    assert figure.axes[0].get_title("left") == "$\\n"


def test_characters_without_a_glyph_become_codes(monkeypatch):
    monkeypatch.setattr(lettering, "_glyphs", lambda: frozenset(range(32, 127)))
    assert lettering.shown("a李") == "a\\u674e"
    assert lettering.shown("é" * 50).count("…") == 1
    assert len(lettering.shown("李" * 50)) <= lettering.LONGEST_NAME
    assert lettering.shown("abcdefghij", 7) == "abc…hij"


def test_map_by_another_label():
    embeddings = make(["a", "b"])
    figure = plots.map_figure(embeddings, embeddings.vectors[:, :2], "gender", "singer")
    assert legends(figure) == [["F", "M"], ["a", "b"]]
    figure = plots.map_figure(embeddings, embeddings.vectors[:, :2], marker="technique")
    assert legends(figure) == [["a", "b"]]


def test_map_refuses():
    embeddings = make(["a", "b"])
    with pytest.raises(
        SingeridError, match=r"points do not fit the embeddings; found shape \(3, 2\)"
    ):
        plots.map_figure(embeddings, np.zeros((3, 2)))
    with pytest.raises(SingeridError, match=r"expected \(0, 2\), not empty"):
        plots.map_figure(embeddings.select(np.zeros(12, bool)), np.zeros((0, 2)))
    with pytest.raises(SingeridError, match="no label 'technique'"):
        plots.map_figure(embeddings, np.zeros((12, 2)), color="technique")


@pytest.mark.parametrize(
    ("suffix", "start"), [(".png", b"\x89PNG"), (".SVG", b"<?xml"), (".pdf", b"%PDF")]
)
def test_save_figure(tmp_path, suffix, start):
    path = tmp_path / f"new folder/a{suffix}"
    plots.save_figure(Figure(), path)
    assert path.read_bytes().startswith(start)
    assert len(list(path.parent.iterdir())) == 1


def test_save_figure_refuses_and_leaves_nothing(tmp_path):
    for name, found in (("map.jpg", ".jpg"), ("map", "no suffix")):
        message = f"cannot draw such a file; found {found}; expected .png or .svg or .pdf"
        with pytest.raises(SingeridError, match=message):
            plots.save_figure(Figure(), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["usual", "perfect", "constant", "tiny"])
def test_det_and_histogram(kind, tmp_path):
    rng = np.random.default_rng(0)
    targets = np.arange(3 if kind == "tiny" else 50_000) % 3 == 0
    scores = {"perfect": 1.0 * targets, "constant": 0.0 * targets}.get(
        kind, rng.normal(size=len(targets)) + 2 * targets
    )
    figure = plots.det_figure({"all": (scores, targets)})
    rate = {"usual": "15.", "perfect": "0.0%", "constant": "50.0%", "tiny": ""}[kind]
    (text,) = figure.axes[0].get_legend().get_texts()
    assert text.get_text().startswith(f"all: EER {rate}")
    assert len(figure.axes[0].lines[0].get_xdata()) < 5000  # not a point a trial
    plots.save_figure(figure, tmp_path / "det.png")
    figure = plots.histogram_figure(scores, targets, 0.5)
    areas = [patch.get_data() for patch in figure.axes[0].patches]
    for data in areas:
        assert np.sum(data.values * np.diff(data.edges)) == pytest.approx(1)
    plots.save_figure(figure, tmp_path / "histogram.png")


def test_det_curve_holds_the_normal_deviates():
    scores, targets = [1, 2, 3, 4], [False, True, False, True]
    line = plots.det_figure({"x": (scores, targets)}).axes[0].lines[0]
    inside = (np.abs(line.get_xdata()) < 3) & (np.abs(line.get_ydata()) < 3)
    np.testing.assert_allclose(line.get_xydata()[inside], [[0, 0]], atol=1e-9)


def test_input_figure(tmp_path):
    mel = np.arange(640.0).reshape(8, 80)
    figure = plots.input_figure({"mel": mel, "pitch": np.eye(8), "f0": mel[:, :1]}, 0.5, "one")
    panels = [axes for axes in figure.axes if axes.get_ylabel()]
    assert [panel.get_ylabel() for panel in panels] == ["mel bin", "pitch dim", "f0"]
    image = panels[0].images[0]
    np.testing.assert_array_equal(image.get_array(), mel.T)
    assert tuple(image.get_extent()) == (0, 4, -0.5, 79.5)
    assert image.origin == "lower"
    assert panels[0].get_title("right") == "8 × 80"
    assert panels[2].get_xlabel() == "time (s)"
    plots.save_figure(figure, tmp_path / "input.png")


@pytest.mark.parametrize(
    ("streams", "message"),
    [
        ({}, "nothing to draw; found no stream"),
        ({"f0": np.zeros(3)}, r"f0: nothing to draw; found shape \(3,\); expected \(n_frames"),
        ({"mel": np.zeros((0, 80))}, r"mel: nothing to draw; found shape \(0, 80\)"),
    ],
)
def test_input_figure_refuses(streams, message):
    with pytest.raises(SingeridError, match=message):
        plots.input_figure(streams, 0.016)


def test_neither_pyplot_nor_scikit_learn_nor_torch_is_imported():
    code = "import sys, singerid.plots; print([m for m in sys.argv[1:] if m in sys.modules])"
    modules = ["matplotlib.pyplot", "sklearn", "torch", "scipy"]
    done = subprocess.run([sys.executable, "-c", code, *modules], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
