# SPDX-License-Identifier: Apache-2.0
"""What the process that learns asks of torch and of the system."""

from __future__ import annotations

import ctypes

import torch

# malloc.h, and the largest number that the GNU C library takes for the second.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_LARGEST, _LARGEST_MAPPED = 2**30, 2**25


def prepare_process() -> None:
    """One thread, since the learner and the collector share the cores, and memory that is kept."""
    torch.set_num_threads(1)
    keep_freed_memory()


def keep_freed_memory() -> None:
    """Has malloc keep what is freed, up to 1 GiB, for what is allocated next.

    An update of networks of 256 units allocates and frees some thirty arrays of half a megabyte.
    By default each goes back to the system and is fetched again, page by page: a sixth of the
    update's time. Where the C library has no such setting, nothing changes.
    """
    if (set_option := getattr(ctypes.CDLL(None), "mallopt", None)) is not None:
        set_option(_MMAP_THRESHOLD, _LARGEST_MAPPED)
        set_option(_TRIM_THRESHOLD, _LARGEST)
