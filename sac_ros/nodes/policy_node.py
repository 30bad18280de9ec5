# SPDX-License-Identifier: Apache-2.0
"""The policy on the robot: joint states and goals in, safe torque commands out (lifecycle)."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, qos_profile_sensor_data
from rclpy.service import Service
from sensor_msgs.msg import JointState
from std_srvs.srv import SetBool, Trigger

from sac_ros.nodes.decision_log import DecisionLog
from sac_ros.nodes.diagnostics import PolicyDiagnostics
from sac_ros.nodes.direct_executor import UrgentCallbackGroup
from sac_ros.nodes.goal_reader import GoalReader, tf2_lookup
from sac_ros.nodes.joint_state_reader import JointStateReader
from sac_ros.nodes.parameters import declare
from sac_ros.nodes.policy_config import PolicyNodeConfig
from sac_ros.nodes.policy_publishers import UNNAMED, PolicyPublishers
from sac_ros.nodes.realtime import prepare
from sac_ros.nodes.spin import run_node
from sac_ros.policy.controller import PolicyController
from sac_ros.policy.runtime import Policy
from sac_ros.policy.safety_events import Command
from sac_ros.utils.errors import (
    ConfigurationError,
    GoalError,
    JointStateError,
    PolicyFileError,
    SacRosError,
)

_TURN_S = 0.0005


class PolicyLoading(threading.Thread):
    """Loads a policy and writes out its spec: all of a swap that takes time.

    A daemon: opening a file on a network drive may hang for ever, and no process can wait for it.
    """

    def __init__(self, path: str, load: Callable[[str], Policy]) -> None:
        """Prepares it; `start` begins.

        Args:
            path: the policy file.
            load: loads and verifies it.
        """
        super().__init__(name="load policy", daemon=True)
        self._path = path
        self._load = load
        self._loaded: tuple[Policy, str] | None = None
        self._error: SacRosError | None = None

    def run(self) -> None:
        """Load the file; what goes wrong is for `result` to say."""
        try:
            policy = self._load(self._path)
            self._loaded = policy, policy.spec.to_json()
        except SacRosError as error:
            self._error = error
        except BaseException as error:
            reason = f"{type(error).__name__}: {error}".rstrip(": ")
            self._error = PolicyFileError(
                f"policy file {self._path} must load without an unexpected error; "
                f"it ended with {reason}"
            )
            raise  # a bug keeps its traceback: threading prints it

    def result(self, waited_s: float) -> tuple[Policy, str]:
        """Return the policy, and its spec as JSON.

        Args:
            waited_s: how long it was given.

        Raises:
            SacRosError: the file was refused, is not loaded yet, or loading it failed in a way
                that nobody foresaw.
        """
        if self._error is not None:
            raise self._error
        if self._loaded is None:
            raise ConfigurationError(
                f"policy file {self._path} must load within {waited_s:g} s; it did not"
            )
        return self._loaded


@contextlib.contextmanager
def short_turns() -> Iterator[None]:
    """Let no thread keep Python from another for longer than half a millisecond.

    Python's own limit is 5 ms, longer than the period of a robot's states.
    """
    before = sys.getswitchinterval()
    sys.setswitchinterval(_TURN_S)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


_TICKS_PER_WATCHDOG = 5
_POLL_S = 0.0005
_QUEUE = qos_profile_sensor_data.depth
_REHEARSAL_S = 0.0009  # before a state: time for a cold run; a cache forgets in ten times that
_RAMP_PERIOD_S = 0.002
_LONGEST_RAMP_S = 3.0  # ros2 launch sends SIGKILL ten seconds after SIGINT
_ACKNOWLEDGE_S = 1.0
_OTHERS_PERIOD_S = 0.1
_NAMING_S = 2.0  # in which DDS tells the name of a node that it has found


class Callbacks(NamedTuple):
    """What the node does when a message arrives or the watchdog's timer ticks."""

    joint_state: Callable[[bytes], None]
    goal: Callable[[PoseStamped], None]
    watchdog: Callable[[], None]


