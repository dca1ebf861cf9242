# SPDX-License-Identifier: BSD-3-Clause
"""The per-layer report: what each layer computes, by which algorithm and why, how fast against the machine.

`measure` takes the numbers; `table` and `reasons` make text of them.
"""

from __future__ import annotations  # the types of _core exist for the type checker only

import copy
import math
import statistics
import textwrap
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np

import fastconv
from fastconv import _core, nn
from fastconv._trace import Call, trace
from fastconv.data.dataset import Array
from fastconv.ops._check import LAYOUTS_OF
from fastconv.ops.conv import check_problem as convolution_problem
from fastconv.ops.linear import check_problem as linear_problem

WIDTH = 110
REPEATS = 7
FLOPS_PER_MAC = 2
PASSES: dict[_core.Pass, str] = {
    "forward": "forward",
    "backward_data": "d input",
    "backward_weights": "d weights",
}


class Choice(NamedTuple):
    """The algorithm of one pass, the exact form of it that runs, and why."""

    algorithm: str
    variant: str
    reason: str


@dataclass(frozen=True)
class LayerReport:
    """One layer at work on one batch.

    output_shape: without the batch axis.
    macs: multiply-accumulates of one forward pass over the batch; 0 for a layer that is not a convolution or
        a dense layer.
    choices: for each pass that training runs, what was chosen; empty for other layers.
    forward_seconds, backward_seconds: medians; backward is None where nothing is to be differentiated.
    """

    name: str
    output_shape: tuple[int, ...]
    parameters: int
    macs: int
    choices: dict[_core.Pass, Choice]
    forward_seconds: float
    backward_seconds: float | None

    @property
    def forward_flops(self) -> int:
        return FLOPS_PER_MAC * self.macs

    @property
    def backward_flops(self) -> int:
        """A backward pass costs what the forward pass does."""
        return self.forward_flops * sum(pass_ != "forward" for pass_ in self.choices)


class Report(NamedTuple):
    """peak: measured FLOP/s that all threads together can do."""

    layers: list[LayerReport]
    batch: int
    threads: int
    peak: float


def choices(model: nn.Module, images: Array) -> dict[str, dict[_core.Pass, Choice]]:
    """For each layer that convolves: the algorithm of each pass of a training step on images (N, C, H, W).

    Raises ValueError where an algorithm was asked for that does not apply to one of the passes.

    >>> from fastconv import models
    >>> passes = choices(models.build("lenet"), np.zeros((8, 1, 28, 28), np.float32))
    >>> list(passes["conv1"]), list(passes["conv2"])
    (['forward', 'backward_weights'], ['forward', 'backward_data', 'backward_weights'])
    """
    plans = {call.name: _plans(call, needs_data(call, images)) for call in trace(model, images)}
    return {name: _choices(passes) for name, passes in plans.items() if passes}


def measure(model: nn.Module, images: Array) -> Report:
    """Time every layer of `model`, forward and backward, as in a training step on images (N, C, H, W).

    The model itself is left as it is. The multiply-accumulates of Winograd are counted as those of the direct
    sum, so that its percentage of the peak may exceed 100.

    >>> from fastconv import models
    >>> report = measure(models.build("lenet"), np.zeros((8, 1, 28, 28), np.float32))
    >>> report.layers[0].name, report.layers[0].output_shape, report.layers[0].macs
    ('conv1', (6, 28, 28), 940800)
    """
    model = copy.deepcopy(model).train()
    layers = [_measure_layer(call, needs_data(call, images)) for call in trace(model, images)]
    threads = fastconv.get_num_threads()
    return Report(layers, len(images), threads, _core.measure_peak(images.dtype.name) * threads)


def needs_data(call: Call, images: Array) -> bool:
    """Whether training asks for the gradient of the layer's input: not where that is the images."""
    return not np.may_share_memory(call.input, images)


def _measure_layer(call: Call, needs_data: bool) -> LayerReport:
    forward, backward = _time_layer(call, needs_data)
    plans = _plans(call, needs_data)
    return LayerReport(
        name=call.name,
        output_shape=call.output.shape[1:],
        parameters=sum(p.numel() for p in call.layer.parameters()),
        macs=plans["forward"].multiply_accumulates if plans else 0,
        choices=_choices(plans),
        forward_seconds=forward,
        backward_seconds=backward,
    )


def _choices(plans: dict[_core.Pass, _core.ConvPlan]) -> dict[_core.Pass, Choice]:
    return {pass_: Choice(plan.algorithm, plan.variant, plan.reason) for pass_, plan in plans.items()}


def _plans(call: Call, needs_data: bool) -> dict[_core.Pass, _core.ConvPlan]:
    """What the core runs for each pass of a layer; empty for one that neither convolves nor multiplies."""
    problem = problem_of(call)
    passes = [pass_ for pass_ in PASSES if needs_data or pass_ != "backward_data"] if problem else []
    return {pass_: problem.plan(pass_) for pass_ in passes}


def problem_of(call: Call) -> Any:
    """What the layer asks of the core, with a `plan` for each pass; None if it asks for no convolution."""
    layer = call.layer
    if isinstance(layer, (nn.Conv1d, nn.Conv2d, nn.Conv3d)):
        return convolution_problem(
            call.input,
            layer.weight.numpy(),
            layer.stride,
            layer.padding,
            layer.dilation,
            layer.groups,
            layer.padding_mode,
            LAYOUTS_OF[layer.axes][0],
            layer.algorithm,
            layer.axes,
        )
    if isinstance(layer, nn.Linear):
        return linear_problem(call.input, layer.weight.numpy())
    return None


