# SPDX-License-Identifier: Apache-2.0
"""Parameters of `policy_node`."""

from __future__ import annotations

from dataclasses import dataclass

from sac_ros.policy.runtime import Policy
from sac_ros.policy.safety_config import SafetyConfig
from sac_ros.policy.spec import GRAVITY_COMPENSATION, PolicySpec
from sac_ros.utils.errors import ConfigurationError
from sac_ros.utils.settings import setting

CONTROLLERS = ("policy", "computed_torque")
"""What answers the states."""


@dataclass(frozen=True)
class PolicyNodeConfig(SafetyConfig):
    """Parameters of `policy_node`; those of the safety filter are among them."""

    model_path: str = setting(
        "",
        "policy file (.onnx) to run; set while active, it is verified and swapped in",
        live=True,
    )
    policy_sha256: tuple[str, ...] = setting(
        (), "SHA-256 of the policy files that may run, in hex; empty: any file that is sound"
    )
    controller: str = setting(
        "policy",
        "policy: the policy file's graph; computed_torque: the textbook controller, for the arm, "
        "the goals, the rate and the limits of that file",
        choices=CONTROLLERS,
    )
    shadow: bool = setting(
        False,
        "run and publish everything but the commands; set while active, the arm is stopped first",
        live=True,
    )
    autostart: bool = setting(
        False, "configure and activate at start without a lifecycle manager, or exit with code 2"
    )
    gravity_compensation: str = setting(
        "robot",
        "robot: the robot adds g(q) to the command; policy: the policy's torque holds g(q)",
        choices=GRAVITY_COMPENSATION,
    )
    command_joints: tuple[str, ...] = setting(
        (), "order of the joints in a command; empty: the policy's own order"
    )
    state_timeout_s: float = setting(
        5.0, "longest wait for the first joint state at activation", above=0.0, unit="s"
    )
    diagnostics_period_s: float = setting(
        1.0, "time from one /diagnostics message to the next", above=0.0, unit="s"
    )
    realtime_priority: int = setting(
        0, "SCHED_FIFO priority of all the node's threads; 0: ordinary", minimum=0, maximum=99
    )
    lock_memory: bool = setting(False, "keep the node's memory from being swapped out")

    def check_policy(self, policy: Policy) -> None:
        """Refuse a policy that nobody allowed, or that would add gravity twice or not at all.

        Raises:
            ConfigurationError: policy and parameter do not fit.
        """
        spec, path = policy.spec, policy.path
        if self.policy_sha256 and policy.sha256 not in self.policy_sha256:
            raise ConfigurationError(
                f"policy file {path} must have one of the SHA-256 of parameter policy_sha256; "
                f"its own is {policy.sha256}"
            )
        if spec.gravity_compensation != self.gravity_compensation:
            raise ConfigurationError(
                f"parameter gravity_compensation is {self.gravity_compensation}, so the policy's "
                f"must be too; policy file {path} has {spec.gravity_compensation}"
            )

    def answering(self, policy: Policy) -> Policy:
        """Return what answers the states: a policy that `check_policy` takes, or the textbook.

        Raises:
            ConfigurationError: policy and parameter do not fit.
            PolicyFileError: the textbook does not have the policy's arm.
        """
        self.check_policy(policy)
        if self.controller == "policy":
            return policy
        # Only here: the readers of arms take memory that a policy does not need.
        from sac_ros.ros.policy.textbook import TextbookPolicy  # noqa: PLC0415

        return TextbookPolicy(policy)

    def command_order(self, spec: PolicySpec) -> list[int]:
        """Return, for each place in a command, the index of its joint in the policy's order.

        Raises:
            ConfigurationError: ``command_joints`` are not the policy's joints, each once.
        """
        names = self.command_joints or spec.joint_names
        if sorted(names) != sorted(spec.joint_names):
            raise ConfigurationError(
                f"parameter command_joints must hold each of the policy's joints once "
                f"({', '.join(spec.joint_names)}); got {', '.join(names)}"
            )
        return [spec.joint_names.index(name) for name in names]
