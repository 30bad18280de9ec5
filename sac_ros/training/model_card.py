# SPDX-License-Identifier: Apache-2.0
"""The model card of a policy file: what its spec says, for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sac_ros.policy.runtime import Policy


def model_card(policy: Policy, file_name: str) -> str:
    """Markdown that says what `policy` is, how it was made, how it did, and what it is not for."""
    spec = policy.spec
    made, found = spec.training, spec.evaluation
    goal = ", ".join(
        f"{name} {low:g} to {high:g}"
        for name, low, high in zip(spec.goal.fields, spec.goal.low, spec.goal.high, strict=True)
    )
    seeds = found["seeds"]
    gravity = {
        "robot": "the robot adds g(q) itself",
        "policy": "the torque holds g(q), from the URDF; the robot must add nothing",
    }
    success = "".join(
        f"| within {100 * each['position_tolerance_m']:g} cm | {each['rate']:.1%} of "
        f"{found['episodes']} held-out goals |\n"
        for each in found["success"]
    )
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

Moves the {spec.arm}'s tip to a goal point and keeps it there. The file holds its spec and a self
test; `evaluate_policy {file_name}` measures it again.

| | |
|---|---|
| task | {spec.task} |
| control rate | {spec.control_rate_hz:g} Hz |
| gravity compensation | {spec.gravity_compensation}: {gravity[spec.gravity_compensation]} |
| goals | {goal} {spec.goal.unit}, in `{spec.goal.frame}` |
| trained with | {made["algorithm"]}, seed {made["seed"]}, {made["env_steps"]:,} env steps, \
{made["wall_seconds"]:.0f} s{_taken_after(made)} |
| by | sac_ros {spec.package_version}, revision `{made["git_revision"]}`, {made["date"]} |
{success}| median, 95th percentile | {1e3 * found["median_error_m"]:.1f} mm, \
{1e3 * found["p95_error_m"]:.1f} mm |
{_motion_rows(found)}| evaluation seeds | {seeds[0]} to {seeds[1]} |

| joint | torque limit (N·m) | torque at action 1 (N·m) | velocity limit (rad/s) | \
positions in training (rad) |
|---|---|---|---|---|
{joints}

## Limits
- Trained in simulation only: no friction model beyond the URDF's, no latency, no sensor noise, no
  payload, no obstacles. It does not see the table.
- Positions in training are the {spec.training_range.percentiles[0]:g}th to \
{spec.training_range.percentiles[1]:g}th percentile; far outside them it was never tried.
- Goals outside the box are refused by `policy_node`; the corners of the box are its hardest part.
- Velocity limits are kept by the graph up to short overshoots, not guaranteed by it. The safety
  filter of `policy_node` belongs in front of a robot; see docs/safety.md.
"""


def _taken_after(made: Mapping[str, Any]) -> str:
    """Which of the run's actors it is; empty for a file that does not tell."""
    if "actor_env_steps" not in made:
        return ""
    return f"; its best actor on the held-out goals, that after {made['actor_env_steps']:,} steps"


def _motion_rows(found: Mapping[str, Any]) -> str:
    """Table rows on the motion; none for a policy file from before these were measured."""
    figures = {
        "RMS change of torque per step": ("rms_torque_step", "{:.2f} N·m"),
        "the same of torque at action 1": ("rms_torque_step_share", "{:.1%}"),
        "torque's power above 10 Hz": ("torque_power_above_10hz", "{:.1%}"),
        "joint samples above the velocity limit": ("overspeed_share", "{:.1%}"),
        "joint samples near a position limit": ("joint_limit_share", "{:.1%}"),
    }
    return "".join(
        f"| {name} | {form.format(found[key])} |\n"
        for name, (key, form) in figures.items()
        if key in found
    )
