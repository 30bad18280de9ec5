# SPDX-License-Identifier: Apache-2.0
"""Recordings of robots to figures on a policy: reading, alignment, metrics; no ROS, no torch."""
