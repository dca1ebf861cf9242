# SPDX-License-Identifier: BSD-3-Clause
"""Batch normalisation and its gradients.

    y = (x - mean) * scale + bias,   scale = weight / sqrt(var + eps)

per channel. In training mean and var are those of the batch, and with n values per channel and
xhat = (x - mean) / sqrt(var + eps) the gradients are

    dbias = sum(g),   dweight = sum(g * xhat),   dx = scale * (g - dbias / n - xhat * dweight / n).

With given statistics dx = scale * g. Statistics are float64, whatever x is, and so are the sums.
"""

from typing import Any, Literal, TypeVar, cast, overload

import numpy as np

from fastconv import _core
from fastconv.errors import ShapeError
from fastconv.ops._check import (
    FLOAT64,
    LAYOUTS,
    LAYOUTS_OF,
    Array,
    Shape,
    base_array,
    flag,
    flags,
    float_array,
    number,
    output_array,
    same_dtype,
    word,
)
from fastconv.ops._shapes import check_grad_output, image_axes
from fastconv.ops.conv import BLOCK

Images = TypeVar("Images", bound=Array | _core.Blocked)


@overload
def batch_norm(
    x: Images, running_mean: Array | None, running_var: Array | None, weight: Array | None = None,
    bias: Array | None = None, training: bool = False, momentum: float = 0.1, eps: float = 1e-5, *,
    relu: bool = False, return_statistics: Literal[False] = False, layout: str = "NCHW", out: Images | None = None,
) -> Images: ...
@overload
def batch_norm(
    x: Images, running_mean: Array | None, running_var: Array | None, weight: Array | None = None,
    bias: Array | None = None, training: bool = False, momentum: float = 0.1, eps: float = 1e-5, *,
    relu: bool = False, return_statistics: Literal[True], layout: str = "NCHW", out: Images | None = None,
) -> tuple[Images, Array, Array]: ...
def batch_norm(
    x: Images, running_mean: Array | None, running_var: Array | None, weight: Array | None = None,
    bias: Array | None = None, training: bool = False, momentum: float = 0.1, eps: float = 1e-5, *,
    relu: bool = False, return_statistics: bool = False, layout: str = "NCHW", out: Images | None = None,
) -> Images | tuple[Images, Array, Array]:
    """(x - mean) / sqrt(var + eps) * weight + bias, per channel; max(0, that) with relu=True.

    x: (N, C), or (N, C, ...) with one to three spatial axes, or (N, ..., C) with layout="NHWC", or images in the native
        layout (_core.Blocked).
    training: mean and var are the batch's, var that of the population; else running_mean and running_var.
    running_mean, running_var: (C,), float64 or of x's dtype. In training they may be None; if given they are
        changed in place to (1 - momentum) * old + momentum * new, new being the mean and the unbiased variance.
    weight, bias: (C,) or None, which stands for 1 and 0.
    return_statistics: also return mean and var as used, float64, for batch_norm_backward.
    out: where to write the result; of its shape and dtype, C-contiguous, overlapping no input.

    Returns y, or (y, mean, var). Native layout: channels from C on, the padding of a block, are written as 0.
    TypeError, ShapeError, ValueError as in conv2d; ValueError also where training meets one value per channel.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> x = np.array([1.0, 3.0]).reshape(2, 1, 1, 1)
    >>> y, mean, var = ops.batch_norm(x, None, None, training=True, eps=0, return_statistics=True)
    >>> y.ravel().tolist(), mean.tolist(), var.tolist()
    ([-1.0, 1.0], [2.0], [1.0])
    """
    data: Any = float_array("x", x)
    training, relu = flag("training", training), flag("relu", relu)
    return_statistics = flag("return_statistics", return_statistics)
    momentum, eps = number("momentum", momentum), number("eps", eps)
    channels_last = _channels_last(data, layout)
    vectors = {"running_mean": running_mean, "running_var": running_var, "weight": weight, "bias": bias}
    channels, values = _channels(data, layout, vectors)
    weight, bias = like("weight", weight, data, channels), like("bias", bias, data, channels)
    running = [statistics_like(name, vectors[name], data, channels) for name in ("running_mean", "running_var")]
    if training:
        if values < 2:
            raise ShapeError(f"training needs more than one value per channel, got shape {data.shape}")
        for name in ("running_mean", "running_var"):
            target = vectors[name]
            if target is not None and not target.flags.writeable:
                raise ValueError(f"{name} is read-only, but training changes it; pass a writable array or None")
        mean, var = np.empty(channels), np.empty(channels)
    elif running[0] is None or running[1] is None:
        raise ValueError("running_mean and running_var must be given where training is False")
    else:
        mean, var = running[0], running[1]
    inputs = tuple(a for a in (data, weight, bias, running_mean, running_var) if a is not None)
    y = _result(data, out, inputs)
    _core.Norm(spatial(data), weight, bias, mean, var, eps, training, relu, channels_last).forward(spatial(y))
    if training:
        move(running_mean, momentum, mean)
        move(running_var, momentum, var * (values / (values - 1)))
    result = cast(Images, y if out is None else out)
    return (result, mean, var) if return_statistics else result