def _time_layer(call: Call, needs_data: bool) -> tuple[float, float | None]:
    """Median seconds of forward and of backward."""
    x = fastconv.tensor(call.input, requires_grad=needs_data)
    gradient = fastconv.tensor(np.ones_like(call.output))
    forward, backward = [], []
    for _ in range(REPEATS):
        seconds, y = _timed(partial(call.layer, x))
        forward.append(seconds)
        if y.requires_grad:
            backward.append(_timed(partial(y.backward, gradient))[0])
    return statistics.median(forward), statistics.median(backward) if backward else None


def _timed(action: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = action()
    return time.perf_counter() - start, result


# ---- text ------------------------------------------------------------------------------------------------

GROUPS = (("", 3), ("MACs", 1), ("algorithm", 3), ("ms", 2), ("% of peak", 2))
HEADS = ("layer", "output", "params", "per image", *PASSES.values(), "fwd", "bwd", "fwd", "bwd")
LEFT_ALIGNED = {0, 1, 4, 5, 6}
GAP = "  "


def describe(report: Report) -> str:
    """The whole report as text of at most WIDTH columns, for names of a usual length."""
    plural = "s" if report.threads > 1 else ""
    head = (
        f"One training step on {report.batch} images: {report.threads} thread{plural}, {_core.isa()}, "
        f"measured peak {report.peak / 1e9:,.0f} GFLOP/s"
    )
    return "\n".join([head, "", table(report), "", "Why these algorithms", "", reasons(report)])


def table(report: Report) -> str:
    """One aligned row per layer, and one for all."""
    cells = [HEADS, *(_row(layer, report) for layer in report.layers), _total_row(report)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(HEADS))]
    groups = _group_heads(widths)
    head, *rows, total = (_aligned(row, widths) for row in cells)
    rule = "─" * (sum(widths) + len(GAP) * (len(widths) - 1))
    return "\n".join([groups, head, rule, *rows, rule, total])


def _group_heads(widths: list[int]) -> str:
    """The line above the heads. Widens the last column of a group that is narrower than its name."""
    parts, start = [], 0
    for name, count in GROUPS:
        end = start + count
        span = sum(widths[start:end]) + len(GAP) * (count - 1)
        widths[end - 1] += max(0, len(name) - span)
        span = max(span, len(name))
        parts.append(name.ljust(span) if start in LEFT_ALIGNED else name.rjust(span))
        start = end
    return GAP.join(parts).rstrip()


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = (
        cell.ljust(width) if column in LEFT_ALIGNED else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(row, widths, strict=True))
    )
    return GAP.join(cells).rstrip()


def _row(layer: LayerReport, report: Report) -> tuple[str, ...]:
    return (
        layer.name,
        "x".join(map(str, layer.output_shape)),
        f"{layer.parameters:,}" if layer.parameters else "-",
        f"{layer.macs // report.batch:,}" if layer.macs else "-",
        *(layer.choices[pass_].algorithm if pass_ in layer.choices else "-" for pass_ in PASSES),
        _milliseconds(layer.forward_seconds),
        _milliseconds(layer.backward_seconds),
        _percent(layer.forward_flops, layer.forward_seconds, report.peak),
        _percent(layer.backward_flops, layer.backward_seconds, report.peak),
    )


def _total_row(report: Report) -> tuple[str, ...]:
    layers = report.layers
    forward = math.fsum(layer.forward_seconds for layer in layers)
    backward = math.fsum(layer.backward_seconds or 0.0 for layer in layers)
    return (
        "all",
        "",
        f"{sum(layer.parameters for layer in layers):,}",
        f"{sum(layer.macs for layer in layers) // report.batch:,}",
        *[""] * len(PASSES),
        _milliseconds(forward),
        _milliseconds(backward),
        _percent(sum(layer.forward_flops for layer in layers), forward, report.peak),
        _percent(sum(layer.backward_flops for layer in layers), backward, report.peak),
    )


def _milliseconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1e3:.2f}"


def _percent(flops: int, seconds: float | None, peak: float) -> str:
    return f"{100 * flops / (seconds * peak):.0f}" if flops and seconds else "-"


def reasons(report: Report) -> str:
    """For each layer and choice: the passes it was made for, what was chosen, and why."""
    rows = [
        (layer.name if first else "", ", ".join(PASSES[pass_] for pass_ in passes), choice)
        for layer in report.layers
        for first, (choice, passes) in _by_choice(layer)
    ]
    widths = [max((len(row[column]) for row in rows), default=0) for column in (0, 1)]
    return "\n".join(_reason(*row, *widths) for row in rows)


def _by_choice(layer: LayerReport) -> list[tuple[bool, tuple[Choice, list[_core.Pass]]]]:
    """The choices of a layer, each once with its passes; True marks the first."""
    passes: dict[Choice, list[_core.Pass]] = {}
    for pass_, choice in layer.choices.items():
        passes.setdefault(choice, []).append(pass_)
    return [(index == 0, item) for index, item in enumerate(passes.items())]


def _reason(name: str, passes: str, choice: Choice, name_width: int, passes_width: int) -> str:
    indent = f"{name:{name_width}}{GAP}{passes:{passes_width}}{GAP}"
    text = f"{choice.algorithm} {choice.variant}: {choice.reason}"
    return textwrap.fill(text, WIDTH, initial_indent=indent, subsequent_indent=" " * (len(indent) + 2))
