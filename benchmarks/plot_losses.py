# SPDX-License-Identifier: Apache-2.0
"""`python -m benchmarks.plot_losses`: the figures of docs/losses.md, from the losses that train.

Whatever a figure calls a mistake is written out here, never taken from the package.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor

from benchmarks.figure_style import BLUE, GREEN, GREY, INK, ORANGE, RED, legend, panels, save
from sac_ros.sac.losses import (
    policy_loss,
    q_loss,
    soft_bellman_target,
    squashed_gaussian_log_prob,
    temperature_loss,
    value_loss,
)

IMAGES = Path(__file__).parents[1] / "docs" / "images"
GAMMA = 0.92  # the default of SacConfig
BEST_ACTION = 0.5  # of the one-step task below


def normal_grid(count: int) -> Tensor:
    """Standard normal noise [count] at even quantiles: expectations without sampling error."""
    return torch.special.ndtri((torch.arange(count, dtype=torch.float64) + 0.5) / count)


def squashed_sample(mean: Tensor, log_std: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Actions [B] of one joint and their log-probability [B], for noise [B]."""
    pre_tanh = mean + log_std.exp() * noise
    log_prob = squashed_gaussian_log_prob(
        noise[:, None], log_std.expand_as(noise)[:, None], pre_tanh[:, None]
    )
    return torch.tanh(pre_tanh), log_prob


def one_step_q(action: Tensor) -> Tensor:
    """Q of a task of one step whose best action is BEST_ACTION, worth 0."""
    return -4.0 * (action - BEST_ACTION).square()


@cache
def best_policy(alpha: float, steps: int = 600) -> tuple[Tensor, Tensor]:
    """μ and log σ that `policy_loss` leads to in the one-step task."""
    mean, log_std = (torch.zeros((), dtype=torch.float64, requires_grad=True) for _ in range(2))
    adam = torch.optim.Adam([mean, log_std], lr=0.02)
    noise = normal_grid(200)
    for _ in range(steps):
        action, log_prob = squashed_sample(mean, log_std, noise)
        adam.zero_grad()
        policy_loss(log_prob, one_step_q(action), alpha).backward()
        adam.step()
    return mean.detach(), log_std.detach()


# ---- one figure per loss -----------------------------------------------------------------------


def soft_bellman_target_figure() -> Figure:
    """The target as a function of V_next, and what becomes of it over an episode."""
    figure, (target, episode) = panels(
        ["One transition with reward 1", "A reward of 1 per step, episode of 40 steps"]
    )
    next_value = torch.linspace(-4.0, 16.0, 41)
    for terminated, colour, name in (
        (0.0, BLUE, "time limit, or goes on"),
        (1.0, ORANGE, "terminated"),
    ):
        y = soft_bellman_target(torch.ones(41), torch.full((41,), terminated), next_value, GAMMA)
        target.plot(next_value, y, color=colour, label=name, linewidth=2)
    target.annotate("slope γ", (5.0, 9.2), color=BLUE, fontsize=9)
    target.set(xlabel="soft value of the next state, V_next", ylabel="target y")
    legend(target, "lower right")

    steps = 40
    endings = (
        ("ends at a time limit: bootstraps", 0.0, 1.0 / (1.0 - GAMMA), BLUE),
        ("ends by termination", 1.0, 0.0, ORANGE),
    )
    for name, terminated, beyond, colour in endings:
        value = torch.tensor([beyond])
        values: list[float] = []
        for step in reversed(range(steps)):
            last = torch.tensor([terminated if step == steps - 1 else 0.0])
            value = soft_bellman_target(torch.ones(1), last, value, GAMMA)
            values.insert(0, value.item())
        episode.plot(range(steps), values, color=colour, label=name, linewidth=2)
    episode.annotate(
        "what a time limit taken for a\n"
        "termination would teach: the\n"
        "same state loses its value as\n"
        "a clock runs that is not observed",
        (33.0, 5.8),
        (3.0, 2.0),
        color=RED,
        fontsize=8.5,
        arrowprops={"arrowstyle": "->", "color": RED},
    )
    episode.set(xlabel="step of the episode", ylabel="value", ylim=(0.0, 15.0))
    legend(episode, "upper left")
    return figure


