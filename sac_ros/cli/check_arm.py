# SPDX-License-Identifier: Apache-2.0
"""`check_arm`: what is found in an arm's description, and what follows from it."""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sac_ros.cli.arguments import add_links
from sac_ros.robots.arm import Arm, load_arm
from sac_ros.robots.defaults import inner_limits
from sac_ros.sim.backend import BACKENDS, PHYSICS_RATE, make_backend
from sac_ros.sim.description import link_names
from sac_ros.sim.inspection import Inspection, inspect
from sac_ros.utils.atomic_write import atomic_write
from sac_ros.utils.errors import EXIT_BAD_ANSWER, EXIT_DONE, ConfigurationError, run_command

_COLUMNS = (
    ("velocity_limit", "rad/s"), ("torque_limit", "N·m"), ("damping", "N·m·s/rad"),
    ("friction", "N·m"), ("armature", "kg·m²"), ("action_scale", "N·m"), ("home", "rad"),
    ("control_damping", "N·m·s/rad"), ("stop_damping", "N·m·s/rad"), ("brake_limit", "N·m"),
)  # fmt: skip
_MOST_PAIRS = 8  # of links that collide, in the text


def main(arguments: Sequence[str] | None = None) -> int:
    """The console script; returns 0, 1 when something is doubtful, or 2 for a refused arm."""
    return run_command(lambda: _run(_parser().parse_args(arguments)))


def _run(options: argparse.Namespace) -> int:
    arm = load_arm(options.arm, options.base_link, options.tip_link)
    backend = make_backend(options.backend, arm, gravity=False)
    found = inspect(arm, backend)
    backend.close()
    doubts = found.doubts(arm)
    picture = None if options.output is None else _draw(arm, options.output)
    if options.json:
        print(json.dumps(_as_json(arm, found, doubts, picture)))
    else:
        print(_text(arm, found, doubts))
        print("" if picture is None else f"\ndrawn in {picture}")
    return EXIT_BAD_ANSWER if doubts else EXIT_DONE


def _as_json(
    arm: Arm, found: Inspection, doubts: list[str], picture: Path | None
) -> dict[str, Any]:
    arrays = ("position_limit", *(key for key, _ in _COLUMNS), "goal_low", "goal_high")
    return {
        "arm": arm.reference,
        **{key: getattr(arm, key) for key in ("name", "base_link", "tip_link", "joint_names")},
        **{key: getattr(arm, key).tolist() for key in arrays},
        "origin": dict(arm.origin),
        "mass": arm.bodies.mass.tolist(),
        "principal_inertia": np.linalg.eigvalsh(arm.bodies.inertia).tolist(),
        **dataclasses.asdict(found),
        "notes": arm.notes,
        "doubts": doubts,
        "picture": None if picture is None else str(picture),
    }


def _text(arm: Arm, found: Inspection, doubts: list[str]) -> str:
    box = " to ".join(f"({', '.join(f'{x:g}' for x in c)})" for c in (arm.goal_low, arm.goal_high))
    step = found.explicit_timestep
    explicit = "any step" if step is None else f"a step below {1e3 * step:.3g} ms"
    lines = [
        f"arm {arm.name}: {arm.joints} joints from {arm.base_link} to {arm.tip_link}",
        "",
        *_joint_table(arm, found),
        "",
        *(f"{key}: {origin}" for key, origin in arm.origin.items()),
        "",
        *_body_table(arm),
        "",
        f"goal box {box} m in {arm.base_link}: {found.reachable_fraction:.0%} can be reached",
        f"time step {1e3 / PHYSICS_RATE:g} ms; c·dt/I is {max(found.damping_number):.2g} or less",
        f"  (both engines take damping implicitly; {explicit} is stable without that)",
        f"{found.collision_fraction:.1%} of random configurations collide",
        *(f"  {pair}: {part:.1%}" for pair, part in [*found.collisions.items()][:_MOST_PAIRS]),
        *(
            f"{engine} agrees with the closed formulas to "
            + ", ".join(f"{key} {value:.1g}" for key, value in differences.items())
            for engine, differences in found.agreement.items()
        ),
    ]
    if found.without_shape:
        lines.append(f"links without a shape that collides: {', '.join(found.without_shape)}")
    lines += [f"note: {note}" for note in arm.notes]
    return "\n".join(lines + [f"DOUBTFUL: {doubt}" for doubt in doubts])


