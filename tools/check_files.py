# SPDX-License-Identifier: Apache-2.0
"""Checks files before a commit: `check_files.py FILE...`; without files, all that git tracks."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from xml.etree import ElementTree

import yaml

LARGEST = 2**20  # bytes; policies have 0.2 MB, pictures less than that


def _read_yaml(text: str) -> None:
    for _ in yaml.compose_all(text):  # composed, not made: tags of other programs are fine
        pass


READERS = {
    ".cff": _read_yaml,
    ".json": json.loads,
    ".urdf": ElementTree.fromstring,
    ".xml": ElementTree.fromstring,
    ".yaml": _read_yaml,
    ".yml": _read_yaml,
}


def complaint(file: Path) -> str:
    """What is wrong with a file, in a sentence; empty: nothing."""
    if file.stat().st_size > LARGEST:
        return f"{file} must have at most {LARGEST} bytes; it has {file.stat().st_size}"
    reader = READERS.get(file.suffix)
    if reader is None:
        return ""
    try:
        reader(file.read_text(encoding="utf-8"))
    except (ValueError, SyntaxError, yaml.YAMLError) as error:
        return f"{file} cannot be read: {' '.join(str(error).split())}"
    return ""


def main(files: Iterable[str]) -> int:
    """Prints each complaint; returns 1 where there is one."""
    names = list(files) or subprocess.check_output(["git", "ls-files"], text=True).splitlines()
    found = [said for file in map(Path, names) if file.is_file() and (said := complaint(file))]
    print(*found, sep="\n", end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
