# SPDX-License-Identifier: Apache-2.0
"""What a run leaves to look at: a table, a learning curve, the arm reaching."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sac_ros.sim.vector_env import ArmVectorEnv
from sac_ros.training.evaluation import Controller, Evaluation
from sac_ros.utils.atomic_write import atomic_write

if TYPE_CHECKING:  # evaluate_policy needs no torch and draws nothing
    from sac_ros.sim.rendering import Frame
    from sac_ros.training.progress import EvaluationPoint


def evaluation_table(result: Evaluation, extra: Sequence[tuple[str, str]] = ()) -> str:
    """The figures of an evaluation, a line each; `extra` rows follow."""
    rows = [*figure_rows(dataclasses.asdict(result)), *extra]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"  {name:<{width}}  {value}" for name, value in rows)


def figure_rows(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Name and value of each figure of an evaluation; none for one that was not measured."""
    hold = found.get("hold") or {}
    tracking = found.get("tracking") or {}
    seconds = (found.get("time_to_goal_s") or {}).get("median")
    figures: list[tuple[str, Any, str]] = [
        ("held-out goals", found["episodes"], f"{{}} (seeds {found['seed']} and on)"),
        *(
            (_within(each, bool(found.get("tracking"))), each["rate"], "{:.1%}")
            for each in found["success"]
        ),
        ("tracking error after the first second, RMS", tracking.get("tracking_rms_m"), "{:.4f} m"),
        ("tracking lag", tracking.get("tracking_lag_s"), "{:.3f} s"),
        ("median error", 1e3 * found["median_error_m"], "{:.1f} mm"),
        ("95th percentile", 1e3 * found["p95_error_m"], "{:.1f} mm"),
        ("median error of the orientation", found.get("median_angle_error_rad"), "{:.4f} rad"),
        ("95th percentile", found.get("p95_angle_error_rad"), "{:.4f} rad"),
        ("time until it stays within 2 cm, median", seconds, "{:.2f} s"),
        (
            f"leave 2 cm, left for {hold.get('seconds', 0):g} s more",
            hold.get("left_2cm_rate"),
            "{:.1%}",
        ),
        ("joint speed there, median", hold.get("median_joint_speed"), "{:.4f} rad/s"),
        ("mean return", found.get("mean_return"), "{:.1f}"),
        ("RMS change of torque per step", found.get("rms_torque_step"), "{:.2f} N·m"),
        ("the same of torque at action 1", found.get("rms_torque_step_fraction"), "{:.1%}"),
        ("torque's power above 10 Hz", found.get("torque_power_above_10hz"), "{:.1%}"),
        ("joint samples above the velocity limit", found.get("overspeed_fraction"), "{:.1%}"),
        ("highest velocity, of a limit", found.get("max_velocity_fraction"), "{:.0%}"),
        ("episodes that end near a joint stop", found.get("joint_stop_rate"), "{:.1%}"),
        ("work per episode", found.get("work_j"), "{:.1f} J"),
    ]
    return [(name, form.format(value)) for name, value, form in figures if value is not None]


def _within(success: Mapping[str, Any], tracked: bool) -> str:
    near = f"within {100 * success['position_tolerance_m']:g} cm"
    turned = success.get("orientation_tolerance_rad")
    if turned is not None:
        near += f" and {np.rad2deg(turned):.0f}°"
    return near + (" RMS of the path" if tracked else ", still")


def save_learning_curve(
    points: Sequence[EvaluationPoint], path: Path, title: str, exported: int | None = None
) -> None:
    """Success and error over learning time, as a PNG.

    `exported`: environment steps of the actor in the policy file, which is marked: later ones may
    be worse.
    """
    # Imported here: pyplot takes half a second that a run does not need before its end.
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(7.0, 5.0), layout="constrained")
    FigureCanvasAgg(figure)
    success, error = figure.subplots(2, 1, sharex=True)
    seconds = [point.learning_seconds for point in points]
    success.plot(seconds, [100 * point.success_5cm for point in points], label="within 5 cm")
    success.plot(seconds, [100 * point.success_2cm for point in points], label="within 2 cm")
    success.axhline(95, color="grey", linewidth=0.8, linestyle=":")
    success.set(ylabel="held-out goals reached (%)", ylim=(-3, 103), title=title)
    for point in points:
        if point.env_steps == exported:
            label = f"exported: the best, after {exported:,} steps"
            success.axvline(point.learning_seconds, color="black", linestyle="--", label=label)
            error.axvline(point.learning_seconds, color="black", linestyle="--")
    success.legend(loc="lower right")
    error.semilogy(seconds, [1e3 * point.median_error_m for point in points], label="median")
    error.semilogy(seconds, [1e3 * point.p95_error_m for point in points], label="95th percentile")
    error.set(xlabel="learning time, evaluation excluded (s)", ylabel="final distance (mm)")
    error.legend(loc="upper right")
    for axes in (success, error):
        axes.grid(alpha=0.3)
    with atomic_write(path) as file:
        figure.savefig(file, dpi=120, format="png")


def save_reaching(
    env: ArmVectorEnv, controller: Controller, path: Path, *, goals: int = 4, seed: int = 7
) -> None:
    """A GIF of the arm reaching `goals` goals one after another, without a reset between.

    Args:
        env: an environment of one arm with render mode `rgb_array`.
        controller: what moves the arm.
        path: the GIF.
        goals: number of goals.
        seed: draws them.
    """
    from sac_ros.sim.rendering import caption, save_gif  # noqa: PLC0415 - see above

    assert env.camera is not None, "the render mode is rgb_array"
    frames: list[Frame] = []
    every = max(1, env.control_rate_hz // 12)
    _, end_effectors = env.samplers[0].draw(np.random.default_rng(seed), goals)
    position = env.arm.home
    for number, goal in enumerate(env.task.goal_at(end_effectors), start=1):
        options = {"goal": goal, "joint_position": position}
        observations, infos = env.reset(seed=seed, options=options)
        for step in range(round(1.8 * env.control_rate_hz)):
            torque, actions = controller(observations, infos)
            observations, _, _, _, infos = env.apply(actions, torque)
            position = infos["true_state"][0, : env.arm.joints]
            if step % every == 0:
                seconds, metres = (step + 1) / env.control_rate_hz, infos["distance"][0]
                words = caption(seconds, metres, f"goal {number} of {goals}")
                place = env.task.goal_pose(infos["goal"][0])[:3]
                frame = env.camera.look(position, place, words)
                assert frame is not None, "it is no window"
                frames.append(frame)
    save_gif(frames, path, env.control_rate_hz / every)
