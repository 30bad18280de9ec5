# SPDX-License-Identifier: Apache-2.0
"""Put the test helpers on the path: pytest's importlib mode does not."""

from __future__ import annotations

import sys
from pathlib import Path

_HERE = Path(__file__).parent
sys.path[:0] = [str(_HERE), str(_HERE.parent / "policy")]
