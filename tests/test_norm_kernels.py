# SPDX-License-Identifier: BSD-3-Clause
"""Batch normalisation and the element-wise operations: against their float64 twins, in every layout, bit by bit."""

import itertools
from typing import Any

import numpy as np
import pytest

from fastconv import _core, ops, reference

DTYPES = [np.float32, np.float64]
# Channels that fill blocks and do not; planes of one pixel, of whole vectors, of more than a strip; batches of
# one, and of more images than pieces.
SHAPES = [
    (2, 16, 8, 8), (3, 5, 7, 9), (1, 20, 1, 33), (20, 33, 5, 5), (2, 3, 70, 71), (4, 18, 1, 1), (17, 1, 3, 3),
    (1, 2, 100, 90), (2, 300, 3, 2),
]
LAYOUTS = ["plain", "fortran", "reversed", "gaps", "NHWC", "blocked"]


def stored(x: Any, layout: str) -> Any:
    """The images x (N, C, H, W), stored otherwise."""
    if layout == "fortran":
        return np.asfortranarray(x)
    if layout == "reversed":
        return np.ascontiguousarray(x[:, ::-1, :, ::-1])[:, ::-1, :, ::-1]
    if layout == "gaps":
        wide = np.full((*x.shape[:3], x.shape[3] + 3), np.nan, x.dtype)
        wide[..., : x.shape[3]] = x
        return wide[..., : x.shape[3]]
    if layout == "NHWC":
        return np.ascontiguousarray(x.transpose(0, 2, 3, 1))
    if layout == "blocked":
        return _core.block(np.pad(x, ((0, 0), (0, -x.shape[1] % 16), (0, 0), (0, 0))))
    return x


def restored(y: Any, layout: str, channels: int) -> Any:
    """The inverse, with a look at the padding of a block."""
    if layout == "blocked":
        plain = y.plain()
        assert not plain[:, channels:].any()
        return plain[:, :channels]
    return y.transpose(0, 3, 1, 2) if layout == "NHWC" else y


def problem(shape: tuple[int, ...], dtype: Any, seed: int = 0) -> tuple[Any, ...]:
    rng = np.random.default_rng([seed, *shape])
    channels = shape[1]
    x, grad = rng.normal(3, 2, shape).astype(dtype), rng.standard_normal(shape).astype(dtype)
    weight, bias = rng.standard_normal(channels).astype(dtype), rng.standard_normal(channels).astype(dtype)
    return x, grad, weight, bias, rng.standard_normal(channels), rng.uniform(0.5, 2, channels)


def both_passes(arrays: tuple[Any, ...], layout: str, training: bool, relu: bool) -> tuple[Any, ...]:
    """(y, mean, var, dx, dweight, dbias) of arrays in a layout; what they are written to is full of sevens."""
    x, grad, weight, bias, mean, var = arrays
    options: dict[str, Any] = {"relu": relu, "layout": "NHWC" if layout == "NHWC" else "NCHW"}
    images, grads = stored(x, layout), stored(grad, layout)
    if layout == "blocked":
        options["out"] = _core.Blocked(np.full_like(images.array, 7))
    else:
        options["out"] = np.full(images.shape, 7, x.dtype)
    running = (None, None) if training else (mean, var)
    y, mean, var = ops.batch_norm(
        images, *running, weight, bias, training, return_statistics=True, **options
    )
    y = restored(y, layout, x.shape[1]).copy()
    dx, dweight, dbias = ops.batch_norm_backward(grads, images, mean, var, weight, bias, training, **options)
    return y, mean, var, restored(dx, layout, x.shape[1]), dweight, dbias


