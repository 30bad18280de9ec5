# SPDX-License-Identifier: Apache-2.0
"""The score of the last `make mutation`, file by file, as the table of docs/safety_tests.md.

    python tools/mutation_report.py              # the table
    python tools/mutation_report.py --survivors  # and the change that each survivor makes
    python tools/mutation_report.py --names      # the survivors alone, to try them again

The score is killed / (killed + survived); a mutant that no test runs counts as survived, one that
runs out of time as killed. Exit code 1 where the score of all is below 90 %, or mutants are left.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter, defaultdict

BAR = 0.9
_KILLED = ("killed", "timeout", "segfault", "caught by type check")
_LEFT = ("not checked", "check was interrupted by user")


def main(arguments: list[str]) -> int:
    """Print the table, and what survived where that is asked for."""
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    survivors = []
    for line in _mutmut("results", "--all", "true").splitlines():
        mutant, _, status = line.strip().rpartition(": ")
        if not mutant:
            continue
        kind = "killed" if status in _KILLED else "left" if status in _LEFT else "survived"
        counts[mutant.rpartition(".")[0].replace(".", "/") + ".py"][kind] += 1
        if kind == "survived":
            survivors.append(mutant)
    if "--names" in arguments:
        print("\n".join(survivors))
        return 0
    print("| file | killed | survived | score |\n|---|---|---|---|")
    for file, count in sorted(counts.items()):
        print(_row(f"`{file}`", count))
    total = sum(counts.values(), Counter())
    print(_row("all", total))
    if total["left"]:
        print(f"{total['left']} mutants are left: `make mutation` goes on")
    if "--survivors" in arguments:
        for mutant in survivors:
            print(_mutmut("show", mutant))
    return 1 if total["left"] or _score(total) < BAR else 0


def _row(name: str, count: Counter[str]) -> str:
    score = f"{100 * _score(count):.1f} %" if count["killed"] + count["survived"] else "not tried"
    return f"| {name} | {count['killed']} | {count['survived']} | {score} |"


def _score(count: Counter[str]) -> float:
    return count["killed"] / max(1, count["killed"] + count["survived"])


def _mutmut(*arguments: str) -> str:
    command = [sys.executable, "-m", "mutmut", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
