# SPDX-License-Identifier: Apache-2.0
"""Replays the tensor operations of a function that does the same ones each time."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from functools import cache
from operator import getitem
from typing import Any

import torch
from torch import Tensor, fx

Tensors = tuple[Tensor, ...]

aten = torch.ops.aten
_LIKE = (aten.ones_like.default, aten.zeros_like.default)
_WITH_A_NUMBER = (
    *(aten.add.Tensor, aten.div.Tensor, aten.mul.Tensor, aten.sub.Tensor),
    *(aten.add.Scalar, aten.div.Scalar, aten.mul.Scalar, aten.sub.Scalar),
)


class CapturedGraph:
    """Calls a function of tensors, from the third call on by replaying what it did.

    For networks as small as ours most of an update's time is Python, autograd's bookkeeping and
    the optimisers' wrappers, not arithmetic. All of it leads to the same few hundred operations
    each time, gradients and optimiser steps included. So they are recorded while the function runs
    (`make_fx`), and from then on TorchScript's interpreter runs that list: the same operations on
    the same memory in the same order, hence the same numbers bit for bit, at two to three times
    the rate. Nothing is compiled to machine code, and no gradient is derived by hand.

    torch promises none of this: where its version does otherwise, as a trial with a small function
    shows, a warning names it and the function itself is called each time.

    The function must

    * do the same operations whatever the values are: no branch on a tensor, no `.item()`;
    * keep its state in tensors that it changes in place, and never replace them
      (`forget` where that happens);
    * be called with tensors of the same shapes; those of other shapes are served by the function
      itself.

    Random draws are operations too: replayed ones go on in torch's stream of random numbers.
    """

    def __init__(self, function: Callable[..., Tensors]) -> None:
        """Records nothing yet.

        Args:
            function: takes tensors and returns a tuple of tensors without gradient.
        """
        self._function = function
        self.forget()

    def forget(self) -> None:
        """Drops the recording: the next calls run the function and record it again."""
        self._shapes: tuple[torch.Size, ...] | None = None
        self._program: Callable[..., Tensors] | None = None

    @property
    def recorded(self) -> bool:
        """Whether calls are replayed by now."""
        return self._program is not None

    def __call__(self, *inputs: Tensor) -> Tensors:
        """The function's result for `inputs`; each call does its work exactly once."""
        shapes = tuple(each.shape for each in inputs)
        if self._shapes is None:
            # The first call may set up what the later ones find there, such as Adam's moments.
            self._shapes = shapes
            if reason := why_not():
                warnings.warn(reason, RuntimeWarning, stacklevel=2)
            return self._function(*inputs)
        if shapes != self._shapes or why_not():
            return self._function(*inputs)
        if self._program is None:
            self._program, result = _recorded(self._function, inputs)
            return result
        return _replay(self._program, inputs)


@cache
def why_not() -> str:
    """Why this version of torch cannot record and replay, in a sentence; empty: it can."""
    try:
        right = _trial(replayed=True) == _trial(replayed=False)
    except Exception as error:  # whatever another version of torch raises
        found = f"{type(error).__name__}: {error}"
    else:
        found = "" if right else "other numbers than those of the operations themselves"
    return found and (
        f"torch {torch.__version__} does not replay recorded updates ({found}); their operations "
        "are called one by one instead, at less than half the rate"
    )


def _trial(*, replayed: bool) -> list[float]:
    """Five steps of Adam down the square of three numbers, the last four of them replayed."""
    values = torch.tensor([1.0, -2.0, 3.0])
    parameter = torch.nn.Parameter(values)
    rate = torch.tensor(0.1, dtype=torch.float64)
    adam = torch.optim.Adam([parameter], lr=rate, fused=True)

    def step(wanted: Tensor) -> Tensors:
        loss = (0.5 * (parameter - wanted).square()).mean()
        (parameter.grad,) = torch.autograd.grad(loss, [parameter])
        adam.step()
        return (loss.detach(),)

    wanted = torch.tensor([0.5, 0.5, 0.5])
    losses = [step(wanted)]
    program, loss = _recorded(step, (wanted,)) if replayed else (None, step(wanted))
    losses.append(loss)
    for _ in range(3):
        losses.append(step(wanted) if program is None else _replay(program, (wanted,)))
    return [*(float(each) for each, *_ in losses), *values.tolist()]


def _recorded(
    function: Callable[..., Tensors], inputs: Tensors
) -> tuple[Callable[..., Tensors], Tensors]:
    """The program of the operations that a function does, and its result: it runs once."""
    from torch.fx.experimental.proxy_tensor import make_fx  # noqa: PLC0415  may be elsewhere

    result: Tensors = ()

    def traced(*tensors: Tensor) -> Tensors:
        nonlocal result
        result = tuple(function(*tensors))  # no subclass: it would be recorded too
        return result

    return _program(make_fx(traced, tracing_mode="real")(*inputs)), result


def _replay(program: Callable[..., Tensors], inputs: Tensors) -> Tensors:
    from torch.jit._fuser import optimized_execution  # noqa: PLC0415  likewise

    # Without TorchScript's optimiser: it would fuse operations, and round otherwise.
    with torch.inference_mode(), optimized_execution(False):
        return program(*inputs)


