# SPDX-License-Identifier: Apache-2.0
"""tools/mutate_guards.py can take every guard away; that tests notice, it finds out itself."""

from __future__ import annotations

import ast
import importlib
import re
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
sys.path.append(str(ROOT / "tools"))
MUTATIONS = importlib.import_module("guard_mutations").MUTATIONS
mutated = importlib.import_module("mutate_guards").mutated


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.guard)
def test_each_mutation_finds_its_guard_and_leaves_valid_code(mutation: Any) -> None:
    ast.parse(mutated(mutation, ROOT))
    assert all((ROOT / test).is_file() for test in mutation.tests)


def test_a_mutation_whose_guard_is_not_there_says_so() -> None:
    with pytest.raises(ValueError, match=re.escape("must stand once in sac_ros/policy/safety.py")):
        mutated(MUTATIONS[0]._replace(old="no such line"), ROOT)
