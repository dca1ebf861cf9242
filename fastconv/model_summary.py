# SPDX-License-Identifier: BSD-3-Clause
"""What a model consists of and what one forward pass takes, layer by layer. fastconv.summary is `summary`."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from fastconv import nn
from fastconv._table import aligned, rule
from fastconv._trace import Call, trace
from fastconv.data.dataset import Array
from fastconv.errors import ShapeError
from fastconv.ops._check import integer, shown
from fastconv.random import get_rng_state, set_rng_state
from fastconv.report import problem_of
from fastconv.train.loop import evaluating

Shape = tuple[int, ...]


class Row(NamedTuple):
    """One layer in one forward pass.

    name: its path in the model; kind: its class. calls: which use of the layer this is, from 1; 0 if it is not used.
    output_shape: with the batch; () for a layer that is not used.
    parameters, trainable, parameter_bytes: of the layer itself, and 0 in every use after the first.
    macs: multiply-accumulates over the batch. activation_bytes: of the output.
    algorithm: what the convolution runs on, such as "winograd F(4x4,3x3)"; else "".
    """

    name: str
    kind: str
    calls: int
    output_shape: Shape
    parameters: int
    trainable: int
    macs: int
    activation_bytes: int
    parameter_bytes: int
    algorithm: str


class Summary:
    """What `summary` found: rows, and sums over them as attributes; text by str() or print().

    Activations are the results of the layers; what a model computes between layers, such as sums, is not counted.
    """

    def __init__(self, model: str, input_shapes: list[Shape], input_bytes: int, rows: list[Row]) -> None:
        self.model = model
        self.input_shapes = input_shapes
        self.input_bytes = input_bytes
        self.rows = rows

    parameters = property(lambda self: self._sum("parameters"))
    trainable = property(lambda self: self._sum("trainable"))
    macs = property(lambda self: self._sum("macs"))
    activation_bytes = property(lambda self: self._sum("activation_bytes"))
    parameter_bytes = property(lambda self: self._sum("parameter_bytes"))

    def _sum(self, field: str) -> int:
        return sum(getattr(row, field) for row in self.rows)

    def as_dict(self) -> dict[str, Any]:
        """Everything as words, numbers, lists and dicts, which can be written as JSON."""
        totals = ("input_bytes", "parameters", "trainable", "macs", "activation_bytes", "parameter_bytes")
        return {
            "model": self.model,
            "input_shapes": [list(shape) for shape in self.input_shapes],
            "rows": [row._asdict() | {"output_shape": list(row.output_shape)} for row in self.rows],
            **{name: getattr(self, name) for name in totals},
        }

    def __str__(self) -> str:
        return _text(self)

    __repr__ = __str__


def summary(model: nn.Module, input_shape: Sequence[Any], *, batch_size: int = 1) -> Summary:
    """List the layers of `model`: output shapes, parameters, multiply-accumulates, memory, algorithms.

    input_shape: of one sample, without the batch, such as (C, H, W); or a list of shapes for a model
        with several inputs.
    batch_size: how many samples go through.

    Each layer without sub-layers has a row for each use of it, in order, and so has a layer with sub-layers that has
    parameters of its own; layers that are not used come last. The model runs once, on zeros, in evaluation mode, and is
    left as it was.

    Raises TypeError for what is no module, and ShapeError for a shape that the model cannot take.

    >>> from fastconv import models
    >>> found = summary(models.build("lenet"), (1, 28, 28))
    >>> found.parameters, found.macs, found.rows[0].output_shape
    (61706, 416520, (1, 6, 28, 28))
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a fastconv.nn.Module, got {shown(model)}")
    batch = integer("batch_size", batch_size, 1)
    dtype = next((p.dtype for p in model.parameters()), np.dtype(np.float32))
    inputs = [np.zeros((batch, *shape), dtype) for shape in _shapes(input_shape)]
    with _untouched(model), np.errstate(all="ignore"):
        calls = _calls(model, inputs)
    return Summary(type(model).__name__, [x.shape for x in inputs], sum(x.nbytes for x in inputs), _rows(model, calls))


def _shapes(given: Any) -> list[Shape]:
    """The shape of each input."""
    if isinstance(given, (list, tuple)) and given and all(isinstance(part, (list, tuple)) for part in given):
        return [shape for part in given for shape in _shapes(part)]
    if not isinstance(given, (list, tuple)):
        raise TypeError(f"input_shape must be a tuple such as (3, 32, 32), got {shown(given)}")
    try:
        return [tuple(integer(f"input_shape[{i}]", n, 1) for i, n in enumerate(given))]
    except ValueError as error:
        raise ShapeError(str(error)) from None


@contextmanager
def _untouched(model: nn.Module) -> Iterator[None]:
    """Evaluation mode; afterwards modes, buffers and the generator of random numbers are what they were."""
    buffers = [(module, copy.deepcopy(module._buffers)) for module in model.modules()]
    state = dict(get_rng_state())
    try:
        with evaluating(model):
            yield
    finally:
        set_rng_state(state)
        for module, kept in buffers:
            module._buffers.clear()
            module._buffers.update(kept)


