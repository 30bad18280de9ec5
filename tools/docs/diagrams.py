# SPDX-License-Identifier: Apache-2.0
"""Mermaid diagrams as pictures, so that the site loads no script from elsewhere.

`python -m tools.docs.diagrams mermaid.min.js` draws in Chromium what has no picture yet, and
removes pictures that no page needs. The script is in the npm package: `npm pack mermaid@11`.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "docs" / "images" / "diagrams"

_SOURCE = re.compile(r"^```mermaid\n(.*?)^```$", re.MULTILINE | re.DOTALL)
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


def main(arguments: list[str]) -> int:
    """Draw what is missing; returns the exit code."""
    if len(arguments) != 1:
        print("usage: python -m tools.docs.diagrams mermaid.min.js", file=sys.stderr)
        return 2
    sys.path.insert(0, str(ROOT / "test" / "support"))
    from browser import Browser  # noqa: PLC0415 - a helper of the tests

    needed = {picture_of(source): source for source in sources()}
    for path in PICTURES.glob("*.svg"):
        if path not in needed:
            path.unlink()
    missing = {path: source for path, source in needed.items() if not path.exists()}
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, Browser(Path(folder) / "profile") as browser:
        page = Path(folder) / "page.html"
        script = Path(arguments[0]).read_text(encoding="utf-8")
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
    sys.exit(main(sys.argv[1:]))