def q_loss_figure() -> Figure:
    """Each critic has a bowl of its own; an average leaves a valley, a broadcast a mean."""
    figure, (ours, averaged, broadcast) = panels(
        [
            "q_loss: both critics find y",
            "mistake: mean of both critics",
            "mistake: [B] against [B, 1]",
        ]
    )

    def mean_of_both(q1: Tensor, q2: Tensor, y: Tensor) -> Tensor:
        return (torch.stack([q1, q2], dim=-1).mean(dim=-1) - y).square().mean()

    zero = torch.zeros(1)

    def of_pair(loss: Callable[[Tensor, Tensor, Tensor], Tensor], q: Tensor) -> Tensor:
        return loss(q[:1], q[1:], zero)

    errors = torch.linspace(-2.0, 2.0, 61)
    starts = ((-1.7, 0.6), (1.7, 1.2), (0.9, -1.7), (-0.6, 1.8))
    for axes, loss in ((ours, q_loss), (averaged, mean_of_both)):
        height = [[float(of_pair(loss, torch.stack([a, b]))) for a in errors] for b in errors]
        axes.contourf(errors, errors, height, levels=14, cmap="Blues")
        for start in starts:
            path = descend(partial(of_pair, loss), torch.tensor(start), 0.05, 150)
            axes.plot(*path.T, color=ORANGE, linewidth=1.8)
            axes.plot(*path[0], "o", color=ORANGE, markersize=4)
            axes.plot(*path[-1], "*", color=RED if loss is mean_of_both else GREEN, markersize=12)
        axes.set(
            xlabel="q1 − y",
            ylabel="q2 − y",
            aspect="equal",
            xticks=range(-2, 3),
            yticks=range(-2, 3),
        )
        axes.grid(visible=False)

    torch.manual_seed(0)
    y = 3.0 * torch.rand(24) - 1.0
    fitted = descend(lambda q: q_loss(q, q, y), torch.zeros(24), 2.0, 200)[-1]
    wrong = descend(lambda q: (q - y[:, None]).square().mean(), torch.zeros(24), 2.0, 200)[-1]
    broadcast.plot(y, fitted, "o", color=BLUE, label="q_loss", markersize=5)
    broadcast.plot(y, wrong, "o", color=RED, label="(q − y[:, None])²", markersize=5)
    broadcast.set(
        xlabel="target y of a row", ylabel="q of that row after descent", ylim=(-1.3, 2.9)
    )
    broadcast.set_box_aspect(1.0)
    legend(broadcast, "upper left")
    return figure


