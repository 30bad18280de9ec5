# SPDX-License-Identifier: Apache-2.0
"""What every choice of the training gives: the default configuration against changes of it."""
