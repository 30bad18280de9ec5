# SPDX-License-Identifier: Apache-2.0
"""What every layer may use: settings, errors, files; the standard library only."""
