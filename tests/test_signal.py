# SPDX-License-Identifier: BSD-3-Clause
"""ops.convolve, ops.correlate and choose_conv_method: as scipy.signal, and exact where scipy wraps around."""

from itertools import product

import numpy as np
import pytest

import fastconv
from fastconv import ops
from fastconv import reference as ref
from fastconv.ops import signal

scipy_signal = pytest.importorskip("scipy.signal", reason='needs pip install "fastconv[test]"')

OPS = ("convolve", "correlate")
LINES = [(1,), (2,), (5,), (8,), (33,)]
IMAGES = [(1, 1), (4, 5), (7, 1), (1, 6), (9, 12), (12, 3)]
PAIRS = [*product(LINES, repeat=2), *product(IMAGES, repeat=2)]
FLOATS = (np.float32, np.float64, np.complex64, np.complex128)

rng = np.random.default_rng(0)


def random(shape, dtype):
    values = rng.standard_normal(shape)
    if np.dtype(dtype).kind == "c":
        values = values + 1j * rng.standard_normal(shape)
    return values.astype(dtype)


def contains(one, two):
    return all(np.greater_equal(one, two)) or all(np.greater_equal(two, one))


def problems():
    return [(a, b, mode) for (a, b), mode in product(PAIRS, signal.MODES) if mode != "valid" or contains(a, b)]


# ---- results ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", signal.METHODS)
@pytest.mark.parametrize("dtype", FLOATS, ids=lambda t: t.__name__)
@pytest.mark.parametrize("op", OPS)
def test_agrees_with_scipy(op, dtype, method):
    for shape1, shape2, mode in problems():
        a, b = random(shape1, dtype), random(shape2, dtype)
        y = getattr(ops, op)(a, b, mode, method)
        expected = getattr(scipy_signal, op)(a.astype(complex), b.astype(complex), mode, method="direct")
        assert y.shape == expected.shape and y.dtype == dtype and y.flags.c_contiguous
        # Each sum has at most 100 terms; rounding of fft is relative to the norms of the arrays.
        allowed = 100 * np.finfo(dtype).eps * np.linalg.norm(a) * np.linalg.norm(b)
        assert np.abs(y - expected).max() <= allowed


@pytest.mark.parametrize("method", signal.METHODS)
@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int32, np.uint64], ids=lambda t: t.__name__)
@pytest.mark.parametrize("op", OPS)
def test_integers_are_exact(op, dtype, method):
    high = min(np.iinfo(dtype).max, 2**15)
    for shape1, shape2, mode in problems():
        a, b = rng.integers(0, high, shape1, dtype), rng.integers(0, high, shape2, dtype)
        y = getattr(ops, op)(a, b, mode, method)
        assert y.dtype == np.int64
        expected = getattr(scipy_signal, op)(a.astype(np.int64), b.astype(np.int64), mode, "direct")
        np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("op", OPS)
def test_direct_is_exact_on_small_integers_and_agrees_with_its_twin(op, dtype, level):
    for shape1, shape2, mode in problems():
        a, b = (rng.integers(-8, 9, shape) for shape in (shape1, shape2))
        y = getattr(ops, op)(a.astype(dtype), b.astype(dtype), mode, "direct")
        np.testing.assert_array_equal(y, getattr(ref, op)(a, b, mode))
        x, w = random(shape1, dtype), random(shape2, dtype)
        bound = getattr(ref, op)(np.abs(x), np.abs(w), mode) * np.finfo(dtype).eps * 100
        assert (np.abs(getattr(ops, op)(x, w, mode, "direct") - getattr(ref, op)(x, w, mode)) <= bound).all()


def test_correlate_in_mode_valid_is_the_convolution_of_neural_networks():
    x, w = random((20, 30), np.float32), random((5, 3), np.float32)
    y = ops.conv2d(x[None, None], w[None, None], algorithm="direct")
    np.testing.assert_array_equal(ops.correlate(x, w, "valid", "direct"), y[0, 0])


def test_convolution_commutes_and_autocorrelation_is_symmetric():
    x, w = (rng.integers(-9, 9, n) for n in (40, 7))
    np.testing.assert_array_equal(ops.convolve(x, w), ops.convolve(w, x))
    auto = ops.correlate(x, x)
    np.testing.assert_array_equal(auto, auto[::-1])
    assert auto[len(x) - 1] == auto.max() == (x**2).sum()


def test_dtypes_follow_numpys_rules():
    for one, two in product(("float32", "float64", "complex64", "uint8", "int16", "int64"), repeat=2):
        if one[0] in "ui" and two[0] in "ui":
            continue
        y = ops.convolve(np.ones(5, one), np.ones(3, two))
        assert y.dtype == np.result_type(one, two)
        np.testing.assert_allclose(y, [1, 2, 3, 3, 3, 2, 1], rtol=1e-6)


@pytest.mark.parametrize("method", ["direct", "fft"])
def test_unusual_storage_and_threads_change_no_bit(method, two_threads):
    x, w = random((64, 80), np.float32), random((9, 9), np.float32)
    expected = ops.convolve(x, w, "same", method)
    for stored in (np.asfortranarray(x), x.astype(">f4"), np.repeat(x, 2, axis=1)[:, ::2]):
        np.testing.assert_array_equal(ops.convolve(stored, w, "same", method), expected)
    fastconv.set_num_threads(1)
    np.testing.assert_array_equal(ops.convolve(x, w, "same", method), expected)


