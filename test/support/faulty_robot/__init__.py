# SPDX-License-Identifier: Apache-2.0
"""A robot over real DDS that misbehaves on demand, for the soak and for the tests."""
