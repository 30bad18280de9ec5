# SPDX-License-Identifier: Apache-2.0
"""Every guard of the robot's side, as the edit that takes it away; see mutate_guards.py."""

from __future__ import annotations

from typing import NamedTuple

POLICY_TESTS = (
    "test/policy/test_safety.py",
    "test/policy/test_holding_up.py",
    "test/policy/test_always_true.py",
    "test/policy/test_controller.py",
)
READER_TESTS = ("test/ros/policy/test_joint_state_reader.py",)
NODE_TESTS = ("test/ros/policy/test_policy_node.py",)


class Mutation(NamedTuple):
    """Takes one guard away.

    Attributes:
        guard: what it guards against, in words.
        file: below ``sac_ros/``.
        old: text that stands exactly once in the file.
        new: what replaces it.
        tests: files of which a test must fail.
    """

    guard: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...] = POLICY_TESTS


_SAFETY, _GUARDS = "policy/safety.py", "policy/guards.py"
_CONTROLLER, _CONFIG = "policy/controller.py", "policy/safety_config.py"
_READER, _NODE = "ros/policy/joint_state_reader.py", "ros/policy/node.py"
_NEVER = "if False:"

MUTATIONS = (
    Mutation(
        "states that are not finite are refused",
        _SAFETY,
        "if not (guards.all_finite(position) and guards.all_finite(velocity)):",
        _NEVER,
    ),
    Mutation(
        "stamps that do not advance are refused",
        _SAFETY,
        "if stamp_ns and stamp_ns <= self._stamp_ns:",
        _NEVER,
    ),
    Mutation(
        "a state without a stamp does not forget the newest one",
        _SAFETY,
        "if stamp_ns:  #",
        "if True:  #",
    ),
    Mutation(
        "the third refused message in a row is a fault",
        _SAFETY,
        "if self._in_a_row[kind] >= IN_A_ROW:",
        _NEVER,
    ),
    Mutation(
        "the watchdog",
        _SAFETY,
        "        if not fresh:\n            self.fault(",
        "        if False:\n            self.fault(",
    ),
    Mutation(
        "stale states are no states to brake by",
        _SAFETY,
        "self._blind = not fresh or",
        "self._blind =",
    ),
    Mutation(
        "states that cannot be true are no states to brake by",
        _SAFETY,
        " or self._in_a_row[Fault.IMPLAUSIBLE_STATE] >= IN_A_ROW\n",
        "\n",
    ),
    Mutation(
        "states that cannot be true are refused",
        _SAFETY,
        "        if self.problem:\n",
        "        if False:\n",
    ),
    Mutation(
        "a fifth of bad states is a fault",
        _SAFETY,
        "if bad and self._bad_fraction() > BAD_FRACTION:",
        _NEVER,
    ),
    Mutation(
        "a stop ends at rest",
        _SAFETY,
        "return Mode.STOPPED if self._blind or still else Mode.DAMPING",
        "return Mode.STOPPED if self._blind else Mode.DAMPING",
    ),
    Mutation(
        "an emergency stop holds an arm that the policy carries",
        _SAFETY,
        "if gravity is not None and not self._blind:",
        _NEVER,
    ),
    Mutation(
        "in damping and stopped commands go on without states",
        _SAFETY,
        "return None if self.mode is Mode.TRACKING else self.command(now, None)",
        "return None",
    ),
    Mutation(
        "a policy's torque that is not finite is a fault",
        _SAFETY,
        "if torque is not None and not guards.all_finite(torque):",
        _NEVER,
    ),
    Mutation("the clamp", _GUARDS, "clamp(whole, limits)", "whole"),
    Mutation(
        "the clamp before the soft start",
        _SAFETY,
        "scaled = _note(acted, Intervention.CLAMP, torque, self._clamp(torque))",
        "scaled = torque",
    ),
    Mutation(
        "the fade at position limits",
        _GUARDS,
        "fade_at_position_limits(torque, position, limits, margin)\n",
        "torque\n",
    ),
    Mutation(
        "the brake at velocity limits",
        _GUARDS,
        "brake_at_velocity_limits(faded, velocity, limits)",
        "faded",
    ),
    Mutation(
        "the stop of an arm that is too fast",
        _GUARDS,
        "stop_where_too_fast(braked, position, velocity, limits)",
        "braked",
    ),
    Mutation(
        "persistent over-speed is a fault",
        _SAFETY,
        "elif now - self._over_since.setdefault(kind, now) >= self._config.over_speed_s:",
        "elif False:",
    ),
    Mutation("slow states are a fault", _SAFETY, "        self._check_rate()\n", ""),
    Mutation(
        "a pause does not make the next states slow",
        _SAFETY,
        "if not fresh:\n            self.rate.reset()",
        "if False:\n            self.rate.reset()",
    ),
    Mutation(
        "the slew limit",
        _SAFETY,
        "torque = guards.limit_slew(wanted, self._last, elapsed, self.limits)",
        "torque = wanted",
    ),
    Mutation(
        "a pause buys no jump",
        _SAFETY,
        "min(max(now - self._last_time, 0.0), self._config.watchdog_s)",
        "max(now - self._last_time, 0.0)",
    ),
    Mutation("the soft start", _SAFETY, "if elapsed >= self._config.soft_start_s:", "if True:"),
    Mutation(
        "a fault clears only when no cause stands",
        _SAFETY,
        "        if not cause:",
        "        if True:",
    ),
    Mutation(
        "faults latch",
        _SAFETY,
        "        if not self.faults and not self.stopping:",
        "        if True:",
    ),
    Mutation(
        "the end of an activation brakes",
        _SAFETY,
        "        if not self.faults and not self.stopping:",
        "        if not self.faults:",
    ),
    Mutation(
        "an emergency stop outlives the activation",
        _SAFETY,
        "if self._emergency:\n            self.fault(",
        "if False:\n            self.fault(",
    ),
    Mutation("the emergency stop", _SAFETY, "        if engaged:", "        if False:"),
    Mutation(
        "another publisher is a fault",
        _SAFETY,
        "        if self._others:\n            self.fault",
        "        if False:\n            self.fault",
    ),
    Mutation(
        "the brake limit",
        _GUARDS,
        "return _within(torque, -limits.brake, limits.brake)",
        "return torque",
    ),
    Mutation(
        "g(q) holds the arm in damping",
        _GUARDS,
        "stopped if gravity is None else gravity + stopped",
        "stopped",
    ),
    Mutation(
        "scale, soft start and guards act on what comes on top of g(q)",
        _SAFETY,
        "            scaled = scaled - gravity\n        scaled = scaled *",
        "            gravity = None\n        scaled = scaled *",
    ),
    Mutation(
        "a g(q) that is not finite is a fault",
        _SAFETY,
        "if guards.all_finite(gravity):",
        "if True:",
    ),
    Mutation(
        "g(q) stays within the torque limits",
        _SAFETY,
        "self._gravity = self._clamp(gravity)",
        "self._gravity = gravity",
    ),
    Mutation(
        "a graph that gave a torque that is not finite holds nothing up",
        _SAFETY,
        "None if Fault.POLICY_OUTPUT in self.faults else self._gravity",
        "self._gravity",
    ),
    Mutation(
        "a new activation knows no g(q) from before",
        _SAFETY,
        "        self._gravity = None\n        self._last_time = now",
        "        self._last_time = now",
    ),
    Mutation(
        "g(q) is asked for without a goal too",
        _CONTROLLER,
        "if self.goal is None and not self._carries:",
        "if self.goal is None:",
    ),
    Mutation(
        "a swap keeps to who carries the arm",
        _CONTROLLER,
        "if spec.gravity_compensation != self.policy.spec.gravity_compensation:",
        _NEVER,
    ),
    Mutation("goals are finite", _CONTROLLER, "if not np.isfinite(values).all():", _NEVER),
    Mutation("goals are in the policy's frame", _CONTROLLER, "if frame != spec.frame:", _NEVER),
    Mutation(
        "goals are in the trained range", _CONTROLLER, "if not low <= value <= high:", _NEVER
    ),
    Mutation(
        "a swap drives the same joints",
        _CONTROLLER,
        "if spec.joint_names != self.policy.spec.joint_names:",
        _NEVER,
    ),
    Mutation(
        "a swap drops a goal out of the new range",
        _CONTROLLER,
        "                self.goal = None",
        "                pass",
    ),
    Mutation(
        "a swap starts softly",
        _SAFETY,
        "self._control_rate_hz = control_rate_hz\n        self._restart()",
        "self._control_rate_hz = control_rate_hz",
    ),
    Mutation(
        "after a cleared fault no torque from before acts",
        _CONTROLLER,
        "        if not cause:\n            self._forget_past()",
        "",
    ),
    Mutation(
        "the smaller of two torque limits holds",
        _CONFIG,
        "torque = np.minimum(\n            policy_limit, _per_joint",
        "torque = np.maximum(\n            policy_limit, _per_joint",
    ),
    Mutation(
        "the safe torque is within the limits",
        _CONFIG,
        "if np.any(np.abs(safe_torque) > torque):",
        _NEVER,
    ),
    Mutation("every joint is there, once", _READER, "if count != 1:", _NEVER, READER_TESTS),
    Mutation(
        "every field has a value for each name",
        _READER,
        "if length == len(self.names):",
        "if length:",
        READER_TESTS,
    ),
    Mutation(
        "activation waits for a fresh state",
        _NODE,
        "if not safety.is_fresh(self._now()):",
        _NEVER,
        NODE_TESTS,
    ),
    Mutation(
        "activation is refused beside another publisher",
        _NODE,
        "        if others():",
        "        if False:",
        NODE_TESTS,
    ),
    Mutation(
        "another publisher is looked for while active",
        _NODE,
        "self._configured().safety.other_publishers(self._output.other_publishers())",
        "pass",
        NODE_TESTS,
    ),
    Mutation(
        "activation is refused while the arm moves",
        _NODE,
        "if problem := safety.starting_problem():",
        _NEVER,
        NODE_TESTS,
    ),
    Mutation(
        "the arm is braked before the end",
        _NODE,
        "            self._stop_the_arm(safety)",
        "            pass",
        NODE_TESTS,
    ),
    Mutation(
        "the ramp before the end",
        _NODE,
        "while commands and not safety.at_rest and time.monotonic() < deadline:",
        "while False:",
        NODE_TESTS,
    ),
    Mutation(
        "the last command before the end",
        _NODE,
        '        """Bring the torque to rest before the process ends, whatever it ends for."""\n'
        "        self._come_to_rest()",
        '        """Gone."""',
        NODE_TESTS,
    ),
    Mutation(
        "the policy's gravity compensation fits the robot's",
        "ros/policy/config.py",
        "if spec.gravity_compensation != self.gravity_compensation:",
        _NEVER,
        NODE_TESTS,
    ),
)
