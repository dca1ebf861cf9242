# SPDX-License-Identifier: BSD-3-Clause
"""Normalisation of each sample by itself: layer, group and instance normalisation, with their gradients.

    y = (x - mean) / sqrt(var + eps) * weight + bias

mean and var, that of the population, are those of a set of the sample's values: its last axes, a group of its channels,
or one channel. They are float64, and so are their sums. The sets of all samples are the channels of one image, so this
is batch normalisation of another shape, and runs on its kernels.
"""

from typing import Any, Literal, overload

import numpy as np

from fastconv import _core
from fastconv.errors import ShapeError
from fastconv.ops._check import Array, Shape, flag, flags, float_array, integer, number, same_dtype, shown
from fastconv.ops.norm import batch_norm, batch_norm_backward, like, move, statistics_like

Needs = tuple[bool, bool, bool]
Gradients = tuple[Array | None, Array | None, Array | None]


# ---- Layers ----------------------------------------------------------------------------------------------


@overload
def layer_norm(
    x: Array, normalized_shape: int | Shape, weight: Array | None = None, bias: Array | None = None,
    eps: float = 1e-5, *, return_statistics: Literal[False] = False,
) -> Array: ...
@overload
def layer_norm(
    x: Array, normalized_shape: int | Shape, weight: Array | None = None, bias: Array | None = None,
    eps: float = 1e-5, *, return_statistics: Literal[True],
) -> tuple[Array, Array, Array]: ...
def layer_norm(
    x: Array, normalized_shape: int | Shape, weight: Array | None = None, bias: Array | None = None,
    eps: float = 1e-5, *, return_statistics: bool = False,
) -> Array | tuple[Array, Array, Array]:
    """Normalise the last axes, whose extents are normalized_shape.

    x: (..., normalized_shape), float32 or float64. weight, bias: normalized_shape, or None for 1 and 0.
    return_statistics: also return mean and var of each row, float64, for layer_norm_backward.

    Returns y, of x's shape and dtype, or (y, mean, var). Raises TypeError for a wrong kind, ShapeError where x does not
    end with normalized_shape or weight and bias have another shape, ValueError for a negative eps.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.layer_norm(np.array([[1.0, 3.0], [0.0, 8.0]]), 2, eps=0).tolist()
    [[-1.0, 1.0], [-1.0, 1.0]]
    """
    x, shape, weight, bias = _layer(x, normalized_shape, weight, bias)
    eps, with_statistics = number("eps", eps), flag("return_statistics", return_statistics)
    rows = x.reshape(1, -1, int(np.prod(shape)))
    y, mean, var = _normalized(rows, None, None, eps)
    y = y.reshape(x.shape)
    if weight is not None:
        y *= weight
    if bias is not None:
        y += bias
    return (y, mean, var) if with_statistics else y


def layer_norm_backward(
    grad_output: Array, x: Array, normalized_shape: int | Shape, mean: Array, var: Array, weight: Array | None = None,
    eps: float = 1e-5, needs: Needs = (True, True, True),
) -> Gradients:
    """The gradients of sum(grad_output * layer_norm(x, ...)) with respect to x, weight and bias.

    mean, var: as layer_norm(..., return_statistics=True) returned them. needs: which to compute; the others are None.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> x = np.array([[1.0, 3.0]])
    >>> y, mean, var = ops.layer_norm(x, 2, eps=0, return_statistics=True)
    >>> dx, dweight, dbias = ops.layer_norm_backward(np.array([[1.0, 0.0]]), x, 2, mean, var, eps=0)
    >>> dx.tolist(), dweight.tolist(), dbias.tolist()
    ([[0.0, 0.0]], [-1.0, 0.0], [1.0, 0.0])
    """
    x, shape, weight, _ = _layer(x, normalized_shape, weight, None)
    grad, eps = _grad(grad_output, x), number("eps", eps)
    need_x, need_weight, need_bias = flags("needs", needs, 3)
    rows = x.reshape(1, -1, int(np.prod(shape)))
    mean, var = _given("mean", mean, x, rows.shape[1]), _given("var", var, x, rows.shape[1])
    dx = dweight = dbias = None
    if need_x:
        dx = _gradient(_scaled(grad, weight), rows, mean, var, eps).reshape(x.shape)
    if need_weight:
        products = _applied(rows, None, None, mean, var, eps)
        products *= grad.reshape(rows.shape)
        dweight = _columns(products).reshape(shape)
    if need_bias:
        dbias = _columns(grad.reshape(rows.shape)).reshape(shape)
    return dx, dweight, dbias


