# SPDX-License-Identifier: Apache-2.0
"""What a sweep is told, and what is refused before anything starts."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sac_ros.sweeps.space import Range, parameter_file, read_parameters, read_space
from sac_ros.training.config import TrainConfig
from sac_ros.utils.errors import ConfigurationError
from sac_ros.utils.settings import build

CONFIG = Path(__file__).parents[2] / "config" / "sweeps"


def written(path: Path, **document: object) -> Path:
    file = path / "space.yaml"
    file.write_text(yaml.safe_dump(document))
    return file


@pytest.mark.parametrize("name", ["settings.yaml", "models.yaml"])
def test_the_shipped_spaces_are_read_and_their_defaults_are_trainings(name: str) -> None:
    space, address = read_space(CONFIG / name)
    assert address == ""
    assert space.grid is (name == "models.yaml")
    assert space.default is not None
    assert space.config(space.default, 3).seed == 3


def test_settings_come_from_the_parameter_file_then_the_space_then_the_command(
    tmp_path: Path,
) -> None:
    (tmp_path / "base.yaml").write_text(
        parameter_file({"sac.gamma": 0.9, "sac.tau": 0.02, "total_steps": 10})
    )
    path = written(
        tmp_path,
        params_file="base.yaml",
        settings={"sac": {"tau": 0.03}, "total_steps": 20},
        seeds=[4, 5],
        trials=7,
        space={"sac": {"batch_size": {"choice": [128, 256]}}},
    )
    changes = ["total_steps:=30", "ray_address:=10.0.0.1:6379", "trials:=2"]
    space, address = read_space(path, changes)
    config = space.config({"sac.batch_size": 128}, 4)
    assert (config.sac.gamma, config.sac.tau, config.total_steps) == (0.9, 0.03, 30)
    assert (config.sac.batch_size, config.seed, config.collector) == (128, 4, "in_process")
    assert (space.seeds, space.trials, address) == ((4, 5), 2, "10.0.0.1:6379")


def test_the_default_is_no_trial_where_it_is_outside_a_range(tmp_path: Path) -> None:
    narrow = {"sac.gamma": {"uniform": [0.5, 0.6]}}
    assert read_space(written(tmp_path, space=narrow))[0].default is None


def test_files_are_found_by_processes_that_are_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("own.urdf", "a.mcap", "b.mcap"):
        (tmp_path / name).touch()
    (tmp_path / "iiwa").mkdir()  # the name of an arm, and no path of one
    settings = {"prior_data": "a.mcap, b.mcap"}
    arms = {"arm": {"grid": ["own.urdf", "iiwa", "none.urdf"]}}
    space, _ = read_space(written(tmp_path, settings=settings, space=arms))
    assert space.ranges["arm"].values == (str(tmp_path / "own.urdf"), "iiwa", "none.urdf")
    assert space.settings["prior_data"] == f"{tmp_path / 'a.mcap'},{tmp_path / 'b.mcap'}"


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        ({"spaces": {}}, "'spaces' is no key in .*; it takes params_file, settings, seeds"),
        ({"space": {"sac.gama": {"uniform": [0, 1]}}}, "'sac.gama', in the space in .*, is no"),
        (
            {"space": {"sac.gamma": [0.9, 0.95]}},
            r"such as \{choice: \[1, 2\]\}; got \[0.9, 0.95\]",
        ),
        ({"space": {"sac.gamma": {"normal": [0, 1]}}}, "must be one of uniform, .*; got 'normal'"),
        ({"space": {"sac.gamma": {"uniform": [0.9]}}}, r"two numbers, the lower one first; got"),
        ({"space": {"sac.gamma": {"uniform": [0.9, 0.8]}}}, "the lower one first"),
        ({"space": {"sac.tau": {"loguniform": [0, 1]}}}, "two numbers above 0"),
        ({"space": {"sac.gamma": {"uniform": [0.9, 1.5]}}}, "sac.gamma must be a number .*1.5"),
        ({"space": {"sac.gamma": {"int": [0, 1]}}}, "takes choice, not int"),
        ({"space": {"sac.batch_size": {"uniform": [1, 2]}}}, "takes int, not uniform"),
        ({"space": {"sac.hidden_sizes": {"int": [1, 2]}}}, "takes choice, not int"),
        ({"space": {"sac.batch_size": {"choice": []}}}, "with a list; got"),
        ({"space": {"sac.batch_size": {"choice": [0]}}}, "sac.batch_size must be .*; got 0"),
        ({"space": {"seed": {"int": [1, 2]}}}, "seed cannot be varied"),
        (
            {"space": {"arm": {"grid": ["iiwa"]}, "sac.gamma": {"uniform": [0.8, 0.9]}}},
            "must have grids alone, .*; got arm: grid, sac.gamma: uniform",
        ),
        ({"settings": {"sac.gamma": 2.0}}, "sac.gamma must be a number"),
        ({"seeds": []}, "seeds in .* must be a list, each once"),
        ({"seeds": [1, 1]}, "each once"),
        ({"trials": 0}, "trials in .* must be a whole number from 1"),
        ({"params_file": "none.yaml"}, "none.yaml must be a YAML file that can be read"),
        ({"space": 3}, "must be a mapping of names to values; got 3"),
    ],
)
def test_what_is_wrong_in_the_file_is_said_with_its_name(
    document: dict[str, object], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        read_space(written(tmp_path, **document))


def test_a_change_without_a_value_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="must be NAME:=VALUE; got 'seed=1'"):
        read_space(written(tmp_path), ["seed=1"])


def test_a_parameter_file_comes_back_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "best.yaml"
    settings = {"arm": "panda", "sac.hidden_sizes": (32, 32), "env.reward.distance": 1.5}
    path.write_text(parameter_file(settings))
    back = read_parameters(path)
    assert build(TrainConfig, back) == build(TrainConfig, settings)
    assert back == {**settings, "sac.hidden_sizes": [32, 32]}


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["space", "settings", "seeds", "trials", "params_file", "sac.gamma", "uniform"]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_whatever_the_file_holds_is_a_space_or_is_refused(
    tmp_path_factory: pytest.TempPathFactory, document: object
) -> None:
    path = tmp_path_factory.mktemp("any") / "space.yaml"
    path.write_text(yaml.safe_dump(document))
    with contextlib.suppress(ConfigurationError):
        read_space(path)


def test_a_range_holds_its_ends_and_its_choices() -> None:
    assert Range("uniform", (0.0, 1.0)).holds(1.0)
    assert not Range("int", (1, 3)).holds(4)
    assert Range("choice", ([1], [2])).holds([2])
