# SPDX-License-Identifier: BSD-3-Clause
"""How a layer or a model is computed, why, how fast by every algorithm that applies, and with which error.

fastconv.explain is `explain`. The command `fastconv explain` reads a layer with `parse` first.
"""

from __future__ import annotations  # the types of _core exist for the type checker only

import re
import textwrap
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

import fastconv
from fastconv import _core, nn
from fastconv._trace import Call, trace
from fastconv.bench.shapes import ConvRow, convolutions
from fastconv.bench.timing import interleave
from fastconv.data.dataset import Array
from fastconv.errors import ShapeError
from fastconv.ops._algorithm import Choice
from fastconv.report import PASSES, needs_data, problem_of

#: What is tried: the names by which the core knows its algorithms.
ALGORITHMS = ("direct", "im2col", "winograd2", "winograd4")
NAMES = {"winograd2": "winograd F(2x2,3x3)", "winograd4": "winograd F(4x4,3x3)"}
#: Seconds of measuring for a pass.
BUDGET = 0.1
WIDTH = 110

#: Winograd's error bound is (terms + this) u W; docs/numerics.md derives it.
EXTRA_TERMS = {"F(2x2,3x3)": 12, "F(4x4,3x3)": 32}
EXTRA_TERMS_OF_WEIGHTS = 48
TILES = {"F(2x2,3x3)": 2, "F(4x4,3x3)": 4}


class Option(NamedTuple):
    """One algorithm for a pass. refusal: why it does not apply, else ""; then the other fields count.

    predicted: seconds on one thread by the cost model, good for ranking; measured: seconds.
    """

    name: str
    chosen: bool
    refusal: str
    predicted: float = 0.0
    measured: float = 0.0
    workspace: int = 0


class PassExplanation(NamedTuple):
    """reason: why the chosen option; bound: of the error of each output."""

    name: str
    reason: str
    options: list[Option]
    bound: str


class LayerExplanation(NamedTuple):
    """macs: of one pass over the batch; bytes: input, weights and output once."""

    name: str
    layer: str
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    macs: int
    bytes: int
    passes: list[PassExplanation]


class Explanation:
    """What `explain` found; as text by str() or print()."""

    def __init__(self, layers: list[LayerExplanation], threads: int, isa: str, peak: float) -> None:
        self.layers = layers
        self.threads = threads
        self.isa = isa
        self.peak = peak

    def __str__(self) -> str:
        plural = "s" if self.threads > 1 else ""
        head = f"{self.threads} thread{plural}, {self.isa}, measured peak {self.peak / 1e9:,.0f} GFLOP/s"
        return "\n\n".join([head, *(_layer_text(layer, self.peak) for layer in self.layers), FOOT])

    __repr__ = __str__


def explain(layer_or_model: nn.Module, input_shape: Sequence[int]) -> Explanation:
    """See fastconv.explain."""
    if not isinstance(layer_or_model, nn.Module):
        raise TypeError(f"layer_or_model must be a fastconv.nn.Module, got {type(layer_or_model).__name__}")
    images = _images(layer_or_model, input_shape)
    calls = [call for call in trace(layer_or_model, images) if problem_of(call)]
    if not calls:
        raise ValueError(f"layer_or_model has no convolution or dense layer to explain: {layer_or_model}")
    single = not any(True for _ in layer_or_model.children())
    layers = [_explain_call(call, single or needs_data(call, images)) for call in calls]
    threads = fastconv.get_num_threads()
    return Explanation(layers, threads, _core.isa(), threads * _core.measure_peak(images.dtype.name))


def _images(model: nn.Module, shape: Sequence[int]) -> Array:
    """Random images of the model's element type: one where the shape has no batch axis."""
    if not all(isinstance(n, (int, np.integer)) and n >= 1 for n in shape):
        raise ShapeError(f"input_shape must be positive integers, got {tuple(shape)}")
    axes = next((m.axes for m in model.modules() if isinstance(m, (nn.Conv1d, nn.Conv2d, nn.Conv3d))), 2)
    sizes = (1, *shape) if len(shape) == axes + 1 else tuple(shape)
    dtype = next((p.numpy().dtype for p in model.parameters()), np.dtype(np.float32))
    return np.random.default_rng(0).standard_normal(sizes).astype(dtype)


def _explain_call(call: Call, data_too: bool) -> LayerExplanation:
    passes = [pass_ for pass_ in PASSES if data_too or pass_ != "backward_data"]
    weight = call.layer.weight.numpy()
    return LayerExplanation(
        name=call.name,
        layer=str(call.layer),
        input_shape=call.input.shape,
        output_shape=call.output.shape,
        macs=problem_of(call).plan("forward").multiply_accumulates,
        bytes=call.input.nbytes + call.output.nbytes + weight.nbytes,
        passes=[_explain_pass(call, pass_) for pass_ in passes],
    )


