"""HTML that is escaped by itself: whatever is not made here is text, never markup."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

NONE = "–"  # where there is no number


class Html(str):
    """Markup; any other text is escaped where it is put into markup."""

    __slots__ = ()


def escape(value: object) -> Html:
    """Markup that shows `value`; undecodable bytes of file names are shown as ``?``."""
    if isinstance(value, Html):
        return value
    return Html(html.escape(str(value).encode("utf-8", "replace").decode()))


def tag(name: str, *children: object, **attributes: object) -> Html:
    """An element with its children.

    Args:
        name: of the element.
        *children: markup, or text that is escaped.
        **attributes: ``_`` stands for ``-`` (``class_`` for class); those that are None are left
            out.
    """
    words = [name] + [
        f'{key.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    ]
    return Html(f"<{' '.join(words)}>{join(children)}</{name}>")


def join(parts: Iterable[object], separator: str = "") -> Html:
    """Markup or texts one after the other."""
    return Html(separator.join(map(escape, parts)))


def soft(words: object) -> Html:
    """A paragraph in small gray letters."""
    return tag("p", words, class_="soft")


def shown_name(name: object) -> Html:
    """A name that somebody gave: its own direction of writing does not change the line's."""
    return tag("span", name, class_="name")


def shown_id(name: object) -> Html:
    """An id, in letters of equal width, broken where it is too long."""
    return tag("span", name, class_="id")


def percent(rate: float | None, digits: int = 1) -> str:
    """A fraction in percent, with a no-break space."""
    return NONE if rate is None else f"{100 * rate:.{digits}f}\u00a0%"


def percents(pair: Sequence[float] | None, digits: int = 1) -> str:
    """An interval of fractions as ``[12.1, 20.5]``, in percent."""
    return NONE if not pair else f"[{100 * pair[0]:.{digits}f}, {100 * pair[1]:.{digits}f}]"


def decimal(value: float | None, digits: int = 3) -> str:
    """A number with so many decimals."""
    return NONE if value is None else f"{value:.{digits}f}"


def count(value: int | None) -> str:
    """A whole number with separators of thousands."""
    return NONE if value is None else f"{value:,}"


@dataclass(frozen=True)
class Number:
    """A cell of a table that is aligned to the right and sorted by value.

    Attributes:
        value: to sort by.
        text: to show.
    """

    value: float | None
    text: str


def interval_cell(pair: Sequence[float] | None, text: str | None = None) -> Number:
    """A cell with an interval of fractions in percent, sorted by its width."""
    return Number(pair[1] - pair[0] if pair else None, percents(pair) if text is None else text)


def table(
    head: Sequence[str],
    rows: Sequence[Sequence[object]],
    label: str,
    *,
    sortable: bool = False,
    main: int | None = None,
) -> Html:
    """A table that scrolls within its own box where the screen is narrow.

    Args:
        head: titles of the columns.
        rows: cells; the first of each row is its title.
        label: what the table holds, for those who hear the page.
        sortable: a click on a title sorts.
        main: number of the row to stress.
    """
    columns = list(zip(*rows, strict=True)) or [()] * len(head)
    numeric = [any(isinstance(cell, Number) for cell in column) for column in columns]
    titles = [
        tag("th", title, scope="col", class_="number" if right else None)
        for title, right in zip(head, numeric, strict=True)
    ]
    body = [
        tag(
            "tr", _cell(row[0], "th", scope="row"), *(_cell(cell, "td") for cell in row[1:]),
            class_="main" if i == main else None,
        )
        for i, row in enumerate(rows)
    ]  # fmt: skip
    whole = tag(
        "table", tag("thead", tag("tr", *titles)), tag("tbody", *body),
        class_="sortable" if sortable else None,
    )  # fmt: skip
    return tag("div", whole, class_="scroll", role="region", aria_label=label, tabindex="0")


def _cell(cell: object, name: str, **attributes: object) -> Html:
    if isinstance(cell, Number):
        value = -1e308 if cell.value is None else cell.value
        return tag(name, cell.text, class_="number", data_v=repr(value), **attributes)
    return tag(name, cell, **attributes)
