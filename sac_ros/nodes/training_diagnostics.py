# SPDX-License-Identifier: Apache-2.0
"""train_node's entry in ``/diagnostics``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

if TYPE_CHECKING:
    from sac_ros.training.runner import TrainingSession


def training_status(node_name: str, session: TrainingSession) -> DiagnosticStatus:
    """How the training is doing: speeds, success, time left."""
    progress = session.progress
    values = {
        "phase": progress.phase,
        "run": str(session.directory.path),
        "env_steps": f"{progress.env_steps}",
        "total_steps": f"{progress.total_steps}",
        "env_steps_per_second": f"{progress.steps_per_second:.0f}",
        "updates": f"{progress.updates}",
        "updates_per_second": f"{progress.updates_per_second:.0f}",
        "success_rate": f"{progress.held_out_success:.3f}",
        "training_success_rate": f"{progress.episode_success:.3f}",
        "mean_return": f"{progress.episode_return:.2f}",
        "learning_seconds": f"{progress.learning_seconds:.1f}",
        "seconds_left": f"{progress.seconds_left:.0f}",
    }
    return DiagnosticStatus(
        level=DiagnosticStatus.OK,
        name=f"{node_name}: training",
        message=f"{progress.phase}, {progress.env_steps} of {progress.total_steps} steps",
        hardware_id=session.config.arm,
        values=[KeyValue(key=key, value=value) for key, value in values.items()],
    )
