# SPDX-License-Identifier: Apache-2.0
"""Soft Actor-Critic: losses, networks, replay, agent, training loop, checkpoint, export.

Knows nothing of ROS and nothing of the simulator.
"""
