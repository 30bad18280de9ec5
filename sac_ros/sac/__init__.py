# SPDX-License-Identifier: Apache-2.0
"""Soft Actor-Critic: losses, networks and the agent.

It imports neither ROS nor the simulator.
"""
