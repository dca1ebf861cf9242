# SPDX-License-Identifier: BSD-3-Clause
"""Padding, interpolation and shuffles against their twins, and what they refuse."""

from typing import Any

import numpy as np
import pytest

from fastconv import ops, reference

SHAPES = {"linear": (2, 3, 7), "bilinear": (2, 3, 7, 5), "trilinear": (1, 2, 4, 5, 6)}
SIZES: list[dict[str, Any]] = [{"size": 1}, {"size": 3}, {"size": 11}, {"scale_factor": 2.0}, {"scale_factor": 1.7},
                               {"scale_factor": 0.6}]


@pytest.mark.parametrize("options", SIZES, ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_interpolation(options: dict[str, Any], dtype: Any) -> None:
    rng = np.random.default_rng(0)
    cases = [(mode, shape, corners) for mode, shape in SHAPES.items() for corners in (None, False, True)]
    cases += [(mode, shape, None) for mode in ("nearest", "nearest-exact") for shape in SHAPES.values()]
    for mode, shape, corners in cases:
        x = rng.standard_normal(shape).astype(dtype)
        arguments = {**options, "mode": mode, "align_corners": corners}
        y, expected = ops.interpolate(x, **arguments), reference.interpolate(x, **arguments)
        grad = rng.standard_normal(y.shape).astype(dtype)
        dx = ops.interpolate_backward(grad, shape, **arguments)
        u = np.finfo(dtype).eps
        assert y.dtype == dx.dtype == dtype
        np.testing.assert_allclose(y, expected, rtol=0, atol=8 * u * np.abs(x).max())
        exact = reference.interpolate_backward(grad, shape, **arguments)
        sizes = reference.interpolate_backward(np.abs(grad), shape, **arguments)
        assert (np.abs(dx - exact) <= 100 * u * sizes).all()


@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate", "circular"])
@pytest.mark.parametrize("padding", [0, 2, (1, 2), (2, 1, 3, 0), (0, 0, 1, 1, 1, 0), (-1, 2, 1, -2)], ids=str)
def test_pad(padding: Any, mode: str) -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(-4, 5, (2, 3, 5, 6)).astype(float)
    if mode != "constant" and isinstance(padding, tuple) and min(padding) < 0:
        with pytest.raises(ValueError, match="crops"):
            ops.pad(x, padding, mode)
        return
    options = (7.0,) if mode == "constant" else ()
    y = ops.pad(x, padding, mode, *options)
    np.testing.assert_array_equal(y, reference.pad(x, padding, mode, *options))
    grad = rng.integers(-4, 5, y.shape).astype(float)
    dx = ops.pad_backward(grad, padding, mode)
    assert dx.shape == x.shape and dx.flags.c_contiguous
    np.testing.assert_array_equal(dx, reference.pad_backward(grad, padding, mode))


def test_shuffles() -> None:
    x = np.random.default_rng(0).standard_normal((2, 12, 4, 6))
    y = ops.pixel_shuffle(x, 2)
    np.testing.assert_array_equal(y, reference.pixel_shuffle(x, 2))
    np.testing.assert_array_equal(ops.pixel_unshuffle(y, 2), x)
    np.testing.assert_array_equal(reference.pixel_unshuffle(y, 2), x)
    z = ops.channel_shuffle(x, 4)
    np.testing.assert_array_equal(z, reference.channel_shuffle(x, 4))
    np.testing.assert_array_equal(ops.channel_shuffle(z, 3), x)


X = np.ones((1, 2, 4, 5))


@pytest.mark.parametrize(("call", "says"), [
    (lambda: ops.interpolate(X), "one of size and scale_factor"),
    (lambda: ops.interpolate(X, 2, 2.0), "one of size and scale_factor"),
    (lambda: ops.interpolate(X, 2, mode="linear"), "'bilinear'"),
    (lambda: ops.interpolate(X, 2, mode="bicubic"), "mode"),
    (lambda: ops.interpolate(X, 2, align_corners=True), "align_corners"),
    (lambda: ops.interpolate(X, (2, 2, 2)), "size must be"),
    (lambda: ops.interpolate(X, 0), "size must be between 1"),
    (lambda: ops.interpolate(X, scale_factor=0.1), "leaves nothing"),
    (lambda: ops.interpolate(X, scale_factor=float("nan")), "scale_factor must be a finite number above 0"),
    (lambda: ops.interpolate(X, scale_factor=-1.0), "scale_factor must be a finite number above 0"),
    (lambda: ops.interpolate(X[0, 0], 2), "got shape"),
    (lambda: ops.interpolate(X, 2**31 - 1), "limit"),
    (lambda: ops.interpolate_backward(X, X.shape, 2), "grad_output must have"),
    (lambda: ops.pad(X, (1,)), "pairs of integers"),
    (lambda: ops.pad(X, (1, 1) * 5), "only 4 axes"),
    (lambda: ops.pad(X, (5, 0), "reflect"), "at most 4"),
    (lambda: ops.pad(X, (6, 0), "circular"), "at most 5"),
    (lambda: ops.pad(X, (-3, -2)), "leaves nothing"),
    (lambda: ops.pad(X, (-6, 3)), "leaves nothing"),
    (lambda: ops.pad(X, 1, "mirror"), "'replicate'"),
    (lambda: ops.pad(X, (2**31 - 1,) * 8), "limit"),
    (lambda: ops.pad_backward(X, 3), "smaller than padding=3"),
    (lambda: ops.pixel_shuffle(X, 2), "multiple of 4 channels"),
    (lambda: ops.pixel_unshuffle(X, 2), "does not divide"),
    (lambda: ops.channel_shuffle(X, 3), "groups=3"),
])
def test_bad_input_is_named(call: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        call()
