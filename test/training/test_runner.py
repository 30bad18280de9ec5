# SPDX-License-Identifier: Apache-2.0
"""A run from its configuration to its files, and what ends it."""

from __future__ import annotations

import csv
import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_run import OpenSession, TinyRun, finished_run

from sac_ros.policy.runtime import Policy
from sac_ros.sim.randomization import RandomizationConfig
from sac_ros.sim.vector_env import ArmVectorEnv
from sac_ros.training.checkpoint import load_checkpoint
from sac_ros.training.evaluation import HELD_OUT_SEED, Evaluation, evaluate
from sac_ros.training.policy_in_loop import environment_of, policy_controller
from sac_ros.training.training_loop import TrainingLoop
from sac_ros.utils.errors import ConfigurationError, SacRosError


def test_a_run_leaves_its_files_and_no_partial_one(tiny_run: TinyRun) -> None:
    found = {path.name for path in tiny_run.directory.path.iterdir()}
    expected = {
        *("policy.onnx", "evaluation.json", "evaluations.csv"),
        "learning_curve.png",
    }
    assert expected <= found
    assert len([name for name in found if re.fullmatch(r"checkpoint_\d{10}\.pt", name)]) == 2
    assert not [name for name in found if "partial" in name]
    assert any(name.startswith("events.out.tfevents") for name in found)
    assert "reaching.gif" not in found  # record_video is false here


def test_the_evaluation_file_holds_the_figures_of_the_policy_file(tiny_run: TinyRun) -> None:
    written = json.loads(tiny_run.directory.evaluation.read_text())
    policy = Policy.load(tiny_run.outcome.policy)
    env = environment_of(policy, 2, episode_seconds=tiny_run.config.env.episode_seconds)
    again = evaluate(env, policy_controller(policy, env), episodes=2, seed=HELD_OUT_SEED)
    env.close()
    assert again is not None
    assert written["hold"]["seconds"] == 15.0
    assert written["median_error_m"] == again.median_error_m
    assert written["success"] == [dataclasses.asdict(each) for each in again.success]
    assert written["env_steps"] == tiny_run.outcome.env_steps >= 400
    assert written["updates"] > 0
    assert set(written["seconds_to"]) == {"0.5", "0.9", "0.95"}


def test_the_curve_has_a_point_at_every_interval(tiny_run: TinyRun) -> None:
    with (tiny_run.directory.path / "evaluations.csv").open() as file:
        steps = [int(row["env_steps"]) for row in csv.DictReader(file)]
    assert len(steps) == 2
    assert 200 <= steps[0] < 400 <= steps[1]


def test_the_policy_file_says_how_it_was_trained(tiny_run: TinyRun) -> None:
    spec = Policy.load(tiny_run.outcome.policy).spec
    assert spec.arm == "iiwa"
    assert spec.training["env_steps"] == tiny_run.outcome.env_steps
    assert spec.training["seed"] == tiny_run.config.seed
    assert spec.training["hyperparameters"]["hidden_sizes"] == [8, 8]
    assert spec.evaluation["episodes"] == 2
    assert spec.evaluation["seeds"] == [HELD_OUT_SEED, HELD_OUT_SEED + 1]


def test_the_same_seed_learns_the_same_weights_in_one_process(
    tiny_run: TinyRun, tmp_path: Path
) -> None:
    again = finished_run(tmp_path)
    agents = [load_checkpoint(run.directory.checkpoints[0])["agent"] for run in (tiny_run, again)]
    for name in ("actor", "critic", "target", "averaged_actor", "log_alpha"):
        assert torch.equal(agents[0][name], agents[1][name]), name


def test_a_run_with_a_value_network_and_a_worker_goes_to_its_end_too(tmp_path: Path) -> None:
    run = finished_run(
        tmp_path,
        collector="worker",
        sac={"value_function": True},
        env={"gravity_compensation": "policy"},
    )
    assert run.outcome.env_steps >= 400
    assert Policy.load(run.outcome.policy).spec.gravity_compensation == "policy"
    assert "value" in load_checkpoint(run.directory.checkpoints[0])["agent"]


def test_the_video_shows_the_arm(tmp_path: Path) -> None:
    from PIL import Image

    run = finished_run(tmp_path, total_steps=120, record_video=True)
    with Image.open(run.directory.video) as video:
        assert video.n_frames > 20


