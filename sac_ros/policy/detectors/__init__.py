# SPDX-License-Identifier: Apache-2.0
"""What is wrong: one file for each cause, with its sentence and its numbers."""
