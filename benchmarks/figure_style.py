# SPDX-License-Identifier: Apache-2.0
"""One look for every figure of the documentation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

INK = "#1e293b"
GREY = "#94a3b8"
BLUE = "#2563eb"
GREEN = "#059669"
ORANGE = "#ea8c0c"
RED = "#dc2626"  # kept for what is wrong

_DOTS_PER_INCH = 110
_COLOURS = 256

_Location: TypeAlias = Literal[
    "best", "upper left", "upper center", "upper right", "lower left", "lower right"
]


def panels(titles: Sequence[str], height: float = 3.4) -> tuple[Figure, list[Axes]]:
    """A figure with a panel side by side for each title, `height` inches high."""
    figure = Figure(figsize=(9.4, height), layout="constrained")
    axes = list(figure.subplots(1, len(titles), squeeze=False)[0])
    for each, title in zip(axes, titles, strict=True):
        each.set_title(title, loc="left", fontsize=10, color=INK, fontweight="bold")
        each.spines[["top", "right"]].set_visible(False)
        each.spines[["left", "bottom"]].set_color(GREY)
        each.tick_params(colors=INK, labelsize=8, length=3)
        each.xaxis.label.set(color=INK, fontsize=9)
        each.yaxis.label.set(color=INK, fontsize=9)
        each.grid(alpha=0.25, linewidth=0.6)
        each.set_axisbelow(True)
    figure.get_layout_engine().set(w_pad=0.08, wspace=0.04)  # type: ignore[union-attr, call-arg]
    return figure, axes


def legend(axes: Axes, location: _Location = "best", columns: int = 1) -> None:
    """A legend that does not draw attention to itself."""
    axes.legend(
        loc=location,
        ncols=columns,
        fontsize=8,
        labelcolor=INK,
        framealpha=0.85,
        edgecolor="none",
    )


def save(figure: Figure, path: Path) -> None:
    """Writes a PNG of few colours and without date or version: small, and the same every time."""
    canvas = FigureCanvasAgg(figure)
    figure.set_dpi(_DOTS_PER_INCH)
    canvas.draw()
    image = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    image.quantize(_COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
