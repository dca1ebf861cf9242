"""Layer, group, instance and local response normalisation, batch norm on any axes, and dropout, against their twins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fastconv import nn, ops, reference
from fastconv.autograd import tensor

Array = np.ndarray[Any, Any]
RNG = np.random.default_rng(0)
SHAPES = [(3, 6), (2, 6, 5), (2, 6, 4, 7), (2, 6, 2, 3, 4), (0, 6, 4), (1, 6, 1, 1), (5, 6, 33)]
# name: (what comes after x, shapes, the shape of weight and bias)
CASES: list[tuple[str, tuple[Any, ...], tuple[int, ...], Any]] = [
    *(("group_norm", (groups,), shape, (6,)) for groups in (1, 2, 6) for shape in SHAPES),
    *(("layer_norm", (shape,), (2, 3, *shape), shape) for shape in ((7,), (1,), (4, 5))),
    ("layer_norm", (100,), (0, 100), (100,)),
    ("layer_norm", (6,), (6,), (6,)),
]


def draw(shape: Any, dtype: Any) -> Array:
    return (RNG.standard_normal(shape) * 2 + 3).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize(("name", "arguments", "shape", "channels"), CASES, ids=str)
def test_agrees_with_its_twin(
    name: str, arguments: tuple[Any, ...], shape: tuple[int, ...], channels: tuple[int, ...], affine: bool, dtype: Any
) -> None:
    x, grad = draw(shape, dtype), draw(shape, dtype)
    weight, bias = (draw(channels, dtype), draw(channels, dtype)) if affine else (None, None)
    y, mean, var = getattr(ops, name)(x, *arguments, weight, bias, return_statistics=True)
    exact = getattr(reference, name)(x, *arguments, weight, bias, return_statistics=True)
    u = np.finfo(dtype).eps
    assert y.dtype == dtype and y.shape == shape and mean.dtype == var.dtype == np.float64
    np.testing.assert_allclose(y, exact[0], rtol=0, atol=300 * u)
    np.testing.assert_allclose(mean, exact[1], rtol=1e-12)
    np.testing.assert_allclose(var, exact[2], rtol=1e-10, atol=1e-13)
    mine = getattr(ops, name + "_backward")(grad, x, *arguments, mean, var, weight)
    twin = getattr(reference, name + "_backward")(grad, x, *arguments, exact[1], exact[2], weight)
    spread = 1 / np.sqrt(min(var, default=1) + 1e-5)
    for a, b in zip(mine, twin, strict=True):
        assert a.dtype == dtype
        np.testing.assert_allclose(a, b, rtol=0, atol=2000 * u * max(spread, 1) ** 2)
    assert getattr(ops, name + "_backward")(grad, x, *arguments, mean, var, weight, needs=(False,) * 3) == (None,) * 3


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("shape", [(2, 3, 5), (4, 3, 4, 7), (2, 3, 2, 3, 4)])
def test_instance_norm(shape: tuple[int, ...], own: bool) -> None:
    x, grad, weight, bias = draw(shape, float), draw(shape, float), draw(3, float), draw(3, float)
    running = [np.zeros(3), np.ones(3)], [np.zeros(3), np.ones(3)]
    y, mean, var = ops.instance_norm(x, *running[0], weight, bias, own, 0.3, return_statistics=True)
    exact = reference.instance_norm(x, *running[1], weight, bias, own, 0.3, return_statistics=True)
    for a, b in zip((y, mean, var, *running[0]), (*exact, *running[1]), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)
    mine = ops.instance_norm_backward(grad, x, mean, var, weight, own)
    for a, b in zip(mine, reference.instance_norm_backward(grad, x, *exact[1:], weight, own), strict=True):
        assert a is not None
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("size", [1, 2, 5, 40])
@pytest.mark.parametrize("shape", [(2, 6, 3), (1, 6, 4, 5), (2, 1, 2, 2, 2), (0, 4, 2)])
def test_local_response_norm(shape: tuple[int, ...], size: int) -> None:
    x, grad = draw(shape, float), draw(shape, float)
    for options in ({}, {"alpha": 0.7, "beta": 0.5, "k": 2.0}):
        y = ops.local_response_norm(x, size, **options)
        np.testing.assert_allclose(y, reference.local_response_norm(x, size, **options), rtol=1e-13)
        dx = ops.local_response_norm_backward(grad, x, size, **options)
        np.testing.assert_allclose(dx, reference.local_response_norm_backward(grad, x, size, **options), atol=1e-11)


@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 5), (2, 3, 2, 3, 4)])
def test_batch_norm_on_any_axes(shape: tuple[int, ...]) -> None:
    x, grad, weight, bias = draw(shape, float), draw(shape, float), draw(3, float), draw(3, float)
    y, mean, var = ops.batch_norm(x, None, None, weight, bias, True, return_statistics=True)
    exact = reference.batch_norm(x, None, None, weight, bias, True, return_statistics=True)
    for a, b in zip((y, mean, var), exact, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-12)
    mine = ops.batch_norm_backward(grad, x, mean, var, weight, bias, True)
    for a, b in zip(mine, reference.batch_norm_backward(grad, x, mean, var, weight, bias, True), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)
    last = np.moveaxis(x, 1, -1)
    np.testing.assert_allclose(np.moveaxis(ops.batch_norm(last, mean, var, layout="NHWC"), -1, 1),
                               ops.batch_norm(x, mean, var), rtol=1e-13)


@pytest.mark.parametrize("whole_channels", [False, True])
def test_dropout(whole_channels: bool) -> None:
    x = draw((8, 50, 3, 4), np.float32)
    y, keep = ops.dropout(x, 0.25, np.random.default_rng(0), whole_channels=whole_channels)
    exact = reference.dropout(x, 0.25, np.random.default_rng(0), whole_channels=whole_channels)
    np.testing.assert_array_equal(keep, exact[1])
    np.testing.assert_allclose(y, exact[0], rtol=1e-6)
    assert 0.68 < keep.mean() < 0.82 and keep.shape == ((8, 50, 1, 1) if whole_channels else x.shape)
    dx = ops.dropout_backward(x, keep, 0.25)
    np.testing.assert_allclose(dx, reference.dropout_backward(x, keep, 0.25), rtol=1e-6)


def test_storage_does_not_matter() -> None:
    whole = draw((4, 6, 8, 10), np.float32)
    calls: list[Callable[[Array], Any]] = [
        lambda x: ops.group_norm(x, 2, np.ones(6, np.float32) * 2), lambda x: ops.layer_norm(x, x.shape[-1]),
        lambda x: ops.instance_norm(x), lambda x: ops.local_response_norm(x, 3),
    ]
    for call in calls:
        for x in (whole[:, :, ::2], whole.transpose(0, 1, 3, 2), whole[::-1, :, :, 1:], whole.astype(">f4")):
            x.flags.writeable = False
            np.testing.assert_array_equal(call(x), call(np.array(x, np.float32, order="C")))


def test_not_a_number_stays_in_its_set() -> None:
    x = draw((2, 4, 3, 3), np.float32)
    x[0, 1, 0, 0] = np.nan
    assert np.isnan(ops.group_norm(x, 2)[0, :2]).all() and not np.isnan(ops.group_norm(x, 2)[0, 2:]).any()
    assert np.isnan(ops.layer_norm(x, 3)).sum() == 3


def test_a_batch_changes_no_bits() -> None:
    x = draw((5, 8, 9, 9), np.float32)
    for call in (lambda a: ops.group_norm(a, 2), lambda a: ops.layer_norm(a, (9, 9)), lambda a: ops.instance_norm(a)):
        np.testing.assert_array_equal(call(x)[3:4], call(x[3:4]))


def test_smooth_activations_stay_in_the_native_layout() -> None:
    x = tensor(draw((2, 16, 8, 8), np.float32), requires_grad=True)
    conv, after = nn.Conv2d(16, 32, 3, padding=1), nn.Conv2d(32, 16, 3, padding=1)
    results = []
    for activation in (nn.SiLU(), nn.GELU(), nn.Hardswish(), nn.LeakyReLU()):
        hidden = activation(conv(x))
        after(hidden).sum().backward()
        assert x.grad is not None
        results.append((hidden, x.grad.numpy()))
        x.grad = None
        plain = activation(tensor(conv(x).numpy().copy()))
        np.testing.assert_array_equal(hidden.numpy(), plain.numpy())
    assert all(np.isfinite(g).all() for _, g in results)


X = np.ones((2, 4, 3))
STATS = np.ones(4), np.ones(4)
GEN = np.random.default_rng(0)


@pytest.mark.parametrize(("call", "kind", "says"), [
    (lambda: ops.layer_norm(X, 4), ValueError, "x must end with the axes normalized_shape=4"),
    (lambda: ops.layer_norm(X, ()), ValueError, "normalized_shape"),
    (lambda: ops.layer_norm(X, 3.0), TypeError, "normalized_shape must be an integer"),
    (lambda: ops.layer_norm(X, 3, np.ones(4)), ValueError, "weight must have the shape normalized_shape"),
    (lambda: ops.layer_norm(X, 3, np.ones(3, np.float32)), TypeError, "same element type"),
    (lambda: ops.layer_norm(X, 3, eps=-1), ValueError, "eps must be a finite number between 0"),
    (lambda: ops.layer_norm([1.0], 1), TypeError, "x must be a numpy.ndarray"),
    (lambda: ops.layer_norm_backward(X[0], X, 3, np.ones(8), np.ones(8)), ValueError, "grad_output must have"),
    (lambda: ops.layer_norm_backward(X, X, 3, np.ones(7), np.ones(8)), ValueError, "mean must have"),
    (lambda: ops.layer_norm_backward(X, X, 3, None, np.ones(8)), TypeError, "mean must be given"),
    (lambda: ops.group_norm(X, 3), ValueError, "num_groups=3 does not divide the 4 channels"),
    (lambda: ops.group_norm(X, 0), ValueError, "num_groups must be between 1"),
    (lambda: ops.group_norm(X[0, 0], 1), ValueError, "x must be"),
    (lambda: ops.group_norm(X[:, :, :0], 2), ValueError, "x is empty"),
    (lambda: ops.group_norm(X, 2, np.ones(3)), ValueError, "weight must have one number per channel"),
    (lambda: ops.group_norm_backward(X, X, 2, np.ones(3), np.ones(4)), ValueError, "mean must have"),
    (lambda: ops.group_norm_backward(X, X, 2, *STATS, needs=(True,)), ValueError, "needs must be a tuple of 3"),
    (lambda: ops.instance_norm(X[..., :1]), ValueError, "more than one value per channel"),
    (lambda: ops.instance_norm(X, use_input_stats=False), ValueError, "running_mean and running_var must be given"),
    (lambda: ops.instance_norm(X, use_input_stats=1), TypeError, "use_input_stats must be True or False"),
    (lambda: ops.instance_norm(X, momentum=2), ValueError, "momentum must be a finite number between 0 and 1"),
    (lambda: ops.instance_norm(X, np.zeros(3)), ValueError, "running_mean must have one number per channel"),
    (lambda: ops.instance_norm(X, np.broadcast_to(1.0, 4)), ValueError, "running_mean is read-only"),
    (lambda: ops.instance_norm_backward(X[0], X, *STATS), ValueError, "grad_output|mean"),
    (lambda: ops.local_response_norm(X, 0), ValueError, "size must be between 1"),
    (lambda: ops.local_response_norm(X[0], 2), ValueError, "at least one spatial axis"),
    (lambda: ops.local_response_norm(X, 2, alpha="1"), TypeError, "alpha must be a number"),
    (lambda: ops.local_response_norm_backward(X[0], X, 2), ValueError, "grad_output must have the shape of x"),
    (lambda: ops.dropout(X, 1.5, GEN), ValueError, "p must be a finite number between 0 and 1"),
    (lambda: ops.dropout(X, 0.5, 3), TypeError, "rng must be a numpy.random.Generator"),
    (lambda: ops.dropout(X[0, 0], 0.5, GEN, whole_channels=True), ValueError, "whole_channels"),
    (lambda: ops.dropout_backward(X, X, 0.5), TypeError, "keep must be the booleans"),
    (lambda: ops.dropout_backward(X, np.ones((2, 3, 3), bool), 0.5), ValueError, "grad_output must have the shape"),
    (lambda: nn.GroupNorm(3, 4), ValueError, "num_groups=3 does not divide num_channels=4"),
    (lambda: nn.LayerNorm(0), ValueError, "normalized_shape must be between 1"),
    (lambda: nn.InstanceNorm2d(2.5), TypeError, "num_features must be an integer"),
    (lambda: nn.Softplus(0), ValueError, "beta must not be 0"),
    (lambda: nn.GELU("erf"), ValueError, "approximate must be one of"),
    (lambda: nn.Activation("rely"), ValueError, "activation must be one of"),
    (lambda: nn.PReLU(0), ValueError, "num_parameters must be between 1"),
    (lambda: nn.Dropout2d(-0.1), ValueError, "p must be a finite number between 0 and 1"),
    (lambda: nn.Dropout3d()(X), ValueError, "dropout3d takes 5 or 4 axes"),
    (lambda: nn.ZeroPad2d((1, 2)), ValueError, "padding must be an integer or 4 integers"),
    (lambda: nn.ZeroPad2d(1.5), TypeError, "padding must be an integer"),
    (lambda: nn.ReflectionPad1d(-1), ValueError, "padding must not crop"),
    (lambda: nn.ConstantPad1d(1, "0"), TypeError, "value must be a number"),
    (lambda: nn.ZeroPad2d(1)(X[0]), ValueError, "input must have 2 spatial axes"),
    (lambda: nn.Upsample(mode="cubic"), ValueError, "mode must be one of"),
    (lambda: nn.Upsample(5, recompute_scale_factor=True)(X), ValueError, "recompute_scale_factor=True needs"),
    (lambda: nn.PixelShuffle(0), ValueError, "upscale_factor must be between 1"),
    (lambda: nn.PixelShuffle(2)(X[0]), ValueError, r"input of pixel_shuffle must be \(..., C, H, W\)"),
    (lambda: nn.ChannelShuffle(3)(X), ValueError, "groups=3 does not divide"),
])
def test_bad_input_is_named(call: Any, kind: type[Exception], says: str) -> None:
    with pytest.raises(kind, match=says):
        call()
