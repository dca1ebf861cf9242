# mypy: disable-error-code="unreachable"
"""What operations on tensors refuse: the error names the argument, and nothing has changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastconv
from fastconv.autograd import Tensor, tensor
from fastconv.errors import ShapeError

MASK = np.array([[True, False, True, False], [False, True, True, False], [True, True, False, False]])
X = np.arange(12.0).reshape(3, 4)
BAD: list[tuple[Callable[[Tensor], Any], type[Exception], str]] = [
    (lambda x: x.sum(2), ValueError, "dim must be between -2 and 1, got 2"),
    (lambda x: x.sum((0, -2)), ValueError, "dim=.*twice"),
    (lambda x: x.sum("0"), TypeError, "dim must be an integer"),
    (lambda x: x.mean(True), TypeError, "dim must be an integer"),
    (lambda x: x.sum(0, 1), TypeError, "keepdim must be True or False, got 1"),
    (lambda x: x.max(0, 1), TypeError, "keepdim must be"),
    (lambda x: x.argmax(0, 1), TypeError, "keepdim must be"),
    (lambda x: (x > 0).all(0, 1), TypeError, "keepdim must be"),
    (lambda x: x.mean((0, 5)), ValueError, r"dim\[1\] must be between"),
    (lambda x: x.max(-3), ValueError, "dim must be"),
    (lambda x: x.max(1.0), TypeError, "dim must be an integer"),
    (lambda x: x[:0].max(), ShapeError, r"max\(\) of an empty tensor"),
    (lambda x: x[:0].min(0), ShapeError, r"min\(\) of an empty tensor"),
    (lambda x: x[:0].amax(0), ShapeError, r"amax\(\) of an empty"),
    (lambda x: x[:, :0].argmax(1), ShapeError, r"argmax\(\) of an empty"),
    (lambda x: x.argmin(7), ValueError, "dim must be"),
    (lambda x: x.var(correction="1"), TypeError, "correction must be a number"),
    (lambda x: (x > 1).var(), TypeError, r"var\(\) needs a float tensor, got bool"),
    (lambda x: (x > 1).mean(), TypeError, r"mean\(\) needs a float tensor, got bool"),
    (lambda x: x.norm("nuc"), TypeError, "p must be a number or 'fro', got 'nuc'"),
    (lambda x: x.norm(-1), ValueError, "p must be 0 or more"),
    (lambda x: x.norm(np.nan), ValueError, "p must be"),
    (lambda x: x.cumsum(2), ValueError, "dim must be"),
    (lambda x: x.prod((0, 1)), TypeError, "dim must be an integer"),
    (lambda x: x.reshape(5, -1), ShapeError, r"shape \(5, -1\) cannot hold the 12 elements of input"),
    (lambda x: x.reshape(-1, -1), ShapeError, "shape"),
    (lambda x: x.reshape(-2, 6), ValueError, r"shape\[0\] must be"),
    (lambda x: x.reshape(2.0, 6), TypeError, r"shape\[0\] must be an integer, got 2.0"),
    (lambda x: x.flatten(1, 0), ValueError, "start_dim 1 comes after end_dim 0"),
    (lambda x: x.flatten(2), ValueError, "start_dim must be"),
    (lambda x: x.flatten(0, 2), ValueError, "end_dim must be"),
    (lambda x: x.squeeze(4), ValueError, "dim must be"),
    (lambda x: x.unsqueeze(3), ValueError, "dim must be between -3 and 2"),
    (lambda x: x.permute(0), ValueError, "dims must name each of the 2 axes"),
    (lambda x: x.permute(0, 0), ValueError, "dims=.*twice"),
    (lambda x: x.permute(0, 2), ValueError, r"dims\[1\] must be"),
    (lambda x: x.transpose(0, 2), ValueError, "dim1 must be"),
    (lambda x: x.expand(3, 5), ShapeError, r"shape \(3, 4\) does not expand to shape \(3, 5\)"),
    (lambda x: x.expand(4), ShapeError, "does not expand"),
    (lambda x: x.expand(-1, 3, 4), ShapeError, "extent must be given"),
    (lambda x: x.repeat(2), ValueError, "repeats must have a number for each of the 2 axes"),
    (lambda x: x.repeat(2, -1), ValueError, r"repeats\[1\] must be"),
    (lambda x: x.flip(2), ValueError, r"dims\[0\] must be"),
    (lambda x: x.roll((1, 2), 0), ValueError, "shifts and dims must be as many"),
    (lambda x: x.roll(1.5, 0), TypeError, "shifts must be an integer"),
    (lambda x: x + np.ones(3), ShapeError, r"shapes \(3, 4\) and \(3,\) do not broadcast"),
    (lambda x: x.maximum(np.ones(3)), ShapeError, "do not broadcast"),
    (lambda x: x > np.ones(3), ShapeError, "do not broadcast"),
    (lambda x: x.add("1"), TypeError, "other must be a number, a fastconv.Tensor or a numpy.ndarray, got '1'"),
    (lambda x: x.eq(None), TypeError, "other must be a number"),
    (lambda x: x.mul(np.ones(4, np.float32)), TypeError, "float64 and float32"),
    (lambda x: x @ x, ShapeError, r"matmul: input of shape \(3, 4\) has rows of 4 .* columns of 3"),
    (lambda x: x @ tensor(np.array(1.0)), ShapeError, "matmul needs vectors or matrices"),
    (lambda x: x.matmul(2.0), TypeError, "other must be a fastconv.Tensor"),
    (lambda x: x.expand(2, 3, 4) @ np.ones((3, 4, 1)), ShapeError, "leading axes"),
    (lambda x: fastconv.where(x, x, x), TypeError, "condition must hold booleans, got float64"),
    (lambda x: fastconv.where(x > 0, x, "0"), TypeError, "other must be a number"),
    (lambda x: fastconv.where(MASK[:2], x, 0), ShapeError, "do not broadcast"),
    (lambda x: x.masked_fill(MASK, np.ones(2)), ShapeError, "value must be a number"),
    (lambda x: x.masked_fill(MASK[None], 0), ShapeError, "mask of shape"),
    (lambda x: x.masked_fill(1, 0), TypeError, "mask must be"),
    (lambda x: x.clamp(), ValueError, "min, max or both"),
    (lambda x: x.clamp(np.zeros(4)), TypeError, "min must be a number.*maximum"),
    (lambda x: x.gather(1, np.zeros((4, 1), int)), ShapeError, "index of shape"),
    (lambda x: x.gather(1, np.zeros(3, int)), ShapeError, "index of shape"),
    (lambda x: x.gather(1, np.full((3, 1), 4)), ValueError, "index must hold numbers from 0 to 3, got 4 to 4"),
    (lambda x: x.gather(1, np.full((3, 1), -1)), ValueError, "index must hold"),
    (lambda x: x.gather(1, np.zeros((3, 1))), TypeError, "index must hold integers, got float64"),
    (lambda x: x.index_select(0, np.array([[0]])), ShapeError, "index must have one axis"),
    (lambda x: x.index_select(0, [0]), TypeError, "index must be"),
    (lambda x: x.index_select(0, np.array([2**40])), ValueError, "index must hold"),
    (lambda x: x.narrow(0, 2, 2), ValueError, "length must be between 0 and 1, got 2"),
    (lambda x: x.narrow(0, 4, 0), ValueError, "start must be"),
    (lambda x: x.select(0, 3), ValueError, "index must be"),
    (lambda x: x[3], IndexError, "index 3"),
    (lambda x: x.split(0), ValueError, "split_size_or_sections must be"),
    (lambda x: x.split([1, 1]), ValueError, "split_size_or_sections=.* must add up to the 3 elements along dim=0"),
    (lambda x: x.split([4, -1]), ValueError, r"split_size_or_sections\[1\] must be"),
    (lambda x: x.chunk(0), ValueError, "chunks must be"),
    (lambda x: x.chunk(2, 3), ValueError, "dim must be"),
    (lambda x: x.sum().split(1), ShapeError, r"split\(\) needs an axis"),
    (lambda x: fastconv.cat(x), TypeError, "tensors must be a tuple or list"),
    (lambda x: fastconv.cat([]), ValueError, "tensors is empty"),
    (lambda x: fastconv.cat([x, 1]), TypeError, r"tensors\[1\] must be"),
    (lambda x: fastconv.cat([x, x[:, :2]]), ShapeError, r"tensors\[1\] of shape \(3, 2\) must be as tensors\[0\]"),
    (lambda x: fastconv.cat([x, x.unsqueeze(0)]), ShapeError, r"tensors\[1\]"),
    (lambda x: fastconv.cat([x, x], 2), ValueError, "dim must be"),
    (lambda x: fastconv.cat([x.sum(), x.sum()]), ShapeError, r"tensors\[0\] has no axes.*stack"),
    (lambda x: fastconv.cat([x, x.float()]), TypeError, "float64 and float32"),
    (lambda x: fastconv.stack([x, x[:2]]), ShapeError, r"tensors\[1\] of shape \(2, 4\)"),
    (lambda x: fastconv.stack([x, x], 3), ValueError, "dim must be between -3 and 2"),
    (lambda x: x.pad((1,)), ValueError, "padding"),
    (lambda x: x.pad((1, 1), "wrap"), ValueError, "mode must be one of"),
    (lambda x: x.pad((1, 1), value="0"), TypeError, "value must be a number, got '0'"),
    (lambda x: fastconv.zeros(-1), ValueError, r"size\[0\] must be"),
    (lambda x: fastconv.ones(2.0), TypeError, r"size\[0\] must be an integer"),
    (lambda x: fastconv.full((2,), "1"), TypeError, "fill_value must be a number"),
    (lambda x: fastconv.arange(0, 5, 0), ValueError, "step=0"),
    (lambda x: fastconv.arange(0, 5, -1), ValueError, "step=-1 does not lead"),
    (lambda x: fastconv.arange("5"), TypeError, "end must be a number"),
    (lambda x: fastconv.from_numpy([1.0]), TypeError, "array must be a numpy.ndarray"),
    (lambda x: fastconv.exp([1.0]), TypeError, "input must be"),
    (lambda x: fastconv.sum(None), TypeError, "input must be"),
]


@pytest.mark.parametrize("number", range(len(BAD)))
def test_bad_input(number: int) -> None:
    call, kind, message = BAD[number]
    x = tensor(X, requires_grad=True)
    with pytest.raises(kind, match=message) as caught:
        call(x)
    assert type(caught.value) is kind or kind is ValueError
    assert x.tolist() == X.tolist() and x.grad is None
