"""The page: self-contained, escaped, complete, and with the numbers of its data."""

import base64
import hashlib
import itertools
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from singerid.report import headline_name, render_report
from singerid.report.players import Clip

EVIL = "<script>alert('x')</script>&\"'\u202e"
VOID = {"meta", "link"}


def data():
    """Content of a report.json with every section, names that are an attack."""
    one = {
        "n_targets": 1234, "n_nontargets": 56789, "n_singers": 26, "eer": 0.1634,
        "eer_interval": [0.1221, 0.2203], "threshold": 0.8123, "min_dcf": 0.727, "auc": 0.913,
        "miss_at_1_percent": 0.548, "min_cllr": 0.5, "cllr": None, "act_dcf": None,
    }  # fmt: skip
    trial = {
        "enroll": EVIL, "test": "b", "enroll_recording": EVIL, "enroll_singer": EVIL,
        "test_singer": "B" + EVIL, "target": False, "score": 0.987,
        "labels": {"song": [EVIL, ""], "f0": ["200", "300"]},
    }  # fmt: skip
    condition = {
        "group": "codec", "kind": "MP3", "level": "32 kbit/s", "n_targets": 5, "n_nontargets": 6,
        "n_failed": 7, "n_unchanged": 0, "eer": 0.2, "interval": [0.1, 0.3], "clean_eer": 0.1,
        "difference": 0.1, "difference_interval": [0.05, 0.15],
    }  # fmt: skip
    return {
        "singerid": "0.1.0", "encoder": EVIL, "n_recordings": 508, "n_singers": 26,
        "n_trials": 62796, "settings": {"trials": {"cross": EVIL, "enroll": ""}, "seed": 7},
        "command_line": f"singerid evaluate {EVIL}",
        "slices": {"all": one, "same gender": one | {"eer": 0.2211}, EVIL: one | {
            "eer_interval": None, "miss_at_1_percent": None}},
        "singers": [
            {"singer": EVIL, "n_targets": 0, "n_nontargets": 9, "miss_rate": None,
             "false_alarm_rate": 0.693, "impostor": "", "impostor_rate": None},
        ],
        "confusions": [
            {"singer_a": EVIL, "singer_b": "b", "n_trials": 400, "false_alarm_rate": 0.952,
             "mean_score": 0.87, "max_score": 0.955},
        ],
        "worst": [trial, trial | {"target": True, "enroll": "c", "enroll_recording": "c"}],
        "identification": {
            "n": 500, "n_singers": 26, "top_1": 0.71, "top_1_interval": [0.6, 0.8], "top_5": None,
            "mean_normalized_rank": 0.041, "mean_average_precision": 0.44},
        "health": {"dead_dimensions": 3, "effective_rank": 41.25, "purity": None},
        "findings": [
            {"level": "info", "code": "balance", "count": 1, "text": EVIL, "examples": []},
            {"level": "error", "code": "mirrored", "count": 2, "text": "mirrored pairs",
             "examples": [EVIL, ["a", EVIL]]},
        ],
        "calibration": {
            "cllr": 0.66, "min_cllr": 0.61, "act_dcf": 0.95, "min_dcf": 0.93,
            "reliability": [{"predicted": 0.2, "observed": 0.3, "n": 12}],
            "durations": [{"name": EVIL, "thresholds": [[0.1, 0.8], [0.01, None]],
                           "n_targets": 1, "n_nontargets": 2}]},
        "robustness": [condition, condition | {"level": "16 kbit/s", "eer": 0.25}, condition | {
            "kind": "telephone", "level": "", "eer": None, "interval": None, "difference": None}],
        "comparison": [
            {"slice": "all", "a": EVIL, "b": "mfcc", "n_targets": 1, "n_nontargets": 1,
             "eer_a": 0.163, "eer_b": 0.26, "difference": 0.097, "interval": [0.05, 0.14]},
            {"slice": "same gender", "a": EVIL, "b": "mfcc", "n_targets": 1, "n_nontargets": 1,
             "eer_a": 0.163, "eer_b": 0.15, "difference": -0.013, "interval": [-0.05, 0.02]}],
        "notes": [EVIL],
    }  # fmt: skip


def curves():
    rng = np.random.default_rng(0)
    targets = np.arange(1000) < 300
    return {name: (rng.normal(targets * 2.0), targets) for name in ("all", "same gender", EVIL)}


CLIPS = {EVIL: Clip(b"one", 31.0, 8.0), "b": Clip(b"two", 0.0, 3.0), "c": f"damaged {EVIL}"}


class Page(HTMLParser):
    """Tags, texts and scripts of a page; checks that tags are closed in order."""

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.texts, self.scripts = [], [], [], []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, name, attributes):
        self.tags.append((name, dict(attributes)))
        if name not in VOID:
            self.open.append(name)

    def handle_endtag(self, name):
        assert self.open.pop() == name

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)
        elif self.open and self.open[-1] != "style":
            self.texts.append(data)

    def all(self, name):
        return [attributes for tag, attributes in self.tags if tag == name]

    @property
    def text(self):
        return re.sub(r"\s+", " ", " ".join(self.texts))


@pytest.fixture(scope="module")
def html():
    return render_report(data(), curves(), CLIPS)


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


def test_a_page_is_one_file_and_its_policy_allows_only_our_script(html, page):
    assert len(page.scripts) == 1
    digest = base64.b64encode(hashlib.sha256(page.scripts[0].encode()).digest()).decode()
    (policy,) = [m["content"] for m in page.all("meta") if m.get("http-equiv")]
    assert f"script-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none';")
    addresses = [a[key] for _, a in page.tags for key in ("src", "href") if key in a]
    assert all(address.startswith(("data:", "#")) for address in addresses)
    assert not re.search(r"https?://|url\(|@import", html)


