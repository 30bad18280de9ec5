# SPDX-License-Identifier: Apache-2.0
"""The simulated arm: one arm in one Bullet client, its tasks and its Gymnasium environment.

It imports neither ROS nor torch.
"""
