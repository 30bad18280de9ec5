# SPDX-License-Identifier: Apache-2.0
"""HTML pages that need nothing but a browser, or paper: what all of them have."""
