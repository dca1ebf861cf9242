"""The gradient at a maximum with 0, dropped by the pooling behind it: the same bits as in two steps."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastconv
from fastconv import nn
from fastconv.autograd import Function
from fastconv.nn import functional

BEFORE: dict[str, Callable[[Any], Any]] = {
    "relu": lambda x: x.relu(),
    "sum": lambda x: (nn.functional.conv2d(x, np.eye(16, dtype=np.float32)[:, :, None, None]) + x).relu(),
    "native": lambda x: nn.Conv2d(16, 32, 3, padding=1)(x).relu(),
    "few channels": lambda x: nn.Conv2d(16, 5, 3, padding=1)(x).relu(),
}
AFTER: dict[str, Callable[[Any], Any]] = {
    "pairs": lambda y: functional.max_pool2d(y, 2),
    "overlapping, padded": lambda y: functional.max_pool2d(y, 3, 2, 1, ceil_mode=True),
    "dilated": lambda y: functional.max_pool2d(y, 2, 1, 0, 3),
    "twice": lambda y: functional.max_pool2d(y, 2) + functional.max_pool2d(y, 2),
    "two users": lambda y: functional.max_pool2d(y, 2).sum() + (y * y).sum(),
    "user first": lambda y: (y * y).sum() + functional.max_pool2d(y, 3, 1).sum(),
}


def gradients(before: str, after: str, retain: bool) -> list[np.ndarray]:
    fastconv.manual_seed(5)
    values = np.random.default_rng(3).integers(-2, 3, (2, 16, 9, 9)).astype(np.float32)
    values[0, 0, 4, 4], values[1, 1, 0, 0], values[0, 2, :4, :4] = np.nan, np.inf, -0.0
    x = fastconv.tensor(values, requires_grad=True)
    y = BEFORE[before](x)
    z = AFTER[after](y)
    if retain:
        y.retain_grad()
    with np.errstate(invalid="ignore"):
        (z * 0.5).sum().backward(retain_graph=True)
        (z * -3).sum().backward()
    return [x.grad.numpy(), y.grad.numpy()] if retain else [x.grad.numpy()]


@pytest.mark.parametrize("retain", [False, True])
@pytest.mark.parametrize("after", AFTER)
@pytest.mark.parametrize("before", BEFORE)
def test_bits_are_those_of_two_steps(before, after, retain, monkeypatch):
    together = gradients(before, after, retain)
    monkeypatch.setattr(Function, "follows_rectifier", lambda self: False)
    for a, b in zip(together, gradients(before, after, retain), strict=True):
        np.testing.assert_array_equal(a, b)
        assert (np.signbit(a) == np.signbit(b)).all()


def test_large_arrays_are_not_looked_at(monkeypatch):
    x = fastconv.tensor(np.random.default_rng(3).standard_normal((1, 16, 8, 8), np.float32), requires_grad=True)
    seen = []
    for module in (fastconv.autograd, fastconv.nn.pool):
        masked = module.relu_backward
        monkeypatch.setattr(module, "relu_backward", lambda g, y, out, f=masked: seen.append(g.shape[-2:]) or f(g, y))
    functional.max_pool2d(x.relu(), 2).sum().backward()
    assert seen == [(4, 4)]
