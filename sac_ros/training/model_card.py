# SPDX-License-Identifier: Apache-2.0
"""The model card of a policy file: its spec, for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from sac_ros.policy.runtime import Policy
from sac_ros.tasks.task import TASKS
from sac_ros.training.report import figure_rows


def model_card(policy: Policy, file_name: str, shortfall: str = "") -> str:
    """Markdown: what `policy` is, how it was made, its figures, and what it is not for.

    Args:
        policy: the file as loaded.
        file_name: what the card calls it.
        shortfall: one sentence on a result that is not good enough.
    """
    spec = policy.spec
    made = spec.training
    goal = ", ".join(
        f"{name} {low:g} to {high:g}"
        for name, low, high in zip(spec.goal.fields, spec.goal.low, spec.goal.high, strict=True)
    )
    figures = "\n".join(f"| {name} | {value} |" for name, value in figure_rows(spec.evaluation))
    gravity = {
        "robot": "the robot adds g(q) itself",
        "policy": "the torque holds g(q), from the URDF; the robot must add nothing",
    }
    joints = "\n".join(
        f"| `{name}` | {torque:g} | {scale:g} | {speed:g} | {low:.2f} to {high:.2f} |"
        for name, torque, scale, speed, (low, high) in zip(
            spec.joint_names,
            spec.torque_limit,
            spec.action_scale,
            spec.velocity_limit,
            spec.training_range.joint_position,
            strict=True,
        )
    )
    return f"""# {spec.name}

`{file_name}`, sha256 `{policy.sha256}`

For the {spec.arm}: {_purpose(spec.task)}.
The file holds its spec and a self test; `evaluate_policy {file_name}` measures it again.
{_warning(shortfall)}
| | |
|---|---|
| task | {spec.task} |
| control rate | {spec.control_rate_hz:g} Hz |
| gravity compensation | {spec.gravity_compensation}: {gravity[spec.gravity_compensation]} |
| goals | {goal} {spec.goal.unit}, in `{spec.goal.frame}` |
| trained with | {made["algorithm"]}, seed {made["seed"]}, {made["env_steps"]:,} env steps, \
{made["wall_seconds"]:.0f} s{_taken_after(made)}{_began_with(made)} |
| learned | {_learned(made)} |
| worlds | {_worlds(made)} |
| by | sac_ros {spec.package_version}, revision `{made["git_revision"]}`, {made["date"]} |
{figures}

| joint | torque limit (N·m) | torque at action 1 (N·m) | velocity limit (rad/s) | \
positions in training (rad) |
|---|---|---|---|---|
{joints}

## Limits
- Trained in simulation only: {_LIKE_A_ROBOT if made.get("randomization") else _AS_DESCRIBED}
- Positions in training are the {spec.training_range.percentiles[0]:g} % to \
{spec.training_range.percentiles[1]:g} % quantiles; far outside them it was never tried.
- Goals outside the box are refused by `policy_node`; the corners of the box are its hardest part.
- Velocity limits are kept by the graph up to short overshoots, not guaranteed by it. The safety
  filter of `policy_node` belongs in front of a robot; see docs/safety.md.
"""


_AS_DESCRIBED = """no friction model beyond the URDF's, no latency, no sensor noise, no
  payload, no obstacles. It does not see the table."""
_LIKE_A_ROBOT = """worlds that differ as listed above, no obstacles. It does not see the
  table."""


def _learned(made: Mapping[str, Any]) -> str:
    """What of its torque was learned."""
    if made.get("prior", "none") == "none":
        return "all of its action; the graph adds damping"
    added = "what is added to the straight way to the goal; the graph makes torque of velocities"
    return added if made["actor_env_steps"] else f"nothing yet of {added}"


def _worlds(made: Mapping[str, Any]) -> str:
    """In what worlds it was trained, and its held-out goals are."""
    ranges = made.get("randomization", {})
    if not ranges:
        return "the arm as described"
    drawn = ", ".join(f"`{name}` {_range(values)}" for name, values in ranges.items())
    return f"one for each episode, the held-out goals' too: {drawn}"


def _range(values: Sequence[float]) -> str:
    """Low to high, or those of each joint in turn [2 n]."""
    pairs = [f"{low:g} to {high:g}" for low, high in zip(values[::2], values[1::2], strict=True)]
    return ", ".join(pairs) + (" (joint by joint)" if len(pairs) > 1 else "")


def _purpose(task: str) -> str:
    if task not in TASKS:
        return f"the task {task}"
    module, _, kind = TASKS[task].partition(":")
    purpose: str = getattr(import_module(module), kind).purpose
    return purpose


def _warning(shortfall: str) -> str:
    return f"\n**Not good enough**: {shortfall}.\n" if shortfall else ""


def _taken_after(made: Mapping[str, Any]) -> str:
    """Which of the run's actors it is; empty for a file without it."""
    if "actor_env_steps" not in made:
        return ""
    return f"; its best actor on the held-out goals, that after {made['actor_env_steps']:,} steps"


def _began_with(made: Mapping[str, Any]) -> str:
    """The policy that the training went on from; empty where it began with a new one."""
    if "began_with" not in made:
        return ""
    origin = made["began_with"]
    digest = f", sha256 `{origin['sha256']}`" if "sha256" in origin else ""
    return f"; went on from `{origin['file']}` ({origin['env_steps']:,} steps{digest})"
