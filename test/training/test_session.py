# SPDX-License-Identifier: Apache-2.0
"""A run from its configuration to its files, stopped and resumed in between."""

from __future__ import annotations

import csv
import errno
import json
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_run import TinyRun, finished_run, open_session

from sac_ros.collect.collector import Collector
from sac_ros.errors import ConfigurationError, SacRosError
from sac_ros.policy.runtime import Policy
from sac_ros.sac.checkpoint import load_checkpoint
from sac_ros.sac.training_loop import TrainingLoop
from sac_ros.training.evaluation import (
    HELD_OUT_SEED,
    Evaluation,
    environment_of,
    evaluate,
    policy_controller,
)
from sac_ros.training.session import TrainingSession

OpenSession = Callable[..., TrainingSession]


@pytest.fixture
def session(tmp_path: Path) -> Iterator[OpenSession]:
    made: list[TrainingSession] = []

    def start(**changes: Any) -> TrainingSession:
        made.append(open_session(tmp_path, **changes))
        return made[-1]

    yield start
    for each in made:
        each.close()


def stopped_after(session: TrainingSession, steps: int) -> None:
    """Runs a session that is told to stop at the first block that reaches `steps`."""
    run_block = session.loop.run_block

    def block(interrupted: Callable[[], bool]) -> bool:
        finished = run_block(interrupted)
        if session.loop.state.env_steps >= steps:
            session.stop()
        return finished

    session.loop.run_block = block  # type: ignore[method-assign]
    assert session.run() is None


# ---- a whole run -------------------------------------------------------------------------------


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
    env = environment_of(policy, episode_seconds=tiny_run.config.env.episode_seconds)
    again = evaluate(env, policy_controller(policy, env), episodes=2, seed=HELD_OUT_SEED)
    env.close()
    assert again is not None
    assert written["median_error_m"] == again.median_error_m
    assert written["success_5cm"] == again.success_5cm
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
        tmp_path, worker=True, sac={"value_function": True}, env={"gravity": "none"}
    )
    assert run.outcome.env_steps >= 400
    assert Policy.load(run.outcome.policy).spec.gravity == "included"
    assert "value" in load_checkpoint(run.directory.checkpoints[0])["agent"]


def test_the_video_shows_the_arm(tmp_path: Path) -> None:
    from PIL import Image

    run = finished_run(tmp_path, total_steps=120, record_video=True)
    with Image.open(run.directory.video) as video:
        assert video.n_frames > 20


# ---- stopped and resumed -----------------------------------------------------------------------


def test_a_stopped_run_leaves_a_checkpoint_and_no_policy(session: OpenSession) -> None:
    run = session()
    stopped_after(run, 250)
    saved = load_checkpoint(run.directory.checkpoints[0])
    assert 250 <= saved["env_steps"] < 400
    assert len(saved["replay"]["reward"]) == saved["env_steps"]
    assert not run.directory.policy.exists()


def test_a_run_stopped_before_its_first_step_leaves_a_checkpoint_that_resumes(
    session: OpenSession,
) -> None:
    run = session()
    run.stop()
    assert run.run() is None
    assert load_checkpoint(run.directory.checkpoints[0])["env_steps"] == 0
    outcome = session(resume=True).run()
    assert outcome is not None
    assert outcome.env_steps >= 400


def test_a_run_stopped_while_its_worker_collects_can_be_resumed(session: OpenSession) -> None:
    for resume in (False, True, True):
        run = session(worker=True, resume=resume, total_steps=100_000)
        before = run.loop.state.env_steps
        stopped_after(run, before + 150)
        saved = load_checkpoint(run.directory.checkpoints[0])
        assert saved["env_steps"] >= before + 150
        assert len(saved["replay"]["reward"]) == saved["env_steps"]


def test_a_stopped_run_is_saved_while_its_collector_stands_still(session: OpenSession) -> None:
    run = session(worker=True, total_steps=100_000)
    standing: list[bool] = []
    save = run.save_checkpoint

    def look_and_save() -> Path:
        if run.experience.env_steps > 0:  # before the first step there is nothing to stand for
            standing.append(run.experience.standing == run.experience.paused > 0)
        return save()

    run.save_checkpoint = look_and_save  # type: ignore[method-assign]
    stopped_after(run, 150)
    assert standing
    assert all(standing)


def test_a_resumed_run_goes_on_with_the_random_states_of_the_stopped_one(
    session: OpenSession,
) -> None:
    stopped_after(session(), 250)
    resumed = session(resume=True)
    saved = load_checkpoint(resumed.directory.checkpoints[0])
    assert torch.equal(torch.get_rng_state(), saved["torch_rng"])
    assert resumed._rng.bit_generator.state == json.loads(saved["numpy_rng"])