def _explain_pass(call: Call, pass_: _core.Pass) -> PassExplanation:
    chosen, plans, refusals = _plans(call, pass_)
    seconds = interleave({name: _run(call, pass_, plan) for name, plan in plans.items()}, BUDGET)
    options = [
        Option(name, _same(plan, chosen), "", plan.seconds, seconds[name], plan.workspace_bytes)
        for name, plan in plans.items()
    ]
    options += [Option(name, False, refusal) for name, refusal in _joined(refusals).items()]
    return PassExplanation(PASSES[pass_], chosen.reason, options, _bound(call, pass_, chosen))


def _plans(
    call: Call, pass_: _core.Pass
) -> tuple[_core.ConvPlan, dict[str, _core.ConvPlan], dict[str, str]]:
    """The chosen plan; by name the plan of each algorithm that applies, and why the others do not."""
    problem = problem_of(call)
    chosen = problem.plan(pass_)
    if isinstance(call.layer, nn.Linear):    # has no choice
        return chosen, {_name(chosen): chosen}, {}
    plans: dict[str, _core.ConvPlan] = {}
    refusals: dict[str, str] = {}
    for algorithm in ALGORITHMS:
        try:
            plan = problem._replace(choice=Choice(algorithm, False)).plan(pass_)
        except ValueError as error:
            refusals[NAMES.get(algorithm, algorithm)] = str(error).partition(" does not apply here: ")[2]
        else:
            plans[_name(plan)] = plan
    return chosen, plans, refusals


def _joined(refusals: dict[str, str]) -> dict[str, str]:
    """The two Winograds as one where the same keeps both out."""
    two, four = (refusals.get(name) for name in NAMES.values())
    if two is None or two != four:
        return refusals
    return {**{name: why for name, why in refusals.items() if name not in NAMES.values()}, "winograd": two}


def _name(plan: _core.ConvPlan) -> str:
    return f"{plan.algorithm} {plan.variant}"


def _same(plan: _core.ConvPlan, chosen: _core.ConvPlan) -> bool:
    return _name(plan) == _name(chosen)


def _run(call: Call, pass_: _core.Pass, plan: _core.ConvPlan) -> Callable[[], None]:
    """The pass as a layer runs it: weights packed before forward, whose packing is kept, and in backward-data."""
    weight, last = call.layer.weight.numpy(), isinstance(call.layer, nn.Linear)
    x, y = np.ascontiguousarray(call.input), np.ones_like(call.output, order="C")
    if last:    # a dense layer is a 1x1 convolution over an image of one row
        weight = weight.reshape(*weight.shape, 1, 1)
        x, y = (a.reshape(1, 1, -1, a.shape[-1]) for a in (x, y))
    if pass_ == "forward":
        return partial(plan.forward, x, plan.pack(weight), None, y, last)
    if pass_ == "backward_data":
        border = None if last else problem_of(call).border()
        shape = x.shape if border is None else border.padded_shape(x.shape, 2)    # folded afterwards
        return partial(plan.backward_data, y, weight, np.empty(shape, x.dtype), last)
    return partial(plan.backward_weights, y, x, np.empty(weight.shape, weight.dtype), last)


def _bound(call: Call, pass_: _core.Pass, plan: _core.ConvPlan) -> str:
    """The row of docs/numerics.md for this plan, with its numbers."""
    unit = float(np.finfo(call.input.dtype).eps) / 2
    tile = TILES.get(plan.variant)
    terms = _terms(call, pass_, tile)
    if tile is None:
        k = terms + 1
        return f"gamma_{k} S = {k * unit / (1 - k * unit):.1e} S"
    extra = EXTRA_TERMS_OF_WEIGHTS if pass_ == "backward_weights" else EXTRA_TERMS[plan.variant]
    return f"({terms} + {extra}) u W = {(terms + extra) * unit:.1e} W"


