# SPDX-License-Identifier: Apache-2.0
"""Shapes in docstrings, such as [n][2], are no links; see `extensions` in mkdocs.yml."""

from __future__ import annotations

from typing import Any

import griffe


class Shapes(griffe.Extension):
    """Escapes what Markdown would take for a link."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Called for every module, class, function and attribute."""
        if obj.docstring:
            obj.docstring.value = escaped(obj.docstring.value)


def escaped(text: str) -> str:
    """The text with its shapes escaped."""
    return text.replace("][", "]\\[")