def _program(recording: fx.GraphModule) -> Callable[..., Tensors]:
    """The recording as a TorchScript function; the tensors it holds are its last arguments."""
    inputs: list[str] = []
    lines: list[str] = []
    result, changed = "", ""
    held = _held(recording)
    names = {node: str(node.name) for node in recording.graph.nodes}
    tensors = {names[node]: tensor for node, tensor in held.items()}
    for node in recording.graph.nodes:
        name = names[node]
        if node.op == "placeholder":
            inputs.append(name)
        elif node.op == "output":
            result = "".join(f"{names[each]}, " for each in node.args[0])
        elif node in held:
            continue
        elif node.target is getitem:
            lines.append(f"{name} = {names[node.args[0]]}[{node.args[1]}]")
        elif (same := _same(node)) is not None:
            names[node] = names[same]
        elif node.target.namespace != "profiler":
            arguments = [_literal(each, names) for each in node.args]
            if (number := _number(node)) is not None:
                arguments[1] = f"{name}_number"
                tensors[arguments[1]] = number
            if not node.target._schema.returns:
                # It changes the tensors of its first list. TorchScript sees no use in that, and
                # drops the operation, unless the list is read in the end.
                lines.append(f"{name} = {arguments[0]}")
                changed += f"{name}, "
                arguments[0] = name
            keywords = [f"{key}={_literal(each, names)}" for key, each in node.kwargs.items()]
            call = f"{_operation(node)}({', '.join(arguments + keywords)})"
            lines.append(f"{name} = {call}" if node.target._schema.returns else call)
    body = "\n    ".join([*lines, f"return ({result}), ({changed})"])
    used = set(re.findall(r"\w+", body))
    tensors = {name: tensor for name, tensor in tensors.items() if name in used}
    parameters = ", ".join(f"{name}: Tensor" for name in [*inputs, *tensors])
    program = torch.jit.CompilationUnit(f"def program({parameters}):\n    {body}\n").program
    return lambda *arguments: program(*arguments, *tensors.values())[0]


@torch.no_grad()
def _held(recording: fx.GraphModule) -> dict[fx.Node, Tensor]:
    """What is the same tensor each time: the state, views of it, and what follows from constants.

    A third of an update's operations are such, as transposed weights and the gradient of a mean.
    """
    nodes: list[Any] = list(recording.graph.nodes)
    written: set[fx.Node] = set()
    for node in reversed(nodes):
        if _calls(node) and (node.target._schema.is_mutable or (node in written and _views(node))):
            written.update(node.all_input_nodes)
    held: dict[Any, Tensor] = {}
    constants: set[fx.Node] = set()
    for node in nodes:
        if node.op == "get_attr":
            held[node] = getattr(recording, str(node.target)).detach()
        if not _calls(node) or node.target._schema.is_mutable or node.target.namespace != "aten":
            continue
        arguments, sources = node.args, node.all_input_nodes
        if node.target in _LIKE:
            like = node.meta["val"]
            arguments = (torch.empty(like.shape, dtype=like.dtype, device=like.device),)
            sources = []
        constant = node not in written and all(each in constants for each in sources)
        constant = constant and torch.Tag.nondeterministic_seeded not in node.target.tags
        if constant or (_views(node) and all(each in held for each in sources)):
            arguments = fx.node.map_arg(arguments, held.__getitem__)
            value = node.target(*arguments, **fx.node.map_arg(node.kwargs, held.__getitem__))
            if isinstance(value, Tensor):
                held[node] = value
                constants.update({node} if constant else ())
    return held


def _calls(node: Any) -> bool:
    return node.op == "call_function" and isinstance(node.target, torch._ops.OpOverload)


def _views(node: Any) -> bool:
    """Whether the result is the memory of an argument, seen otherwise."""
    found = [each.alias_info for each in node.target._schema.returns]
    return all(each is not None and not each.is_write for each in found)


def _same(node: Any) -> fx.Node | None:
    """What the result is the same as: that of x.detach(), of x.t().t() and of x¹ is x."""
    of: Any = node.args[0] if node.args else None
    again = node.target is aten.t.default and of.target is aten.t.default
    if again:
        of = of.args[0]
    first = node.target is aten.pow.Tensor_Scalar and node.args[1] == 1.0
    found: fx.Node | None = of if again or first or node.target is aten.detach.default else None
    return found


def _number(node: fx.Node) -> Tensor | None:
    """The number by which a tensor is multiplied or the like, as a tensor.

    Else torch would make one each time, at the cost of the operation itself.
    """
    if node.target not in _WITH_A_NUMBER or not isinstance(node.args[1], (int, float)):
        return None
    dtype: torch.dtype = node.meta["tensor_meta"].dtype
    return torch.tensor(node.args[1], dtype=dtype) if dtype.is_floating_point else None


def _operation(node: fx.Node) -> str:
    operation = node.target
    assert isinstance(operation, torch._ops.OpOverload)
    return f"torch.ops.{operation.namespace}.{operation._opname}"


def _literal(value: Any, names: dict[fx.Node, str]) -> str:
    """An argument as TorchScript source."""
    if isinstance(value, fx.Node):
        return names[value]
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_literal(each, names) for each in value)}]"
    if isinstance(value, torch.device):
        return f"torch.device({str(value)!r})"
    return repr(value)