def batch_statistics(x: Array | _core.Blocked, layout: str = "NCHW") -> tuple[Array, Array]:
    """Mean and variance of each channel, (C,) float64 each; the variance is that of the population.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> [v.tolist() for v in ops.batch_statistics(np.array([1.0, 3.0]).reshape(2, 1, 1, 1))]
    [[2.0], [1.0]]
    """
    data: Any = float_array("x", x)
    channels_last = _channels_last(data, layout)
    channels, values = _channels(data, layout, {})
    if values < 1:
        raise ShapeError(f"x must have at least one value per channel, got shape {data.shape}")
    mean, var = np.empty(channels), np.empty(channels)
    _core.Norm(spatial(data), None, None, mean, var, 0.0, True, False, channels_last).forward(None)
    return mean, var


def batch_norm_backward(
    grad_output: Images, x: Images, mean: Array, var: Array, weight: Array | None = None,
    bias: Array | None = None, training: bool = False, eps: float = 1e-5,
    needs: tuple[bool, bool, bool] = (True, True, True), *,
    relu: bool = False, layout: str = "NCHW", out: Images | None = None,
) -> tuple[Images | None, Array | None, Array | None]:
    """The gradients of sum(grad_output * batch_norm(x, ...)) with respect to x, weight and bias.

    mean, var: as batch_norm(..., return_statistics=True) returned them, float64.
    training: whether they were the batch's, so that they depend on x.
    bias: used with relu=True only, to tell where the output was positive.
    needs: which of the three gradients to compute; the others are None.
    out: where to write the gradient of x, as in batch_norm.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> x = np.array([1.0, 2.0, 4.0]).reshape(3, 1, 1, 1)
    >>> grad = np.array([1.0, 0.0, 0.0]).reshape(3, 1, 1, 1)
    >>> dx, dw, db = ops.batch_norm_backward(grad, x, np.array([0.0]), np.array([4.0]), eps=0)
    >>> dx.ravel().tolist(), dw.tolist(), db.tolist()
    ([0.5, 0.0, 0.0], [0.5], [1.0])
    """
    data: Any = float_array("x", x)
    grad: Any = float_array("grad_output", grad_output)
    training, relu = flag("training", training), flag("relu", relu)
    eps = number("eps", eps)
    channels_last = _channels_last(data, layout)
    vectors = {"mean": mean, "var": var, "weight": weight, "bias": bias}
    channels, values = _channels(data, layout, vectors)
    if isinstance(grad, _core.Blocked) != isinstance(data, _core.Blocked):
        raise TypeError("grad_output and x must both be arrays or both be Blocked")
    check_grad_output(grad.shape, data.shape, layout)
    weight, bias = like("weight", weight, data, channels), like("bias", bias, data, channels)
    same_dtype(x=data, grad_output=grad)
    statistics = [statistics_like(name, vectors[name], data, channels) for name in ("mean", "var")]
    if statistics[0] is None or statistics[1] is None:
        raise TypeError("mean and var must be given: batch_norm(..., return_statistics=True) returns them")
    need_x, need_weight, need_bias = flags("needs", needs, 3)
    if training and values < 2:
        raise ShapeError(f"training needs more than one value per channel, got shape {data.shape}")
    dw = db = None
    if training or need_weight or need_bias:
        dw, db = np.empty(channels), np.empty(channels)
    dx = _result(data, out, (data, grad, mean, var, weight, bias)) if need_x else None
    norm = _core.Norm(spatial(data), weight, bias, statistics[0], statistics[1], eps, training, relu, channels_last)
    if dx is not None or dw is not None:
        norm.backward(spatial(grad), spatial(dx), dw, db)
    return (
        None if dx is None else cast(Images, dx if out is None else out),
        dw.astype(data.dtype) if need_weight and dw is not None else None,
        db.astype(data.dtype) if need_bias and db is not None else None,
    )


