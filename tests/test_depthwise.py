# SPDX-License-Identifier: BSD-3-Clause
"""Depthwise convolution: planes and channels-last arrays give the same bits, within the bounds."""

import numpy as np
import pytest
from core_conv import expected, magnitudes, plan, run, summation_bound, unit
from problems import ConvProblem, in_layout, integer_arrays, normal_arrays


def problems(rng):
    """Widths below, at and beyond a few vectors; one to five channels more than a block; paddings up to the kernel."""
    for _ in range(60):
        stride = int(rng.integers(1, 3))
        channels, height, width = int(rng.integers(2, 22)), int(rng.integers(3, 20)), int(rng.integers(3, 70))
        pads = [tuple(int(p) for p in rng.integers(0, 4, 2)) for _ in range(2)]
        yield ConvProblem(2, channels, channels, channels, height, width, (3, 3), (stride, stride), padding=tuple(pads))


def channels_last(array):
    """The same numbers; a block of 16 channels is a vector there."""
    return np.ascontiguousarray(array.transpose(0, 2, 3, 1))


def both(problem, arrays):
    x, weight, bias, dy = arrays
    planes = run(problem, arrays, "direct")
    last = run(problem, type(arrays)(channels_last(x), weight, bias, channels_last(dy)), "direct", "NHWC")
    return planes, last._replace(y=last.y.transpose(0, 3, 1, 2), dx=last.dx.transpose(0, 3, 1, 2))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_same_bits_within_the_bounds(level, dtype):
    rng = np.random.default_rng(3)
    for problem in problems(rng):
        arrays = normal_arrays(problem, rng, dtype)
        planes, last = both(problem, arrays)
        exact, bounds = expected(problem, arrays), summation_bound(problem, magnitudes(problem, arrays), dtype)
        for a, b, e, bound in zip(planes, last, exact, bounds, strict=True):
            assert np.array_equal(a, b), problem
            assert (np.abs(a - e) <= bound).all(), problem


def test_exact_on_small_integers(level):
    rng = np.random.default_rng(4)
    for problem in problems(rng):
        arrays = integer_arrays(problem, rng)
        for a, e in zip(run(problem, arrays, "direct"), expected(problem, arrays), strict=True):
            assert np.array_equal(a, e), problem


@pytest.mark.parametrize("where", ["x", "weight", "grad_output"])
def test_special_values_are_where_the_plain_sum_has_them(level, where):
    rng = np.random.default_rng(5)
    for problem in problems(rng):
        arrays = normal_arrays(problem, rng)
        values = getattr(arrays, where).reshape(-1)
        values[rng.integers(0, values.size, 3)] = np.inf, -np.inf, np.nan
        with np.errstate(all="ignore"):
            planes, last = both(problem, arrays)
            exact = expected(problem, arrays)
        for name, a, b, e in zip(planes._fields, planes, last, exact, strict=True):
            assert np.array_equal(a, b, equal_nan=True), problem
            if (where, name) == ("weight", "dx"):
                continue  # an infinite weight meets the zeros around dy, which the reference leaves out
            assert np.array_equal(np.isnan(a), np.isnan(e)), problem
            assert np.array_equal(np.isinf(a), np.isinf(e)), problem


@pytest.mark.parametrize("width", [40, 9000])
def test_long_sums_of_positive_numbers(level, width):
    problem = ConvProblem(3, 17, 17, 17, 60, width, (3, 3), padding=((1, 1), (1, 1)))
    rng = np.random.default_rng(6)
    x, dy = (rng.random(in_layout(shape, "NCHW"), np.float32) for shape in (problem.x_shape(), (3, 17, 60, width)))
    dw = np.full(problem.weight_shape, 7, np.float32)
    plan(problem, "backward_weights", np.float32, "direct").backward_weights(dy, x, dw, False)
    grown = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (1, 1), (1, 1)))
    for r in range(3):
        for t in range(3):
            exact = np.einsum("nchw,nchw->c", grown[:, :, r : r + 60, t : t + width], dy, dtype=np.float64)
            assert (np.abs(dw[:, 0, r, t] - exact) <= 16 * unit(np.float32) * exact).all()