def _layer(x: Any, normalized_shape: object, weight: Any, bias: Any) -> tuple[Array, Shape, Array | None, Array | None]:
    x = float_array("x", x)
    sizes = normalized_shape if isinstance(normalized_shape, (tuple, list)) else (normalized_shape,)
    shape = tuple(integer("normalized_shape", n, 1) for n in sizes)
    if not shape or x.shape[-len(shape):] != shape:
        raise ShapeError(f"x must end with the axes normalized_shape={shown(normalized_shape)}, got shape {x.shape}")
    checked = []
    for name, value in (("weight", weight), ("bias", bias)):
        array = None if value is None else float_array(name, value)
        if array is not None and array.shape != shape:
            raise ShapeError(f"{name} must have the shape normalized_shape {shape}, got {array.shape}")
        same_dtype(**{"x": x, name: array})
        checked.append(array)
    return np.ascontiguousarray(x), shape, checked[0], checked[1]


# ---- Groups ----------------------------------------------------------------------------------------------


@overload
def group_norm(
    x: Array, num_groups: int, weight: Array | None = None, bias: Array | None = None, eps: float = 1e-5, *,
    return_statistics: Literal[False] = False,
) -> Array: ...
@overload
def group_norm(
    x: Array, num_groups: int, weight: Array | None = None, bias: Array | None = None, eps: float = 1e-5, *,
    return_statistics: Literal[True],
) -> tuple[Array, Array, Array]: ...
def group_norm(
    x: Array, num_groups: int, weight: Array | None = None, bias: Array | None = None, eps: float = 1e-5, *,
    return_statistics: bool = False,
) -> Array | tuple[Array, Array, Array]:
    """Normalise each of num_groups groups of neighbouring channels of each sample.

    x: (N, C, ...), float32 or float64; num_groups divides C. weight, bias: (C,), or None for 1 and 0.
    return_statistics: also return mean and var of each group, (N * num_groups,) float64, for group_norm_backward.

    Returns y, of x's shape and dtype, or (y, mean, var). Raises TypeError, ShapeError, ValueError as layer_norm does.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.group_norm(np.array([[1.0, 3.0, 0.0, 8.0]]), 2, eps=0).tolist()
    [[-1.0, 1.0, -1.0, 1.0]]
    """
    x, groups = _grouped(x, num_groups)
    weight, bias = like("weight", weight, x, x.shape[1]), like("bias", bias, x, x.shape[1])
    eps, with_statistics = number("eps", eps), flag("return_statistics", return_statistics)
    sets = _sets(x, groups)
    if groups == x.shape[1] or (weight is None and bias is None):
        y, mean, var = _normalized(sets, _repeated(weight, x), _repeated(bias, x), eps)
    else:
        mean, var = _statistics(sets)
        planes, each = _sets(x, x.shape[1]), x.shape[1] // groups
        y = _applied(planes, _repeated(weight, x), _repeated(bias, x), mean.repeat(each), var.repeat(each), eps)
    y = y.reshape(x.shape)
    return (y, mean, var) if with_statistics else y


