# SPDX-License-Identifier: Apache-2.0
"""`sweep`: many trainings on the cores of this machine or of a Ray cluster; see docs/scale.md."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from sac_ros.sweeps.space import read_space
from sac_ros.utils.errors import EXIT_BAD_ANSWER, EXIT_DONE, run_command

_GRACE = 3.0  # s for Tune to note how far it is; what it noted before is at most ten seconds old


def main(arguments: Sequence[str] | None = None) -> int:
    """The console script; returns 0, 1 when a trial ended with an error, or 2."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    return run_command(
        lambda: _run(_parser().parse_args(given)),
        grace=_GRACE,
        words="stopping; the same command goes on from here",
    )


def _run(options: argparse.Namespace) -> int:
    space, address = read_space(options.space, options.change)
    output = options.output or Path("sweeps", options.space.stem)
    # Only here: a mistyped argument is refused before Ray and torch are imported.
    from sac_ros.sweeps.report import write_report  # noqa: PLC0415
    from sac_ros.sweeps.search import run_sweep  # noqa: PLC0415

    trials = run_sweep(space, output, address)
    print(write_report(space, trials, output))
    print(f"in {output}; the same command goes on where a sweep was ended")
    return EXIT_BAD_ANSWER if any(each.error for each in trials) else EXIT_DONE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sweep",
        description=(
            "Train many settings, or every combination of arms, tasks and seeds, with Ray Tune: "
            "Optuna proposes settings, ASHA ends those that lag behind, and the best becomes a "
            "parameter file. The same command continues an interrupted sweep."
        ),
        epilog="exit code: 0 done, 1 a trial ended with an error, 2 it could not run",
    )
    add = parser.add_argument
    add(
        "space",
        type=Path,
        metavar="SPACE.yaml",
        help="the file of the sweep, see docs/scale.md",
    )
    add(
        "change",
        nargs="*",
        metavar="NAME:=VALUE",
        help="in place of those of the file: total_steps:=20000, trials:=5; ray_address:=auto or "
        "HOST:PORT for a cluster (default: the cores of this machine)",
    )
    add("--output", type=Path, metavar="D", help="directory of the sweep (default: sweeps/SPACE)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
