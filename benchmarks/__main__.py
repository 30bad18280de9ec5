# SPDX-License-Identifier: Apache-2.0
"""`python -m benchmarks`: measures, prints the tables, writes results/*.json."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from benchmarks import (
    bag_memory,
    bag_rate,
    env_rate,
    node_latency,
    result,
    time_to_solve,
    update_rate,
)
from sac_ros.utils.errors import run_command

BENCHMARKS = {
    module.NAME: module
    for module in (
        bag_rate,
        bag_memory,
        env_rate,
        update_rate,
        node_latency,
        time_to_solve,
    )  # the quick ones first
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the benchmarks that are named, all by default; returns 0, or 2 for wrong arguments."""
    options = _parser().parse_args(arguments)
    return run_command(lambda: _show(options) if options.show else _measure(options))


def _measure(options: argparse.Namespace) -> int:
    for name in options.benchmark or BENCHMARKS:
        print(f"{name} ...", flush=True)
        found = BENCHMARKS[name].from_options(options).measure()
        path = result.save(found, options.directory)
        print(f"\n{result.text(found)}\n  {path}\n", flush=True)
    return 0


def _show(options: argparse.Namespace) -> int:
    for name in options.benchmark or BENCHMARKS:
        path = options.directory / f"{name}.json"
        if path.is_file():
            print(f"{result.text(json.loads(path.read_text(encoding='utf-8')))}\n  {path}\n")
        else:
            print(f"{name}: no result at {path}\n")
    return 0


def _name(text: str) -> str:
    if text not in BENCHMARKS:
        raise argparse.ArgumentTypeError(f"must be one of {', '.join(BENCHMARKS)}; got {text!r}")
    return text


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure this package against its peers, in turns on this machine.",
    )
    parser.add_argument(
        "benchmark",
        nargs="*",
        type=_name,
        metavar="BENCHMARK",
        help=f"{', '.join(BENCHMARKS)}; all if none is named",
    )
    parser.add_argument("--show", action="store_true", help="print saved results only")
    parser.add_argument(
        "--directory",
        type=Path,
        default=result.DIRECTORY,
        help="where results are (default: benchmarks/results)",
    )
    parser.add_argument(
        "--repetitions", type=int, default=3, metavar="N", help="of the two rates (default 3)"
    )
    for module in BENCHMARKS.values():
        module.add_arguments(parser)
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
