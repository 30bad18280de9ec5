# SPDX-License-Identifier: Apache-2.0
"""An evaluation in a terminal: what was found, in some forty lines."""

from __future__ import annotations

from sac_ros.bags.report.verdict import causes
from sac_ros.bags.result import ANSWERS, OPEN_LOOP, Evaluation, ModelResult, RecordingFacts


def text_report(evaluation: Evaluation) -> str:
    """Return the figures that matter as text."""
    lines = [line for model in evaluation.models for line in _verdict(model)]
    lines += ["", *_recording(evaluation.recording)]
    lines += [f"warning: {warning}" for warning in evaluation.warnings]
    for model in evaluation.models:
        lines += ["", *_model(model)]
    for each in evaluation.thresholds:
        value = "unknown" if each.value is None else f"{each.value:.6g}"
        verdict = "met" if each.met else "MISSED"
        lines.append(f"{verdict}: {each.model} {each.name} = {value}, at most {each.limit:g}")
    return "\n".join([*lines, "", OPEN_LOOP])


def _verdict(model: ModelResult) -> list[str]:
    assert model.verdict is not None
    decision, reasons = model.verdict.decision, model.verdict.reasons
    return [
        f"{decision.upper()}: {model.label} {ANSWERS[decision]}",
        *(f"  - {reason}" for reason in reasons),
    ]


def _recording(facts: RecordingFacts) -> list[str]:
    lines = []
    for name, stream, kind, first_s, last_s in (
        ("states  ", facts.states, None, facts.start_s, facts.end_s),
        (
            "commands",
            facts.commands,
            facts.command_kind,
            facts.first_command_s,
            facts.last_command_s,
        ),
    ):
        if stream is not None:
            rate = "" if stream.rate_hz is None else f" at {stream.rate_hz:.1f} Hz"
            span = "" if first_s is None else f", {first_s:.3f} to {last_s:.3f} s"
            topic = f"{stream.topic} ({kind})" if kind else stream.topic
            lines.append(f"{name}  {topic}: {stream.used} of {stream.read}{rate}{span}")
    clock = f"clock     {facts.clock.name}: {facts.clock.why}"
    return [*lines, clock, f"goals     {facts.goal_source}"]


def _model(model: ModelResult) -> list[str]:
    answered = f"{model.samples} states answered by {model.inferences} inferences"
    rate = f"{model.control_rate_hz:.1f} Hz"
    lines = [f"{model.label}: {model.name} for {model.arm}, {answered} at {rate}"]
    if model.errors:
        head = "  torque error        bias      MAE     RMSE      p95      max"
        lines.append(f"{head}  RMSE/limit  RMSE/authority")
    for error in model.errors:
        row = error.overall
        lines.append(
            f"    {error.name:<13} {row.bias:9.3f}{row.mae:9.3f}{row.rmse:9.3f}{row.p95:9.3f}"
            f"{row.max:9.3f}  {row.rmse_fraction:10.2%}  {row.rmse_authority:14.2%}"
        )
    if model.errors:
        row = model.errors[0].overall
        lines.append(
            f"  sign agreement {_number(row.sign_agreement, '.1%')}, "
            f"correlation {_number(row.correlation, '.3f')}, {_lag(model)}, {_divergence(model)}"
        )
    lines += [f"  {each.words}" for each in causes(model)]
    lines += _on_the_arm(model)
    at_bound = ", ".join(f"{each.name} {each.fraction:.1%}" for each in model.saturation)
    lines.append(f"  at a bound: {at_bound} of the states")
    coverage = model.coverage
    lines.append(
        f"  coverage: {coverage.outside_fraction:.1%} of the states outside the training range, "
        f"{coverage.goal_outside_fraction:.1%} of the goals"
    )
    limits = [f"{each.kind} {each.count} ({each.fraction:.2%})" for each in model.limits]
    lines.append(f"  beyond limits: {', '.join(limits)}")
    acts = [f"{each.kind} {each.fraction:.1%}" for each in model.interventions]
    acts += [f"fault {each.kind} {each.count}" for each in model.faults]
    lines.append(f"  safety filter: {', '.join(acts) or 'would change nothing'}")
    for each in model.smoothness:
        fast = [share for share in each.power_above_10hz if share is not None]
        power = f"at most {max(fast):.1%}" if fast else "unknown"
        lines.append(
            f"  smoothness, {each.name}: RMS step {each.rms_step_fraction:.2%} of the limit at "
            f"{each.rate_hz:.0f} Hz, power above 10 Hz {power}"
        )
    latency = model.latency
    lines.append(
        f"  latency: p50 {latency.p50_s * 1e6:.0f}, p99 {latency.p99_s * 1e6:.0f}, largest "
        f"{latency.max_s * 1e6:.0f} µs; p99 is {latency.period_fraction_p99:.2%} of the period"
    )
    return lines


def _on_the_arm(model: ModelResult) -> list[str]:
    if model.effect is None:
        return []
    effect = model.effect
    words = (
        f"  the error alone accelerates the end effector by {effect.end_effector_rmse:.2f} m/s² "
        f"(RMS), {effect.end_effector_p95:.2f} (p95), its worst joint by "
        f"{max(effect.joint_rmse):.2f} rad/s² (RMS)"
    )
    return [words]


def _lag(model: ModelResult) -> str:
    lag = model.lag
    if lag is None:
        return "lag unknown"
    if lag.overall_s is None or lag.resolution_s is None:
        return f"lag unknown: {lag.unknown}"
    return (
        f"lag {lag.overall_s * 1e3:+.1f} ± {lag.resolution_s * 1e3:.1f} ms (correlation "
        f"{_number(lag.correlation, '.3f')})"
    )


def _divergence(model: ModelResult) -> str:
    if model.divergence is None or model.divergence.first_s is None:
        return "no sustained divergence"
    return f"diverges at {model.divergence.first_s:.3f} s ({model.divergence.joint})"


def _number(value: float | None, form: str) -> str:
    return "unknown" if value is None else format(value, form)
