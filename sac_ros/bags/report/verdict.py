# SPDX-License-Identifier: Apache-2.0
"""What the figures of a policy come to, in words: the first thing on the page.

Nothing is computed here: each sentence follows from figures of ``summary.json``, and cites them.
"""

from __future__ import annotations

from collections.abc import Sequence

from sac_ros.bags.figures import OF_TIME_OR_PEOPLE
from sac_ros.bags.metrics.errors import ErrorFigures
from sac_ros.bags.metrics.limits import LimitFigures
from sac_ros.bags.metrics.safety import FaultFigures
from sac_ros.bags.result import OWN_LIMITS, ModelResult
from sac_ros.pages.finding import BAD, GOOD, MIND, Finding
from sac_ros.pages.format import number, percent
from sac_ros.policy.safety_events import Intervention

_SAME = 1e-5  # of the torque limit: what float32 inference leaves between two machines
_BLIND = ("zero", "mean")  # baselines without anything of the robot, even its last torque
_HALF = 0.5  # of their error: who only leaves out the offset has not followed the motion
# Of 14 positions and velocities, each beyond its 1st to 99th percentile in 2 % of the training,
# some one is in up to a quarter of it.
_AS_IN_TRAINING, _MOSTLY_OUTSIDE = 0.25, 0.75
_OPPOSITE, _UNLIKE = -0.5, 0.2  # correlation, in size: below it two torques share nothing
_CONSTANT = 0.7  # of a joint's RMSE: half of its mean square is a bias, or a drift
_NOTICED = 0.05  # of the action scale
_OFTEN = 0.1  # of the states
_ROOMY, _FULL = 0.5, 1.0  # of the control period, which holds more than the inference


def headline(model: ModelResult) -> str:
    """Return in a few words how the policy stands to the recording."""
    return f"{model.label} {_closeness(model)[0]}"


def findings(model: ModelResult) -> list[Finding]:
    """Return the sentences about one policy, in the order of the page's sections."""
    found = [_closeness(model)[1], *causes(model), _lag(model), _divergence(model)]
    found += [_saturation(model), *_limits(model), *_safety(model)]
    found += [*_coverage(model), _latency(model)]
    return [each for each in found if each is not None]


def acts(model: ModelResult) -> list[tuple[float, str]]:
    """Return in what fraction of states each guard acts against the policy, largest first.

    Waiting for a goal is no such act: the policy was not asked.
    """
    each = ((act.fraction, act.kind) for act in model.interventions)
    return sorted((a for a in each if a[1] != Intervention.NO_GOAL.value), reverse=True)


def _closeness(model: ModelResult) -> tuple[str, Finding]:
    if not model.errors:
        words = "No torques were recorded, so how close it is to them is unknown."
        return "has nothing to be compared with", Finding(MIND, words)
    policy = model.errors[0].overall
    if policy.max_fraction < _SAME:
        words = f"The largest difference from a recorded torque is {number(policy.max)} N·m."
        return "asks for the recorded torques", Finding(GOOD, words)
    blind = [each for each in model.errors[1:] if each.name in _BLIND]
    others = [each for each in model.errors[1:] if each.name not in _BLIND]
    rmse = f"RMSE {percent(policy.rmse_fraction)} of the limit"
    if any(policy.rmse_fraction > _HALF * each.overall.rmse_fraction for each in blind):
        words = f"Its error is more than half that of trivial predictions: {rmse}, {_of(blind)}."
        return "asks for other torques than the recorded ones", Finding(BAD, words)
    if any(policy.rmse_fraction > each.overall.rmse_fraction for each in others):
        words = (
            f"Its error is less than half that of {_of(blind)}, but repeating the last recorded "
            f"torque is closer: {rmse}, {_of(others)}."
        )
        return "resembles the recorded torques", Finding(MIND, words)
    words = (
        f"It is closer to the recorded torques than any baseline: {rmse}, {_of(model.errors[1:])}."
    )
    return "stays close to the recorded torques", Finding(GOOD, words)