def test_the_exported_actor_is_the_evaluated_one_with_the_highest_return(
    session: OpenSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = session(evaluation_interval=100)
    seen: list[tuple[float, int, torch.Tensor]] = []
    offer = run.state.best.offer

    def note(actor: Any, evaluation: Evaluation, env_steps: int) -> None:
        parameters = torch.nn.utils.parameters_to_vector(actor.parameters()).detach().clone()
        seen.append((evaluation.mean_return, env_steps, parameters))
        offer(actor, evaluation, env_steps)

    monkeypatch.setattr(run.state.best, "offer", note)
    outcome = run.run()
    assert outcome is not None
    assert len(seen) >= 4
    _, env_steps, parameters = max(seen, key=lambda each: (each[0], each[1]))
    kept = torch.nn.utils.parameters_to_vector(run.state.best.actor.parameters())
    assert torch.equal(kept, parameters)
    assert Policy.load(outcome.policy).spec.training["actor_env_steps"] == env_steps


def test_a_stop_ends_a_pause_an_evaluation_and_a_wait_for_experience(
    session: OpenSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluating = session(total_steps=400, evaluation_episodes=1000, evaluation_interval=150)
    set_phase = evaluating.set_phase

    def stop_in_evaluation(phase: str) -> None:
        set_phase(phase)
        if phase == "evaluating":
            evaluating.stop()

    monkeypatch.setattr(evaluating, "set_phase", stop_in_evaluation)
    assert evaluating.run() is None
    assert evaluating.records.points == []


def test_a_failure_of_the_collector_ends_the_run_with_its_sentence(session: OpenSession) -> None:
    run = session(collector="worker", total_steps=1_000_000)
    process = run._source._process  # type: ignore[union-attr]
    run_block: Callable[..., bool] = TrainingLoop.run_block

    def block(interrupted: Callable[[], bool]) -> bool:
        process.kill()
        return run_block(run.loop, interrupted)

    run.loop.run_block = block  # type: ignore[method-assign]
    with pytest.raises(SacRosError, match="collector process ended"):
        run.run()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"arm": "ur99"}, "arm must be one of .*; got 'ur99'"),
        ({"arm": "half.urdf"}, r"half\.urdf"),
        ({"env": {"randomization": {"mass_scale": (3.0, 2.0)}}}, "mass_scale must be"),
    ],
    ids=["an unknown arm", "a URDF that is refused", "a wrong range"],
)
def test_a_failed_start_leaves_nothing_behind_and_its_name_is_free(
    session: OpenSession, tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    if changes.get("arm") == "half.urdf":
        file = tmp_path / "half.urdf"
        file.write_text("<robot name='half'><link name='base'/>")
        changes = {"arm": str(file)}
    if "env" in changes:
        changes = {"env": {"randomization": RandomizationConfig(mass_scale=(3.0, 2.0))}}
    before = sorted(tmp_path.iterdir())
    for _ in range(2):
        with pytest.raises(ConfigurationError, match=words):
            session(**changes)
        assert sorted(tmp_path.iterdir()) == before
    run = session(total_steps=1)  # of the same name
    run.stop()
    assert run.run() is None
    assert run.directory.checkpoints


def test_a_result_that_is_not_good_enough_is_said_everywhere_and_kept(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = finished_run(tmp_path, total_steps=120, minimum_success_rate=1.0)
    sentence = run.outcome.shortfall
    assert re.search(r"reaches \d+\.\d% .* less than minimum_success_rate, 100\.0%", sentence)
    assert sentence in capfd.readouterr().err
    assert f"**Not good enough**: {sentence}." in run.directory.model_card.read_text()
    assert run.directory.policy.is_file()
    assert run.directory.evaluation.is_file()


def test_a_run_without_a_minimum_has_no_shortfall_and_its_card_names_the_bar_that_it_misses(
    tiny_run: TinyRun,
) -> None:
    assert tiny_run.config.minimum_success_rate == 0.0
    assert tiny_run.outcome.shortfall == ""
    assert "below the quality bar of its run" in tiny_run.directory.model_card.read_text()


def test_the_latest_state_is_that_of_the_first_environment(
    session: OpenSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = session(environments=3, total_steps=130)
    assert run.latest_state() is None
    seen: list[np.ndarray] = []
    step = ArmVectorEnv.step

    def remember(env: ArmVectorEnv, actions: np.ndarray) -> Any:
        result = step(env, actions)
        seen.append(result[0][0].copy())
        return result

    monkeypatch.setattr(ArmVectorEnv, "step", remember)
    run.loop.run_block(lambda: False)
    found = run.latest_state()
    assert found is not None
    position, velocity, goal = found
    task = run.env.task
    np.testing.assert_allclose(
        np.sin(position), seen[-1][task.columns("joint_position_sin")], atol=1e-6
    )
    np.testing.assert_allclose(
        velocity / run.env.arm.velocity_limit,
        seen[-1][task.columns("joint_velocity")],
        atol=1e-6,
    )
    np.testing.assert_array_equal(goal, seen[-1][task.columns("goal")])
