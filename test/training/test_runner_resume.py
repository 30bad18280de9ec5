# SPDX-License-Identifier: Apache-2.0
"""A run that was stopped, saved and resumed."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_run import OpenSession, stopped_after

from sac_ros.training.checkpoint import load_checkpoint, save_checkpoint
from sac_ros.utils.errors import ConfigurationError


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
        run = session(collector="worker", resume=resume, total_steps=100_000)
        before = run.loop.state.env_steps
        stopped_after(run, before + 150)
        saved = load_checkpoint(run.directory.checkpoints[0])
        assert saved["env_steps"] >= before + 150
        assert len(saved["replay"]["reward"]) == saved["env_steps"]


def test_a_stopped_run_is_saved_while_its_collector_stands_still(session: OpenSession) -> None:
    run = session(collector="worker", total_steps=100_000)
    standing: list[bool] = []
    save = run.save_checkpoint

    def look_and_save() -> Path:
        if run.state.replay.env_steps > 0:  # before the first step there is nothing to stand for
            standing.append(run.shared.control.standing == run.shared.control.paused > 0)
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
    assert resumed.state.rng.bit_generator.state == json.loads(saved["numpy_rng"])


def test_a_resumed_run_goes_on_with_everything_that_learning_changed(session: OpenSession) -> None:
    first = session(evaluation_interval=100)
    stopped_after(first, 250)
    resumed = session(resume=True)
    assert resumed.loop.state.env_steps == first.loop.state.env_steps
    assert resumed.loop.state.updates == first.loop.state.updates > 0
    assert resumed.loop.state.learning_seconds == first.loop.state.learning_seconds
    assert resumed.records.points == first.records.points != []
    assert resumed.state.best.evaluation == first.state.best.evaluation is not None
    assert resumed.state.best.env_steps == first.state.best.env_steps > 0
    for name, tensor in first.state.best.actor.state_dict().items():
        assert torch.equal(resumed.state.best.actor.state_dict()[name], tensor)
    rows = first.state.replay.size
    assert resumed.state.replay.size == rows
    for name in ("observation", "action", "reward", "next_observation", "terminated"):
        np.testing.assert_array_equal(
            getattr(resumed.state.replay, name)[:rows], getattr(first.state.replay, name)[:rows]
        )
    np.testing.assert_array_equal(
        resumed.state.replay.recent_episodes(50), first.state.replay.recent_episodes(50)
    )
    before, after = first.state.agent.state_dict(), resumed.state.agent.state_dict()
    for name in ("actor", "critic", "target", "averaged_actor", "updates", "log_alpha"):
        assert torch.equal(before[name], after[name]), name
    for name, optimiser in before["optimisers"].items():
        for key, value in optimiser["state"][0].items():
            assert torch.equal(value, after["optimisers"][name]["state"][0][key]), (name, key)


def test_a_checkpoint_holds_an_observation_once_and_an_older_one_is_read_too(
    session: OpenSession,
) -> None:
    first = session()
    stopped_after(first, 250)
    (path, *_) = first.directory.checkpoints
    saved = load_checkpoint(path)
    rows, replay = first.state.replay.size, saved["replay"]
    assert len(replay["next_observation"]) == int((~replay["follows"]).sum()) < 0.2 * rows
    del replay["follows"]
    whole = first.state.replay.next_observation[:rows].copy()
    replay["next_observation"] = torch.from_numpy(whole)
    save_checkpoint(path, saved)
    np.testing.assert_array_equal(session(resume=True).state.replay.next_observation[:rows], whole)


def test_a_resumed_run_draws_no_random_actions_and_no_episode_of_its_beginning_again(
    session: OpenSession,
) -> None:
    certain = {"initial_temperature": 1e-3, "log_std_max": -5.0}
    first = session(sac=certain)
    stopped_after(first, 250)
    resumed = session(resume=True, sac=certain)
    rows = resumed.state.replay.size
    assert resumed.run() is not None

    def change_of_action(part: slice) -> float:
        """Mean change from one action of an environment to its next; two take turns."""
        action = resumed.state.replay.action[part]
        return float(np.abs(action[2:] - action[:-2]).mean())

    assert change_of_action(slice(100)) > 0.5  # uniform draws
    assert change_of_action(slice(rows, rows + 100)) < 0.25  # an actor that hardly explores
    goals = resumed.state.replay.observation[:, resumed.env.task.columns("goal")]
    before = {tuple(goal) for goal in goals[:rows].tolist()}
    after = {tuple(goal) for goal in goals[rows : resumed.state.replay.size].tolist()}
    assert before
    assert after
    assert not before & after


def test_progress_begins_where_the_run_was(session: OpenSession) -> None:
    first = session(evaluation_interval=100)
    stopped_after(first, 250)
    progress, resumed = first.progress, session(resume=True).progress
    assert resumed.env_steps >= progress.env_steps > 0
    assert resumed.learning_seconds >= progress.learning_seconds > 0.0
    assert resumed.episode_return == first.state.replay.recent_figures()[0] != 0.0
    assert resumed.held_out_success == first.records.points[-1].success_5cm


def test_a_finished_run_that_is_resumed_as_it_was_says_what_would_go_on(
    session: OpenSession, capfd: pytest.CaptureFixture[str]
) -> None:
    assert session(total_steps=200).run() is not None
    again = session(total_steps=200, resume=True)
    capfd.readouterr()
    outcome = again.run()
    assert outcome is not None
    assert "a higher total_steps goes on" in capfd.readouterr().err


def test_a_finished_run_can_go_on_with_more_steps(
    session: OpenSession, capfd: pytest.CaptureFixture[str]
) -> None:
    first = session(total_steps=200)
    assert first.run() is not None
    capfd.readouterr()
    longer = session(total_steps=500, resume=True)
    assert "total_steps: 200 -> 500\n" in capfd.readouterr().err
    outcome = longer.run()
    assert outcome is not None
    assert outcome.env_steps >= 500
    steps = [point.env_steps for point in longer.records.points]
    assert len(steps) == 3  # at 200, from before, at 400, and of the last actor
    assert steps[-1] == outcome.env_steps


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seed": 5}, "seed must stay 0, as in the checkpoint to resume; got 5"),
        ({"environments": 3}, "environments must stay 2, .*; got 3"),
        ({"sac": {"gamma": 0.5}}, r"sac\.gamma must stay 0\.\d+, .*; got 0.5"),
        (
            {"env": {"gravity_compensation": "policy"}},
            r"env\.gravity_compensation must stay 'robot', .*; got 'policy'",
        ),
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