def policy_loss_figure() -> Figure:
    """The temperature decides how much Q a policy gives up for entropy."""
    alphas = ((0.02, BLUE), (0.3, GREEN), (2.0, ORANGE))
    figure, (densities, cold, warm) = panels(
        ["Best policy for each α", "Landscape, α = 0.02", "Landscape, α = 2"]
    )
    found = {alpha: best_policy(alpha) for alpha, _ in alphas}

    action = torch.linspace(-0.999, 0.999, 400, dtype=torch.float64)
    for alpha, colour in alphas:
        mean, log_std = found[alpha]
        noise = (torch.atanh(action) - mean) / log_std.exp()
        density = squashed_sample(mean, log_std, noise)[1].exp()
        densities.fill_between(action, density, color=colour, alpha=0.15, linewidth=0)
        densities.plot(action, density, color=colour, linewidth=2, label=f"α = {alpha:g}")
    densities.axvline(BEST_ACTION, color=GREY, linestyle=":", linewidth=1.2)
    densities.set(
        xlabel="action a (q is best at the dotted line)", ylabel="density π(a)", ylim=(0, None)
    )
    legend(densities, "upper left")

    means = torch.linspace(-1.0, 2.0, 61, dtype=torch.float64)
    log_stds = torch.linspace(-4.0, 1.0, 61, dtype=torch.float64)
    noise = normal_grid(64)
    for axes, alpha, colour in ((cold, 0.02, BLUE), (warm, 2.0, ORANGE)):

        def loss_at(log_std: Tensor, mean: Tensor, alpha: float = alpha) -> Tensor:
            action, log_prob = squashed_sample(mean, log_std, noise)
            return policy_loss(log_prob, one_step_q(action), alpha)

        height = torch.vmap(torch.vmap(loss_at, (None, 0)), (0, None))(log_stds, means)
        # The square root shows the flat bottom as well as the walls.
        axes.contourf(means, log_stds, (height - height.min()).sqrt(), levels=16, cmap="viridis_r")
        axes.plot(*found[alpha], "*", color=colour, markersize=17, markeredgecolor="white")
        axes.set(xlabel="μ (before tanh)", ylabel="log σ")
        axes.grid(visible=False)
    return figure


def value_loss_figure() -> Figure:
    """V follows the mean of noisy soft values, whose entropy term may have either sign."""
    figure, (states, parabolas) = panels(
        ["V after descent on one fresh sample per step", "The loss at one state"]
    )
    torch.manual_seed(0)
    alpha, count = 0.5, 60
    state = torch.linspace(0.0, 1.0, count, dtype=torch.float64)
    log_std = -3.0 + 3.0 * state  # a policy from certain to spread out
    mean = torch.full_like(state, 0.5)
    value = torch.zeros(count, dtype=torch.float64, requires_grad=True)
    adam = torch.optim.Adam([value], lr=0.05)
    samples = []
    for step in range(2000):
        action, log_prob = squashed_sample(mean, log_std, torch.randn_like(state))
        q = one_step_q(action)
        samples.append((q - alpha * log_prob).detach())
        adam.param_groups[0]["lr"] = 0.05 * (1.0 - step / 2000)
        adam.zero_grad()
        value_loss(value, q, log_prob, alpha).backward()
        adam.step()

    noise = normal_grid(400)
    pairs = [squashed_sample(m, s, noise) for m, s in zip(mean, log_std, strict=True)]
    hard = [float(one_step_q(action).mean()) for action, _ in pairs]
    soft = [float((one_step_q(action) - alpha * lp).mean()) for action, lp in pairs]
    for drawn in samples[-12:]:
        states.plot(log_std, drawn, ".", color=GREY, markersize=3, alpha=0.6)
    states.plot([], [], ".", color=GREY, label="samples of q − α log π")
    states.plot(log_std, soft, color=ORANGE, linewidth=5, alpha=0.45, label="E[q − α log π]")
    states.plot(log_std, value.detach(), color=BLUE, linewidth=1.6, label="V by value_loss")
    states.plot(log_std, hard, "--", color=INK, linewidth=1.2, label="E[q], no entropy")
    states.set(xlabel="log σ of the policy in that state", ylabel="value", ylim=(-2.6, 2.2))
    legend(states, "upper left", 2)

    one = torch.stack([drawn[-8] for drawn in samples[:40]])
    guesses = torch.linspace(-2.5, 2.5, 101, dtype=torch.float64)
    zero = torch.zeros(1, dtype=torch.float64)
    for target in one[:14]:
        losses = [float(value_loss(v[None], target[None], zero, 0.0)) for v in guesses]
        parabolas.plot(guesses, losses, color=GREY, linewidth=0.7, alpha=0.7)
    zeros = torch.zeros_like(one)
    mean_loss = [float(value_loss(v.expand_as(one), one, zeros, 0.0)) for v in guesses]
    parabolas.plot([], [], color=GREY, linewidth=0.7, label="single samples")
    parabolas.plot(guesses, mean_loss, color=BLUE, linewidth=2.2, label="batch of 40")
    parabolas.axvline(float(one.mean()), color=ORANGE, linestyle=":", linewidth=1.6)
    parabolas.set(xlabel="V(s); dotted: mean of the targets", ylabel="value_loss", ylim=(0.0, 4.0))
    legend(parabolas, "upper center")
    return figure


