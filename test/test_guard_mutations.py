# SPDX-License-Identifier: Apache-2.0
"""tools/mutate_guards.py can still take every guard away; that tests notice is its own business."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
sys.path.append(str(ROOT / "tools"))

from guard_mutations import MUTATIONS, Mutation
from mutate_guards import mutated


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.guard)
def test_each_mutation_finds_its_guard_and_leaves_valid_code(mutation: Mutation) -> None:
    ast.parse(mutated(mutation, ROOT))
    assert all((ROOT / test).is_file() for test in mutation.tests)


def test_a_mutation_whose_guard_is_not_there_says_so() -> None:
    with pytest.raises(ValueError, match="must stand once in sac_ros/policy/safety.py"):
        mutated(Mutation("none", "policy/safety.py", "no such line", ""), ROOT)
