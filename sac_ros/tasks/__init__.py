# SPDX-License-Identifier: Apache-2.0
"""What an arm is to do: goal, observation, reward, success; no simulator."""
