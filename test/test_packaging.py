# SPDX-License-Identifier: Apache-2.0
"""What package.xml, setup.py and the installed package say fits together."""

from __future__ import annotations

import ast
import importlib
import itertools
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path
from xml.etree import ElementTree

import pytest

import sac_ros
from sac_ros.entry import COMMANDS, NODES
from sac_ros.utils.package_share import share_path

ROOT = Path(__file__).parents[1]
MANIFEST = ElementTree.parse(ROOT / "package.xml").getroot()
SCRIPTS = {
    entry.name: entry
    for entry in distribution("sac_ros").entry_points
    if entry.group == "console_scripts"
}
SHARED = ("config", "launch", "models", "rviz", "urdf")


def setup_py(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "setup.py", "--quiet", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60.0,
    )
    return done.stdout.strip()


def setup_calls(name: str) -> object:
    """What setup.py passes to `setup()` under a keyword, for literals."""
    tree = ast.parse((ROOT / "setup.py").read_text())
    (call,) = (
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "setup"
    )
    return ast.literal_eval(next(key.value for key in call.keywords if key.arg == name))


def test_the_version_stands_in_package_xml_alone() -> None:
    version = MANIFEST.findtext("version", "")
    assert re.fullmatch(r"\d+\.\d+\.\d+", version)
    assert setup_py("--version") == version
    assert sac_ros.__version__ == version, "the installed metadata is old: make setup"
    for file in ("setup.py", "setup.cfg", "pyproject.toml", "sac_ros/__init__.py"):
        assert version not in (ROOT / file).read_text(), f"{file} repeats the version"


def test_an_unknown_attribute_of_the_package_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nonesuch"):
        _ = sac_ros.nonesuch  # type: ignore[attr-defined]


def test_name_and_licence_agree() -> None:
    assert MANIFEST.findtext("name") == setup_py("--name") == "sac_ros"
    assert MANIFEST.findtext("license") == setup_calls("license") == "Apache-2.0"
    assert "Apache License" in (ROOT / "LICENSE").read_text()


def test_the_manifest_is_ament_python_of_format_3() -> None:
    assert MANIFEST.get("format") == "3"
    assert MANIFEST.findtext("export/build_type") == "ament_python"
    assert (ROOT / "resource" / "sac_ros").is_file()


def test_no_dependency_has_an_upper_bound() -> None:
    requirements = list(setup_calls("install_requires"))  # type: ignore[call-overload]
    assert not [each for each in requirements if re.search(r"<|==|~=", each)]


def test_every_requirement_is_pinned_for_ci() -> None:
    pins = {
        re.split(r"[=;\s]", line)[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if line and not line.startswith("#")
    }
    extras = setup_calls("extras_require")
    required = [*setup_calls("install_requires"), *itertools.chain(*extras.values())]  # type: ignore
    names = {re.split(r"[\[<>=\s]", each)[0].lower() for each in required}
    assert names - {"sac_ros"} <= pins


@pytest.mark.parametrize("name", sorted(SCRIPTS))
def test_a_console_script_leads_to_a_main_function(name: str) -> None:
    if ".ros." in SCRIPTS[name].value:
        pytest.importorskip("rclpy", reason="rclpy is not installed: `make setup` brings it")
    assert callable(SCRIPTS[name].load())


@pytest.mark.parametrize("module", sorted((COMMANDS | NODES).values()))
def test_a_command_runs_as_a_module_too(module: str) -> None:
    """`python -m` of a module without this would do nothing and exit with 0."""
    source = (ROOT / module.replace(".", "/")).with_suffix(".py").read_text()
    assert '\nif __name__ == "__main__":\n' in source


def test_the_console_scripts_are_those_of_setup_py() -> None:
    declared = setup_calls("entry_points")["console_scripts"]  # type: ignore[index]
    assert {entry.partition(" = ")[0] for entry in declared} == set(SCRIPTS)
    assert {entry.partition(" = ")[2] for entry in declared} == {
        entry.value for entry in SCRIPTS.values()
    }


def test_setup_py_installs_every_shared_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    monkeypatch.setattr("setuptools.setup", lambda **_: None)
    module = importlib.import_module("setup")
    installed = {
        f"{directory}/{Path(file).name}": file
        for directory, files in module.shared_files()
        for file in files
    }
    expected = {
        file.relative_to(ROOT).as_posix()
        for top in SHARED
        for file in (ROOT / top).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    assert set(installed.values()) == expected
    assert all(path == f"share/sac_ros/{file}" for path, file in installed.items())


@pytest.mark.parametrize("name", ["train", "simulate", "deploy"])
def test_a_launch_file_is_shared(name: str) -> None:
    assert share_path("launch", f"{name}.launch.py").is_file()


def test_in_a_checkout_the_shared_files_are_those_of_the_checkout() -> None:
    assert share_path("config") == ROOT / "config"


@pytest.mark.parametrize("library", ["lib/python3.11/site-packages", "local/lib/py/dist-packages"])
def test_in_an_install_the_shared_files_are_below_its_prefix(tmp_path: Path, library: str) -> None:
    package = tmp_path / library / "sac_ros"
    share = tmp_path / "share" / "sac_ros"
    share.mkdir(parents=True)
    copy_utils(package)
    (share / "package.xml").touch()
    assert run_share(package) == str(share)


def test_an_install_without_shared_files_says_so(tmp_path: Path) -> None:
    package = tmp_path / "sac_ros"
    copy_utils(package)
    assert run_share(package).startswith("the shared files of sac_ros were not found")


def copy_utils(package: Path) -> None:
    shutil.copytree(ROOT / "sac_ros" / "utils", package / "utils")
    (package / "__init__.py").touch()


def run_share(package: Path) -> str:
    """What a copy of the package, imported alone, says about its share directory."""
    code = (
        "from sac_ros.utils.errors import SacRosError\n"
        "from sac_ros.utils.package_share import share_path\n"
        "try: print(share_path())\n"
        "except SacRosError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=package.parent,
        env={**os.environ, "PYTHONPATH": str(package.parent)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60.0,
    )
    return done.stdout.strip()


def test_make_prints_every_target() -> None:
    done = subprocess.run(
        ["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for target in ("setup", "train", "demo", "test", "lint", "build", "clean"):
        assert re.search(rf"^  {target} ", done.stdout, re.MULTILINE)