def temperature_loss_figure() -> Figure:
    """log α falls when the policy is more random than asked for and rises when it is less."""
    target = -1.0
    figure, (slopes, alphas, entropies) = panels(
        ["The loss is a line in log α", "α, learned with the policy", "Entropy of that policy"]
    )
    log_alpha = torch.linspace(-5.0, 1.0, 50)
    for entropy, colour, name in (
        (-2.0, ORANGE, "entropy −2: α rises"),
        (-1.0, GREY, "entropy −1 = H̄: stays"),
        (0.0, BLUE, "entropy 0: α falls"),
    ):
        log_prob = torch.full((1,), -entropy)
        loss = [float(temperature_loss(each, log_prob, target)) for each in log_alpha]
        slopes.plot(log_alpha, loss, color=colour, linewidth=2, label=name)
        slope = entropy - target  # descent goes the other way
        if slope:
            start = -2.0 if slope < 0.0 else -1.6
            slopes.annotate(
                "",
                (start - 1.1 * slope, slope * (start - 1.1 * slope)),
                (start, slope * start),
                arrowprops={"arrowstyle": "-|>", "color": colour, "linewidth": 2.5},
            )
    slopes.set(xlabel="log α", ylabel="temperature_loss", ylim=(-6.0, 9.0))
    legend(slopes, "upper center")

    for start, colour in ((1.0, BLUE), (0.003, ORANGE)):
        temperature, entropy_of = learned_temperature(start, target)
        alphas.semilogy(temperature, color=colour, linewidth=2, label=f"α₀ = {start:g}")
        entropies.plot(entropy_of, color=colour, linewidth=2, label=f"α₀ = {start:g}")
    entropies.axhline(target, color=GREY, linestyle=":", linewidth=1.6, label="target H̄ = −1")
    alphas.set(xlabel="update", ylabel="α")
    entropies.set(xlabel="update", ylabel="−mean log π (nat)")
    legend(alphas)
    legend(entropies)
    return figure


@cache
def learned_temperature(start: float, target: float) -> tuple[list[float], list[float]]:
    """α and the entropy at each update of policy and temperature in the one-step task."""
    mean, log_std = (torch.zeros((), dtype=torch.float64, requires_grad=True) for _ in range(2))
    log_alpha = torch.tensor(start, dtype=torch.float64).log().requires_grad_()
    with torch.no_grad():
        log_std -= 1.0
    adam = torch.optim.Adam(
        [{"params": [mean, log_std], "lr": 0.05}, {"params": [log_alpha], "lr": 0.01}]
    )
    noise = normal_grid(200)
    alphas: list[float] = []
    entropies: list[float] = []
    for _ in range(1000):
        action, log_prob = squashed_sample(mean, log_std, noise)
        alphas.append(log_alpha.exp().item())
        entropies.append(-log_prob.mean().item())
        adam.zero_grad()
        policy_loss(log_prob, one_step_q(action), log_alpha.exp()).backward()
        temperature_loss(log_alpha, log_prob, target).backward()
        adam.step()
    return alphas, entropies


