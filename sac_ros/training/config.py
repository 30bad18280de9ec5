# SPDX-License-Identifier: Apache-2.0
"""The parameters of a training run."""

from __future__ import annotations

from dataclasses import dataclass, field

from sac_ros.sac.config import SacConfig
from sac_ros.sim.backend import PHYSICS_RATE, ArmSettings
from sac_ros.sim.randomization import RandomizationConfig
from sac_ros.sim.vector_env import GRAVITY_COMPENSATION, PRIORS
from sac_ros.tasks.task import TASKS, RewardWeights
from sac_ros.utils.errors import ConfigurationError
from sac_ros.utils.settings import setting, validate


@dataclass(frozen=True)
class EnvironmentConfig:
    """The simulated arm and its task; arguments of `ArmVectorEnv`."""

    control_rate_hz: int = setting(
        50, "Actions per second; must divide 500", minimum=1, maximum=500, unit="Hz"
    )
    episode_seconds: float = setting(10.0, "Length of an episode", above=0.0, unit="s")
    gravity_compensation: str = setting(
        "robot",
        "Gravity compensation: robot (it adds g(q) itself), or policy (its torque holds g(q))",
        choices=GRAVITY_COMPENSATION,
    )
    action_scale_factor: float = setting(
        1.0, "Factor on the arm's torque at action 1", above=0.0, maximum=100.0
    )
    action_history: int = setting(
        1, "Number of its last actions that the policy observes", minimum=1, maximum=50
    )
    observer_rate: float = setting(
        0.0,
        "Rate of the disturbance observer, by which the joints carry what the arm's model "
        "lacks; 0: none",
        minimum=0.0,
        maximum=20.0,
        unit="1/s",
    )
    prior: str = setting(
        "none",
        "Controller beneath the policy: none, or computed_torque, which leads straight to the "
        "goal and from which learning starts",
        choices=PRIORS,
    )
    reward: RewardWeights = field(default_factory=RewardWeights)
    randomization: RandomizationConfig = field(  # type: ignore[valid-type]
        default_factory=RandomizationConfig
    )

    def __post_init__(self) -> None:
        """Checks every value, and that episodes and control periods fit the simulation."""
        validate(self)
        if PHYSICS_RATE % self.control_rate_hz:
            raise ConfigurationError(
                f"env.control_rate_hz must divide the physics rate of {PHYSICS_RATE} Hz; "
                f"got {self.control_rate_hz}"
            )
        if self.episode_seconds * self.control_rate_hz < 1.0:
            raise ConfigurationError(
                f"env.episode_seconds must be at least {1.0 / self.control_rate_hz:g} s, one "
                f"control period; got {self.episode_seconds}"
            )


@dataclass(frozen=True)
class QualityBar:
    """How good a policy is when its training may end before `total_steps`."""

    success_rate: float = setting(
        0.98, "Lowest fraction of held-out goals within 2 cm and still", minimum=0.0, maximum=1.0
    )
    median_error_m: float = setting(
        0.006, "Largest median error on the held-out goals", above=0.0, unit="m"
    )
    hold_rate: float = setting(
        0.98,
        "Lowest fraction of held-out goals at which an arm stays within 2 cm for 15 s more",
        minimum=0.0,
        maximum=1.0,
    )

    def __post_init__(self) -> None:
        """Checks every value."""
        validate(self)


