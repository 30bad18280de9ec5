# SPDX-License-Identifier: Apache-2.0
"""Take every guard away, one at a time, and name the test that notices.

    python tools/mutate_guards.py            # all of them, some minutes
    python tools/mutate_guards.py clamp slew # those with such a word

Each edit is made in a copy of this repository. Prints a table for docs/safety.md; exit code 1 when
a guard can go without a test noticing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from guard_mutations import MUTATIONS, Mutation

ROOT = Path(__file__).resolve().parent.parent
_COPIED = ("sac_ros", "test", "benchmarks", "config", "package.xml", "pyproject.toml", "setup.py")


def main(words: list[str]) -> int:
    """Try the mutations whose guard has one of the words, all without words."""
    chosen = [m for m in MUTATIONS if not words or any(word in m.guard for word in words)]
    unnoticed = 0
    print("| without this guard | this test fails |\n|---|---|")
    for mutation in chosen:
        test = _first_failure(mutation)
        unnoticed += not test
        print(f"| {mutation.guard} | {f'`{test}`' if test else '**none**'} |", flush=True)
    return 1 if unnoticed else 0


def mutated(mutation: Mutation, root: Path) -> str:
    """Return the text of the mutation's file below ``root`` with the guard taken away.

    Raises:
        ValueError: the text to replace does not stand exactly once in the file.
    """
    text = (root / "sac_ros" / mutation.file).read_text(encoding="utf-8")
    if text.count(mutation.old) != 1:
        raise ValueError(
            f"{mutation.old!r} must stand once in sac_ros/{mutation.file}; "
            f"it stands {text.count(mutation.old)} times"
        )
    return text.replace(mutation.old, mutation.new)


def _first_failure(mutation: Mutation) -> str:
    """The name of the first test that fails without the guard; empty when none does."""
    with tempfile.TemporaryDirectory() as directory:
        copy = Path(directory)
        for name in _COPIED:
            source = ROOT / name
            if source.is_dir():
                skip = shutil.ignore_patterns("__pycache__", "results")
                shutil.copytree(source, copy / name, ignore=skip)
            else:
                shutil.copy(source, copy / name)
        (copy / "sac_ros" / mutation.file).write_text(mutated(mutation, copy), encoding="utf-8")
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
        done = subprocess.run(
            [*command, *mutation.tests],
            cwd=copy,
            env={**os.environ, "PYTHONPATH": str(copy)},
            capture_output=True,
            text=True,
            check=False,
        )
    for line in done.stdout.splitlines():
        if line.startswith(("FAILED ", "ERROR ")):
            return line.split(" ")[1].partition("::")[2].partition("[")[0]
    return ""


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
