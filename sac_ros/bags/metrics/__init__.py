# SPDX-License-Identifier: Apache-2.0
"""The figures of an evaluation, one module each: arrays in, dataclasses of `result` out."""