@dataclass(frozen=True)
class TrainConfig(ArmSettings):
    """Everything that decides a training run."""

    task: str = setting("reach", "Task to learn", choices=TASKS)
    seed: int = setting(0, "Seed of every random draw", minimum=0, maximum=2**31 - 1)
    total_steps: int = setting(150_000, "Environment steps until the end", minimum=1)
    stop_when_good: bool = setting(
        True,
        "End before total_steps when three evaluations in a row, and then a hold of 15 s, reach "
        "the quality bar `good`",
    )
    name: str = setting("", "Name of the run's directory; empty: arm, task and time")
    directory: str = setting("runs", "Where run directories are made")
    resume: bool = setting(
        False,
        "Go on from the checkpoint of the run called name, or of the latest if name is empty, and "
        "with its settings: only -p NAME:=VALUE changes one",
    )
    initial_policy: str = setting(
        "",
        "Policy file, or directory of a run, whose policy this new run begins with; empty: a new "
        "policy",
    )
    critics_first_steps: int = setting(
        8_000,
        "Environment steps of an initial_policy, with noise on its actions, before the first "
        "update",
        minimum=1,
    )
    critics_first_updates: int = setting(
        6_000,
        "Updates of the critics alone that follow, so that the critics fit the policy before the "
        "actor changes",
        minimum=0,
    )
    prior_data: str = setting(
        "",
        "Recordings of the arm, bags separated by commas, whose steps are half of every batch at "
        "first, and none after three tenths of the run; empty: none",
    )
    prior_data_joints: str = setting(
        "", "Names of the arm's joints in prior_data where they differ, ARM=BAG,..."
    )
    collector: str = setting(
        "worker",
        "Where the arms are stepped: worker (a process beside the learner), in_process "
        "(repeatable bit for bit), or ray (actors of a Ray cluster)",
        choices=("worker", "in_process", "ray"),
    )
    ray_address: str = setting(
        "",
        "Address of the Ray cluster that collects: auto, or HOST:PORT; empty: a cluster on this "
        "machine that ends with the run",
    )
    ray_collectors: int = setting(
        2, "Number of Ray actors that collect, one core each", minimum=1, maximum=1000
    )
    device: str = setting(
        "cpu", "Where the learner computes; cuda needs torch's CUDA build", choices=("cpu", "cuda")
    )
    environments: int = setting(4, "Environments in the collector", minimum=1, maximum=256)
    warm_up_steps: int = setting(
        4_000,
        "Environment steps at the start in which a noisy controller leads the arms to their "
        "goals; 0: random actions",
        minimum=0,
    )
    early_steps: int = setting(
        20_000,
        "Environment steps at the start in which episodes last early_episode_seconds at most",
        minimum=0,
    )
    early_episode_seconds: float = setting(
        3.0, "Length of these episodes, while the arm still gets stuck", above=0.0, unit="s"
    )
    widening_steps: int = setting(
        60_000,
        "Environment steps over which the ranges of env.randomization widen from what is "
        "described to their whole",
        minimum=0,
    )
    continue_probability: float = setting(
        0.7,
        "Probability of training episodes that start where the one before ended",
        minimum=0.0,
        maximum=1.0,
    )
    relabel_probability: float = setting(
        0.8, "Probability that a replayed transition gets another goal", minimum=0.0, maximum=1.0
    )
    near_probability: float = setting(
        0.1,
        "Probability that its other goal is near the end effector, at most relabel_probability; "
        "it rises from 0 until the middle of the run",
        minimum=0.0,
        maximum=1.0,
    )
    evaluation_interval: int = setting(
        10_000,
        "Environment steps between evaluations; twice as many once the task is solved, without "
        "stop_when_good",
        minimum=1,
    )
    evaluation_episodes: int = setting(50, "Held-out goals per evaluation", minimum=1)
    checkpoint_interval: int = setting(25_000, "Environment steps between checkpoints", minimum=1)
    checkpoint_copy: str = setting(
        "",
        "Where every checkpoint is copied: a path, or a URI of pyarrow.fs, such as "
        "s3://BUCKET/DIRECTORY; resume brings it back where this machine has none; empty: nowhere",
    )
    keep_checkpoints: int = setting(
        2, "Checkpoints that are kept; resume takes the newest whole one", minimum=1
    )
    minimum_success_rate: float = setting(
        0.9,
        "Lowest success rate of the exported policy within 5 cm; a run below it exits with code 1",
        minimum=0.0,
        maximum=1.0,
    )
    robustness_episodes: int = setting(
        10,
        "Episodes per cell of the robustness table at the end of a run; 0: no table",
        minimum=0,
        maximum=10_000,
    )
    record_video: bool = setting(True, "Draw a short GIF of the arm reaching at the end")
    good: QualityBar = field(default_factory=QualityBar)
    env: EnvironmentConfig = field(default_factory=EnvironmentConfig)
    sac: SacConfig = field(default_factory=SacConfig)

    def __post_init__(self) -> None:
        """Checks every value."""
        validate(self)
        if self.device == "cuda":
            # Only here: reading a configuration need not wait for it.
            import torch  # noqa: PLC0415

            if not torch.cuda.is_available():
                raise ConfigurationError(
                    "device must be cpu where torch finds no CUDA device; got 'cuda' "
                    f"(with torch {torch.__version__})"
                )
        if "/" in self.name or self.name.startswith("."):
            raise ConfigurationError(
                f"name must be a plain directory name, without / and no leading dot; "
                f"got {self.name!r}"
            )
