# SPDX-License-Identifier: Apache-2.0
"""Classical controllers: what a policy learns from, and is measured against; no simulator."""
