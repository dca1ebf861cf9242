# SPDX-License-Identifier: BSD-3-Clause
"""The gate: what every argument of fastconv.ops must be before it reaches the native core.

Arrays.  Only numpy.ndarray is taken. A subclass is read as the plain array on the same memory, whatever its
class overrides; masked arrays are refused, because their mask would be ignored. Element types are float32 and
float64, the same for all arrays of one call. Big-endian and misaligned arrays are copied; every other way of
storing an array (Fortran order, negative steps, zero steps, read-only) is passed on as it is.

Integers.  Whatever operator.index takes, except booleans. Each is compared with its range before anything is
computed from it, so that no product of two arguments can overflow.

An error says what was received, what was expected, and where possible how to mend the call. TypeError is for
the kind of a value, ValueError for the value, ShapeError for a value that is a shape. What the arguments of
one operation must be to each other is the business of _shapes.py.
"""

import math
import operator
import reprlib
from collections.abc import Collection, Iterable
from typing import Any, cast

import numpy as np

from fastconv._core import Blocked
from fastconv.errors import ShapeError

Array = np.ndarray[Any, np.dtype[Any]]
Shape = tuple[int, ...]

FLOAT32 = np.dtype(np.float32)
FLOAT64 = np.dtype(np.float64)
INT64 = np.dtype(np.int64)

#: The largest kernel size, stride, dilation, padding and group count. Four such numbers multiplied pairwise
#: and added stay below 2**63, so the effective kernel and the padded extent are exact in the core.
MAX_EXTENT = 2**31 - 1

#: The largest array of one call, in bytes: the address space of a process on today's 64-bit processors. Only
#: a view with zero steps can be larger, and the loop over it would take days.
MAX_BYTES = 2**47

LAYOUTS = ("NCHW", "NHWC")

#: By the number of spatial axes, with the channels second and last.
LAYOUTS_OF = {1: ("NCL", "NLC"), 2: LAYOUTS, 3: ("NCDHW", "NDHWC")}

# What to add to the message when the number is too small; the words are those PyTorch's users search for.
_TOO_SMALL = {
    "stride": "non-positive stride is not supported",
    "padding": "negative padding is not supported",
    "dilation": "dilation should be greater than zero",
    "kernel_size": "kernel size should be greater than zero",
    "groups": "non-positive groups is not supported",
}

_printer = reprlib.Repr()
_printer.maxother = _printer.maxstring = 80
_printer.maxlevel = 3


def shown(value: object) -> str:
    """A short text for a value of any kind; never raises, never long."""
    try:
        return _printer.repr(value)
    except Exception:  # of an integer of thousands of digits, say; it must not hide the error being reported
        return f"a value of type {type(value).__name__}"


# ---- arrays ----------------------------------------------------------------------------------------------


def base_array(name: str, value: Any) -> Array:
    """`value` as a plain ndarray on the same memory; TypeError for anything that is not an ndarray.

    type() and not isinstance(): an object may claim any class, and then numpy would read it as memory.
    """
    kind = type(value)
    if kind is np.ndarray:
        return cast(Array, value)
    if not issubclass(kind, np.ndarray):
        what = "None" if value is None else kind.__name__
        raise TypeError(
            f"{name} must be a numpy.ndarray, got {what}. "
            f"Convert it first: np.asarray({name}, dtype=np.float32)."
        )
    if issubclass(kind, np.ma.MaskedArray):
        raise TypeError(
            f"{name} must be a numpy.ndarray, got MaskedArray, whose mask would be ignored. "
            f"Say what the masked elements are: {name}.filled(0)."
        )
    return np.ndarray.view(value, np.ndarray)


def float_array(name: str, value: object) -> Array:
    """`value` as the core can read it: native float32 or float64, aligned; a copy only where it must be.

    Images that are in the core's own layout already, as layers hand them on, are taken as they are.
    """
    if type(value) is Blocked:
        return cast(Array, value)
    array = base_array(name, value)
    dtype = array.dtype
    if dtype.kind != "f" or dtype.itemsize not in (4, 8):
        raise TypeError(f"{name} must be float32 or float64, got {dtype}. {_float_fix(name, dtype)}")
    if array.nbytes > MAX_BYTES:
        raise ShapeError(f"{name} of shape {array.shape} has {array.nbytes} bytes; the limit is {MAX_BYTES}")
    return _readable(array, FLOAT32 if dtype.itemsize == 4 else FLOAT64)


def index_array(name: str, value: object) -> Array:
    """`value` as an aligned array of native int64: the indices that max_pool2d returned."""
    array = base_array(name, value)
    if array.dtype != INT64:
        raise TypeError(
            f"{name} must be int64, as max_pool2d(..., return_indices=True) gave them, got {array.dtype}"
        )
    return _readable(array, INT64)


