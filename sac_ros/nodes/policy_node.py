# SPDX-License-Identifier: Apache-2.0
"""The policy on the robot: joint states and goals in, safe torque commands out (lifecycle)."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from std_srvs.srv import SetBool, Trigger

from sac_ros.nodes.decision_log import DecisionLog
from sac_ros.nodes.diagnostics import PolicyDiagnostics
from sac_ros.nodes.direct_executor import UrgentCallbackGroup
from sac_ros.nodes.parameters import declare
from sac_ros.nodes.policy_config import PolicyNodeConfig
from sac_ros.nodes.policy_loading import PolicyLoading, short_turns
from sac_ros.nodes.policy_wiring import Callbacks, PolicyWiring
from sac_ros.nodes.realtime import prepare
from sac_ros.nodes.spin import run_node
from sac_ros.policy.controller import PolicyController
from sac_ros.policy.runtime import Policy
from sac_ros.policy.safety_events import Command
from sac_ros.utils.errors import ConfigurationError, GoalError, JointStateError, SacRosError

_LONGEST_LOAD_S = 3.0  # a hundred times what it takes; a network drive may hang for ever


class PolicyNode(LifecycleNode):
    """Wires `PolicyController` to ROS; the decisions are all made there.

    Everything runs in one thread, so a callback sees a consistent controller. Time is the steady
    clock throughout: neither a jump of the wall clock nor a stopped ``/clock`` may hold up the
    watchdog.
    """

    def __init__(self) -> None:
        """Declares the parameters; everything else waits for the transitions.

        Raises:
            ConfigurationError: a parameter is unknown or invalid.
        """
        super().__init__("policy_node")
        self._config = declare(self, PolicyNodeConfig)
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._wiring: PolicyWiring | None = None
        self._active = False
        self._emergency = False
        self._decisions = DecisionLog(self)
        self._refusal: SacRosError | None = None
        self._diagnostics = PolicyDiagnostics(self.get_name())
        self._diagnostics_publisher = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self.add_on_set_parameters_callback(self._on_set_parameters)
        self._emergency_stop = self.create_service(
            SetBool,
            "~/emergency_stop",
            self._on_emergency_stop,
            callback_group=UrgentCallbackGroup(),
        )
        self.create_service(Trigger, "~/clear_fault", self._on_clear_fault)
        self.create_timer(self._config.diagnostics_period_s, self._diagnose, clock=self._steady)
        self._autostart_deadline: float | None = None
        if self._config.autostart:
            self._autostart_timer = self.create_timer(0.01, self._autostart, clock=self._steady)

    # ---- transitions -----------------------------------------------------------------------

    def on_configure(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """Load the policy and connect; joint states are read, nothing is commanded yet."""
        return self._transition("configure", self._configure)

    def on_activate(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """Begin to command, if the robot is there and nobody else commands it."""
        return self._transition("activate", self._activate)

    def on_deactivate(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """Bring the torque to rest and stop commanding."""
        self._come_to_rest()
        return TransitionCallbackReturn.SUCCESS

    def on_cleanup(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """Disconnect and forget the policy."""
        self._disconnect()
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """Bring the torque to rest and disconnect."""
        self._disconnect()
        return TransitionCallbackReturn.SUCCESS

    def on_error(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """Bring the torque to rest and start over as unconfigured."""
        self._disconnect()
        return TransitionCallbackReturn.SUCCESS

    def stop(self) -> None:
        """Bring the torque to rest before the process ends, whatever it ends for."""
        self._come_to_rest()

    def _transition(self, name: str, act: Callable[[], None]) -> TransitionCallbackReturn:
        """Run a transition that may be refused; rclpy itself would swallow the reason."""
        try:
            act()
        except SacRosError as error:
            self._refusal = error
            self.get_logger().error(f"cannot {name}: {error}")
            return TransitionCallbackReturn.FAILURE
        return TransitionCallbackReturn.SUCCESS

    def _configure(self) -> None:
        path = self.get_parameter("model_path").value
        if not path:
            raise ConfigurationError("parameter model_path must name a policy file; it is empty")
        policy = self._load(path)
        controller = PolicyController(policy, self._config)
        controller.safety.emergency_stop(self._emergency)
        callbacks = Callbacks(self._on_joint_state, self._on_goal, self._on_watchdog)
        self._wiring = PolicyWiring(
            self,
            controller,
            self._config,
            callbacks,
            self._emergency_stop,
            self._steady,
            self._now,
        )
        prepare(
            self._config.realtime_priority, self._config.lock_memory, self.get_logger().warning
        )
        spec = policy.spec
        self.get_logger().info(
            f"policy {spec.name} for {spec.arm}: {spec.joints} joints at {spec.control_rate_hz:g} "
            f"Hz, goals in frame {spec.goal.frame}"
        )

    def _activate(self) -> None:
        wiring = self._configured()
        wiring.answer_states_until(wiring.heard, self._config.state_timeout_s)
        wiring.refuse_bad_start(self._config.state_timeout_s)
        now = self._now()
        wiring.controller.activate(now)
        self._active = True
        sha256, parameters = wiring.controller.policy.sha256, asdict(self._config)
        self._decisions.note("activate", now, sha256=sha256, parameters=parameters)
        self.get_logger().info("active" + (" in shadow mode" if self._config.shadow else ""))

    def _autostart(self) -> None:
        """Configure, wait for the robot without blocking, activate; a refusal ends the node."""
        now = time.monotonic()
        if self._autostart_deadline is None:
            self._autostart_deadline = now + self._config.state_timeout_s
            self._insist(self.trigger_configure())
            return
        wiring = self._configured()
        ready = wiring.heard()
        if ready or now > self._autostart_deadline:
            self._autostart_timer.cancel()
            if not ready:
                wiring.refuse_bad_start(self._config.state_timeout_s)
            self._insist(self.trigger_activate())

    def _insist(self, result: TransitionCallbackReturn) -> None:
        if result != TransitionCallbackReturn.SUCCESS:
            raise self._refusal or ConfigurationError("a lifecycle transition failed")

    # ---- states, goals, time ---------------------------------------------------------------

    def _on_joint_state(self, raw: bytes) -> None:
        started, arrived = time.monotonic(), self._now()
        wiring = self._configured()
        reader = wiring.reader
        safety = wiring.controller.safety
        command: Command | None
        try:
            position, velocity = reader.read(raw)
        except JointStateError as error:
            wiring.problem = str(error)
            safety.refuse_state(wiring.problem)
            command = safety.tick(arrived) if self._active else None
        else:
            wiring.problem = ""
            if not self._active:
                safety.accept(arrived, position, velocity, reader.stamp_ns)
                self._note_state(arrived, reader.stamp_ns, None, asked=False)
                return
            command = wiring.controller.state(arrived, position, velocity, reader.stamp_ns)
        answers = not (wiring.problem or wiring.controller.refused)
        asked = wiring.controller.asked if answers else None
        if command is not None:
            wiring.publishers.publish(command)
            self._diagnostics.latency.add(time.monotonic() - started)
            wiring.publishers.publish_torques(asked, command, reader.stamp_ns if answers else 0)
        self._note_state(arrived, reader.stamp_ns, command, asked=asked is not None)
        self._report_new_faults(wiring)
        wiring.rehearse_in_time(started)

    def _on_watchdog(self) -> None:
        wiring = self._configured()
        if not self._active:
            return
        now = self._now()
        command = wiring.controller.safety.tick(now)
        if command is not None:
            wiring.publishers.publish(command)
            wiring.publishers.publish_torques(None, command, stamp_ns=0)
            self._decisions.answered("tick", now, command, wiring.controller.safety, asked=False)
        self._report_new_faults(wiring)

    def _on_goal(self, message: PoseStamped) -> None:
        wiring = self._configured()
        frame, goal, refused = message.header.frame_id, None, ""
        try:
            frame, goal = wiring.goal_reader.read(message)
            wiring.controller.set_goal(frame, goal)
        except GoalError as error:
            refused = str(error)
            self._diagnostics.refused_goals += 1
            self._diagnostics.last_refused_goal = str(error)
            self.get_logger().warning(f"goal refused: {error}")
        values = None if goal is None else goal.tolist()
        self._decisions.note("goal", self._now(), goal=values, frame=frame, refused=refused)
        self._report_new_faults(wiring)

    def _report_new_faults(self, wiring: PolicyWiring) -> None:
        for kind, sentence in wiring.new_faults():
            self._diagnostics.last_fault = f"{kind}: {sentence}"
            mode = wiring.controller.safety.mode.value
            self.get_logger().error(f"{mode}: {sentence} (clear with ~/clear_fault)")

    def _diagnose(self) -> None:
        if self._wiring is not None:
            stamp = self.get_clock().now().to_msg()
            wiring = self._wiring
            self._diagnostics_publisher.publish(
                self._diagnostics.message(
                    stamp, wiring.controller, self._active, wiring.publishers.sent
                )
            )

    # ---- services and parameters -----------------------------------------------------------

    def _on_emergency_stop(
        self, request: SetBool.Request, response: SetBool.Response
    ) -> SetBool.Response:
        self._emergency = request.data
        self._decisions.note("emergency_stop", self._now(), engaged=request.data)
        if self._wiring is not None:
            self._wiring.controller.safety.emergency_stop(request.data)
            if self._active:
                self._on_watchdog()  # the ramp begins now, not with the next state
        response.success = True
        response.message = "engaged" if request.data else "released; ~/clear_fault to go on"
        return response

    def _on_clear_fault(
        self, _request: Trigger.Request, response: Trigger.Response
    ) -> Trigger.Response:
        if self._wiring is None or not self._active:
            response.message = "the node is not active"
            return response
        now = self._now()
        response.message = self._wiring.controller.clear_fault(now)
        response.success = not response.message
        self._decisions.note("clear_fault", now, refused=response.message)
        self._report_new_faults(self._wiring)
        return response

    def _on_set_parameters(self, parameters: list[Parameter]) -> SetParametersResult:
        """Swap the policy; a bad file leaves the old one running and the call fails with why."""
        for parameter in parameters:
            if parameter.name == "model_path" and self._wiring is not None:
                try:
                    self._swap(parameter.value)
                except SacRosError as error:
                    self.get_logger().error(f"policy not swapped: {error}")
                    return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _swap(self, path: str) -> None:
        """Load a policy in another thread, answering states meanwhile, and swap it in."""
        wiring = self._configured()
        loading = PolicyLoading(path, self._load)
        with short_turns():
            loading.start()
            wiring.answer_states_until(lambda: not loading.is_alive(), _LONGEST_LOAD_S)
        policy, spec_text = loading.result(_LONGEST_LOAD_S)
        wiring.swap(policy, spec_text)
        wiring.answer_waiting_states()  # before what may wait: to say so takes another half period
        self._decisions.note("swap", self._now(), sha256=policy.sha256)
        self.get_logger().info(f"policy {policy.spec.name} from {path} runs now")

    def _load(self, path: str) -> Policy:
        """Load and verify a policy file, and check that it fits the robot's gravity."""
        policy = Policy.load(Path(path).expanduser())
        self._config.check_gravity(policy.spec, policy.path)
        return policy

    # ---- helpers ---------------------------------------------------------------------------

    def _now(self) -> float:
        """The time by which every torque is decided, s; a replay puts another clock here."""
        return time.monotonic()

    def _note_state(
        self, arrived: float, stamp: int, command: Command | None, asked: bool
    ) -> None:
        controller = self._configured().controller
        fields = {"stamp": stamp, "active": self._active, "asked": asked}
        fields["inferences"] = controller.inferences
        self._decisions.answered("state", arrived, command, controller.safety, **fields)

    def _configured(self) -> PolicyWiring:
        if self._wiring is None:
            raise ConfigurationError("the node is not configured")
        return self._wiring

    def _come_to_rest(self) -> None:
        """Ramp to the safe torque, unless the node is not active or ROS is already gone."""
        if not self._active or self._wiring is None or not self.context.ok():
            return
        self._active = False
        self._decisions.note("deactivate", self._now())
        if not self._wiring.come_to_rest():
            self.get_logger().warning("a subscriber did not acknowledge the last command")
        self.get_logger().info("at rest")

    def _disconnect(self) -> None:
        self._come_to_rest()
        if self._wiring is not None:
            self._wiring.destroy()
            self._wiring = None


def main(args: list[str] | None = None) -> int:
    """Run policy_node; see `sac_ros.nodes.spin.run_node` for the exit codes."""
    return run_node(PolicyNode, args)


if __name__ == "__main__":
    sys.exit(main())
