# SPDX-License-Identifier: Apache-2.0
"""Checks the built site: `python -m tools.docs.check_site site [--elsewhere]`.

Every link, picture and anchor inside it must lead somewhere, nothing may be loaded from elsewhere,
and no mark of Markdown may be left in the text. With ``--elsewhere`` links to other sites are
tried, too.
"""

from __future__ import annotations

import argparse
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

_LOADS = {"script": "src", "img": "src", "link": "href", "source": "src", "iframe": "src"}
_VERBATIM = (
    "pre",
    "code",
    "script",
    "style",
    "title",
    "h2",
    "h3",
    "h4",
)  # `1. Record` is a heading
_LEFT_OVER = {
    "a list": re.compile(r"\n\s*([-*]|\d+\.) \S"),
    "a table": re.compile(r"\|\s*:?-{3,}"),
    "a fence": re.compile(r"```"),
    "a link": re.compile(r"\]\("),
    "emphasis": re.compile(r"(?<!\w)\*\*\w"),
    "a formula": re.compile(r"\$`"),
}
_TIMEOUT_S = 20.0
_BLOCKS = ("p", "li", "td", "th", "dd", "dt", "h1", "h2", "h3", "h4", "div")


class Page(HTMLParser):
    """One page: its anchors, its links, what it loads, and the text of its article."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.text: list[str] = [""]
        self._article = 0
        self._verbatim = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what the tag names."""
        values = {name: value or "" for name, value in attrs}
        if "id" in values:
            self.anchors.add(values["id"])
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if tag in _LOADS and (address := values.get(_LOADS[tag])):
            self.loaded.append(address)
        self._article += tag == "article"
        self._verbatim += tag in _VERBATIM
        if tag in _BLOCKS:
            self.text.append("")

    def handle_endtag(self, tag: str) -> None:
        """Note where an article or a code block ends."""
        self._article -= tag == "article"
        self._verbatim -= tag in _VERBATIM

    def handle_data(self, data: str) -> None:
        """Keep the text that people read."""
        if self._article and not self._verbatim:
            self.text[-1] += data


def mistakes(site: Path) -> list[str]:
    """What is wrong with a built site, a sentence each."""
    files = sorted(site.rglob("*.html"))
    pages = {file: Page(file.read_text(encoding="utf-8")) for file in files}
    found = []
    for file, page in pages.items():
        name = file.relative_to(site)
        found += [f"{name}: {each}" for each in _dead(site, file, page, pages)]
        found += [
            f"{name}: {what} is left in the text: {text.strip()[:80]!r}"
            for text in page.text
            for what, mark in _LEFT_OVER.items()
            if mark.search(text)
        ]
    return found


def _dead(site: Path, file: Path, page: Page, pages: dict[Path, Page]) -> Iterator[str]:
    for link in page.loaded:
        if urlsplit(link).netloc:
            yield f"{link} is loaded from elsewhere"
    for link in (*page.links, *page.loaded):
        parts = urlsplit(link)
        if parts.scheme in ("http", "https"):
            if "." not in parts.netloc and not parts.netloc.startswith("localhost"):
                yield f"{link} is no address"
            continue
        if parts.scheme in ("data", "mailto"):
            continue
        if parts.scheme:
            yield f"{link} is no link for a page"
            continue
        target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
        if file.name == "404.html":
            target = site / unquote(parts.path).lstrip("/") if parts.path else file
        if target.is_dir():
            target /= "index.html"
        if not target.exists():
            yield f"{link} leads nowhere"
        elif parts.fragment and target in pages:
            anchor = unquote(parts.fragment)
            if anchor not in pages[target].anchors and not anchor.startswith("__"):
                yield f"{link} has no such heading"


def elsewhere(site: Path) -> list[str]:
    """Links of a built site to others."""
    links = {
        link.partition("#")[0]
        for file in site.rglob("*.html")
        for link in Page(file.read_text(encoding="utf-8")).links
        if urlsplit(link).scheme in ("http", "https")
    }
    return sorted(links)


def _answer(link: str) -> str:
    """What is wrong with a link, as the other site has it; empty: it is there."""
    request = urllib.request.Request(link, headers={"User-Agent": "sac_ros docs-links"})
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S):
            return ""
    except urllib.error.HTTPError as error:
        # Some sites answer programs so, and people otherwise.
        return "" if error.code in (403, 405, 429) else f"{link}: {error.code}"
    except (OSError, ValueError) as error:
        return f"{link}: {error}"


def main() -> int:
    """Print what is wrong; returns 1 where something is."""
    parser = argparse.ArgumentParser(prog="check_site", description="Check the built site.")
    parser.add_argument("site", type=Path, help="its folder")
    parser.add_argument("--elsewhere", action="store_true", help="try links to other sites")
    options = parser.parse_args()
    found = mistakes(options.site.resolve())
    if options.elsewhere:
        with ThreadPoolExecutor(8) as pool:
            found += [each for each in pool.map(_answer, elsewhere(options.site)) if each]
    print("".join(f"{each}\n" for each in found), end="", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
