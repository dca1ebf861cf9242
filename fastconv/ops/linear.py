# SPDX-License-Identifier: BSD-3-Clause
"""The fully connected layer, y = x W^T + b, and its gradients.

It is a 1x1 convolution over an image of one row with a pixel per sample, (1, 1, N, in_features) with the
channels last, and runs as one. So it has the convolution's promise: a row of the result has the same bits
whatever other rows are in the batch, which a matrix product from a BLAS does not give.
"""

import math
from collections.abc import Hashable
from typing import Any, NamedTuple

import numpy as np

from fastconv import _core
from fastconv.errors import ShapeError
from fastconv.ops import _packed, _plans
from fastconv.ops._check import Array, Shape, check_bytes, dtype_name, flags, float_array, same_dtype
from fastconv.ops._shapes import check_bias
from fastconv.ops.conv import Needs, run_backward

_empty = _core.empty
_ready = _plans.ready

_ONES = (1, 1, 1)
_ZEROS = (0, 0, 0)


def linear(x: Array, weight: Array, bias: Array | None = None) -> Array:
    """Apply y = x W^T + b to the last axis of x.

    x: (..., in_features), any number of axes before the last, which may be empty.
    weight: (out_features, in_features); bias: (out_features,) or None.

    Returns (..., out_features) of the inputs' dtype. Arrays and errors are as in conv2d.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.linear(np.array([[1.0, 2.0]]), np.array([[3.0, 4.0], [5.0, 6.0]]), np.array([0.0, 0.5])).tolist()
    [[11.0, 17.5]]
    """
    x, weight, bias, (plan, image_of_x, filters, image, shape, dtype) = _forward_call(x, weight, bias)
    y = _empty(image, dtype)
    if plan is not None:
        plan.forward(x.reshape(image_of_x), weight.reshape(filters), bias, y, True)
    return y.reshape(shape)


def linear_backward(
    grad_output: Array, x: Array, weight: Array, needs: tuple[bool, bool, bool] = (True, True, True)
) -> tuple[Array | None, Array | None, Array | None]:
    """The gradients of sum(grad_output * linear(x, weight, bias)) with respect to x, weight and bias.

    grad_output: (..., out_features). needs: which of the three to compute; the others are None.

    Returns (dx, dw, db) = (grad_output W, grad_output^T x, sum of grad_output), summed over all axes but the
    last; zeros where those are empty.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> x, w = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[5.0, 6.0]])
    >>> dx, dw, db = ops.linear_backward(np.ones((2, 1)), x, w)
    >>> dx.tolist(), dw.tolist(), db.tolist()
    ([[5.0, 6.0], [5.0, 6.0]], [[4.0, 6.0]], [2.0])
    """
    return layer_backward(grad_output, x, weight, needs, None)


# ---- as layers call it: with weights that are packed once per version of the parameters ------------------


class Prepared(NamedTuple):
    """A product that is checked and planned, with its weights packed: `run` may be called whenever."""

    x: Array
    plan: _core.ConvPlan | None    # None for no rows
    weight: Any
    bias: Array | None
    image: Shape    # of the result
    shape: Shape
    dtype: np.dtype[Any]

    def run(self, relu: bool = False) -> Array:
        """The product, or max(0, product)."""
        y = _empty(self.image, self.dtype)
        if self.plan is not None:
            self.plan.forward(self.x, self.weight, self.bias, y, True, relu)
        return y.reshape(self.shape)


def layer_forward(x: Array, weight: Array, bias: Array | None, parameters: _packed.Parameters | None) -> Prepared:
    """linear, with weights that are packed once per version of `parameters`."""
    x, weight, bias, (plan, image_of_x, filters, *result) = _forward_call(x, weight, bias)
    x = x.reshape(image_of_x)
    if plan is None or parameters is None:
        return Prepared(x, plan, weight.reshape(filters), bias, *result)
    return Prepared(x, plan, _packed.get(plan, parameters), None, *result)


def layer_backward(
    grad_output: Array, x: Array, weight: Array, needs: Needs, parameters: _packed.Parameters | None
) -> tuple[Array | None, Array | None, Array | None]:
    call = key = None
    if _ready(grad_output) and _ready(x) and _ready(weight) and _plans.exact_flags(needs):
        key = (
            "linear_backward", grad_output.shape, grad_output.dtype, x.shape, x.dtype, weight.shape,
            weight.dtype, needs,
        )  # fmt: skip
        call = _plans.find(key)
    if call is None:
        grad_output, x, weight, call = _check_backward(key, grad_output, x, weight, needs)
    plans, image_of_x, filters, image_of_y, dtype = call
    dx = _empty(image_of_x, dtype) if needs[0] else None
    dw = _empty(filters, dtype) if needs[1] else None
    db = _empty(filters[:1], dtype) if needs[2] else None
    source: Any = weight.reshape(filters)
    if needs[0] and parameters is not None and plans is not None:
        source = _packed.get(plans[0], (parameters[0], None))
    run_backward(plans, (grad_output.reshape(image_of_y), x.reshape(image_of_x), source), (dx, dw, db), True)
    return (
        None if dx is None else dx.reshape(x.shape),
        None if dw is None else dw.reshape(weight.shape),
        db,
    )


