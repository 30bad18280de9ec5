# SPDX-License-Identifier: Apache-2.0
"""The agent learns on the device that it is told, from batches that come from the CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from sac_ros.sac.agent import Batch, SacAgent
from sac_ros.sac.config import SacConfig
from sac_ros.training.checkpoint import load_checkpoint, save_checkpoint
from sac_ros.training.config import TrainConfig
from sac_ros.utils.errors import ConfigurationError

SIZE, N, B = 6, 2, 32
NO_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
DEVICES = pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=NO_CUDA)])
VARIANTS = pytest.mark.parametrize("value_function", [True, False], ids=["V", "twin Q"])


def agent(device: str, value_function: bool) -> SacAgent:
    config = SacConfig(hidden_sizes=(16, 16), value_function=value_function)
    return SacAgent(SIZE, N, config, device)


def batch() -> Batch:
    return Batch(
        torch.randn(B, SIZE),
        torch.randn(B, N).tanh(),
        torch.randn(B),
        torch.randn(B, SIZE),
        torch.zeros(B),
    )


@DEVICES
@VARIANTS
def test_updates_from_python_and_replayed_stay_on_the_device(
    device: str, value_function: bool
) -> None:
    sac = agent(device, value_function)
    before = sac.actor_parameters.values.clone()
    for _ in range(5):
        metrics = sac.update(batch())
    assert sac._recorded.recorded
    kept = [sac.actor_parameters, sac.critic_parameters, sac.target_parameters]
    assert {each.values.device.type for each in kept} == {device}
    assert sac.log_alpha.device.type == device
    assert {each.device.type for each in metrics} == {device}
    assert not torch.equal(sac.actor_parameters.values, before)


@DEVICES
def test_what_the_collector_gets_is_the_actor_in_plain_memory(device: str) -> None:
    sac = agent(device, False)
    flat = sac.averaged_parameters.to_numpy()
    assert flat.dtype == np.float32
    assert flat.tolist() == sac.averaged_parameters.values.cpu().tolist()


@DEVICES
@VARIANTS
def test_a_checkpoint_goes_on_whatever_device_it_was_made_on(
    device: str, value_function: bool, tmp_path: Path
) -> None:
    saved = agent(device, value_function)
    saved.update(batch())
    save_checkpoint(tmp_path / "agent.pt", {"agent": saved.state_dict()})
    for other in ("cpu", device):
        resumed = agent(other, value_function)
        resumed.load_state_dict(load_checkpoint(tmp_path / "agent.pt")["agent"])
        expected = saved.critic_parameters.values.cpu()
        assert torch.equal(resumed.critic_parameters.values.cpu(), expected)
        resumed.update(batch())
        assert resumed.critic_parameters.values.device.type == other


def test_a_cuda_device_that_is_not_there_is_refused_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigurationError, match=r"device must be cpu .*; got 'cuda'"):
        TrainConfig(device="cuda")
