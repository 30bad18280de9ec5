# SPDX-License-Identifier: Apache-2.0
"""An evaluation as one HTML page that needs nothing but a browser, or paper."""
