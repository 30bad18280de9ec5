# SPDX-License-Identifier: Apache-2.0
"""Workers whose answers are late, without a thread and without time."""

from __future__ import annotations

from typing import Any

import numpy as np

from sac_ros.policy.worker import Inline


class LateWorker(Inline):
    """Has no answer while ``busy``."""

    def result(self, within_s: float) -> Any | None:
        return None if self.busy else super().result(within_s)


class LateNowAndThen(LateWorker):
    """One answer in ten is a state late, or some."""

    def __init__(self, chance: np.random.Generator) -> None:
        super().__init__()
        self._chance = chance

    def result(self, within_s: float) -> Any | None:
        self.busy = bool(self._chance.random() < (0.8 if self.busy else 0.1))
        return super().result(within_s)