def bounds(arrays: tuple[Any, ...], statistics: tuple[Any, ...], training: bool, dtype: Any) -> tuple[Any, ...]:
    """Of the errors of y and dx: the roundings of x - m, of the coefficients and of the two or three operations.

    The sums are formed in double; for float64 data they add their own rounding error, of at most n u relative
    to the magnitudes, and the variance's is carried on by the deviation.
    """
    x, grad, weight, bias = (np.abs(a.astype(np.float64)) for a in arrays[:4])
    mean, var = (s[:, None, None] for s in statistics)
    n = x.size // x.shape[1]
    u = np.finfo(dtype).eps / 2
    grow = 6 if dtype == np.float32 else 6 + 4 * n
    deviation = np.sqrt(var + 1e-5)
    scale = weight[:, None, None] / deviation
    distance = np.abs(arrays[0] - mean) + (0 if dtype == np.float32 else np.abs(mean) + x.max())
    y = grow * u * (distance * scale + bias[:, None, None])
    dx = grow * u * scale * grad
    if training:
        per = grad.sum((0, 2, 3))[:, None, None] / n
        dot = (grad * distance).sum((0, 2, 3))[:, None, None] / n
        dx = dx + grow * u * scale * (per + distance / deviation**2 * dot)
    return y, dx


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("training", "relu"), list(itertools.product((True, False), repeat=2)))
def test_batch_norm_is_within_its_bounds(level: str, dtype: Any, training: bool, relu: bool) -> None:
    for shape in SHAPES:
        arrays = problem(shape, dtype)
        x, grad, weight, bias, mean, var = arrays
        y, mean, var, dx, dweight, dbias = both_passes(arrays, "plain", training, relu)
        right, right_mean, right_var = reference.batch_norm(
            x, arrays[4], arrays[5], weight, bias, training, 0, relu=relu, return_statistics=True
        )
        np.testing.assert_allclose(mean, right_mean, rtol=1e-13, atol=1e-14)
        np.testing.assert_allclose(var, right_var, rtol=1e-12)
        y_bound, dx_bound = bounds(arrays, (right_mean, right_var), training, dtype)
        assert (np.abs(y - right) <= y_bound).all()
        # Where y is so small that its rounding decides whether it is positive, either gradient is right.
        passed = np.where(y <= 0, 0, grad) if relu else grad
        right_dx, right_dweight, right_dbias = reference.batch_norm_backward(
            passed, x, right_mean, right_var, weight, bias, training
        )
        assert (np.abs(dx - right_dx) <= dx_bound).all()
        tolerance = 1e-6 if dtype == np.float32 else 1e-12
        np.testing.assert_allclose(dweight, right_dweight, rtol=tolerance, atol=tolerance)
        np.testing.assert_allclose(dbias, right_dbias, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("training", "relu"), list(itertools.product((True, False), repeat=2)))
def test_the_same_bits_in_every_layout(level: str, two_threads: None, dtype: Any, training: bool, relu: bool) -> None:
    for shape in SHAPES:
        arrays = problem(shape, dtype)
        expected = both_passes(arrays, "plain", training, relu)
        for layout in LAYOUTS[1:]:
            for mine, right in zip(both_passes(arrays, layout, training, relu), expected, strict=True):
                np.testing.assert_array_equal(mine, right, err_msg=f"{layout} {shape}")


@pytest.mark.parametrize("layout", ["plain", "NHWC", "blocked"])
@pytest.mark.parametrize("shape", [(3, 16, 128, 128), (40, 64, 32, 32), (1, 40, 200, 200)])
def test_the_same_bits_for_any_number_of_threads(level: str, layout: str, shape: tuple[int, ...]) -> None:
    arrays = problem(shape, np.float32)
    expected = both_passes(arrays, layout, True, True)
    _core.set_num_threads(3)
    try:
        for mine, right in zip(both_passes(arrays, layout, True, True), expected, strict=True):
            np.testing.assert_array_equal(mine, right)
    finally:
        _core.set_num_threads(1)


def test_an_image_has_the_same_bits_in_every_batch(level: str) -> None:
    arrays = problem((5, 20, 7, 7), np.float32)
    whole = both_passes(arrays, "plain", False, True)
    alone = both_passes((arrays[0][3:4], arrays[1][3:4], *arrays[2:]), "plain", False, True)
    np.testing.assert_array_equal(whole[0][3:4], alone[0])
    np.testing.assert_array_equal(whole[3][3:4], alone[3])


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_large_mean_keeps_the_digits(level: str, dtype: Any) -> None:
    offset = 1e5 if dtype == np.float32 else 1e9
    x = (np.random.default_rng(0).standard_normal((8, 17, 16, 16)) + offset).astype(dtype)
    _, mean, var = ops.batch_norm(x, None, None, training=True, return_statistics=True)
    exact = x.astype(np.longdouble)
    right = exact.mean((0, 2, 3))
    np.testing.assert_allclose(mean, right.astype(np.float64), rtol=1e-15)
    np.testing.assert_allclose(var, exact.var((0, 2, 3)).astype(np.float64), rtol=1e-11)


