# SPDX-License-Identifier: BSD-3-Clause
"""Tiled and locally connected convolution, unfold and fold: exact on integers, against the twin."""

from typing import Any

import numpy as np
import pytest

from fastconv import ops, reference
from fastconv.ops import local


def integers(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    return rng.integers(-4, 5, shape).astype(np.float64)


def compare(name: str, x: Any, weight: Any, bias: Any, *parameters: Any) -> None:
    expected = getattr(reference, name)(x, weight, bias, *parameters)
    np.testing.assert_array_equal(getattr(ops, name)(x, weight, bias, *parameters), expected)
    grad = integers(np.random.default_rng(1), expected.shape)
    gradients = getattr(reference, name + "_backward")(grad, x, weight, *parameters)
    for g, e in zip(getattr(ops, name + "_backward")(grad, x, weight, *parameters), gradients, strict=True):
        np.testing.assert_array_equal(g, e)


PARAMETERS = [(1, 0, 1), (2, 1, 1), ((1, 2), ((0, 2), (1, 0)), 2), (1, "same", 1)]


@pytest.mark.parametrize("parameters", PARAMETERS, ids=str)
@pytest.mark.parametrize("cycle", [(1, 1), (2, 2), (3, 1), (1, 4), "out"], ids=str)
def test_tiled_convolution(cycle: Any, parameters: Any) -> None:
    rng = np.random.default_rng(0)
    x = integers(rng, (3, 5, 9, 11))
    out = reference.conv2d(x, np.zeros((1, 5, 3, 2)), None, *parameters).shape[2:]
    local_too = cycle == "out"
    cycle = out if local_too else tuple(min(t, o) for t, o in zip(cycle, out, strict=True))
    weight, bias = integers(rng, (*cycle, 4, 5, 3, 2)), integers(rng, (4, *cycle))
    compare("tiled_conv2d", x, weight, bias, *parameters)
    if local_too:
        compare("locally_connected2d", x, weight, bias, *parameters)


@pytest.mark.parametrize("parameters", [(1, 0, 1), (2, ((1, 2),), 1), (1, "same", 2)], ids=str)
def test_locally_connected_signals(parameters: Any) -> None:
    rng = np.random.default_rng(0)
    x = integers(rng, (2, 3, 12))
    out = ops.conv1d(x, np.zeros((1, 3, 4)), None, *parameters).shape[2]
    compare("locally_connected1d", x, integers(rng, (out, 5, 3, 4)), integers(rng, (5, out)), *parameters)


def test_one_kernel_is_convolution_and_one_for_each_output_is_locally_connected() -> None:
    rng = np.random.default_rng(0)
    x = integers(rng, (2, 3, 7, 8))
    weight, bias = integers(rng, (1, 1, 4, 3, 3, 3)), integers(rng, (4, 1, 1))
    np.testing.assert_array_equal(
        ops.tiled_conv2d(x, weight, bias, padding=1), ops.conv2d(x, weight[0, 0], bias[:, 0, 0], padding=1)
    )
    weight, bias = integers(rng, (5, 6, 4, 3, 3, 3)), integers(rng, (4, 5, 6))
    y = ops.tiled_conv2d(x, weight, bias)
    np.testing.assert_array_equal(y, ops.locally_connected2d(x, weight, bias))
    for i, j in np.ndindex(5, 6):    # each output by its own kernel
        own = ops.conv2d(x[:, :, i:i + 3, j:j + 3], weight[i, j], bias[:, i, j])
        np.testing.assert_array_equal(y[:, :, i, j], own[:, :, 0, 0])


def test_images_come_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    x, weight, bias = integers(rng, (5, 2, 6, 6)), integers(rng, (2, 2, 3, 2, 3, 3)), integers(rng, (3, 2, 2))
    whole = ops.tiled_conv2d(x, weight, bias)
    monkeypatch.setattr(local, "PATCH_BYTES", 2 * 2 * 9 * 16 * 8)
    np.testing.assert_array_equal(ops.tiled_conv2d(x, weight, bias), whole)
    compare("tiled_conv2d", x, weight, bias)


@pytest.mark.parametrize("parameters", [
    (2,), (3, 1, 1, 2), ((3, 2), 2, ((1, 0), (0, 2)), (1, 2)), ((2, 3), 1, "same", 2), (3, 1, 2, 3),
], ids=str)
def test_unfold_and_fold(parameters: Any) -> None:
    rng = np.random.default_rng(0)
    x = integers(rng, (2, 3, 8, 9))
    columns = ops.unfold(x, *parameters)
    np.testing.assert_array_equal(columns, reference.unfold(x, *parameters))
    grad = integers(rng, columns.shape)
    dx = ops.unfold_backward(grad, x.shape, *parameters)
    np.testing.assert_array_equal(dx, reference.unfold_backward(grad, x.shape, *parameters))
    np.testing.assert_array_equal(ops.fold(grad, (8, 9), *parameters), dx)
    np.testing.assert_array_equal(ops.fold_backward(x, *parameters), columns)
    assert (columns * grad).sum() == (x * dx).sum()


def test_convolution_is_a_matrix_product_of_columns() -> None:
    rng = np.random.default_rng(0)
    x, weight = integers(rng, (2, 3, 8, 9)), integers(rng, (4, 3, 3, 3))
    product = weight.reshape(4, -1) @ ops.unfold(x, 3, padding=1, stride=2)
    np.testing.assert_array_equal(product.reshape(2, 4, 4, 5), ops.conv2d(x, weight, padding=1, stride=2))


def test_empty_batches() -> None:
    x, weight = np.zeros((0, 2, 6, 6), np.float32), np.zeros((2, 2, 3, 2, 3, 3), np.float32)
    assert ops.tiled_conv2d(x, weight).shape == (0, 3, 4, 4)
    dx, dw, db = ops.tiled_conv2d_backward(np.zeros((0, 3, 4, 4), np.float32), x, weight)
    assert dx is not None and dw is not None and db is not None
    assert (dx.shape, dw.shape, db.shape) == (x.shape, weight.shape, (3, 2, 2))
    assert ops.unfold(x, 3).shape == (0, 18, 16)


X, W = np.ones((1, 2, 6, 6)), np.ones((4, 4, 3, 2, 3, 3))


@pytest.mark.parametrize(("call", "says"), [
    (lambda: ops.tiled_conv2d(X, W[0]), "weight must have 6 axes"),
    (lambda: ops.tiled_conv2d(X, W[..., :0]), "none of them empty"),
    (lambda: ops.tiled_conv2d(X, W[:, :, :, :1]), "has 2 channels"),
    (lambda: ops.tiled_conv2d(X, np.ones((5, 4, 3, 2, 3, 3))), "take turns on an output of only"),
    (lambda: ops.locally_connected2d(X, W[:3]), "made for one size of image"),
    (lambda: ops.tiled_conv2d(X, W, np.ones(3)), "bias must have shape"),
    (lambda: ops.tiled_conv2d_backward(np.ones((1, 3, 4, 5)), X, W), "grad_output must have"),
    (lambda: ops.tiled_conv2d(X, W, stride=0), "stride"),
    (lambda: ops.unfold(X, 7), "Kernel size"),
    (lambda: ops.unfold(X[0], 2), "4 axes"),
    (lambda: ops.fold(np.ones((1, 9, 4)), 4, 2), "a multiple of 4, 9"),
    (lambda: ops.fold(np.ones((1, 8, 4)), 4, 2), "9 windows"),
    (lambda: ops.unfold_backward(np.ones((1, 8, 9)), (1, 1, 4, 4), 2), "grad_output must have"),
])
def test_bad_input_is_named(call: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        call()


def test_types_do_not_mix() -> None:
    with pytest.raises(TypeError, match="same element type"):
        ops.tiled_conv2d(X, W.astype(np.float32))
