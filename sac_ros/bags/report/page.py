# SPDX-License-Identifier: Apache-2.0
"""``report.html``: one file with its plots inside, for a colleague, a browser or a printer."""

from __future__ import annotations

from pathlib import Path

from sac_ros.bags.report import facts, overview, sections
from sac_ros.bags.report.html import Markup, element, join, text
from sac_ros.bags.report.plots import Series
from sac_ros.bags.result import OPEN_LOOP, Evaluation
from sac_ros.utils.atomic_write import whole_file

REPORT_FILE = "report.html"
"""The name of the file in an evaluation's folder."""

_CONTENTS = (
    ("verdict", "In words"),
    ("overview", "At a glance"),
    ("recording", "Recording"),
    ("torques", "Torques"),
    ("errors", "Error"),
    ("limits", "Limits"),
    ("safety", "Safety filter"),
    ("coverage", "Coverage"),
    ("timing", "Lag and latency"),
    ("smoothness", "Smoothness"),
    ("provenance", "How it was made"),
)

# No script and nothing from elsewhere: the page works from a mail and in ten years. The policy
# says so to the browser, since names in the page come from bags that others made.
_HEAD = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" \
content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{title}</title>
<link rel="icon" href="data:,">
<style>
{style}</style>
</head>
<body>
"""


def report_html(evaluation: Evaluation, series: Series) -> str:
    """Return the page; the same for the same evaluation.

    Args:
        evaluation: every figure.
        series: the arrays of `sac_ros.bags.series`.
    """
    names = ", ".join(model.label for model in evaluation.models)
    bags = ", ".join(Path(bag.path).name for bag in evaluation.bags)
    title = f"{names} on {bags}"
    contents = Markup(" ".join(f'<a href="#{anchor}">{words}</a>' for anchor, words in _CONTENTS))
    body = join(
        element("h1", title),
        element("p", ", ".join(bag.path for bag in evaluation.bags), "sub"),
        element("p", OPEN_LOOP, "note"),
        element("nav", contents),
        overview.in_words(evaluation),
        facts.warnings(evaluation),
        overview.overview(evaluation),
        facts.recording(evaluation),
        sections.torques(evaluation, series),
        sections.errors(evaluation, series),
        sections.limits(evaluation, series),
        sections.safety(evaluation),
        sections.coverage(evaluation),
        sections.timing(evaluation, series),
        sections.smoothness(evaluation, series),
        facts.provenance(evaluation),
    )
    style = Path(__file__).with_name("style.css").read_text(encoding="utf-8")
    head = _HEAD.format(title=text(title), style=style)
    return f"{head}{body}\n</body>\n</html>\n"


def save_report(evaluation: Evaluation, series: Series, folder: Path) -> Path:
    """Write ``report.html`` into an existing folder, whole or not at all; return its path."""
    path = folder / REPORT_FILE
    with whole_file(path) as partial:
        partial.write_text(report_html(evaluation, series), encoding="utf-8")
    return path
