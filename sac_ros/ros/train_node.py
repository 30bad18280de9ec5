# SPDX-License-Identifier: Apache-2.0
"""Trains a policy and shows over ROS how it is doing; ROS never paces the training."""

from __future__ import annotations

import dataclasses
import sys
from concurrent import futures
from functools import partial
from typing import TYPE_CHECKING, Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import PoseStamped
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_srvs.srv import SetBool, Trigger

from sac_ros.ros.parameters import declare, named_parameters
from sac_ros.ros.policy.goal_reader import goal_message
from sac_ros.ros.robot_description import arm_reference, keep_description
from sac_ros.ros.spin import NodeDone, in_thread, run_node
from sac_ros.training.config import TrainConfig
from sac_ros.training.run_directory import find_run_directory, settings_to_resume
from sac_ros.utils.errors import EXIT_BAD_ANSWER, EXIT_DONE
from sac_ros.utils.heartbeat import Heartbeat, printed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sac_ros.training.runner import TrainingSession

_STATE_RATE = 20.0  # Hz, of the joint states and goals that RViz shows
_DIAGNOSTICS_RATE = 1.0  # Hz
_STOPPING = "stopping: what was learned is being saved; Ctrl-C again ends it at once"
_SERVICE_TIMEOUT = 120.0  # s, an evaluation may be under way


class TrainNode(Node):
    """Runs a `TrainingSession` in a thread of its own beside the executor.

    Publishes `joint_states` and `goal_pose` of one arm in training, decimated, and `/diagnostics`.
    Services: `~/pause`, `~/save_checkpoint`, `~/export_policy`, `~/evaluate`.
    """

    def __init__(self, arguments: Sequence[str] | None = None) -> None:
        """Makes the run and starts to train.

        Args:
            arguments: the command line, for what it names with `-p`; `sys.argv` when None.

        Raises:
            ConfigurationError: a parameter is invalid, the name is taken, the arm is refused, or
                there is nothing to resume.
        """
        super().__init__("train_node")
        named = named_parameters(sys.argv if arguments is None else arguments)
        config = declare(self, TrainConfig, lambda given: settings_to_resume(given, named))
        if (text := arm_reference(self, config.arm, config.robot_description)) != config.arm:
            # A file beside the runs, since a resumed run needs the same arm.
            config = dataclasses.replace(
                config, arm=str(keep_description(text, config.directory)), robot_description=""
            )
        run = find_run_directory(config)
        if config.resume:
            self.get_logger().info(
                f"resuming {run.path}/ with its own settings, those of {run.configuration.name}: "
                "-p NAME:=VALUE changes one, a parameter file does not"
            )
        self.get_logger().info("importing torch")
        printed("importing torch")
        # torch takes seconds to import: by now wrong parameters are refused, and a Ctrl-C finds
        # its handler.
        from sac_ros.training.runner import TrainingSession  # noqa: PLC0415

        self._session: TrainingSession = TrainingSession(config, run)
        arm = self._arm = self._session.env.arm
        self._joint_states = self.create_publisher(JointState, "joint_states", 10)
        self._goals = self.create_publisher(PoseStamped, "goal_pose", 1)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self.create_timer(1.0 / _STATE_RATE, self._publish_state)
        self.create_timer(1.0 / _DIAGNOSTICS_RATE, self._publish_diagnostics)
        self.create_service(SetBool, "~/pause", self._on_pause)
        for name, action, done in (
            ("save_checkpoint", self._session.save_checkpoint, "saved {}"),
            ("export_policy", self._session.export_policy, "exported {}"),
            ("evaluate", self._evaluate, "{}"),
        ):
            self.create_service(Trigger, f"~/{name}", partial(self._on_trigger, action, done))
        self.get_logger().info(f"training {arm.name}, seed {config.seed}, in {run.path}/")
        self._training = in_thread("training", self._session.run)

    def stop(self) -> None:
        """Ends the training with a checkpoint; called by `run_node` on a signal or an error."""
        self._session.stop()
        futures.wait([self._training])
        self._training.result()  # raises what ended it, such as a report that could not be made

    def _publish_state(self) -> None:
        if self._training.done():
            self._training.result()  # raises what ended it
            outcome = self._session.outcome
            raise NodeDone(EXIT_BAD_ANSWER if outcome and outcome.shortfall else EXIT_DONE)
        state = self._session.latest_state()
        if state is None:
            return
        position, velocity, goal = state
        message = JointState(
            name=self._arm.joint_names, position=position.tolist(), velocity=velocity.tolist()
        )
        goal_pose = goal_message(goal, self._arm.base_link)
        message.header.stamp = goal_pose.header.stamp = self.get_clock().now().to_msg()
        self._joint_states.publish(message)
        self._goals.publish(goal_pose)

    def _publish_diagnostics(self) -> None:
        """Publish speeds, success and time left."""
        progress = self._session.progress
        values = {
            "phase": progress.phase,
            "run": str(self._session.directory.path.resolve()),
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
        status = DiagnosticStatus(
            level=DiagnosticStatus.OK,
            name=f"{self.get_name()}: training",
            message=f"{progress.phase}, {progress.env_steps} of {progress.total_steps} steps",
            hardware_id=self._session.config.arm,
            values=[KeyValue(key=key, value=value) for key, value in values.items()],
        )
        message = DiagnosticArray(status=[status])
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(message)

    def _evaluate(self) -> str | None:
        """The figures of the present actor in a sentence; None when the training stopped."""
        result = self._session.evaluate()
        if result is None:
            return None
        return (
            f"{result.success_rate(0.05):.0%} of {result.episodes} held-out goals within 5 cm and "
            f"still, {result.success_rate(0.02):.0%} within 2 cm, median error "
            f"{1e3 * result.median_error_m:.1f} mm"
        )

    def _on_pause(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        self._session.pause(request.data)
        response.success = True
        response.message = "paused" if request.data else "training"
        return response

    def _on_trigger(
        self,
        action: Callable[[], Any],
        done: str,
        _: Trigger.Request,
        response: Trigger.Response,
    ) -> Trigger.Response:
        """Have the training thread call `action` between two blocks, and answer with `done`."""
        try:
            result = self._session.request(action).result(timeout=_SERVICE_TIMEOUT)
            response.success = result is not None
            response.message = done.format(result) if response.success else "the training stopped"
        except Exception as error:  # the caller of the service gets the reason
            response.success = False
            response.message = str(error) or type(error).__name__
        return response


def main(args: list[str] | None = None) -> int:
    """Console script `train_node`; returns the exit code."""
    with Heartbeat():
        return run_node(
            partial(TrainNode, args),
            args,
            about=__doc__,
            parameters=TrainConfig,
            stopping=_STOPPING,
        )


if __name__ == "__main__":
    sys.exit(main())
