# SPDX-License-Identifier: Apache-2.0
"""The policy on the robot: joint states and goals in, safe torque commands out (lifecycle)."""

from __future__ import annotations

import math
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from std_srvs.srv import SetBool, Trigger

from sac_ros.policy.control_loop import ControlLoop
from sac_ros.policy.event_log import EventLog
from sac_ros.policy.joint_state_reader import JointStateReader
from sac_ros.policy.runtime import Policy
from sac_ros.policy.safety_config import Array
from sac_ros.policy.safety_events import Command
from sac_ros.policy.worker import Worker
from sac_ros.ros.control_thread import SWITCH_INTERVAL_S, ControlThread
from sac_ros.ros.parameters import declare, on_change
from sac_ros.ros.policy.config import PolicyNodeConfig
from sac_ros.ros.policy.diagnostics import FaultReports, PolicyDiagnostics
from sac_ros.ros.policy.goal_reader import GoalReader, stamp_ns, tf2_lookup
from sac_ros.ros.policy.publishers import OTHERS_PERIOD_S, UNNAMED, PolicyPublishers
from sac_ros.ros.policy.realtime import prepare
from sac_ros.ros.spin import in_thread, run_node, wait_until
from sac_ros.utils.errors import (
    ConfigurationError,
    GoalError,
    JointStateError,
    PolicyFileError,
    SacRosError,
)
from sac_ros.utils.settings import leaves

