# SPDX-License-Identifier: Apache-2.0
"""What a training run hands to the export, with an untrained actor that answers strongly."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sample_evaluation import sample_evaluation

from sac_ros.policy.runtime import Policy
from sac_ros.policy.spec import PolicySpec
from sac_ros.sac.agent import SacAgent
from sac_ros.sac.config import SacConfig
from sac_ros.sim.vector_env import ArmVectorEnv
from sac_ros.training import policy_file
from sac_ros.training.config import EnvironmentConfig, TrainConfig
from sac_ros.training.export import GateStates, export_policy
from sac_ros.training.policy_graph import PolicyGraph


@dataclasses.dataclass
class ExportCall:
    """The arguments of `export_policy` but for the path."""

    env: ArmVectorEnv
    graph: PolicyGraph
    spec: PolicySpec
    states: GateStates
    home: list[float]

    def to(self, path: Path) -> Policy:
        return export_policy(path, self.graph, self.spec, self.states, self.home)


def export_call(gravity_compensation: str, **arguments: Any) -> ExportCall:
    """Taken where `write_policy` makes it, so that what is tested is what training exports."""
    torch.manual_seed(0)
    sac = SacConfig(hidden_sizes=(16, 16), actor_output_scale=1.0)
    env = ArmVectorEnv(gravity_compensation=gravity_compensation, **arguments)
    agent = SacAgent(env.task.size, env.arm.joints, sac, aim=env.task.aim_columns)
    with torch.no_grad():  # from small actions to saturated ones
        agent.averaged_parameters.values.mul_(2.5)
    rng = np.random.default_rng(0)
    taken: dict[str, Any] = {}

    def take(path: Path, *arguments: Any, home: Any = None) -> None:
        taken["arguments"] = (*arguments, home)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(policy_file, "export_policy", take)
        policy_file.write_policy(
            Path("unused.onnx"),
            actor=agent.averaged_actor,
            env=env,
            config=TrainConfig(
                sac=sac, env=EnvironmentConfig(gravity_compensation=gravity_compensation)
            ),
            joint_positions=rng.normal(size=(500, env.arm.joints)).astype(np.float32),
            joint_velocities=rng.normal(size=(500, env.arm.joints)).astype(np.float32),
            env_steps=500,
            actor_env_steps=400,
            began_with={},
            learning_seconds=1.0,
            evaluation=sample_evaluation(),
        )
    return ExportCall(env, *taken["arguments"])
