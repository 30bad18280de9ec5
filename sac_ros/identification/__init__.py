# SPDX-License-Identifier: Apache-2.0
"""System identification: from a recording of a robot to the world in which a policy is trained."""
