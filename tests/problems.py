# SPDX-License-Identifier: BSD-3-Clause
"""Convolution and pooling problems for the tests: random ones, and those of oneDNN's benchdnn corpora.

Random sizes gather around the places where kernels change gear: blocks of 16 channels and tiles of 14 pixels,
one less and one more. A random problem is drawn by its output size; the input follows, with up to a stride of
pixels that no window reads.

`integer_arrays` fills a problem with integers so small that every sum of every pass is exact in float32: then
all correct implementations agree to the last bit, in any order of summation.

The corpora are not part of the project; they are read from $FASTCONV_TEST_DATA, else ../shared beside the
repository, and absent where that is absent.
"""

import gzip
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from math import isqrt, prod
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pytest

Array = np.ndarray[Any, np.dtype[Any]]
Pair = tuple[int, int]

CHANNELS = (1, 2, 3, 4, 7, 8, 15, 16, 17, 31, 32, 33)
OUTPUTS = (1, 2, 3, 5, 6, 7, 13, 14, 15, 16, 17, 27, 28, 29)
KERNELS = (1, 1, 2, 3, 3, 3, 4, 5, 7)

#: Below this, sums of integers are exact in float32.
EXACT = 2**24


@dataclass(frozen=True)
class ConvProblem:
    """One two-dimensional convolution; cin and cout are totals over the groups."""

    n: int
    groups: int
    cin: int
    cout: int
    h: int
    w: int
    kernel: Pair
    stride: Pair = (1, 1)
    dilation: Pair = (1, 1)
    padding: tuple[Pair, Pair] = ((0, 0), (0, 0))
    name: str = ""

    @property
    def output_size(self) -> Pair:
        height, width = (_outputs(*axis) for axis in self._axes())
        return height, width

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        return (self.cout, self.cin // self.groups, *self.kernel)

    @property
    def multiply_accumulates(self) -> int:
        return self.n * prod(self.output_size) * prod(self.weight_shape)

    @property
    def longest_sum(self) -> int:
        """Terms of the longest sum among forward, backward-data and backward-weights."""
        taps = prod(self.kernel)
        return max(
            self.cin // self.groups * taps, self.cout // self.groups * taps, self.n * prod(self.output_size)
        )

    @property
    def winograd_eligible(self) -> bool:
        return self.kernel == (3, 3) and self.stride == self.dilation == (1, 1) and self.groups == 1

    def x_shape(self, layout: str = "NCHW") -> tuple[int, ...]:
        return in_layout((self.n, self.cin, self.h, self.w), layout)

    def output_shape(self, layout: str = "NCHW") -> tuple[int, ...]:
        return in_layout((self.n, self.cout, *self.output_size), layout)

    def parameters(self) -> dict[str, Any]:
        """The keyword arguments of conv2d and conv2d_backward."""
        return dict(stride=self.stride, padding=self.padding, dilation=self.dilation, groups=self.groups)

    def _axes(self) -> Iterator[tuple[int, int, int, int, int]]:
        sizes = (self.h, self.w)
        for i in (0, 1):
            yield sizes[i], self.kernel[i], self.stride[i], self.dilation[i], sum(self.padding[i])


@dataclass(frozen=True)
class PoolProblem:
    """One two-dimensional pooling. Average pooling needs dilation (1, 1)."""

    n: int
    c: int
    h: int
    w: int
    kernel: Pair
    stride: Pair
    padding: tuple[Pair, Pair] = ((0, 0), (0, 0))
    dilation: Pair = (1, 1)
    ceil_mode: bool = False
    name: str = ""

    @property
    def output_size(self) -> Pair:
        sizes = (self.h, self.w)
        height, width = (
            _pool_outputs(
                sizes[i], self.kernel[i], self.stride[i], self.dilation[i], self.padding[i], self.ceil_mode
            )
            for i in (0, 1)
        )
        return height, width

    def x_shape(self, layout: str = "NCHW") -> tuple[int, ...]:
        return in_layout((self.n, self.c, self.h, self.w), layout)

    def output_shape(self, layout: str = "NCHW") -> tuple[int, ...]:
        return in_layout((self.n, self.c, *self.output_size), layout)

    def parameters(self, kind: str = "max") -> dict[str, Any]:
        """The keyword arguments of max_pool2d or avg_pool2d."""
        shared = dict(
            kernel_size=self.kernel, stride=self.stride, padding=self.padding, ceil_mode=self.ceil_mode
        )
        return shared | {"dilation": self.dilation} if kind == "max" else shared


Problem = TypeVar("Problem", ConvProblem, PoolProblem)


class ConvArrays(NamedTuple):
    x: Array
    weight: Array
    bias: Array
    grad_output: Array


def in_layout(nchw: tuple[int, ...], layout: str) -> tuple[int, ...]:
    n, c, h, w = nchw
    return (n, c, h, w) if layout == "NCHW" else (n, h, w, c)


def _outputs(size: int, kernel: int, stride: int, dilation: int, pads: int) -> int:
    return (size + pads - dilation * (kernel - 1) - 1) // stride + 1


def _pool_outputs(size: int, kernel: int, stride: int, dilation: int, pad: Pair, ceil_mode: bool) -> int:
    span = size + sum(pad) - dilation * (kernel - 1) - 1
    if not ceil_mode:
        return span // stride + 1
    outputs = -(-span // stride) + 1
    return outputs - 1 if (outputs - 1) * stride >= size + pad[0] else outputs


# ---- random problems -------------------------------------------------------------------------------------


def random_conv(rng: np.random.Generator, most_work: int = 2_000_000) -> ConvProblem:
    """A convolution of at most that many multiply-accumulates; one in three is a candidate for Winograd."""
    while True:
        problem = _winograd_candidate(rng) if rng.random() < 1 / 3 else _any_conv(rng)
        if problem.multiply_accumulates <= most_work:
            return problem


def _any_conv(rng: np.random.Generator) -> ConvProblem:
    groups = int(rng.choice([1, 1, 1, 2, 3, 16, 17]))
    most = 64 // groups
    per_group = [int(rng.choice([c for c in CHANNELS if c <= most])) for _ in range(2)]
    axes = [_random_axis(rng) for _ in range(2)]
    return ConvProblem(
        int(rng.integers(1, 4)),
        groups,
        groups * per_group[0],
        groups * per_group[1],
        *(size for size, *_ in axes),
        kernel=(axes[0][1], axes[1][1]),
        stride=(axes[0][2], axes[1][2]),
        dilation=(axes[0][3], axes[1][3]),
        padding=(axes[0][4], axes[1][4]),
    )


def _random_axis(rng: np.random.Generator) -> tuple[int, int, int, int, Pair]:
    """(input size, kernel, stride, dilation, padding) of one axis."""
    kernel = int(rng.choice(KERNELS))
    stride = int(rng.choice([1, 1, 2, 3]))
    dilation = int(rng.choice([1, 1, 1, 2, 3]))
    effective = dilation * (kernel - 1) + 1
    before, after = (int(rng.integers(0, min(effective, 4))) for _ in range(2))
    unread = int(rng.integers(0, stride))
    size = (int(rng.choice(OUTPUTS)) - 1) * stride + effective + unread - before - after
    return max(size, effective - before - after, 1), kernel, stride, dilation, (before, after)


def _winograd_candidate(rng: np.random.Generator) -> ConvProblem:
    cin, cout = (int(rng.choice(CHANNELS)) for _ in range(2))
    pads = [(int(rng.integers(0, 3)), int(rng.integers(0, 3))) for _ in range(2)]
    h, w = (max(int(rng.choice(OUTPUTS)) + 2 - sum(p), 3 - sum(p), 1) for p in pads)
    return ConvProblem(int(rng.integers(1, 4)), 1, cin, cout, h, w, (3, 3), padding=(pads[0], pads[1]))


def random_pool(rng: np.random.Generator) -> PoolProblem:
    """A pooling whose every window reads the input, with dilation (1, 1) half of the time."""
    dilated = bool(rng.random() < 0.5)
    axes = [_random_pool_axis(rng, dilated) for _ in range(2)]
    size, kernel, stride, dilation, padding = zip(*axes, strict=True)
    return PoolProblem(
        int(rng.integers(1, 4)),
        int(rng.choice(CHANNELS)),
        *size,
        kernel=kernel,
        stride=stride,
        padding=padding,
        dilation=dilation,
        ceil_mode=bool(rng.random() < 0.5),
    )


def _random_pool_axis(rng: np.random.Generator, dilated: bool) -> tuple[int, int, int, int, Pair]:
    """(input size, kernel, stride, dilation, padding) of one axis."""
    kernel = int(rng.choice([1, 2, 2, 3, 3, 4, 5]))
    stride = int(rng.choice([1, 2, 2, 3, kernel]))
    dilation = int(rng.choice([2, 3])) if dilated else 1
    effective = dilation * (kernel - 1) + 1
    pad = int(rng.integers(0, effective // 2 + 1)), int(rng.integers(0, effective // 2 + 1))
    size = (int(rng.choice(OUTPUTS)) - 1) * stride + effective - sum(pad) + int(rng.integers(0, stride))
    # An image at least as large as the dilation cannot be stepped over.
    return max(size, effective - sum(pad), dilation), kernel, stride, dilation, pad


# ---- data ------------------------------------------------------------------------------------------------


def integer_arrays(
    problem: ConvProblem, rng: np.random.Generator, dtype: Any = np.float32, layout: str = "NCHW"
) -> ConvArrays:
    """Integers of both signs, such that no sum of any pass reaches 2**24."""
    most = min(isqrt((EXACT - 1) // (problem.longest_sum + 1)), 9)
    if most < 1:
        raise ValueError(f"sums of {problem.longest_sum} terms are not exact in float32")
    return _filled(problem, layout, lambda shape: rng.integers(-most, most + 1, shape).astype(dtype))


def normal_arrays(
    problem: ConvProblem, rng: np.random.Generator, dtype: Any = np.float32, layout: str = "NCHW"
) -> ConvArrays:
    """Samples of N(0, 1)."""
    return _filled(problem, layout, lambda shape: rng.standard_normal(shape).astype(dtype))


def _filled(problem: ConvProblem, layout: str, draw: Any) -> ConvArrays:
    return ConvArrays(
        draw(problem.x_shape(layout)),
        draw(problem.weight_shape),
        draw((problem.cout,)),
        draw(problem.output_shape(layout)),
    )


# ---- corpora ---------------------------------------------------------------------------------------------


def corpus_path(name: str) -> Path:
    root = os.environ.get("FASTCONV_TEST_DATA") or Path(__file__).resolve().parents[2] / "shared"
    return Path(root) / "corpora" / f"{name}.jsonl.gz"


@cache
def corpus(name: str) -> tuple[dict[str, Any], ...] | None:
    """The lines of corpus "conv", "deconv" or "pool" as they are, one to three dimensions; None if absent."""
    path = corpus_path(name)
    if not path.exists():
        return None
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return tuple(json.loads(line) for line in lines)


def require_corpus(name: str) -> tuple[dict[str, Any], ...]:
    """The lines of a corpus; skips the test where it is absent."""
    lines = corpus(name)
    if lines is None:
        pytest.skip(f"no {corpus_path(name)}: set FASTCONV_TEST_DATA to the directory with corpora/")
    return lines


def conv_corpus() -> list[ConvProblem]:
    """The problems of corpus "conv" that have at most two dimensions of extent; skips where it is absent."""
    return [
        p for line in require_corpus("conv") if (p := _conv_of_line(line, line["I"], line["O"])) is not None
    ]


def deconv_corpus() -> list[ConvProblem]:
    """Transposed convolutions, each as the convolution whose backward-data it is; skips where absent."""
    swapped = ({**line, "C": line["K"], "K": line["C"]} for line in require_corpus("deconv"))
    problems = (_conv_of_line(line, line["O"], line["I"]) for line in swapped)
    return [p for p in problems if p is not None]


def pool_corpus() -> list[PoolProblem]:
    """The problems of corpus "pool" that max_pool2d can state; skips where it is absent.

    Left out: three dimensions, and padding beyond half of the kernel.
    """
    problems = (_pool_of_line(line) for line in require_corpus("pool"))
    return [p for p in problems if p is not None]


def _conv_of_line(line: dict[str, Any], sizes: list[int], outputs: list[int]) -> ConvProblem | None:
    axes = _two_axes(line, sizes, outputs)
    if axes is None:
        return None
    size, kernel, stride, dilation, pad_lo, pad_hi, counts = zip(*axes, strict=True)
    padding = (pad_lo[0], pad_hi[0]), (pad_lo[1], pad_hi[1])
    channels = line["groups"], line["C"], line["K"]
    problem = ConvProblem(line["N"], *channels, *size, kernel, stride, dilation, padding, line["name"])
    return _checked(problem, counts)


def _pool_of_line(line: dict[str, Any]) -> PoolProblem | None:
    axes = _two_axes(line, line["I"], line["O"])
    if axes is None or any(max(a.pad_lo, a.pad_hi) > (a.dilation * (a.kernel - 1) + 1) // 2 for a in axes):
        return None
    size, kernel, stride, dilation, pad_lo, pad_hi, counts = zip(*axes, strict=True)
    padding = (pad_lo[0], pad_hi[0]), (pad_lo[1], pad_hi[1])
    problem = PoolProblem(line["N"], line["C"], *size, kernel, stride, padding, dilation, name=line["name"])
    return _checked(problem, counts)


def _checked(problem: Problem, outputs: Pair) -> Problem:
    if problem.output_size != outputs:
        raise ValueError(f"read as {problem}, but the corpus has outputs {outputs}")
    return problem


class _Axis(NamedTuple):
    size: int
    kernel: int
    stride: int
    dilation: int
    pad_lo: int
    pad_hi: int
    outputs: int


def _two_axes(line: dict[str, Any], sizes: list[int], outputs: list[int]) -> tuple[_Axis, _Axis] | None:
    """The problem in two dimensions, without axes of extent 1; None if three are left or nothing is read."""
    columns = (sizes, line["R"], line["stride"], line["dil"], line["pad_l"], line["pad_r"], outputs)
    axes = [_without_negative_padding(_Axis(*column)) for column in zip(*columns, strict=True)]
    axes = [a for a in axes if (a.size, a.kernel, a.pad_lo, a.outputs) != (1, 1, 0, 1)]
    if len(axes) > 2:
        return None
    trivial = _Axis(1, 1, 1, 1, 0, 0, 1)
    first, second = ([trivial, trivial] + axes)[-2:]
    return (first, second) if first.size > 0 and second.size > 0 else None


def _without_negative_padding(axis: _Axis) -> _Axis:
    """The same outputs of the same pixels, with padding that is not negative.

    The corpora derive the padding at the end from the output size, and it comes out negative where the last
    pixels are read by no window. They stay, unless they make room for one more window; then they are cut off,
    as are the pixels that negative padding at the start takes away.
    """
    axis = axis._replace(size=axis.size + min(axis.pad_lo, 0), pad_lo=max(axis.pad_lo, 0))
    kept = axis._replace(pad_hi=max(axis.pad_hi, 0))
    size, kernel, stride, dilation, pad_lo, pad_hi, outputs = kept
    if _outputs(size, kernel, stride, dilation, pad_lo + pad_hi) == outputs:
        return kept
    return kept._replace(size=axis.size + min(axis.pad_hi, 0))