def test_a_resumed_run_goes_on_with_everything_that_learning_changed(session: OpenSession) -> None:
    first = session(evaluation_interval=100)
    stopped_after(first, 250)
    resumed = session(resume=True)
    assert resumed.loop.state.env_steps == first.loop.state.env_steps
    assert resumed.loop.state.updates == first.loop.state.updates > 0
    assert resumed.loop.state.learning_seconds == first.loop.state.learning_seconds
    assert resumed.records.points == first.records.points != []
    assert resumed._best.evaluation == first._best.evaluation is not None
    assert resumed._best.env_steps == first._best.env_steps > 0
    for name, tensor in first._best.actor.state_dict().items():
        assert torch.equal(resumed._best.actor.state_dict()[name], tensor)
    rows = first.experience.size
    assert resumed.experience.size == rows
    for name in ("observation", "action", "reward", "next_observation", "terminated"):
        np.testing.assert_array_equal(
            getattr(resumed.experience, name)[:rows], getattr(first.experience, name)[:rows]
        )
    np.testing.assert_array_equal(
        resumed.experience.recent_episodes(50), first.experience.recent_episodes(50)
    )
    before, after = first.agent.state_dict(), resumed.agent.state_dict()
    for name in ("actor", "critic", "target", "averaged_actor", "updates", "log_alpha"):
        assert torch.equal(before[name], after[name]), name
    for name, optimiser in before["optimisers"].items():
        for key, value in optimiser["state"][0].items():
            assert torch.equal(value, after["optimisers"][name]["state"][0][key]), (name, key)


def test_a_resumed_run_draws_no_random_actions_and_no_episode_of_its_beginning_again(
    session: OpenSession,
) -> None:
    certain = {"initial_temperature": 1e-3, "log_std_max": -5.0}
    first = session(sac=certain)
    stopped_after(first, 250)
    resumed = session(resume=True, sac=certain)
    rows = resumed.experience.size
    assert resumed.run() is not None

    def change_of_action(part: slice) -> float:
        """Mean change from one action of an environment to its next; two take turns."""
        action = resumed.experience.action[part]
        return float(np.abs(action[2:] - action[:-2]).mean())

    assert change_of_action(slice(100)) > 0.5  # uniform draws
    assert change_of_action(slice(rows, rows + 100)) < 0.25  # an actor that hardly explores
    goals = resumed.experience.observation[:, resumed.env.encoding.columns("goal")]
    before = {tuple(goal) for goal in goals[:rows].tolist()}
    after = {tuple(goal) for goal in goals[rows : resumed.experience.size].tolist()}
    assert before
    assert after
    assert not before & after


def test_a_finished_run_can_go_on_with_more_steps(session: OpenSession) -> None:
    first = session(total_steps=200)
    assert first.run() is not None
    longer = session(total_steps=500, resume=True)
    outcome = longer.run()
    assert outcome is not None
    assert outcome.env_steps >= 500
    assert len(longer.records.points) == 2  # at 200 and at 400, the first from before


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seed": 5}, "seed must stay 0, as in the checkpoint to resume; got 5"),
        ({"environments": 3}, "environments must stay 2, .*; got 3"),
        ({"sac": {"gamma": 0.5}}, r"sac\.gamma must stay 0\.\d+, .*; got 0.5"),
        ({"env": {"gravity": "none"}}, r"env\.gravity must stay 'external', .*; got 'none'"),
        ({"sac": {"hidden_sizes": (8, 9)}}, r"sac\.hidden_sizes must stay \[8, 8\], .*\[8, 9\]"),
    ],
)
def test_a_resume_with_another_configuration_is_refused_with_the_fields_name(
    session: OpenSession, changes: dict[str, Any], words: str
) -> None:
    run = session(total_steps=1)
    run.stop()
    run.run()
    with pytest.raises(ConfigurationError, match=words):
        session(resume=True, **changes)


def test_a_resume_from_a_torn_checkpoint_is_refused_in_one_sentence(session: OpenSession) -> None:
    run = session()
    run.stop()
    run.run()
    (path,) = run.directory.checkpoints
    tear(path)
    with pytest.raises(ConfigurationError, match=rf"{path.name} is not a whole ch") as refused:
        session(resume=True)
    assert "\n" not in str(refused.value)
    assert run.directory.checkpoints == [path]


