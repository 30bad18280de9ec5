# SPDX-License-Identifier: Apache-2.0
"""The verdict in words follows from the figures, and every figure of the page is a summary's."""

from __future__ import annotations

import dataclasses
import html
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from bag_maker import Motion, write_bag
from tiny_policy import write_tiny_policy

from sac_ros.bags.columns import Spool
from sac_ros.bags.evaluation import EvaluationOptions, evaluate_bags
from sac_ros.bags.figures import parse_thresholds
from sac_ros.bags.files import summary_text
from sac_ros.bags.metrics.safety import FaultFigures, InterventionFigures
from sac_ros.bags.report.page import report_html
from sac_ros.bags.report.verdict import findings, headline
from sac_ros.bags.result import ModelResult
from sac_ros.pages.finding import BAD, GOOD, MIND, Finding
from sac_ros.pages.format import number, percent
from sac_ros.policy.runtime import Policy


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The policy that commanded the recording, and one of a hundredth of its gain."""
    folder = tmp_path_factory.mktemp("verdict")
    bag = write_bag(folder / "bag", Motion().entries())
    paths = [write_tiny_policy(folder / f"m{i}.onnx", gain=g) for i, g in enumerate((1.0, 0.01))]
    options = EvaluationOptions(thresholds=parse_thresholds("rmse=0.5,violations=0"))
    return evaluate_bags([bag], [Policy.load(path) for path in paths], options, Spool(None))


@pytest.fixture(scope="module")
def model(found: Any) -> ModelResult:
    return found[0].models[0]


def erring(model: ModelResult, policy: float, hold_last: float, zero: float) -> ModelResult:
    """The same with other errors, as shares of the limit."""
    shares = {"policy": policy, "hold_last": hold_last, "zero": zero, "mean": zero}
    errors = tuple(
        dataclasses.replace(
            each,
            overall=dataclasses.replace(
                each.overall, rmse_fraction=shares[each.name], max_fraction=2.0 * shares[each.name]
            ),
        )
        for each in model.errors
    )
    return dataclasses.replace(model, errors=errors)


def about(findings: list[Finding], words: str) -> Finding:
    (finding,) = [each for each in findings if words in each.words]
    return finding


def test_the_policy_that_made_the_recording_asks_for_its_torques(model: ModelResult) -> None:
    assert headline(model) == "m0 asks for the recorded torques"
    assert about(findings(model), "largest difference").meaning == GOOD


@pytest.mark.parametrize(
    ("policy", "hold_last", "words", "meaning"),
    [
        (0.01, 0.02, "m0 stays close to the recorded torques", GOOD),
        (0.04, 0.02, "m0 resembles the recorded torques", MIND),
        (0.06, 0.20, "m0 asks for other torques than the recorded ones", BAD),
        (0.30, 0.02, "m0 asks for other torques than the recorded ones", BAD),
    ],
)
def test_an_error_is_judged_beside_predictions_that_know_nothing(
    model: ModelResult, policy: float, hold_last: float, words: str, meaning: str
) -> None:
    judged = erring(model, policy, hold_last, zero=0.1)
    assert headline(judged) == words
    assert findings(judged)[0].meaning == meaning
    assert percent(policy) in findings(judged)[0].words


def test_without_recorded_torques_nothing_is_said_about_them(model: ModelResult) -> None:
    blank = dataclasses.replace(model, errors=(), lag=None, divergence=None)
    assert headline(blank) == "m0 has nothing to be compared with"
    assert "closer" not in " ".join(each.words for each in findings(blank))


def test_limits_of_the_policy_are_told_from_those_of_the_recorded_robot(
    model: ModelResult,
) -> None:
    def beyond(kind: str) -> list[Finding]:
        limits = tuple(
            dataclasses.replace(each, count=7, worst=1.25, worst_s=2.0, worst_joint="elbow")
            if each.kind == kind
            else dataclasses.replace(each, count=0)
            for each in model.limits
        )
        return findings(dataclasses.replace(model, limits=limits))

    assert about(beyond(""), "It asks for no torque").meaning == GOOD
    policy = about(beyond("torque_rate"), "It goes beyond a limit")
    assert policy.meaning == BAD
    assert "torque rate in 7 states" in policy.words
    assert percent(1.25) in policy.words
    assert "elbow" in policy.words
    robot = beyond("velocity")
    assert about(robot, "The recorded robot itself").meaning == MIND
    assert about(robot, "It asks for no torque").meaning == GOOD


def test_what_the_safety_filter_would_do_is_said_and_waiting_for_a_goal_is_not_its_doing(
    model: ModelResult,
) -> None:
    def act(kind: str) -> InterventionFigures:
        return InterventionFigures(kind, 3, 0.25, (1, 2, 0), (0.5,))

    def judged(**changes: Any) -> list[Finding]:
        return findings(
            dataclasses.replace(model, **{"interventions": (), "faults": ()} | changes)
        )

    nothing = "would have changed nothing"
    assert about(judged(), nothing).meaning == GOOD
    assert about(judged(interventions=(act("no_goal"),)), nothing).meaning == GOOD
    clamped = about(judged(interventions=(act("no_goal"), act("clamp"))), "changed its torques")
    assert clamped.meaning == MIND
    assert f"clamp {percent(0.25)}" in clamped.words
    assert "no_goal" not in clamped.words
    stopped = judged(faults=(FaultFigures("over_speed", 2, "too fast", (1.0, 2.0)),))
    assert about(stopped, "stopped the robot: over_speed 2×").meaning == BAD
    assert not [each for each in stopped if nothing in each.words]
    late = judged(faults=(FaultFigures("watchdog", 2, "no state came", (1.0, 2.0)),))
    assert about(late, "because of time or people, not of torques: watchdog 2×").meaning == MIND
    assert not [each for each in late if each.meaning == BAD]


@pytest.mark.parametrize(("share", "meaning"), [(0.1, GOOD), (0.5, MIND), (0.9, BAD)])
def test_states_far_from_the_training_are_said(
    model: ModelResult, share: float, meaning: str
) -> None:
    coverage = dataclasses.replace(
        model.coverage, outside_fraction=share, goal_outside_fraction=share
    )
    judged = findings(dataclasses.replace(model, coverage=coverage))
    assert about(judged, "of the states lie outside").meaning == meaning
    assert about(judged, "the goal lies outside").meaning == MIND


@pytest.mark.parametrize(("share", "meaning"), [(0.1, GOOD), (0.7, MIND), (1.3, BAD)])
def test_an_inference_that_fills_its_period_is_said(
    model: ModelResult, share: float, meaning: str
) -> None:
    latency = dataclasses.replace(model.latency, period_fraction_p99=share)
    judged = findings(dataclasses.replace(model, latency=latency))
    assert about(judged, "One inference").meaning == meaning


def test_a_divergence_is_said_with_its_time_and_joint(model: ModelResult) -> None:
    assert model.divergence is not None
    diverged = dataclasses.replace(model.divergence, first_s=1.5, joint="wrist")
    judged = findings(dataclasses.replace(model, divergence=diverged))
    assert about(judged, "From 1.500 s on wrist").meaning == BAD
    assert not [each for each in findings(model) if "wrist" in each.words]


def test_the_page_shows_a_sign_beside_every_colour(found: Any) -> None:
    page = report_html(*found)
    for kind, sign in (("good", "✓"), ("mind", "!"), ("bad", "✗")):
        items = re.findall(rf'<li class="{kind}"><b>(.)</b>', page)
        assert set(items) <= {sign}
    assert "✗" in page
    assert page.index("In words") < page.index("The recording")


# ---- the page and summary.json -----------------------------------------------------------------


def leaves(value: Any) -> Iterator[float]:
    if isinstance(value, dict):
        value = [*value.values(), *value]
    if isinstance(value, list):
        for each in value:
            yield from leaves(each)
    elif isinstance(value, str):
        yield from map(float, re.findall(r"\d+\.?\d*(?:e-?\d+)?", value))
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield float(value)


def ways_to_write(value: float) -> Iterator[str]:
    """Every form in which the page writes a figure: with digits, in %, ms, µs or MB."""
    for scale in (1.0, 1e3, 1e6, 1e-6):
        for digits in (3, 4, 5):
            yield number(scale * value, digits)
    yield from (percent(value), f"{value:g}", f"{value:.3f}", str(value))


def written(text: str) -> set[str]:
    """The figures in a text, each without its unit."""
    return set(re.findall(r"(?<![\w.])−?\d+(?:\.\d+)?(?:e[−+]?\d+)?(?![\w.])", text))


def test_every_figure_of_the_page_is_in_the_summary(found: Any) -> None:
    evaluation, series = found
    summary = json.loads(summary_text(evaluation))
    known = {
        each for value in leaves(summary) for way in ways_to_write(value) for each in written(way)
    }
    missed = sum(not each.met for each in evaluation.thresholds)
    known |= {str(missed), str(len(evaluation.thresholds)), "10"}  # and the words' own 10 Hz
    page = report_html(evaluation, series)
    hidden = r"<(style|script|svg)\b.*?</\1>|<p class=\"about\">.*?</p>"
    page = re.sub(hidden, "", page, flags=re.DOTALL)
    shown = html.unescape(re.sub(r"<[^>]*>", " ", page)).replace("\u00a0", " ")
    figures = written(re.sub(r"\b[0-9a-f]{16}\b", "", shown))  # beginnings of sha256 are none
    assert len(figures) > 100
    assert figures <= known, sorted(figures - known)


def test_the_page_of_a_long_recording_stays_small(found: Any) -> None:
    import numpy as np

    evaluation, series = found
    rows, rng = 400_000, np.random.default_rng(0)
    long = dict(series)
    for name, values in series.items():
        if len(values) == len(series["time_s"]):
            shape = (rows, *values.shape[1:])
            noise = rng.normal(0.0, 20.0, shape)  # which nothing thins
            long[name] = np.abs(noise).astype(values.dtype)
    long["time_s"] = np.arange(rows) * 0.002
    long["segment"] = np.arange(rows) // 500  # and a gap every second
    page = report_html(evaluation, long)
    assert len(page) < 5e6
