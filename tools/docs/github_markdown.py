# SPDX-License-Identifier: Apache-2.0
"""Pages written for GitHub become what Python-Markdown, which MkDocs uses, shows alike.

GitHub lets a list, a table or a code block follow a line of text without an empty line, indents
what belongs to a list item by the width of its marker, and has its own marks for formulas.
"""

from __future__ import annotations

import re
from collections.abc import Callable

INDENT = 4  # columns, by which Python-Markdown nests

_FENCE = re.compile(r"^(\s*)(`{3,}|~{3,})\s*([\w-]*)(.*)$")
_ITEM = re.compile(r"^(\s*)([-*+]|\d+\.)(\s+)(?=\S)")
_MATH = re.compile(r"\$`([^`]+)`\$")

Diagram = Callable[[str], str]


def for_mkdocs(text: str, diagram: Diagram) -> str:
    """Return a page as Python-Markdown takes it.

    Args:
        text: the page, in GitHub's Markdown.
        diagram: returns what stands in the place of a Mermaid diagram, given its source.
    """
    return "\n".join(_Page(text.splitlines(), diagram).lines()) + "\n"


def _mathml(formula: str, display: str) -> str:
    from latex2mathml.converter import convert  # noqa: PLC0415 - of the extra docs

    return str(convert(formula, display=display))


class _Page:
    """One pass over the lines of a page; the open list items are on a stack."""

    def __init__(self, lines: list[str], diagram: Diagram) -> None:
        self._in = lines
        self._out: list[str] = []
        self._items: list[int] = []  # the column at which each open item's text begins
        self._diagram = diagram

    def lines(self) -> list[str]:
        at = 0
        while at < len(self._in):
            line = self._in[at]
            if fence := _FENCE.match(line):
                at = self._fence(at, fence)
                continue
            self._line(line)
            at += 1
        return self._out

    def _line(self, line: str) -> None:
        if not line.strip():
            self._out.append("")
            return
        item = _ITEM.match(line)
        if item is None and not line.startswith(" ") and self._previous_is_empty():
            self._items = []
        if item is not None and self._is_code(line):
            item = None
        if item is not None:
            self._item(line, item)
            return
        text = _MATH.sub(lambda found: _mathml(found[1], "inline"), line)
        starts_block = line.startswith(("#", "|", "!["))
        if starts_block and not self._previous_is_like(line[0]):
            self._separate()
        if self._out and self._out[-1].startswith("#"):
            self._separate()
        self._out.append(self._indented(text))

    def _item(self, line: str, item: re.Match[str]) -> None:
        column = len(item[1])
        while self._items and column < self._items[-1]:
            self._items.pop()
        if not self._items and not self._inside_list():
            self._separate()
        depth = len(self._items)
        self._items.append(len(item[0]))
        text = _MATH.sub(lambda found: _mathml(found[1], "inline"), line[len(item[0]) :])
        self._out.append(f"{' ' * (INDENT * depth)}{item[2]} {text}")

    def _fence(self, at: int, fence: re.Match[str]) -> int:
        """Copy a fenced block, or replace it; returns the line after it."""
        end = at + 1
        while end < len(self._in) and not re.match(rf"^\s*{fence[2]}\s*$", self._in[end]):
            end += 1
        width = len(fence[1])
        body = [
            line[min(width, len(line) - len(line.lstrip())) :] for line in self._in[at + 1 : end]
        ]
        if not width:
            self._items = []
        self._separate()
        if fence[3] == "mermaid":
            block = [self._diagram("\n".join(body))]
        elif fence[3] == "math":
            block = [_mathml("\n".join(body), "block")]
        else:
            block = [f"{fence[2]}{fence[3]}{fence[4]}", *body, fence[2]]
        indent = " " * (INDENT * self._depth(width))
        self._out += [f"{indent}{line}" if line else "" for line in block]
        self._out.append("")
        return end + 1

    def _indented(self, line: str) -> str:
        column = len(line) - len(line.lstrip())
        depth = self._depth(column)
        if not depth:
            return line
        return " " * (INDENT * depth + column - self._items[depth - 1]) + line.lstrip()

    def _depth(self, column: int) -> int:
        return sum(column >= each for each in self._items)

    def _is_code(self, line: str) -> bool:
        column = len(line) - len(line.lstrip())
        return not self._items and column >= INDENT

    def _separate(self) -> None:
        if self._out and self._out[-1]:
            self._out.append("")

    def _previous_is_empty(self) -> bool:
        return not self._out or not self._out[-1]

    def _previous_is_like(self, mark: str) -> bool:
        return bool(self._out) and mark == "|" and self._out[-1].startswith("|")

    def _inside_list(self) -> bool:
        """Whether the text before belongs to an item, whose list goes on."""
        for line in reversed(self._out):
            if not line:
                return False
            if _ITEM.match(line):
                return True
        return False
