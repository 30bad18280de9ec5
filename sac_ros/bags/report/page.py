# SPDX-License-Identifier: Apache-2.0
"""``report.html``: one file with its plots inside, for a colleague, a browser or a printer."""

from __future__ import annotations

from pathlib import Path

from sac_ros.bags.report import facts, overview, sections
from sac_ros.bags.report.html import Markup, element, join, text
from sac_ros.bags.report.plots import Series
from sac_ros.bags.result import OPEN_LOOP, Evaluation
from sac_ros.utils.atomic_write import atomic_write

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

_STYLE = """\
:root { --ink: #1e293b; --soft: #64748b; --line: #e2e8f0; --good: #047857; --bad: #b91c1c;
  --mind: #b45309; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.5rem 4rem; max-width: 62rem; color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", "Liberation Sans", Arial, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .3rem; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; margin: 2.6rem 0 .4rem; padding-top: .6rem;
  border-top: 2px solid var(--ink); }
h3 { font-size: 1rem; margin: 1.4rem 0 .3rem; }
p { margin: .4rem 0; }
.about, .sub { color: var(--soft); max-width: 48rem; }
.sub { overflow-wrap: anywhere; }
nav { margin: 1rem 0; font-size: .9rem; }
nav a { margin-right: .9rem; color: #1d4ed8; text-decoration: none; white-space: nowrap; }
.note { border-left: 4px solid var(--ink); background: #f1f5f9; padding: .6rem .9rem;
  margin: 1rem 0; font-weight: 600; }
.warnings { border-left: 4px solid #d97706; background: #fffbeb; padding: .4rem .9rem;
  margin: 1rem 0; overflow-wrap: anywhere; }
.warnings h2 { border: 0; margin: 0; padding: 0; font-size: 1rem; }
.warnings ul { margin: .2rem 0; padding-left: 1.1rem; }
.scroll { overflow-x: auto; margin: .7rem 0; }
table { border-collapse: collapse; font-size: .86rem; min-width: 60%; }
th, td { padding: .25rem .55rem .25rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top; }
thead th { color: var(--soft); font-weight: 600; text-align: right; vertical-align: bottom; }
thead th:first-child, tbody th { text-align: left; }
tbody th { font-weight: 600; }
td { text-align: right; font-variant-numeric: tabular-nums; }
thead th.words { text-align: left; }
td.words, table.words td { text-align: left; overflow-wrap: anywhere; }
tbody th { white-space: nowrap; }
table.paths tbody th { white-space: normal; overflow-wrap: anywhere; min-width: 14rem; }
table.words thead { display: none; }
ul.verdict { list-style: none; margin: .3rem 0; padding: 0; max-width: 52rem; }
ul.verdict li { padding: .1rem 0 .1rem 1.7rem; position: relative; }
ul.verdict b { position: absolute; left: 0; width: 1.2rem; text-align: center; }
li.good b, p.good { color: var(--good); }
li.mind b { color: var(--mind); }
li.bad b, p.bad { color: var(--bad); }
td.good { color: var(--good); font-weight: 600; }
td.bad { color: var(--bad); font-weight: 600; }
figure { margin: .8rem 0; }
img { display: block; width: 100%; height: auto; }
@media print {
  @page { size: A4; margin: 14mm; }
  body { max-width: none; padding: 0; font-size: 9.5pt; }
  nav { display: none; }
  .scroll { overflow: visible; }
  table { font-size: 7.2pt; min-width: 0; }
  th, td { padding-right: .4rem; }
  h2, h3, .about { break-after: avoid; }
  tr, figure, .note, .warnings { break-inside: avoid; }
  .note, .warnings { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
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
    head = _HEAD.format(title=text(title), style=_STYLE)
    return f"{head}{body}\n</body>\n</html>\n"


def save_report(evaluation: Evaluation, series: Series, folder: Path) -> Path:
    """Write ``report.html`` into an existing folder, whole or not at all; return its path."""
    path = folder / REPORT_FILE
    with atomic_write(path) as partial:
        partial.write_text(report_html(evaluation, series), encoding="utf-8")
    return path
