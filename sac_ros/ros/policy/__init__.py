# SPDX-License-Identifier: Apache-2.0
"""policy_node and command_guard: what commands a robot."""
