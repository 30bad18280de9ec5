# SPDX-License-Identifier: Apache-2.0
"""The pages name only what exists: files, tests, figures."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GENERATED = set(re.findall(r"reference/[\w/]+\.md", (ROOT / "mkdocs.yml").read_text()))
PAGES = sorted([*(ROOT / "docs").glob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"])


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_relative_link_of_a_page_leads_to_a_file(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8"))
    missing = [
        link
        for link in links
        if "://" not in link
        and link not in GENERATED  # when the site is built
        and not (page.parent / link).resolve().exists()
    ]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_test_that_a_page_names_exists(page: Path) -> None:
    named = re.findall(r"`(test_\w+)`", page.read_text(encoding="utf-8"))
    source = "\n".join(file.read_text() for file in (ROOT / "test").rglob("test_*.py"))
    assert [name for name in named if f"def {name}(" not in source] == []


def test_every_figure_of_the_losses_is_one_that_the_command_draws() -> None:
    plot_losses = pytest.importorskip("benchmarks.plot_losses", reason="not a source checkout")
    page = (ROOT / "docs" / "losses.md").read_text(encoding="utf-8")
    shown = re.findall(r"images/losses_(\w+)\.png", page)
    assert shown == list(plot_losses.FIGURES)


FIGURE = re.compile(r"(?<![\w.])\d[\d.,]* ?(?:%|mm|µs|MB|MiB)(?!\w)")
COMMAND = re.compile(
    r"make [a-z]+|python -m |pytest |evaluate_policy |evaluate_bag |identify_robot |reach_demo "
)
DESIGN_VALUES = 6  # figures that a section may have without a command: limits and settings


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_section_with_measured_figures_has_the_command_that_prints_them(page: Path) -> None:
    without = []
    above: dict[int, bool] = {}  # by the level of a heading: whether its section has a command
    for section in re.split(r"(?m)^(?=#{1,4} )", page.read_text(encoding="utf-8")):
        if not (heading := re.match(r"(#+) (.*)", section)):
            continue
        level = len(heading[1])
        above = {each: has for each, has in above.items() if 1 < each < level}
        figures = FIGURE.findall(re.sub(r"`[^`]*`", "", section))
        has = bool(COMMAND.search(section))
        if len(figures) > DESIGN_VALUES and not has and not any(above.values()):
            without.append(heading[2])
        above[level] = has
    assert without == []


def test_every_diagram_has_a_picture_for_the_site() -> None:
    from tools.docs.diagrams import PICTURES, picture_of, sources

    needed = {picture_of(source) for source in sources()}
    assert set(PICTURES.glob("*.svg")) == needed, "a diagram has changed: make diagrams"