def test_equal_values_and_one_that_differs(level: str) -> None:
    x = np.full((2, 3, 50, 50), 1e6, np.float32)
    y, mean, var = ops.batch_norm(x, None, None, training=True, return_statistics=True)
    assert not y.any() and (mean == 1e6).all() and not var.any()
    x[0, :, 0, 0] = -1e6    # the value that all others are compared to
    _, mean, var = ops.batch_norm(x, None, None, training=True, return_statistics=True)
    exact = x.astype(np.float64)
    np.testing.assert_allclose(mean, exact.mean((0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(var, exact.var((0, 2, 3)), rtol=1e-9)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [(0, 0, 0), (1, 4, 6)])
def test_special_values_stay_in_their_channel(level: str, layout: str, value: float, place: tuple[int, ...]) -> None:
    arrays = problem((2, 20, 5, 7), np.float32)
    clean = both_passes(arrays, layout, True, True)
    arrays[0][place[0], 3, place[1], place[2]] = value
    spoiled = both_passes(arrays, layout, True, True)
    others = np.arange(20) != 3
    for mine, right in zip(spoiled, clean, strict=True):
        axis = 1 if mine.ndim == 4 else 0
        np.testing.assert_array_equal(mine.compress(others, axis), right.compress(others, axis))
        if right is not clean[5] and right is not clean[1]:
            assert np.isnan(mine.compress(~others, axis)).all()
    np.testing.assert_array_equal(spoiled[1][3], value)
    given = both_passes(arrays, layout, False, False)
    y, dx = given[0], given[3]
    assert np.isfinite(dx).all()
    assert (~np.isfinite(y)).sum() == 1 and not np.isfinite(y[place[0], 3, place[1], place[2]])


def test_running_statistics_move_as_they_should() -> None:
    arrays = problem((3, 5, 4, 4), np.float32)
    x, _, weight, bias, mean, var = arrays
    mine, right = (mean.astype(np.float32), var.astype(np.float32)), (mean.copy(), var.copy())
    y = ops.batch_norm(x, *mine, weight, bias, True, 0.3)
    expected = reference.batch_norm(x, *right, weight, bias, True, 0.3)
    np.testing.assert_allclose(y, expected, atol=1e-5)
    np.testing.assert_allclose(mine, right, rtol=1e-6)


def test_the_gradient_is_that_of_finite_differences() -> None:
    x, grad, weight, bias, _, _ = problem((3, 2, 2, 3), np.float64)
    _, mean, var = ops.batch_norm(x, None, None, weight, bias, True, return_statistics=True)
    for relu in (False, True):
        gradients = ops.batch_norm_backward(grad, x, mean, var, weight, bias, True, relu=relu)
        for array, gradient in zip((x, weight, bias), gradients, strict=True):
            for index in np.ndindex(array.shape):
                kept, values = array[index], []
                for step in (1e-6, -1e-6):
                    array[index] = kept + step
                    values.append(float((grad * ops.batch_norm(x, None, None, weight, bias, True, relu=relu)).sum()))
                array[index] = kept
                assert gradient is not None
                assert abs((values[0] - values[1]) / 2e-6 - gradient[index]) < 1e-6


@pytest.mark.parametrize("needs", list(itertools.product((True, False), repeat=3)))
@pytest.mark.parametrize("training", [True, False])
def test_only_what_is_needed(needs: tuple[bool, bool, bool], training: bool) -> None:
    x, grad, weight, bias, mean, var = problem((3, 5, 4, 4), np.float32)
    everything = ops.batch_norm_backward(grad, x, mean, var, weight, bias, training)
    for mine, right, need in zip(
        ops.batch_norm_backward(grad, x, mean, var, weight, bias, training, needs=needs), everything, needs, strict=True
    ):
        assert (mine is not None) == need
        if mine is not None:
            np.testing.assert_array_equal(mine, right)


def test_an_empty_batch() -> None:
    x = np.zeros((0, 3, 4, 4), np.float32)
    ones = np.ones(3)
    assert ops.batch_norm(x, ones, ones).shape == x.shape
    dx, dweight, dbias = ops.batch_norm_backward(x, x, ones, ones)
    assert dx is not None and dx.shape == x.shape
    assert dweight is not None and not dweight.any() and dbias is not None and not dbias.any()


X = np.zeros((2, 3, 4, 4), np.float32)
ONES = np.ones(3)
NATIVE = _core.block(np.zeros((2, 16, 4, 4), np.float32))


@pytest.mark.parametrize(("call", "kind", "text"), [
    (lambda: ops.batch_norm(X, None, None), ValueError, "must be given where training is False"),
    (lambda: ops.batch_norm(X[0, 0, 0], ONES, ONES), ValueError, "x must have 4 axes"),
    (lambda: ops.batch_norm(X, ONES[:2], ONES), ValueError, r"running_mean must have one number per channel, \(3,\)"),
    (lambda: ops.batch_norm(X, ONES, ONES, ONES), TypeError, "x and weight should be the same element type"),
    (lambda: ops.batch_norm(X, ONES, ONES, eps=-1), ValueError, "eps must be"),
    (lambda: ops.batch_norm(X, ONES, ONES, eps=True), TypeError, "eps must be"),
    (lambda: ops.batch_norm(X, ONES, ONES, training=1), TypeError, "training must be True or False"),
    (lambda: ops.batch_norm(X, ONES, ONES, relu="yes"), TypeError, "relu must be True or False"),
    (lambda: ops.batch_norm(X, ONES, ONES, layout="CHWN"), ValueError, "layout must be one of"),
    (lambda: ops.batch_norm(X, ONES, ONES, out=X), ValueError, "out overlaps an input"),
    (lambda: ops.batch_norm(X, ONES, ONES, out=X[:1]), ValueError, "out must have the shape"),
    (lambda: ops.batch_norm(X[:1, :, :1, :1], None, None, training=True), ValueError, "more than one value"),
    (lambda: ops.batch_norm(X.astype(int), ONES, ONES), TypeError, "x must be float32 or float64"),
    (lambda: ops.batch_norm(X, ONES.astype(np.float16), ONES), TypeError, "running_mean must be float32"),
    (lambda: ops.batch_norm_backward(X[:1], X, ONES, ONES), ValueError, "grad_output must have the shape"),
    (lambda: ops.batch_norm_backward(NATIVE, X, ONES, ONES), TypeError, "both"),
    (lambda: ops.relu([1.0]), TypeError, "x must be a numpy.ndarray"),
    (lambda: ops.relu(X, out=np.zeros(3, np.float32)), ValueError, "out must have the shape"),
    (lambda: ops.relu(X[:1], out=X[1:].astype(float)), TypeError, "out must be float32"),
    (lambda: ops.relu(X.ravel()[:-1], out=X.ravel()[1:]), ValueError, "out overlaps an input"),
    (lambda: ops.add(X, X[:1]), ValueError, "b must have the shape of a"),
    (lambda: ops.add(X, X.astype(float)), TypeError, "a and b should be the same element type"),
    (lambda: ops.add(X, NATIVE), TypeError, "b must be a numpy.ndarray"),
])
def test_what_does_not_fit_is_refused(call: Any, kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text):
        call()


# ---- Element by element ----------------------------------------------------------------------------------


SPECIAL = [np.nan, 0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, 1e-45, -1e-45, np.nan]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [0, 1, 2, 3, 7, 16, 31, 100, 70_000])
def test_element_by_element(level: str, two_threads: None, dtype: Any, size: int) -> None:
    rng = np.random.default_rng(size)
    a, b = (np.resize(rng.permutation(SPECIAL + list(rng.standard_normal(20))), size).astype(dtype) for _ in "ab")
    np.testing.assert_array_equal(ops.relu(a), reference.relu(a))
    np.testing.assert_array_equal(ops.relu_backward(a, b), reference.relu_backward(a, b))
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(ops.add(a, b), a + b)
        np.testing.assert_array_equal(ops.add(a, b, relu=True), reference.relu(a + b))
    for call, into in ((ops.relu, a.copy()), (lambda x, out: ops.add(b, x, out=out), a.copy())):
        expected = call(into.copy(), out=np.empty_like(into))
        assert call(into, out=into) is into
        np.testing.assert_array_equal(into, expected)


@pytest.mark.parametrize("name", ["relu", "relu_backward", "add"])
def test_arrays_of_any_storage(name: str) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 16, 5, 6)), rng.standard_normal((2, 16, 5, 6))
    call = getattr(ops, name)
    expected = call(a) if name == "relu" else call(a, b)
    for first, second in itertools.product(LAYOUTS[:4], repeat=2):
        x, y = stored(a, first), stored(b, second)
        result = call(x) if name == "relu" else call(x, y)
        np.testing.assert_array_equal(result, expected)
    swapped = ops.relu(a.transpose(0, 2, 3, 1))
    assert swapped.strides == np.empty_like(a.transpose(0, 2, 3, 1)).strides
    native = call(_core.block(a)) if name == "relu" else call(_core.block(a), _core.block(b))
    np.testing.assert_array_equal(native.plain(), expected)
    assert ops.relu(np.array(-1.0)).shape == ()
