# SPDX-License-Identifier: Apache-2.0
"""The composition root of a training run: joins simulation, collection, learning and export.

It imports no ROS, so that a run also works in a notebook or on a cluster.
"""
