# SPDX-License-Identifier: Apache-2.0
"""The changes of the default configuration that are tried, one factor each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sac_ros.training.config import TrainConfig
from sac_ros.utils.errors import ConfigurationError
from sac_ros.utils.settings import build, leaves


@dataclass(frozen=True)
class Variant:
    """A change of the default configuration.

    Attributes:
        group: the factor that is changed; a group has its place in the table and its figure.
        label: what it is called, unique.
        changes: values by the names that `train_node`'s parameters have.
    """

    group: str
    label: str
    changes: Mapping[str, Any] = field(default_factory=dict)

    def config(self, base: Mapping[str, Any]) -> TrainConfig:
        """The configuration with these changes; `base` changes what all variants share.

        Raises:
            ConfigurationError: a changed parameter does not exist, or its value is not valid.
        """
        values = {**base, **self.changes}
        known = {leaf.name for leaf in leaves(TrainConfig)}
        missing = [name for name in values if name not in known]
        if missing:
            raise ConfigurationError(f"there is no parameter {', '.join(missing)}")
        config: TrainConfig = build(TrainConfig, values)
        return config


DEFAULT = Variant("default", "default")

# One that equals the default configuration is left out and named, so that both sides of a switch
# can stand here: whichever becomes the default, the other one is what is tried.
VARIANTS = (
    Variant("variant", "value network", {"sac.value_function": True}),
    Variant("hindsight", "no new goals in hindsight", {"relabel_probability": 0.0}),
    Variant("near goals", "none near the end effector", {"near_probability": 0.0}),
    Variant("averaged actor", "no average", {"sac.averaging_window_fraction": 0.0}),
    Variant("updates per step", "0.2 updates per step", {"sac.updates_per_step": 0.2}),
    Variant("updates per step", "0.4 updates per step", {"sac.updates_per_step": 0.4}),
    Variant(
        "temperature",
        "fixed temperature 0.01",
        {"sac.learn_temperature": False, "sac.initial_temperature": 0.01},
    ),
    Variant("temperature", "initial temperature 1", {"sac.initial_temperature": 1.0}),
    Variant("target entropy", "target entropy -2", {"sac.target_entropy_per_joint": -2.0}),
    Variant("penalty on changes", "action_change 0.05", {"env.reward.action_change": 0.05}),
    Variant("penalty on changes", "action_change 0.5", {"env.reward.action_change": 0.5}),
    Variant("penalty on changes", "action_change 1", {"env.reward.action_change": 1.0}),
    # Twice the steps per second, and the same discount per second.
    Variant("control rate", "100 Hz, gamma 0.96", {"env.control_rate_hz": 100, "sac.gamma": 0.96}),
    Variant("n-step returns", "1 step", {"sac.n_step": 1}),
    Variant("n-step returns", "3 steps", {"sac.n_step": 3}),
)


@dataclass(frozen=True)
class Skipped:
    """A variant that cannot be tried, and why."""

    variant: Variant
    reason: str


def applicable(
    variants: Sequence[Variant], base: Mapping[str, Any]
) -> tuple[list[Variant], list[Skipped]]:
    """The variants that this revision can train and that differ from its default; the others."""
    default = DEFAULT.config(base)
    usable, skipped = [], []
    for variant in variants:
        try:
            same = variant.config(base) == default
        except ConfigurationError as error:
            skipped.append(Skipped(variant, str(error)))
            continue
        if same:
            skipped.append(Skipped(variant, "it is the default"))
        else:
            usable.append(variant)
    return usable, skipped


def chosen(variants: Sequence[Variant], names: Sequence[str]) -> list[Variant]:
    """Those whose label or group is among `names`; all if there are none.

    Raises:
        ConfigurationError: a name is neither a label nor a group.
    """
    known = {name for variant in variants for name in (variant.label, variant.group)}
    for name in names:
        if name not in known:
            labels = ", ".join(variant.label for variant in variants)
            raise ConfigurationError(
                f"--only must name groups or changes among {labels}; got {name!r}"
            )
    return [each for each in variants if not names or {each.label, each.group} & set(names)]
