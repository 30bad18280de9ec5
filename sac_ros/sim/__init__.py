# SPDX-License-Identifier: Apache-2.0
"""The simulated arm: physics engines, a plant around them, and the Gymnasium environment.

It imports neither ROS nor torch.
"""
