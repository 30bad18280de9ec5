# SPDX-License-Identifier: Apache-2.0
"""The parameters of `replay_node`."""

from __future__ import annotations

from dataclasses import dataclass

from sac_ros.ros.bag_writer import STORAGES
from sac_ros.utils.settings import setting


@dataclass(frozen=True)
class ReplayConfig:
    """Parameters of `replay_node`."""

    bag: str = setting("", "bag to replay: a folder, or its one file")
    model_path: str = setting(
        "", "policy file (.onnx) to replay it through; empty: the one that was recorded"
    )
    output: str = setting(
        "", "folder for the replay's own bag, which must not exist yet; empty: replay_DATE-TIME"
    )
    storage: str = setting("mcap", "how that bag stores its messages", choices=STORAGES)
    mode: str = setting(
        "lock_step",
        "lock_step: each state waits for the answer to the one before, the same torques on every "
        "run; real_time: at the recorded pace",
        choices=("lock_step", "real_time"),
    )
    rate: float = setting(1.0, "pace of real_time: 2 is twice as fast as recorded", above=0.0)
    max_unanswered: float = setting(
        0.05,
        "in real_time, the largest fraction of the joint states sent after a goal that may get no "
        "applied torque; with more the exit code is 1",
        minimum=0.0,
        maximum=1.0,
    )
    start_offset_s: float = setting(
        0.0, "leave out this much of the bag's beginning", minimum=0.0, unit="s"
    )
    publish_clock: bool = setting(
        False, "in real_time publish the joint states' stamps on /clock, for other tools"
    )
    states_topic: str = setting(
        "", "topic of the joint states in the bag; empty: joint_states, or the only one"
    )
    goals_topic: str = setting(
        "", "topic of the goals in the bag; empty: goal_pose, or the only one"
    )
    joints: tuple[str, ...] = setting(
        (), "POLICY=BAG for each joint that has another name in the bag than in the policy"
    )
    goal: tuple[float, ...] = setting(
        (), "x, y, z of a goal for a bag that has none, in the policy's frame", unit="m"
    )
    clear_faults: bool = setting(
        False,
        "in lock_step of a bag without ~/events clear each fault as soon as its cause is gone, as"
        " evaluate_bag does; false: faults stand",
    )
    policy_params_file: str = setting(
        "",
        "parameters of the policy_node; empty: those that were recorded, else its defaults",
    )
    start_policy_node: bool = setting(
        True,
        "false: real_time uses a policy_node in shadow that runs already, in replay_node's own "
        "namespace",
    )
