"""Small windows on planes, codes of maxima, and the native layout: against the oracle and against the other ways."""

import itertools

import numpy as np
import pytest
from test_pool_kernels import (
    DTYPES,
    LAYOUTS,
    Pool,
    arrange,
    channels_first,
    run_backward,
    run_forward,
    same_bits,
    scatter,
)

from fastconv import _core


def small_windows(kind, dtype, rng):
    """Every kernel, stride and padding that the kernels for planes take, at widths about those of a vector."""
    options = itertools.product((1, 2, 3), (2, 3), (1, 2, 3), (1, 2), (0, 1), (0, 1), (False, True))
    for rows, columns, down, across, above, beside, ceil_mode in options:
        size = int(rng.integers(rows, 12)), int(rng.integers(columns, 45))
        more = {"ceil_mode": ceil_mode}
        if kind == "avg":
            more |= {"count_include_pad": bool(rng.integers(2)), "divisor": int(rng.choice([0, 0, 3, -2]))}
        shape = (int(rng.integers(1, 3)), int(rng.choice([1, 5, 16, 35])), 1, *size)
        pad = (0, min(above, rows // 2), beside)
        window = (1, rows, columns), (1, down, across)
        yield Pool(kind, shape, *window, pad_lo=pad, pad_hi=(0, 0, pad[2]), dtype=dtype, **more)


def forward_codes(pool, x, layout):
    source, last = arrange(x, layout)
    y, codes = (arrange(np.full(pool.y_shape, 7, t), layout)[0] for t in (x.dtype, np.uint8))
    pool.plan.forward(source, y, codes, last)
    return channels_first(y, last), channels_first(codes, last)


def backward_codes(pool, dy, codes, layout):
    gradient, last = arrange(dy, layout)
    dx, _ = arrange(np.full(pool.x_shape, 7, dy.dtype), layout)
    pool.plan.backward_codes(gradient, arrange(codes, layout)[0], dx, last)
    return channels_first(dx, last)


def positions(pool, codes):
    """What codes mean: the flat position of tap `code` of each window."""
    tap = np.stack(np.unravel_index(codes, pool.kernel))
    starts = [np.arange(n) * s - p for n, s, p in zip(pool.y_shape[2:], pool.stride, pool.pad_lo, strict=True)]
    d, h, w = (t + s for t, s in zip(tap, (starts[0][:, None, None], starts[1][:, None], starts[2]), strict=True))
    return (d * pool.x_shape[3] + h) * pool.x_shape[4] + w


def with_ties_and_specials(rng, shape, dtype):
    x = rng.integers(-2, 3, shape).astype(dtype) * rng.choice([-0.0, 1.0], shape).astype(dtype)
    special = rng.random(shape)
    x[special < rng.choice([0, 0.03])] = np.nan
    x[special > 0.8] = -np.inf
    return x


@pytest.mark.parametrize("dtype", DTYPES)
def test_maxima_of_small_windows(level, dtype):
    rng = np.random.default_rng(0)
    for pool in small_windows("max", dtype, rng):
        x, dy = with_ties_and_specials(rng, pool.x_shape, dtype), rng.standard_normal(pool.y_shape).astype(dtype)
        best, index = pool.max(x)
        expected = run_forward(pool, x, "last")
        np.testing.assert_array_equal(expected, best)
        gradient = scatter(pool, dy, index)[1]
        for layout in LAYOUTS:
            y, where = run_forward(pool, x, layout, indices=True)
            coded, codes = forward_codes(pool, x, layout)
            assert all(same_bits(np.ascontiguousarray(a), expected) for a in (y, coded, run_forward(pool, x, layout)))
            np.testing.assert_array_equal(where, index)
            np.testing.assert_array_equal(positions(pool, codes), index)
            assert same_bits(np.ascontiguousarray(backward_codes(pool, dy, codes, layout)), gradient)


@pytest.mark.parametrize("dtype", DTYPES)
def test_averages_of_small_windows(level, dtype):
    rng = np.random.default_rng(1)
    unit = np.finfo(dtype).epsneg
    for pool in small_windows("avg", dtype, rng):
        x, dy = rng.standard_normal(pool.x_shape).astype(dtype), rng.standard_normal(pool.y_shape).astype(dtype)
        y, dx = run_forward(pool, x), run_backward(pool, dy)
        assert np.all(abs(y - pool.avg(x)) <= 12 * unit * abs(pool.avg(abs(x))))
        assert np.all(abs(dx - pool.avg_backward(dy)) <= 12 * unit * abs(pool.avg_backward(abs(dy))))
        for layout in LAYOUTS:
            assert same_bits(np.ascontiguousarray(run_forward(pool, x, layout)), y)
            assert same_bits(np.ascontiguousarray(run_backward(pool, dy, layout)), dx)


def wide_windows(dtype, rng):
    """Windows of more columns or further apart, on planes narrower than a vector and wider ones."""
    options = itertools.product((1, 2, 5), (4, 5, 7), (1, 3), (1, 3, 5), (0, 2), (False, True))
    for rows, columns, down, across, beside, ceil_mode in options:
        size = int(rng.integers(rows, 12)), int(rng.choice([columns, 7, 9, 14, 15, 16, 20]))
        more = {"ceil_mode": ceil_mode, "count_include_pad": bool(rng.integers(2)), "divisor": int(rng.choice([0, 3]))}
        pad = (0, rows // 2, beside)
        shape = (2, int(rng.choice([3, 16, 20])), 1, *size)
        yield Pool("avg", shape, (1, rows, columns), (1, down, across), pad_lo=pad, pad_hi=pad, dtype=dtype, **more)


@pytest.mark.parametrize("dtype", DTYPES)
def test_averages_of_wide_windows(level, dtype):
    rng = np.random.default_rng(3)
    unit = np.finfo(dtype).epsneg
    for pool in wide_windows(dtype, rng):
        x, dy = rng.standard_normal(pool.x_shape).astype(dtype), rng.standard_normal(pool.y_shape).astype(dtype)
        y, dx = run_forward(pool, x), run_backward(pool, dy)
        assert np.all(abs(y - pool.avg(x)) <= 40 * unit * abs(pool.avg(abs(x))))
        assert np.all(abs(dx - pool.avg_backward(dy)) <= 40 * unit * abs(pool.avg_backward(abs(dy))))
        for layout in LAYOUTS:
            assert same_bits(np.ascontiguousarray(run_forward(pool, x, layout)), y)
            assert same_bits(np.ascontiguousarray(run_backward(pool, dy, layout)), dx)


LARGE = {
    "small planes": ((2, 900, 1, 63, 61), (1, 3, 3), (1, 2, 2), (0, 1, 1)),
    "large planes": ((1, 3, 1, 1600, 1600), (1, 2, 2), (1, 2, 2), (0, 0, 0)),
    "large results": ((1, 3, 1, 1600, 1500), (1, 3, 3), (1, 1, 1), (0, 1, 1)),
}


@pytest.mark.parametrize("name", LARGE)
def test_results_that_bypass_the_caches_are_the_same(level, two_threads, name):
    """Beyond 24 MiB; channels-last arrays take the other way, which never does."""
    rng = np.random.default_rng(4)
    shape, kernel, stride, pad = LARGE[name]
    pools = [Pool(kind, shape, kernel, stride, pad_lo=pad, pad_hi=pad) for kind in ("max", "avg")]
    x, dy = rng.standard_normal(shape, np.float32), rng.standard_normal(pools[0].y_shape, np.float32)
    for pool in pools:
        assert same_bits(run_forward(pool, x), np.ascontiguousarray(run_forward(pool, x, "last")))
    y, codes = forward_codes(pools[0], x, "first")
    last = backward_codes(pools[0], dy, np.ascontiguousarray(codes), "last")
    assert same_bits(backward_codes(pools[0], dy, np.ascontiguousarray(codes), "first"), np.ascontiguousarray(last))
    assert same_bits(run_backward(pools[1], dy), np.ascontiguousarray(run_backward(pools[1], dy, "last")))


SIZES = [(1, 1), (1, 40), (7, 7), (8, 8), (3, 5), (32, 32), (64, 16), (64, 17), (65, 2), (2, 65)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", SIZES)
def test_averages_of_whole_planes(level, dtype, size):
    rng = np.random.default_rng(2)
    for batch, channels, more in itertools.product((1, 3), (1, 16, 50), ({}, {"divisor": -3})):
        pool = Pool("avg", (batch, channels, 1, *size), (1, *size), (1, 1, 1), dtype=dtype, **more)
        x, dy = rng.standard_normal(pool.x_shape).astype(dtype), rng.standard_normal(pool.y_shape).astype(dtype)
        y, dx = run_forward(pool, x), run_backward(pool, dy)
        bound = 8 * np.finfo(dtype).epsneg * abs(pool.avg(abs(x)))
        assert np.all(abs(y - pool.avg(x)) <= bound)
        np.testing.assert_array_equal(dx, np.broadcast_to(dy / dy.dtype.type(pool.divisors()), dx.shape))
        for layout in LAYOUTS:
            assert same_bits(np.ascontiguousarray(run_forward(pool, x, layout)), y)
            assert same_bits(np.ascontiguousarray(run_backward(pool, dy, layout)), dx)


NATIVE = {
    "small": ((2, 32, 1, 17, 19), (1, 3, 3), (1, 2, 2), (0, 1, 1)),
    "apart": ((2, 32, 1, 17, 19), (1, 2, 2), (1, 2, 2), (0, 0, 0)),
    "far": ((1, 16, 1, 17, 19), (1, 2, 3), (1, 4, 5), (0, 0, 0)),
    "large": ((2, 48, 1, 17, 19), (1, 5, 5), (1, 3, 3), (0, 2, 2)),
    "whole": ((3, 64, 1, 7, 7), (1, 7, 7), (1, 1, 1), (0, 0, 0)),
    "line": ((2, 16, 1, 1, 50), (1, 1, 3), (1, 1, 1), (0, 0, 1)),
    "volume": ((2, 16, 5, 6, 7), (2, 3, 2), (2, 1, 2), (1, 1, 0)),
}


def native(a):
    n, c, *space = a.shape
    return _core.Blocked(np.ascontiguousarray(np.moveaxis(a.reshape(n, c // 16, 16, *space), 2, -1)))


def plain(a):
    return a.plain() if a.dtype.itemsize > 1 else np.ascontiguousarray(np.moveaxis(a.array, -1, 2)).reshape(a.shape)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NATIVE)
def test_the_native_layout_gives_the_same_bits(level, name, dtype):
    rng = np.random.default_rng(3)
    shape, kernel, stride, pad = NATIVE[name]
    pool = Pool("max", shape, kernel, stride, pad_lo=pad, dtype=dtype)
    x, dy = with_ties_and_specials(rng, pool.x_shape, dtype), rng.standard_normal(pool.y_shape).astype(dtype)
    y, codes = forward_codes(pool, x, "first")
    _, index = run_forward(pool, x, indices=True)
    out, kept, where, dx = (native(np.zeros(s, t)) for s, t in ((pool.y_shape, dtype), (pool.y_shape, np.uint8),
                                                                (pool.y_shape, np.int64), (pool.x_shape, dtype)))
    pool.plan.forward(native(x), out, kept, False)
    assert same_bits(plain(out), y) and same_bits(plain(kept), codes)
    pool.plan.forward(native(x), out, where, False)
    assert same_bits(plain(out), y) and same_bits(plain(where), index)
    gradient = scatter(pool, dy, index)[1]
    pool.plan.backward_codes(native(dy), kept, dx, False)
    assert same_bits(plain(dx), gradient)
    dx.array[...] = 7
    assert _core.scatter_planes(native(dy), where, dx, False) and same_bits(plain(dx), gradient)
    mean = Pool("avg", shape, kernel, stride, pad_lo=pad, dtype=dtype)
    x = rng.standard_normal(mean.x_shape).astype(dtype)
    mean.plan.forward(native(x), out, None, False)
    mean.plan.backward(native(dy), dx, False)
    assert same_bits(plain(out), run_forward(mean, x)) and same_bits(plain(dx), run_backward(mean, dy))


def test_codes_only_where_there_are_some():
    dilated = Pool("max", (1, 3, 1, 9, 9), (1, 2, 2), (1, 1, 1), dilation=(1, 2, 1))
    large = Pool("max", (1, 3, 1, 20, 20), (1, 17, 16), (1, 1, 1))
    for pool in (dilated, large, Pool("avg", (1, 3, 1, 9, 9), (1, 2, 2), (1, 1, 1))):
        assert not pool.plan.has_codes
        with pytest.raises(ValueError, match="codes"):
            forward_codes(pool, np.zeros(pool.x_shape, np.float32), "first")
        with pytest.raises(ValueError, match="codes"):
            backward_codes(pool, np.zeros(pool.y_shape, np.float32), np.zeros(pool.y_shape, np.uint8), "first")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_codes_that_no_forward_pass_has_written_do_no_harm(layout):
    for channels, kernel in itertools.product((3, 32), (2, 3, 4)):
        pool = Pool("max", (1, channels, 1, 9, 9), (1, kernel, kernel), (1, 2, 2))
        dx = backward_codes(pool, np.ones(pool.y_shape, np.float32), np.full(pool.y_shape, 255, np.uint8), layout)
        assert np.isfinite(dx).all()
