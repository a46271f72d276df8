"""The interactive map: what its page carries, and what a real browser makes of it."""

import base64
import csv
import hashlib
import io
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from singerid import map_page, neighbors
from singerid.cli import main
from singerid.embeddings import EmbeddingSet, normalize, write_embeddings
from singerid.errors import MissingExtraError, SingeridError
from singerid.report.players import Clip, encode_mp3

pytest.importorskip("plotly", reason="the extra map is not installed")

HOSTILE = '</script><script>document.title = "broken"</script>'
MARKUP = '<img src="http://elsewhere.test/x.png" onerror="document.title=1">&amp;'
SINGERS = ["Ann", "Bo", HOSTILE, MARKUP, "=cmd()", "Zoë, née \u2028 \ud800"]


def make(singers=SINGERS, each=4, dim=8, seed=0):
    rng = np.random.default_rng(seed)
    n = len(singers) * each
    vectors = np.repeat(rng.normal(size=(len(singers), dim)), each, axis=0)
    vectors += 0.4 * rng.normal(size=vectors.shape)
    return EmbeddingSet(
        [f"song {i}/a&b" for i in range(n)], [singers[i // each] for i in range(n)],
        normalize(vectors), "e", [i / 2 for i in range(n)], splits=["valid"] * n,
        paths=[f"/home/me/{i}.wav" for i in range(n)], hashes=["5ec7e7"] * n,
        labels={
            "gender": ["FM"[i // each % 2] for i in range(n)],
            "take": ["" if i == 3 else f"take {i % 3}" for i in range(n)],
            "f0": ["" if i == 5 else f"{100 + 3.5 * i:g}" for i in range(n)],
        },
    )  # fmt: skip


def grid(n, width=6):
    """Points that do not touch one another, `(n, 2)`."""
    return np.stack([np.arange(n) % width, np.arange(n) // width], axis=1) * 1.0


def tone(seconds=0.3):
    times = np.arange(round(24_000 * seconds)) / 24_000
    return Clip(encode_mp3(np.sin(2 * np.pi * 330 * times).astype(np.float32), 24_000), 0, seconds)


def carried(html, id="data"):
    """JSON of a page, found as a browser does."""

    class Finder(HTMLParser):
        found, inside = "", False

        def handle_starttag(self, tag, attributes):
            self.inside = dict(attributes).get("id") == id

        def handle_data(self, text):
            self.found += text if self.inside else ""

        def handle_endtag(self, tag):
            self.inside = False

    finder = Finder()
    finder.feed(html[: html.index("plotly.js v")])
    return json.loads(finder.found)


def unpacked(text, kind):
    return np.frombuffer(base64.b64decode(text), kind)


def texts_of(column):
    return [column["values"][code] for code in unpacked(column["codes"], "<u4")]


# ---- What it carries ----


def test_data_embedded_are_data_given():
    embeddings = make()
    n = len(embeddings)
    points = np.random.default_rng(1).normal(size=(n, 3))
    data = carried(map_page.render_map(embeddings, points, title="Böse <b>"))
    assert data["title"] == "Böse <b>"
    assert data["ids"] == embeddings.ids
    for axis, text in enumerate(data["points"]):
        np.testing.assert_allclose(unpacked(text, "<f4"), points[:, axis], rtol=1e-6)
    columns = {column["name"]: texts_of(column) for column in data["columns"]}
    assert columns.pop("seconds") == [f"{seconds:.2f}" for seconds in embeddings.seconds]
    assert columns.pop("singer") == embeddings.singers
    assert columns.pop("split") == embeddings.splits
    assert columns == embeddings.labels
    numbers = {column["name"] for column in data["columns"] if column["numbers"]}
    assert numbers == {"f0", "seconds"}
    f0 = next(column["values"] for column in data["columns"] if column["name"] == "f0")
    assert f0[-1] == ""  # unknown
    assert [float(text) for text in f0[:-1]] == sorted(map(float, f0[:-1]))


def test_paths_and_hashes_stay_here():
    html = map_page.render_map(make(), grid(24))
    assert "/home/me" not in html
    assert "5ec7e7" not in html


def test_neighbors_are_those_of_the_vectors_not_of_the_map():
    embeddings = make()
    data = carried(map_page.render_map(embeddings, grid(24), neighbors=5))
    cosines = embeddings.vectors @ embeddings.vectors.T
    rows = unpacked(data["neighbors"], "<u4").reshape(24, 5)
    scores = unpacked(data["scores"], "<i2").reshape(24, 5) / 1e4
    for row in range(24):
        order = sorted((-cosines[row, j], j) for j in range(24) if j != row)[:5]
        assert [j for _, j in order] == rows[row].tolist()
        np.testing.assert_allclose(scores[row], [-s for s, _ in order], atol=1e-4)
    none = carried(map_page.render_map(embeddings, grid(24), neighbors=0))
    assert none["n_neighbors"] == 0
    assert none["neighbors"] == ""


@pytest.mark.parametrize("n", [1, 2, 5, 64, 65, 300])
@pytest.mark.parametrize("block", [1, 1000, 2**24])
def test_nearest_against_a_loop(n, block, monkeypatch):
    monkeypatch.setattr(neighbors, "_BLOCK", block)
    rng = np.random.default_rng(n)
    vectors = normalize(rng.normal(size=(n, 5)))
    vectors[n // 2 :][:2] = vectors[0]  # twins: a row is not its own neighbor, its twin is
    rows, scores = neighbors.nearest(vectors, 7)
    k = min(7, n - 1)
    assert rows.shape == scores.shape == (n, k)
    for row in range(n):
        others = {j: float(vectors[row] @ vectors[j]) for j in range(n) if j != row}
        best = sorted(others.values(), reverse=True)[:k]
        assert len(set(rows[row].tolist())) == k
        np.testing.assert_allclose(scores[row], best, atol=1e-6)
        np.testing.assert_allclose([others[j] for j in rows[row].tolist()], best, atol=1e-6)


def test_clips_and_reasons():
    embeddings = make()
    clips = {embeddings.ids[0]: tone(), embeddings.ids[1]: "is <gone>", "another": tone()}
    clips[embeddings.ids[2]] = "is <gone>"
    html = map_page.render_map(embeddings, grid(24), clips=clips)
    found = carried(html, "clips")
    assert found == {"media": {"0": tone().uri}, "missing": {"is <gone>": [1, 2]}}
    assert html.count("<gone>") == 0


def test_clips_of_takes_singers_in_turn(monkeypatch):
    asked = {}

    def make_clips(ids, sources, *, seconds, budget):
        asked.update(ids=list(ids), sources=sources, budget=budget)
        return {}

    monkeypatch.setattr(map_page, "make_clips", make_clips)
    embeddings = make(["a", "b", "c"], each=2)
    map_page.clips_of(embeddings, 1.5)
    assert asked["ids"] == [embeddings.ids[row] for row in (0, 2, 4, 1, 3, 5)]
    assert asked["sources"][embeddings.ids[4]] == ("/home/me/4.wav", "mix")
    assert asked["budget"] == 1.5


def test_no_text_breaks_out():
    embeddings = make()
    html = map_page.render_map(embeddings, grid(24), title=HOSTILE, clip_url=f"/{HOSTILE}")
    assert "broken" in html
    head, *scripts = re.split(r"<script\b", html)
    assert len(scripts) == 4  # data, clips, Plotly, ours
    assert head.count("&lt;/script&gt;&lt;script&gt;") == 2  # title, heading
    assert carried(html)["clip_url"] == f"/{HOSTILE}"
    html.encode("utf-8")  # a lone surrogate is an escape


def test_policy_knows_each_script_and_no_network():
    html = map_page.render_map(make(), grid(24))
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html).group(1)
    bodies = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    assert len(bodies) == 2
    for body in bodies:
        digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert "connect-src 'none'" in policy
    assert "connect-src 'self'" in map_page.render_map(make(), grid(24), clip_url="/x/{id}")


def test_same_bytes_for_the_same_input():
    code = (
        "import hashlib, test_map_page as t; from singerid.map_page import render_map;"
        "print(hashlib.sha256(render_map(t.make(), t.grid(24)).encode()).hexdigest())"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parent, text=True, check=True,
        capture_output=True, env={"PYTHONHASHSEED": "7", "PATH": ""},
    )  # fmt: skip
    here = hashlib.sha256(map_page.render_map(make(), grid(24)).encode()).hexdigest()
    assert run.stdout.strip() == here


def test_what_cannot_be_drawn():
    embeddings = make()
    for points in (np.zeros((23, 2)), np.zeros((24, 4)), np.zeros(24)):
        with pytest.raises(SingeridError, match="points do not fit the embeddings; found shape"):
            map_page.render_map(embeddings, points)
    with pytest.raises(SingeridError, match="points do not fit"):
        map_page.render_map(embeddings.select([]), np.zeros((0, 2)))
    points = np.zeros((24, 2))
    points[7, 1] = np.nan
    with pytest.raises(SingeridError, match="song 7/a&b: a point is not finite"):
        map_page.render_map(embeddings, points)
    with pytest.raises(SingeridError, match="no label 'mood'"):
        map_page.render_map(embeddings, grid(24), color="mood")


def test_too_many_points(monkeypatch):
    monkeypatch.setattr(map_page, "MAX_POINTS", 23)
    with pytest.raises(SingeridError, match="too many points for one page; found 24"):
        map_page.render_map(make(), grid(24))


def test_without_plotly(monkeypatch):
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    with pytest.raises(MissingExtraError, match=r"plotly is not installed.*singerid\[map\]"):
        map_page.render_map(make(), grid(24))


# ---- The command ----


@pytest.fixture
def parquet(tmp_path):
    path = tmp_path / "e.parquet"
    write_embeddings(path, make(["a", "b"]))
    return path


@pytest.mark.parametrize("dimensions", [2, 3])
def test_command_writes_the_page(parquet, dimensions, capsys):
    to = parquet.with_suffix(".html")
    status = main(["plot", str(parquet), "-o", str(to), "--plot.method", "pca",
                   "--plot.dimensions", str(dimensions), "--plot.neighbors", "3",
                   "--plot.color", "seconds"])  # fmt: skip
    assert status == 0
    said = capsys.readouterr()
    assert "PCA of 8 recordings of 2 singers, color seconds, marker gender, 0 can be heard" in (
        said.out
    )
    assert "no recording can be heard: /home/me/0.wav" in said.err
    data = carried(to.read_text("utf-8"))
    assert len(data["points"]) == dimensions
    assert data["n_neighbors"] == 3
    assert data["color"] == "seconds"
    assert data["title"] == "PCA of 8 recordings of 2 singers"


@pytest.mark.parametrize("name", ["projector", "v1.0/"])
def test_command_writes_for_tensorboard(parquet, name, capsys):
    to = parquet.parent / name
    assert main(["plot", str(parquet), "-o", f"{parquet.parent}/{name}"]) == 0
    assert "tensorboard --logdir" in capsys.readouterr().out
    assert (to / "projector_config.pbtxt").is_file()
    vectors = np.loadtxt(to / "projector/vectors.tsv")
    np.testing.assert_allclose(vectors, make(["a", "b"]).vectors, atol=1e-5)
    head, first, *_ = (to / "projector/labels.tsv").read_text("utf-8").splitlines()
    assert head.split("\t") == ["id", "singer", "split", "f0", "gender", "take"]
    assert first.split("\t") == ["song 0/a&b", "a", "valid", "100", "F", "take 0"]


@pytest.mark.parametrize(
    ("name", "flags", "message"),
    [
        ("m.jpg", [], "m.jpg: no such kind of map; found .jpg; expected .html or .png"),
        ("m.png", ["--plot.dimensions", "3"], "a picture is flat; three dimensions: -o map.html"),
        ("m.html", ["--plot.dimensions", "4"], "plot.dimensions is not valid"),
        ("m.html", ["--plot.color", "mood"], "no label 'mood' in the embeddings"),
    ],
)
def test_command_refuses_before_it_projects(parquet, name, flags, message, capsys, monkeypatch):
    monkeypatch.setattr("singerid.projection.project", lambda *_: pytest.fail("projected"))
    assert main(["plot", str(parquet), "-o", str(parquet.parent / name), *flags]) == 1
    assert message in capsys.readouterr().err
    assert not (parquet.parent / name).exists()


def test_command_suggests_a_faster_projection(parquet, capsys, monkeypatch):
    monkeypatch.setattr("singerid.commands.vectors._MANY_POINTS", 7)
    assert main(["plot", str(parquet), "-o", str(parquet.with_suffix(".svg"))]) == 0
    assert "t-SNE of 8 recordings takes long" in capsys.readouterr().err


# ---- In a browser ----

READY = "html[data-ready]"


class Map:
    """A page with the map of `make()`, and what happened on it."""

    def __init__(self, page):
        self.page, self.requests, self.errors = page, [], []
        page.set_default_timeout(15_000)
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda line: line.type == "error" and self.errors.append(line.text))

    def open(self, address):
        self.page.goto(address)
        self.page.wait_for_selector(READY)
        return self

    def place(self, row):
        """Where a point is on the screen."""
        return self.page.evaluate(
            """(row) => {
              const box = plot.getBoundingClientRect(), { xaxis, yaxis } = plot.layout;
              const part = ([low, high], at) => (at - low) / (high - low);
              return [box.left + box.width * part(xaxis.range, points[0][row]),
                      box.top + box.height * (1 - part(yaxis.range, points[1][row]))];
            }""",
            row,
        )

    def click(self, row):
        x, y = self.place(row)
        self.page.mouse.move(x, y)
        self.page.wait_for_function(
            "(row) => !find('tip').hidden && find('tip').innerText.startsWith(data.ids[row])",
            arg=row,
        )
        self.page.mouse.click(x, y)
        self.page.wait_for_function(f"state.current === {row}")

    def texts(self, selector):
        return self.page.locator(selector).all_inner_texts()

    def saved(self, button):
        with self.page.expect_download() as download:
            self.page.click(button)
        return Path(download.value.path()).read_bytes().decode("utf-8")

    def until_drawn(self):
        self.page.evaluate("() => new Promise((r) => requestAnimationFrame(() => drawn().then(r)))")


@pytest.fixture(scope="module")
def opened(browser, tmp_path_factory):
    embeddings = make()
    clips = {embeddings.ids[0]: tone(), embeddings.ids[1]: "left out <here>"}
    path = tmp_path_factory.mktemp("map") / "map.html"
    html = map_page.render_map(embeddings, grid(24), title="Twenty-four", clips=clips)
    path.write_text(html, encoding="utf-8")
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    yield Map(page).open(path.as_uri())
    page.close()


@pytest.fixture
def shown(opened):
    """The map as it was at first."""
    page = opened.page
    page.evaluate("() => { clear(); setHidden([]); setDrag('pan'); state.current = -1; }")
    page.mouse.move(5, 5)
    opened.until_drawn()
    return opened


def test_page_draws_its_points_and_asks_for_nothing(shown):
    assert shown.errors == []
    assert [url for url in shown.requests if not url.startswith(("file:", "data:", "blob:"))] == []
    assert shown.page.title() == "Twenty-four"  # no text became markup
    assert shown.page.locator("#plot canvas").count() > 0
    assert shown.page.evaluate("plot.data[0].type") == "scattergl"
    # The pixels where points are differ from the empty corner.
    picture = shown.page.evaluate("Plotly.toImage(plot, {width: 300, height: 200})")
    assert len(picture) > 3000
    assert shown.texts("#status") == ["24 of 24 points shown"]
    assert "WebGL is not supported" not in shown.page.inner_text("#plot")


def test_hover_and_click_show_details(shown):
    shown.click(0)
    tip = shown.page.inner_text("#tip")
    assert tip.startswith("song 0/a&b")
    assert "gender: F" in tip
    assert shown.page.inner_text("#point-id") == "song 0/a&b"
    terms = dict(zip(shown.texts("#point dt"), shown.texts("#point dd"), strict=True))
    assert terms["f0"] == "100"
    assert terms["singer"] == "Ann"
    shown.page.wait_for_function("document.querySelector('audio')?.duration > 0.2")
    shown.page.wait_for_function("document.querySelector('audio').currentTime > 0")  # it plays
    shown.click(1)
    assert shown.texts("#player") == ["left out <here>"]
    shown.click(2)
    assert shown.texts("#player") == ["This map has no sound."]


def test_hostile_names_are_text(shown):
    shown.click(8)
    assert HOSTILE in shown.texts("#point dd")
    shown.click(12)
    assert MARKUP in shown.texts("#point dd")
    assert shown.page.locator("#point img, #plot img, #legend img, #legend script").count() == 0
    assert MARKUP in shown.page.inner_text("#legend")
    assert shown.page.title() == "Twenty-four"


def test_neighbors_of_the_clicked_point(shown):
    shown.click(9)
    vectors = make().vectors
    cosines = vectors @ vectors[9]
    best = sorted((j for j in range(24) if j != 9), key=lambda j: -cosines[j])[:10]
    assert shown.texts("#near .id") == [f"song {j}/a&b" for j in best]
    assert shown.texts("#near .number") == [f"{cosines[j]:.3f}" for j in best]
    ringed = shown.page.evaluate("Array.from(plot.data[2].x)")
    assert ringed == [j % 6 for j in [*best, 9]]
    shown.page.click("#near button >> nth=0")
    assert shown.page.inner_text("#point-id") == f"song {best[0]}/a&b"


def test_search_by_keyboard(shown):
    page = shown.page
    page.keyboard.press("/")
    page.keyboard.type('GENDER=m "take 1"')
    page.wait_for_function("state.list.length > 0")
    embeddings = make()
    both = zip(embeddings.labels["gender"], embeddings.labels["take"], strict=True)
    rows = [i for i, pair in enumerate(both) if pair == ("M", "take 1")]
    assert page.evaluate("state.list") == rows
    assert shown.texts("#list .id") == [f"song {i}/a&b" for i in rows]
    assert shown.texts("#status") == [f"24 of 24 points shown; {len(rows)} found"]
    shown.until_drawn()
    assert page.evaluate("plot.data[0].marker.opacity") < 0.5  # the others step back
    assert page.evaluate("Array.from(plot.data[1].x)") == [i % 6 for i in rows]
    page.focus("#list button >> nth=1")
    page.keyboard.press("Enter")
    assert page.inner_text("#point-id") == f"song {rows[1]}/a&b"
    page.keyboard.press("/")
    page.keyboard.press("Control+a")
    page.keyboard.type('f0="10"')  # 103.5 is another value
    page.wait_for_function("state.list.length === 0")
    assert shown.texts("#list-note") == ["Nothing found."]
    page.keyboard.press("Escape")
    assert page.input_value("#search") == ""


def test_color_marker_and_legend(shown):
    page = shown.page
    page.select_option("#color", "gender")
    page.select_option("#marker", "take")
    shown.until_drawn()
    colors = page.evaluate("plot.data[0].marker.color")
    assert len(set(colors)) == 2
    assert len({(c, g) for c, g in zip(colors, make().labels["gender"], strict=True)}) == 2
    symbols = page.evaluate("plot.data[0].marker.symbol")
    assert len(set(zip(symbols, make().labels["take"], strict=True))) == len(set(symbols)) == 4
    assert "unknown" in page.inner_text("#markers")
    button = page.locator("#legend button").first
    button.focus()
    page.keyboard.press("Space")
    assert button.get_attribute("aria-pressed") == "false"
    shown.until_drawn()
    assert shown.texts("#status") == ["12 of 24 points shown"]
    assert page.evaluate("Array.from(state.shown)") == [
        i for i, gender in enumerate(make().labels["gender"]) if gender == "M"
    ]
    page.select_option("#color", "f0")
    shown.until_drawn()
    colors = page.evaluate("plot.data[0].marker.color")
    assert len(set(colors)) == 24  # a scale; the unknown one has the gray
    assert shown.texts("#legend .ends span") == ["100", "180.5"]
    page.emulate_media(color_scheme="dark")
    page.wait_for_function("(before) => plot.data[0].marker.color[5] !== before", arg=colors[5])
    page.emulate_media(color_scheme="light")
    page.select_option("#color", "singer")
    page.select_option("#marker", "gender")


@pytest.mark.parametrize("tool", ["select", "lasso"])
def test_selection_is_exported(shown, tool):
    page = shown.page
    page.click(f"[data-drag={tool}]")
    page.wait_for_function(f"plot.layout.dragmode === '{tool}'")
    (x0, y0), (x1, y1) = shown.place(7), shown.place(14)  # columns 1 and 2 of rows 1 and 2
    margin = abs(x1 - x0) / 3
    corners = [(x0 - margin, y0 + margin), (x1 + margin, y0 + margin),
               (x1 + margin, y1 - margin), (x0 - margin, y1 - margin)]  # fmt: skip
    page.mouse.move(*corners[0])
    page.mouse.down()
    for corner in corners[2:3] if tool == "select" else corners[1:]:
        page.mouse.move(*corner, steps=4)
    page.mouse.up()
    page.wait_for_function("state.list.length > 0")
    rows = [7, 8, 13, 14]
    assert page.evaluate("state.list") == rows
    embeddings = make()
    table = list(csv.reader(io.StringIO(shown.saved("#csv"), newline="")))
    assert table[0] == ["id", "singer", "split", "gender", "take", "f0", "seconds"]
    assert [line[0] for line in table[1:]] == [embeddings.ids[i] for i in rows]
    assert [line[1] for line in table[1:]] == [embeddings.singers[i] for i in rows]
    found = json.loads(shown.saved("#json"))
    assert [one["id"] for one in found] == [embeddings.ids[i] for i in rows]
    assert found[1]["f0"] == embeddings.labels["f0"][8]


def test_zoom_by_keys_and_buttons(shown):
    page = shown.page
    width = "plot.layout.xaxis.range[1] - plot.layout.xaxis.range[0]"
    before = page.evaluate(width)
    page.focus("#plot")
    page.keyboard.press("+")
    page.wait_for_function(f"({width}) < {before} * 0.75")
    low = page.evaluate("plot.layout.xaxis.range[0]")
    page.keyboard.press("ArrowRight")
    page.wait_for_function(f"plot.layout.xaxis.range[0] > {low}")
    page.click("text=Whole map")
    page.wait_for_function(f"Math.abs(({width}) - {before}) < 0.01 * {before}")


def test_phone_hears_what_a_server_has(browser):
    embeddings = make()
    html = map_page.render_map(embeddings, grid(24), clip_url="/exemplars/{id}/audio")
    context = browser.new_context(
        viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True
    )
    page, asked = context.new_page(), []

    def answer(route):
        if route.request.url.endswith("/map"):
            return route.fulfill(body=html, content_type="text/html; charset=utf-8")
        asked.append((route.request.url, route.request.headers.get("authorization")))
        if len(asked) == 2:
            return route.fulfill(status=404)
        return route.fulfill(body=tone().media, content_type="audio/mpeg")

    page.route("**/*", answer)
    page.add_init_script("sessionStorage.setItem('singerid-token', 's3cret')")
    one = Map(page).open("http://map.test/map")
    page.touchscreen.tap(*one.place(4))
    page.wait_for_function("document.querySelector('audio')?.duration > 0.2")
    assert page.inner_text("#point-id") == "song 4/a&b"
    page.touchscreen.tap(*one.place(5))
    page.wait_for_function("document.querySelector('#player p')")
    assert "there is no clip" in page.inner_text("#player")
    assert asked[0] == ("http://map.test/exemplars/song%204%2Fa%26b/audio", "Bearer s3cret")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    context.close()


def test_three_dimensions(browser, tmp_path):
    points = np.random.default_rng(0).normal(size=(24, 3))
    path = tmp_path / "solid.html"
    path.write_text(map_page.render_map(make(), points), encoding="utf-8")
    page = browser.new_page()
    one = Map(page).open(f"{path.as_uri()}#song%203%2Fa%26b")
    assert page.evaluate("plot.data[0].type") == "scatter3d"
    assert page.inner_text("#point-id") == "song 3/a&b"  # by the address
    assert page.is_hidden("[data-drag=lasso]")
    page.click("[aria-label='Zoom in']")
    page.wait_for_function("plot.layout.scene.camera.eye.x < 0.8")
    assert one.errors == []
    page.close()
