# SPDX-License-Identifier: Apache-2.0
"""`evaluate_policy`: a policy file in closed loop in a simulator."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sac_ros.policy.runtime import Policy
from sac_ros.sim.backend import BACKENDS
from sac_ros.training.evaluation import HOLD_SECONDS, ROWS, evaluate
from sac_ros.training.policy_in_loop import environment_of, policy_controller
from sac_ros.training.report import evaluation_table
from sac_ros.utils.errors import run_command


def main(arguments: Sequence[str] | None = None) -> int:
    """The console script; returns 0, or 2 when it could not run."""
    return run_command(lambda: _run(_parser().parse_args(arguments)))


def _run(options: argparse.Namespace) -> int:
    policy = Policy.load(options.model)
    env = environment_of(policy, min(ROWS, options.episodes), backend=options.backend)
    result = evaluate(
        env,
        policy_controller(policy, env),
        episodes=options.episodes,
        seed=options.seed,
        hold_seconds=HOLD_SECONDS,
    )
    env.close()
    assert result is not None, "nothing interrupts this evaluation"
    if options.json:
        found: dict[str, Any] = {
            "model": str(options.model),
            "arm": policy.spec.arm,
            "task": policy.spec.task,
            "backend": env.backend,
            **dataclasses.asdict(result),
        }
        print(json.dumps(found))
    else:
        print(evaluation_table(result))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="evaluate_policy",
        description="Run a policy file in closed loop in a simulator and print how it did.",
    )
    parser.add_argument("model", type=Path, help="the policy, an ONNX file")
    parser.add_argument(
        "--backend", choices=tuple(BACKENDS), default="bullet", help="the physics engine (bullet)"
    )
    parser.add_argument(
        "--episodes", type=_positive, default=50, metavar="N", help="episodes (default 50)"
    )
    parser.add_argument(
        "--seed",
        type=_natural,
        default=1000,
        metavar="S",
        help="episode i is drawn with seed S + i (default 1000)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object, nothing else")
    return parser


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
