# SPDX-License-Identifier: Apache-2.0
"""Where every console script begins: from here on Ctrl-C ends it without a traceback.

SIGINT and SIGTERM are handled before anything large is imported. A node or a command handles them
itself once it runs (`run_node`, `run_command`).
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` is made of it, in some milliseconds
import os
import sys

TYPE_CHECKING = False  # as typing has it, which is not imported for that
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

COMMANDS = {
    "check_arm": "sac_ros.cli.check_arm",
    "convert_policy": "sac_ros.cli.convert_policy",
    "evaluate_bag": "sac_ros.cli.evaluate_bag",
    "evaluate_policy": "sac_ros.cli.evaluate_policy",
    "identify_robot": "sac_ros.cli.identify_robot",
    "reach_demo": "sac_ros.ros.reach_demo",
    "sweep": "sac_ros.cli.sweep",
}
NODES = {
    "browser_view": "sac_ros.ros.browser_view",
    "command_guard": "sac_ros.ros.policy.command_guard",
    "goal_marker": "sac_ros.ros.goal_marker",
    "policy_node": "sac_ros.ros.policy.node",
    "recorder_node": "sac_ros.ros.recorder_node",
    "replay_node": "sac_ros.ros.replay_node",
    "sim_node": "sac_ros.ros.sim_node",
    "train_node": "sac_ros.ros.train_node",
}


def __getattr__(name: str) -> Callable[[], int]:
    """The console script `name`; whoever asks for it is about to run it."""
    module = COMMANDS.get(name) or NODES.get(name)
    if module is None:
        raise AttributeError(f"sac_ros has no console script {name!r}")
    end_on_signals(exit_code=0 if name in NODES else None)

    def script() -> int:
        from importlib import import_module  # noqa: PLC0415 - after the signals

        try:
            code: int = import_module(module).main()
        except ModuleNotFoundError as error:
            from sac_ros.utils.extras import report_missing  # noqa: PLC0415 - rarely needed

            return report_missing(name, error)
        if name in NODES:  # torch takes seconds to take itself down, and nothing is left to do
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        return code

    return script


def end_module_on_signals() -> None:
    """The same for `python -m` with the module of one of them, which is looked for just now."""
    end_on_signals(exit_code=0 if {*NODES.values()} & {*sys.orig_argv} else None)


def end_on_signals(exit_code: int | None = None) -> None:
    """Has SIGINT and SIGTERM end the process at once: nothing is to be undone yet.

    An exception in an import may be lost, or turned into another one.

    Args:
        exit_code: after a signal; None: as a shell reports it.
    """

    def end(number: int, _: FrameType | None) -> None:
        if exit_code is None:
            os.write(2, b"interrupted\n")
        os._exit(128 + number if exit_code is None else exit_code)

    for each in (_signal.SIGINT, _signal.SIGTERM):
        _signal.signal(each, end)
    # Whoever starts this as a child process may have them blocked until now.
    _signal.pthread_sigmask(_signal.SIG_UNBLOCK, (_signal.SIGINT, _signal.SIGTERM))
