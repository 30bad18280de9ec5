# SPDX-License-Identifier: Apache-2.0
"""The Ray cluster that a run or a sweep uses: one that it joins, or one of its own."""

from __future__ import annotations

import os
import signal
import socket
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

from sac_ros.utils.errors import ConfigurationError

_ANSWERS = 5.0  # s
_STORE_BYTES = 2**28  # of a cluster of our own: chunks and weights are a few megabytes


def import_ray() -> ModuleType:
    """The module `ray`.

    Raises:
        ConfigurationError: it is not installed.
    """
    try:
        import ray  # noqa: PLC0415
    except ImportError as error:
        raise ConfigurationError(
            "Ray is not installed, which collector:=ray and sweep need: "
            f"pip install 'sac_ros[ray]' ({error})"
        ) from error
    return ray


def connect(address: str, cpus: int) -> ModuleType:
    """Joins the cluster at `address`, or starts one on this machine where that is empty.

    `ray.shutdown()` ends what was started here, and only leaves a cluster that was joined.

    Args:
        address: `auto` (the one that runs here), HOST:PORT, or empty.
        cpus: how many tasks of one core a cluster of our own runs at once, whatever this machine
            has: who asks for four collectors gets four.

    Raises:
        ConfigurationError: Ray is not installed, or nothing answers at `address`.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere
    # A later Ray will not do so by itself either; it hides GPUs from tasks that ask for none.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    ray = import_ray()
    if address not in ("", "auto"):
        _refuse_unanswered(address)
    main = threading.current_thread() is threading.main_thread()
    numbers = (signal.SIGINT, signal.SIGTERM) if main else ()
    handlers = {each: signal.getsignal(each) for each in numbers}
    try:
        if address:
            ray.init(address=address, log_to_driver=False, logging_level="ERROR")
        else:
            ray.init(
                address="local",  # whatever RAY_ADDRESS is
                num_cpus=cpus,
                object_store_memory=_STORE_BYTES,
                include_dashboard=False,
                log_to_driver=False,
                logging_level="ERROR",
            )
    except (ConnectionError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
        raise _unusable(address, str(error).strip().partition("\n")[0]) from error
    finally:
        # Ray takes SIGTERM for itself; who ends this process has its own handlers.
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return ray


def absolute(value: Any) -> Any:
    """A setting as another process finds it: paths that exist here, alone or with commas between.

    What is no path of a file with an ending, such as the name of an arm, stays as it is.
    """
    if not isinstance(value, str):
        return value
    parts = value.split(",")
    paths = [Path(part.strip()).expanduser() for part in parts]
    if not all(("/" in str(path) or path.suffix) and path.exists() for path in paths):
        return value
    return ",".join(str(path.resolve()) for path in paths)


def _refuse_unanswered(address: str) -> None:
    """Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=_ANSWERS).close()
    except (OSError, ValueError, OverflowError) as error:
        raise _unusable(address, str(error)) from error


def _unusable(address: str, reason: str) -> ConfigurationError:
    return ConfigurationError(
        "ray_address must be auto or HOST:PORT of a Ray cluster that answers, or empty for one "
        f"of its own; got {address!r}: {reason}"
    )
