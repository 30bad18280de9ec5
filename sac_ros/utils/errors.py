# SPDX-License-Identifier: Apache-2.0
"""Every error that a user can cause, and the one place that turns it into an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from sac_ros.utils.interrupts import GRACE, end_process, interruptible

EXIT_DONE = 0
EXIT_BAD_ANSWER = 1
EXIT_COULD_NOT_RUN = 2
EXIT_INTERRUPTED = 130  # as a shell reports a program that Ctrl-C ended
EXIT_UNREAD = 141  # as a shell reports a program that SIGPIPE ended


class SacRosError(Exception):
    """Root of the package's errors: ``str(error)`` is one sentence that the user can act on.

    The sentence names the value, what would have been valid, and the file, parameter or topic
    it came from. Anything that is not a `SacRosError` is a bug and keeps its traceback.
    """


class ConfigurationError(SacRosError):
    """A parameter, a command line argument or a YAML key has no usable value."""


class PolicyFileError(SacRosError):
    """A policy file is refused; the sentence names the file, the field and what was expected."""


class BagError(SacRosError):
    """A bag, or a saved evaluation of one, is refused; the sentence names the file and why."""


class JointStateError(SacRosError):
    """A ``joint_states`` message cannot be used; the sentence names the joint or the field."""


class GoalError(SacRosError):
    """A goal is refused and the one before it stays; the sentence names the value."""


class NonFiniteGoalError(GoalError):
    """A goal holds NaN or Inf, which is a fault of its sender and not a wish."""


def run_command(main: Callable[[], int], *, grace: float = GRACE, words: str = "") -> int:
    """Run the body of a console script and return its exit code.

    A `SacRosError` becomes ``<prog>: error: <sentence>`` on stderr and exit code 2, without a
    traceback.

    Args:
        main: the command; returns 0 (done) or 1 (it ran, and the answer is bad).
        grace: s to unwind after Ctrl-C; then the process and all that it started are ended.
        words: on stderr at once after Ctrl-C, where unwinding takes long.

    Returns:
        What ``main`` returned, 2 when it could not run, 130 after Ctrl-C, 143 after SIGTERM, or
        141 when who read its output has gone, as in ``| head``: then there is no answer.
    """
    try:
        with interruptible(grace, words) as interrupted:
            code = exit_code_of(main, interrupted)
    except KeyboardInterrupt:  # raised by something else than a signal
        sys.stderr.write("interrupted\n")
        return EXIT_INTERRUPTED
    if interrupted():
        end_process(code)  # Ray and torch would take seconds to take themselves down
    return code


def exit_code_of(
    main: Callable[[], int], interrupted: Callable[[], int | None] = lambda: None
) -> int:
    """Run `main` and report what it raises, as `run_command` does.

    ``interrupted`` gives the number of the signal that has come, if any.
    """
    try:
        code = main()
        sys.stdout.flush()  # here, and not when the interpreter ends
        return code
    except BaseException as error:
        if number := interrupted():  # a library may have turned that into an error of its own
            sys.stderr.write("interrupted\n")
            return 128 + number
        if isinstance(error, BrokenPipeError):
            # What is left in the buffer would fail once more at the end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return EXIT_UNREAD
        if isinstance(error, SacRosError):
            sys.stderr.write(f"{Path(sys.argv[0]).name}: error: {error}\n")
            return EXIT_COULD_NOT_RUN
        raise
