# SPDX-License-Identifier: Apache-2.0
"""The browser view: an arm, its goal, its torques and its training on a page; imports no ROS."""
