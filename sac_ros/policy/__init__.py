# SPDX-License-Identifier: Apache-2.0
"""What runs on the robot: policy file, its runtime, safety filter; numpy and onnxruntime only."""

import os

# onnxruntime 1.29 and newer report what they run to Microsoft: a thread that wakes up beside the
# control loop, a database in the user's home and a connection. It reads this when it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
