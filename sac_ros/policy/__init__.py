# SPDX-License-Identifier: Apache-2.0
"""What runs on the robot: policy file, its runtime, safety filter; numpy and onnxruntime only."""
