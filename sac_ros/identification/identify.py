# SPDX-License-Identifier: Apache-2.0
"""Bags in, findings out: where reading, fitting and checking are put together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sac_ros.bags.clock import GAP_PERIODS
from sac_ros.bags.columns import Spool
from sac_ros.bags.recording import Progress, ReadingOptions
from sac_ros.bags.torques import Torques, read_torques
from sac_ros.identification.estimate import Fit, fit
from sac_ros.identification.findings import GAIN_WITHIN, Findings, judge
from sac_ros.identification.model import Regressors, regressors
from sac_ros.identification.signals import BRIDGED_S, Filters, Recorded, choose_cutoff
from sac_ros.robots.arm import Arm
from sac_ros.utils.errors import BagError

Array = NDArray[np.float64]

GRAVITY_COMPENSATION = ("robot", "policy")
"""Who holds the arm: the robot adds g(q) to the recorded torque, or the torque itself does."""

LONGEST_S = 1200.0
"""s, of a recording: more adds nothing, and --start and --end choose another part."""

_STILL = 0.02  # rad: an arm that moves less stands still
_LOWER = 0.7  # of the cutoff: that of the fit by which the intervals are widened
_FEWEST = 50  # states and torques


@dataclass(frozen=True)
class IdentificationOptions:
    """What an identification takes.

    Attributes:
        reading: how the bags are read.
        effort: one of `torques.EFFORTS`; empty: commanded where commands were recorded.
        gravity_compensation: one of `GRAVITY_COMPENSATION`.
        cutoff_hz: of the filter; None: by the noise of the positions.
    """

    reading: ReadingOptions = field(default_factory=ReadingOptions)
    effort: str = ""
    gravity_compensation: str = "robot"
    cutoff_hz: float | None = None


@dataclass(frozen=True)
class Source:
    """What an identification is from.

    Attributes:
        bags: their paths.
        torque_topic: where the torques are.
        seconds: of the recording.
        states, torques: how many were used.
        rate_hz: of the states.
        clock: by which clock, and why.
    """

    bags: tuple[str, ...]
    torque_topic: str
    seconds: float
    states: int
    torques: int
    rate_hz: float
    clock: str


def identify_bags(
    paths: Sequence[Path],
    arm: Arm,
    options: IdentificationOptions,
    spool: Spool,
    progress: Progress = lambda _done, _all: None,
) -> tuple[Findings, Source]:
    """Identify an arm from bags, which are joined into one recording.

    Raises:
        BagError: a bag cannot be used: it is of another arm, has no torques, or no motion.
        ConfigurationError: an option does not fit.
    """
    where = " + ".join(f"bag {path}" for path in paths)
    found = read_torques(
        paths, arm.name, arm.joint_names, options.reading, options.effort, spool, progress
    )
    recorded = _recorded(found).first(LONGEST_S)
    findings = identify(arm, recorded, options, where)
    source = Source(
        bags=tuple(map(str, paths)),
        torque_topic=found.topic,
        seconds=float(recorded.time_s[-1] - recorded.time_s[0]),
        states=len(recorded.time_s),
        torques=len(recorded.torque_time_s),
        rate_hz=1.0 / recorded.period_s,
        clock=found.states.facts.clock.why,
    )
    return findings, source


def identify(arm: Arm, recorded: Recorded, options: IdentificationOptions, where: str) -> Findings:
    """Identify an arm from what was recorded of it; ``where`` names the source, for errors.

    Raises:
        BagError: nothing moves, or nothing is long enough.
    """
    recorded = recorded.first(LONGEST_S)
    if min(len(recorded.time_s), len(recorded.torque_time_s)) < _FEWEST:
        raise BagError(
            f"{where} must have at least {_FEWEST} joint states and as many torques; it has "
            f"{len(recorded.time_s)} and {len(recorded.torque_time_s)}"
        )
    moved = np.ptp(recorded.position, axis=0)
    if not moved.max() >= _STILL:
        raise BagError(
            f"{where} has no motion: no joint of {arm.name} moves by more than "
            f"{moved.max():.2g} rad, and {_STILL:g} rad are the least"
        )
    cutoff = choose_cutoff(recorded) if options.cutoff_hz is None else options.cutoff_hz
    filters = Filters.of(cutoff, recorded.period_s)
    own = options.gravity_compensation == "policy"
    found = regressors(arm, recorded, filters, torque_has_gravity=own)
    if found is None:
        raise BagError(
            f"{where} has no part without a gap that is long enough to be filtered, "
            f"{16.0 * filters.total:.1f} s at a cutoff of {filters.cutoff_hz:.2g} Hz"
        )
    first = fit(found, GAIN_WITHIN)
    wider: Fit | None = None
    lower = Filters.of(_LOWER * filters.cutoff_hz, recorded.period_s)
    again: Regressors | None = regressors(arm, recorded, lower, torque_has_gravity=own)
    if again is not None:
        wider = fit(again, GAIN_WITHIN)
        wider = wider if wider.fitted.any() else None
    return judge(
        arm,
        found,
        first,
        wider,
        gravity_compensation=options.gravity_compensation,
        measured=not recorded.held,
        cutoff_hz=filters.cutoff_hz,
    )


def _recorded(found: Torques) -> Recorded:
    """As the filters take it: what is a gap to them ends a segment."""
    states = found.states
    apart = np.diff(states.time_s) > max(GAP_PERIODS * states.period_s, BRIDGED_S)
    return Recorded(
        time_s=np.asarray(states.time_s),
        position=np.asarray(states.position, dtype=np.float64),
        segment=np.concatenate([[0], np.cumsum(apart)]),
        torque_time_s=found.time_s,
        torque=found.torque,
        held=found.held,
    )
