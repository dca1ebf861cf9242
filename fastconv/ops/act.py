# SPDX-License-Identifier: BSD-3-Clause
"""Element-wise operations on native kernels, and those that stand between convolutions: ReLU, sums, sums with ReLU.

They take arrays of any shape, or images in the native layout (_core.Blocked), and return the like. The result
is stored the way the first operand is, so that nothing is reordered; a second operand that is stored in
another order is copied into this one first, and so are arrays with gaps or repeated elements.
"""

from typing import Any, TypeVar, cast

import numpy as np

from fastconv import _core
from fastconv.errors import ShapeError
from fastconv.ops._check import Array, base_array, flag, float_array, same_dtype

Images = TypeVar("Images", bound=Array | _core.Blocked)


def relu(x: Images, *, out: Images | None = None) -> Images:
    """max(x, 0), element by element; NaN stays NaN, and -0 stays -0, as in PyTorch.

    x: float32 or float64, of any shape.
    out: where to write the result: of x's shape, dtype and strides. May be x itself.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.relu(np.array([-1.0, np.nan, 2.0])).tolist()
    [0.0, nan, 2.0]
    """
    return elementwise("relu", x, None, "x", "", out)


def relu_backward(grad_output: Images, y: Images, *, out: Images | None = None) -> Images:
    """The gradient of sum(grad_output * relu(x)) with respect to x: 0 where y <= 0, else grad_output.

    y: relu(x), or x, which tells the same. So the gradient at x = 0 is 0, and at NaN grad_output.
    out: as in relu; may be grad_output or y.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.relu_backward(np.array([5.0, 6.0, 7.0]), np.array([0.0, 1.0, np.nan])).tolist()
    [0.0, 6.0, 7.0]
    """
    return elementwise("relu_backward", grad_output, y, "grad_output", "y", out)


def add(a: Images, b: Images, *, relu: bool = False, out: Images | None = None) -> Images:
    """a + b, of equal shapes, or max(a + b, 0) with relu=True, whose gradient is relu_backward for both.

    out: as in relu; may be a or b.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.add(np.array([1.0, 2.0]), np.array([0.5, -3.0]), relu=True).tolist()
    [1.5, 0.0]
    """
    return elementwise("add_relu" if flag("relu", relu) else "add", a, b, "a", "b", out)


def elementwise(
    name: str, first: Images, second: Images | None, first_name: str, second_name: str, out: Images | None,
    p: float = 0.0, q: float = 0.0,
) -> Images:
    """The kernel `name` on one operand, or two, of the names that errors shall call them; p, q: its numbers."""
    if isinstance(first, _core.Blocked):
        kinds = {second_name: second, "out": out}
        for other_name, other in kinds.items():
            if other is not None and not isinstance(other, _core.Blocked):
                raise TypeError(f"{other_name} must be Blocked as {first_name} is, got {type(other).__name__}")
        parts = [None if t is None else cast(_core.Blocked, t).array for t in (second, out)]
        result = _on_arrays(name, first.array, parts[0], first_name, second_name, parts[1], p, q)
        return out if out is not None else cast(Images, _core.Blocked(result))
    for other_name, other in ((second_name, second), ("out", out)):
        if isinstance(other, _core.Blocked):
            raise TypeError(f"{other_name} must be a numpy.ndarray as {first_name} is, got Blocked")
    return cast(Images, _on_arrays(name, first, second, first_name, second_name, out, p, q))


def _on_arrays(
    name: str, first: Any, second: Any, first_name: str, second_name: str, out: Any, p: float, q: float
) -> Array:
    first = float_array(first_name, first)
    if second_name:
        second = float_array(second_name, second)
        same_dtype(**{first_name: first, second_name: second})
        if second.shape != first.shape:
            raise ShapeError(
                f"{second_name} must have the shape of {first_name} {first.shape}, got {second.shape}"
            )
    if out is not None:
        result = _output(out, first, second if second_name else None)
    else:
        result = _core.empty(first.shape, first.dtype) if first.flags.c_contiguous else np.empty_like(first)
    first = _stored_like(first, result)
    _core.act(name, result, first, _stored_like(second, result) if second_name else None, p, q)
    return result if out is None else cast(Array, out)


def _stored_like(array: Array, result: Array) -> Array:
    """`array` itself where its elements lie in memory in the order of the result's, else a copy that does."""
    if array.strides == result.strides or (array.flags.c_contiguous and result.flags.c_contiguous):
        return array
    copy = np.empty_like(result)
    copy[...] = array
    return copy


def _output(out: object, first: Array, second: Array | None) -> Array:
    """`out` as the plain array to write to: each operand is this very memory, or shares none with it."""
    if out is first and first.flags.carray and (second is None or not np.may_share_memory(first, second)):
        return first
    target = base_array("out", out)
    if target.dtype != first.dtype:
        raise TypeError(f"out must be {first.dtype} as the inputs are, got {target.dtype}")
    if target.shape != first.shape:
        raise ShapeError(f"out must have the shape of the result {first.shape}, got {target.shape}")
    if not target.flags.writeable:
        raise ValueError("out is read-only; pass a writable array")
    if not target.flags.aligned or target.strides != np.empty_like(target).strides:
        raise ValueError(f"out must be without gaps and aligned, got strides {target.strides}")
    for array in (first, second):
        if array is None or not np.may_share_memory(target, array):
            continue
        if array.ctypes.data != target.ctypes.data or array.strides != target.strides:
            raise ValueError("out overlaps an input in memory; pass the input itself, or other memory")
    return target