def test_what_is_not_finite_stays_where_it_is():
    """auto does not choose fft, which would spread it."""
    x, w = np.ones(20_000), np.ones(3_000)
    assert ops.choose_conv_method(x, w) == "fft"
    x[-1] = np.nan
    assert ops.choose_conv_method(x, w) == "direct"
    y = ops.convolve(x, w)
    assert np.isnan(y[-3_000:]).all() and np.isfinite(y[:-3_000]).all()


# ---- the choice ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64], ids=lambda t: t.__name__)
def test_the_choice_is_right_where_one_method_wins_by_far(dtype, level):
    for image, kernel in (((10,), (3,)), ((100_000,), (5,)), ((512, 512), (3, 3))):
        assert ops.choose_conv_method(np.ones(image, dtype), np.ones(kernel, dtype)) == "direct"
    for image, kernel in (((50_000,), (50_000,)), ((400, 400), (300, 300))):
        assert ops.choose_conv_method(np.ones(image, dtype), np.ones(kernel, dtype)) == "fft"


def test_mode_counts():
    """Of two equal arrays only one sum is wanted in mode valid, and a transform computes them all."""
    x = np.ones((300, 300))
    assert ops.choose_conv_method(x, x) == "fft"
    assert ops.choose_conv_method(x, x, "valid") == "direct"


def test_measured_times_are_those_of_the_methods():
    method, seconds = ops.choose_conv_method(np.ones((200, 200)), np.ones((150, 150)), measure=True)
    assert method == "fft" and seconds["direct"] > seconds["fft"] > 0
    method, seconds = ops.choose_conv_method(np.full(9, np.nan), np.ones(9), measure=True)
    assert method == "direct" and list(seconds) == ["direct"]


@pytest.mark.parametrize("n", [*range(1, 200), 1023, 65537, 999_999])
def test_lengths_of_transforms_are_the_least_that_are_fast(n):
    def fast(m):
        for prime in (2, 3, 5):
            while m % prime == 0:
                m //= prime
        return m == 1

    length = signal._fast_length(n)
    assert length >= n and fast(length) and not any(map(fast, range(n, length)))


# ---- bad input -------------------------------------------------------------------------------------------

GOOD = np.ones(5)
BAD = [
    (dict(in1=[1.0, 2.0]), TypeError, "in1 must be a numpy.ndarray, got list"),
    (dict(in2=None), TypeError, "in2 must be a numpy.ndarray, got None"),
    (dict(in2=np.ma.masked_array(GOOD, GOOD > 0)), TypeError, "in2 .*MaskedArray"),
    (dict(in1=np.ones(5, np.float16)), TypeError, "in1 .* got float16.*astype"),
    (dict(in1=np.ones(5, np.longdouble)), TypeError, "in1 .*astype"),
    (dict(in1=np.ones(5, bool)), TypeError, "in1 .* got bool.*astype"),
    (dict(in1=np.ones(5, object)), TypeError, "in1 .* got object"),
    (dict(in1=np.ones(5, "M8[s]")), TypeError, "in1 .* got datetime64"),
    (dict(in1=np.ones(())), fastconv.ShapeError, r"in1 must be a signal \(N,\) or an image .*, got shape \(\)"),
    (dict(in1=np.ones((2, 3, 4)), in2=np.ones((2, 3, 4))), fastconv.ShapeError, r"in1 .*\(2, 3, 4\).*conv2d"),
    (dict(in1=np.ones((2, 3))), fastconv.ShapeError, r"same number of axes, got shapes \(2, 3\) and \(5,\)"),
    (dict(in1=np.ones(0)), fastconv.ShapeError, r"in1 is empty: shape \(0,\)"),
    (dict(in2=np.ones(0)), fastconv.ShapeError, "in2 is empty"),
    (dict(in1=np.ones((5, 7)), in2=np.ones((7, 5)), mode="valid"), fastconv.ShapeError, "'valid' .*'full' or 'same'"),
    (dict(mode="reflect"), ValueError, "mode must be one of 'full', 'same', 'valid', got 'reflect'"),
    (dict(mode=2), TypeError, "mode must be one of .* got 2"),
    (dict(in1=np.full(5, 2**60), in2=np.full(5, 3)), OverflowError, r"2\*\*53.*astype"),
    (dict(in1=np.full(5, -(2**63)), in2=np.full(5, 3)), OverflowError, r"2\*\*53"),
    (dict(in1=np.broadcast_to(np.float32(1), (2**24,) * 2), in2=np.ones((3, 3), np.float32)), ValueError, "limit"),
]  # fmt: skip


@pytest.mark.parametrize("op", [*OPS, "choose_conv_method"])
@pytest.mark.parametrize(("arguments", "error", "says"), BAD, ids=[row[2][:40] for row in BAD])
def test_bad_input(op, arguments, error, says):
    with pytest.raises(error, match=says):
        getattr(ops, op)(**{"in1": GOOD, "in2": GOOD} | arguments)


@pytest.mark.parametrize("op", OPS)
def test_bad_method(op):
    with pytest.raises(ValueError, match="method must be one of 'auto', 'direct', 'fft', got 'FFT'"):
        getattr(ops, op)(GOOD, GOOD, method="FFT")
    with pytest.raises(TypeError, match="method"):
        getattr(ops, op)(GOOD, GOOD, method=None)
    large = np.full(5, 2**25)
    assert (getattr(ops, op)(large, large)[4:5] == 5 * 2**50).all()
    with pytest.raises(ValueError, match="method='fft' could round .* method='direct' is exact"):
        getattr(ops, op)(large, large, method="fft")


def test_measure_is_a_flag():
    with pytest.raises(TypeError, match="measure must be True or False, got 1"):
        ops.choose_conv_method(GOOD, GOOD, measure=1)
