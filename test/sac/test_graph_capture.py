# SPDX-License-Identifier: Apache-2.0
"""What is replayed is what was recorded: the same operations, once a call."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from sac_ros.sac import graph_capture
from sac_ros.sac.agent import Batch, SacAgent
from sac_ros.sac.config import SacConfig
from sac_ros.sac.graph_capture import CapturedGraph

SIZE, N, B = 9, 3, 32
UPDATES = 8  # two before the replay begins


def agent(**settings: Any) -> SacAgent:
    torch.manual_seed(0)
    return SacAgent(SIZE, N, SacConfig(hidden_sizes=(16, 12), **settings))


def batches(number: int, rows: int = B, *, discount: bool = False) -> list[Batch]:
    generator = torch.Generator().manual_seed(1)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    return [
        Batch(
            observation=normal(rows, SIZE),
            action=normal(rows, N).tanh(),
            reward=normal(rows),
            next_observation=normal(rows, SIZE),
            terminated=(normal(rows) > 1.0).float(),
            discount=normal(rows).sigmoid() if discount else None,
        )
        for _ in range(number)
    ]


def state(of: SacAgent) -> list[Tensor]:
    """Everything that learning changes, as tensors."""
    found = of.state_dict()
    optimisers = found.pop("optimisers")
    moments = [
        moment
        for each in optimisers.values()
        for of_parameter in each["state"].values()
        for moment in of_parameter.values()
    ]
    return [each.clone() for each in itertools.chain(found.values(), moments)]


def assert_equal(one: SacAgent, other: SacAgent) -> None:
    for ours, theirs in zip(state(one), state(other), strict=True):
        assert torch.equal(ours, theirs)


# Half of the eight combinations, in which every pair of settings occurs: all would take twice the
# time.
@pytest.mark.parametrize(
    ("value_function", "learn_temperature", "discount"),
    [
        pytest.param(True, True, False, id="V-learned-one step"),
        pytest.param(True, False, True, id="V-fixed-n steps"),
        pytest.param(False, True, True, id="twin Q-learned-n steps"),
        pytest.param(False, False, False, id="twin Q-fixed-one step"),
    ],
)
def test_replayed_updates_equal_updates_from_python_bit_for_bit(
    value_function: bool, learn_temperature: bool, discount: bool
) -> None:
    results = []
    for record in (True, False):
        sac = agent(
            value_function=value_function,
            learn_temperature=learn_temperature,
            capture_updates=record,
        )
        torch.manual_seed(2)
        metrics = [sac.update(batch) for batch in batches(UPDATES, discount=discount)]
        results.append((sac, metrics, torch.rand(1)))
    (recorded, our_metrics, our_draw), (plain, their_metrics, their_draw) = results
    assert recorded._recorded.recorded
    assert not plain._recorded.recorded
    assert_equal(recorded, plain)
    assert our_metrics == their_metrics
    assert our_draw == their_draw  # the same place in the stream of random numbers


def test_replayed_updates_follow_the_falling_learning_rate_and_target_entropy() -> None:
    agents = [agent(capture_updates=record) for record in (True, False)]
    for sac in agents:
        torch.manual_seed(2)
        for index, batch in enumerate(batches(UPDATES)):
            sac.set_progress(index / UPDATES)
            sac.update(batch)
    assert_equal(*agents)


def test_a_restored_agent_goes_on_from_what_was_restored() -> None:
    saved = agent()
    for batch in batches(3):
        saved.update(batch)
    recorded, plain = agent(), agent(capture_updates=False)
    for sac in (recorded, plain):
        for batch in batches(4):
            sac.update(batch)
        sac.load_state_dict(saved.state_dict())
        torch.manual_seed(3)
        for batch in batches(UPDATES):
            sac.update(batch)
    assert_equal(recorded, plain)


def test_a_batch_of_another_size_is_learned_from_as_well() -> None:
    agents = [agent(capture_updates=record) for record in (True, False)]
    for sac in agents:
        torch.manual_seed(2)
        for batch in [*batches(4), *batches(1, rows=B // 2), *batches(2)]:
            sac.update(batch)
    assert_equal(*agents)


def test_every_call_does_its_work_once() -> None:
    total = torch.zeros(2)
    calls = []

    def add(values: Tensor) -> tuple[Tensor]:
        calls.append(values)
        total.add_(values)
        return (total.clone(),)

    function = CapturedGraph(add)
    seen = [function(torch.full((2,), float(number)))[0][0].item() for number in range(1, 7)]
    assert seen == [1.0, 3.0, 6.0, 10.0, 15.0, 21.0]
    assert len(calls) == 2
    assert function.recorded


def test_what_changes_a_list_of_tensors_in_place_is_replayed_too() -> None:
    """TorchScript drops such operations when nobody reads the list: Adam's step is one."""
    counters = [torch.zeros(()), torch.zeros(())]

    def count(values: Tensor) -> tuple[Tensor]:
        torch._foreach_add_(counters, 1.0)
        return (values * 2.0,)

    function = CapturedGraph(count)
    for _ in range(5):
        function(torch.ones(3))
    assert [counter.item() for counter in counters] == [5.0, 5.0]


def test_what_is_forgotten_is_recorded_anew() -> None:
    factor = [torch.ones(())]
    function = CapturedGraph(lambda values: (values * factor[0],))
    for _ in range(3):
        function(torch.ones(2))
    factor[0] = torch.full((), 5.0)
    assert function(torch.ones(2))[0].tolist() == [1.0, 1.0]  # as recorded
    function.forget()
    assert [function(torch.ones(2))[0][0].item() for _ in range(4)] == [5.0] * 4


def test_a_torch_that_records_otherwise_is_said_and_updates_go_on_without(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain = agent(capture_updates=False)
    monkeypatch.delattr("torch.fx.experimental.proxy_tensor.make_fx")
    graph_capture.why_not.cache_clear()
    try:
        sac = agent()
        torch.manual_seed(2)
        first, *others = batches(UPDATES)
        with pytest.warns(RuntimeWarning, match=r"torch .* does not replay recorded updates"):
            sac.update(first)
        for batch in others:
            sac.update(batch)
    finally:
        graph_capture.why_not.cache_clear()
    torch.manual_seed(2)
    for batch in batches(UPDATES):
        plain.update(batch)
    assert not sac._recorded.recorded
    assert_equal(plain, sac)


def test_a_replay_of_other_numbers_is_found_by_the_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    replay = graph_capture._replay
    monkeypatch.setattr(
        graph_capture, "_replay", lambda *it: tuple(2.0 * each for each in replay(*it))
    )
    graph_capture.why_not.cache_clear()
    try:
        assert "other numbers" in graph_capture.why_not()
    finally:
        graph_capture.why_not.cache_clear()


def test_this_torch_replays() -> None:
    assert graph_capture.why_not() == ""