def tear(path: Path, share: float = 0.5) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_torn_newest_checkpoint_falls_back_to_the_one_before_in_one_line(
    session: OpenSession, capfd: pytest.CaptureFixture[str], share: float
) -> None:
    run = session(checkpoint_interval=100)
    stopped_after(run, 350)
    newest, before = run.directory.checkpoints
    tear(newest, share)
    capfd.readouterr()
    resumed = session(resume=True)
    (line,) = [line for line in capfd.readouterr().err.splitlines() if "whole" in line]
    assert newest.name in line
    assert f"goes on from {before.name}" in line
    assert resumed.loop.state.env_steps == load_checkpoint(before)["env_steps"] > 0
    assert resumed.directory.checkpoints == [before]
    # What it saves from now on is the newest, though its number may be lower.
    resumed.stop()
    assert resumed.run() is None
    assert session(resume=True).loop.state.env_steps == resumed.loop.state.env_steps


def test_the_newest_checkpoints_are_kept_and_no_others(session: OpenSession) -> None:
    run = session(checkpoint_interval=1, keep_checkpoints=3)
    stopped_after(run, 350)
    steps = [load_checkpoint(path)["env_steps"] for path in run.directory.checkpoints]
    assert len(steps) == 3
    assert steps == sorted(set(steps), reverse=True)
    assert steps[0] == run.loop.state.env_steps


