# SPDX-License-Identifier: Apache-2.0
"""Joint states and the torques that answer them are paired by stamp."""

from __future__ import annotations

import pytest

from sac_ros.ros.answers import Answers


def counted(sent: list[int], taken: list[int]) -> Answers:
    answers = Answers()
    for stamp in sent:
        answers.send(stamp)
    for stamp in taken:
        answers.take(stamp)
    return answers


@pytest.mark.parametrize(
    ("sent", "taken", "unanswered", "complete"),
    [
        ([], [], 0, True),
        ([1, 2, 3], [1, 2, 3], 0, True),
        ([1, 2, 3], [1, 3], 1, True),
        ([1, 2, 3], [1, 2], 1, False),
        ([1, 2, 3], [], 3, False),
        ([1, 2], [1, 1, 1, 7], 1, False),  # a torque of another state, or again, is no answer
        ([1, 1, 2], [1, 2], 1, True),
        ([1, 1, 2], [1, 1, 2], 0, True),
        ([0, 0, 0], [0, 0], 1, False),  # without stamps only the count is known
        ([0, 0], [0, 0, 0], 0, True),
    ],
)
def test_a_state_is_answered_by_a_torque_with_its_stamp_once(
    sent: list[int], taken: list[int], unanswered: int, complete: bool
) -> None:
    answers = counted(sent, taken)
    assert (answers.unanswered, answers.complete()) == (unanswered, complete)
    assert answers.sent == len(sent)


def test_a_torque_that_comes_ten_thousand_states_later_is_no_answer() -> None:
    answers = counted(list(range(1, 10_003)), [1, 2, 3, 10_002])
    assert answers.unanswered == 10_002 - 2
