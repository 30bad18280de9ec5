# SPDX-License-Identifier: Apache-2.0
"""What runs on the robot: the policy file, its runtime and the safety filter (numpy, onnxruntime)."""