def test_a_full_disk_ends_no_training_and_harms_no_checkpoint(
    session: OpenSession, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    run = session(checkpoint_interval=100)
    save = torch.save

    def full(content: Any, file: Any) -> None:
        if content["env_steps"] > 200:
            file.write(b"half a checkp")
            raise OSError(errno.ENOSPC, "No space left on device")
        save(content, file)

    monkeypatch.setattr(torch, "save", full)
    assert run.run() is not None
    newest = run.directory.checkpoints[0]
    assert 0 < load_checkpoint(newest)["env_steps"] <= 200
    assert not list(run.directory.path.glob("*partial*"))
    lines = [line for line in capfd.readouterr().err.splitlines() if "No space left" in line]
    assert lines
    assert all(f"the latest is still {newest.name}" in line for line in lines)


def test_a_save_that_was_asked_for_and_failed_is_told_to_who_asked(
    running: Callable[..., TrainingSession], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = running()

    def full(content: Any, file: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", full)
        with pytest.raises(OSError, match="No space left"):
            run.request(run.save_checkpoint).result(timeout=60.0)
    assert run.request(run.save_checkpoint).result(timeout=60.0).is_file()


# ---- from another thread -----------------------------------------------------------------------


@pytest.fixture
def running(session: OpenSession) -> Iterator[Callable[..., TrainingSession]]:
    """Starts a session that would run for long, in a thread of its own."""
    started: list[tuple[TrainingSession, threading.Thread]] = []

    def start(**changes: Any) -> TrainingSession:
        run = session(**{"total_steps": 1_000_000, "evaluation_interval": 900_000, **changes})
        thread = threading.Thread(target=run.run)
        started.append((run, thread))
        thread.start()
        return run

    yield start
    for run, thread in started:
        run.stop()
        thread.join(60.0)
        assert not thread.is_alive()


def test_requests_are_served_while_the_collector_stands_still(
    running: Callable[..., TrainingSession],
) -> None:
    run = running(worker=True)

    def look() -> tuple[bool, int, int]:
        steps = run.experience.env_steps
        return run.experience.standing > 0, steps, run.experience.env_steps

    for _ in range(5):
        standing, before, after = run.request(look).result(timeout=60.0)
        assert standing
        assert before == after


def test_what_a_request_raises_reaches_its_caller_and_the_run_goes_on(
    running: Callable[..., TrainingSession], eventually: Callable[..., None]
) -> None:
    run = running()

    def fail() -> None:
        raise SacRosError("no")

    with pytest.raises(SacRosError, match="no"):
        run.request(fail).result(timeout=60.0)
    steps = run.experience.env_steps
    eventually(lambda: run.experience.env_steps > steps, "it goes on")


def test_a_paused_run_stands_still_serves_requests_and_goes_on(
    running: Callable[..., TrainingSession], eventually: Callable[..., None]
) -> None:
    run = running(worker=True)
    eventually(lambda: run.progress.phase == "training", "the start")
    run.pause(True)
    eventually(lambda: run.progress.phase == "paused", "the pause")
    steps, updates = run.experience.env_steps, run.loop.state.updates
    assert run.request(run.save_checkpoint).result(timeout=60.0).is_file()
    assert (run.experience.env_steps, run.loop.state.updates) == (steps, updates)
    run.pause(False)
    eventually(lambda: run.experience.env_steps > steps, "it goes on")


def test_a_paused_run_can_be_stopped(running: Callable[..., TrainingSession]) -> None:
    run = running(worker=True)
    run.pause(True)
    run.stop()  # the fixture waits for the end


def test_a_request_after_the_end_is_refused_and_not_left_waiting(session: OpenSession) -> None:
    run = session(total_steps=120)
    during: list[Any] = []
    set_phase = run._set_phase

    def ask_while_reporting(phase: str) -> None:
        set_phase(phase)
        if phase == "reporting":
            during.append(run.request(run.evaluate))

    run._set_phase = ask_while_reporting  # type: ignore[method-assign]
    assert run.run() is not None
    for future in (*during, run.request(run.evaluate)):
        with pytest.raises(SacRosError, match="the training has ended"):
            future.result(timeout=10.0)


def test_an_export_on_request_is_the_best_actor_so_far_with_its_own_figures(
    running: Callable[..., TrainingSession], eventually: Callable[..., None]
) -> None:
    run = running(evaluation_interval=150)
    eventually(lambda: run.records.points, "an evaluation to be out of date", timeout=60.0)

    def export() -> tuple[Path, float, float]:
        path = run.export_policy()
        assert run._best.evaluation is not None
        result = evaluate(
            run.env, policy_controller(Policy.load(path), run.env), episodes=2, seed=HELD_OUT_SEED
        )
        assert result is not None
        return path, run._best.evaluation.median_error_m, result.median_error_m

    path, best, measured = run.request(export).result(timeout=60.0)
    spec = Policy.load(path).spec
    assert spec.evaluation["median_error_m"] == best
    assert measured == pytest.approx(best, abs=1e-4)


def test_the_exported_actor_is_the_evaluated_one_with_the_highest_return(
    session: OpenSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = session(evaluation_interval=100)
    seen: list[tuple[float, int, torch.Tensor]] = []
    offer = run._best.offer

    def note(actor: Any, evaluation: Evaluation, env_steps: int) -> None:
        parameters = torch.nn.utils.parameters_to_vector(actor.parameters()).detach().clone()
        seen.append((evaluation.mean_return, env_steps, parameters))
        offer(actor, evaluation, env_steps)

    monkeypatch.setattr(run._best, "offer", note)
    outcome = run.run()
    assert outcome is not None
    assert len(seen) >= 4
    _, env_steps, parameters = max(seen, key=lambda each: (each[0], each[1]))
    kept = torch.nn.utils.parameters_to_vector(run._best.actor.parameters())
    assert torch.equal(kept, parameters)
    assert Policy.load(outcome.policy).spec.training["actor_env_steps"] == env_steps


def test_a_stop_ends_a_pause_an_evaluation_and_a_wait_for_experience(
    session: OpenSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluating = session(total_steps=400, evaluation_episodes=1000, evaluation_interval=150)
    set_phase = evaluating._set_phase

    def stop_in_evaluation(phase: str) -> None:
        set_phase(phase)
        if phase == "evaluating":
            evaluating.stop()

    monkeypatch.setattr(evaluating, "_set_phase", stop_in_evaluation)
    assert evaluating.run() is None
    assert evaluating.records.points == []


def test_a_failure_of_the_collector_ends_the_run_with_its_sentence(session: OpenSession) -> None:
    run = session(worker=True, total_steps=1_000_000)
    process = run._source._process  # type: ignore[union-attr]
    run_block: Callable[..., bool] = TrainingLoop.run_block

    def block(interrupted: Callable[[], bool]) -> bool:
        process.kill()
        return run_block(run.loop, interrupted)

    run.loop.run_block = block  # type: ignore[method-assign]
    with pytest.raises(SacRosError, match="collector process ended"):
        run.run()


def test_the_latest_state_is_that_of_the_first_environment(
    session: OpenSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = session(environments=3, total_steps=130)
    assert run.latest_state() is None
    seen: list[np.ndarray] = []
    step = Collector.step

    def remember(collector: Collector) -> None:
        seen.append(collector._observations[0].copy())
        step(collector)

    monkeypatch.setattr(Collector, "step", remember)
    run.loop.run_block(lambda: False)
    found = run.latest_state()
    assert found is not None
    position, velocity, goal = found
    encoding = run.env.encoding
    np.testing.assert_allclose(
        np.sin(position), seen[-1][encoding.columns("joint_position_sin")], atol=1e-6
    )
    np.testing.assert_allclose(
        velocity / run.env.arm.velocity_limit,
        seen[-1][encoding.columns("joint_velocity")],
        atol=1e-6,
    )
    np.testing.assert_array_equal(goal, seen[-1][encoding.columns("goal")])