def test_names_from_files_are_text_never_markup(html, page):
    assert html.count("<script") == 1
    assert EVIL in "".join(page.texts)
    assert not any(key.startswith("on") for _, a in page.tags for key in a)
    assert any(a.get("aria-label") == f"Clip of {EVIL}" for a in page.all("audio"))


@pytest.mark.parametrize(
    "shown",
    [
        "22.1 %", "[12.2, 22.0]", "0.812", "54.8 %", "1,234", "56,789",  # slices
        "69.3 %", "95.2 %", "0.987", "F0 200 / 300 Hz",  # singers, confusions, worst
        "71.0 %", "0.041", "41.250", "mirrored pairs", "0.660", "0.800",
        "MP3 32 kbit/s", "+10.0", "[+5.0, +15.0]", "not told apart", "trials.cross",
        "singerid evaluate", "508 recordings of 26 singers", "62,796 trials",
        "The linter found 1 kind of error",
    ],
)  # fmt: skip
def test_numbers_are_there(page, shown):
    assert shown in page.text.replace("\u00a0", " ")


def test_the_page_is_a_function_of_the_file(html):
    again = json.loads(json.dumps(data()))
    assert render_report(again, curves(), CLIPS) == html


def test_a_clip_is_carried_once_and_all_players_have_one(page):
    players = page.all("audio")
    assert len(players) == 3  # two sides of the first trial, one of the second
    sources = {a["id"]: a["src"] for a in players if "src" in a}
    assert sorted(sources.values()) == sorted(CLIPS[name].uri for name in (EVIL, "b"))
    assert [a["data-clip"] for a in players if "src" not in a] == [
        next(id for id, uri in sources.items() if uri == CLIPS["b"].uri)
    ]
    assert "no audio: damaged" in page.text
    assert "from 0:31" in page.text


def test_the_page_can_be_heard_and_read(page):
    levels = [int(name[1]) for name, _ in page.tags if re.fullmatch("h[1-6]", name)]
    assert levels[0] == 1 and levels.count(1) == 1  # noqa: PT018
    assert all(b <= a + 1 for a, b in itertools.pairwise(levels))
    for picture in page.all("svg"):
        assert picture.get("aria-label") or picture.get("aria-hidden") == "true"
    for box in (a for a in page.all("div") if a.get("class") == "scroll"):
        assert box["aria-label"]
    assert len(page.all("table")) == len([a for a in page.all("div") if a.get("class") == "scroll"])
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids))
    assert {a["href"][1:] for a in page.all("a")} <= set(ids)


SECTIONS = (
    "singers", "confusions", "worst", "identification", "calibration", "health", "findings",
    "robustness", "comparison",
)  # fmt: skip


def test_what_is_absent_or_none_is_absent_from_the_page():
    full = data()
    for name in SECTIONS:
        del full[name]
    small = Page(render_report(full))
    assert [a["id"] for a in small.all("h2")] == ["slices", "method"]
    assert small.all("audio") == []
    assert {a["href"] for a in small.all("a")} == {"#slices", "#method"}
    nothing = Page(render_report(full | {"identification": None, "worst": [], "findings": []}))
    assert [a["id"] for a in nothing.all("h2")] == ["slices", "findings", "method"]
    assert "the trials are clean" in nothing.text


@pytest.mark.parametrize("name", SECTIONS)
def test_each_section_can_stand_alone(name):
    full = data()
    alone = {key: value for key, value in full.items() if key not in SECTIONS or key == name}
    page = Page(render_report(alone))
    assert [a["id"] for a in page.all("h2")] == ["slices", name, "method"]  # fmt: skip


def test_the_headline_is_same_gender_unless_told_or_unknown():
    full = data()
    assert headline_name(full) == "same gender"
    assert headline_name(full | {"headline": "all"}) == "all"
    assert headline_name(full | {"slices": {"all": 1, "corpus x": 2}}) == "all"
    assert headline_name(full | {"slices": {"corpus x": 2}}) == "corpus x"


def test_without_an_interval_the_page_says_why():
    full = data()
    full["slices"]["same gender"]["eer_interval"] = None
    text = Page(render_report(full)).text
    assert "too few singers" in text
    assert "equal error rate, same gender, 95" not in text


def test_perfect_and_useless_encoders_have_pages_too():
    targets = np.array([True, False, False])
    full = data()
    for rate, scores in ((0.0, [1.0, 0, 0]), (0.5, [0.0, 0, 0]), (1.0, [0.0, 1, 1])):
        full["slices"] = {"all": full["slices"]["all"] | {"eer": rate, "eer_interval": [rate] * 2}}
        full["robustness"] = [row | {"eer": rate, "interval": None} for row in data()["robustness"]]
        page = Page(render_report(full, {"all": (np.array(scores), targets)}))
        assert f"{100 * rate:.1f} %" in page.text
        assert "nan" not in page.text


def test_many_singers_are_cut_and_the_rest_is_counted():
    full = data()
    full["singers"] = [full["singers"][0] | {"singer": f"singer{i}"} for i in range(2000)]
    text = Page(render_report(full)).text
    assert "singer499" in text
    assert "singer500" not in text
    assert "1,500 more are in report.json." in text


def test_undecodable_names_can_be_written():
    full = data() | {"notes": ["recording a\udcff"]}
    assert b"recording a?" in render_report(full).encode("utf-8")
