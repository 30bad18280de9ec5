# SPDX-License-Identifier: Apache-2.0
"""Bullet without its greetings: they are written by C++ to a stdout that belongs to `--json`."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def _silenced() -> Iterator[None]:
    """Points the process's stdout and stderr to nowhere, below Python's own streams."""
    sys.stdout.flush()
    sys.stderr.flush()
    saved = [os.dup(1), os.dup(2)]
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 1)
        os.dup2(null, 2)
        yield
    finally:
        for stream, copy in enumerate(saved, start=1):
            os.dup2(copy, stream)
            os.close(copy)
        os.close(null)


with _silenced():
    import pybullet
    from pybullet_utils.bullet_client import BulletClient

__all__ = ["BulletClient", "connect", "pybullet"]


def connect(gui: bool = False) -> BulletClient:
    """A Bullet client of its own, with Bullet's window if `gui`."""
    with _silenced():
        return BulletClient(pybullet.GUI if gui else pybullet.DIRECT)
