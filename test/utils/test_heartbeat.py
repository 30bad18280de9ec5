# SPDX-License-Identifier: Apache-2.0
"""What takes its time is repeated."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sac_ros.utils.heartbeat import Heartbeat, printed, repeat_with

Eventually = Callable[..., None]


def test_a_line_is_repeated_with_its_time_until_something_else_is_printed(
    capsys: pytest.CaptureFixture[str], eventually: Eventually
) -> None:
    seen: list[str] = []

    def has(line: str) -> bool:
        seen.extend(capsys.readouterr().err.splitlines())
        return line in seen

    with Heartbeat(interval_s=0.02):
        printed("making the worlds")
        eventually(lambda: has("making the worlds: 0 s"))
        printed("starting the collector")
        eventually(lambda: has("starting the collector: 0 s"))
    capsys.readouterr()
    printed("ended")
    assert capsys.readouterr().err == ""


def test_a_progress_bar_is_refreshed_instead(
    capsys: pytest.CaptureFixture[str], eventually: Eventually
) -> None:
    refreshed: list[bool] = []
    repeat_with(lambda: refreshed.append(True))
    try:
        with Heartbeat(interval_s=0.02):
            printed("training")
            eventually(lambda: len(refreshed) > 2)
    finally:
        repeat_with(None)
    assert capsys.readouterr().err == ""
