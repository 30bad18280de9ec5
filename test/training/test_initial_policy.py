# SPDX-License-Identifier: Apache-2.0
"""A new run that goes on from a policy file, or from another run."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_run import OpenSession, TinyRun, finished_run, open_session, stopped_after

from sac_ros.policy.runtime import Policy
from sac_ros.training.checkpoint import load_checkpoint
from sac_ros.training.model_card import model_card
from sac_ros.utils.errors import ConfigurationError

SHIPPED = Path(__file__).parents[2] / "models"


def parameters(actor: torch.nn.Module) -> torch.Tensor:
    return torch.nn.utils.parameters_to_vector(actor.parameters()).detach()


def torques(file: Path) -> np.ndarray:
    """Of the policy in its own self test's states."""
    policy = Policy.load(file)
    return policy.answer(**policy.spec.self_test.inputs).torque


def test_a_run_begins_with_the_actor_of_a_policy_file_to_the_bit(
    tiny_run: TinyRun, session: OpenSession
) -> None:
    """The file's actor is that of the run's checkpoint."""
    best = load_checkpoint(tiny_run.directory.checkpoints[0])["best"]["parameters"]
    run = session(name="next", initial_policy=str(tiny_run.directory.policy))
    for actor in (run.state.agent.actor, run.state.agent.averaged_actor):
        assert torch.equal(parameters(actor), best)


def test_a_policy_exported_before_the_first_update_is_the_initial_one(
    tiny_run: TinyRun, session: OpenSession
) -> None:
    first = tiny_run.directory.policy
    run = session(name="next", initial_policy=str(first))
    np.testing.assert_array_equal(torques(run.export_policy()), torques(first))


def test_of_a_run_its_critics_and_temperature_are_taken_over_too(
    tiny_run: TinyRun, session: OpenSession
) -> None:
    learned = load_checkpoint(tiny_run.directory.checkpoints[0])
    run = session(name="next", initial_policy=str(tiny_run.directory.path), seed=9)
    begun = run.state.agent.state_dict()
    for name in ("critic", "target", "log_alpha"):
        assert torch.equal(begun[name], learned["agent"][name]), name
    assert torch.equal(begun["actor"], learned["best"]["parameters"])
    assert run.state.replay.env_steps == 0


def test_a_directory_without_a_checkpoint_gives_its_policy_file(
    tiny_run: TinyRun, session: OpenSession, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "policy.onnx").write_bytes(tiny_run.directory.policy.read_bytes())
    run = session(initial_policy=str(other))
    assert run.state.began_with["file"] == str(other)
    assert run.state.began_with["sha256"] == Policy.load(tiny_run.directory.policy).sha256


@pytest.mark.parametrize(
    ("file", "changes", "words"),
    [
        ("panda_reach.onnx", {}, r"arm must be panda, as in initial_policy .*; got iiwa"),
        ("iiwa_pose.onnx", {}, r"task must be pose, as in initial_policy .*; got reach"),
        ("iiwa_reach_plain.onnx", {}, r"sac.hidden_sizes must be \[64, 64\], .*; got \[8, 8\]"),
        (
            "iiwa_reach_plain.onnx",
            {"env": {"action_history": 3}},
            r"env.action_history must be 1, .*; got 3",
        ),
        (
            "iiwa_reach.onnx",
            {"env": {"action_history": 3}},
            r"env.observer_rate must be above 0, .*; got 0",
        ),
        ("none.onnx", {}, r"initial_policy must be a policy file.*which does not exist"),
        ("", {}, r"initial_policy must be a policy file.*in which neither is"),
    ],
)
def test_another_policy_is_refused_in_a_sentence(
    session: OpenSession, file: str, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words):
        session(initial_policy=str(SHIPPED / file), **changes)


def test_another_run_is_refused_in_a_sentence(tiny_run: TinyRun, session: OpenSession) -> None:
    path = str(tiny_run.directory.path)
    with pytest.raises(ConfigurationError, match=r"sac.hidden_sizes must be \[8, 8\], as in"):
        session(name="next", initial_policy=path, sac={"hidden_sizes": (4, 8)})


