# SPDX-License-Identifier: Apache-2.0
"""Thin ROS 2 nodes: parameters, message conversion, timers. No maths, and the only rclpy here."""