_WARM_UP_S = 0.0009  # before a state: time for a cold run; a cache forgets in ten times that
_LONGEST_GOAL = 4096  # bytes of a message: the rest of it is the name of its frame
_LONGEST_STOP_S = 8.0  # of `ControlLoop`'s stop and ramp, on a busy machine
_ACKNOWLEDGE_S = 1.0
_NAMING_S = 2.0  # in which DDS reports the name of a node that it has found
_LONGEST_LOAD_S = 3.0  # a hundred times what it takes; a network drive may hang for ever
# Kept for who connects late: a recorder that starts beside the node must not miss the activation.
_EVENTS = QoSProfile(depth=1000, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class PolicyNode(LifecycleNode):
    """Connects a `ControlLoop`, which makes all decisions, to ROS.

    The control thread owns the loop, the joint states, the commands and the emergency stop.
    Parameters, transitions, goals, diagnostics and log lines are the executor's, in another
    thread; what they want of the loop they have the control thread do. Time is the steady clock:
    neither a jump of the wall clock nor a stopped ``/clock`` may delay the watchdog.
    """

    def __init__(self) -> None:
        """Declares the parameters, or raises a `ConfigurationError`; transitions do the rest."""
        super().__init__("policy_node")
        self._config = declare(self, PolicyNodeConfig)
        self._loop: ControlLoop | None = None  # until configured
        self._emergency = False
        self._arrived = 0.0  # when the state came that is answered now; 0 where none is
        self._ticked = 0.0
        self._warm_up_at = math.inf
        self._refusal: SacRosError | None = None
        self._goal_came: float | None = None  # the one that is not reached yet
        self._diagnostics = PolicyDiagnostics(self.get_name())
        self._diagnostics_publisher = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        events = self.create_publisher(String, "~/events", _EVENTS)
        self._log = EventLog(
            lambda text: events.publish(String(data=text)), events.get_subscription_count
        )
        self._faults = FaultReports(self, " (clear with ~/clear_fault)")
        self._control = ControlThread(self, next_tick=self._next_tick, tick=self._tick)
        self._control.serve(SetBool, "~/emergency_stop", self._on_emergency_stop)
        self.create_service(Trigger, "~/clear_fault", self._on_clear_fault)
        changes: dict[str, Callable[[Any], None]] = {
            "model_path": self._swap,
            "torque_scale": partial(self._set, "torque_scale"),
            "max_end_effector_speed": partial(self._set, "max_end_effector_speed"),
            "shadow": self._set_shadow,
        }
        on_change(self, changes)
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(self._config.diagnostics_period_s, self._diagnose, clock=self._steady)
        self._autostart_deadline: float | None = None
        if self._config.autostart:
            self._autostart_timer = self.create_timer(0.01, self._autostart, clock=self._steady)
        else:
            model = "" if self._config.model_path else ", and for model_path"
            self.get_logger().info(
                f"unconfigured: waits for ros2 lifecycle set {self.get_fully_qualified_name()} "
                f"configure{model}; deploy.launch.py or autostart:=true do that by themselves"
            )

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
        if self._loop is not None:
            self._control.unsubscribe(self._states)
            self._control.call(self._forget_loop)
            self._worker.close()
            self.destroy_timer(self._others_timer)
            self.destroy_subscription(self._goals)
            self._output.destroy()
        return TransitionCallbackReturn.SUCCESS

    on_shutdown = on_cleanup
    on_error = on_cleanup

    def stop(self) -> None:
        """Bring the torque to rest before the process ends, whatever it ends for."""
        self._come_to_rest()
        self._control.close()

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
        live = (leaf.name for leaf in leaves(PolicyNodeConfig) if leaf.rule.live)
        config = replace(self._config, **{name: self.get_parameter(name).value for name in live})
        if not config.model_path:
            raise ConfigurationError("parameter model_path must name a policy file; it is empty")
        policy = self._load(config.model_path)
        spec = policy.spec
        order = config.command_order(spec)  # what may be refused comes before what must be undone
        self._worker = Worker()
        loop = ControlLoop(
            policy, config, publish=self._publish, log=self._log, worker=self._worker
        )
        loop.safety.emergency_stop(self._emergency)
        self._lookup = tf2_lookup(self)
        self._goal_reader = GoalReader(spec.goal, self._lookup)
        self._reader = JointStateReader(spec.joint_names)
        self._output = PolicyPublishers(self, spec, order, config.shadow)
        self._loop = loop
        self._states = self._control.subscribe(
            JointState, "joint_states", self._on_joint_state, qos_profile_sensor_data
        )
        self._goals = self.create_subscription(
            PoseStamped, "goal_pose", self._on_goal, QoSProfile(depth=1), raw=True
        )
        self._others_timer = self.create_timer(
            OTHERS_PERIOD_S, self._look_round, clock=self._steady
        )
        prepare(config.realtime_priority, config.lock_memory, self.get_logger().warning)
        self.get_logger().info(
            f"policy {spec.name} for {spec.arm}: {spec.joints} joints at {spec.control_rate_hz:g} "
            f"Hz, goals in frame {spec.goal.frame}"
        )

    def _activate(self) -> None:
        loop = self._configured()
        wait_until(self._state_came, self._config.state_timeout_s)
        self._refuse_bad_start()
        self._begin(loop)

    def _begin(self, loop: ControlLoop) -> None:
        self._tell_others()
        self._control.call(lambda: loop.activate(time.monotonic()))
        self.get_logger().info("active" + (" in shadow mode" if self._output.shadow else ""))

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
        return bool(safety.problem) or safety.is_fresh(time.monotonic())

    def _refuse_bad_start(self) -> None:
        """Raise unless nobody else commands the robot, and it can be read and stands."""
        safety = self._configured().safety
        # What has to be waited for comes first: the arm must stand when the activation begins.
        if not wait_until(self._output.someone_listens, _NAMING_S):
            raise ConfigurationError(
                f"a node must subscribe to {self.resolve_topic_name('commands')}; none does"
            )
        others = self._output.other_publishers
        wait_until(lambda: UNNAMED not in others(), _NAMING_S)
        if others():
            raise ConfigurationError(
                f"another node publishes on {self.resolve_topic_name('commands')}: "
                f"{', '.join(others())}"
            )
        if safety.problem:
            raise JointStateError(safety.problem)
        if not safety.is_fresh(time.monotonic()):
            raise ConfigurationError(
                f"no usable joint state arrived on {self._states.topic_name} within "
                f"{self._config.state_timeout_s:g} s"
            )
        if problem := safety.starting_problem():
            raise JointStateError(problem)

    def _come_to_rest(self) -> None:
        """Stop the arm, ramp to the safe torque, and command no more; see `ControlLoop`."""
        loop = self._loop
        if loop is None or not loop.safety.active or not self.context.ok():
            return
        shadow = self._output.shadow
        self._control.call(lambda: loop.begin_stop(time.monotonic(), at_once=shadow))
        if not wait_until(lambda: not loop.safety.active, _LONGEST_STOP_S):
            self.get_logger().error(f"the arm is not at rest after {_LONGEST_STOP_S:g} s")
            return
        if not self._output.wait_until_acknowledged(_ACKNOWLEDGE_S):
            self.get_logger().warning("a subscriber did not acknowledge the last command")
        self.get_logger().info("at rest")

    # ---- in the control thread ---------------------------------------------------------------

    def _on_joint_state(self, raw: bytes) -> None:
        now = self._arrived = time.monotonic()
        loop, reader = self._configured(), self._reader
        try:
            position, velocity = reader.read(raw)
        except JointStateError as error:
            loop.refuse_state(now, str(error), reader.stamp_ns)
        else:
            loop.state(now, position, velocity, reader.stamp_ns)
        self._faults.notice(loop.safety)
        expected = loop.warm_up_time
        self._warm_up_at = math.inf if expected is None else expected - _WARM_UP_S

    def _forget_loop(self) -> None:
        """Not while the thread is between `_next_tick` and `_tick`, which need the loop."""
        self._loop = None

    def _next_tick(self) -> float:
        if self._loop is None:
            return math.inf
        return min(self._loop.next_tick(self._ticked), self._warm_up_at)

    def _tick(self) -> None:
        loop, now = self._configured(), time.monotonic()
        if now >= self._warm_up_at:
            self._warm_up_at = math.inf
            loop.warm_up()
        if now >= loop.next_tick(self._ticked):
            self._ticked, self._arrived = now, 0.0
            loop.tick(now)
            self._faults.notice(loop.safety)

    def _publish(self, command: Command, policy_torque: Array | None, stamp_ns: int) -> None:
        self._output.publish(command)
        if self._arrived:
            self._diagnostics.latency.add(time.monotonic() - self._arrived)
        self._output.publish_torques(policy_torque, command, stamp_ns)

    def _on_emergency_stop(
        self, request: SetBool.Request, response: SetBool.Response
    ) -> SetBool.Response:
        self._emergency, now = request.data, time.monotonic()
        if self._loop is None:
            self._log.note("emergency_stop", now, engaged=request.data)
        else:
            self._loop.emergency_stop(now, request.data)
            self._arrived = 0.0
            self._loop.tick(now)  # the brake acts now, not with the next state
            self._faults.notice(self._loop.safety)
        response.success = True
        response.message = "engaged" if request.data else "released; ~/clear_fault to go on"
        return response

    # ---- in the executor's thread ------------------------------------------------------------

    def _on_goal(self, raw: bytes) -> None:
        loop, now = self._configured(), time.monotonic()
        frame, goal = "", None
        try:
            if len(raw) > _LONGEST_GOAL:
                raise GoalError(
                    f"a goal's message must have at most {_LONGEST_GOAL} bytes; got {len(raw)}"
                )
            message = deserialize_message(raw, PoseStamped)
            frame = message.header.frame_id
            frame, goal = self._goal_reader.read(message)
            begins = not loop.goal_streams(now)
            self._control.call(partial(loop.set_goal, now, frame, goal, stamp_ns(message)))
        except GoalError as error:
            if goal is None:
                self._control.call(partial(loop.refuse_goal, now, frame, str(error)))
            self._diagnostics.refused_goals += 1
            self._diagnostics.last_refused_goal = str(error)
            self.get_logger().warning(f"goal refused: {error}")
        else:
            self._goal_came = None if loop.goal_moves else now
            if begins:  # of one that moves there are many a second
                rounded = (np.round(goal, 4) + 0.0).tolist()  # no −0
                self.get_logger().info(f"goal accepted: {rounded} in {frame}")

    def _look_round(self) -> None:
        self._tell_others()
        self._note_reached()

    def _tell_others(self) -> None:
        loop = self._configured()
        self._output.tell_others(
            lambda others: self._control.post(
                lambda: loop.other_publishers(time.monotonic(), others)
            )
        )

    def _note_reached(self) -> None:
        """Report once that the arm stands within the policy's tolerance of its goal."""
        loop = self._configured()
        error = loop.goal_error() if self._goal_came is not None else None
        goal = loop.policy.spec.goal
        if error is None or error > goal.tolerance or not loop.safety.standing:
            return
        what = "goal" if goal.orientation is None else "the goal's position"
        self.get_logger().info(
            f"{what} reached after {time.monotonic() - (self._goal_came or 0.0):.2f} s: "
            f"{error:.4f} {goal.unit} from it"
        )
        self._goal_came = None

    def _diagnose(self) -> None:
        if self._loop is not None:
            message = self._diagnostics.message(
                self._loop, self._output.sent, self._faults.last_fault
            )
            message.header.stamp = self.get_clock().now().to_msg()
            self._diagnostics_publisher.publish(message)

    def _on_clear_fault(
        self, _request: Trigger.Request, response: Trigger.Response
    ) -> Trigger.Response:
        if self._loop is None:
            response.message = "the node is not active"
            return response
        loop, now = self._loop, time.monotonic()
        response.message = self._control.call(lambda: loop.clear_fault(now))
        response.success = not response.message
        if response.success:
            self.get_logger().info("faults cleared")
        return response

    def _set(self, name: str, value: float | bool) -> None:
        if loop := self._loop:  # or else the next configuration takes it
            self._control.call(lambda: loop.set_parameter(time.monotonic(), name, value))

    def _set_shadow(self, shadow: bool) -> None:
        """Command the robot or leave it alone from now on.

        While active it is a deactivation and an activation: the arm is brought to rest, another
        node that commands is a reason to refuse, and a goal must be given again.
        """
        loop = self._loop
        if loop is None or self._output.shadow == shadow:
            return
        active = loop.safety.active
        self._come_to_rest()
        if loop.safety.active:
            raise ConfigurationError(
                f"the arm must come to rest within {_LONGEST_STOP_S:g} s; it did not"
            )
        self._output.set_shadow(shadow)
        self._control.call(lambda: loop.other_publishers(time.monotonic(), ()))  # not known yet
        try:
            if active and not shadow:
                self._refuse_bad_start()
        except BaseException:  # whatever it is, nobody has released the robot
            self._output.set_shadow(True)
            raise
        finally:
            self._set("shadow", self._output.shadow)
            if active:
                self._begin(loop)

    def _swap(self, path: str) -> None:
        loop = self._loop
        if loop is None:
            return  # the next configuration takes it
        policy = self._load(path)
        goal_reader = GoalReader(policy.spec.goal, self._lookup)
        self._control.call(lambda: loop.swap(time.monotonic(), policy))
        self._goal_reader = goal_reader
        self._output.publish_spec(policy.spec.to_json())
        self.get_logger().info(f"policy {policy.spec.name} from {path} runs now")

    def _load(self, path: str) -> Policy:
        """Load and verify a policy file in a thread that is given up when it takes too long."""

        def load() -> Policy:
            try:
                return self._config.answering(Policy.load(Path(path).expanduser()))
            except SacRosError:
                raise
            except BaseException as error:
                traceback.print_exc()  # a bug, for which one sentence is not enough
                reason = f"{type(error).__name__}: {error}".rstrip(": ")
                raise PolicyFileError(
                    f"policy file {path} must load without an unexpected error; "
                    f"it ended with {reason}"
                ) from error

        loaded = in_thread("load policy", load)  # not waited for at the end of the process
        if not wait_until(loaded.done, _LONGEST_LOAD_S):
            raise ConfigurationError(
                f"policy file {path} must load within {_LONGEST_LOAD_S:g} s; it did not"
            )
        return loaded.result()

    def _configured(self) -> ControlLoop:
        if self._loop is None:
            raise ConfigurationError("the node is not configured")
        return self._loop


def main(args: list[str] | None = None) -> int:
    """Run policy_node; see `sac_ros.ros.spin.run_node` for the exit codes."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    return run_node(PolicyNode, args, about=__doc__, parameters=PolicyNodeConfig)


if __name__ == "__main__":
    sys.exit(main())
