# SPDX-License-Identifier: Apache-2.0
"""The actor in numpy is the actor in torch."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch

from sac_ros.sac.flat import FlatParameters
from sac_ros.sac.networks import SquashedGaussianActor
from sac_ros.training.numpy_actor import ActorShape, NumpyActor

SHAPE = ActorShape.of(6, 3, (16, 8), (-3.0, 0.5))
AIMED = dataclasses.replace(SHAPE, aim=(2, 5))


@pytest.fixture(params=[SHAPE, AIMED], ids=["without an aim", "with an aim"])
def pair(request: pytest.FixtureRequest) -> tuple[SquashedGaussianActor, NumpyActor]:
    torch.manual_seed(0)
    actor = SquashedGaussianActor(6, 3, (16, 8), (-3.0, 0.5), aim=request.param.aim)
    mirrored = NumpyActor(request.param)
    mirrored.load(FlatParameters(actor).values.numpy())
    return actor, mirrored


@pytest.mark.parametrize("scale", [1.0, 100.0], ids=["mid range", "saturated"])
def test_actions_equal_those_of_torch(
    pair: tuple[SquashedGaussianActor, NumpyActor], scale: float
) -> None:
    actor, mirrored = pair
    rng = np.random.default_rng(0)
    observation = (scale * rng.normal(size=(200, 6))).astype(np.float32)
    noise = rng.normal(size=(200, 3)).astype(np.float32)
    rows = torch.from_numpy(observation)
    with torch.no_grad():
        sampled, _ = actor.sample(rows, torch.from_numpy(noise))
        best = actor.deterministic(rows)
        log_std = actor(rows)[1]
    # The bounds of log σ are met, so that their clamping is compared too.
    assert log_std.min() < -2.9 or scale == 1.0
    np.testing.assert_allclose(mirrored.sample(observation, noise), sampled, atol=2e-6)
    np.testing.assert_allclose(mirrored.deterministic(observation), best, atol=2e-6)
    assert mirrored.sample(observation, noise).dtype == np.float32


def test_the_number_of_parameters_is_torchs_own(
    pair: tuple[SquashedGaussianActor, NumpyActor],
) -> None:
    assert SHAPE.parameters == sum(p.numel() for p in pair[0].parameters())


def test_loaded_weights_are_copies(pair: tuple[SquashedGaussianActor, NumpyActor]) -> None:
    _, mirrored = pair
    flat = np.ones(SHAPE.parameters, dtype=np.float32)
    mirrored.load(flat)
    before = mirrored.deterministic(np.ones((1, 6), dtype=np.float32))
    flat[:] = -1.0
    np.testing.assert_array_equal(mirrored.deterministic(np.ones((1, 6), np.float32)), before)


def test_a_shape_survives_json() -> None:
    for shape in (SHAPE, AIMED):
        text = json.dumps(dataclasses.asdict(shape))
        assert ActorShape.from_json(json.loads(text)) == shape