# ---- finding the plan ------------------------------------------------------------------------------------


class _Problem(NamedTuple):
    """One product, checked."""

    dtype: np.dtype[Any]
    rows: int
    in_features: int
    out_features: int

    def plan(self, pass_: "_core.Pass") -> _core.ConvPlan:
        """The core's plan; of one row where there is none, which is not run.

        Features are adjacent, as in the blocked layout, which planes would have to be gathered from.
        """
        image = (1, 1, max(self.rows, 1))
        problem = (
            pass_, self.dtype.name, 1, self.in_features, self.out_features, 1,
            image, _ONES, _ONES, _ONES, _ZEROS, _ZEROS,
        )  # fmt: skip
        try:
            return _core.ConvPlan(*problem, "blocked")
        except ValueError:    # it needs too much scratch memory
            return _core.ConvPlan(*problem)

    def image(self, features: int) -> Shape:
        return (1, 1, self.rows, features)

    def filters(self) -> Shape:
        return (self.out_features, self.in_features, 1, 1)


def _forward_call(x: Array, weight: Array, bias: Array | None) -> tuple[Array, Array, Array | None, Any]:
    """The arrays as the core can read them, and the call for them."""
    key = None
    if _ready(x) and _ready(weight) and (bias is None or _ready(bias)):
        key = (
            "linear", x.shape, x.dtype, weight.shape, weight.dtype,
            None if bias is None else bias.shape, None if bias is None else bias.dtype,
        )  # fmt: skip
        call = _plans.find(key)
        if call is not None:
            return x, weight, bias, call
    return _check_forward(key, x, weight, bias)


def _check_forward(
    key: tuple[Hashable, ...] | None, x: Array, weight: Array, bias: Array | None
) -> tuple[Array, Array, Array | None, Any]:
    """The arrays as the core can read them, and the call for them."""
    x, weight = float_array("x", x), float_array("weight", weight)
    bias = None if bias is None else float_array("bias", bias)
    same_dtype(x=x, weight=weight, bias=bias)
    problem = check_problem(x, weight)
    if bias is not None:
        check_bias(bias.shape, problem.out_features)
    shape = (*x.shape[:-1], problem.out_features)
    canonical = ("linear", problem, shape)
    call = _plans.add(canonical, lambda: _plan_forward(problem, shape))
    _plans.alias(key, canonical)
    return x, weight, bias, call


def _check_backward(
    key: tuple[Hashable, ...] | None, grad_output: Array, x: Array, weight: Array, needs: object
) -> tuple[Array, Array, Array, Any]:
    """The arrays as the core can read them, and the call for them."""
    grad_output = float_array("grad_output", grad_output)
    x, weight = float_array("x", x), float_array("weight", weight)
    same_dtype(x=x, weight=weight, grad_output=grad_output)
    problem = check_problem(x, weight)
    expected = (*x.shape[:-1], problem.out_features)
    if grad_output.shape != expected:
        raise ShapeError(f"grad_output must have the shape of the output {expected}, got {grad_output.shape}")
    wanted = flags("needs", needs, 3)
    canonical = ("linear_backward", problem, wanted)
    call = _plans.add(canonical, lambda: _plan_backward(problem, wanted))
    _plans.alias(key, canonical)
    return grad_output, x, weight, call


def check_problem(x: Array, weight: Array) -> _Problem:
    if weight.ndim != 2 or 0 in weight.shape:
        raise ShapeError(
            f"weight must have shape (out_features, in_features), at least 1 each, got {weight.shape}"
        )
    if x.ndim == 0 or x.shape[-1] != weight.shape[1]:
        raise ShapeError(
            f"x must have {weight.shape[1]} features on its last axis, as weight {weight.shape} needs; "
            f"got shape {x.shape}"
        )
    return _Problem(np.dtype(dtype_name(x)), math.prod(x.shape[:-1]), weight.shape[1], weight.shape[0])


def _plan_forward(
    problem: _Problem, shape: Shape
) -> tuple[_core.ConvPlan | None, Shape, Shape, Shape, Shape, np.dtype[Any]]:
    """(plan, None for no rows; x, weight and the output as a convolution sees them; the output's shape, dtype)."""
    check_bytes("the output", shape, problem.dtype)
    plan = problem.plan("forward") if problem.rows else None
    images = problem.image(problem.in_features), problem.filters(), problem.image(problem.out_features)
    return plan, *images, shape, problem.dtype


def _plan_backward(problem: _Problem, wanted: tuple[bool, ...]) -> tuple[Any, Shape, Shape, Shape, np.dtype[Any]]:
    """(plans of dx and dw, None for no rows; x, weight and the output as a convolution sees them; dtype)."""
    plans = None
    if problem.rows:
        plans = (
            problem.plan("backward_data") if wanted[0] else None,
            problem.plan("backward_weights") if wanted[1] else None,
            None,    # no border
        )
    images = problem.image(problem.in_features), problem.filters(), problem.image(problem.out_features)
    return plans, *images, problem.dtype
