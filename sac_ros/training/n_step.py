# SPDX-License-Identifier: Apache-2.0
"""Windows of several steps, for returns that look further than the next reward."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sac_ros.utils.errors import ConfigurationError

Float32 = NDArray[np.float32]
Indices = NDArray[np.int64]


class Episodes(Protocol):
    """Where episodes end in a ring of transitions."""

    ended: Float32  # [rows], 1 where an episode was over after the row
    env_steps: int  # transitions written so far; the newest is in row (env_steps − 1) mod rows


@dataclass(frozen=True)
class NStep:
    """The n-step return of Sutton (1988), as Rainbow (Hessel et al. 2018) and D4PG (Barth-Maron et
    al. 2018) draw it from a replay:

        y = Σ_{j<k} γʲ r_{t+j} + γᵏ (1 − terminated) · V_next(s_{t+k}),   k ≤ n

    A window is shorter than n where its episode was over, by termination (no bootstrap) or by a
    time limit (bootstrap from the state it cut off), and where the newest transition stands.

    It hastens the way of a reward back to what led to it, and it is biased: the steps after the
    first were taken by older policies, and no importance weight corrects for that. The entropy
    terms −α log π of the steps between are left out, as is usual: the policies of then are gone,
    and with a small α they are small against the rewards.

    Attributes:
        steps: n; 1 is the usual one-step return.
        gamma: γ of one step, in 0..1.
        stride: rows from a transition to the next of the same environment: the number of
            environments that write in turn.
    """

    steps: int
    gamma: float
    stride: int

    def __post_init__(self) -> None:
        for name in ("steps", "stride"):
            if getattr(self, name) < 1:
                raise ConfigurationError(
                    f"{name} of n-step returns must be at least 1; got {getattr(self, name)}"
                )
        if not 0.0 <= self.gamma <= 1.0:
            raise ConfigurationError(f"gamma of n-step returns must be in 0..1; got {self.gamma}")

    @property
    def span(self) -> int:
        """Rows that the windows of all environments need."""
        return self.steps * self.stride

    def after(
        self, rows: Indices, episodes: Episodes, discount: Float32
    ) -> Iterator[tuple[Indices, Float32]]:
        """Follows the windows that begin in `rows` [B], from their second step on.

        Yields `steps` − 1 times the rows [B] of the next step, and what its rewards count [B]:
        γʲ, or 0 where the window ends before; such a window stays in its last row. In the end
        `discount` [B] holds γᵏ.
        """
        capacity = len(episodes.ended)
        newer = (
            episodes.env_steps - 1 - rows
        ) % capacity  # transitions since, of all environments
        goes_on = np.ones(len(rows), dtype=bool)
        length = np.ones(len(rows), dtype=np.int64)
        powers = (self.gamma ** np.arange(self.steps + 1)).astype(np.float32)
        for step in range(1, self.steps):
            goes_on &= episodes.ended[rows] == 0.0
            # After the newest row comes the oldest, which has nothing to do with it.
            goes_on &= newer >= step * self.stride
            rows = np.where(goes_on, (rows + self.stride) % capacity, rows)
            length += goes_on
            yield rows, powers[step] * goes_on
        powers.take(length, out=discount, mode="clip")
