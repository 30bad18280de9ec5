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
from sac_ros.bags.contents import contents_text, read_contents
from sac_ros.bags.decision import read_bounds
from sac_ros.bags.discovery import COMMAND_KINDS, AskedTopics, parse_command_joints, parse_mapping
from sac_ros.bags.evaluation import EvaluationOptions, evaluate_bags
from sac_ros.bags.figures import AS_VERDICT, FIGURES, compare, comparison_text, parse_thresholds
from sac_ros.bags.files import (
    EXPORTS,
    json_text,
    load_summary,
    save_series,
    save_summary,
    summary_text,
)
from sac_ros.bags.recording import Progress, ReadingOptions, opened
from sac_ros.bags.result import OPEN_LOOP, Evaluation
from sac_ros.bags.table import each_has_states, save_table, table_text, unlike_names
from sac_ros.bags.text_report import text_report
from sac_ros.cli.arguments import seconds
from sac_ros.policy.runtime import Policy
from sac_ros.utils.errors import (
    EXIT_BAD_ANSWER,
    EXIT_COULD_NOT_RUN,
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
                f"--compare takes two saved evaluations and, optionally, --json; got {others[0]}"
            )
        found = compare(*(load_summary(path) for path in options.compare))
        print(json.dumps(found) if options.json else comparison_text(found))
        return EXIT_DONE
    if not options.bag:
        # `--model MODEL BAG` is an easy slip: the bag is then taken as a second policy.
        raise ConfigurationError("at least one bag must be named, before --model; got none")
    if not options.model:
        return _list(options)
    if options.export and options.output is None:
        raise ConfigurationError("--export writes into the folder of --output; got none")
    if options.output is not None:
        _make_folder(options.output)
    policies = [Policy.load(path) for path in options.model]
    if len(options.bag) > 1 and not options.join and each_has_states(options.bag):
        return _evaluate_each(options, policies)
    evaluation = _evaluate(options, policies, options.bag, options.output)
    print(summary_text(evaluation) if options.json else text_report(evaluation), end="")
    if not options.json:
        print() if options.output is None else print(f"\nsaved in {options.output}")
    return EXIT_DONE if evaluation.met else EXIT_BAD_ANSWER


def _evaluate(
    options: argparse.Namespace,
    policies: Sequence[Policy],
    bags: Sequence[Path],
    folder: Path | None,
) -> Evaluation:
    with progress_bar(hidden=options.json) as progress:
        evaluation, series = evaluate_bags(
            bags, policies, _options(options), Spool(options.output), progress
        )
    if folder is not None:
        _make_folder(folder)
        _save(evaluation, series, folder, options.export)
    return evaluation


def _evaluate_each(options: argparse.Namespace, policies: Sequence[Policy]) -> int:
    """Evaluate every bag by itself and print them side by side; a refused one ends nothing."""
    done: dict[str, Evaluation] = {}
    refused: dict[str, str] = {}
    for bag, name in zip(options.bag, unlike_names(options.bag), strict=True):
        folder = None if options.output is None else options.output / name
        try:
            done[name] = _evaluate(options, policies, [bag], folder)
        except (BagError, ConfigurationError) as error:
            refused[name] = str(error)
    if options.output is not None:
        save_table(done, options.output)
    if options.json:
        each = {name: json.loads(summary_text(found)) for name, found in done.items()}
        print(json_text({"evaluations": each, "refused": refused}), end="")
    else:
        print(table_text(done))
        for sentence in refused.values():
            print(f"refused: {sentence}")
        print(f"\n{OPEN_LOOP}")
    if refused:
        return EXIT_COULD_NOT_RUN
    return EXIT_DONE if all(each.met for each in done.values()) else EXIT_BAD_ANSWER


def _list(options: argparse.Namespace) -> int:
    """Print what is in the bags: without a policy there is nothing to evaluate."""
    if given := [f"--{name.replace('_', '-')}" for name in _arguments(options)]:
        raise ConfigurationError(f"{given[0]} is for an evaluation, which needs --model")
    with opened(options.bag) as bags:
        contents = read_contents(bags, Spool(options.output))
    print(json_text(contents) if options.json else contents_text(contents) + "\n", end="")
    return EXIT_DONE


@contextlib.contextmanager
def progress_bar(hidden: bool) -> Iterator[Progress]:
    """Yield what takes the progress; it shows nothing unless stderr is a terminal."""
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
    order, pairs = parse_command_joints(options.command_joints)
    return EvaluationOptions(
        reading=ReadingOptions(
            topics=AskedTopics(
                options.state_topic,
                options.command_topic,
                options.goal_topic,
                command_kind=options.command_kind or "",
            ),
            mapping=parse_mapping(options.joints),
            command_joints=order,
            command_mapping=pairs,
            clock=options.time or "",
            start_s=options.start,
            end_s=options.end,
        ),
        goal=options.goal,
        bounds=read_bounds(options.thresholds),
        thresholds=parse_thresholds(",".join(options.fail_on)),
        arguments=_arguments(options),
    )


