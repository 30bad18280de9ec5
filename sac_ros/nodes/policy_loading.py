# SPDX-License-Identifier: Apache-2.0
"""A policy file loaded beside the thread that answers the robot."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator

from sac_ros.policy.runtime import Policy
from sac_ros.utils.errors import ConfigurationError, PolicyFileError, SacRosError

_TURN_S = 0.0005


class PolicyLoading(threading.Thread):
    """Loads a policy and writes out its spec: all of a swap that takes time.

    A daemon: opening a file on a network drive may hang for ever, and no process can wait for it.
    """

    def __init__(self, path: str, load: Callable[[str], Policy]) -> None:
        """Prepares it; `start` begins.

        Args:
            path: the policy file.
            load: loads and verifies it.
        """
        super().__init__(name="load policy", daemon=True)
        self._path = path
        self._load = load
        self._loaded: tuple[Policy, str] | None = None
        self._error: SacRosError | None = None

    def run(self) -> None:
        """Load the file; what goes wrong is for `result` to say."""
        try:
            policy = self._load(self._path)
            self._loaded = policy, policy.spec.to_json()
        except SacRosError as error:
            self._error = error
        except BaseException as error:
            reason = f"{type(error).__name__}: {error}".rstrip(": ")
            self._error = PolicyFileError(
                f"policy file {self._path} must load without an unexpected error; "
                f"it ended with {reason}"
            )
            raise  # a bug keeps its traceback: threading prints it

    def result(self, waited_s: float) -> tuple[Policy, str]:
        """Return the policy, and its spec as JSON.

        Args:
            waited_s: how long it was given.

        Raises:
            SacRosError: the file was refused, is not loaded yet, or loading it failed in a way
                that nobody foresaw.
        """
        if self._error is not None:
            raise self._error
        if self._loaded is None:
            raise ConfigurationError(
                f"policy file {self._path} must load within {waited_s:g} s; it did not"
            )
        return self._loaded


@contextlib.contextmanager
def short_turns() -> Iterator[None]:
    """Let no thread keep Python from another for longer than half a millisecond.

    Python's own limit is 5 ms, longer than the period of a robot's states.
    """
    before = sys.getswitchinterval()
    sys.setswitchinterval(_TURN_S)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
