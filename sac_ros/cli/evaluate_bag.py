# SPDX-License-Identifier: Apache-2.0
"""`evaluate_bag`: policy files on recordings, offline; see docs/bags.md."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sac_ros.bags.clock import CLOCKS
from sac_ros.bags.columns import Spool
from sac_ros.bags.discovery import AskedTopics, parse_mapping
from sac_ros.bags.evaluation import EvaluationOptions, evaluate_bags
from sac_ros.bags.figures import DEFAULT, FIGURES, compare, comparison_text, parse_thresholds
from sac_ros.bags.files import load_summary, save_series, save_summary, summary_text
from sac_ros.bags.recording import Progress, ReadingOptions
from sac_ros.bags.result import Evaluation
from sac_ros.bags.text_report import text_report
from sac_ros.policy.runtime import Policy
from sac_ros.utils.errors import (
    EXIT_BAD_ANSWER,
    EXIT_DONE,
    BagError,
    ConfigurationError,
    run_command,
)

_LONG = 200_000  # messages; fewer are read in a second


def main(arguments: Sequence[str] | None = None) -> int:
    """The console script; returns 0, 1 when a threshold is missed, or 2 when it could not run."""
    return run_command(lambda: _run(_parser().parse_args(arguments)))


def _run(options: argparse.Namespace) -> int:
    if options.compare:
        if others := _given_beside_compare(options):
            raise ConfigurationError(
                f"--compare takes two saved evaluations and, if wanted, --json; got {others[0]}"
            )
        found = compare(*(load_summary(path) for path in options.compare))
        print(json.dumps(found) if options.json else comparison_text(found))
        return EXIT_DONE
    if not options.bag:
        # `--model MODEL BAG` is an easy slip: the bag is then taken as a second policy.
        raise ConfigurationError("at least one bag must be named, before --model; got none")
    if not options.model:
        raise ConfigurationError("at least one policy must be named by --model; got none")
    if options.output is not None:
        _make_folder(options.output)
    policies = [Policy.load(path) for path in options.model]
    with progress_bar(hidden=options.json) as progress:
        evaluation, series = evaluate_bags(
            options.bag, policies, _options(options), Spool(options.output), progress
        )
    if options.output is not None:
        _save(evaluation, series, options.output)
    print(summary_text(evaluation) if options.json else text_report(evaluation), end="")
    if not options.json:
        print() if options.output is None else print(f"\nsaved in {options.output}")
    return EXIT_DONE if all(each.met for each in evaluation.thresholds) else EXIT_BAD_ANSWER


@contextlib.contextmanager
def progress_bar(hidden: bool) -> Iterator[Progress]:
    """Yield what is to be told the progress; it shows nothing unless stderr is a terminal."""
    with contextlib.ExitStack() as shown:
        bar: Any = None

        def update(done: int, expected: int) -> None:
            nonlocal bar
            if hidden or expected < _LONG or not sys.stderr.isatty():
                return
            if bar is None:
                from tqdm import tqdm  # noqa: PLC0415 - only where one is shown

                new = tqdm(total=expected, unit=" messages", unit_scale=True, desc="reading")
                bar = shown.enter_context(new)
            bar.update(done - bar.n)

        yield update


def _options(options: argparse.Namespace) -> EvaluationOptions:
    if options.start is not None and options.end is not None and options.end < options.start:
        raise ConfigurationError(
            f"--end must not be before --start; got {options.start:g} and {options.end:g} s"
        )
    return EvaluationOptions(
        reading=ReadingOptions(
            topics=AskedTopics(options.state_topic, options.command_topic, options.goal_topic),
            mapping=parse_mapping(options.joints),
            command_joints=tuple(filter(None, options.command_joints.split(","))),
            clock=options.time or "",
            start_s=options.start,
            end_s=options.end,
        ),
        goal=options.goal,
        thresholds=parse_thresholds(",".join(options.fail_on)),
        told=_told(options),
    )


def _told(options: argparse.Namespace) -> dict[str, Any]:
    """What was asked for, for the summary: without where it is written, so that runs compare."""
    left_out = ("bag", "model", "output", "json", "compare")
    return {
        name: ",".join(map(str, value)) if isinstance(value, (list, tuple)) else value
        for name, value in sorted(vars(options).items())
        if name not in left_out and value not in (None, "", [])
    }


def _given_beside_compare(options: argparse.Namespace) -> list[str]:
    """Name what a comparison has no use for: passed over, it would seem to have been heeded."""
    given = ["a bag"] if options.bag else []
    given += [f"--{name}" for name in ("model", "output") if getattr(options, name)]
    return given + [f"--{name.replace('_', '-')}" for name in _told(options)]


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"--output must be a folder; {folder} cannot be made: {error.strerror}"
        ) from error


def _save(evaluation: Evaluation, series: dict[str, Any], folder: Path) -> None:
    try:
        save_series(series, folder)
        save_summary(evaluation, folder)
        # Here, since matplotlib takes longer to import than many a bag to evaluate.
        from sac_ros.bags.report.page import save_report  # noqa: PLC0415

        save_report(evaluation, series, folder)
    except OSError as error:
        raise BagError(f"{folder} cannot be written: {error.strerror}") from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="evaluate_bag",
        description="Run policy files on recorded joint states and compare their torques with "
        "those recorded. Open loop: a good score does not predict the robot.",
        epilog="exit code: 0 done, 1 a threshold of --fail-on was missed, 2 it could not run",
    )
    add = parser.add_argument
    add(
        "bag",
        type=Path,
        nargs="*",
        help="a rosbag2 folder, .db3, .mcap or ROS 1 .bag; several are joined into one recording",
    )
    add(
        "--model",
        type=Path,
        nargs="+",
        action="extend",
        metavar="MODEL",
        help="policy files (ONNX)",
    )
    add(
        "--output",
        type=Path,
        metavar="DIR",
        help="write report.html, summary.json and series.npz there",
    )
    add("--json", action="store_true", help="print the summary as JSON, nothing else")
    add(
        "--joints",
        action="append",
        default=[],
        metavar="POLICY=BAG,...",
        help="the bag's name of each of the policy's joints, where they differ",
    )
    add(
        "--command-joints",
        default="",
        metavar="BAG,...",
        help="the joints in a command without names, in its order (default: the policy's)",
    )
    for role, what in (
        ("state", "default: joint_states"),
        ("command", "the recorded torques: an array of numbers, or the effort of joint states"),
        ("goal", "default: goal_pose"),
    ):
        add(f"--{role}-topic", default="", metavar="TOPIC", help=what)
    add("--goal", type=_numbers, metavar="X,Y,Z", help="one goal for all states, instead")
    add(
        "--time",
        choices=CLOCKS,
        help="the clock of all figures (default: header stamps where there are any)",
    )
    add("--start", type=_seconds, metavar="S", help="seconds since the first joint state")
    add("--end", type=_seconds, metavar="S", help="seconds since the first joint state")
    figures = "; ".join(f"{name}: {what}" for name, what in FIGURES.items())
    standard = ",".join(f"{name}={value:g}" for name, value in DEFAULT.items())
    add(
        "--fail-on",
        action="append",
        default=[],
        metavar="NAME=LARGEST,...",
        help=f"exit with 1 when a figure is larger; `default`: {standard}. {figures}",
    )
    add(
        "--compare",
        type=Path,
        nargs=2,
        metavar=("A", "B"),
        help="compare two saved evaluations instead",
    )
    return parser


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be seconds, 0 or more; got {text!r}")
    return value


def _numbers(text: str) -> tuple[float, ...]:
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if not values or not all(abs(value) < float("inf") for value in values):
        raise argparse.ArgumentTypeError(f"must be numbers separated by commas; got {text!r}")
    return values


if __name__ == "__main__":
    sys.exit(main())
