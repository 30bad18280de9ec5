# SPDX-License-Identifier: Apache-2.0
"""Which extra of setup.py brings a package that is not installed."""

from __future__ import annotations

import sys

from sac_ros.utils.errors import EXIT_COULD_NOT_RUN, ConfigurationError

EXTRAS = {
    "bags": ("a reader of recordings", ("apsw", "backports", "jinja2", "lz4", "rosbags")),
    "mujoco": ("MuJoCo", ("mujoco",)),
    "ray": ("Ray", ("optuna", "pyarrow", "ray")),
    "sim": ("a simulator", ("gymnasium", "matplotlib", "PIL", "pybullet", "pybullet_utils")),
    "view": ("viser", ("trimesh", "viser")),
    "train": ("the packages of training", ("onnx", "tensorboard", "torch")),
}
"""Extra: what it is for, and the modules that are imported from it."""

_WHOLE = {"sweep": "ray", "train_node": "train"}
"""Commands that need all of an extra: it is named whichever of its packages is missed first."""

_ROS = ("launch", "launch_ros", "rclpy", "tf2_ros")


class MissingPackageError(ConfigurationError):
    """A package of an extra, or ROS 2, is not installed; the sentence names what installs it."""

    @classmethod
    def of(cls, who: str, error: ModuleNotFoundError) -> MissingPackageError | None:
        """The error of a command or option `who`; None for a module that no extra brings."""
        name = (error.name or "").partition(".")[0]
        if name in _ROS or name.endswith(("_msgs", "_interfaces", "_srvs")):
            return cls(
                f"{who} needs ROS 2, and the module {name!r} is not found: source the setup.bash "
                'of a ROS 2, or pip install "sac_ros[ros]"'
            )
        extra = next((each for each, (_, modules) in EXTRAS.items() if name in modules), "")
        if not extra:
            return None
        extra = _WHOLE.get(who, extra)
        return cls(
            f"{who} needs {EXTRAS[extra][0]}, and the module {name!r} is not found: "
            f'pip install "sac_ros[{extra}]"'
        )


def report_missing(command: str, error: ModuleNotFoundError) -> int:
    """Print what is missing for a command, and return its exit code.

    Raises:
        ModuleNotFoundError: `error`, of a module that no extra brings: a bug keeps its traceback.
    """
    missing = MissingPackageError.of(command, error)
    if missing is None:
        raise error
    sys.stderr.write(f"{command}: error: {missing}\n")
    return EXIT_COULD_NOT_RUN
