# SPDX-License-Identifier: Apache-2.0
"""`make setup` on a machine like Ubuntu 24.04 with ROS 2: its Python is externally managed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]

# Stands in for pip: notes what it is asked for, and waits where the test wants that.
PIP = """
import os, sys, time
from pathlib import Path
here = Path(__file__).parents[1]
with open(here / "calls", "a") as calls:
    calls.write(" ".join(sys.argv[1:]) + "\\n")
if sys.prefix == sys.base_prefix:
    sys.exit("error: externally-managed-environment")
while (here / "wait").exists():
    time.sleep(0.01)
if (here / "fail").exists():
    sys.exit("ERROR: no network here")
"""


class Machine(NamedTuple):
    """A Python with a stand-in for ROS 2, and a stand-in for pip in every environment."""

    python: Path
    stubs: Path
    venv: Path

    def setup(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(ROOT / "tools" / "setup.sh"), str(self.venv)],
            env={
                **{key: value for key, value in os.environ.items() if "PIP" not in key},
                "PYTHONPATH": str(self.stubs),
                "PYTHON": str(self.python),
                "ROS_DISTRO": "jazzy",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """The Python that runs this, as a distribution would manage it."""
    stdlib = Path(sysconfig.get_path("stdlib", vars={"installed_base": sys.base_prefix}))
    managed = tmp_path / "usr" / "lib" / stdlib.name
    managed.mkdir(parents=True)
    for entry in stdlib.iterdir():
        if entry.name not in ("site-packages", "dist-packages", "EXTERNALLY-MANAGED"):
            (managed / entry.name).symlink_to(entry)
    (managed / "EXTERNALLY-MANAGED").write_text("[externally-managed]\nError=use a venv\n")
    (managed / "site-packages").mkdir()
    (managed / "site-packages" / "rclpy.py").touch()
    (managed / "site-packages" / "numpy.py").write_text("__version__ = '1.26.4'\n")
    python = tmp_path / "usr" / "bin" / "python3"
    python.parent.mkdir()
    shutil.copy2(os.path.realpath(sys.executable), python)

    stubs = tmp_path / "stubs"
    (stubs / "pip").mkdir(parents=True)
    (stubs / "pip" / "__init__.py").touch()
    (stubs / "pip" / "__main__.py").write_text(PIP)
    for name in ("onnxruntime", "pybullet", "torch"):
        (stubs / f"{name}.py").touch()
    return Machine(python, stubs, tmp_path / "venv")


def test_setup_beside_a_managed_ros_python_uses_an_environment_and_is_never_silent(
    machine: Machine,
) -> None:
    (machine.stubs / "wait").touch()
    setup = machine.setup()
    assert setup.stdout
    said = ""
    while "setuptools ." not in said:  # a sign of life of a pip that takes long
        letter = setup.stdout.read(1)
        assert letter, f"ended after: {said}"
        said += letter
    (machine.stubs / "wait").unlink()
    rest, errors = setup.communicate(timeout=120.0)
    assert setup.returncode == 0, errors
    assert "with the ROS 2 of this shell (jazzy)" in said
    assert [line.split()[0] for line in rest.splitlines()[1:]] == ["packages", "first"]

    first, second = (machine.stubs / "calls").read_text().splitlines()
    assert "install setuptools>=77 numpy==1.26.4" in first
    assert second.endswith("--editable .[all,test] numpy==1.26.4")
    assert "break-system-packages" not in first + second
    shared = "import rclpy, sys; sys.exit('usr' not in rclpy.__file__)"
    assert subprocess.run([str(machine.venv / "bin" / "python"), "-c", shared]).returncode == 0

    (machine.stubs / "fail").touch()
    again = machine.setup()
    _, errors = again.communicate(timeout=120.0)
    assert again.returncode == 2
    assert "ERROR: no network here" in errors
    assert "make setup: error: setuptools: the command above ended with status 1" in errors


def test_make_setup_ends_with_what_to_do_next(tmp_path: Path) -> None:
    kind = os.environ.get("ROS_DISTRO") or "no-ros"
    (tmp_path / f".setup-{kind}").touch()
    done = subprocess.run(
        ["make", "--no-print-directory", "setup", f"VENV={tmp_path}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    words = [line.split()[:2] for line in done.stdout.splitlines()]
    assert words[-3:] == [["make", "train"], ["make", "demo"], ["make", "test"]]
