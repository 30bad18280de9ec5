# SPDX-License-Identifier: Apache-2.0
"""The matrix products of one SAC update and nothing else: what no update can beat."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Product:
    """`count` independent [rows, inner] x [inner, columns] products in one call."""

    count: int
    rows: int
    inner: int
    columns: int

    @property
    def flop(self) -> int:
        """A multiplication and an addition for each element of each inner product."""
        return 2 * self.count * self.rows * self.inner * self.columns


def products_of_update(
    observation: int, action: int, hidden: Sequence[int], batch: int, *, value_function: bool
) -> list[Product]:
    """Every product of one update, in the variant with or without a value network.

    As an update has to do them: a frozen critic gets no weight gradient in the actor's step, and
    the first layer of a network passes no gradient on, unless to an action.
    """
    actor = _Network(1, [observation, *hidden, 2 * action], batch)
    critics = _Network(2, [observation + action, *hidden, 1], batch)
    value = _Network(1, [observation, *hidden, 1], batch)
    learned = [
        *critics.forward(),
        *critics.weight_gradients(),
        *critics.input_gradients(to_input=False),
        *actor.forward(),
        *critics.forward(),
        *critics.input_gradients(to_input=True),
        *actor.weight_gradients(),
        *actor.input_gradients(to_input=False),
    ]
    if not value_function:
        return [*actor.forward(), *critics.forward(), *learned]
    return [
        *value.forward(),
        *learned,
        *value.forward(),
        *value.weight_gradients(),
        *value.input_gradients(to_input=False),
    ]


def matrix_work(products: Sequence[Product]) -> Callable[[], None]:
    """A function that computes all `products` once, into memory that exists already.

    A product with a single column or a single inner element is one of vectors. Matrix libraries
    run those at a fiftieth of their rate; the bound is to be the lowest, so they are left out.
    """
    operands = []
    for each in products:
        if each.columns == 1 or each.inner == 1:
            continue
        left = torch.randn(each.count, each.rows, each.inner)
        right = torch.randn(each.count, each.inner, each.columns)
        out = torch.empty(each.count, each.rows, each.columns)
        single = each.count == 1
        operands.append((left[0], right[0], out[0]) if single else (left, right, out))

    def work() -> None:
        for left, right, out in operands:
            torch.matmul(left, right, out=out)

    return work


@dataclass(frozen=True)
class _Network:
    """`count` networks side by side with layers of these `sizes`."""

    count: int
    sizes: list[int]
    batch: int

    def _layers(self) -> list[tuple[int, int]]:
        return list(zip(self.sizes[:-1], self.sizes[1:], strict=True))

    def forward(self) -> list[Product]:
        return [Product(self.count, self.batch, i, o) for i, o in self._layers()]

    def weight_gradients(self) -> list[Product]:
        return [Product(self.count, i, self.batch, o) for i, o in self._layers()]

    def input_gradients(self, *, to_input: bool) -> list[Product]:
        layers = self._layers() if to_input else self._layers()[1:]
        return [Product(self.count, self.batch, o, i) for i, o in layers]
