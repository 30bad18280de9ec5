# SPDX-License-Identifier: Apache-2.0
"""How well `identify_robot` finds what is hidden: `python -m benchmarks.identification`."""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.hidden_arm import HIDDEN, Drive, Hidden, run
from sac_ros.identification.findings import Findings
from sac_ros.identification.identify import IdentificationOptions, identify
from sac_ros.identification.world_file import world_ranges
from sac_ros.policy.runtime import Policy
from sac_ros.training.evaluation import evaluate
from sac_ros.training.policy_in_loop import environment_of, policy_controller

_SIZE = np.array([1.0, 1.0, 0.8, 0.8, 0.3, 0.3, 0.15])  # of a joint, from the base on
BARS = {
    "armature": 0.1,
    "joint_damping": 0.1,
    "coulomb_friction": 0.1,
    "payload_kg": 0.1,
    "delay_s": 0.002,
}
"""What an estimate may be off by: a share of friction and inertia, kg and s."""

_RELATIVE = ("armature", "joint_damping", "coulomb_friction")


@dataclass(frozen=True)
class Case:
    """One parameter of one world: what is hidden, and what was found."""

    name: str
    true: float
    value: float
    low: float
    high: float
    estimated: bool

    @property
    def error(self) -> float:
        """Relative for friction and inertia, else in the parameter's unit."""
        return abs(self.value - self.true) / (self.true if self.name in _RELATIVE else 1.0)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for each parameter; returns 0."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.identification")
    parser.add_argument("--worlds", type=int, default=12, help="how many (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the first (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=30.0, help="(default: %(default)s)")
    parser.add_argument("--rate", type=float, default=100.0, help="Hz (default: %(default)s)")
    parser.add_argument("--gravity-compensation", choices=("robot", "policy"), default="robot")
    parser.add_argument(
        "--policy", type=Path, help="run it in HIDDEN and in the worlds found of it, instead"
    )
    parser.add_argument("--episodes", type=int, default=200, help="(default: %(default)s)")
    options = parser.parse_args(arguments)
    if options.policy is not None:
        print(closed_loop(Policy.load(options.policy), options))
        return 0
    cases: dict[str, list[Case]] = defaultdict(list)
    for seed in range(options.seed, options.seed + options.worlds):
        hidden = draw(seed)
        drive = Drive(
            world=hidden.world(),
            seconds=options.seconds,
            rate_hz=options.rate,
            seed=seed,
            gravity_compensation=options.gravity_compensation,
        )
        made = run(drive)
        asked = IdentificationOptions(gravity_compensation=options.gravity_compensation)
        found = identify(made.arm, made.recorded(), asked, f"world {seed}")
        for case in compare(hidden, found):
            cases[case.name].append(case)
    print(text(cases))
    return 0


def closed_loop(policy: Policy, options: argparse.Namespace) -> str:
    """How a policy does in the world `HIDDEN` and in those that are identified of it."""
    hidden = {name: value for name, value in HIDDEN.world().items() if name != "position_noise"}
    made = run(Drive(world=HIDDEN.world(), seconds=options.seconds, seed=options.seed))
    found = identify(made.arm, made.recorded(), IdentificationOptions(), "the hidden world")
    lines = []
    for name, ranges in (("hidden", hidden), ("identified", world_ranges(made.arm, found))):
        env = environment_of(policy, 50, backend="mujoco", randomization=ranges)
        result = evaluate(
            env,
            policy_controller(policy, env),
            episodes=options.episodes,
            seed=7,
            hold_seconds=0.0,
        )
        assert result is not None, "nothing interrupts this evaluation"
        rates = ", ".join(
            f"{each.rate:.1%} within {100 * each.position_tolerance_m:g} cm"
            for each in result.success
        )
        errors = f"{1e3 * result.median_error_m:.1f}, {1e3 * result.p95_error_m:.1f} mm"
        lines.append(f"{name:12s}{rates}; median, 95 % {errors}")
    return "\n".join(lines)


def draw(seed: int) -> Hidden:
    """A world with hidden friction, inertia, gains, payload, gravity error, delay and noise."""
    rng = np.random.default_rng(seed)

    def each(low: float, high: float) -> tuple[float, ...]:
        return tuple((rng.uniform(low, high, 7) * _SIZE).tolist())

    return Hidden(
        armature=each(0.2, 0.6),
        joint_damping=each(0.3, 2.0),
        coulomb_friction=each(0.3, 2.0),
        torque_gain=tuple(rng.uniform(0.95, 1.05, 7).tolist()),
        payload_kg=float(rng.uniform(0.0, 2.0)),
        gravity_scale=float(rng.uniform(0.95, 1.05)),
        command_latency_ms=2.0 * float(rng.integers(0, 15)),
        position_noise=float(10.0 ** rng.uniform(-5.0, -3.5)),
    )


def compare(hidden: Hidden, found: Findings) -> Iterator[Case]:
    """Every parameter beside what is hidden: over its gain, where that is only taken as 1."""
    gains = np.array(hidden.torque_gain)
    assumed = np.array([each.assumed for each in found.of("torque_gain")])
    over = np.where(assumed, gains, 1.0)
    truths = {name: np.array(getattr(hidden, name)) / over for name in _RELATIVE}
    truths["torque_gain"] = gains
    truths["payload_kg"] = np.array([hidden.payload_kg])
    truths["gravity_scale"] = np.array([hidden.gravity_scale])
    truths["delay_s"] = np.array([1e-3 * hidden.command_latency_ms])
    for name, values in truths.items():
        for estimate, true in zip(found.of(name), values.tolist(), strict=True):
            if estimate.value is None or estimate.low is None or estimate.high is None:
                continue
            numbers = estimate.value, estimate.low, estimate.high
            yield Case(name, true, *numbers, estimate.estimated)


def text(cases: dict[str, list[Case]]) -> str:
    """A table: how many were estimated, how many intervals hold the truth, and the errors."""
    lines = [
        "parameter         intervals  est.  held  in bar  |error|: median     95 %     largest"
    ]
    every = 0
    for name, found in cases.items():
        held = sum(case.low <= case.true <= case.high for case in found)
        errors = [case.error for case in found if case.estimated]
        every += held
        bar = BARS.get(name)
        within = "" if bar is None else str(sum(error <= bar for error in errors))
        numbers = "".join(f"{q:11.4f}" for q in np.quantile(errors, [0.5, 0.95, 1.0]))
        lines.append(f"{name:18s}{len(found):8d}{len(errors):7d}{held:6d}{within:>8s}   {numbers}")
    whole = sum(map(len, cases.values()))
    return "\n".join([*lines, f"{every} of {whole} intervals of 95 % hold what is hidden"])


if __name__ == "__main__":
    raise SystemExit(main())
