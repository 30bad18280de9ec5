# SPDX-License-Identifier: Apache-2.0
"""The list of detectors: it is whole, and what a new one takes is one class and one entry."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator

import numpy as np
from tiny_policy import tiny_spec

from sac_ros.policy import detectors
from sac_ros.policy.detectors.detector import Detector, FilterState, StateDetector
from sac_ros.policy.safety import SafetyFilter
from sac_ros.policy.safety_config import JointLimits, SafetyConfig
from sac_ros.policy.safety_events import Fault

SPEC, REST = tiny_spec(), np.zeros(3)


def make() -> SafetyFilter:
    config = SafetyConfig(soft_start_s=0.0)
    safety = SafetyFilter(JointLimits.of(SPEC, config), config, SPEC.control_rate_hz)
    safety.accept(10.0, REST, REST)
    safety.activate(10.0)
    return safety


def leaves(kind: type[Detector]) -> Iterator[type[Detector]]:
    below = [each for each in kind.__subclasses__() if each.__module__.startswith("sac_ros.")]
    for each in below:
        yield from leaves(each)
    if not below:
        yield kind


def test_every_detector_of_the_package_is_in_the_filters_list() -> None:
    for module in pkgutil.iter_modules(detectors.__path__):
        importlib.import_module(f"{detectors.__name__}.{module.name}")
    assert {type(each) for each in make()._detectors} == set(leaves(Detector))


class OutOfStep(StateDetector):
    """Joint 2 moves the other way than joint 1."""

    kind = Fault.COMMAND

    def check(self, now: float, state: FilterState) -> str:
        return "out of step" if state.velocity[0] * state.velocity[1] < 0.0 else ""

    def standing(self, now: float, state: FilterState) -> str:
        return self.check(now, state)


def test_a_detector_that_is_added_latches_its_fault_and_holds_it_while_its_cause_stands() -> None:
    safety, added = make(), OutOfStep()
    safety._of_states.append(added)
    safety._detectors = (*safety._detectors, added)
    assert safety.accept(10.01, REST, np.array([0.1, -0.1, 0.0]))
    assert safety.faults == {Fault.COMMAND: "out of step"}
    assert safety.clear_fault(10.01) == "out of step"
    assert safety.accept(10.02, REST, REST)
    assert safety.clear_fault(10.02) == ""
    assert safety.faults == {}
