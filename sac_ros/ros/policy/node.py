# SPDX-License-Identifier: Apache-2.0
"""The policy on the robot: joint states and goals in, safe torque commands out (lifecycle)."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import JointState
from std_srvs.srv import SetBool, Trigger

from sac_ros.policy.controller import PolicyController
from sac_ros.policy.runtime import Policy
from sac_ros.policy.safety import SafetyFilter
from sac_ros.policy.safety_events import Command, Fault, Mode
from sac_ros.ros.direct_executor import UrgentCallbackGroup
from sac_ros.ros.parameters import declare
from sac_ros.ros.policy.config import PolicyNodeConfig
from sac_ros.ros.policy.diagnostics import PolicyDiagnostics
from sac_ros.ros.policy.event_log import EventLog
from sac_ros.ros.policy.goal_reader import GoalReader, tf2_lookup
from sac_ros.ros.policy.joint_state_reader import JointStateReader
from sac_ros.ros.policy.publishers import UNNAMED, PolicyPublishers
from sac_ros.ros.policy.realtime import prepare
from sac_ros.ros.spin import in_thread, run_node, serve_one
from sac_ros.utils.errors import (
    ConfigurationError,
    GoalError,
    JointStateError,
    PolicyFileError,
    SacRosError,
)

_TICKS_PER_WATCHDOG = 5
_POLL_S = 0.0005
_QUEUE = qos_profile_sensor_data.depth
_WARM_UP_S = 0.0009  # before a state: time for a cold run; a cache forgets in ten times that
_RAMP_PERIOD_S = 0.002
_LONGEST_STOP_S = 2.0  # of a controlled stop; a heavy arm takes half a second
_LONGEST_RAMP_S = 3.0  # ros2 launch sends SIGKILL ten seconds after SIGINT
_ACKNOWLEDGE_S = 1.0
_OTHERS_PERIOD_S = 0.1
_NAMING_S = 2.0  # in which DDS tells the name of a node that it has found
_LONGEST_LOAD_S = 3.0  # a hundred times what it takes; a network drive may hang for ever
# While a file is loaded; Python's own 5 ms are longer than the period of a robot's states.
_SWITCH_INTERVAL_S = 0.0005


class PolicyNode(LifecycleNode):
    """Connects a `PolicyController`, which makes all decisions, to ROS.

    Everything runs in one thread, so a callback sees a consistent controller. Time is the steady
    clock: neither a jump of the wall clock nor a stopped ``/clock`` may delay the watchdog.
    """

    def __init__(self) -> None:
        """Declares the parameters, or raises a `ConfigurationError`; transitions do the rest."""
        super().__init__("policy_node")
        self._config = declare(self, PolicyNodeConfig)
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._controller: PolicyController | None = None  # until configured
        self._emergency = False
        self._reported: set[Fault] = set()
        self._events = EventLog(self)
        self._refusal: SacRosError | None = None
        self._diagnostics = PolicyDiagnostics(self.get_name())
        self._diagnostics_publisher = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self.add_on_set_parameters_callback(self._on_set_parameters)
        self._urgent = UrgentCallbackGroup()
        self._emergency_stop = self.create_service(
            SetBool, "~/emergency_stop", self._on_emergency_stop, callback_group=self._urgent
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
        """Bring the torque to rest, disconnect and forget the policy."""
        self._come_to_rest()
        if self._controller is not None:
            self._controller = None
            for timer in (self._watchdog, self._warm_up_timer, self._others_timer):
                self.destroy_timer(timer)
            self.destroy_subscription(self._states)
            self.destroy_subscription(self._goals)
            self._output.destroy()
        return TransitionCallbackReturn.SUCCESS

    on_shutdown = on_cleanup
    on_error = on_cleanup

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
        config = self._config
        path = self.get_parameter("model_path").value
        if not path:
            raise ConfigurationError("parameter model_path must name a policy file; it is empty")
        policy = self._load(path)
        spec = policy.spec
        controller = PolicyController(policy, config)
        controller.safety.emergency_stop(self._emergency)
        order = config.command_order(spec)  # what may be refused comes before what must be undone
        self._lookup = tf2_lookup(self)
        self._goal_reader = GoalReader(spec.goal, self._lookup)
        self._reader = JointStateReader(spec.joint_names)
        self._output = PolicyPublishers(self, spec, order, config.shadow)
        self._reported = set()
        self._controller = controller
        urgent, steady = self._urgent, self._steady
        self._states = self.create_subscription(
            JointState,
            "joint_states",
            self._on_joint_state,
            qos_profile_sensor_data,
            callback_group=urgent,
            raw=True,
        )
        self._goals = self.create_subscription(
            PoseStamped, "goal_pose", self._on_goal, QoSProfile(depth=1)
        )
        period = config.watchdog_s / _TICKS_PER_WATCHDOG
        self._watchdog = self.create_timer(
            period, self._on_watchdog, clock=steady, callback_group=urgent
        )
        self._warm_up_timer = self.create_timer(
            1.0, self._warm_up, clock=steady, autostart=False, callback_group=urgent
        )
        self._others_timer = self.create_timer(_OTHERS_PERIOD_S, self._note_others, clock=steady)
        prepare(config.realtime_priority, config.lock_memory, self.get_logger().warning)
        self.get_logger().info(
            f"policy {spec.name} for {spec.arm}: {spec.joints} joints at {spec.control_rate_hz:g} "
            f"Hz, goals in frame {spec.goal.frame}"
        )

    def _activate(self) -> None:
        controller = self._configured()
        self._answer_states_until(self._state_came, self._config.state_timeout_s)
        self._refuse_bad_start()
        now = self._now()
        controller.activate(now)
        self._events.note(
            "activate", now, sha256=controller.policy.sha256, parameters=asdict(self._config)
        )
        self.get_logger().info("active" + (" in shadow mode" if self._config.shadow else ""))

    def _autostart(self) -> None:
        """Configure, wait for the robot without blocking, activate; a refusal ends the node."""
        now = time.monotonic()
        if self._autostart_deadline is None:
            self._autostart_deadline = now + self._config.state_timeout_s
            self._insist(self.trigger_configure())
            return
        ready = self._state_came()
        if ready or now > self._autostart_deadline:
            self._autostart_timer.cancel()
            if not ready:
                self._refuse_bad_start()
            self._insist(self.trigger_activate())

    def _insist(self, result: TransitionCallbackReturn) -> None:
        if result != TransitionCallbackReturn.SUCCESS:
            raise self._refusal or ConfigurationError("a lifecycle transition failed")

    def _state_came(self) -> bool:
        """Return whether a joint state has come: a fresh one, or one that cannot be used."""
        safety = self._configured().safety
        return bool(safety.problem) or safety.is_fresh(self._now())

    def _refuse_bad_start(self) -> None:
        """Raise unless the robot can be read and nobody else commands it."""
        safety = self._configured().safety
        if safety.problem:
            raise JointStateError(safety.problem)
        if not safety.is_fresh(self._now()):
            raise ConfigurationError(
                f"no usable joint state arrived on {self._states.topic_name} within "
                f"{self._config.state_timeout_s:g} s"
            )
        if problem := safety.starting_problem():
            raise JointStateError(problem)
        others = self._output.other_publishers
        self._answer_states_until(lambda: UNNAMED not in others(), _NAMING_S)
        if others():
            raise ConfigurationError(
                f"another node publishes on {self.resolve_topic_name('commands')}: "
                f"{', '.join(others())}"
            )

    def _come_to_rest(self) -> None:
        """Brake until the arm stands, ramp to the safe torque, and command no more.

        What is left after `_LONGEST_RAMP_S` goes in one step: a torque that stands for ever is
        the worse end.
        """
        controller = self._controller
        if controller is None or not controller.safety.active or not self.context.ok():
            return
        safety = controller.safety
        controller.begin_stop()
        self._events.note("deactivate", self._now())
        if not self._config.shadow:  # in shadow mode nothing moves
            self._stop_the_arm(safety)
        controller.deactivate()
        deadline = time.monotonic() + _LONGEST_RAMP_S
        commands = not self._config.shadow
        while commands and not safety.at_rest and time.monotonic() < deadline:
            self._output.publish(safety.rest(self._now()))
            time.sleep(_RAMP_PERIOD_S)
        self._output.publish(safety.final_command(self._now()))
        if not self._output.wait_until_acknowledged(_ACKNOWLEDGE_S):
            self.get_logger().warning("a subscriber did not acknowledge the last command")
        self.get_logger().info("at rest")

    def _stop_the_arm(self, safety: SafetyFilter) -> None:
        """Answer states by the controlled stop until the arm stands or no state comes."""
        try:
            self._on_watchdog()
            self._answer_states_until(lambda: safety.mode is Mode.STOPPED, _LONGEST_STOP_S)
        except Exception:  # what raised once in a callback may raise here too
            traceback.print_exc()

    # ---- states, goals, time ---------------------------------------------------------------

    def _on_joint_state(self, raw: bytes) -> None:
        started, arrived = time.monotonic(), self._now()
        controller, reader = self._configured(), self._reader
        safety = controller.safety
        command: Command | None = None
        try:
            position, velocity = reader.read(raw)
        except JointStateError as error:
            safety.refuse_state(arrived, str(error))
            if safety.active:
                command = safety.tick(arrived)
            answers = False
        else:
            answers = True
            if safety.active:
                command = controller.state(arrived, position, velocity, reader.stamp_ns)
                answers = not controller.refused
            else:
                safety.accept(arrived, position, velocity, reader.stamp_ns)
        policy_torque = controller.policy_torque if answers and not safety.stopping else None
        if command is not None:
            self._output.publish(command)
            self._diagnostics.latency.add(time.monotonic() - started)
            self._output.publish_torques(policy_torque, command, reader.stamp_ns if answers else 0)
        self._events.answered(
            "state",
            arrived,
            command,
            safety,
            stamp=reader.stamp_ns,
            active=safety.active and not safety.stopping,
            has_policy_torque=policy_torque is not None,
            inferences=controller.inferences,
        )
        self._report_new_faults()
        self._schedule_warm_up(started)

    def _on_watchdog(self) -> None:
        safety = self._configured().safety
        if not safety.active:
            return
        now = self._now()
        command = safety.tick(now)
        if command is not None:
            self._output.publish(command)
            self._output.publish_torques(None, command, stamp_ns=0)
            self._events.answered("tick", now, command, safety, has_policy_torque=False)
        self._report_new_faults()

    def _on_goal(self, message: PoseStamped) -> None:
        frame, goal, refused = message.header.frame_id, None, ""
        try:
            frame, goal = self._goal_reader.read(message)
            self._configured().set_goal(frame, goal)
        except GoalError as error:
            refused = str(error)
            self._diagnostics.refused_goals += 1
            self._diagnostics.last_refused_goal = refused
            self.get_logger().warning(f"goal refused: {error}")
        else:
            self.get_logger().info(f"goal accepted: {np.round(goal, 4).tolist()} in {frame}")
        values = None if goal is None else goal.tolist()
        self._events.note("goal", self._now(), goal=values, frame=frame, refused=refused)
        self._report_new_faults()

    def _report_new_faults(self) -> None:
        safety = self._configured().safety
        if safety.faults.keys() == self._reported:
            return
        for kind, sentence in safety.faults.items():
            if kind not in self._reported:
                self._diagnostics.last_fault = f"{kind.value}: {sentence}"
                self.get_logger().error(
                    f"{safety.mode.value}: {sentence} (clear with ~/clear_fault)"
                )
        self._reported = set(safety.faults)

    def _note_others(self) -> None:
        """Report to the filter who else commands the robot, after the activation too."""
        self._configured().safety.other_publishers(self._output.other_publishers())

    def _diagnose(self) -> None:
        if self._controller is not None:
            message = self._diagnostics.message(self._controller, self._output.sent)
            message.header.stamp = self.get_clock().now().to_msg()
            self._diagnostics_publisher.publish(message)

    def _schedule_warm_up(self, arrived: float) -> None:
        """Warm up shortly before the next state to answer; the last one came at ``arrived``."""
        controller = self._configured()
        if not controller.next_is_due:
            return
        ahead = arrived + controller.safety.rate.interval_s - _WARM_UP_S - time.monotonic()
        if ahead <= 0.0:
            self._warm_up()
            return
        self._warm_up_timer.timer_period_ns = round(ahead * 1e9)
        self._warm_up_timer.reset()

    def _warm_up(self) -> None:
        self._warm_up_timer.cancel()
        self._configured().warm_up()

    # ---- services and parameters -----------------------------------------------------------

    def _on_emergency_stop(
        self, request: SetBool.Request, response: SetBool.Response
    ) -> SetBool.Response:
        self._emergency = request.data
        self._events.note("emergency_stop", self._now(), engaged=request.data)
        if self._controller is not None:
            self._controller.safety.emergency_stop(request.data)
            self._on_watchdog()  # the ramp begins now, not with the next state
        response.success = True
        response.message = "engaged" if request.data else "released; ~/clear_fault to go on"
        return response

    def _on_clear_fault(
        self, _request: Trigger.Request, response: Trigger.Response
    ) -> Trigger.Response:
        if self._controller is None or not self._controller.safety.active:
            response.message = "the node is not active"
            return response
        now = self._now()
        response.message = self._controller.clear_fault(now)
        response.success = not response.message
        if response.success:
            self.get_logger().info("faults cleared")
        self._events.note("clear_fault", now, refused=response.message)
        self._report_new_faults()
        return response

    def _on_set_parameters(self, parameters: list[Parameter]) -> SetParametersResult:
        """Swap the policy; a bad file leaves the old one running and the call fails with why."""
        for parameter in parameters:
            if parameter.name == "model_path" and self._controller is not None:
                try:
                    self._swap(parameter.value)
                except SacRosError as error:
                    self.get_logger().error(f"policy not swapped: {error}")
                    return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _swap(self, path: str) -> None:
        """Load a policy in another thread, answering states meanwhile, and swap it in."""
        policy, spec_text = self._load_beside(path)
        goal_reader = GoalReader(policy.spec.goal, self._lookup)
        self._configured().swap(policy)
        self._goal_reader = goal_reader
        self._output.publish_spec(spec_text)
        for _ in range(_QUEUE):  # before what may wait: to say so takes another half period
            if not serve_one(self._states):
                break
        self._events.note("swap", self._now(), sha256=policy.sha256)
        self.get_logger().info(f"policy {policy.spec.name} from {path} runs now")

    def _load(self, path: str) -> Policy:
        """Load and verify a policy file, and check that it fits the robot's gravity."""
        policy = Policy.load(Path(path).expanduser())
        self._config.check_gravity(policy.spec, policy.path)
        return policy

    def _load_beside(self, path: str) -> tuple[Policy, str]:
        """Load a policy while states are answered; return it and its spec as JSON."""

        def load() -> tuple[Policy, str]:
            try:
                policy = self._load(path)
                return policy, policy.spec.to_json()
            except SacRosError:
                raise
            except BaseException as error:
                traceback.print_exc()  # a bug, of which the sentence does not say enough
                reason = f"{type(error).__name__}: {error}".rstrip(": ")
                raise PolicyFileError(
                    f"policy file {path} must load without an unexpected error; "
                    f"it ended with {reason}"
                ) from error

        before = sys.getswitchinterval()
        sys.setswitchinterval(_SWITCH_INTERVAL_S)
        try:
            loaded = in_thread("load policy", load)  # not waited for at the end of the process
            self._answer_states_until(loaded.done, _LONGEST_LOAD_S)
        finally:
            sys.setswitchinterval(before)
        if not loaded.done():
            raise ConfigurationError(
                f"policy file {path} must load within {_LONGEST_LOAD_S:g} s; it did not"
            )
        return loaded.result()

    # ---- helpers ---------------------------------------------------------------------------

    def _now(self) -> float:
        """The time by which every torque is decided, s; a replay puts another clock here."""
        return time.monotonic()

    def _configured(self) -> PolicyController:
        if self._controller is None:
            raise ConfigurationError("the node is not configured")
        return self._controller

    def _answer_states_until(self, done: Callable[[], bool], timeout_s: float) -> None:
        """Answer joint states and emergency stops inside a callback that must wait.

        The executor runs one callback at a time: it cannot do so before the callback returns.
        """
        deadline = time.monotonic() + timeout_s
        while not done() and time.monotonic() < deadline:
            self._serve_emergency_stop()
            if not serve_one(self._states):
                self._on_watchdog()
                time.sleep(_POLL_S)

    def _serve_emergency_stop(self) -> None:
        """Answer a call of the emergency stop that waits, if there is one."""
        service = self._emergency_stop
        with service.handle:
            request, header = service.handle.service_take_request(service.srv_type.Request)
        if header is not None:
            service.send_response(service.callback(request, service.srv_type.Response()), header)


def main(args: list[str] | None = None) -> int:
    """Run policy_node; see `sac_ros.ros.spin.run_node` for the exit codes."""
    return run_node(PolicyNode, args)


if __name__ == "__main__":
    sys.exit(main())
