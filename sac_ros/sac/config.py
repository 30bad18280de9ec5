# SPDX-License-Identifier: Apache-2.0
"""The hyperparameters of SAC."""

from __future__ import annotations

from dataclasses import dataclass

from sac_ros.utils.errors import ConfigurationError
from sac_ros.utils.settings import setting, validate

MOST_LEARNED = 0.8  # of an actor with an aim, before tanh
NEAR_AIM = 0.5  # root mean square of an aim at which half of what was learned is added


@dataclass(frozen=True)
class SacConfig:
    """Hyperparameters; the names are those of the papers and of stable-baselines3."""

    value_function: bool = setting(
        False, "Learn a value network (Haarnoja et al. 2018a) instead of target critics (2018b)"
    )
    hidden_sizes: tuple[int, ...] = setting(
        (64, 64), "Widths of the hidden layers of every network", minimum=1, maximum=4096
    )
    learning_rate: float = setting(3e-3, "Step size of Adam", above=0.0, maximum=1.0)
    learning_rate_end: float = setting(
        3e-4, "Step size of Adam at the end of the run; in between it falls linearly", above=0.0
    )
    batch_size: int = setting(256, "Transitions per update", minimum=1, maximum=65536)
    gamma: float = setting(0.92, "Discount per control step", minimum=0.0, maximum=1.0)
    tau: float = setting(
        0.01,
        "Polyak factor by which the target critics follow the critics in an update",
        above=0.0,
        maximum=1.0,
    )
    value_tau: float = setting(
        0.03,
        "Share of the value network that its target takes over per update: more, since V itself "
        "already follows the critics",
        above=0.0,
        maximum=1.0,
    )
    updates_per_step: float = setting(0.2, "Updates per environment step", above=0.0, maximum=64.0)
    learning_starts: int = setting(1000, "Environment steps before the first update", minimum=1)
    replay_capacity: int = setting(
        1_000_000,
        "Largest number of transitions in the replay buffer",
        minimum=1000,
        maximum=100_000_000,
    )
    initial_temperature: float = setting(0.1, "Entropy temperature at the start", above=0.0)
    learn_temperature: bool = setting(True, "Adapt the temperature to the target entropy")
    target_entropy_per_joint: float = setting(
        -1.0, "Target entropy of the normalised action per joint", unit="nat"
    )
    target_entropy_per_joint_end: float = setting(
        -2.5, "The same at the end; it falls in the last two thirds of the run", unit="nat"
    )
    log_std_min: float = setting(-6.0, "Lowest log standard deviation", minimum=-20.0, maximum=2.0)
    log_std_max: float = setting(1.0, "Highest log standard deviation", minimum=-20.0, maximum=2.0)
    actor_output_scale: float = setting(
        0.1, "Factor on the actor's initial output weights", above=0.0, maximum=1.0
    )
    averaging_window_fraction: float = setting(
        0.1,
        "Fraction of the updates so far over which the evaluated and exported actor is averaged",
        minimum=0.0,
        maximum=1.0,
    )
    n_step: int = setting(
        1, "Steps whose rewards a Q target sums before it bootstraps", minimum=1, maximum=100
    )
    mixed_precision: bool = setting(
        False, "Matrix products in bfloat16: faster for wide networks on processors that have it"
    )
    capture_updates: bool = setting(
        True,
        "Capture an update as a graph and run that instead of Python: the same numbers, faster",
    )

    def __post_init__(self) -> None:
        """Checks every value and the pairs that belong together."""
        validate(self)
        if not self.log_std_min < self.log_std_max:
            raise ConfigurationError(
                f"log_std_min must be below log_std_max = {self.log_std_max}; "
                f"got {self.log_std_min}"
            )
        if self.learning_starts > self.replay_capacity:
            raise ConfigurationError(
                f"learning_starts must be at most replay_capacity = {self.replay_capacity}; "
                f"got {self.learning_starts}"
            )