def _readable(array: Array, dtype: np.dtype[Any]) -> Array:
    """`array` itself where it is native, aligned, and steps by whole elements; else a copy that is."""
    if array.dtype.isnative and array.flags.aligned and not any([s % dtype.itemsize for s in array.strides]):
        return array
    return np.array(array, dtype=dtype, order="C", copy=True)


def dtype_name(array: Array | Blocked) -> str:
    """array.dtype.name of what float_array returned; NumPy puts the name together anew each time."""
    return "float32" if array.dtype.itemsize == 4 else "float64"


def _float_fix(name: str, dtype: np.dtype[Any]) -> str:
    if dtype.kind == "c":
        return f"Pass {name}.real and {name}.imag in two calls."
    if dtype.names:
        return f"Pass one field: {name}[{dtype.names[0]!r}]."
    return f"Convert it first: {name}.astype(np.float32)."


def same_dtype(**arrays: Array | Blocked | None) -> None:
    """TypeError unless the arrays that are given share one element type."""
    given = [(name, array.dtype) for name, array in arrays.items() if array is not None]
    first_name, first = given[0]
    for name, dtype in given[1:]:
        if dtype != first:
            raise TypeError(
                f"{first_name} and {name} should be the same element type, got {first} and {dtype}. "
                f"Convert one: {name}.astype(np.{first})."
            )


def output_array(out: object, shape: Shape, dtype: np.dtype[Any], inputs: Iterable[Array | None]) -> Array:
    """`out` as the plain array to write the result to; an error, with nothing written, where it cannot be."""
    target = base_array("out", out)
    if target.dtype != dtype:
        raise TypeError(f"out must be {dtype} as the inputs are, got {target.dtype}")
    if target.shape != shape:
        raise ShapeError(f"out must have the shape of the result {shape}, got {target.shape}")
    if not target.flags.writeable:
        raise ValueError("out is read-only; pass a writable array")
    if not (target.flags.c_contiguous and target.flags.aligned):
        raise ValueError(f"out must be C-contiguous and aligned, got strides {target.strides}")
    for array in inputs:
        if array is not None and np.may_share_memory(target, array):
            raise ValueError(
                "out overlaps an input in memory; the result would overwrite what is still to be read"
            )
    return target


def check_bytes(what: str, shape: Shape, dtype: np.dtype[Any]) -> None:
    """ShapeError where an array still to be made would be larger than MAX_BYTES."""
    size = math.prod(shape) * dtype.itemsize
    if size > MAX_BYTES:
        raise ShapeError(f"{what} of shape {shape} would have {size} bytes; the limit is {MAX_BYTES}")


# ---- numbers and words -----------------------------------------------------------------------------------


def integer(name: str, value: object, low: int, high: int = MAX_EXTENT) -> int:
    """`value` as an int in [low, high]: TypeError for what is no integer, ValueError outside the range."""
    if type(value) is int and low <= value <= high:    # as nearly always
        return value
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be an integer, got {value}")
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {shown(value)}") from None
    if low <= number <= high:
        return number
    hint = _TOO_SMALL.get(name.partition("[")[0], "") if number < low else ""
    raise ValueError(
        f"{name} must be between {low} and {high}, got {shown(number)}" + (f": {hint}" if hint else "")
    )


_COUNTS = {1: "one integer", 2: "a pair of integers", 3: "three integers"}


def several(name: str, value: object, axes: int, low: int) -> Shape:
    """An integer for all axes, or a tuple or list with one for each, in the order of the axes."""
    if not isinstance(value, (tuple, list)):
        return (integer(name, value, low),) * axes
    if len(value) != axes:
        raise ValueError(f"{name} must be an integer or {_COUNTS[axes]}, got {shown(value)}")
    return tuple(integer(f"{name}[{i}]", v, low) for i, v in enumerate(value))


def pair(name: str, value: object, low: int) -> tuple[int, int]:
    """An integer for both axes, or a tuple or list of two: (vertical, horizontal)."""
    vertical, horizontal = several(name, value, 2, low)
    return vertical, horizontal


def word(name: str, value: object, allowed: Collection[str]) -> str:
    """`value` if it is one of the allowed words."""
    if type(value) is str and value in allowed:
        return value
    choices = ", ".join(map(repr, allowed))
    if not isinstance(value, str):
        raise TypeError(f"{name} must be one of {choices}, got {shown(value)}")
    if value not in allowed:
        raise ValueError(f"{name} must be one of {choices}, got {shown(value)}")
    return value


def flag(name: str, value: object) -> bool:
    """`value` if it is a boolean; numbers are refused, they are more often a misplaced argument."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, got {shown(value)}")
    return bool(value)


def flags(name: str, value: object, count: int) -> tuple[bool, ...]:
    """A tuple or list of `count` booleans."""
    if not isinstance(value, (tuple, list)):
        raise TypeError(f"{name} must be a tuple of {count} booleans, got {shown(value)}")
    if len(value) != count:
        raise ValueError(f"{name} must be a tuple of {count} booleans, got {shown(value)}")
    return tuple(flag(f"{name}[{i}]", v) for i, v in enumerate(value))
