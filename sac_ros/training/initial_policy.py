# SPDX-License-Identifier: Apache-2.0
"""What a new run begins with instead of nothing: a policy file's actor, or what a run learned."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor

from sac_ros.policy.runtime import Policy
from sac_ros.policy.spec import PolicySpec
from sac_ros.robots.dynamics import CARRIED_TORQUE
from sac_ros.sim.vector_env import ArmVectorEnv
from sac_ros.training.checkpoint import checkpoints_in, load_checkpoint
from sac_ros.training.config import TrainConfig
from sac_ros.utils.errors import ConfigurationError

LARGEST_TEMPERATURE = 0.01  # of a file's actor: as trained ones have it, and not as new ones do


@dataclasses.dataclass(frozen=True, eq=False)
class InitialPolicy:
    """Where a run begins.

    Attributes:
        actor: [parameters] weights and biases in torch's order.
        learned: what the critics of a run have learned, and log α, by the names of
            `SacAgent.state_dict`; of a policy file log α alone.
        origin: what the policy file of the new run has of it, plain values.
    """

    actor: Tensor
    learned: dict[str, Tensor]
    origin: dict[str, Any]


def read_initial_policy(config: TrainConfig, env: ArmVectorEnv) -> InitialPolicy:
    """Reads `config.initial_policy`, a policy file or the directory of a run.

    A directory's newest checkpoint is read, for its critics; its policy file where it has none.

    Raises:
        ConfigurationError: there is no such file, or it is of another arm, task, memory or size.
        PolicyFileError: the policy file is refused.
    """
    path = Path(config.initial_policy)
    checkpoints = checkpoints_in(path)
    if checkpoints:
        return _of_run(checkpoints[0], config)
    file = path / "policy.onnx" if path.is_dir() else path
    if not file.is_file():
        reason = "in which neither is" if path.is_dir() else "which does not exist"
        raise ConfigurationError(
            "initial_policy must be a policy file, or the directory of a run with a checkpoint or "
            f"policy.onnx; got {config.initial_policy!r}, {reason}"
        )
    return _of_file(file, config, env)


def _of_file(path: Path, config: TrainConfig, env: ArmVectorEnv) -> InitialPolicy:
    policy = Policy.load(path, timed=False)
    spec = policy.spec
    arrays = [onnx.numpy_helper.to_array(each) for each in _actor_arrays(path)]
    hidden = [len(each) for each in arrays[1:-1:2]]
    _refuse_other(path, _described(spec, hidden), _told(config, env))
    terms = {term.name: term.size for term in spec.observation}
    if terms != dict(env.task.terms):
        raise ConfigurationError(
            f"the observation must be {_words(terms)}, as in initial_policy {path}; "
            f"got {_words(env.task.terms)}"
        )
    origin = {
        "file": config.initial_policy,
        "sha256": policy.sha256,
        "env_steps": spec.training.get("actor_env_steps", spec.training.get("env_steps", 0)),
    }
    flat = np.concatenate([each.ravel() for each in arrays])
    temperature = torch.tensor(min(config.sac.initial_temperature, LARGEST_TEMPERATURE))
    actor = torch.from_numpy(flat.astype(np.float32))
    return _with_temperature(config, actor, {"log_alpha": temperature.log()}, origin)


def _of_run(path: Path, config: TrainConfig) -> InitialPolicy:
    saved = load_checkpoint(path)
    theirs, ours = json.loads(saved["config"]), json.loads(json.dumps(dataclasses.asdict(config)))
    plain_names = ("arm", "base_link", "tip_link", "task")
    env_names = ("action_history", "observer_rate", "prior")
    sac_names = ("hidden_sizes", "value_function")
    _refuse_other(path, *(
        {name: each[name] for name in plain_names}
        | {f"env.{name}": each["env"][name] for name in env_names}
        | {f"sac.{name}": each["sac"][name] for name in sac_names}
        for each in (theirs, ours)
    ))  # fmt: skip
    learned, best = saved["agent"], saved["best"]
    # That which the run has exported, or would have.
    actor = best["parameters"] if best else learned["averaged_actor"]
    origin = {
        "file": config.initial_policy,
        "env_steps": best.get("env_steps", saved["env_steps"]),
    }
    names = {"critic", "target", "value", "log_alpha"} & learned.keys()
    return _with_temperature(config, actor, {name: learned[name] for name in names}, origin)


def _with_temperature(
    config: TrainConfig, actor: Tensor, learned: dict[str, Tensor], origin: dict[str, Any]
) -> InitialPolicy:
    """A fixed temperature stays that of the configuration."""
    if not config.sac.learn_temperature:
        learned.pop("log_alpha")
    return InitialPolicy(actor, learned, origin)


def _actor_arrays(path: Path) -> list[onnx.TensorProto]:
    """Weights and biases of the actor's layers in their order, as `PolicyGraph` names them."""
    found = {each.name: each for each in onnx.load(path).graph.initializer}
    names = [name for name in found if name.startswith("actor.body.")]
    layers = sorted({int(name.split(".")[2]) for name in names})
    wanted = [f"actor.body.{layer}.{kind}" for layer in layers for kind in ("weight", "bias")]
    if not layers or set(wanted) != set(names):
        raise ConfigurationError(
            f"initial_policy {path} must hold the weights of an actor, actor.body.0.weight and so "
            f"on; got {', '.join(names) or 'none'}"
        )
    return [found[name] for name in wanted]


def _described(spec: PolicySpec, hidden: list[int]) -> dict[str, Any]:
    terms = {term.name: term.size for term in spec.observation}
    return {
        "arm": spec.arm,
        "task": spec.task,
        "env.action_history": 1 + terms.get("earlier_actions", 0) // spec.joints,
        "env.observer_rate": "above 0" if CARRIED_TORQUE in terms else 0.0,
        "sac.hidden_sizes": hidden,
    }


def _told(config: TrainConfig, env: ArmVectorEnv) -> dict[str, Any]:
    # A file does not contain its observer's rate, only whether it has one.
    return {
        "arm": env.arm.name,
        "task": config.task,
        "env.action_history": config.env.action_history,
        "env.observer_rate": "above 0" if config.env.observer_rate else 0.0,
        "sac.hidden_sizes": list(config.sac.hidden_sizes),
    }


def _refuse_other(path: Path, theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    for name, value in theirs.items():
        if ours[name] != value:
            raise ConfigurationError(
                f"{name} must be {value}, as in initial_policy {path}; got {ours[name]}"
            )


def _words(terms: Any) -> str:
    return ", ".join(f"{name} ({size})" for name, size in terms.items())
