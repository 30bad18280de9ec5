# SPDX-License-Identifier: Apache-2.0
"""Console commands: argument parsing and printing only."""
