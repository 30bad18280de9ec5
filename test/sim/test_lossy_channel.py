# SPDX-License-Identifier: Apache-2.0
"""What a line carries comes out late, in order, once, or never."""

from __future__ import annotations

import pytest

from sac_ros.sim.command_inbox import LossyChannel


def line(latency: float = 0.0, loss: float = 0.0, seed: int = 0) -> LossyChannel[int]:
    return LossyChannel(latency=latency, loss=loss, seed=(seed,))


def items(received: list[tuple[float, int]]) -> list[int]:
    return [item for _, item in received]


def test_without_latency_an_item_comes_out_at_once_and_only_once() -> None:
    carried = line()
    carried.send(7, now=1.0)
    assert carried.receive(1.0) == [(1.0, 7)]
    assert carried.receive(1.0) == []


def test_an_item_comes_out_after_the_latency_with_the_time_at_which_it_did() -> None:
    carried = line(latency=0.25)
    carried.send(7, now=1.0)
    assert carried.receive(1.24) == []
    assert carried.receive(2.0) == [(1.25, 7)]


def test_items_come_out_in_their_order() -> None:
    carried = line(latency=0.5)
    for number in range(5):
        carried.send(number, now=0.1 * number)
    assert items(carried.receive(0.75)) == [0, 1, 2]
    assert items(carried.receive(1.0)) == [3, 4]


@pytest.mark.parametrize("loss", [0.0, 0.1, 0.5, 1.0])
def test_it_loses_the_share_that_it_was_told(loss: float) -> None:
    carried = line(loss=loss)
    for number in range(5000):
        carried.send(number, now=0.0)
    assert len(carried.receive(0.0)) == pytest.approx(
        5000 * (1.0 - loss), abs=120 * (0 < loss < 1)
    )


def test_a_seed_repeats_the_losses_and_another_loses_others() -> None:
    found = []
    for seed in (1, 1, 2):
        carried = line(loss=0.5, seed=seed)
        for number in range(100):
            carried.send(number, now=0.0)
        found.append(items(carried.receive(0.0)))
    assert found[0] == found[1] != found[2]


def test_clearing_loses_what_is_on_its_way() -> None:
    carried = line(latency=1.0)
    carried.send(7, now=0.0)
    carried.clear()
    assert carried.receive(5.0) == []