def group_norm_backward(
    grad_output: Array, x: Array, num_groups: int, mean: Array, var: Array, weight: Array | None = None,
    eps: float = 1e-5, needs: Needs = (True, True, True),
) -> Gradients:
    """The gradients of sum(grad_output * group_norm(x, ...)) with respect to x, weight and bias.

    mean, var: as group_norm(..., return_statistics=True) returned them. needs: which to compute; the others are None.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> x = np.array([[1.0, 3.0, 0.0, 8.0]])
    >>> y, mean, var = ops.group_norm(x, 2, eps=0, return_statistics=True)
    >>> dx, dweight, dbias = ops.group_norm_backward(np.ones((1, 4)), x, 2, mean, var, eps=0)
    >>> dx.tolist(), dweight.tolist(), dbias.tolist()
    ([[0.0, 0.0, 0.0, 0.0]], [-1.0, 1.0, -1.0, 1.0], [1.0, 1.0, 1.0, 1.0])
    """
    x, groups = _grouped(x, num_groups)
    grad, eps = _grad(grad_output, x), number("eps", eps)
    channels, sets = x.shape[1], len(x) * groups
    weight = like("weight", weight, x, channels)
    need_x, need_weight, need_bias = flags("needs", needs, 3)
    mean, var = _given("mean", mean, x, sets), _given("var", var, x, sets)
    dx = dweight = dbias = None
    if need_x:
        scaled = _scaled(grad, None if weight is None else weight.reshape(-1, *(1,) * (x.ndim - 2)))
        dx = _gradient(scaled, _sets(x, groups), mean, var, eps).reshape(x.shape)
    if need_weight or need_bias:
        each = channels // groups
        sums = _products(grad, _sets(x, channels), mean.repeat(each), var.repeat(each), eps)
        dweight, dbias = (s.reshape(len(x), channels).sum(0).astype(x.dtype) for s in sums)
    return dx, dweight if need_weight else None, dbias if need_bias else None


def _grouped(x: Any, num_groups: object) -> tuple[Array, int]:
    x, groups = float_array("x", x), integer("num_groups", num_groups, 1)
    if x.ndim < 2:
        raise ShapeError(f"x must be (N, C, ...), got shape {x.shape}")
    if 0 in x.shape[1:]:
        raise ShapeError(f"x is empty: shape {x.shape}. Only the batch may be 0.")
    if x.shape[1] % groups:
        raise ShapeError(f"num_groups={groups} does not divide the {x.shape[1]} channels of x")
    return np.ascontiguousarray(x), groups


# ---- Instances -------------------------------------------------------------------------------------------


def instance_norm(
    x: Array, running_mean: Array | None = None, running_var: Array | None = None, weight: Array | None = None,
    bias: Array | None = None, use_input_stats: bool = True, momentum: float = 0.1, eps: float = 1e-5, *,
    return_statistics: bool = False,
) -> Any:
    """Normalise each channel of each sample.

    x: (N, C, ...) with one to three spatial axes. weight, bias: (C,), or None for 1 and 0.
    use_input_stats: by its own mean and variance; else by running_mean and running_var, (C,) float64 or of x's dtype.
        With its own, running_mean and running_var, if given, are changed in place to
        (1 - momentum) * old + momentum * new, new being the batch's mean of the means and of the unbiased variances.
    return_statistics: also return mean and var as used, (N * C,) or (C,), float64, for instance_norm_backward.

    Returns y, of x's shape and dtype, or (y, mean, var). Raises as batch_norm does; ShapeError where a channel
    has one value.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.instance_norm(np.array([[[1.0, 3.0], [0.0, 8.0]]]), eps=0).tolist()
    [[[-1.0, 1.0], [-1.0, 1.0]]]
    """
    if not flag("use_input_stats", use_input_stats):
        return batch_norm(x, running_mean, running_var, weight, bias, False, momentum, eps,
                          return_statistics=return_statistics)  # type: ignore[call-overload]
    x, momentum = float_array("x", x), number("momentum", momentum, 0, 1)
    if x.ndim < 3 or int(np.prod(x.shape[2:])) == 1:
        raise ShapeError(f"x must be (N, C, ...) with more than one value per channel, got shape {x.shape}")
    channels, values = x.shape[1], x[:1, :1].size
    running = {"running_mean": running_mean, "running_var": running_var}
    for name, array in running.items():
        if array is not None and statistics_like(name, array, x, channels) is not None and not array.flags.writeable:
            raise ValueError(f"{name} is read-only, but use_input_stats changes it; pass a writable array or None")
    y, mean, var = group_norm(x, channels, weight, bias, eps, return_statistics=True)
    if len(x):
        move(running_mean, momentum, mean.reshape(-1, channels).mean(0))
        move(running_var, momentum, var.reshape(-1, channels).mean(0) * (values / (values - 1)))
    return (y, mean, var) if flag("return_statistics", return_statistics) else y