def test_the_critics_learn_first_and_the_actor_and_temperature_later(
    tiny_run: TinyRun, session: OpenSession
) -> None:
    run = session(
        name="next",
        initial_policy=str(tiny_run.directory.path),
        critics_first_steps=100,
        critics_first_updates=64,
    )
    before = copy.deepcopy(run.state.agent.state_dict())
    for _ in range(4):
        run.loop.run_block(lambda: False)
    after = run.state.agent.state_dict()
    assert run.state.replay.env_steps == 100
    for name in ("actor", "averaged_actor", "log_alpha"):
        assert torch.equal(before[name], after[name]), name
    assert not torch.equal(before["critic"], after["critic"])
    run.loop.run_block(lambda: False)
    assert run.state.replay.env_steps > 100
    for name in ("actor", "averaged_actor", "log_alpha"):
        assert not torch.equal(before[name], after[name]), name


def test_a_shipped_policy_is_not_forgotten_where_a_new_one_has_learned_nothing_yet(
    session: OpenSession,
) -> None:
    """After 200 updates of the actor, by critics that began with nothing."""
    changes: dict[str, Any] = {
        "total_steps": 3000,
        "evaluation_interval": 10_000,
        "evaluation_episodes": 10,
        "environments": 4,
        "env": {"episode_seconds": 4.0},
        "sac": {"hidden_sizes": (64, 64), "batch_size": 256, "learning_starts": 1000},
    }
    rates = []
    for initial in ("", str(SHIPPED / "iiwa_reach_plain.onnx")):
        run = session(
            **copy.deepcopy(changes),
            name=f"from {initial and 'a policy'}",
            initial_policy=initial,
            critics_first_steps=2000,
            critics_first_updates=1500,
        )
        while run.state.loop.env_steps < 3000:
            run.loop.run_block(lambda: False)
        result = run.evaluate()
        assert result is not None
        rates.append(result.success_rate(0.05))
    assert rates[0] <= 0.2
    assert rates[1] >= 0.8


def test_the_policy_file_and_its_card_say_what_the_run_began_with(
    tiny_run: TinyRun, tmp_path: Path
) -> None:
    first = tiny_run.directory.policy
    run = finished_run(tmp_path, initial_policy=str(first))
    policy = Policy.load(run.outcome.policy)
    digest = Policy.load(first).sha256
    origin = policy.spec.training["began_with"]
    assert origin["file"] == str(first)
    assert origin["sha256"] == digest
    assert f"went on from `{first}`" in model_card(policy, "policy.onnx")
    assert "began_with" not in Policy.load(first).spec.training


def test_the_first_point_of_the_curve_is_the_initial_policy(
    tiny_run: TinyRun, session: OpenSession
) -> None:
    run = session(name="next", initial_policy=str(tiny_run.directory.policy))
    stopped_after(run, 250)
    assert run.records.points[0].env_steps == 0


def test_a_resumed_run_goes_on_from_its_own_checkpoint_and_not_from_another_policy(
    tiny_run: TinyRun, session: OpenSession
) -> None:
    given = str(tiny_run.directory.policy)
    first = session(name="next", initial_policy=given)
    stopped_after(first, 250)
    with pytest.raises(
        ConfigurationError, match=r"initial_policy must be '.*' or empty to resume"
    ):
        session(name="next", resume=True, initial_policy=str(SHIPPED / "iiwa_reach_plain.onnx"))
    for again in (given, ""):
        resumed = session(name="next", resume=True, initial_policy=again)
        assert resumed.state.began_with == first.state.began_with
        assert torch.equal(
            parameters(resumed.state.agent.actor), parameters(first.state.agent.actor)
        )


@pytest.mark.parametrize("kill_at", [120, 300])
def test_a_resumed_run_with_an_initial_policy_equals_one_that_only_saved(
    tiny_run: TinyRun, tmp_path: Path, kill_at: int
) -> None:
    """While the critics learn alone, and after."""
    changes: dict[str, Any] = {
        "initial_policy": str(tiny_run.directory.policy),
        "critics_first_steps": 200,
        "critics_first_updates": 32,
        "checkpoint_interval": kill_at,
    }
    through = open_session(tmp_path / "through", **changes)
    stopped_after(through, 380)
    stopped = open_session(tmp_path / "stopped", **changes)
    stopped_after(stopped, kill_at)
    del changes["initial_policy"]
    resumed = open_session(tmp_path / "stopped", resume=True, **changes)
    stopped_after(resumed, 380)
    one, other = through.state, resumed.state
    assert one.loop.updates == other.loop.updates
    rows = one.replay.size
    np.testing.assert_array_equal(one.replay.action[:rows], other.replay.action[:rows])
    for name in ("actor", "critic", "target", "averaged_actor", "log_alpha"):
        assert torch.equal(one.agent.state_dict()[name], other.agent.state_dict()[name]), name
