# SPDX-License-Identifier: Apache-2.0
"""Soft Actor-Critic: losses, networks, replay, agent, training loop, checkpoint, export.

It imports neither ROS nor the simulator.
"""
