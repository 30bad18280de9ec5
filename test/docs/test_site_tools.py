# SPDX-License-Identifier: Apache-2.0
"""What makes the documentation site from the pages, without MkDocs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.docs.check_site import mistakes
from tools.docs.github_markdown import for_mkdocs
from tools.docs.launch_arguments import launch_arguments

markdown = pytest.importorskip("markdown", reason="tensorboard brings it: an extra")

ROOT = Path(__file__).parents[2]


def html(text: str) -> str:
    page = for_mkdocs(text, lambda source: f"![drawn]({len(source)}.svg)")
    return str(markdown.markdown(page, extensions=["tables", "fenced_code"])).replace("\n", "")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("text\n- a\n- b", "<p>text</p><ul><li>a</li><li>b</li></ul>"),
        ("text\n1. a\n   more\n2. b", "<p>text</p><ol><li>a    more</li><li>b</li></ol>"),
        ("- a\n  - b\n- c", "<ul><li>a<ul><li>b</li></ul></li><li>c</li></ul>"),
        ("1. a\n\n   b", "<ol><li><p>a</p><p>b</p></li></ol>"),
        ("text\n| a |\n|---|\n| b |", "<p>text</p><table>"),
        ("## Title\n    code", "<h2>Title</h2><pre><code>code</code></pre>"),
        ("```mermaid\nflow\n```", '<p><img alt="drawn" src="4.svg" /></p>'),
        ("text\n```\n- no item\n```\ntext", "<p>text</p><pre><code>- no item</code></pre><p>text"),
    ],
)
def test_a_page_for_github_is_shown_alike(text: str, shown: str) -> None:
    assert html(text).startswith(shown)


def test_the_checker_of_the_site_finds_what_is_dead(tmp_path: Path) -> None:
    (tmp_path / "other.html").write_text('<h2 id="here">x</h2>')
    (tmp_path / "index.html").write_text(
        '<article><a href="other.html#here">good</a><a href="gone.html">1</a>'
        '<a href="other.html#gone">2</a><img src="gone.png"><a href="http://elsewhere">3</a>'
        '<script src="https://cdn.example/x.js"></script><p>text\n- a list</p></article>'
    )
    found = mistakes(tmp_path)
    for part in ("gone.html", "#gone", "gone.png", "http://elsewhere", "cdn.example", "a list"):
        assert sum(part in each for each in found) == 1, part
    assert len(found) == 6


def test_the_arguments_of_a_launch_file_are_read_without_launch() -> None:
    arguments = launch_arguments()["deploy.launch.py"]
    assert arguments["sim"].choices == ("true", "false")
    assert arguments["model"].default_value.endswith("iiwa_reach.onnx")
    assert "torque" in arguments["torque_scale"].description
    assert launch_arguments().keys() == {file.name for file in ROOT.glob("launch/*.launch.py")}