def _arguments(options: argparse.Namespace) -> dict[str, Any]:
    """What was asked for, for the summary: without where it is written, so that runs compare."""
    left_out = ("bag", "model", "output", "export", "json", "compare")
    values = {**vars(options), "join": options.join or ""}
    return {
        name: _plain(value)
        for name, value in sorted(values.items())
        if name not in left_out and value not in (None, "", [], ())
    }


def _plain(value: Any) -> Any:
    """Return an option's value as JSON has it."""
    if isinstance(value, (list, tuple)):
        return ",".join(map(str, value))
    return str(value) if isinstance(value, Path) else value


def _given_beside_compare(options: argparse.Namespace) -> list[str]:
    """Name what a comparison has no use for: passed over, it would seem to have been heeded."""
    given = ["a bag"] if options.bag else []
    given += [f"--{name}" for name in ("model", "output", "export") if getattr(options, name)]
    return given + [f"--{name.replace('_', '-')}" for name in _arguments(options)]


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"--output must be a folder; {folder} cannot be made: {error.strerror}"
        ) from error


def _save(
    evaluation: Evaluation, series: dict[str, Any], folder: Path, formats: tuple[str, ...]
) -> None:
    try:
        save_series(series, folder)
        save_summary(evaluation, folder)
        from sac_ros.bags.report.page import save_report  # noqa: PLC0415 - jinja2 is for this only

        save_report(evaluation, series, folder)
        if formats:
            from sac_ros.bags.export import export  # noqa: PLC0415 - rosbags is slow to import

            export(evaluation, series, folder, formats)
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
        help="a rosbag2 folder, .db3, .mcap or ROS 1 .bag; several make a table, or one recording "
        "where not each has joint states",
    )
    add(
        "--model",
        type=Path,
        nargs="+",
        action="extend",
        metavar="MODEL",
        help="policy files (ONNX); without one, list what is in the bags: topics, joints, rates",
    )
    add(
        "--output",
        type=Path,
        metavar="DIR",
        help="directory for report.html, summary.json and series.npz",
    )
    add(
        "--export",
        type=_formats,
        default=(),
        metavar="FORMAT,...",
        help=(
            "also write mcap, a bag of recorded and policy torques with layouts for Foxglove and "
            "PlotJuggler, or csv, a table of them"
        ),
    )
    add("--json", action="store_true", help="print the summary as JSON, nothing else")
    add(
        "--join",
        action="store_true",
        help="take several bags for one recording, though each has joint states of its own",
    )
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
        metavar="BAG,... or POLICY=COMMAND,...",
        help="of a command without names: the joints of all its values in their order, _ for one "
        "of no interest (default: the policy's); of one with names: pairs where they differ",
    )
    for role, what in (
        ("state", "default: joint_states"),
        ("command", "the recorded torques: arrays of numbers, joint states or trajectories"),
        ("goal", "default: goal_pose"),
    ):
        add(f"--{role}-topic", default="", metavar="TOPIC", help=what)
    add(
        "--command-kind",
        choices=COMMAND_KINDS,
        help="what the commands are; only effort is compared (default: by name and fields)",
    )
    add(
        "--goal",
        type=_numbers,
        metavar="X,Y,Z",
        help="one goal for all states, in place of the recorded ones",
    )
    add(
        "--time",
        choices=CLOCKS,
        help="the clock of all figures (default: header stamps where there are any)",
    )
    add("--start", type=seconds, metavar="S", help="seconds since the first joint state")
    add("--end", type=seconds, metavar="S", help="seconds since the first joint state")
    figures = "; ".join(f"{name}: {what}" for name, what in FIGURES.items())
    add(
        "--thresholds",
        type=Path,
        metavar="YAML",
        help=(
            "bounds that decide whether a policy may go on the robot (default: "
            "config/evaluation.yaml)"
        ),
    )
    add(
        "--fail-on",
        action="append",
        default=[],
        metavar="NAME=LARGEST,...",
        help="exit with 1 when a figure is larger; "
        f"{' or '.join(AS_VERDICT)}: when the verdict is that, or worse. {figures}",
    )
    add(
        "--compare",
        type=Path,
        nargs=2,
        metavar=("A", "B"),
        help="compare two saved evaluations instead",
    )
    return parser


def _formats(text: str) -> tuple[str, ...]:
    names = tuple(filter(None, text.split(",")))
    if wrong := [name for name in names if name not in EXPORTS]:
        raise argparse.ArgumentTypeError(f"must be of {', '.join(EXPORTS)}; got {wrong[0]!r}")
    return names


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
