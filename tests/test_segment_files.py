"""Files of segments: round trips, other tools' files, what cannot be one."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from singerid.errors import SingeridError
from singerid.segment_files import FORMATS, read_segments, write_segments
from singerid.segments import Segment

SEGMENTS = [
    Segment(0.0, 1.25, "Änne", 0.9, 0.5),
    Segment(1.5, 61.125, None, 0.75, None),
    Segment(61.125, 3600.5, "b", None, -0.125),
]


@pytest.mark.parametrize("suffix", sorted(FORMATS))
def test_round_trip(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    write_segments(path, SEGMENTS, "song one")
    found = read_segments(path)
    key = [(s.start, s.end, s.singer) for s in SEGMENTS]
    assert [(s.start, s.end, s.singer) for s in found] == key
    if suffix == ".json":
        assert found == SEGMENTS
    if suffix == ".rttm":
        assert [s.probability for s in found] == [0.9, 0.75, None]


def test_the_bytes(tmp_path):
    write_segments(tmp_path / "a.rttm", SEGMENTS[:2], "song one")
    assert (tmp_path / "a.rttm").read_text("utf-8").splitlines() == [
        "SPEAKER song_one 1 0.000 1.250 <NA> <NA> Änne 0.900 <NA>",
        "SPEAKER song_one 1 1.500 59.625 <NA> <NA> unknown 0.750 <NA>",
    ]
    write_segments(tmp_path / "a.txt", SEGMENTS[:2])
    assert (tmp_path / "a.txt").read_bytes() == (
        b"0.000000\t1.250000\t\xc3\x84nne\n1.500000\t61.125000\tunknown\n"
    )
    write_segments(tmp_path / "a.json", SEGMENTS[:1], "s")
    assert json.loads((tmp_path / "a.json").read_text("utf-8")) == {
        "format": 1,
        "recording": "s",
        "segments": [
            {"start": 0.0, "end": 1.25, "singer": "Änne", "probability": 0.9, "score": 0.5}
        ],
    }


@given(st.text(min_size=1).filter(lambda s: s.strip() and s != "unknown"))
def test_a_name_cannot_break_a_line(tmp_path_factory, name):
    folder = tmp_path_factory.mktemp("x")
    if any(0xD800 <= ord(c) < 0xE000 for c in name):
        return
    for suffix in (".rttm", ".txt"):
        path = folder / f"a{suffix}"
        write_segments(path, [Segment(0, 1, name), Segment(1, 2, "b")])
        found = read_segments(path)
        assert [(s.start, s.end) for s in found] == [(0, 1), (1, 2)]
        assert found[1].singer == "b"


def test_rttm_of_another_tool(tmp_path):
    path = tmp_path / "a.rttm"
    path.write_text(
        "SPKR-INFO meeting 1 <NA> <NA> <NA> unknown anna <NA> <NA>\n\n"
        "SPEAKER meeting 1 12.5 0.75 <NA> <NA> anna <NA> <NA>\n"
        "SPEAKER meeting 1 20 1 <NA> <NA> bob\n"
    )
    assert read_segments(path) == [Segment(12.5, 13.25, "anna"), Segment(20, 21, "bob")]


def test_labels_with_a_spectral_selection(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("1.0\t2.0\tanna\n\\\t100\t200\n3.0\t3.0\t\n")
    assert read_segments(path) == [Segment(1, 2, "anna"), Segment(3, 3, "")]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.rttm", "SPEAKER a 1 0", r"a\.rttm, line 1: is no segment; found 4 fields"),
        ("a.rttm", "\nSPEAKER a 1 x 1 <NA> <NA> b", r"line 2: is no segment; found x"),
        ("a.rttm", "SPEAKER a 1 0 -1 <NA> <NA> b", r"line 1: .* found 0 s to -1 s"),
        ("a.rttm", "SPEAKER a 1 nan 1 <NA> <NA> b", r"found nan; expected a number"),
        ("a.txt", "0 1 b", r"line 1: .* with tabs in between"),
        ("a.txt", "0\t1e999\tb", r"found 1e999"),
        ("a.json", "{", r"a\.json: is no segment"),
        ("a.json", "[]", r"a\.json: is no segment"),
        ("a.json", '{"segments": [{"start": 0}]}', r"segment 1: .* expected start, end and singer"),
        ("a.json", '{"segments": [{"start": 0, "end": 1, "singer": "a", "x": 1}]}', r"found x"),
        ("a.json", '{"segments": [{"start": "q", "end": 1, "singer": "a"}]}', r"found q"),
        ("a.csv", "", r"is no file of segments; found \.csv; expected \.rttm"),
        ("a", "", r"found no suffix"),
    ],
)  # fmt: skip
def test_what_is_no_file_of_segments(tmp_path, name, text, message):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(SingeridError, match=message):
        read_segments(path)


def test_a_missing_file(tmp_path):
    with pytest.raises(SingeridError, match="cannot be read as text"):
        read_segments(tmp_path / "no.rttm")


def test_nothing_is_written_under_another_suffix(tmp_path):
    with pytest.raises(SingeridError, match="is no file of segments"):
        write_segments(tmp_path / "a.srt", SEGMENTS)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", sorted(FORMATS))
def test_no_segments_at_all(tmp_path, suffix):
    write_segments(tmp_path / f"a{suffix}", [])
    assert read_segments(tmp_path / f"a{suffix}") == []


@pytest.mark.parametrize("value", ["[" * 100_000, "9" * 5000])
def test_json_of_any_depth_or_number(tmp_path, value):
    (tmp_path / "x.json").write_text(value)
    with pytest.raises(SingeridError, match=r"x.json.*is no segment; found"):
        read_segments(tmp_path / "x.json")
    row = {"start": 10**400, "end": 1, "singer": "a"}
    (tmp_path / "x.json").write_text(json.dumps({"segments": [row]}))
    with pytest.raises(SingeridError, match=r"x.json, segment 1: is no segment; found 1000"):
        read_segments(tmp_path / "x.json")
