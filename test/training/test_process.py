# SPDX-License-Identifier: Apache-2.0
"""The process that learns."""

from __future__ import annotations

import subprocess
import sys

import torch

from sac_ros.training.process import prepare_process

# Page faults of two megabytes in four arrays, allocated and freed a hundred times, each time.
FAULTS = """
import resource, torch
from sac_ros.training.process import prepare_process

prepare_process()
arrays = [torch.zeros(2**17) for _ in range(4)]
del arrays
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(100):
    arrays = [torch.ones(2**17) for _ in range(4)]
    del arrays
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / 100)
"""


def test_memory_that_an_update_frees_is_there_for_the_next_without_the_system() -> None:
    answer = subprocess.run(
        [sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True
    )
    assert float(answer.stdout) < 20.0  # of 512 pages


def test_the_learner_has_one_thread() -> None:
    prepare_process()
    assert torch.get_num_threads() == 1
