# SPDX-License-Identifier: Apache-2.0
"""What is done: one file for each mode, with the torque that it asks for."""
