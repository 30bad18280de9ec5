# SPDX-License-Identifier: Apache-2.0
"""Bags as streams of CDR messages, whatever stored them and however they were left behind."""
