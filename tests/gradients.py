"""Comparison of a backward pass with finite differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastconv.autograd import Tensor, no_grad
from fastconv.nn import Parameter


def distinct(*shape: int) -> np.ndarray[Any, Any]:
    """Numbers between -1 and 1, no two equal and none near 0: no kink of a maximum or a ReLU is near."""
    values = np.linspace(-1, 1, 2 * int(np.prod(shape)))[::2]
    return np.random.default_rng(0).permutation(values).reshape(shape)


def check_gradients(
    function: Callable[[], Tensor], leaves: Sequence[Tensor], eps: float = 1e-6, rtol: float = 1e-5
) -> None:
    """Assert that backward of function() agrees with central differences, for every element of every leaf.

    function reads the leaves (float64, requires_grad) itself; its result is weighted with random numbers, so
    that errors cannot cancel in the sum.
    """
    rng = np.random.default_rng(0)
    y = function()
    weights = np.asarray(rng.uniform(0.5, 1.5, y.shape) * rng.choice([-1, 1], y.shape))
    for leaf in leaves:
        leaf.zero_grad()
    y.backward(weights)

    def loss() -> float:
        with no_grad():
            return float((function().numpy() * weights).sum())

    for position, leaf in enumerate(leaves):
        assert leaf.grad is not None, f"leaf {position} got no gradient"
        assert leaf.grad.dtype == leaf.dtype == np.float64
        expected = np.empty(leaf.shape)
        for index in np.ndindex(leaf.shape):
            rise = _shifted(leaf, index, eps, loss) - _shifted(leaf, index, -eps, loss)
            expected[index] = rise / (2 * eps)
        np.testing.assert_allclose(
            leaf.grad.numpy(), expected, rtol=rtol, atol=1e-7, err_msg=f"leaf {position}"
        )


def _shifted(leaf: Tensor, index: tuple[int, ...], by: float, loss: Callable[[], float]) -> float:
    """The loss with one element moved, which is then moved back."""
    before = leaf.numpy()[index]
    _set(leaf, index, before + by)
    try:
        return loss()
    finally:
        _set(leaf, index, before)


def _set(leaf: Tensor, index: tuple[int, ...], value: float) -> None:
    if isinstance(leaf, Parameter):
        with leaf.writable() as array:
            array[index] = value
    else:
        leaf.numpy()[index] = value