def _joint_table(arm: Arm, found: Inspection) -> list[str]:
    names = ["position_limit", *(key for key, _ in _COLUMNS), "I at home", "c·dt/I"]
    units = ["rad", *(unit for _, unit in _COLUMNS), "kg·m²", ""]
    rows = [["joint", *names], ["", *units]]
    for index, joint in enumerate(arm.joint_names):
        low, high = arm.position_limit[index]
        values = [getattr(arm, key)[index] for key, _ in _COLUMNS]
        values += [found.inertia[index], found.damping_number[index]]
        rows.append([joint, f"{low:.3g}..{high:.3g}", *(f"{value:.3g}" for value in values)])
    return _aligned(rows)


def _body_table(arm: Arm) -> list[str]:
    moments = np.linalg.eigvalsh(arm.bodies.inertia)
    rows = [["body", "mass, kg", "principal moments, kg·m²"]]
    for link, mass, each in zip(link_names(arm)[1:], arm.bodies.mass, moments, strict=True):
        rows.append([link, f"{mass:.3g}", " ".join(f"{moment:.3g}" for moment in each)])
    return _aligned(rows)


def _aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def _draw(arm: Arm, folder: Path) -> Path:
    """The arm at home with its goal box and the end effector's places, as DIR/NAME.png."""
    # Imported here: matplotlib takes half a second that --json alone does not need.
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    from sac_ros.sim.rendering import Camera  # noqa: PLC0415

    frames = arm.chain.frames_at(arm.home)
    camera = Camera(arm)
    frame = camera.look(arm.home, frames.end_effector)
    camera.close()
    assert frame is not None, "a camera without a window has one"
    drawn = np.random.default_rng(0).uniform(*inner_limits(arm.position_limit), (1000, arm.joints))
    places = arm.chain.forward(drawn)
    corners = np.array(np.meshgrid(*zip(arm.goal_low, arm.goal_high, strict=True))).reshape(3, 8).T
    edges = [(a, b) for a in corners for b in corners if 0 < np.sum(a != b) < 2]
    line = np.vstack([np.zeros(3), frames.origin, frames.end_effector])

    figure = Figure(figsize=(11.0, 5.0), layout="constrained")
    FigureCanvasAgg(figure)
    space = figure.add_subplot(1, 2, 1, projection="3d")
    space.scatter(*places.T, s=1, color="tab:blue", alpha=0.3)
    for edge in edges:
        space.plot(*np.array(edge).T, color="tab:red", linewidth=1.0)
    space.plot(*line.T, "o-", color="black", linewidth=2.5)
    space.set(xlabel="x (m)", ylabel="y (m)", zlabel="z (m)", aspect="equal")
    space.set_title(f"{arm.name}: home, goal box, places of {arm.tip_link}", fontsize=9)
    picture = figure.add_subplot(1, 2, 2)
    if frame is not None:
        picture.imshow(frame)
    picture.axis("off")
    path = folder / (re.sub(r"[^\w.-]+", "_", arm.name) + ".png")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as file:
            figure.savefig(file, dpi=110, format="png")
    except OSError as error:
        raise ConfigurationError(
            f"--output must be a folder; {folder} cannot be written: {error.strerror}"
        ) from error
    return path


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="check_arm",
        description="Print what an arm's description contains, and what is computed from it.",
        epilog="exit code: 0 fine, 1 something is doubtful, 2 the arm is refused",
    )
    add = parser.add_argument
    add("arm", help="a name in config/arms, the path of a YAML, or a URDF (path or package://)")
    add_links(parser)
    add("--backend", choices=BACKENDS, default="bullet", help="the engine for collisions (bullet)")
    add("--output", type=Path, metavar="DIR", help="draw the arm into DIR/NAME.png")
    add("--json", action="store_true", help="print one JSON object, nothing else")
    return parser


if __name__ == "__main__":
    sys.exit(main())
