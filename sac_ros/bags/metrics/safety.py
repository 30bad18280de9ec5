# SPDX-License-Identifier: Apache-2.0
"""What the safety filter made of a policy's torques: its own commands, counted."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from sac_ros.bags.columns import Array
from sac_ros.policy.safety_events import Command, Intervention

_LISTED = 100  # times of one kind; all of them are in the series


BIT = {kind: 1 << place for place, kind in enumerate(Intervention)}
"""The bit of each guard in the series ``interventions_<i>``."""


@dataclass(frozen=True)
class InterventionFigures:
    """What the safety filter changed, by one of its guards."""

    kind: Annotated[str, "as `sac_ros.policy.safety_events.Intervention` names it."]
    count: Annotated[int, "samples in which it acts."]
    fraction: Annotated[float, "over all samples."]
    joint_count: Annotated[tuple[int, ...], "[n] samples in which it changes that joint's torque."]
    first_s: Annotated[tuple[float, ...], "when it begins to act, the first hundred times."]


@dataclass(frozen=True)
class FaultFigures:
    """A fault that latched in the safety filter."""

    kind: Annotated[str, "as `sac_ros.policy.safety_events.Fault` names it."]
    count: Annotated[int, "how often."]
    sentence: Annotated[str, "its words the first time."]
    first_s: Annotated[tuple[float, ...], "when, the first hundred."]


class SafetyTally:
    """Counts what a safety filter does, state after state."""

    def __init__(self, joints: int, order: Sequence[int]) -> None:
        """``order`` [n] has, for each of the recording's joints, its index in the policy."""
        self._place = np.argsort(np.asarray(order, dtype=np.intp))
        self._counts: defaultdict[Intervention, int] = defaultdict(int)
        self._joints: defaultdict[Intervention, NDArray[np.int64]] = defaultdict(
            lambda: np.zeros(joints, dtype=np.int64)
        )
        self._began: defaultdict[Intervention, list[int]] = defaultdict(list)
        self._acting: frozenset[Intervention] = frozenset()
        self._faults: Counter[str] = Counter()
        self._latched: defaultdict[str, list[int]] = defaultdict(list)
        self._sentences: dict[str, str] = {}

    def state(self, row: int, command: Command | None) -> None:
        """Note the command that answers the state in a row; None: there is none."""
        acted = command.interventions if command else {}
        for kind, joints in acted.items():
            self._counts[kind] += 1
            if joints:
                self._joints[kind][self._place[list(joints)]] += 1
            if kind not in self._acting and len(self._began[kind]) < _LISTED:
                self._began[kind].append(row)
        self._acting = frozenset(acted)

    def fault(self, kind: str, row: int, sentence: str) -> None:
        """Note a fault that latched with the state in a row, or after it."""
        self._faults[kind] += 1
        if len(self._latched[kind]) < _LISTED:
            self._latched[kind].append(row)
        self._sentences.setdefault(kind, sentence)

    def interventions(self, time_s: Array) -> tuple[InterventionFigures, ...]:
        """Return the figures of each kind that acted; ``time_s`` [m] are the times of the rows."""
        return tuple(
            InterventionFigures(
                kind=kind.value,
                count=self._counts[kind],
                fraction=self._counts[kind] / max(len(time_s), 1),
                joint_count=tuple(self._joints[kind].tolist()),
                first_s=tuple(time_s[self._began[kind]].tolist()),
            )
            for kind in Intervention
            if self._counts.get(kind)
        )

    def faults(self, time_s: Array) -> tuple[FaultFigures, ...]:
        """Return the figures of each kind that latched."""
        return tuple(
            FaultFigures(
                kind, count, self._sentences[kind], tuple(time_s[self._latched[kind]].tolist())
            )
            for kind, count in sorted(self._faults.items())
        )