def causes(model: ModelResult) -> list[Finding]:
    """Return what stands behind an error: units, gravity, another arm, a bias or a drift."""
    degrees = None
    if model.coverage.degrees:
        degrees = Finding(
            BAD, "The recorded positions look like degrees: as radians they are beyond a turn."
        )
    gravity = _gravity(model)
    found = [degrees, gravity, _opposite(model), _unlike(model)]
    found += [None if gravity else _offset(model)]
    return [each for each in found if each is not None]


def _opposite(model: ModelResult) -> Finding | None:
    alike = model.errors[0].overall.motion_correlation if model.errors else None
    if not _is(alike, below=_OPPOSITE):
        return None
    words = (
        "It asks for the opposite of the recorded torques: the correlation of what moves the arm "
        f"is {number(alike)}."
    )
    return Finding(BAD, words)


def _gravity(model: ModelResult) -> Finding | None:
    found = model.gravity
    if found is None or found.mismatch is None:
        return None
    holds, does_not = "recorded torques hold", "policy's do not"
    left = found.rmse_added
    if found.mismatch == "policy":
        holds, does_not, left = "policy's torques hold", "recorded ones do not", found.rmse_removed
    words = (
        f"The {holds} the gravity torque g(q), the {does_not}: without this difference the RMSE "
        f"is {number(left)} N·m instead of {number(found.rmse)}. The policy leaves g(q) to the "
        f"{'robot' if model.gravity_compensation == 'robot' else 'graph'}."
    )
    return Finding(BAD, words)


def _unlike(model: ModelResult) -> Finding | None:
    """Warn that the commands may be those of another arm, task or order of joints."""
    rows = {each.name: each.overall for each in model.errors}
    if "zero" not in rows or rows["policy"].rmse_authority <= rows["zero"].rmse_authority:
        return None
    alike = rows["policy"].motion_correlation
    if not _is(alike, below=_UNLIKE) or _is(alike, below=-_UNLIKE):
        return None
    words = (
        f"The recorded torques have nothing in common with it (correlation {number(alike)}), and "
        "asking for none is closer: are they of this arm, this task and this order of joints?"
    )
    return Finding(BAD, words)


def _offset(model: ModelResult) -> Finding | None:
    """Return which joint's error is mostly a constant, or mostly a line over time."""
    if not model.errors:
        return None
    found: list[tuple[float, str]] = []
    scales = zip(model.errors[0].joints, model.action_scale, model.joint_names, strict=True)
    for row, scale, joint in scales:
        spread = max(row.rmse**2 - row.bias**2, 0.0) ** 0.5
        if abs(row.bias) > max(_CONSTANT * row.rmse, _NOTICED * scale):
            words = f"The error of {joint} is mostly a constant, {number(row.bias)} N·m."
            found.append((abs(row.bias) / scale, words))
        elif abs(row.drift) / 12**0.5 > max(_CONSTANT * spread, _NOTICED * scale):
            words = f"The error of {joint} drifts by {number(row.drift)} N·m over the recording."
            found.append((abs(row.drift) / scale, words))
    return Finding(MIND, max(found)[1]) if found else None


def _lag(model: ModelResult) -> Finding | None:
    lag = model.lag
    if lag is None or lag.overall_s is None or lag.resolution_s is None:
        return None
    if abs(lag.overall_s) <= lag.resolution_s:
        return None
    late = "behind" if lag.overall_s > 0.0 else "ahead of"
    words = (
        f"It runs {late} the recorded torques: lag {number(1e3 * lag.overall_s)} ± "
        f"{number(1e3 * lag.resolution_s)} ms."
    )
    if lag.spread_s is not None and lag.spread_s > 2.0 * lag.resolution_s:
        words += f" The joints disagree by {number(1e3 * lag.spread_s)} ms."
    return Finding(MIND, words)


