# SPDX-License-Identifier: Apache-2.0
"""The page as a browser shows it: the arm is drawn, nothing is wrong, nothing is loaded from afar.

Needs Chromium (`apt install chromium`, or CHROMIUM: its path); skipped without.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
from browser import CHROMIUM, Browser

from sac_ros.policy.runtime import Policy
from sac_ros.robots.arm import load_arm
from sac_ros.utils.package_share import share_path
from sac_ros.view.page import Page
from sac_ros.view.server import start_server, stop_server
from sac_ros.view.state import EventLine, ViewState

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no Chromium: set CHROMIUM to its path")

# How many pixels of the scene are of the iiwa's orange.
ORANGE = """(() => {
  const all = [...document.querySelectorAll('canvas')];
  const shown = all.find(c => c.width && !c.closest('.uplot'));
  if (!shown) return 0;
  const size = {width: shown.width, height: shown.height};
  const pen = Object.assign(document.createElement('canvas'), size).getContext('2d');
  pen.drawImage(shown, 0, 0);
  const p = pen.getImageData(0, 0, size.width, size.height).data;
  let count = 0;
  for (let i = 0; i < p.length; i += 4) count += p[i] > 150 && p[i + 1] < 140 && p[i + 2] < 90;
  return count;
})()"""
PAUSE = "new Promise(f => setTimeout(() => f(1), 300))"
SECONDS = 100.0  # for a renderer without a graphics card, on a machine that has other work


def test_the_arm_its_goal_and_its_numbers_are_there(tmp_path: Path) -> None:
    arm = load_arm("iiwa")
    spec = Policy.load(share_path("models", "iiwa_reach.onnx")).spec
    state = ViewState(
        position=arm.home,
        torque=0.5 * arm.torque_limit,
        state_age_s=0.0,
        spec=spec,
        goal=np.array([0.5, 0.1, 0.4]),
        distance=0.123,
        mode="tracking",
        events=[EventLine(1.0, "activated")],
    )
    server = start_server("127.0.0.1", 0)
    address = f"http://127.0.0.1:{server.get_port()}/"
    page = Page(server, 20.0, allow_goals=True)
    page.set_arm(arm)
    page.set_policy(state, drag=True)
    try:
        with Browser(tmp_path, 900, 600, webgl=True) as browser:
            browser.open(address)
            end, orange = time.monotonic() + SECONDS, 0
            while orange < 300 and time.monotonic() < end:
                page.show(time.monotonic(), state)
                browser.run(PAUSE)
                orange = browser.run(ORANGE)
            assert orange >= 300, "the arm is drawn"
            words = browser.run("document.body.innerText")
            errors = [said for said in browser.said if _is_error(said)]
            asked = [each for each in browser.asked if not each.startswith(("data:", "blob:"))]
        assert errors == []
        assert asked == [address]
        for each in ("iiwa_reach", "tracking", "123.0 mm", "activated", "drag the goal", "N·m"):
            assert each in words
    finally:
        stop_server(server)


def _is_error(said: str) -> bool:
    about = json.loads(said)
    return not isinstance(about, list) and about.get("level", "error") == "error"
