# SPDX-License-Identifier: Apache-2.0
"""The commands that pages tell their readers to type."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(r"^\s*(`{3,})\s*(\w*)\s*$")
_ITEM = re.compile(r"^\s*([-*+]|\d+\.)\s")
_SHELLS = ("sh", "bash", "shell", "console")
_INSIDE = re.compile(r"\$\(([^()]*)\)")
_ASSIGNMENT = re.compile(r"^\w+=")
_APART = re.compile(r"[;&|]+")
_PLACEHOLDER = re.compile(r"…|^\$R$|\b(?<![$/])[A-Z]{2,}\b(?!=)|\bN\b")
_WORDS = ("do", "done", "then", "fi")

BIN = ".venv/bin/"
"""Where `make setup` puts programs."""

SUBSTITUTED = "$SUBSTITUTED"
"""What stands in the place of ``$(a command)`` in the command around it."""


@dataclass(frozen=True)
class Command:
    """One simple command of a page.

    Attributes:
        page: the page's name.
        words: program and arguments, without quotes and without variables that are set for it.
    """

    page: str
    words: tuple[str, ...]

    @property
    def text(self) -> str:
        return " ".join(self.words)

    def __str__(self) -> str:
        return f"{self.page}: {self.text}"


def blocks(text: str) -> Iterator[tuple[str, list[str]]]:
    """Language and lines of every code block; the language of an indented one is empty."""
    fence, language, block = "", "", []
    indented, in_list, before = False, False, ""
    for line in text.splitlines():
        found = _FENCE.match(line)
        if fence:
            if found and found[1] == fence and not found[2]:
                yield language, block
                fence, block = "", []
            else:
                block.append(line)
            before = ""
            continue
        is_code = line.startswith("    ") and (indented or not before or before.startswith("#"))
        if found and not indented:
            fence, language = found[1], found[2] or "text"
            continue
        if is_code and not in_list:
            indented = True
            block.append(line[4:])
            continue
        if indented and line.strip():
            yield "", block
            indented, block = False, []
        elif indented:
            block.append("")
            continue
        if line.strip() and not line.startswith(" "):
            in_list = bool(_ITEM.match(line))
        before = line
    if indented:
        yield "", block


def commands(page: Path, name: str) -> list[Command]:
    """Every simple command in the shell blocks of a page, in order."""
    found = []
    for language, lines in blocks(page.read_text(encoding="utf-8")):
        if language in ("", *_SHELLS):
            for text in _whole(lines):
                found += [Command(name, tuple(words)) for words in _simple(text)]
    return found


def mentioned(page: Path, name: str, programs: Collection[str]) -> list[Command]:
    """The commands of these programs that stand between backticks in a page's text.

    Those that are no whole commands are left out: a program's name alone, one with ``…``, one with
    a NAME in capitals that the reader fills in, and one that is no more than an option.
    """
    text = re.sub(r"(?ms)^\s*```.*?^\s*```", "", page.read_text(encoding="utf-8"))
    found = []
    for code in re.findall(r"`([^`]+)`", text):
        if code.split()[0].removeprefix(BIN) not in programs:
            continue
        for words in split(" ".join(code.split())):
            whole = len(words) > (3 if words[0] == "ros2" else 1) and not words[-1].startswith("-")
            whole = whole and not (len(words) == 3 and words[1].startswith("--"))
            if whole and not any(_PLACEHOLDER.search(word) for word in words):
                found.append(Command(name, tuple(words)))
    return found


def split(text: str) -> list[list[str]]:
    """The words of every simple command in a line of shell."""
    return list(_simple(text))


def _whole(lines: list[str]) -> Iterator[str]:
    """Commands that go over several lines, in one piece each."""
    text = ""
    for line in lines:
        text += line.removesuffix("\\") if line.endswith("\\") else f"{line}\n"
        if line.endswith("\\") or _is_open(text):
            continue
        if text.strip():
            yield text
        text = ""
    if text.strip():
        yield text


def _is_open(text: str) -> bool:
    if text.lstrip().startswith("for "):
        return not text.rstrip().endswith("done")
    try:
        shlex.split(text, comments=True)
    except ValueError:
        return True
    return False


def _simple(text: str) -> Iterator[list[str]]:
    for inside in _INSIDE.findall(text):
        yield from _simple(inside)
    words: list[str] = []
    lexer = shlex.shlex(
        _one_line(_INSIDE.sub(SUBSTITUTED, text)), posix=True, punctuation_chars=";&|"
    )
    lexer.whitespace_split, lexer.commenters = True, ""
    for word in [*lexer, ";"]:
        if _APART.fullmatch(word) or word in _WORDS:
            if words := _bare(words):
                yield words
            words = []
        else:
            words.append(word)


def _one_line(text: str) -> str:
    """Shell without its comments, each line's end as a semicolon; in quotes everything stays."""
    quote, comment, out = "", False, ""
    for letter in text:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'" and not comment:
            quote = letter
        elif letter == "\n":
            comment = False
            out += " ; "
            continue
        elif letter == "#" and (not out or out[-1].isspace()):
            comment = True
        out += "" if comment else letter
    return out


def _bare(words: list[str]) -> list[str]:
    """Without variables that are set for the command, and without where its output goes."""
    if words and words[0] == "for":
        return []
    if ">" in words:
        words = words[: words.index(">")]
    while words and _ASSIGNMENT.match(words[0]):
        words = words[1:]
    return words
