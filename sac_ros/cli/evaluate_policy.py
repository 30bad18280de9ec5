# SPDX-License-Identifier: Apache-2.0
"""`evaluate_policy`: a policy file in closed loop in a simulator."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from sac_ros.cli.arguments import add_links, number
from sac_ros.identification.world_file import read_world
from sac_ros.policy.runtime import Policy
from sac_ros.policy.spec import PolicySpec
from sac_ros.sim.backend import BACKENDS
from sac_ros.sim.randomization import TERMS, parse_perturbations
from sac_ros.sim.vector_env import ArmVectorEnv
from sac_ros.tasks.task import TASKS, Task
from sac_ros.tasks.track import PATH_NAMES, TrackTask
from sac_ros.training.evaluation import HOLD_SECONDS, ROWS, Controller, Tracking, evaluate
from sac_ros.training.policy_in_loop import (
    AUTHORITIES,
    computed_torque_controller,
    environment_of,
    policy_controller,
)
from sac_ros.training.report import evaluation_table, save_reaching
from sac_ros.training.robustness import (
    CONDITIONS,
    Conditions,
    Contestant,
    add_to_card,
    below,
    parse_limits,
    robustness_markdown,
    run_table,
    save_heat_map,
)
from sac_ros.utils.atomic_write import atomic_write
from sac_ros.utils.errors import EXIT_BAD_ANSWER, EXIT_DONE, ConfigurationError, run_command

KEYS = (
    "model", "arm", "task", "backend", "controller", "perturbation", "episodes", "seed", "success",
    "median_error_m", "p95_error_m", "time_to_goal_s", "hold", "max_velocity_fraction",
    "joint_stop_rate", "rms_torque_step", "work_j", "mean_return", "wall_seconds",
    "rms_torque_step_fraction", "torque_power_above_10hz", "overspeed_fraction",
)  # fmt: skip
"""Of the JSON object, in order."""

ANGLE_KEYS = ("median_angle_error_rad", "p95_angle_error_rad")
TRACKING_KEYS = ("tracking_rms_m", "tracking_lag_s")


def main(arguments: Sequence[str] | None = None) -> int:
    """The console script; returns 0, or 2 when it could not run."""
    return run_command(lambda: _run(_parser().parse_args(arguments)))


def _run(options: argparse.Namespace) -> int:
    if options.robustness:
        return _run_robustness(options)
    if options.fail_on:
        raise ConfigurationError("--fail-on is for the table of --robustness: give both")
    if len(options.model) > 1:
        raise ConfigurationError(
            f"models must be one, or several with --robustness; got {len(options.model)}"
        )
    world = read_world(options.world) if options.world else {}
    perturbation = {**world, **parse_perturbations(options.perturb)}
    env, controller = _contestant(options, perturbation)
    with tqdm(total=options.episodes, unit=" episodes", disable=not sys.stderr.isatty()) as bar:
        result = evaluate(
            env,
            controller,
            episodes=options.episodes,
            seed=options.seed,
            hold_seconds=0.0 if env.task.moving else options.hold,
            progress=lambda done: bar.update(done - bar.n),
        )
    env.close()
    assert result is not None, "nothing interrupts this evaluation"
    if options.film is not None:
        env, controller = _contestant(options, perturbation, rows=1, render_mode="rgb_array")
        save_reaching(env, controller, options.film)
        env.close()
        print(f"the arm reaching is in {options.film}", file=sys.stderr)
    if not options.json:
        print(evaluation_table(result))
        return EXIT_DONE
    found: dict[str, Any] = {
        "model": str(options.model[0]) if options.model else "",
        "arm": options.arm or env.arm.name,
        "task": env.task.name,
        "backend": options.backend,
        "controller": options.controller,
        "perturbation": perturbation,
        **dataclasses.asdict(result),
        **dataclasses.asdict(result.tracking or Tracking(0.0, None)),
    }
    print(json.dumps({key: found[key] for key in _keys(env.task)}))
    return EXIT_DONE


def _keys(task: Task) -> list[str]:
    """Those of the JSON object: a moving goal has no success, and only a pose has an angle."""
    extra = list(ANGLE_KEYS) if task.angle_tolerance is not None else []
    if not task.moving:
        return [*KEYS, *extra]
    found = [key for key in KEYS if key not in ("time_to_goal_s", "hold")]
    place = found.index("success")
    return [*found[:place], *TRACKING_KEYS, *found[place + 1 :]]


def _contestant(
    options: argparse.Namespace, perturbation: Mapping[str, Any], rows: int = ROWS, **other: Any
) -> tuple[ArmVectorEnv, Controller]:
    """The environment of so many arms, with `other` arguments, and what moves them."""
    env, controller = _pair(options, perturbation, min(options.episodes, rows), other)
    if options.path != "random":
        if not isinstance(env.task, TrackTask):
            raise ConfigurationError(
                f"--path is of the task track; got {options.path!r} for the task {env.task.name}"
            )
        env.task.follow(options.path, options.speed)
    return env, controller


def _pair(
    options: argparse.Namespace,
    perturbation: Mapping[str, Any],
    rows: int,
    other: Mapping[str, Any],
) -> tuple[ArmVectorEnv, Controller]:
    own = {name: getattr(options, name) for name in ("arm", "task") if getattr(options, name)}
    own |= {"backend": options.backend, "randomization": perturbation}
    own |= {"base_link": options.base_link, "tip_link": options.tip_link, **other}
    spec: PolicySpec | None = None
    if options.model:
        policy = Policy.load(options.model[0])
        spec, env = policy.spec, environment_of(policy, rows, **own)
        if options.controller == "policy":
            return env, policy_controller(policy, env)
    elif options.controller == "policy":
        raise ConfigurationError("a model must be given for the controller 'policy'")
    else:
        env = ArmVectorEnv(rows, **own)
    return env, computed_torque_controller(env, options.authority, spec)


def _run_robustness(options: argparse.Namespace) -> int:
    if not options.model or options.perturb or options.world or options.path != "random":
        raise ConfigurationError(
            "--robustness needs one model or several, and has its own --perturb, --world and "
            "--path"
        )
    limits = parse_limits(options.fail_on)
    models = [str(model) for model in options.model]
    policies = [Contestant(model) for model in models]
    if len({each.label for each in policies}) < len(policies):
        raise ConfigurationError(
            f"models must have different file names, by which the table calls them; "
            f"got {', '.join(models)}"
        )
    if options.card and not options.model[0].with_suffix(".md").is_file():
        raise ConfigurationError(
            f"--card needs a model card; there is no {options.model[0].with_suffix('.md')}"
        )
    for model in models:
        Policy.load(model)  # so that a bad file is refused at once, in one sentence
    textbook = Contestant(models[0], "computed_torque", options.authority)
    own = ("arm", "task", "base_link", "tip_link")
    common = Conditions(
        options.backend,
        options.episodes,
        options.seed,
        tuple((name, getattr(options, name)) for name in own if getattr(options, name)),
    )
    options.output.mkdir(parents=True, exist_ok=True)
    with tqdm(unit=" cells", disable=not sys.stderr.isatty()) as bar:

        def show(done: int, total: int) -> None:
            bar.total, bar.n = total, done
            bar.refresh()

        cells = run_table(
            [*policies, textbook],
            common,
            kept=options.output / "cells.json",
            processes=options.processes,
            progress=show,
        )
    assert cells is not None, "only Ctrl-C interrupts it"
    if options.card:
        add_to_card(options.model[0].with_suffix(".md"), cells, common)
    title = f"within 2 cm, {options.episodes} episodes, {options.backend}; median error"
    save_heat_map(cells, options.output / "robustness.png", title)
    table = robustness_markdown(cells)
    with atomic_write(options.output / "robustness.md") as partial:
        partial.write_text(table + "\n")
    if options.json:
        kept = {**dataclasses.asdict(common), "models": models}
        print(json.dumps({**kept, "cells": [dataclasses.asdict(cell) for cell in cells]}))
    else:
        print(f"{table}\n\n{options.output}/robustness.png is this as a picture")
    missed = below(cells, limits, [each.label for each in policies])
    for sentence in missed:
        print(sentence, file=sys.stderr)
    return EXIT_BAD_ANSWER if missed else EXIT_DONE


def _parser() -> argparse.ArgumentParser:
    terms = "; ".join(f"{name}: {_unit(name)}{term.description}" for name, term in TERMS.items())
    parser = argparse.ArgumentParser(
        prog="evaluate_policy",
        description="Run a policy file in closed loop in a simulator and print its figures.",
        epilog=f"Perturbations: {terms}. Conditions of --robustness: {', '.join(CONDITIONS)}. "
        "Exit code: 0 done, 1 below a rate of --fail-on, 2 it could not run.",
    )
    add = parser.add_argument
    add(
        "model",
        type=Path,
        nargs="*",
        help="the policy, an ONNX file; several with --robustness, none with another --controller",
    )
    add(
        "--controller",
        choices=("policy", "computed_torque"),
        default="policy",
        help=(
            "controller of the arm: policy, or computed_torque (inverse kinematics and computed "
            "torque)"
        ),
    )
    add(
        "--authority",
        choices=AUTHORITIES,
        default="policy",
        help="torque of computed_torque: the policy's, or all that the robot has (policy)",
    )
    add("--backend", choices=BACKENDS, default="bullet", help="the physics engine (bullet)")
    add("--arm", default="", help="a name, a YAML or a URDF (default: the policy's own)")
    add("--task", choices=TASKS, default="", help="(default: the policy's own)")
    add_links(parser)
    add("--episodes", type=_positive, default=50, metavar="N", help="episodes (default 50)")
    add(
        "--seed",
        type=_natural,
        default=1000,
        metavar="S",
        help="seed of the first episode; episode i has seed S + i (default 1000)",
    )
    add(
        "--hold",
        type=number(0.0, 3600.0, "seconds, 0 to 3600"),
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
        help="a property of the world: a value, or LOW:HIGH for a draw in each episode",
    )
    add(
        "--world",
        type=Path,
        metavar="YAML",
        help="the worlds of a parameter file with env.randomization, such as identify_robot "
        "writes; what --perturb names is as given there",
    )
    add(
        "--path",
        choices=PATH_NAMES,
        default="random",
        help="path of a moving goal (default: random, as in training)",
    )
    add(
        "--speed",
        type=number(0.0, 5.0, "above 0 and at most 5 m/s", above=True),
        default=0.25,
        metavar="M/S",
        help="speed of the goal on a --path (default 0.25)",
    )
    add(
        "--robustness",
        action="store_true",
        help="run every condition of the robustness table, beside computed_torque",
    )
    add(
        "--card",
        action="store_true",
        help="write the table of --robustness into the model card of the first model, too",
    )
    add(
        "--output",
        type=Path,
        default=Path("robustness"),
        metavar="DIR",
        help="directory of the table, its picture and its cells (default: robustness)",
    )
    add(
        "--processes",
        type=_positive,
        default=os.cpu_count() or 1,
        metavar="N",
        help="how many cells of the table run at once (default: as many as there are cores)",
    )
    add(
        "--fail-on",
        nargs="+",
        action="extend",
        default=[],
        metavar="CONDITION=RATE",
        help="exit with 1 if a policy is below this rate there; all=RATE is of every condition",
    )
    add("--film", type=Path, metavar="FILE", help="draw the arm reaching four goals, as a GIF")
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


if __name__ == "__main__":
    sys.exit(main())
