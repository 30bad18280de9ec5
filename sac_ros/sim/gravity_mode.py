# SPDX-License-Identifier: Apache-2.0
"""Who carries a simulated arm: the words for it, for those who must not import the simulator."""

GRAVITY_MODES = ("external", "none")
"""``external``: the robot adds g(q) to the command; ``none``: it adds nothing."""

GRAVITY_MODE = {"robot": "external", "policy": "none"}
"""``gravity_compensation`` of a policy file → the mode of the simulated arm that it is for."""
