# SPDX-License-Identifier: Apache-2.0
"""Who carries a simulated arm: the words for it, for those who must not import the simulator."""

GRAVITY = 9.81  # m/s², standard value that robot drivers compensate
GRAVITY_MODES = ("external", "none")
"""``external``: the robot adds g(q) to the command; ``none``: it adds nothing."""