def _saturation(model: ModelResult) -> Finding | None:
    policy = model.saturation[0]
    if policy.fraction < _OFTEN:
        return None
    words = (
        f"In {percent(policy.fraction)} of the states it asks for all that it can in some joint."
    )
    return Finding(MIND, words)


def _is(value: float | None, below: float) -> bool:
    return value is not None and value < below


def _of(baselines: Sequence[ErrorFigures]) -> str:
    return ", ".join(f"{each.name} {percent(each.overall.rmse_fraction)}" for each in baselines)


def _divergence(model: ModelResult) -> Finding | None:
    found = model.divergence
    if found is None or found.first_s is None:
        return None
    off = f"{found.joint} is off by more than {percent(found.threshold_fraction)} of its limit"
    return Finding(
        BAD, f"From {found.first_s:.3f} s on {off} for {found.sustained_s:g} s or longer."
    )


def _limits(model: ModelResult) -> list[Finding]:
    own = [each for each in model.limits if each.count and each.kind in OWN_LIMITS]
    robot = [each for each in model.limits if each.count and each.kind not in OWN_LIMITS]
    found = [
        Finding(BAD, f"It goes beyond a limit: {'; '.join(map(_beyond, own))}.")
        if own
        else Finding(GOOD, "It asks for no torque and no change of torque beyond a limit.")
    ]
    if robot:
        words = f"The recorded robot itself was beyond a limit: {'; '.join(map(_beyond, robot))}."
        found.append(Finding(MIND, words))
    return found


def _beyond(limit: LimitFigures) -> str:
    words = f"{limit.kind.replace('_', ' ')} in {limit.count} states"
    if limit.worst is not None:
        words += f", at worst {percent(limit.worst)} of the limit ({limit.worst_joint})"
    return words


def _safety(model: ModelResult) -> list[Finding]:
    found = []
    times = [each for each in model.faults if each.kind in OF_TIME_OR_PEOPLE]
    others = [each for each in model.faults if each.kind not in OF_TIME_OR_PEOPLE]
    if others:
        words = f"The safety filter would have stopped the robot: {_counted(others)}."
        found.append(Finding(BAD, words))
    if times:
        words = (
            "The safety filter would have stopped the robot because of time or people, not of "
            f"torques: {_counted(times)}."
        )
        found.append(Finding(MIND, words))
    if changes := acts(model):
        kinds = ", ".join(f"{kind} {percent(fraction)}" for fraction, kind in changes)
        words = f"The safety filter would have changed its torques: {kinds} of the states."
        found.append(Finding(MIND, words))
    return found or [Finding(GOOD, "The safety filter would have changed nothing.")]


def _counted(faults: Sequence[FaultFigures]) -> str:
    return ", ".join(f"{each.kind} {each.count}×" for each in faults)


def _coverage(model: ModelResult) -> list[Finding]:
    coverage = model.coverage
    fraction = coverage.outside_fraction
    low, high = (f"{each:g}" for each in coverage.percentiles)
    words = (
        f"{percent(fraction)} of the states lie outside what it was trained on (percentiles {low} "
        f"to {high} of each joint)"
    )
    if fraction <= _AS_IN_TRAINING:
        found = [Finding(GOOD, f"{words}; much the same holds in training.")]
    else:
        meaning = BAD if fraction >= _MOSTLY_OUTSIDE else MIND
        found = [Finding(meaning, f"{words}; there its torque is a guess.")]
    if coverage.goal_outside_fraction > 0.0:
        goals = percent(coverage.goal_outside_fraction)
        found.append(Finding(MIND, f"In {goals} of the states the goal lies outside, too."))
    return found


def _latency(model: ModelResult) -> Finding:
    latency = model.latency
    fraction = latency.period_fraction_p99
    meaning = GOOD if fraction < _ROOMY else MIND if fraction < _FULL else BAD
    words = (
        f"One inference takes {number(1e6 * latency.p99_s)} µs (p99), {percent(fraction)} of its "
    )
    return Finding(meaning, words + "period, on the machine that made this page.")
