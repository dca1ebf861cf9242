"""Activations against their twins, on every level, with special values; and what they refuse."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from fastconv import _core, ops, reference

Array = np.ndarray[Any, Any]

#: name: the options to try. The gradients of the second group take y, not x.
OF_X: dict[str, list[dict[str, Any]]] = {
    "relu6": [{}],
    "leaky_relu": [{}, {"negative_slope": 0.3}, {"negative_slope": -1.5}],
    "hardsigmoid": [{}],
    "hardswish": [{}],
    "elu": [{}, {"alpha": 0.4}],
    "selu": [{}],
    "silu": [{}],
    "erf": [{}],
    "gelu": [{}, {"approximate": "tanh"}],
    "softplus": [{}, {"beta": 2.0, "threshold": 2.0}, {"beta": -0.5}],
    "softsign": [{}],
}
OF_Y: dict[str, list[dict[str, Any]]] = {"sigmoid": [{}], "tanh": [{}], "exponential": [{}]}
ALL = [pytest.param(name, options, id=f"{name}-{options}")
       for name, cases in {**OF_X, **OF_Y}.items() for options in cases]
LEVELS = [name for name, available in _core.isa_levels() if available]


@pytest.fixture(params=LEVELS)
def level(request: pytest.FixtureRequest) -> Iterator[str]:
    before = _core.isa()
    _core.set_isa(request.param)
    yield request.param
    _core.set_isa(before)


def numbers(dtype: Any) -> Array:
    """Of many sizes, with the kinks."""
    rng = np.random.default_rng(0)
    scales = 10.0 ** rng.uniform(-8, 1.3, 4001)
    kinks = [0.0, 3.0, -3.0, 6.0, 1.0, -1.0]
    return np.concatenate([scales * rng.choice([-1, 1], scales.size), kinks]).astype(dtype)


def functions(name: str, options: dict[str, Any], module: Any) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """f(x) and the gradient of its sum weighted with g."""
    f, back = getattr(module, name), getattr(module, name + "_backward")
    if name in OF_X:
        return lambda x: f(x, **options), lambda g, x: back(g, x, **options)
    return f, lambda g, x: back(g, f(x))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("name", "options"), ALL)
def test_agrees_with_its_twin(level: str, name: str, options: dict[str, Any], dtype: Any) -> None:
    x = numbers(dtype)
    grad = np.random.default_rng(1).standard_normal(x.size).astype(dtype)
    mine, twin = functions(name, options, ops), functions(name, options, reference)
    y, dx = mine[0](x), mine[1](grad, x)
    assert y.dtype == dx.dtype == dtype
    u = np.finfo(dtype).eps / 2
    # The relative error of e^z is the absolute one of z, which in gelu is a square, or a cubic polynomial.
    size = 8 + (2 * np.abs(x) ** (3 if options.get("approximate") else 2) if name in ("gelu", "erf") else np.abs(x))
    expected = twin[0](x)
    assert (np.abs(y - expected) <= size * u * np.abs(expected) + np.finfo(dtype).tiny).all()
    size = (2 + abs(options.get("beta", 1.0))) * size * np.maximum(1, np.abs(y))
    assert (np.abs(dx - twin[1](grad, x)) <= size * u * np.abs(grad)).all()


@pytest.mark.parametrize(("dtype", "units"), [(np.float32, 1.5), (np.float64, 2.2)])
def test_the_error_function_is_accurate(level: str, dtype: Any, units: float) -> None:
    x = np.concatenate([np.linspace(-7, 7, 40001), 10.0 ** np.linspace(-30, 0.9, 2000)]).astype(dtype)
    exact = np.array([math.erf(v) for v in x.astype(float)])
    assert (np.abs(ops.erf(x) - exact) <= units * np.finfo(dtype).eps / 2 * np.abs(exact)).all()


@pytest.mark.parametrize(("name", "options"), ALL)
def test_gradient(name: str, options: dict[str, Any]) -> None:
    x = np.random.default_rng(0).uniform(-2.9, 2.9, 400)
    x = x[np.abs(x) > 1e-3]
    f, back = functions(name, options, ops)
    if name == "softplus" and options.get("threshold") == 2.0:
        x = x[np.abs(2 * x - 2) > 1e-2]
    slope = (f(x + 1e-6) - f(x - 1e-6)) / 2e-6
    np.testing.assert_allclose(back(np.ones_like(x), x), slope, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("name", "options"), ALL)
def test_special_values(level: str, name: str, options: dict[str, Any], dtype: Any) -> None:
    x = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e30, -1e30, np.finfo(dtype).smallest_subnormal], dtype)
    with np.errstate(all="ignore"):
        y, expected = functions(name, options, ops)[0](x), functions(name, options, reference)[0](x)
    np.testing.assert_allclose(y, expected.astype(dtype), rtol=1e-6, atol=np.finfo(dtype).tiny)
    assert np.isnan(y[0])
    if options.get("negative_slope") is None and name not in ("sigmoid", "hardsigmoid", "exponential", "softplus"):
        np.testing.assert_array_equal(np.signbit(y[3:5]), [False, True], err_msg="the sign of 0")


@pytest.mark.parametrize(("name", "options"), ALL)
def test_every_way_to_store_an_array(name: str, options: dict[str, Any]) -> None:
    whole = np.random.default_rng(0).standard_normal((4, 6, 7)).astype(np.float32)
    f, back = functions(name, options, ops)
    for x in (whole[:, ::2], whole.T, whole[::-1], whole.astype(">f4"), whole[:0], whole[0, 0, 0:1].reshape(())):
        before = x.copy()
        x.flags.writeable = False
        y, dx = f(x), back(x, x)
        assert y.shape == dx.shape == x.shape and type(y) is type(dx) is np.ndarray
        plain = np.array(x, np.float32, order="C")
        np.testing.assert_array_equal(y, f(plain))
        np.testing.assert_array_equal(dx, back(plain, plain))
        np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("name", [n for n in {**OF_X, **OF_Y} if n not in ("softplus", "tanh", "exponential")])
def test_in_place_and_in_the_native_layout(name: str) -> None:
    x = np.random.default_rng(0).standard_normal((2, 16, 3, 5)).astype(np.float32)
    f, back = getattr(ops, name), getattr(ops, name + "_backward")
    y, dx = f(x), back(x, x)
    blocked = _core.block(x)
    np.testing.assert_array_equal(f(blocked).plain(), y)
    np.testing.assert_array_equal(back(blocked, blocked).plain(), dx)
    copy = x.copy()
    assert f(copy, out=copy) is copy
    np.testing.assert_array_equal(copy, y)
    with pytest.raises(ValueError, match="out is read-only"):
        f(x, out=np.broadcast_to(np.float32(0), x.shape))


def test_threads_and_pieces_change_nothing() -> None:
    x = np.random.default_rng(0).standard_normal(100_003).astype(np.float32)
    np.testing.assert_array_equal(ops.gelu(x)[7:100], ops.gelu(x[7:100]))
    np.testing.assert_array_equal(ops.silu(x)[-5:], ops.silu(x[-5:]))


@pytest.mark.parametrize("weight", [1, 3])
@pytest.mark.parametrize("shape", [(2, 3), (3,), (2, 3, 4), (2, 3, 4, 5), (0, 3, 2)])
def test_prelu(shape: tuple[int, ...], weight: int) -> None:
    rng = np.random.default_rng(0)
    x, slopes, grad = rng.standard_normal(shape), rng.standard_normal(weight), rng.standard_normal(shape)
    np.testing.assert_allclose(ops.prelu(x, slopes), reference.prelu(x, slopes), rtol=1e-15)
    for mine, exact in zip(ops.prelu_backward(grad, x, slopes), reference.prelu_backward(grad, x, slopes), strict=True):
        np.testing.assert_allclose(mine, exact, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_softmax(name: str, dtype: Any) -> None:
    rng = np.random.default_rng(0)
    cases = [((5,), 0), ((3, 4), 1), ((3, 4), 0), ((2, 3, 4, 5), 1), ((2, 3, 4), -2), ((0, 3), 1), ((3, 1), 1)]
    for shape, dim in cases:
        x = (rng.standard_normal(shape) * 20).astype(dtype)
        y, exact = getattr(ops, name)(x, dim), getattr(reference, name)(x, dim)
        assert y.dtype == dtype and y.shape == shape
        np.testing.assert_allclose(y, exact, rtol=300 * np.finfo(dtype).eps, atol=100 * np.finfo(dtype).eps)
        grad = rng.standard_normal(shape).astype(dtype)
        dx = getattr(ops, name + "_backward")(grad, y, dim)
        np.testing.assert_allclose(dx, getattr(reference, name + "_backward")(grad, y, dim), rtol=0,
                                   atol=50 * np.finfo(dtype).eps)
        if dtype == np.float64 and x.size:
            x /= 20
            y, eps = getattr(ops, name)(x, dim), 1e-6
            dx = getattr(ops, name + "_backward")(grad, y, dim)
            at = tuple(n // 2 for n in shape)
            step = np.zeros(shape)
            step[at] = eps
            f = getattr(ops, name)
            rise = (grad * (f(x + step, dim) - f(x - step, dim))).sum()
            np.testing.assert_allclose(dx[at], rise / (2 * eps), atol=1e-7)


def test_softmax_of_special_values() -> None:
    inf, nan = np.inf, np.nan
    x = np.array([[1e30, 0.0], [-inf, 0.0], [-inf, -inf], [inf, 0.0], [nan, 0.0]], np.float32)
    np.testing.assert_array_equal(ops.softmax(x, 1), [[1, 0], [0, 1], [nan, nan], [nan, nan], [nan, nan]])
    np.testing.assert_array_equal(ops.log_softmax(x, 1)[:3], np.float32([[0, -1e30], [-inf, 0], [nan, nan]]))
    assert ops.softmax(np.array(3.0), 0).tolist() == 1.0


X = np.zeros((2, 3))


@pytest.mark.parametrize(("call", "kind", "says"), [
    (lambda: ops.relu6([1.0]), TypeError, "x must be a numpy.ndarray"),
    (lambda: ops.gelu(X.astype(int)), TypeError, "x must be float32 or float64, got int64"),
    (lambda: ops.gelu(X, "Tanh"), ValueError, "approximate must be one of 'none', 'tanh'"),
    (lambda: ops.gelu_backward(X, X, None), TypeError, "approximate"),
    (lambda: ops.silu_backward(X.T, X), ValueError, r"x must have the shape of grad_output \(3, 2\)"),
    (lambda: ops.silu_backward(X, X.astype(np.float32)), TypeError, "same element type"),
    (lambda: ops.sigmoid_backward(X, None), TypeError, "y must be a numpy.ndarray, got None"),
    (lambda: ops.elu(X, "1"), TypeError, "alpha must be a number"),
    (lambda: ops.elu_backward(X, X, math.nan), ValueError, "alpha must be a finite number"),
    (lambda: ops.leaky_relu(X, True), TypeError, "negative_slope must be a number"),
    (lambda: ops.softplus(X, 0), ValueError, "beta must not be 0"),
    (lambda: ops.softplus(X, 1, math.inf), ValueError, "threshold must be a finite number"),
    (lambda: ops.softplus_backward(X, X, 0.0), ValueError, "beta must not be 0"),
    (lambda: ops.prelu(X, np.zeros(2)), ValueError, r"weight must be \(1,\) or have one number per channel"),
    (lambda: ops.prelu(X, np.zeros((1, 3))), ValueError, "weight"),
    (lambda: ops.prelu(X, np.zeros(3, np.float32)), TypeError, "same element type"),
    (lambda: ops.prelu_backward(X[0], X, np.zeros(3)), ValueError, "grad_output must have the shape of x"),
    (lambda: ops.exponential(None), TypeError, "x must be a numpy.ndarray"),
    (lambda: ops.exponential_backward(X[0], X), ValueError, "grad_output must have the shape of y"),
    (lambda: ops.tanh(np.ma.masked_array(X)), TypeError, "MaskedArray"),
    (lambda: ops.softmax(X, 2), ValueError, "dim=2 is no axis of x"),
    (lambda: ops.softmax(X, 1.0), TypeError, "dim must be an integer"),
    (lambda: ops.softmax(X, None), TypeError, "dim must be an integer"),
    (lambda: ops.log_softmax(X, -3), ValueError, "dim=-3 is no axis"),
    (lambda: ops.softmax_backward(X, X[0], 0), ValueError, "grad_output must have the shape of y"),
    (lambda: ops.log_softmax_backward(X.astype(np.float32), X, 0), TypeError, "same element type"),
])
def test_bad_input_is_named(call: Any, kind: type[Exception], says: str) -> None:
    with pytest.raises(kind, match=says):
        call()
