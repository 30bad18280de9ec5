# SPDX-License-Identifier: Apache-2.0
"""The best actor is the evaluated one with the highest return, whatever is learned after it."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from sample_evaluation import sample_evaluation

from sac_ros.sac.networks import SquashedGaussianActor
from sac_ros.training.best_actor import BestActor
from sac_ros.training.evaluation import TOLERANCES, Evaluation, Success


def actor(value: float) -> SquashedGaussianActor:
    made = SquashedGaussianActor(3, 2, (4,), (-6.0, 1.0))
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.fill_(value)
    return made


def evaluation(mean_return: float) -> Evaluation:
    return sample_evaluation(mean_return=mean_return)


def kept(best: BestActor) -> float:
    (value,) = {each.item() for each in torch.cat([p.flatten() for p in best.actor.parameters()])}
    return value


@pytest.mark.parametrize(
    ("returns", "best_index"),
    [([1.0], 0), ([1.0, 3.0, 2.0], 1), ([-5.0, -7.0], 0), ([2.0, 2.0], 1)],
)
def test_the_highest_return_is_kept_and_of_equals_the_newest(
    returns: list[float], best_index: int
) -> None:
    best = BestActor(actor(9.0))
    for index, each in enumerate(returns):
        best.offer(actor(float(index)), evaluation(each), env_steps=100 * index)
    assert kept(best) == best_index
    assert best.evaluation == evaluation(returns[best_index])
    assert best.env_steps == 100 * best_index


def test_more_success_counts_before_more_return() -> None:
    best = BestActor(actor(9.0))
    for index, (rate, mean_return) in enumerate([(0.9, 5.0), (1.0, 1.0), (0.98, 7.0)]):
        success = tuple(Success(each, rate) for each in TOLERANCES)
        offered = sample_evaluation(mean_return=mean_return, success=success)
        best.offer(actor(float(index)), offered, env_steps=index)
    assert kept(best) == 1.0


def test_what_is_kept_does_not_follow_the_learning() -> None:
    learning = actor(1.0)
    best = BestActor(learning)
    best.offer(learning, evaluation(0.0), env_steps=1)
    with torch.no_grad():
        for parameter in learning.parameters():
            parameter.fill_(2.0)
    assert kept(best) == 1.0


def test_it_comes_back_from_its_state_and_from_an_empty_one() -> None:
    first, second = BestActor(actor(0.0)), BestActor(actor(5.0))
    second.load_state_dict(first.state_dict())
    assert second.evaluation is None
    first.offer(actor(3.0), evaluation(1.5), env_steps=70)
    second.load_state_dict(first.state_dict())
    assert (kept(second), second.evaluation, second.env_steps) == (3.0, evaluation(1.5), 70)


def test_an_evaluation_with_another_number_of_goals_is_the_first_of_a_new_comparison() -> None:
    best = BestActor(actor(9.0))
    best.offer(actor(0.0), evaluation(3.0), env_steps=100)
    fewer = dataclasses.replace(evaluation(-1.0), episodes=evaluation(0.0).episodes - 1)
    best.offer(actor(1.0), fewer, env_steps=200)
    assert (kept(best), best.evaluation) == (1.0, fewer)
