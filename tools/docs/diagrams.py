# SPDX-License-Identifier: Apache-2.0
"""Mermaid diagrams as pictures, so that the site loads no script from elsewhere.

`make diagrams` draws in Chromium what has no picture yet, and removes pictures that no page needs.
Mermaid comes from npm, once for each change of a diagram; the site is built without it.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "docs" / "images" / "diagrams"

_SOURCE = re.compile(r"^```mermaid\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PACKAGE = "mermaid@11.17.2"
_OPTIONS = {"startOnLoad": False, "theme": "neutral", "htmlLabels": False}


def picture_of(source: str) -> Path:
    """Where the picture of a diagram is, which its text names: a changed text needs another."""
    return PICTURES / f"{hashlib.sha256(source.strip().encode()).hexdigest()[:12]}.svg"


def sources() -> list[str]:
    """The diagrams of all pages."""
    return [
        source
        for page in sorted((ROOT / "docs").rglob("*.md"))
        for source in _SOURCE.findall(page.read_text(encoding="utf-8"))
    ]


def _mermaid(folder: Path) -> str:
    """The script, from npm."""
    subprocess.run(["npm", "pack", "--silent", _PACKAGE], cwd=folder, check=True)
    (archive,) = folder.glob("*.tgz")
    with tarfile.open(archive) as package:
        script = package.extractfile("package/dist/mermaid.min.js")
        assert script is not None
        return script.read().decode()


def main() -> int:
    """Draw what is missing; returns the exit code."""
    sys.path.insert(0, str(ROOT / "test" / "support"))
    from browser import Browser  # noqa: PLC0415 - a helper of the tests

    needed = {picture_of(source): source for source in sources()}
    for path in PICTURES.glob("*.svg"):
        if path not in needed:
            path.unlink()
    missing = {path: source for path, source in needed.items() if not path.exists()}
    if not missing:
        return 0
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, Browser(Path(folder) / "profile") as browser:
        page = Path(folder) / "page.html"
        script = _mermaid(Path(folder))
        page.write_text(f"<meta charset=utf-8><body><script>{script}</script>")
        browser.open(page.as_uri())
        browser.run(f"mermaid.initialize({json.dumps(_OPTIONS)})")
        for number, (path, source) in enumerate(missing.items()):
            drawing = browser.run(
                f"mermaid.render('d{number}', {json.dumps(source)}).then(each => each.svg)"
            )
            path.write_text(_with_background(drawing), encoding="utf-8")
            print(path.relative_to(ROOT))
    return 0


def _with_background(drawing: str) -> str:
    """A picture that can be read on a dark page, too."""
    return drawing.replace("<style>", "<style>svg{background:#fff}", 1) + "\n"


if __name__ == "__main__":
    sys.exit(main())
