# SPDX-License-Identifier: Apache-2.0
"""`identify_robot`: from a recording to the world to train in; see docs/identification.md."""

from __future__ import annotations

import argparse
import json
import re
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from sac_ros.bags.clock import CLOCKS
from sac_ros.bags.columns import Spool
from sac_ros.bags.discovery import AskedTopics, parse_command_joints, parse_mapping
from sac_ros.bags.recording import ReadingOptions
from sac_ros.bags.torques import EFFORTS
from sac_ros.cli.arguments import add_links, number, seconds
from sac_ros.cli.evaluate_bag import progress_bar
from sac_ros.identification.identify import (
    GRAVITY_COMPENSATION,
    IdentificationOptions,
    identify_bags,
)
from sac_ros.identification.text import findings_json, findings_text
from sac_ros.identification.world_file import save_world, world_ranges, world_text
from sac_ros.robots.arm import load_arm
from sac_ros.utils.errors import (
    EXIT_BAD_ANSWER,
    EXIT_DONE,
    ConfigurationError,
    run_command,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """The console script; returns 0, 1 without any estimate, or 2 when it could not run."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    return run_command(lambda: _run(_parser().parse_args(given), given))


def _run(options: argparse.Namespace, given: Sequence[str]) -> int:
    if options.start is not None and options.end is not None and options.end < options.start:
        raise ConfigurationError(
            f"--end must not be before --start; got {options.start:g} and {options.end:g} s"
        )
    arm = load_arm(options.arm, options.base_link, options.tip_link)
    bag = options.bag[0].resolve()
    name = re.sub(r"[^\w.-]+", "_", bag.name if bag.is_dir() else bag.stem)
    path = options.output or Path("config", "identified", f"{name}.yaml")
    if path.exists() and not options.force:  # before minutes of reading
        save_world("", path, force=False)
    order, pairs = parse_command_joints(options.command_joints)
    reading = ReadingOptions(
        topics=AskedTopics(
            options.state_topic, options.command_topic, command_kind=options.command_kind
        ),
        mapping=parse_mapping(options.joints),
        command_joints=order,
        command_mapping=pairs,
        clock=options.time or "",
        start_s=options.start,
        end_s=options.end,
    )
    asked = IdentificationOptions(
        reading, options.effort or "", options.gravity_compensation, options.cutoff
    )
    with progress_bar(hidden=options.json) as progress:
        findings, source = identify_bags(options.bag, arm, asked, Spool(), progress)
    estimated = bool(world_ranges(arm, findings))
    if estimated:
        when = f"{shlex.join(['identify_robot', *given])}   # {time.strftime('%d %B %Y')}"
        text = world_text(arm, findings, source, options.gravity_compensation, when)
        save_world(text, path, force=options.force)
    if options.json:
        print(json.dumps(findings_json(findings, source, str(path) if estimated else None)))
    else:
        print(findings_text(findings, source))
        print(
            f"\nwritten to {path}"
            if estimated
            else "\nnothing could be estimated: no file is written"
        )
    return EXIT_DONE if estimated else EXIT_BAD_ANSWER


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="identify_robot",
        description="Estimate friction, rotor inertia, torque gain and bias, gravity-model error, "
        "payload and delay of an arm from a recording, and write the world to train in.",
        epilog="exit code: 0 done, 1 nothing could be estimated, 2 it could not run",
    )
    add = parser.add_argument
    add(
        "bag",
        type=Path,
        nargs="+",
        help="a rosbag2 folder, .db3, .mcap or ROS 1 .bag; several are one recording",
    )
    add(
        "--arm",
        required=True,
        metavar="A",
        help="a name in config/arms, the path of a YAML, or a URDF (path or package://)",
    )
    add_links(parser)
    add(
        "--gravity-compensation",
        choices=GRAVITY_COMPENSATION,
        default="robot",
        help="robot: it adds g(q) to the recorded torque (default); policy: the recorded torque "
        "holds the arm, as torques of joint sensors do",
    )
    add(
        "--effort",
        choices=EFFORTS,
        help="which torque: of the commands, or measured (default: of the commands, if recorded)",
    )
    add(
        "--output",
        type=Path,
        metavar="YAML",
        help="the parameter file (default: config/identified/NAME.yaml, the bag's name)",
    )
    add("--force", action="store_true", help="write over a parameter file that exists")
    add("--json", action="store_true", help="print one JSON object, nothing else")
    add(
        "--cutoff",
        type=number(0.1, 100.0, "a frequency of 0.1 to 100 Hz"),
        metavar="HZ",
        help="cutoff of the low-pass filter (default: by the noise of the positions)",
    )
    add(
        "--joints",
        action="append",
        default=[],
        metavar="ARM=BAG,...",
        help="the bag's name of each of the arm's joints, where they differ",
    )
    add(
        "--command-joints",
        default="",
        metavar="BAG,... or ARM=COMMAND,...",
        help="of a command without names: the joints of all its values in their order, _ for one "
        "of no interest (default: the arm's); of one with names: pairs where they differ",
    )
    add("--state-topic", default="", metavar="TOPIC", help="default: joint_states")
    add("--command-topic", default="", metavar="TOPIC", help="the commanded torques")
    add(
        "--command-kind",
        choices=("effort",),
        default="",
        help="take the commands as torques, where their name leaves it open",
    )
    add("--time", choices=CLOCKS, help="the clock (default: header stamps where there are any)")
    add("--start", type=seconds, metavar="S", help="seconds since the first joint state")
    add("--end", type=seconds, metavar="S", help="seconds since the first joint state")
    return parser


if __name__ == "__main__":
    sys.exit(main())
