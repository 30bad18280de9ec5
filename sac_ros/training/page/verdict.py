# SPDX-License-Identifier: Apache-2.0
"""Whether a trained policy is good enough to try on a robot, in words."""

from __future__ import annotations

from dataclasses import asdict

from sac_ros.pages.finding import BAD, GOOD, MIND, Finding
from sac_ros.training.evaluation import Evaluation
from sac_ros.training.page.contents import Contents
from sac_ros.training.robustness import Cell

_CHATTER = 0.1  # of the torque's power above 10 Hz: more is noise in a gear
_NEAR_STOPS = 0.02  # of the episodes

_ANSWERS = {
    GOOD: "is good enough to try on a robot: in shadow mode first, with the safety filter always",
    MIND: "is good enough for simulated robots; mind what follows before a real one",
    BAD: "is not good enough to try on a robot",
}


def answer(contents: Contents) -> Finding:
    """The verdict in one sentence."""
    if contents.measured is None:
        words = {
            "learning": f"is learning: step {contents.env_steps:,} of "
            f"{contents.config.total_steps:,}",
            "interrupted": f"was interrupted at step {contents.env_steps:,} of "
            f"{contents.config.total_steps:,}, before its policy was measured",
            "finished": "has ended, and its policy was not measured",
        }
        return Finding(MIND, words[contents.state])
    meanings = {each.meaning for each in findings(contents)}
    meaning = next(each for each in (BAD, MIND, GOOD) if each in meanings)
    return Finding(meaning, _ANSWERS[meaning])


def findings(contents: Contents) -> list[Finding]:
    """What the verdict follows from, a sentence each."""
    found = contents.measured or contents.best
    if found is None:
        return [Finding(MIND, "Nothing has been evaluated yet.")]
    tracked = " RMS of the path" if found.tracking else " and still"
    config, good = contents.config, contents.config.good
    reached = found.success_rate(0.05)
    sentences = [
        _bar(
            f"{reached:.1%} of {found.episodes} held-out goals within 5 cm{tracked}",
            reached >= config.minimum_success_rate,
            f"minimum_success_rate {config.minimum_success_rate:.0%}",
            BAD,
        ),
        _bar(
            f"{found.success_rate(0.02):.1%} within 2 cm{tracked}",
            found.success_rate(0.02) >= good.success_rate,
            f"good.success_rate {good.success_rate:.0%}",
        ),
        _bar(
            f"Median error {1e3 * found.median_error_m:.1f} mm",
            found.median_error_m <= good.median_error_m,
            f"good.median_error_m {1e3 * good.median_error_m:g} mm",
        ),
    ]
    if found.hold is not None:
        held = 1.0 - found.hold.left_2cm_rate
        sentences.append(
            _bar(
                f"{held:.1%} stay within 2 cm for {found.hold.seconds:g} s more",
                held >= good.hold_rate,
                f"good.hold_rate {good.hold_rate:.0%}",
            )
        )
    elif contents.measured is None:
        sentences.append(Finding(MIND, "Whether it holds its goals has not been measured yet."))
    sentences += _motion(found)
    return sentences if contents.measured is None else [*sentences, *_robustness(contents)]


def _bar(words: str, met: bool, bar: str, otherwise: str = MIND) -> Finding:
    if met:
        return Finding(GOOD, f"{words}: the bar, {bar}, is met.")
    return Finding(otherwise, f"{words}: the bar, {bar}, is missed.")


def _motion(found: Evaluation) -> list[Finding]:
    """On velocity limits, chatter and joint stops."""
    sentences = []
    if found.overspeed_fraction > 0.0:
        words = (
            f"{found.overspeed_fraction:.2%} of the joint samples are above the velocity limit, "
            f"at most at {found.max_velocity_fraction:.0%} of it."
        )
        sentences.append(Finding(MIND, words))
    else:
        sentences.append(Finding(GOOD, "No joint is faster than its velocity limit."))
    chatter = f"{found.torque_power_above_10hz:.0%} of the torque's power is above 10 Hz"
    if found.torque_power_above_10hz > _CHATTER:
        sentences.append(Finding(MIND, f"{chatter}: it is audible in a gear."))
    else:
        sentences.append(Finding(GOOD, f"{chatter}: the torques are smooth."))
    if found.joint_stop_rate > _NEAR_STOPS:
        words = f"{found.joint_stop_rate:.0%} of the episodes end near a joint stop."
        sentences.append(Finding(MIND, words))
    return sentences


def _robustness(contents: Contents) -> list[Finding]:
    """On worlds that differ, against the textbook controller in the same worlds."""
    found = []
    if not any(asdict(contents.config.env.randomization).values()):
        words = "It was trained in the one world that is described; a real arm differs from it."
        found.append(Finding(MIND, words))
    own, textbook = pairs(contents)
    if not own:
        found.append(Finding(MIND, "What it survives was not measured (robustness_episodes)."))
        return found
    both = [name for name in own if name in textbook]
    worse = [name for name in both if own[name].success.high < textbook[name].success.low]
    better = [name for name in both if own[name].success.low > textbook[name].success.high]
    compared = (
        f"Against the textbook controller, beyond chance: better in {len(better)} of "
        f"{len(both)} conditions, worse in {len(worse)}"
    )
    named = f" ({', '.join(name.replace('_', ' ') for name in worse)})" if worse else ""
    found.append(Finding(MIND if worse else GOOD, f"{compared}{named}."))
    weakest = min(own.values(), key=lambda cell: cell.success.rate)
    bar = contents.config.minimum_success_rate
    words = (
        f"Of what differs, {weakest.condition.replace('_', ' ')} is hardest: "
        f"{weakest.success.rate:.0%} within 2 cm."
    )
    found.append(Finding(GOOD if weakest.success.rate >= bar else MIND, words))
    return found


def pairs(contents: Contents) -> tuple[dict[str, Cell], dict[str, Cell]]:
    """The cells of the policy and of the textbook controller, by condition."""
    own = {each.condition: each for each in contents.cells if _is_policy(each)}
    other = {each.condition: each for each in contents.cells if not _is_policy(each)}
    return own, other


def _is_policy(cell: Cell) -> bool:
    return not cell.controller.startswith("computed_torque")