# ---- checks ----------------------------------------------------------------------------------------------


def _array(images: Any) -> Array:
    return images.array if isinstance(images, _core.Blocked) else images


def _channels_last(data: Any, layout: str) -> bool:
    return word("layout", layout, LAYOUTS) == "NHWC" and len(data.shape) > 2


def spatial(images: Any) -> Any:
    """The images as the core takes them: with a spatial axis."""
    return images[..., None] if isinstance(images, np.ndarray) and images.ndim == 2 else images


def _layout(axes: int, layout: str) -> str:
    """The name of a layout with other numbers of spatial axes."""
    if axes == 2:
        return "NC"
    return LAYOUTS_OF[axes - 2][layout == "NHWC"] if 3 <= axes <= 5 else layout


def _channels(data: Any, layout: str, vectors: dict[str, Array | None]) -> tuple[int, int]:
    """Channels, and values of each. In the native layout the vectors tell how many of a block are padding."""
    if not isinstance(data, _core.Blocked):
        _, channels, _ = image_axes("x", data.shape, _layout(data.ndim, layout))
        return channels, data.size // channels
    channels = data.shape[1]
    values = data.array.size // channels
    given = [v for v in vectors.values() if isinstance(v, np.ndarray) and v.ndim == 1]
    if given and channels - BLOCK < given[0].shape[0] <= channels:
        channels = given[0].shape[0]
    return channels, values


def check_vector(name: str, vector: Array, channels: int) -> None:
    if vector.shape != (channels,):
        raise ShapeError(f"{name} must have one number per channel, ({channels},), got shape {vector.shape}")


def like(name: str, vector: Array | None, data: Any, channels: int) -> Array | None:
    """A parameter as the core reads it: of x's dtype, contiguous."""
    if vector is None:
        return None
    vector = float_array(name, vector)
    check_vector(name, vector, channels)
    same_dtype(x=data, **{name: vector})
    return np.ascontiguousarray(vector)


def statistics_like(name: str, vector: Array | None, data: Any, channels: int) -> Array | None:
    """Statistics as the core reads them: float64, contiguous."""
    if vector is None:
        return None
    given = float_array(name, vector)
    check_vector(name, given, channels)
    if given.dtype not in (FLOAT64, data.dtype):
        raise TypeError(f"{name} must be float64 or {data.dtype} as x is, got {given.dtype}")
    return np.ascontiguousarray(given, FLOAT64)


def move(running: Array | None, momentum: float, new: Array) -> None:
    if running is not None:
        base_array("running", running)[...] = (1 - momentum) * running.astype(FLOAT64) + momentum * new


def _result(data: Any, out: Any, inputs: tuple[Any, ...]) -> Any:
    """Where to write: `out` if it fits, or new memory, of x's kind, shape and dtype."""
    shape: Shape = _array(data).shape
    if out is None:
        y = _core.empty(shape, data.dtype)
        return _core.Blocked(y) if isinstance(data, _core.Blocked) else y
    if isinstance(out, _core.Blocked) != isinstance(data, _core.Blocked):
        raise TypeError("out and x must both be arrays or both be Blocked")
    target = output_array(_array(out), shape, data.dtype, [None if a is None else _array(a) for a in inputs])
    return out if isinstance(out, _core.Blocked) else target
