# SPDX-License-Identifier: Apache-2.0
"""`python -m benchmarks.ablation`: trains what is not trained yet, writes the table and curves."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import result as benchmark_result
from benchmarks.ablation.curves import save_curves
from benchmarks.ablation.page import write_page
from benchmarks.ablation.runs import Run, run_all
from benchmarks.ablation.study import Study, save_result
from benchmarks.ablation.summary import solved_at
from benchmarks.ablation.variants import DEFAULT, chosen
from sac_ros.utils.errors import run_command

DOCS = Path(__file__).parents[2] / "docs"
_INTERRUPTED = 130  # the exit code that shells give for Ctrl-C


def main(arguments: Sequence[str] | None = None, study: Study | None = None) -> int:
    """Returns 0; 1 if a run failed, 2 for wrong arguments, 130 when interrupted.

    Args:
        arguments: those of the command line by default.
        study: taken in place of the one that the arguments describe.
    """
    options = _parser().parse_args(arguments)
    study = study or Study(seeds=options.seeds, steps=options.steps, jobs=options.jobs)
    return run_command(lambda: _run(options, study))


def _run(options: argparse.Namespace, study: Study) -> int:
    runs_directory = options.directory / "ablation_runs"
    changes = chosen((DEFAULT, *study.variants), options.only)
    wanted = {DEFAULT.label, *(each.label for each in changes)}
    runs, skipped = study.plan()
    for each in skipped:
        if each.variant.label in wanted:
            print(f"{each.variant.label} is left out: {each.reason}")
    mine = [run for run in runs if run.variant.label in wanted]
    missing = [run for run in mine if run.result(runs_directory) is None]
    failed: list[Run] = []
    if not options.report:
        print(f"{len(missing)} of {len(mine)} runs to do, {study.jobs} at a time", flush=True)
        teller = _Teller(runs_directory, len(missing), study.jobs)
        try:
            failed = run_all(missing, runs_directory, study.jobs, teller.tell)
        except KeyboardInterrupt:
            print(
                f"\ninterrupted; the finished runs are kept in {runs_directory}: the same command "
                "goes on, --report writes what there is"
            )
            return _INTERRUPTED
    _report(study, runs_directory, options)
    return 1 if failed else 0


def _report(study: Study, runs_directory: Path, options: argparse.Namespace) -> None:
    """Writes and prints the results of all finished runs, those of earlier calls too."""
    found = study.result(runs_directory)
    if not found["details"]:
        print(f"no run is finished in {runs_directory}, so there is nothing to write")
        return
    paths = [save_result(found, options.directory), options.docs / "ablation.md"]
    write_page(found, paths[-1])
    paths += save_curves(found["details"], options.docs / "images")
    print(f"\n{benchmark_result.text(found)}\n")
    print("\n".join(f"  {path}" for path in paths))


class _Teller:
    """Reports how far the runs are, and how long the rest will take."""

    def __init__(self, directory: Path, total: int, jobs: int) -> None:
        self._directory, self._total, self._jobs = directory, total, jobs
        self._started, self._ended = time.monotonic(), 0

    def tell(self, run: Run, seconds: float) -> None:
        """Is called with every run that has ended, and its seconds."""
        self._ended += 1
        per_run = (time.monotonic() - self._started) / self._ended
        minutes = per_run * (self._total - self._ended) / 60.0
        print(
            f"{self._ended}/{self._total} {run.variant.label}, seed {run.config.seed}: "
            f"{self._outcome(run)}; {seconds:.0f} s, {minutes:.0f} min left",
            flush=True,
        )

    def _outcome(self, run: Run) -> str:
        found = run.result(self._directory)
        if found is None:
            return f"FAILED, see {run.path(self._directory).with_suffix('.log')}"
        point = solved_at(found)
        solved = "not solved" if point is None else f"solved after {point.seconds:.1f} CPU s"
        final = found["final"]
        return f"{solved}, {final['success_2cm']:.1%} within 2 cm in the end"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.ablation",
        description="Train the default configuration and one-factor changes of it; write "
        "results/ablation.json and docs/ablation.md. Finished runs are not repeated.",
    )
    parser.add_argument("--seeds", type=_positive, default=3, metavar="N", help="default 3")
    parser.add_argument(
        "--steps", type=_positive, default=75_000, metavar="N", help="env steps (default 75000)"
    )
    parser.add_argument(
        "--jobs", type=_positive, default=2, metavar="N", help="runs at once (default 2)"
    )
    parser.add_argument(
        "--only",
        nargs="+",
        default=[],
        metavar="CHANGE",
        help="run only these changes or groups, and the default configuration",
    )
    parser.add_argument("--report", action="store_true", help="run nothing, write what there is")
    parser.add_argument(
        "--directory", type=Path, default=benchmark_result.DIRECTORY, help="of the results"
    )
    parser.add_argument("--docs", type=Path, default=DOCS, help="where ablation.md is written")
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"must be a whole number, 1 or more; got {text!r}")
    return int(text)


if __name__ == "__main__":
    raise SystemExit(main())