def log_prob_figure() -> Figure:
    """The tanh correction in float32: stable form, naive form, and the naive one with an ε."""
    figure, (values, gradients) = panels(["Its part in log π, float32", "Its gradient, float32"])

    def stable(u: Tensor) -> Tensor:
        # The Gaussian of zero noise and log σ = −½ log 2π is 0: what is left is the correction.
        constant = torch.full_like(u, -0.9189385332046727)
        return squashed_gaussian_log_prob(torch.zeros_like(u), constant, u)

    def naive(u: Tensor) -> Tensor:
        return -torch.log(1.0 - torch.tanh(u).square()).squeeze(-1)

    def with_epsilon(u: Tensor) -> Tensor:
        return -torch.log(1.0 - torch.tanh(u).square() + 1e-6).squeeze(-1)

    forms: Sequence[tuple[str, Callable[[Tensor], Tensor], str, float]] = (
        ("stable: 2(u + softplus(−2u) − log 2)", stable, BLUE, 5.0),
        ("−log(1 − tanh² u + 1e-6)", with_epsilon, ORANGE, 1.6),
        ("−log(1 − tanh² u)", naive, RED, 1.6),
    )
    for name, form, colour, width in forms:
        u = torch.linspace(0.0, 14.0, 1401)[:, None].requires_grad_()
        log_prob = form(u)
        log_prob.sum().backward()
        assert u.grad is not None
        alpha = 0.4 if form is stable else 1.0
        position = u.detach().squeeze(-1)
        values.plot(
            position, log_prob.detach(), color=colour, linewidth=width, alpha=alpha, label=name
        )
        gradients.plot(
            position, u.grad.squeeze(-1), color=colour, linewidth=width, alpha=alpha, label=name
        )
        infinite = ~torch.isfinite(log_prob.detach())
        if infinite.any():
            first = float(position[infinite][0])
            for axes, height in ((values, 15.9), (gradients, 2.0)):
                axes.plot(first, height, "x", color=RED, markersize=9, markeredgewidth=2.5)
            values.annotate(
                f"inf from u = {first:.1f} on",
                (first, 15.9),
                (first - 6.6, 20.0),
                color=RED,
                fontsize=9,
                arrowprops={"arrowstyle": "->", "color": RED},
            )
            gradients.annotate("nan", (first - 0.35, 2.2), color=RED, fontsize=9)
    gradients.annotate(
        "nothing pulls the\nsaturated joint back",
        (10.5, 0.1),
        (9.6, 0.7),
        color=ORANGE,
        fontsize=9,
    )
    values.set(xlabel="u before tanh", ylabel="−log(1 − tanh² u)", ylim=(-0.8, 27.5))
    gradients.set(xlabel="u before tanh", ylabel="d/du", ylim=(-0.15, 2.6))
    legend(values, "lower right")
    return figure


def descend(loss: Callable[[Tensor], Tensor], start: Tensor, rate: float, steps: int) -> Tensor:
    """The points [steps + 1, n] of plain gradient descent."""
    point = start.clone().requires_grad_()
    path = [start.clone()]
    for _ in range(steps):
        (gradient,) = torch.autograd.grad(loss(point), point)
        with torch.no_grad():
            point -= rate * gradient
        path.append(point.detach().clone())
    return torch.stack(path)


FIGURES: dict[str, Callable[[], Figure]] = {
    "soft_bellman_target": soft_bellman_target_figure,
    "q_loss": q_loss_figure,
    "policy_loss": policy_loss_figure,
    "value_loss": value_loss_figure,
    "temperature_loss": temperature_loss_figure,
    "log_prob": log_prob_figure,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Draws every figure, or those named."""
    parser = argparse.ArgumentParser(prog="plot_losses", description="Draw docs/losses.md.")
    parser.add_argument(
        "figures",
        nargs="*",
        default=list(FIGURES),
        metavar="FIGURE",
        help="which: " + ", ".join(FIGURES),
    )
    parser.add_argument(
        "--directory", type=Path, default=IMAGES, help="where to (default: docs/images)"
    )
    options = parser.parse_args(arguments)
    unknown = [name for name in options.figures if name not in FIGURES]
    if unknown:
        parser.error(f"no figure {unknown[0]!r}; there are {', '.join(FIGURES)}")
    options.directory.mkdir(parents=True, exist_ok=True)
    for name in options.figures:
        path = options.directory / f"losses_{name}.png"
        save(FIGURES[name](), path)
        print(path)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
