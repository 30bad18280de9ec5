# SPDX-License-Identifier: Apache-2.0
"""Pages of one file, with their plots inside, for a colleague, a browser or a printer.

``base.html`` is the template of all of them, ``macros.html`` what they are made of, ``style.css``
their style, and ``plots.js`` draws their plots with uPlot, which is in the page.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from sac_ros.pages.format import number, percent

HERE = "sac_ros.pages"


def render(
    package: str,
    template: str,
    *,
    figures: str,
    filters: Mapping[str, Callable[..., Any]],
    **content: Any,
) -> str:
    """Returns the page of a template in `package` that extends ``base.html``.

    Args:
        package: where the template is.
        template: its name.
        figures: what `json_for_script` gave.
        filters: the template's own.
        content: what it is rendered with; `title` is the page's.
    """
    loader = ChoiceLoader([PackageLoader(package, ""), PackageLoader(HERE, "")])
    pages = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)
    pages.filters.update(number=number, percent=percent, digest=_digest, **filters)
    return pages.get_template(template).render(
        style=_own("uplot/uPlot.min.css", "style.css"),
        library=_own("uplot/uPlot.iife.min.js"),
        script=_own("plots.js"),
        figures=Markup(figures),
        **content,
    )


def _own(*names: str) -> Markup:
    """Returns files of this package, which the page takes as they are."""
    folder = Path(__file__).parent
    return Markup("\n".join((folder / name).read_text(encoding="utf-8") for name in names))


def _digest(text: str) -> Markup:
    """Returns the hash by which a browser accepts a script or style as the page's own."""
    sha256 = hashlib.sha256(text.encode()).digest()
    return Markup(f"'sha256-{base64.b64encode(sha256).decode()}'")
