# SPDX-License-Identifier: Apache-2.0
"""What an arm is: its description, kinematics and dynamics; numpy only."""
