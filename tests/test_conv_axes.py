# SPDX-License-Identifier: BSD-3-Clause
"""Convolution of one, two and three axes with every padding mode: exact on integers, against the twin."""

from typing import Any, NamedTuple

import numpy as np
import pytest

from fastconv import ops, reference
from fastconv.ops._check import LAYOUTS_OF

MODES = ("zeros", "reflect", "replicate", "circular")
ALGORITHMS = ("auto", "direct", "im2col")


class Case(NamedTuple):
    x: Any
    weight: Any
    bias: Any
    parameters: tuple[Any, ...]
    options: dict[str, str]


def integers(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    return rng.integers(-4, 5, shape).astype(np.float64)


def random_case(rng: np.random.Generator, axes: int, mode: str) -> Case:
    """Sizes are such that any padding of it is allowed, and some kernel fits."""
    groups = int(rng.choice([1, 1, 2, 16]))
    per_group = (1, 1) if groups == 16 else rng.choice([(1, 3), (5, 8), (3, 1), (16, 16), (20, 17)])
    channels, out_channels = (groups * int(c) for c in per_group)
    size = rng.integers(5, 12, axes)
    kernel = rng.integers(1, 4, axes)
    paddings: list[Any] = [int(rng.integers(0, 3)), "valid", "same", "same_lower",
                           tuple((int(a), int(b)) for a, b in rng.integers(0, 5, (axes, 2)))]
    x = integers(rng, (2, channels, *size))
    layout = LAYOUTS_OF[axes][rng.integers(2)]
    if layout.endswith("C"):
        x = np.moveaxis(x, 1, -1)
    weight = integers(rng, (out_channels, channels // groups, *kernel))
    parameters = int(rng.integers(1, 4)), paddings[rng.integers(5)], int(rng.integers(1, 3)), groups
    return Case(x, weight, integers(rng, (out_channels,)), parameters, {"padding_mode": mode, "layout": layout})


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_agrees_with_the_twin_exactly(axes: int, mode: str, level: str) -> None:
    rng = np.random.default_rng(axes)
    forward, backward = getattr(ops, f"conv{axes}d"), getattr(ops, f"conv{axes}d_backward")
    for _ in range(30):
        x, weight, bias, parameters, options = random_case(rng, axes, mode)
        expected = reference.conv2d(x, weight, bias, *parameters, **options)
        grad = integers(rng, expected.shape)
        gradients = reference.conv2d_backward(grad, x, weight, *parameters, **options)
        for algorithm in ALGORITHMS:
            y = forward(x, weight, bias, *parameters, **options, algorithm=algorithm)
            np.testing.assert_array_equal(y, expected)
            got = backward(grad, x, weight, *parameters, **options, algorithm=algorithm)
            for g, e in zip(got, gradients, strict=True):
                np.testing.assert_array_equal(g, e)


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("mode", MODES[1:])
def test_a_border_is_that_of_a_padded_copy(axes: int, mode: str) -> None:
    """Winograd's included."""
    rng = np.random.default_rng(0)
    size = (6, 9, 17)[3 - axes:]
    x, weight = rng.standard_normal((2, 16, *size)), rng.standard_normal((16, 16, *(3,) * axes))
    ends = ((2, 1), (1, 3), (0, 2))[:axes]
    numpy_mode: Any = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}[mode]
    padded = np.pad(x, ((0, 0), (0, 0), *ends), mode=numpy_mode)
    conv = getattr(ops, f"conv{axes}d")
    for algorithm in ("direct", "winograd") if axes > 1 and x.shape[-2] != 1 else ("direct",):
        if algorithm == "winograd" and axes == 3:
            weight = weight[:, :, :1]
            padded = padded[:, :, 2:-1]    # one slice per output: Winograd has no taps of depth
            ends = ((0, 0), *ends[1:])
        y = conv(x, weight, padding=ends, padding_mode=mode, algorithm=algorithm)
        np.testing.assert_allclose(y, conv(padded, weight, algorithm=algorithm), atol=1e-11)


@pytest.mark.parametrize("mode", MODES[1:])
def test_winograd_mends_what_is_not_finite_at_a_border(mode: str) -> None:
    x = np.ones((1, 16, 9, 9), np.float32)
    x[0, 3, 0, 1] = np.inf
    weight = np.ones((16, 16, 3, 3), np.float32)
    options = {"padding": 2, "padding_mode": mode}
    y = ops.conv2d(x, weight, **options, algorithm="winograd")
    np.testing.assert_allclose(y, reference.conv2d(x, weight, **options), rtol=1e-5)


def test_a_kernel_of_one_with_more_padding_than_it_reaches() -> None:
    """Lines of the planar kernel once overlapped here."""
    rng = np.random.default_rng(0)
    x, weight, bias = integers(rng, (2, 6, 5)), integers(rng, (12, 3, 1)), integers(rng, (12,))
    for x_of_a_layout, layout in ((x, "NCL"), (np.moveaxis(x, 1, -1), "NLC")):
        y = ops.conv1d(x_of_a_layout, weight, bias, padding=((2, 1),), groups=2, layout=layout)
        expected = reference.conv1d(x_of_a_layout, weight, bias, padding=((2, 1),), groups=2, layout=layout)
        np.testing.assert_array_equal(y, expected)


def test_out_and_empty_batches() -> None:
    x, weight = np.ones((0, 3, 4, 5, 6), np.float32), np.ones((2, 3, 2, 2, 2), np.float32)
    assert ops.conv3d(x, weight).shape == (0, 2, 3, 4, 5)
    dx, dw, db = ops.conv3d_backward(np.ones((0, 2, 3, 4, 5), np.float32), x, weight)
    assert dx is not None and dw is not None and db is not None
    assert dx.shape == x.shape and not dw.any() and not db.any()
    out = np.empty((1, 2, 3), np.float32)
    assert ops.conv1d(np.ones((1, 3, 4), np.float32), np.ones((2, 3, 2), np.float32), out=out) is out
    assert out.tolist() == [[[6.0] * 3] * 2]


@pytest.mark.parametrize(("call", "says"), [
    (lambda: ops.conv1d(np.ones((1, 1, 4, 4)), np.ones((1, 1, 2))), "3 axes, NCL"),
    (lambda: ops.conv1d(np.ones((1, 1, 4)), np.ones((1, 1, 2, 2))), "weight must have 3 axes"),
    (lambda: ops.conv1d(np.ones((1, 1, 4)), np.ones((1, 1, 2)), stride=(1, 1)), "one integer"),
    (lambda: ops.conv3d(np.ones((1, 1, 4, 4, 4)), np.ones((1, 1, 2, 2, 2)), padding=(1, 1)), "three integers"),
    (lambda: ops.conv3d(np.ones((1, 1, 4, 4, 4)), np.ones((1, 1, 5, 2, 2))), "5 pixels of depth"),
    (lambda: ops.conv3d(np.ones((1, 4, 4, 4, 3)), np.ones((1, 3, 2, 2, 2))), "'NDHWC'"),
    (lambda: ops.conv1d(np.ones((1, 1, 4)), np.ones((1, 1, 2)), layout="NCHW"), "'NCL'"),
    (lambda: ops.conv1d(np.ones((1, 1, 4)), np.ones((1, 1, 3)), padding=4, padding_mode="reflect"), "the length"),
])
def test_errors_name_the_axes(call: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        call()
