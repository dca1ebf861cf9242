# mypy: ignore-errors
# SPDX-License-Identifier: BSD-3-Clause
"""Every pooling layer with a namesake in PyTorch: outputs, gradients, indices, texts, for random configurations."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

from fastconv import nn
from fastconv.autograd import tensor

torch = pytest.importorskip("torch", reason="PyTorch is not installed: nothing to compare with")
F, T = torch.nn.functional, torch.nn

CONFIGURATIONS = 24


def close(mine, theirs):
    np.testing.assert_allclose(np.asarray(mine), theirs.detach().numpy(), rtol=1e-10, atol=1e-10)


def compare(name, arguments, options, x, *more):
    """The same layer here and there, on x and what else forward takes; which are arrays."""
    mine, theirs = getattr(nn, name)(*arguments, **options), getattr(T, name)(*arguments, **options)
    assert str(mine) == str(theirs)
    assert list(mine.state_dict()) == list(theirs.state_dict()) == []
    a, b = tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    y, z = mine(a, *(tensor(m) for m in more)), theirs(b, *(torch.tensor(m) for m in more))
    if isinstance(y, tuple):
        np.testing.assert_array_equal(y[1].numpy(), z[1].numpy())
        y, z = y[0], z[0]
    assert y.shape == tuple(z.shape)
    close(y.detach(), z)
    grad = np.random.default_rng(1).standard_normal(y.shape)
    y.backward(tensor(grad))
    z.backward(torch.tensor(grad))
    close(a.grad, b.grad)


def some(rng, axes, low, high):
    """A number for all axes, or a tuple with one for each."""
    if rng.integers(2):
        return int(rng.integers(low, high))
    return tuple(int(n) for n in rng.integers(low, high, axes))


def images(rng, axes, size):
    """A batch, or one image; no two numbers alike, because the gradients of equal maxima are left open."""
    batch = (2, 3) if rng.integers(2) else (3,)
    return rng.standard_normal((*batch, *size))


def windows(rng, axes):
    """The size of images, and kernel_size, stride and padding that fit."""
    size, kernel = tuple(int(n) for n in rng.integers(5, 11, axes)), some(rng, axes, 1, 4)
    stride = None if rng.integers(3) == 0 else some(rng, axes, 1, 4)
    smallest = kernel if isinstance(kernel, int) else min(kernel)
    return size, kernel, stride, int(rng.integers(0, smallest // 2 + 1))


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_max(axes):
    rng = np.random.default_rng(axes)
    for _ in range(CONFIGURATIONS):
        size, kernel, stride, padding = windows(rng, axes)
        dilation = int(rng.integers(1, 3))
        options = {"return_indices": bool(rng.integers(2)), "ceil_mode": bool(rng.integers(2))}
        compare(f"MaxPool{axes}d", (kernel, stride, padding, dilation), options, images(rng, axes, size))


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_average(axes):
    rng = np.random.default_rng(axes)
    for _ in range(CONFIGURATIONS):
        size, kernel, stride, padding = windows(rng, axes)
        options = {"ceil_mode": bool(rng.integers(2)), "count_include_pad": bool(rng.integers(2))}
        if axes > 1 and rng.integers(3) == 0:
            options["divisor_override"] = int(rng.choice([-2, 3]))
        compare(f"AvgPool{axes}d", (kernel, stride, padding), options, images(rng, axes, size))


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_powers(axes):
    rng = np.random.default_rng(axes)
    for _ in range(CONFIGURATIONS):
        size, kernel, stride, _ = windows(rng, axes)
        kernel = kernel[0] if axes == 1 and isinstance(kernel, tuple) else kernel    # PyTorch's LPPool1d takes no tuple
        p = [1, 2, 3.0, 0.5, 1.5, float("inf"), -float("inf")][rng.integers(7)]
        x = images(rng, axes, size)
        x = x if p in (1, 2) or np.isinf(p) else np.abs(x)
        if not np.isinf(p) and p >= 1:
            x[..., :4] = 0    # whole windows of zeros
        compare(f"LPPool{axes}d", (p, kernel, stride), {"ceil_mode": bool(rng.integers(2))}, x)


@pytest.mark.parametrize("kind", ["Avg", "Max"])
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_adaptive(axes, kind):
    rng = np.random.default_rng(axes)
    for i in range(CONFIGURATIONS):
        size = tuple(int(n) for n in rng.integers(1, 11, axes))
        out = some(rng, axes, 1, 12)
        if axes > 1 and i % 4 == 0:
            out = (None, *tuple(int(n) for n in rng.integers(1, 12, axes - 1)))
        options = {"return_indices": bool(rng.integers(2))} if kind == "Max" else {}
        compare(f"Adaptive{kind}Pool{axes}d", (out,), options, images(rng, axes, size))


@pytest.mark.parametrize("axes", [2, 3])
def test_fractional(axes):
    rng = np.random.default_rng(axes)
    done = 0
    while done < CONFIGURATIONS:
        size = tuple(int(n) for n in rng.integers(4, 11, axes))
        kernel, x = some(rng, axes, 1, 4), images(rng, axes, size)
        options = {"output_ratio": float(rng.uniform(0.3, 0.6))} if rng.integers(2) else {
            "output_size": some(rng, axes, 2, 4)}
        u = rng.random((2 if x.ndim == axes + 2 else 1, 3, axes))
        mine = getattr(nn, f"FractionalMaxPool{axes}d")(kernel, **options, return_indices=True, _random_samples=u)
        theirs = getattr(T, f"FractionalMaxPool{axes}d")(
            kernel, **options, return_indices=True, _random_samples=torch.tensor(u))
        a, b = tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
        try:
            z, where = theirs(b)
        except RuntimeError:    # does not fit, or, in three dimensions, fits only just
            continue
        y, indices = mine(a)
        done += 1
        close(y.detach(), z)
        np.testing.assert_array_equal(indices.numpy(), where.numpy())
        y.sum().backward()
        z.sum().backward()
        close(a.grad, b.grad)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_unpooling(axes):
    """Of windows that do not overlap: where they do, PyTorch gives the gradient to every maximum."""
    rng = np.random.default_rng(axes)
    for _ in range(CONFIGURATIONS):
        kernel = int(rng.integers(2, 4))
        padding = int(rng.integers(2))
        x = images(rng, axes, tuple(int(n) for n in rng.integers(4, 11, axes)))
        pool = getattr(T, f"MaxPool{axes}d")(kernel, kernel, padding, return_indices=True)
        maxima, where = (part.numpy() for part in pool(torch.tensor(x)))
        mine, theirs = (getattr(m, f"MaxUnpool{axes}d")(kernel, kernel, padding) for m in (nn, T))
        assert str(mine) == str(theirs)
        sizes = list(x.shape[-axes:])
        a, b = tensor(maxima, requires_grad=True), torch.tensor(maxima, requires_grad=True)
        y, z = mine(a, tensor(where), sizes), theirs(b, torch.tensor(where), sizes)
        close(y.detach(), z)
        grad = rng.standard_normal(y.shape)
        y.backward(tensor(grad))
        z.backward(torch.tensor(grad))
        close(a.grad, b.grad)
        usual = [(n - 1) * kernel + kernel - 2 * padding for n in maxima.shape[-axes:]]
        inside = all(n <= u for n, u in zip(sizes, usual, strict=True)) and axes == 1
        if inside:
            np.testing.assert_array_equal(mine(tensor(maxima), tensor(where)).numpy(),
                                          theirs(torch.tensor(maxima), torch.tensor(where)).numpy())


def test_overlapping_windows_unpool_to_the_same_numbers():
    x = np.random.default_rng(0).standard_normal((2, 3, 9, 9))
    maxima, where = F.max_pool2d(torch.tensor(x), 3, 2, return_indices=True)
    mine = nn.functional.max_unpool2d(maxima.numpy(), where.numpy(), 3, 2)
    close(mine, F.max_unpool2d(maxima, where, 3, 2))


def test_infinities_and_nan():
    x = np.random.default_rng(0).choice([np.nan, np.inf, -np.inf, 0.0, 1.0], (2, 3, 8, 9))
    for call in (lambda f, a: f.max_pool2d(a, 3, 2, 1), lambda f, a: f.avg_pool2d(a, 3, 2, 1),
                 lambda f, a: f.adaptive_avg_pool2d(a, (5, 4)), lambda f, a: f.adaptive_max_pool2d(a, (5, 4)),
                 lambda f, a: f.lp_pool2d(a, 2, 3)):
        close(call(nn.functional, x), call(F, torch.tensor(x)))


def test_signatures():
    """Parameter names, their order and defaults."""
    for name in sorted(n for n in nn.__all__ if "Pool" in n or "Unpool" in n):
        if hasattr(T, name):
            mine, theirs = (inspect.signature(getattr(m, name)).parameters for m in (nn, T))
            assert [(p.name, p.default) for p in mine.values()] == [(p.name, p.default) for p in theirs.values()], name
