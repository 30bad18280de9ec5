# SPDX-License-Identifier: Apache-2.0
"""Computations on what was measured."""