def _calls(model: nn.Module, inputs: list[Array]) -> list[Call]:
    try:
        return trace(model, *inputs, which=_has_row)
    except ShapeError as error:
        error.add_note("input_shape is that of one sample, without the batch: batch_size sets that")
        raise


def _has_row(module: nn.Module) -> bool:
    """Whether it is a layer without sub-layers, or has parameters of its own."""
    return not any(True for _ in module.children()) or any(True for _ in module.parameters(recurse=False))


def _rows(model: nn.Module, calls: list[Call]) -> list[Row]:
    """A row for each call, then for each layer that was not called; each parameter is counted once."""
    uses: dict[nn.Module, int] = {}
    counted: set[int] = set()
    rows = []
    for call in calls:
        uses[call.layer] = uses.get(call.layer, 0) + 1
        rows.append(_row(call.name, call.layer, uses[call.layer], call, counted))
    idle = [(name, layer) for name, layer in model.named_modules() if _has_row(layer) and layer not in uses]
    return rows + [_row(name, layer, 0, None, counted) for name, layer in idle]


def _row(name: str, layer: nn.Module, use: int, call: Call | None, counted: set[int]) -> Row:
    own = [p for p in layer.parameters(recurse=False) if id(p) not in counted]
    counted.update(id(p) for p in own)
    return Row(
        name=name,
        kind=type(layer).__name__,
        calls=use,
        output_shape=call.output.shape if call else (),
        parameters=sum(p.numel() for p in own),
        trainable=sum(p.numel() for p in own if p.requires_grad),
        macs=_macs(call) if call else 0,
        activation_bytes=call.output.nbytes if call else 0,
        parameter_bytes=sum(p.numpy().nbytes for p in own),
        algorithm=_algorithm(call) if call else "",
    )


def _macs(call: Call) -> int:
    """Of layers whose outputs are sums of products with weights; windows that reach into the padding count whole."""
    layer: Any = call.layer
    if isinstance(layer, nn.Linear):
        return call.output.size * int(layer.in_features)
    if not hasattr(layer, "in_channels") or not hasattr(layer, "kernel_size"):
        return 0
    transposed = type(layer).__name__.startswith("ConvTranspose")    # every input meets weights
    channels = (layer.out_channels if transposed else layer.in_channels) // getattr(layer, "groups", 1)
    return (call.input if transposed else call.output).size * int(channels * math.prod(layer.kernel_size))


def _algorithm(call: Call) -> str:
    if "Conv" not in type(call.layer).__name__:
        return ""
    problem = problem_of(call)
    if problem is None:
        return ""
    plan = problem.plan("forward")
    return f"{plan.algorithm} {plan.variant}".strip()


# ---- text ------------------------------------------------------------------------------------------------

HEADS = ("layer", "kind", "output", "params", "MACs", "output KiB", "params KiB", "algorithm")
LEFT_ALIGNED = {0, 1, 2, 7}


def _text(found: Summary) -> str:
    """The table, and the sums below it."""
    total = Row("all", "", 0, (), found.parameters, found.trainable, found.macs, found.activation_bytes,
                found.parameter_bytes, "")
    cells = [HEADS, *map(_cells, found.rows), _cells(total)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(HEADS))]
    head, *rows, last = (aligned(row, widths, LEFT_ALIGNED) for row in cells)
    shapes = ", ".join(_shape(shape) for shape in found.input_shapes)
    frozen = found.parameters - found.trainable
    foot = (
        f"{found.parameters:,} parameters, {found.trainable:,} to be trained{f', {frozen:,} not' if frozen else ''}; "
        f"{found.macs:,} multiply-accumulates\n"
        f"memory: input {_kib(found.input_bytes)} KiB, outputs of layers {_kib(found.activation_bytes)} KiB, "
        f"parameters {_kib(found.parameter_bytes)} KiB"
    )
    return "\n".join([f"{found.model}, input {shapes}", "", head, rule(widths), *rows, rule(widths), last, "", foot])


def _cells(row: Row) -> tuple[str, ...]:
    again = {0: " (not used)", 1: ""}.get(row.calls, f" (use {row.calls})") if row.kind else ""
    return (
        row.name or row.kind,
        f"{row.kind}{again}",
        _shape(row.output_shape),
        f"{row.parameters:,}" if row.parameters else "-",
        f"{row.macs:,}" if row.macs else "-",
        _kib(row.activation_bytes) if row.activation_bytes else "-",
        _kib(row.parameter_bytes) if row.parameter_bytes else "-",
        row.algorithm,
    )


def _shape(shape: Shape) -> str:
    return "x".join(map(str, shape))


def _kib(size: int) -> str:
    return f"{size / 1024:,.1f}"