def _terms(call: Call, pass_: _core.Pass, tile: int | None) -> int:
    """How many products each sum adds; for Winograd how many tiles or channels."""
    weight, output = call.layer.weight.shape, call.output.shape
    filters = weight[0] // getattr(call.layer, "groups", 1)
    if pass_ == "backward_weights":
        if isinstance(call.layer, nn.Linear):
            return int(np.prod(output[:-1]))
        depth, plane = output[2:-2], output[2:][-2:]    # tiles are flat
        return int(output[0] * np.prod(depth, dtype=int) * np.prod([-(-n // (tile or 1)) for n in plane], dtype=int))
    channels = weight[1] if pass_ == "forward" else filters
    return int(channels if tile else channels * np.prod(weight[2:], dtype=int))


# ---- text ------------------------------------------------------------------------------------------------

HEADS = ("pass", "algorithm (* = chosen)", "predicted ms", "measured ms", "% of peak", "scratch KiB")
WIDTHS = (9, 34, 12, 11, 9, 11)
GAP = "  "
FOOT = (
    "Predictions are for one thread and rank the algorithms; their scale is rough. Winograd counts as the direct sum, "
    "so it may exceed 100 % of the peak. u is the unit roundoff, S the sum of the magnitudes of an output's terms, W "
    "Winograd's pipeline on magnitudes: docs/numerics.md."
)
FOOT = textwrap.fill(FOOT, WIDTH)


def _layer_text(layer: LayerExplanation, peak: float) -> str:
    title = f"{layer.name}: {layer.layer}" if layer.name else layer.layer
    shapes = f"{_shape(layer.input_shape)} -> {_shape(layer.output_shape)}"
    work = (
        f"each pass {layer.macs:,} multiply-accumulates, {_size(layer.bytes)} read and written once, "
        f"{2 * layer.macs / layer.bytes:.1f} FLOP/byte"
    )
    lines = [*textwrap.wrap(title, WIDTH, subsequent_indent="    "), f"  {shapes}", f"  {work}", "", _columns(HEADS)]
    for pass_ in layer.passes:
        lines += _pass_lines(pass_, layer.macs, peak)
    return "\n".join(lines)


def _pass_lines(pass_: PassExplanation, macs: int, peak: float) -> list[str]:
    ordered = sorted(pass_.options, key=_order)
    rows = [_option_line("" if i else pass_.name, option, macs, peak) for i, option in enumerate(ordered)]
    indent = " " * (WIDTHS[0] + 2 + len(GAP))
    return [*rows, f"{indent}why: {pass_.reason}", f"{indent}error of each output: at most {pass_.bound}"]


def _order(option: Option) -> tuple[bool, bool, float]:
    """The chosen one, the others by measured time, what does not apply."""
    return not option.chosen, bool(option.refusal), option.measured


def _option_line(first: str, option: Option, macs: int, peak: float) -> str:
    name = f"{'*' if option.chosen else ' '} {option.name}"
    if option.refusal:
        return f"{first:{WIDTHS[0]}}{GAP}{name:{WIDTHS[1]}}{GAP}-  {option.refusal}"
    share = 100 * 2 * macs / option.measured / peak
    numbers = f"{option.predicted * 1e3:.3f}", f"{option.measured * 1e3:.3f}", f"{share:.0f}"
    return _columns((first, name, *numbers, f"{option.workspace / 1024:.0f}"))


def _columns(cells: Sequence[str]) -> str:
    parts = zip(cells, WIDTHS, strict=True)
    return GAP.join(c.ljust(w) if i < 2 else c.rjust(w) for i, (c, w) in enumerate(parts)).rstrip()


def _shape(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))


def _size(count: int) -> str:
    return f"{count / 2**20:.1f} MiB" if count >= 2**20 else f"{count / 2**10:.1f} KiB"


# ---- a layer in words ------------------------------------------------------------------------------------

SYNTAX = '"conv2d 64x56x56 -> 128 3x3 stride 2 pad 1 dilation 1 groups 1"'

_NUMBER = r"(\d{1,9})"
_PROBLEM = re.compile(rf"(?:conv2d\s+)?{_NUMBER}x{_NUMBER}x{_NUMBER}\s*->\s*{_NUMBER}\s+{_NUMBER}x{_NUMBER}((?:\s.*)?)")
_OPTION = re.compile(rf"\s+(stride|padding|pad|p|dilation|groups|s|d|g)\s*{_NUMBER}")
_WORDS = {"s": "stride", "pad": "padding", "p": "padding", "d": "dilation", "g": "groups"}


def parse(text: str) -> tuple[nn.Conv2d, tuple[int, int, int]]:
    """The layer that `text` describes, and the (C, H, W) of its images; or a row of shapes.csv by name or id.

    Raises ValueError, saying what is expected, for anything else.

    >>> parse("conv2d 64x56x56 -> 128 3x3 stride 2 pad 1")
    (Conv2d(64, 128, kernel_size=(3, 3), stride=(2, 2), padding=(1, 1)), (64, 56, 56))
    >>> parse("lenet/conv2")
    (Conv2d(6, 16, kernel_size=(5, 5), stride=(1, 1)), (6, 14, 14))
    """
    row = _row(text)
    found = _PROBLEM.fullmatch((row.problem if row else text).strip().lower())
    options = _options(found[7]) if found else None
    if not found or options is None:
        expected = f"a layer such as {SYNTAX}, or a row of the benchmark such as resnet50/conv1"
        raise ValueError(f"got {text!r}, expected {expected}")
    channels, height, width, filters, rows, columns = map(int, found.groups()[:6])
    return nn.Conv2d(channels, filters, (rows, columns), **options), (channels, height, width)


def _row(text: str) -> ConvRow | None:
    rows = [row for row in convolutions() if text.strip().lower() in (row.name.lower(), row.id)]
    return rows[0] if rows else None


def _options(text: str) -> dict[str, Any] | None:
    """The numbers after the kernel by the names of nn.Conv2d; None where the text has anything else, or one twice."""
    if _OPTION.sub("", text).strip():
        return None
    pairs = [(_WORDS.get(word, word), int(value)) for word, value in _OPTION.findall(text)]
    return dict(pairs) if len(dict(pairs)) == len(pairs) else None
