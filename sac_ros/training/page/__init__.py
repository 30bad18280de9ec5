# SPDX-License-Identifier: Apache-2.0
"""A training run as one HTML page that needs nothing but a browser, or paper."""
