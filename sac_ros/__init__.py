# SPDX-License-Identifier: Apache-2.0
"""Torque control of robot arms with soft actor-critic, ROS 2 and PyBullet."""

from __future__ import annotations

import sys

if sys.argv[:1] == ["-m"]:  # `python -m sac_ros.…` is looking for its module just now
    import _signal  # type: ignore[import-not-found]

    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)  # for the millisecond of the next line
    from sac_ros.entry import end_module_on_signals

    end_module_on_signals()


def __getattr__(name: str) -> str:
    """`sac_ros.__version__`, read from the installed metadata when it is first asked for.

    Lazy, because a robot's start-up should not pay for a search through its installed packages.
    """
    if name == "__version__":
        from importlib.metadata import version  # noqa: PLC0415 - see above

        return version("sac_ros")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
