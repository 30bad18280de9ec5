# SPDX-License-Identifier: Apache-2.0
"""The peers: SAC of stable-baselines3 and, where it is installed, of SBX (the same in JAX)."""

from __future__ import annotations

import importlib
from typing import Any

import gymnasium
from stable_baselines3 import SAC
from stable_baselines3.common.logger import configure


def stable_baselines3_sac(env: gymnasium.Env[Any, Any], **arguments: Any) -> SAC:
    """SAC with its own defaults but for `arguments`, on the CPU as ours, and silent."""
    return _silent(SAC("MlpPolicy", env, device="cpu", **arguments))


def sbx_sac(env: gymnasium.Env[Any, Any], **arguments: Any) -> Any | None:
    """The same of SBX, None if it is not installed."""
    try:
        # Only here: it is optional, and JAX takes seconds to import.
        sbx = importlib.import_module("sbx")
    except ModuleNotFoundError:
        return None
    return _silent(sbx.SAC("MlpPolicy", env, **arguments))


def _silent(model: Any) -> Any:
    model.set_logger(configure(None, []))
    return model
