# SPDX-License-Identifier: BSD-3-Clause
"""Transposed convolution of one, two and three axes: exact on integers, against the twin."""

from typing import Any

import numpy as np
import pytest

from fastconv import ops, reference
from fastconv.ops._check import LAYOUTS_OF


def integers(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    return rng.integers(-4, 5, shape).astype(np.float64)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_agrees_with_the_twin_exactly(axes: int, level: str) -> None:
    rng = np.random.default_rng(axes)
    forward = getattr(ops, f"conv_transpose{axes}d")
    backward = getattr(ops, f"conv_transpose{axes}d_backward")
    longest = 0
    for _ in range(60):
        groups = int(rng.choice([1, 1, 2, 16]))
        c, k = (1, 1) if groups == 16 else (int(n) for n in rng.choice([(1, 3), (5, 8), (16, 16), (20, 17)]))
        kernel, stride, dilation = (tuple(int(n) for n in rng.integers(1, 4, axes)) for _ in range(3))
        more = tuple(int(rng.integers(0, max(s, d))) for s, d in zip(stride, dilation, strict=True))
        longest += any(m >= s for m, s in zip(more, stride, strict=True))
        padding = tuple((int(a), int(b)) for a, b in rng.integers(0, 3, (axes, 2)))
        layout = LAYOUTS_OF[axes][rng.integers(2)]
        x = integers(rng, (2, groups * c, *rng.integers(4, 9, axes)))
        if layout.endswith("C"):
            x = np.moveaxis(x, 1, -1)
        weight, bias = integers(rng, (groups * c, k, *kernel)), integers(rng, (groups * k,))
        parameters = stride, padding, more, groups, dilation
        expected = reference.conv_transpose2d(x, weight, bias, *parameters, layout=layout)
        if 0 in expected.shape:
            continue
        grad = integers(rng, expected.shape)
        gradients = reference.conv_transpose2d_backward(grad, x, weight, *parameters, layout=layout)
        for algorithm in ("auto", "direct", "im2col"):
            y = forward(x, weight, bias, *parameters, layout=layout, algorithm=algorithm)
            np.testing.assert_array_equal(y, expected)
            got = backward(grad, x, weight, *parameters, layout=layout, algorithm=algorithm)
            for g, e in zip(got, gradients, strict=True):
                np.testing.assert_array_equal(g, e)
    assert longest > 5    # output_padding of a whole stride, which only a dilation allows


def test_is_the_gradient_of_a_convolution() -> None:
    rng = np.random.default_rng(0)
    x, weight = integers(rng, (2, 8, 9, 9)), integers(rng, (5, 8, 3, 3))
    dy = integers(rng, (2, 5, 5, 5))
    dx, _, _ = ops.conv2d_backward(dy, x, weight, stride=2, padding=1)
    np.testing.assert_array_equal(ops.conv_transpose2d(dy, weight, stride=2, padding=1), dx)


def test_out_needs_and_empty_batches() -> None:
    x, weight = np.ones((1, 2, 3), np.float32), np.ones((2, 1, 2), np.float32)
    out = np.empty((1, 1, 4), np.float32)
    assert ops.conv_transpose1d(x, weight, out=out) is out
    assert out.tolist() == [[[2.0, 4.0, 4.0, 2.0]]]
    dx, dw, db = ops.conv_transpose1d_backward(out, x, weight, needs=(True, False, True))
    assert dx is not None and dw is None and db is not None and db.tolist() == [12.0]
    dx, dw, db = ops.conv_transpose1d_backward(out[:0], x[:0], weight)
    assert dx is not None and dx.shape == (0, 2, 3) and dw is not None and not dw.any()


ONES, WEIGHT = np.ones((1, 4, 5, 5), np.float32), np.ones((4, 2, 3, 3), np.float32)


@pytest.mark.parametrize(("options", "says"), [
    ({"output_padding": 1}, "output_padding must be smaller than stride or dilation, got output_padding=1"),
    ({"output_padding": (0, 3), "stride": 3}, "output_padding=3, stride=3"),
    ({"output_padding": -1}, "output_padding must be between 0"),
    ({"padding": 4}, "padding is taken off"),
    ({"padding": "same"}, "output_padding"),
    ({"stride": 2**40}, "stride must be between 1"),
    ({"stride": 2**31 - 1, "dilation": 2**31 - 1}, "bytes|too large"),
    ({"groups": 3}, "groups=3 does not divide the 4 input channels"),
    ({"groups": 2, "bias": np.ones(2, np.float32)}, r"bias must have shape \(4,\)"),
    ({"weight": np.ones((5, 2, 3, 3), np.float32)}, "input x has 4 channels"),
    ({"weight": np.ones((4, 2, 3), np.float32)}, "weight must have 4 axes"),
    ({"layout": "HWC"}, "layout"),
    ({"algorithm": "winograd", "stride": 2}, "winograd"),
])
def test_bad_input_is_named(options: dict[str, Any], says: str) -> None:
    arguments = {"x": ONES, "weight": WEIGHT, **options}
    with pytest.raises((ValueError, OverflowError), match=says):
        ops.conv_transpose2d(**arguments)


def test_a_gradient_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"grad_output must have the shape of the output \(1, 2, 7, 7\)"):
        ops.conv_transpose2d_backward(np.ones((1, 2, 8, 7), np.float32), ONES, WEIGHT)
