# SPDX-License-Identifier: BSD-3-Clause
"""Pooling of one to three axes against its twins: exact on integers, within bounds on other numbers."""

import re
from typing import Any

import numpy as np
import pytest

from fastconv import nn, ops, reference
from fastconv.autograd import tensor
from fastconv.ops._check import LAYOUTS_OF
from fastconv.random import manual_seed

AXES = (1, 2, 3)


def integers(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    return rng.integers(-4, 5, shape).astype(np.float64)


def with_nans(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    """Ties, NaN and infinities."""
    x = integers(rng, shape)
    for value in (np.nan, np.inf, -np.inf):
        x[rng.random(shape) < 0.03] = value
    return x


def random_windows(rng: np.random.Generator, axes: int, dilated: bool) -> tuple[tuple[int, ...], tuple[Any, ...]]:
    """The size of an image, and kernel_size, stride, padding, dilation that fit it."""
    kernel = tuple(int(k) for k in rng.integers(1, 5, axes))
    dilation = tuple(int(d) for d in rng.integers(1, 4, axes)) if dilated else (1,) * axes
    effective = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    padding = tuple((int(rng.integers(0, e // 2 + 1)), int(rng.integers(0, e // 2 + 1))) for e in effective)
    size = tuple(int(rng.integers(max(e - sum(p), d), 13)) if e - sum(p) < 12 else 12
                 for e, p, d in zip(effective, padding, dilation, strict=True))
    return size, (kernel, tuple(int(s) for s in rng.integers(1, 4, axes)), padding, dilation)


def in_layout(a: Any, layout: str) -> Any:
    return np.ascontiguousarray(np.moveaxis(a, 1, -1)) if layout.endswith("C") else a


def same(mine: Any, exact: Any) -> None:
    for got, want in zip(*(a if isinstance(a, tuple) else (a,) for a in (mine, exact)), strict=True):
        np.testing.assert_array_equal(got, want)


# ---- max, min, average ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("axes", AXES)
def test_max_and_min(axes: int, level: str) -> None:
    rng = np.random.default_rng(axes)
    for _ in range(60):
        size, windows = random_windows(rng, axes, bool(rng.integers(2)))
        layout = LAYOUTS_OF[axes][rng.integers(2)]
        arguments = (*windows, bool(rng.integers(2)), True)
        x = in_layout(with_nans(rng, (2, int(rng.choice([1, 3, 16, 17])), *size)), layout)
        for kind in ("max", "min"):
            pool, backward = getattr(ops, f"{kind}_pool{axes}d"), getattr(ops, f"max_pool{axes}d_backward")
            y, indices = pool(x, *arguments, layout=layout)
            same((y, indices), getattr(reference, f"{kind}_pool{axes}d")(x, *arguments, layout=layout))
            same(pool(x, *arguments[:-1], layout=layout), y)
            grad = integers(rng, y.shape)
            twin = reference.max_pool3d_backward(grad, indices, x.shape, layout=layout)
            same(backward(grad, indices, x.shape, layout=layout), twin)


@pytest.mark.parametrize("axes", AXES)
def test_averages(axes: int, level: str) -> None:
    rng = np.random.default_rng(axes)
    pool, backward = getattr(ops, f"avg_pool{axes}d"), getattr(ops, f"avg_pool{axes}d_backward")
    for _ in range(60):
        size, (kernel, stride, padding, _) = random_windows(rng, axes, False)
        layout = LAYOUTS_OF[axes][rng.integers(2)]
        x = in_layout(integers(rng, (2, int(rng.choice([1, 3, 16, 17])), *size)), layout)
        arguments: tuple[Any, ...] = (kernel, stride, padding, bool(rng.integers(2)), bool(rng.integers(2)))
        if axes > 1:
            arguments += (rng.choice([None, 4, -2]),)
        y = pool(x, *arguments, layout=layout)
        np.testing.assert_allclose(y, reference.avg_pool3d(x, *arguments, layout=layout), rtol=1e-14, atol=1e-14)
        grad = integers(rng, y.shape)
        twin = reference.avg_pool3d_backward(grad, x.shape, *arguments, layout=layout)
        np.testing.assert_allclose(backward(grad, x.shape, *arguments, layout=layout), twin, rtol=1e-13, atol=1e-13)


def test_results_beyond_the_caches() -> None:
    """24 MiB and more are written in pieces, of which the last rows once were missing where there was one row."""
    x = np.random.default_rng(0).integers(-4, 5, (1, 7000, 1000)).astype(np.float32)
    y, indices = ops.max_pool1d(x, 3, 1, 1, return_indices=True)
    np.testing.assert_array_equal(y[..., 1:-1], np.maximum(np.maximum(x[..., :-2], x[..., 1:-1]), x[..., 2:]))
    np.testing.assert_array_equal(np.take_along_axis(x, indices, 2), y)
    np.testing.assert_array_equal(ops.avg_pool1d_backward(ops.avg_pool1d(x, 2), x.shape, 2)[..., ::2],
                                  ops.avg_pool1d(x, 2) / 2)


@pytest.mark.parametrize("name", [True, "pytorch", "onnx"])
def test_both_rules_of_ceil_mode_drop_a_window_without_pixels(name: Any) -> None:
    """The problems of ONNX's own tests: "output size reduce by one", "last window starts on pad", and the plain one."""
    x = np.array([[[[1.0, 2.0], [3.0, 4.0]]]])
    assert ops.max_pool2d(x, 1, 2, ceil_mode=name).tolist() == [[[[1.0]]]]
    y = ops.avg_pool2d(np.ones((1, 3, 2, 2)), 3, 3, 1, name, True)
    np.testing.assert_allclose(y, np.full((1, 3, 1, 1), 4 / 9))
    x = np.arange(1.0, 17).reshape(1, 1, 4, 4)
    assert ops.max_pool2d(x, 3, 2, ceil_mode=name).tolist() == [[[[11.0, 12.0], [15.0, 16.0]]]]
    assert ops.avg_pool2d(x, 3, 2, 0, name).tolist() == [[[[6.0, 7.5], [12.0, 13.5]]]]
    assert ops.avg_pool2d_backward(np.ones((1, 1, 2, 2)), x.shape, 3, 2, 0, name).shape == x.shape


# ---- adaptive, global, fractional -----------------------------------------------------------------------------------


@pytest.mark.parametrize("axes", AXES)
def test_adaptive(axes: int) -> None:
    rng = np.random.default_rng(axes)
    for _ in range(60):
        size, out = (tuple(int(n) for n in rng.integers(1, 10, axes)) for _ in range(2))
        layout = LAYOUTS_OF[axes][rng.integers(2)]
        x = in_layout(with_nans(rng, (2, 3, *size)), layout)
        pool = getattr(ops, f"adaptive_max_pool{axes}d")
        mine = pool(x, out, True, layout=layout)
        same(mine, reference.adaptive_max_pool1d(x, out, True, layout=layout))
        same(pool(x, out, layout=layout), mine[0])
        x = in_layout(integers(rng, (2, 3, *size)), layout)
        y = getattr(ops, f"adaptive_avg_pool{axes}d")(x, out, layout=layout)
        np.testing.assert_allclose(y, reference.adaptive_avg_pool1d(x, out, layout=layout), rtol=1e-14, atol=1e-14)
        grad = integers(rng, y.shape)
        dx = getattr(ops, f"adaptive_avg_pool{axes}d_backward")(grad, x.shape, layout=layout)
        twin = reference.adaptive_avg_pool1d_backward(grad, x.shape, layout=layout)
        np.testing.assert_allclose(dx, twin, rtol=1e-13, atol=1e-13)
        assert y.flags.c_contiguous and dx.flags.c_contiguous


def test_adaptive_averages_are_accurate_and_keep_the_dtype() -> None:
    """Within gamma of the pixels of a window and a division, as ordinary averages."""
    x = np.random.default_rng(0).standard_normal((2, 5, 37, 41)).astype(np.float32)
    for out in ((5, 6), (37, 3), (40, 50), 1, (None, 4)):
        y = ops.adaptive_avg_pool2d(x, out)  # type: ignore[arg-type]
        assert y.dtype == np.float32
        sums = reference.adaptive_avg_pool2d(np.abs(x), out)
        assert (np.abs(y - reference.adaptive_avg_pool2d(x, out)) <= 4 * 2**-24 * sums + 1e-7 * sums).all()


def test_adaptive_averages_propagate_nan_and_infinity_to_their_windows_only() -> None:
    x = np.ones((1, 1, 7))
    x[0, 0, 2], x[0, 0, 6] = np.nan, np.inf
    assert [str(v) for v in ops.adaptive_avg_pool1d(x, 5)[0, 0]] == ["1.0", "nan", "nan", "1.0", "inf"]
    x[0, 0, 5] = -np.inf
    assert np.isnan(ops.adaptive_avg_pool1d(x, 5)[0, 0, 4])


def test_global() -> None:
    rng = np.random.default_rng(0)
    for shape in ((2, 3, 5), (2, 3, 4, 5), (2, 3, 4, 5, 2), (2, 3, 1, 1), (0, 3, 4, 5)):
        x = integers(rng, shape)
        for keepdims in (False, True):
            y = ops.global_avg_pool(x, keepdims)
            np.testing.assert_allclose(y, reference.global_avg_pool(x, keepdims) if len(x) else y, rtol=1e-14)
            assert y.shape == (shape[:2] + (1,) * (len(shape) - 2) if keepdims else shape[:2])
            best, indices = ops.global_max_pool(x, keepdims, True)
            same(ops.global_max_pool(x, keepdims), best)
            if len(x):
                same((best, indices), reference.global_max_pool(x, keepdims, True))
            grad = integers(rng, y.shape)
            np.testing.assert_allclose(
                ops.global_avg_pool_backward(grad, shape), reference.global_avg_pool_backward(grad, shape), rtol=1e-14)
            same(ops.global_max_pool_backward(grad, indices, shape),
                 reference.global_max_pool_backward(grad, indices, shape))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("axes", [2, 3])
def test_fractional(axes: int, dtype: Any) -> None:
    rng = np.random.default_rng(axes)
    pool = getattr(ops, f"fractional_max_pool{axes}d")
    for _ in range(40):
        size = tuple(int(n) for n in rng.integers(2, 10, axes))
        kernel = tuple(int(rng.integers(1, n)) for n in size)
        out = tuple(int(rng.integers(1, n - k + 2)) for n, k in zip(size, kernel, strict=True))
        x, u = with_nans(rng, (2, 3, *size)).astype(dtype), rng.random((2, 3, axes)).astype(dtype)
        mine = pool(x, kernel, u, out, None, True)
        same(mine, reference.fractional_max_pool2d(x, kernel, u, out, None, True))
        same(pool(x, kernel, u, out), mine[0])
    u = np.full((1, 1, axes), 0.999999, dtype)
    assert pool(np.ones((1, 1, *(9,) * axes), dtype), 2, u, output_ratio=0.5).shape == (1, 1, *(4,) * axes)


# ---- power averages, unpooling --------------------------------------------------------------------------------------


@pytest.mark.parametrize("axes", AXES)
@pytest.mark.parametrize("p", [1, 2, 3, 0.5, 2.5, -1, np.inf, -np.inf])
def test_powers(axes: int, p: float) -> None:
    rng = np.random.default_rng(axes)
    for _ in range(12):
        size, (kernel, stride, _, _) = random_windows(rng, axes, False)
        size = tuple(max(n, k) for n, k in zip(size, kernel, strict=True))
        layout = LAYOUTS_OF[axes][rng.integers(2)]
        x = in_layout(integers(rng, (2, 3, *size)), layout)
        x = x if p in (1, 2, np.inf, -np.inf) else np.abs(x)
        arguments = (p, kernel, stride, bool(rng.integers(2)))
        y = getattr(ops, f"lp_pool{axes}d")(x, *arguments, layout=layout)
        np.testing.assert_allclose(y, reference.lp_pool1d(x, *arguments, layout=layout), rtol=1e-12)
        grad = integers(rng, y.shape)
        dx = getattr(ops, f"lp_pool{axes}d_backward")(grad, x, *arguments, layout=layout)
        twin = reference.lp_pool1d_backward(grad, x, *arguments, layout=layout)
        np.testing.assert_allclose(dx, twin, rtol=1e-11, atol=1e-12)


def test_a_window_of_zeros_has_the_gradient_zero() -> None:
    for p in (1.0, 2, 3, 0.5):
        dx = ops.lp_pool1d_backward(np.ones((1, 1, 2)), np.array([[[0.0, 0.0, 3.0, 0.0]]]), p, 2)
        assert dx[0, 0, :2].tolist() == [0.0, 0.0] and dx[0, 0, 2] == pytest.approx(1) and not np.isnan(dx).any()
    assert np.isnan(ops.lp_pool1d(np.array([[[-2.0, -3.0]]]), 3, 2)).all()


@pytest.mark.parametrize("axes", AXES)
def test_unpooling(axes: int) -> None:
    rng = np.random.default_rng(axes)
    unpool, backward = getattr(ops, f"max_unpool{axes}d"), getattr(ops, f"max_unpool{axes}d_backward")
    for _ in range(30):
        layout = LAYOUTS_OF[axes][rng.integers(2)]
        size = tuple(int(n) for n in rng.integers(2, 8, axes))
        x = in_layout(integers(rng, (2, 3, *size)), layout)
        maxima, indices = getattr(ops, f"max_pool{axes}d")(x, 2, return_indices=True, layout=layout)
        y = unpool(maxima, indices, 2, None, 0, size, layout=layout)
        same(y, reference.max_unpool1d(maxima, indices, 2, None, 0, size, layout=layout))
        same(unpool(maxima, indices, 2, output_size=x.shape, layout=layout), y)
        indices = rng.integers(0, np.prod(size), indices.shape)    # several maxima of a pixel
        same(unpool(maxima, indices, 2, None, 0, list(size), layout=layout),
             reference.max_unpool1d(maxima, indices, 2, None, 0, size, layout=layout))
        grad = integers(rng, x.shape)
        same(backward(grad, indices, layout=layout), reference.max_unpool1d_backward(grad, indices, layout=layout))


# ---- arrays ---------------------------------------------------------------------------------------------------------


def calls(x: Any) -> dict[str, Any]:
    """Every pooling of an image batch of 2 x 7 x 9 pixels, forward and backward."""
    n, c = x.shape[:2]
    indices = np.zeros((n, c, 3, 4), np.int64)
    u = np.zeros((n, c, 2), x.dtype)
    small = x[:, :, :3, :4]
    return {
        "max": lambda: ops.max_pool2d(x, 2), "min": lambda: ops.min_pool2d(x, 2), "avg": lambda: ops.avg_pool2d(x, 2),
        "lp": lambda: ops.lp_pool2d(x, 2, 2), "lp backward": lambda: ops.lp_pool2d_backward(small, x, 2, 2),
        "adaptive avg": lambda: ops.adaptive_avg_pool2d(x, 4), "regular": lambda: ops.adaptive_avg_pool2d(x, (3, 4)),
        "adaptive max": lambda: ops.adaptive_max_pool2d(x, 4), "global": lambda: ops.global_avg_pool(x),
        "fractional": lambda: ops.fractional_max_pool2d(x, 2, u, 4),
        "unpool": lambda: ops.max_unpool2d(small, indices, 2, output_size=(7, 9)),
        "unpool backward": lambda: ops.max_unpool2d_backward(x, indices),
        "adaptive backward": lambda: ops.adaptive_avg_pool2d_backward(x, (n, c, 11, 12)),
        "max backward": lambda: ops.max_pool2d_backward(small, indices, x.shape),
    }


@pytest.mark.parametrize("name", list(calls(np.zeros((1, 1, 7, 9)))))
def test_every_way_of_storing_an_array(name: str) -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 7, 9)).astype(np.float32)
    expected = calls(x)[name]()
    assert expected.dtype == np.float32
    wide = np.zeros((2, 3, 7, 20), np.float32)[..., ::-2][..., :9]
    wide[...] = x
    frozen = x.copy()
    frozen.flags.writeable = False
    for stored in (np.asfortranarray(x), wide, frozen, x.astype(">f4")):
        np.testing.assert_array_equal(calls(stored)[name](), expected)
    empty = calls(x[:0])[name]()
    assert empty.shape == (0, *expected.shape[1:])


# ---- layers ---------------------------------------------------------------------------------------------------------


def test_a_seed_repeats_fractional_pooling() -> None:
    layer, x = nn.FractionalMaxPool2d(2, output_ratio=0.6).eval(), np.random.default_rng(0).random((2, 3, 9, 9))
    manual_seed(3)
    first, second = layer(x), layer(x)
    manual_seed(3)
    same(layer(x), first)
    assert (second != first).any()


def test_images_in_the_native_layout_stay_there() -> None:
    """Behind a convolution: the same bits, forward and backward, as on arrays."""
    x = np.random.default_rng(0).standard_normal((2, 3, 10, 11)).astype(np.float32)
    for layer in (nn.MinPool2d(2), nn.AdaptiveAvgPool2d(1), nn.AdaptiveAvgPool2d(3), nn.AdaptiveMaxPool2d((4, 3)),
                  nn.GlobalAveragePooling2D(), nn.LPPool2d(2, 2), nn.MaxPool2d(3, 2, 1, ceil_mode=True)):
        manual_seed(0)
        conv = nn.Conv2d(3, 32, 3)
        start = tensor(x, requires_grad=True)
        y = layer(conv(start))
        y.sum().backward()
        middle = tensor(conv(tensor(x)).numpy(), requires_grad=True)
        z = layer(middle)
        z.sum().backward()
        np.testing.assert_allclose(y.numpy(), z.numpy(), rtol=1e-5, atol=1e-6)
        assert start.grad is not None and middle.grad is not None
        dx = ops.conv2d_backward(middle.grad.numpy(), x, conv.weight.numpy())[0]
        np.testing.assert_allclose(start.grad.numpy(), dx, rtol=1e-4, atol=1e-5)


def test_minima_after_a_rectifier() -> None:
    """Where the minimum is 0 the gradient of the ReLU is 0."""
    x = tensor(np.array([[[[-1.0, 2.0], [3.0, 4.0]], [[5.0, 2.0], [3.0, 4.0]]]]), requires_grad=True)
    nn.MinPool2d(2)(x.relu()).sum().backward()
    assert x.grad is not None
    assert x.grad.numpy().tolist() == [[[[0.0, 0.0], [0.0, 0.0]], [[0.0, 1.0], [0.0, 0.0]]]]


@pytest.mark.parametrize(("make", "says"), [
    (lambda: nn.MaxPool1d((2, 2)), "one integer"), (lambda: nn.AvgPool3d((2, 2)), "three integers"),
    (lambda: nn.AvgPool3d(2, divisor_override=0), "divisor_override"),
    (lambda: nn.MaxPool3d(2, ceil_mode="x"), "ceil_mode"),
    (lambda: nn.AdaptiveAvgPool2d((1, 2, 3)), "output_size"), (lambda: nn.AdaptiveMaxPool1d(0), "output_size"),
    (lambda: nn.LPPool2d(0, 2), "norm_type"), (lambda: nn.MaxUnpool2d(0), "kernel_size"),
    (lambda: nn.FractionalMaxPool2d(2), "one of output_size"),
    (lambda: nn.FractionalMaxPool3d(2, None, 1.5), "output_ratio"),
    (lambda: nn.GlobalMaxPooling1D()(tensor(np.ones((1, 2, 3, 4)))), "3 axes"),
    (lambda: nn.functional.global_avg_pool(np.ones((2, 3))), "(N, C, L)"),
    (lambda: nn.MaxPool1d(2)(tensor(np.ones((1, 1, 2, 4)))), "(N, C, L)"),
])
def test_layers_name_what_is_wrong(make: Any, says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        make()
