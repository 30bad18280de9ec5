# SPDX-License-Identifier: Apache-2.0
"""Where the package's shared files lie: config, models, urdf, launch and rviz."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from sac_ros.utils.errors import ConfigurationError

_MARKER = "package.xml"


def share_path(*parts: str) -> Path:
    """The path of a shared file or directory, for example `share_path("config", "train.yaml")`.

    In a source checkout (and an editable or symlinked install of one) it lies in the checkout, so
    that an edited file takes effect at once; otherwise in `<prefix>/share/sac_ros`.  The ament
    index is not asked: training needs no ROS.

    Args:
        parts: path below the share directory; none for the directory itself.

    Returns:
        An absolute path.  Whether it exists is for the caller to check.

    Raises:
        ConfigurationError: the installation has no share directory.
    """
    return _share_directory(Path(__file__).resolve()).joinpath(*parts)


@cache
def _share_directory(module: Path) -> Path:
    """The share directory that belongs to this very file, in a checkout or below a prefix.

    Walking up finds the prefix for every layout of site-packages (lib/python3.X/site-packages,
    local/lib/python3.X/dist-packages), which `sys.prefix` does not under colcon.
    """
    package = module.parents[1]
    checkout = package.parent
    if (checkout / _MARKER).is_file() and (checkout / "setup.py").is_file():
        return checkout
    for prefix in package.parents:
        share = prefix / "share" / "sac_ros"
        if (share / _MARKER).is_file():
            return share
    raise ConfigurationError(
        f"the shared files of sac_ros were not found: no share/sac_ros/{_MARKER} in any directory "
        f"above {package}; install the package with pip or colcon"
    )
