# SPDX-License-Identifier: Apache-2.0
"""The figures of docs/losses.md can be drawn, and show what the page says of them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from benchmarks import plot_losses


@pytest.mark.parametrize("name", plot_losses.FIGURES)
def test_a_figure_is_drawn_and_is_small(name: str, tmp_path: Path) -> None:
    assert plot_losses.main([name, "--directory", str(tmp_path)]) == 0
    path = tmp_path / f"losses_{name}.png"
    assert path.stat().st_size < 60_000
    with Image.open(path) as image:
        assert image.width > 900


def test_a_figure_drawn_again_is_the_same_file(tmp_path: Path) -> None:
    files = []
    for directory in ("first", "second"):
        plot_losses.main(["q_loss", "--directory", str(tmp_path / directory)])
        files.append((tmp_path / directory / "losses_q_loss.png").read_bytes())
    assert files[0] == files[1]


def test_an_unknown_figure_is_refused_with_the_ones_there_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        plot_losses.main(["q_los", "--directory", str(tmp_path)])
    assert "no figure 'q_los'; there are soft_bellman_target, q_loss" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_larger_temperature_gives_reward_up_for_spread() -> None:
    cold, warm = plot_losses.best_policy(0.02), plot_losses.best_policy(2.0)
    noise = plot_losses.normal_grid(200)
    q_cold, q_warm = (
        plot_losses.one_step_q(plot_losses.squashed_sample(*policy, noise)[0]).mean()
        for policy in (cold, warm)
    )
    assert warm[1] > cold[1] + 1.0
    assert q_warm < q_cold - 0.1


@pytest.mark.parametrize("start", [1.0, 0.003])
def test_temperature_and_policy_end_at_the_target_entropy(start: float) -> None:
    alphas, entropies = plot_losses.learned_temperature(start, -1.0)
    assert entropies[-1] == pytest.approx(-1.0, abs=0.01)
    assert alphas[-1] == pytest.approx(0.066, abs=0.001)


def test_the_grid_of_noise_is_standard_normal() -> None:
    noise = plot_losses.normal_grid(400)
    assert noise.mean().item() == pytest.approx(0.0, abs=1e-9)
    assert noise.square().mean().item() == pytest.approx(1.0, abs=0.02)
    assert torch.equal(noise, noise.sort().values)
