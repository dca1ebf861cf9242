# mypy: disable-error-code="arg-type, union-attr"
"""Clipping of gradients by norm and by value."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fastconv import nn
from fastconv.autograd import tensor
from fastconv.nn.utils import clip_grad_norm_, clip_grad_value_, get_total_norm

Array = np.ndarray[Any, Any]


def parameters(dtype: Any = np.float64) -> list[nn.Parameter]:
    """Three with a gradient, and one without."""
    rng, made = np.random.default_rng(0), []
    for shape in ((3, 4), (5,), ()):
        made.append(nn.Parameter(np.zeros(shape, dtype)))
        made[-1].grad = np.asarray(rng.normal(size=shape)).astype(dtype)
    return [*made, nn.Parameter(np.zeros(2, dtype))]


def together(all_of_them: list[nn.Parameter]) -> Array:
    return np.concatenate([p.grad.numpy().ravel() for p in all_of_them if p.grad is not None])


@pytest.mark.parametrize("norm_type", [2, 1, 3.5, 0.5, math.inf])
@pytest.mark.parametrize("max_norm", [0.0, 0.5, 1e3])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_norm(norm_type: float, max_norm: float, dtype: Any) -> None:
    many, before = parameters(dtype), together(parameters(dtype)).astype(np.float64)
    norm = abs(before).max() if norm_type == math.inf else (abs(before) ** norm_type).sum() ** (1 / norm_type)
    tolerance = 1e-12 if dtype == np.float64 else 1e-6
    result = clip_grad_norm_(many, max_norm, norm_type)
    assert result.dtype == dtype and result.item() == pytest.approx(norm, rel=tolerance)
    np.testing.assert_allclose(together(many), before * min(1, max_norm / (norm + 1e-6)), rtol=tolerance)
    assert many[3].grad is None


def test_a_norm_of_many_small_numbers_is_accurate() -> None:
    g = np.full(3_000_000, 1e-25, np.float32)    # their squares vanish in float32
    assert get_total_norm(tensor(g)).item() == pytest.approx(math.sqrt(3e6) * 1e-25, rel=1e-6)


def test_gradients_within_the_bound_keep_their_bits() -> None:
    many = parameters()
    before = together(many)
    clip_grad_norm_(iter(many), 1e6)
    np.testing.assert_array_equal(together(many), before)


def test_value() -> None:
    many = parameters(np.float32)
    before = together(many)
    clip_grad_value_(many, 0.5)
    np.testing.assert_array_equal(together(many), np.clip(before, -0.5, 0.5))
    p = many[0]
    p.grad = np.full((3, 4), np.nan, np.float32)
    clip_grad_value_(p, 0.5)
    assert np.isnan(p.grad.numpy()).all()


def test_read_only_gradients_are_replaced() -> None:
    p, g = nn.Parameter(np.zeros(2)), np.array([3.0, 4.0])
    g.flags.writeable = False
    for clip in (lambda: clip_grad_norm_(p, 1.0), lambda: clip_grad_value_(p, 0.1)):
        p.grad = g
        clip()
        assert g.tolist() == [3.0, 4.0] and abs(p.grad.numpy()).max() < 1


def test_norms_that_are_not_finite() -> None:
    p = nn.Parameter(np.zeros(2))
    for bad in (np.nan, np.inf):
        p.grad = np.array([bad, 1.0])
        with pytest.raises(RuntimeError, match="cannot be clipped"):
            clip_grad_norm_([p], 1.0, error_if_nonfinite=True)
        np.testing.assert_array_equal(p.grad.numpy(), [bad, 1.0])
    p.grad = np.array([np.nan, 1.0])
    assert np.isnan(clip_grad_norm_([p], 1.0).item()) and np.isnan(p.grad.numpy()).all()


def test_nothing_to_clip() -> None:
    assert clip_grad_norm_([], 1.0).item() == 0 and clip_grad_norm_([nn.Parameter(np.ones(2))], 1.0).item() == 0
    clip_grad_value_([], 1.0)
    assert get_total_norm([]).item() == 0
    p = nn.Parameter(np.zeros((0, 3)))
    p.grad = np.zeros((0, 3))
    for norm_type in (1, 2, math.inf):
        assert clip_grad_norm_(p, 1.0, norm_type).item() == 0


P = nn.Parameter(np.ones(1))
REFUSED: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: clip_grad_norm_([P], -1), ValueError, "max_norm"),
    (lambda: clip_grad_norm_([P], "1"), TypeError, "max_norm"),
    (lambda: clip_grad_norm_([P], 1, 0), ValueError, "norm_type"),
    (lambda: clip_grad_norm_([P], 1, -2), ValueError, "norm_type"),
    (lambda: clip_grad_norm_([P], 1, "inf"), TypeError, "norm_type"),
    (lambda: clip_grad_norm_([P], 1, error_if_nonfinite=1), TypeError, "error_if_nonfinite"),
    (lambda: clip_grad_norm_(np.ones(1), 1), TypeError, "parameters"),
    (lambda: clip_grad_norm_([np.ones(1)], 1), TypeError, "parameters must hold tensors"),
    (lambda: clip_grad_value_([P], -1), ValueError, "clip_value"),
    (lambda: clip_grad_value_([P], math.nan), ValueError, "clip_value"),
    (lambda: clip_grad_value_(None, 1), TypeError, "parameters"),
    (lambda: get_total_norm(3), TypeError, "tensors"),
]


@pytest.mark.parametrize(("call", "kind", "text"), REFUSED, ids=[f"{i}-{c[2]}" for i, c in enumerate(REFUSED)])
def test_refuses(call: Callable[[], Any], kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text):
        call()
