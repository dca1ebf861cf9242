# SPDX-License-Identifier: BSD-3-Clause
"""The native layout: into it, out of it, and the same bits from convolutions that stay in it."""

import numpy as np
import pytest
from core_conv import PLAIN, WINOGRAD, plan, run
from problems import ConvProblem, normal_arrays, random_conv

from fastconv import _core


def blocked(x):
    n, c, h, w = x.shape
    return np.ascontiguousarray(x.reshape(n, c // 16, 16, h, w).transpose(0, 1, 3, 4, 2))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1, 16, 1, 1), (2, 48, 7, 9), (3, 16, 33, 17)])
def test_there_and_back(level, shape, dtype):
    x = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    for view in (x, np.asfortranarray(x), x[:, :, ::-1]):
        assert np.array_equal(_core.block(view).array, blocked(view))
        assert np.array_equal(_core.block(view).plain(), view)
    last = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
    assert np.array_equal(_core.block(last, True).array, blocked(x))
    assert _core.block(x).shape == shape


def whole_blocks(rng):
    while True:
        problem = random_conv(rng)
        depthwise = problem.groups == problem.cin == problem.cout
        per_group = problem.cin // problem.groups, problem.cout // problem.groups
        if problem.cin % 16 == problem.cout % 16 == 0 and (
            problem.groups == 1 or depthwise or per_group[0] % 16 == per_group[1] % 16 == 0
        ):
            return problem


def test_convolutions_give_the_same_bits_in_it(level):
    rng = np.random.default_rng(1)
    for _ in range(60):
        problem = whole_blocks(rng)
        arrays = normal_arrays(problem, rng)
        x, weight, bias, dy = arrays
        for algorithm in (*PLAIN, *WINOGRAD) if problem.winograd_eligible else PLAIN:
            plain = run(problem, arrays, algorithm)
            forward, data, weights = (
                plan(problem, p, np.float32, algorithm) for p in ("forward", "backward_data", "backward_weights")
            )
            native_x, native_dy = _core.block(x), _core.block(dy)
            y, dx = _core.Blocked(np.full_like(native_dy.array, 7)), _core.Blocked(np.full_like(native_x.array, 7))
            dw = np.full_like(weight, 7)
            forward.forward(native_x, weight, bias, y, False)
            data.backward_data(native_dy, weight, dx, False)
            weights.backward_weights(native_dy, native_x, dw, False)
            assert np.array_equal(y.plain(), plain.y), (algorithm, problem)
            assert np.array_equal(dx.plain(), plain.dx), (algorithm, problem)
            assert np.array_equal(dw, plain.dw), (algorithm, problem)
            mixed = np.full_like(dy, 7)
            forward.forward(native_x, weight, bias, mixed, False)    # native in, plain out
            assert np.array_equal(mixed, plain.y)


def test_a_tile_that_is_not_finite_is_repaired_in_it():
    problem = ConvProblem(1, 1, 32, 16, 12, 12, (3, 3), padding=((1, 1), (1, 1)))
    arrays = normal_arrays(problem, np.random.default_rng(2))
    arrays.x[0, 20, 5, 6] = np.inf
    with np.errstate(all="ignore"):
        plain = run(problem, arrays, "winograd4").y
        y = _core.Blocked(np.zeros((1, 1, 12, 12, 16), np.float32))
        forward = plan(problem, "forward", np.float32, "winograd4")
        forward.forward(_core.block(arrays.x), arrays.weight, arrays.bias, y, False)
    assert np.array_equal(y.plain(), plain, equal_nan=True)


def test_what_does_not_fit_is_refused():
    problem = ConvProblem(1, 2, 16, 16, 9, 9, (3, 3))
    x, weight, _, dy = normal_arrays(problem, np.random.default_rng(3))
    with pytest.raises(ValueError, match="groups: got 2 of 8 and 8 channels"):
        plan(problem, "forward", np.float32, "direct").forward(_core.block(x), weight, None, dy, False)
    with pytest.raises(ValueError, match="x: got 17 channels, expected a multiple of 16"):
        _core.block(np.zeros((1, 17, 2, 2), np.float32))
    with pytest.raises(ValueError, match="array: got shape"):
        _core.Blocked(np.zeros((1, 1, 2, 2, 8), np.float32))
    one = ConvProblem(1, 1, 16, 16, 9, 9, (3, 3))
    x, weight, _, dy = normal_arrays(one, np.random.default_rng(4))
    with pytest.raises(ValueError, match="x: got shape"):
        plan(one, "forward", np.float32, "direct").forward(_core.block(x[:, :, 1:]), weight, None, dy, False)
