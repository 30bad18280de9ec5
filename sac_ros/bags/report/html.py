# SPDX-License-Identifier: Apache-2.0
"""HTML in small pieces. Every text is escaped here: names come from bags that others made."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import NamedTuple

DASH = "–"
_MINUS = "−"
_SPACE = "\u00a0"  # a figure and its unit stay on one line
_SHORTEST = 4  # letters
_NOTHING = 1e-9  # what rounding leaves of zero


class Markup(str):
    """HTML that is not to be escaped again."""

    __slots__ = ()


class Cell(NamedTuple):
    """A table's cell with a meaning: ``good``, ``bad``, ``words`` (to the left) or none."""

    text: object
    meaning: str = ""


def text(value: object) -> Markup:
    """Return a value as HTML."""
    return value if isinstance(value, Markup) else Markup(html.escape(str(value)))


def element(tag: str, content: object, kind: str = "") -> Markup:
    """Return one element, of a CSS class where ``kind`` is given."""
    attribute = f' class="{html.escape(kind)}"' if kind else ""
    return Markup(f"<{tag}{attribute}>{text(content)}</{tag}>")


def join(*parts: object) -> Markup:
    """Return parts one after the other."""
    return Markup("\n".join(text(part) for part in parts))


def section(title: str, anchor: str, *parts: object, about: str = "") -> Markup:
    """Return a section with a heading, and a line below it that says what it shows."""
    lead = element("p", about, "about") if about else Markup("")
    body = join(element("h2", title), lead, *parts)
    return Markup(f'<section id="{html.escape(anchor)}">\n{body}\n</section>')


def table(head: Sequence[str], rows: Sequence[Sequence[object]], kind: str = "") -> Markup:
    """Return a table; the first column names the row, the others are right-aligned figures.

    A column of words (see `Cell`) has its head to the left, too.
    """
    first = rows[0] if rows else ()
    words = [isinstance(each, Cell) and each.meaning == "words" for each in first]
    words += [False] * (len(head) - len(words))
    top = Markup("".join(map(_head, head, words)))
    body = Markup("\n".join(_row(row) for row in rows))
    inside = join(element("thead", element("tr", top)), element("tbody", body))
    return element("div", element("table", inside, kind), "scroll")


def _head(name: str, words: bool) -> str:
    kind = ' class="words"' if words else ""
    return f'<th scope="col"{kind}>{text(name)}</th>'


def _row(row: Sequence[object]) -> str:
    cells = [f'<th scope="row">{text(row[0])}</th>']
    for value in row[1:]:
        cell = value if isinstance(value, Cell) else Cell(value)
        cells.append(element("td", cell.text, cell.meaning))
    return element("tr", Markup("".join(cells)))


def picture(source: str, alternative: str) -> Markup:
    """Return a picture; ``alternative`` says in words what it shows."""
    return element(
        "figure", Markup(f'<img src="{html.escape(source)}" alt="{html.escape(alternative)}">')
    )


def number(value: float | None, digits: int = 3, unit: str = "") -> str:
    """Return a figure with so many significant digits; a dash where it cannot be told."""
    if value is None:
        return DASH
    if abs(value) < _NOTHING:
        value = 0.0
    shown = f"{value:.{digits}g}" if abs(value) < 10**digits else f"{value:.0f}"
    return f"{shown}{_SPACE}{unit}".rstrip().replace("-", _MINUS)


def percent(share: float | None) -> str:
    """Return a share in percent; a dash where it cannot be told."""
    if share is None:
        return DASH
    if 0.0 < abs(share) < 0.0001:
        return f"{'<' if share > 0 else f'>{_MINUS}'}0.01{_SPACE}%"
    return f"{share:.2%}".replace("%", f"{_SPACE}%").replace("-", _MINUS)


def short_names(joints: Sequence[str]) -> tuple[str, ...]:
    """Return names for the heads of columns: without the words that all joints begin with.

    One of them stays where next to nothing would be left: ``lbr_iiwa_joint_1`` is ``joint_1``.
    """
    words = [name.split("_") for name in joints]
    common = 0
    while len(joints) > 1 and all(
        len(each) > common + 1 and each[common] == words[0][common] for each in words
    ):
        common += 1
    if common and min(len("_".join(each[common:])) for each in words) < _SHORTEST:
        common -= 1
    return tuple("_".join(each[common:]) for each in words)
