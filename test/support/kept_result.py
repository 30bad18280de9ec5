# SPDX-License-Identifier: Apache-2.0
"""What a long test measured: printed, and saved where `SAC_ROS_RESULTS` names a folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from benchmarks import result


def keep(found: dict[str, Any]) -> dict[str, float]:
    """Print and keep a result of `benchmarks.result.describe`; return its figures by name."""
    print(f"\n{result.text(found)}")
    if directory := os.environ.get("SAC_ROS_RESULTS"):
        print(f"  {result.save(found, Path(directory))}")
    return {each["name"]: each["median"] for each in found["figures"]}