def instance_norm_backward(
    grad_output: Array, x: Array, mean: Array, var: Array, weight: Array | None = None, use_input_stats: bool = True,
    eps: float = 1e-5, needs: Needs = (True, True, True),
) -> Gradients:
    """The gradients of sum(grad_output * instance_norm(x, ...)) with respect to x, weight and bias.

    mean, var: as instance_norm(..., return_statistics=True) returned them. needs: which to compute; others are None.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> x = np.array([[[1.0, 3.0]]])
    >>> y, mean, var = ops.instance_norm(x, eps=0, return_statistics=True)
    >>> [g.ravel().tolist() for g in ops.instance_norm_backward(np.ones((1, 1, 2)), x, mean, var, eps=0)]
    [[0.0, 0.0], [0.0], [2.0]]
    """
    if not flag("use_input_stats", use_input_stats):
        return batch_norm_backward(grad_output, x, mean, var, weight, None, False, eps, needs)
    x = float_array("x", x)
    if x.ndim < 3:
        raise ShapeError(f"x must be (N, C, ...) with more than one value per channel, got shape {x.shape}")
    return group_norm_backward(grad_output, x, x.shape[1], mean, var, weight, eps, needs)


# ---- Calls of the kernels, on (1, sets, values) ----------------------------------------------------------


def _sets(x: Array, groups: int) -> Array:
    """The groups of channels of all samples."""
    return x.reshape(1, len(x) * groups, x.size // max(len(x) * groups, 1) or 1)


def _repeated(vector: Array | None, x: Array) -> Array | None:
    """A number per channel, for each sample."""
    return None if vector is None else np.tile(vector, len(x))


def _norm(sets: Array, weight: Any, bias: Any, mean: Array, var: Array, eps: float, from_sets: bool) -> _core.Norm:
    return _core.Norm(sets, weight, bias, mean, var, eps, from_sets, False, False)


def _normalized(sets: Array, weight: Array | None, bias: Array | None, eps: float) -> tuple[Array, Array, Array]:
    y = _core.empty(sets.shape, sets.dtype)
    mean, var = np.empty(sets.shape[1]), np.empty(sets.shape[1])
    if sets.size:
        _norm(sets, weight, bias, mean, var, eps, True).forward(y)
    return y, mean, var


def _statistics(sets: Array) -> tuple[Array, Array]:
    mean, var = np.empty(sets.shape[1]), np.empty(sets.shape[1])
    if sets.size:
        _norm(sets, None, None, mean, var, 0.0, True).forward(None)
    return mean, var


def _applied(sets: Array, weight: Any, bias: Any, mean: Array, var: Array, eps: float) -> Array:
    y = _core.empty(sets.shape, sets.dtype)
    if sets.size:
        _norm(sets, weight, bias, mean, var, eps, False).forward(y)
    return y


def _gradient(grad: Array, sets: Array, mean: Array, var: Array, eps: float) -> Array:
    dx = _core.empty(sets.shape, sets.dtype)
    if sets.size:
        sums = np.empty(sets.shape[1]), np.empty(sets.shape[1])
        _norm(sets, None, None, mean, var, eps, True).backward(grad.reshape(sets.shape), dx, *sums)
    return dx


def _scaled(grad: Array, weight: Array | None) -> Array:
    return grad if weight is None else np.multiply(grad, weight, out=_core.empty(grad.shape, grad.dtype))


def _columns(rows: Array) -> Array:
    """The sums over all rows, (values,)."""
    sums = np.zeros(rows.shape[2], rows.dtype)
    if rows.size:
        _core.sum_channels(rows, sums, True)
    return sums


def _products(grad: Array, sets: Array, mean: Array, var: Array, eps: float) -> tuple[Array, Array]:
    """Of each set, the sums of grad * (x - mean) / sqrt(var + eps) and of grad."""
    products, sums = np.zeros(sets.shape[1]), np.zeros(sets.shape[1])
    if sets.size:
        _norm(sets, None, None, mean, var, eps, False).backward(grad.reshape(sets.shape), None, products, sums)
    return products, sums


def _grad(grad_output: Any, x: Array) -> Array:
    grad = float_array("grad_output", grad_output)
    same_dtype(x=x, grad_output=grad)
    if grad.shape != x.shape:
        raise ShapeError(f"grad_output must have the shape of x {x.shape}, got {grad.shape}")
    return np.ascontiguousarray(grad)


def _given(name: str, vector: Any, x: Array, sets: int) -> Array:
    statistics = statistics_like(name, vector, x, sets)
    if statistics is None:
        raise TypeError(f"{name} must be given: return_statistics=True returns it")
    return statistics
