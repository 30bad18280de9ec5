# SPDX-License-Identifier: Apache-2.0
"""`evaluate_policy`: a policy file in closed loop in a simulator."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from sac_ros.policy.runtime import Policy
from sac_ros.sim.backend import BACKENDS
from sac_ros.sim.randomization import TERMS, parse_perturbations
from sac_ros.tasks.task import TASKS
from sac_ros.training.evaluation import HOLD_SECONDS, ROWS, evaluate
from sac_ros.training.policy_in_loop import environment_of, policy_controller
from sac_ros.training.report import evaluation_table
from sac_ros.utils.errors import EXIT_DONE, run_command

KEYS = (
    "model", "arm", "task", "backend", "controller", "perturbation", "episodes", "seed", "success",
    "median_error_m", "p95_error_m", "time_to_goal_s", "hold", "max_velocity_fraction",
    "joint_stop_rate", "rms_torque_step", "work_j", "mean_return", "wall_seconds",
    "rms_torque_step_fraction", "torque_power_above_10hz", "overspeed_fraction",
)  # fmt: skip
"""Of the JSON object, in order."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The console script; returns 0, or 2 when it could not run."""
    return run_command(lambda: _run(_parser().parse_args(arguments)))


def _run(options: argparse.Namespace) -> int:
    perturbation = parse_perturbations(options.perturb)
    policy = Policy.load(options.model)
    own = {name: getattr(options, name) for name in ("arm", "task") if getattr(options, name)}
    env = environment_of(
        policy,
        min(options.episodes, ROWS),
        backend=options.backend,
        base_link=options.base_link,
        tip_link=options.tip_link,
        randomization=perturbation,
        **own,
    )
    with tqdm(total=options.episodes, unit=" episodes", disable=not sys.stderr.isatty()) as bar:
        result = evaluate(
            env,
            policy_controller(policy, env),
            episodes=options.episodes,
            seed=options.seed,
            hold_seconds=options.hold,
            progress=lambda done: bar.update(done - bar.n),
        )
    env.close()
    assert result is not None, "nothing interrupts this evaluation"
    if not options.json:
        print(evaluation_table(result))
        return EXIT_DONE
    found: dict[str, Any] = {
        "model": str(options.model),
        "arm": options.arm or policy.spec.arm,
        "task": env.task.name,
        "backend": options.backend,
        "controller": "policy",
        "perturbation": perturbation,
        **dataclasses.asdict(result),
    }
    print(json.dumps({key: found[key] for key in KEYS}))
    return EXIT_DONE


def _parser() -> argparse.ArgumentParser:
    terms = "; ".join(f"{name}: {_unit(name)}{term.description}" for name, term in TERMS.items())
    parser = argparse.ArgumentParser(
        prog="evaluate_policy",
        description="Run a policy file in closed loop in a simulator and print how it did.",
        epilog=f"Perturbations: {terms}. Exit code: 0 done, 2 it could not run.",
    )
    add = parser.add_argument
    add("model", type=Path, help="the policy, an ONNX file")
    add("--backend", choices=BACKENDS, default="bullet", help="the physics engine (bullet)")
    add("--arm", default="", help="a name, a YAML or a URDF (default: the policy's own)")
    add("--task", choices=TASKS, default="", help="(default: the policy's own)")
    add("--base-link", default="", metavar="L", help="where the arm starts, if not as described")
    add("--tip-link", default="", metavar="L", help="the end effector, if not as described")
    add("--episodes", type=_positive, default=50, metavar="N", help="episodes (default 50)")
    add(
        "--seed",
        type=_natural,
        default=1000,
        metavar="S",
        help="episode i is drawn with seed S + i (default 1000)",
    )
    add(
        "--hold",
        type=_seconds,
        default=HOLD_SECONDS,
        metavar="SECONDS",
        help=f"for how long each goal is then held (default {HOLD_SECONDS:g})",
    )
    add(
        "--perturb",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=VALUE",
        help="what of the world differs: a value, or LOW:HIGH to draw from in each episode",
    )
    add("--json", action="store_true", help="print one JSON object, nothing else")
    return parser


def _unit(name: str) -> str:
    return f"{TERMS[name].unit}, " if TERMS[name].unit else ""


def _positive(text: str) -> int:
    number = _natural(text)
    if number == 0:
        raise argparse.ArgumentTypeError("must be 1 or more; got 0")
    return number


def _natural(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = -1
    if number < 0:
        raise argparse.ArgumentTypeError(f"must be a whole number, 0 or more; got {text!r}")
    return number


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.0 <= value <= 3600.0:
        raise argparse.ArgumentTypeError(f"must be seconds, 0 to 3600; got {text!r}")
    return value
