# mypy: ignore-errors
# SPDX-License-Identifier: BSD-3-Clause
"""Convolution layers of every kind against PyTorch: outputs, gradients, keys, for 24 configurations each."""

from __future__ import annotations

import numpy as np
import pytest

from fastconv import nn
from fastconv.autograd import tensor

torch = pytest.importorskip("torch", reason="PyTorch is not installed: nothing to compare with")

CONFIGURATIONS = 24
MODES = ("zeros", "reflect", "replicate", "circular")


def compare(mine, theirs, x):
    """The same keys; with the same parameters the same result and gradients."""
    assert list(mine.state_dict()) == list(theirs.state_dict())
    mine.load_state_dict({name: value.numpy() for name, value in theirs.state_dict().items()})
    a, b = tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    y, expected = mine(a), theirs(b)
    np.testing.assert_allclose(y.numpy(), expected.detach().numpy(), rtol=1e-10, atol=1e-10)
    grad = np.random.default_rng(0).standard_normal(y.shape)
    y.backward(tensor(grad))
    expected.backward(torch.tensor(grad))
    np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-9, atol=1e-9)
    for p, q in zip(mine.parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-9, atol=1e-9)


def shape_of(rng, axes, channels, least):
    batch = () if rng.random() < 0.25 else (int(rng.integers(1, 4)),)
    return (*batch, channels, *(int(n) for n in rng.integers(least, least + 6, axes)))


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("seed", range(CONFIGURATIONS))
def test_convolution(axes, seed):
    rng = np.random.default_rng(seed)
    groups = int(rng.choice([1, 1, 2, 4]))
    channels, filters = groups * int(rng.integers(1, 5)), groups * int(rng.integers(1, 5))
    kernel = tuple(int(k) for k in rng.integers(1, 4, axes))
    words = rng.random() < 0.2
    options = {
        "stride": 1 if words else int(rng.integers(1, 3)),
        "padding": str(rng.choice(["same", "valid"])) if words else tuple(int(p) for p in rng.integers(0, 3, axes)),
        "dilation": int(rng.integers(1, 3)), "groups": groups, "bias": bool(rng.random() < 0.7),
        "padding_mode": str(MODES[seed % 4]),
    }
    x = rng.standard_normal(shape_of(rng, axes, channels, 6))
    name = f"Conv{axes}d"
    theirs = getattr(torch.nn, name)(channels, filters, kernel, **options, dtype=torch.float64)
    compare(getattr(nn, name)(channels, filters, kernel, **options, dtype=np.float64), theirs, x)


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("seed", range(CONFIGURATIONS))
def test_transposed_convolution(axes, seed):
    rng = np.random.default_rng(seed)
    groups = int(rng.choice([1, 1, 2, 4]))
    channels, filters = groups * int(rng.integers(1, 5)), groups * int(rng.integers(1, 5))
    kernel = tuple(int(k) for k in rng.integers(2, 4, axes))
    stride, dilation = int(rng.integers(1, 4)), int(rng.integers(1, 3))
    options = {
        "stride": stride, "padding": tuple(int(p) for p in rng.integers(0, 3, axes)), "dilation": dilation,
        "output_padding": int(rng.integers(0, max(stride, dilation))), "groups": groups,
        "bias": bool(rng.random() < 0.7),
    }
    x = rng.standard_normal(shape_of(rng, axes, channels, 4))
    name = f"ConvTranspose{axes}d"
    theirs = getattr(torch.nn, name)(channels, filters, kernel, **options, dtype=torch.float64)
    compare(getattr(nn, name)(channels, filters, kernel, **options, dtype=np.float64), theirs, x)


@pytest.mark.parametrize("size", [(9, 9), (10, 10), (1, 3, 10, 9)])
def test_output_size(size):
    theirs = torch.nn.ConvTranspose2d(2, 3, 3, stride=2, padding=1, dtype=torch.float64)
    mine = nn.ConvTranspose2d(2, 3, 3, stride=2, padding=1, dtype=np.float64)
    mine.load_state_dict({name: value.numpy() for name, value in theirs.state_dict().items()})
    x = np.random.default_rng(0).standard_normal((1, 2, 5, 5))
    expected = theirs(torch.tensor(x), output_size=size).detach().numpy()
    np.testing.assert_allclose(mine(x, output_size=size).numpy(), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("seed", range(CONFIGURATIONS))
def test_unfold_and_fold(seed):
    rng = np.random.default_rng(seed)
    kernel, dilation, padding, stride = (tuple(int(n) for n in rng.integers(low, low + 3, 2)) for low in (1, 1, 0, 1))
    shape = shape_of(rng, 2, int(rng.integers(1, 4)), 7)
    options = {"dilation": dilation, "padding": padding, "stride": stride}
    compare(nn.Unfold(kernel, **options), torch.nn.Unfold(kernel, **options), rng.standard_normal(shape))
    columns = torch.nn.Unfold(kernel, **options)(torch.zeros(shape)).shape
    theirs = torch.nn.Fold(shape[-2:], kernel, **options)
    compare(nn.Fold(shape[-2:], kernel, **options), theirs, rng.standard_normal(tuple(columns)))
