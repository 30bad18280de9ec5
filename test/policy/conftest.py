# SPDX-License-Identifier: Apache-2.0
"""The order in which `make mutation` runs the tests; in others they have their own."""

from __future__ import annotations

import os

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """First the tests of the module that mutmut has changed, last those that play sequences."""
    mutant = os.environ.get("MUTANT_UNDER_TEST", "").split(".")
    if len(mutant) < 4:
        return
    name = mutant[3] if mutant[2] in ("detectors", "strategies") else mutant[2]
    module = {"json_fields": "spec"}.get(name, name)
    items.sort(key=lambda item: (module not in item.path.stem, "always" in item.path.stem))