class PolicyWiring:
    """A controller with its readers, publishers, subscriptions and watchdog timer.

    Attributes:
        controller: decides every torque.
        reader: reads the joint states.
        goal_reader: reads the goals.
        publishers: publish the commands.
        states: the subscription of the joint states.
        problem: why the last joint state could not be read; empty when it could.
    """

    def __init__(
        self,
        node: Node,
        controller: PolicyController,
        config: PolicyNodeConfig,
        callbacks: Callbacks,
        urgent: Service,
        steady: Clock,
        now: Callable[[], float],
    ) -> None:
        """Connects to the graph.

        Args:
            node: its owner.
            controller: decides every torque.
            config: the node's parameters.
            callbacks: see `Callbacks`.
            urgent: a service that is served even while a callback waits for something.
            steady: of the watchdog's timer.
            now: the time, s, by which states are judged and torques decided.

        Raises:
            ConfigurationError: a parameter does not fit the policy.
        """
        spec = controller.policy.spec
        self._node = node
        self._now = now
        self._reported: set[str] = set()
        self.problem = ""
        self._callbacks = callbacks
        self._urgent = urgent
        self.controller = controller
        self.reader = JointStateReader(spec.joint_names)
        order = config.command_order(spec)  # what may be refused comes before what must be undone
        self._lookup = tf2_lookup(node)
        self.goal_reader = GoalReader(spec.goal, self._lookup)
        self.publishers = PolicyPublishers(node, spec, order, config.shadow)
        self.states = node.create_subscription(
            JointState,
            "joint_states",
            callbacks.joint_state,
            qos_profile_sensor_data,
            callback_group=urgent.callback_group,
            raw=True,
        )
        self._goals = node.create_subscription(
            PoseStamped, "goal_pose", callbacks.goal, QoSProfile(depth=1)
        )
        period = config.watchdog_s / _TICKS_PER_WATCHDOG
        self._watchdog = node.create_timer(
            period, callbacks.watchdog, clock=steady, callback_group=urgent.callback_group
        )
        self._rehearsal = node.create_timer(
            1.0,
            self._rehearse,
            clock=steady,
            autostart=False,
            callback_group=urgent.callback_group,
        )
        self._look_around = node.create_timer(_OTHERS_PERIOD_S, self._note_others, clock=steady)

    def rehearse_in_time(self, arrived: float) -> None:
        """Have the policy run for nothing shortly before the next state that it answers.

        Args:
            arrived: when the last state arrived, s of time.monotonic.
        """
        if not self.controller.next_is_due:
            return
        ahead = arrived + self.controller.safety.rate.interval_s - _REHEARSAL_S - time.monotonic()
        if ahead <= 0.0:
            self.controller.rehearse()
            return
        self._rehearsal.timer_period_ns = round(ahead * 1e9)
        self._rehearsal.reset()

    def _rehearse(self) -> None:
        self._rehearsal.cancel()
        self.controller.rehearse()

    def heard(self) -> bool:
        """Tell whether a joint state has come: a fresh one, or one that cannot be used."""
        return bool(self.problem) or self.controller.safety.is_fresh(self._now())

    def answer_states_until(self, done: Callable[[], bool], timeout_s: float) -> None:
        """Keep answering joint states inside a callback that must wait for something.

        The executor runs one callback at a time, so without this a swap would leave the robot
        without commands, and deaf to an emergency stop, for as long as the file takes to load.
        """
        deadline = time.monotonic() + timeout_s
        while not done() and time.monotonic() < deadline:
            _serve(self._urgent)
            if not self._answer_one():
                self._callbacks.watchdog()
                time.sleep(_POLL_S)

    def answer_waiting_states(self) -> None:
        """Answer the joint states that have come inside a callback that has more to do."""
        for _ in range(_QUEUE):
            if not self._answer_one():
                return

    def come_to_rest(self) -> bool:
        """Ramp to the safe torque within the slew limit; True when its receipt is acknowledged.

        A slew limit that would take longer than `_LONGEST_RAMP_S` is not waited for: the rest goes
        in one step, since a torque that stands for ever is the worse end.
        """
        safety = self.controller.safety
        deadline = time.monotonic() + _LONGEST_RAMP_S
        commands = self.publishers.commands is not None  # in shadow mode nothing moves
        while commands and not safety.at_rest and time.monotonic() < deadline:
            self.publishers.publish(safety.rest(self._now()))
            time.sleep(_RAMP_PERIOD_S)
        self.publishers.publish(safety.last_word(self._now()))
        acknowledged = self.publishers.wait_until_acknowledged(_ACKNOWLEDGE_S)
        self.controller.deactivate()
        return acknowledged

    def refuse_bad_start(self, waited_s: float) -> None:
        """Raise unless the robot can be read and nobody else commands it.

        Raises:
            JointStateError: joint states cannot be used.
            ConfigurationError: there are none, or another node publishes commands.
        """
        if self.problem:
            raise JointStateError(self.problem)
        if not self.controller.safety.is_fresh(self._now()):
            raise ConfigurationError(
                f"no usable joint state arrived on {self.states.topic_name} within {waited_s:g} s"
            )
        others = self.publishers.other_publishers
        self.answer_states_until(lambda: UNNAMED not in others(), _NAMING_S)
        if others():
            raise ConfigurationError(
                f"another node publishes on {self._node.resolve_topic_name('commands')}: "
                f"{', '.join(others())}"
            )

    def swap(self, policy: Policy, spec_text: str) -> None:
        """Let another policy answer from the next state on; ``spec_text`` is its spec as JSON."""
        goal_reader = GoalReader(policy.spec.goal, self._lookup)
        self.controller.swap(policy)
        self.goal_reader = goal_reader
        self.publishers.publish_spec(spec_text)

    def new_faults(self) -> list[tuple[str, str]]:
        """Return the faults that were latched since the last call."""
        faults = self.controller.safety.faults
        if len(faults) == len(self._reported):
            return []
        new = [(k.value, s) for k, s in faults.items() if k.value not in self._reported]
        self._reported = {kind.value for kind in faults}
        return new

    def _answer_one(self) -> bool:
        """Answer the joint state that has waited longest; False when none waits."""
        with self.states.handle:
            taken = self.states.handle.take_message(self.states.msg_type, self.states.raw)
        if taken is not None:
            self._callbacks.joint_state(taken[0])
        return taken is not None

    def _note_others(self) -> None:
        """Tell the filter who else commands the robot: it may come after the activation."""
        self.controller.safety.other_publishers(self.publishers.other_publishers())

    def destroy(self) -> None:
        """Take everything off the node."""
        self._node.destroy_timer(self._watchdog)
        self._node.destroy_timer(self._rehearsal)
        self._node.destroy_timer(self._look_around)
        self._node.destroy_subscription(self.states)
        self._node.destroy_subscription(self._goals)
        self.publishers.destroy()


def _serve(service: Service) -> None:
    """Answer a call that waits for a service, if there is one."""
    with service.handle:
        request, header = service.handle.service_take_request(service.srv_type.Request)
    if header is not None:
        service.send_response(service.callback(request, service.srv_type.Response()), header)


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
