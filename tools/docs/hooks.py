# SPDX-License-Identifier: Apache-2.0
"""What MkDocs calls while it builds the site; see `hooks` in mkdocs.yml.

Pages stay as GitHub shows them. Here they become what MkDocs takes: links to files outside docs/
lead to pages of the site, and the reference pages are made.
"""

from __future__ import annotations

import os
import posixpath
import re
import sys
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tools.docs.diagrams import PICTURES, picture_of  # noqa: E402 - needs the path above
from tools.docs.github_markdown import for_mkdocs  # noqa: E402
from tools.docs.reference import reference_pages  # noqa: E402

ROOT_PAGES = ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "QUALITY_DECLARATION.md")
"""Pages outside docs/ that are part of the site, where they are there."""

_LINK = re.compile(r"(?<=\]\()([^()\s]+)(?=[)\s])")
_CODE = re.compile(r"(^```.*?^```|`[^`\n]*`)", re.MULTILINE | re.DOTALL)
_LANGUAGES = {".py": "python", ".yaml": "yaml", ".json": "json", ".xml": "xml", ".urdf": "xml"}
_LONGEST = 200_000  # characters of a file that becomes a page


class _Site:
    """Where the files of the repository are in the site, and the pages that are still to add."""

    def __init__(self) -> None:
        self.sources: dict[str, str] = {}  # path in the site → path in the repository

    def page_of(self, path: str) -> str:
        """Path in the site of a file of the repository."""
        if path.startswith("docs/"):
            return path.removeprefix("docs/")
        if path == "README.md":
            return "index.md"
        if path == "SECURITY.md":  # docs/security.md is another page
            return "security_policy.md"
        if path in ROOT_PAGES:
            # docs/security.md is another page than SECURITY.md.
            name = path.lower()
            return f"project_{name}" if (ROOT / "docs" / name).exists() else name
        if path.startswith("models/") and path.endswith(".md"):
            return path
        return f"files/{path.lstrip('.')}.md"  # MkDocs leaves hidden files out


_site = _Site()


def on_files(files: Files, config: Any) -> Files:
    """Add the pages from outside docs/, the files that pages link to, and the reference."""
    pages = [(f"docs/{each.src_uri}", each.src_uri) for each in files.documentation_pages()]
    for path in (*ROOT_PAGES, *(f"models/{each.name}" for each in ROOT.glob("models/*.md"))):
        if (ROOT / path).exists():
            _add(files, config, path, (ROOT / path).read_text(encoding="utf-8"))
            pages.append((path, _site.page_of(path)))
    made = reference_pages()
    for source, page in pages:
        text = (ROOT / source).read_text(encoding="utf-8")
        for linked in _linked_files(text, source):
            if files.get_file_from_path(_site.page_of(linked)) is None:
                _add(files, config, linked, _file_page(linked))
        _site.sources[page] = source
    for page, text in made.items():
        for linked in re.findall(r"\(repo:([^)]+)\)", text):
            if files.get_file_from_path(_site.page_of(linked)) is None:
                _add(files, config, linked, _file_page(linked))
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Make a page of the repository one of the site."""
    uri = page.file.src_uri
    if uri.startswith("reference/"):
        return re.sub(
            r"\(repo:([^)]+)\)",
            lambda found: f"({_relative(_site.page_of(found[1]), uri)})",
            markdown,
        )
    if uri.startswith("files/"):
        return markdown
    source = _site.sources.get(uri)
    if source is None:
        return markdown

    def link(found: re.Match[str]) -> str:
        path, _, anchor = found[1].partition("#")
        target = _target(path, source)
        if target is None:
            return found[1]
        return _relative(_site.page_of(target), uri) + (f"#{anchor}" if anchor else "")

    parts = _CODE.split(markdown)
    parts[::2] = [_LINK.sub(link, text) for text in parts[::2]]
    return for_mkdocs("".join(parts), lambda diagram: _diagram(diagram, uri))


def on_post_build(config: Any, **_: Any) -> None:
    """Let the search work without a server, too: a page from a disk may load no JSON."""
    index = Path(config.site_dir) / "search" / "search_index.json"
    text = index.read_text(encoding="utf-8")
    index.with_suffix(".js").write_text(f"var __index = {text}", encoding="utf-8")


def _add(files: Files, config: Any, path: str, text: str) -> None:
    files.append(File.generated(config, _site.page_of(path), content=text))


def _linked_files(text: str, source: str) -> list[str]:
    """Files outside docs/ to which a page links, as paths in the repository."""
    prose = "".join(_CODE.split(text)[::2])
    targets = [_target(link.partition("#")[0], source) for link in _LINK.findall(prose)]
    return sorted({each for each in targets if each and not each.startswith("docs/")})


def _target(link: str, source: str) -> str | None:
    """The file of the repository that a link of a page leads to, None where it leads to none."""
    if not link or "://" in link or link.startswith(("mailto:", "/")):
        return None
    path = posixpath.normpath(posixpath.join(posixpath.dirname(source), unquote(link)))
    if path.startswith("..") or not (ROOT / path).exists():
        return None  # MkDocs names what is dead
    return path


def _relative(page: str, uri: str) -> str:
    return posixpath.relpath(page, posixpath.dirname(uri) or ".")


def _file_page(path: str) -> str:
    """A page with the text of a file, or the list of a folder."""
    file = ROOT / path
    if file.is_dir():
        listed = "\n".join(f"- `{each.name}`" for each in sorted(file.iterdir()))
        return f"# {path}/\n\n{listed}\n"
    text = file.read_text(encoding="utf-8")
    if len(text) > _LONGEST:
        raise PluginError(f"{path}: too long to be a page of the site")
    if path.endswith(".md"):
        return text
    language = _LANGUAGES.get(PurePosixPath(path).suffix, "text")
    return f"# {path}\n\n``````{language}\n{text.rstrip()}\n``````\n"


def _diagram(source: str, uri: str) -> str:
    picture = picture_of(source)
    if not picture.exists():
        raise PluginError(f"{uri}: a diagram has changed and has no picture yet: make diagrams")
    inside = picture.relative_to(PICTURES.parents[1]).as_posix()
    path = os.path.relpath(inside, posixpath.dirname(uri) or ".")
    return f"![Diagram]({path})"
