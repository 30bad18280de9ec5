# SPDX-License-Identifier: Apache-2.0
"""Put the test helpers on the path: pytest's importlib mode does not."""

from __future__ import annotations

import sys
from pathlib import Path

_HERE = Path(__file__).parent
# The last is the root: the robot of these tests is that of the soak in benchmarks/.
_HELPERS = (_HERE, _HERE.parent / "policy", _HERE.parent / "sac", _HERE.parent.parent)
sys.path[:0] = [str(path) for path in _HELPERS]
