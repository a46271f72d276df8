"""HTML that escapes by itself."""

from html.parser import HTMLParser

import pytest

from singerid.report.markup import (
    Html,
    Number,
    count,
    decimal,
    escape,
    interval_cell,
    join,
    percent,
    percents,
    table,
    tag,
)  # fmt: skip

EVIL = "<script>alert('x')</script>&\"'"


def read(markup):
    """Tags with attributes, and the text."""
    found, texts = [], []

    class Reader(HTMLParser):
        def handle_starttag(self, name, attributes):
            found.append((name, dict(attributes)))

        def handle_data(self, data):
            texts.append(data)

    reader = Reader()
    reader.feed(markup)
    reader.close()
    return found, "".join(texts)


def test_text_and_attributes_are_escaped_and_markup_is_not():
    tags, text = read(tag("p", EVIL, tag("b", EVIL), title=EVIL, class_="a", data_v=1, id=None))
    assert tags == [("p", {"title": EVIL, "class": "a", "data-v": "1"}), ("b", {})]
    assert text == EVIL + EVIL


def test_what_joins_or_formats_markup_is_text_again():
    assert read(tag("p", f"{tag('b', 'x')}"))[1] == "<b>x</b>"  # safe: str, not Html
    assert read(join(["<i>", tag("b", "x")]))[0] == [("b", {})]
    assert escape(Html("<b>")) == "<b>"


def test_undecodable_file_names_can_be_written():
    assert tag("p", "a\udcffb").encode("utf-8") == b"<p>a?b</p>"


@pytest.mark.parametrize(
    ("got", "want"),
    [
        (percent(0.12345), "12.3\u00a0%"), (percent(None), "–"), (percent(1.0, 0), "100\u00a0%"),
        (percents((0.1, 0.2)), "[10.0, 20.0]"), (percents(None), "–"), (decimal(0.5), "0.500"),
        (decimal(None), "–"), (count(1234567), "1,234,567"), (count(None), "–"),
    ],
)  # fmt: skip
def test_numbers(got, want):
    assert got == want


def test_a_table_has_row_titles_values_and_its_own_scroll_box():
    rows = [[EVIL, Number(0.5, "50 %")], ["b", Number(None, "–")]]
    tags, text = read(table(["name", "rate"], rows, EVIL, sortable=True, main=1))
    names = [name for name, _ in tags]
    assert names[0] == "div"
    assert tags[0][1]["tabindex"] == "0"
    assert tags[0][1]["aria-label"] == EVIL
    assert [a for name, a in tags if name == "th"] == [
        {"scope": "col"}, {"scope": "col", "class": "number"}, {"scope": "row"}, {"scope": "row"}
    ]  # fmt: skip
    cells = [a for name, a in tags if name == "td"]
    assert [float(a["data-v"]) for a in cells] == [0.5, -1e308]
    assert [a.get("class") for name, a in tags if name == "tr"] == [None, None, "main"]
    assert EVIL in text
    assert "script" not in names


def test_an_empty_table_keeps_its_titles():
    assert read(table(["a", "b"], [], "empty"))[1] == "ab"


def test_intervals_sort_by_width():
    assert interval_cell((0.1, 0.3)).value == pytest.approx(0.2)
    assert interval_cell(None) == Number(None, "–")
