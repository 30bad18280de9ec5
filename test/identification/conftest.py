# SPDX-License-Identifier: Apache-2.0
"""One recording of an iiwa with hidden parameters, which nobody changes."""

from __future__ import annotations

import pytest

pytest.importorskip("mujoco", reason="mujoco is not installed: the extra mujoco brings it")

from excitation import HIDDEN, Drive, Run, run


@pytest.fixture(scope="session")
def hidden_run() -> Run:
    return run(Drive(world=HIDDEN.world()))
