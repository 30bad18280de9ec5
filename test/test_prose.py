# SPDX-License-Identifier: Apache-2.0
"""The words of test/prose.yaml stay out of pages, docstrings, comments, messages, help texts."""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
PLACES = (
    "*.md",
    "docs/**/*.md",
    "models/*.md",
    ".github/**/*.md",
    "benchmarks/**/*.md",
    "benchmarks/**/*.py",
    "examples/**/*.py",
    "tools/**/*.py",
    "tools/*.sh",
    "Makefile",
    "package.xml",
    "setup.py",
    "config/**/*.yaml",
    "launch/*.py",
    "sac_ros/**/*.html",
    "sac_ros/**/*.py",
)
# Between backticks and in links stands code.
CODE = re.compile(r"`[^`\n]*`|\]\([^)\n]*\)|https?://\S+")
TEXTS = {tokenize.COMMENT, tokenize.STRING}
if hasattr(tokenize, "FSTRING_MIDDLE"):  # Python 3.12 and newer
    TEXTS.add(tokenize.FSTRING_MIDDLE)


@dataclass(frozen=True)
class Rule:
    """A word that is not written, and the better one; the fields are described in prose.yaml."""

    word: str
    better: str
    allow: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=lambda: ["*"])
    but_files: list[str] = field(default_factory=list)

    def is_for(self, name: str) -> bool:
        """Whether a file, by its path in the repository, has to follow the rule."""
        return any(fnmatch(name, each) for each in self.files) and not any(
            fnmatch(name, each) for each in self.but_files
        )

    def found(self, line: str) -> list[str]:
        """The words of a line that are against the rule."""
        for allowed in self.allow:
            line = re.sub(allowed, " ", line)
        return re.findall(rf"(?<!\w){self.word}(?!\w)", line)


LIST = yaml.safe_load((ROOT / "test" / "prose.yaml").read_text(encoding="utf-8"))
NAMES = [Rule(**{**each, "word": f"(?:{each['word']})"}) for each in LIST["names"]]
PROSE = [Rule(**{**each, "word": f"(?i:{each['word']})"}) for each in LIST["prose"]]
ANY_NAME, ANY_PROSE = (
    re.compile(rf"\b(?<!\w)(?:{'|'.join(rule.word for rule in rules)})(?!\w)")
    for rules in (NAMES, PROSE)
)


def prose_lines(text: str, python: bool) -> Iterator[tuple[int, str]]:
    """(number, line) of what is read as prose; of Python, comments and strings."""
    if not python:
        yield from ((i, CODE.sub(" ", line)) for i, line in enumerate(text.splitlines(), 1))
        return
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in TEXTS:
            for i, line in enumerate(token.string.splitlines(), token.start[0]):
                yield i, CODE.sub(" ", line)


def complaints(name: str, text: str) -> list[str]:
    """One line for each word of a file that is on the list."""
    suspects: list[tuple[list[Rule], list[tuple[int, str]]]] = []
    if ANY_NAME.search(text):
        suspects.append((NAMES, list(enumerate(text.splitlines(), 1))))
    if ANY_PROSE.search(text):
        suspects.append((PROSE, list(prose_lines(text, name.endswith(".py")))))
    return [
        f"{name}:{i}: {word!r}: {rule.better}"
        for rules, lines in suspects
        for rule in rules
        if rule.is_for(name)
        for i, line in lines
        for word in rule.found(line)
    ]


def test_no_page_docstring_comment_or_message_has_a_word_of_the_list() -> None:
    files = sorted({file for place in PLACES for file in ROOT.glob(place)})
    assert len(files) > 200
    found = [
        complaint
        for file in files
        for complaint in complaints(
            file.relative_to(ROOT).as_posix(), file.read_text(encoding="utf-8")
        )
    ]
    assert not found, "\n".join(["", *found, f"{len(found)} words; the list is test/prose.yaml"])


def test_a_word_of_the_list_is_reported_with_its_place_and_the_better_word() -> None:
    page = "# Title\n\nThe node tells the driver.\n"
    (found,) = complaints("docs/page.md", page)
    assert found.startswith("docs/page.md:3: 'tells': reports")
    (found,) = complaints("sac_ros/x.py", "barrier = velocity_barrier(1.0)\n")
    assert found == "sac_ros/x.py:1: 'velocity_barrier': torque_speed_envelope"


def test_code_is_no_prose() -> None:
    assert complaints("docs/page.md", "`say` and [a page](says.md)\n") == []
    assert complaints("sac_ros/x.py", "say = told  # `wants`\n") == []
    assert len(complaints("sac_ros/x.py", 'say = "told"  # wants\n')) == 2


def test_a_word_is_allowed_in_its_contexts_and_files() -> None:
    rule = Rule("wants", "needs", allow=["who wants"], files=["docs/*"], but_files=["docs/a.md"])
    assert rule.found("for those who wants it") == []
    assert rule.found("the driver wants it") == ["wants"]
    assert rule.is_for("docs/b.md")
    assert not rule.is_for("docs/a.md")
    assert not rule.is_for("sac_ros/b.py")
