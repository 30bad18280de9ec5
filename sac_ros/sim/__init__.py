# SPDX-License-Identifier: Apache-2.0
"""The simulated arm: one arm in one Bullet client, its tasks and its Gymnasium environment.

Knows nothing of ROS and nothing of torch.
"""
