# SPDX-License-Identifier: BSD-3-Clause
"""The bad inputs of pooling: rows 56 to 79 of bad_inputs.py."""

from functools import partial

import numpy as np
from bad_inputs import INT64_MAX, MEMORY, TOO_LARGE, TYPE, VALUE, Array, bad, new, new_giant, new_zeros

POOLS = ("max_pool2d", "avg_pool2d")
WINDOWED = (*POOLS, "avg_pool2d_backward")
BACKWARDS = ("max_pool2d_backward", "avg_pool2d_backward")


def pool_parameters() -> None:
    for kernel in (0, (0, 2), (2, 0), -1):
        bad(56, WINDOWED, VALUE, ("kernel_size", "should be greater than zero"), kernel_size=kernel)
    for value in (1.5, "2", None, True, (2, 1.0)):
        bad(56, WINDOWED, TYPE, ("kernel_size", "must be an integer"), kernel_size=value)
    for value in ((2,), (2, 2, 2), ()):
        bad(56, WINDOWED, VALUE, ("kernel_size", "pair"), kernel_size=value)
    for stride in (0, -1, (0, 1), (1, 0)):
        bad(57, WINDOWED, VALUE, ("stride", "non-positive stride is not supported"), stride=stride)
    for stride in (1.5, "2", True, (True, 1)):
        bad(57, WINDOWED, TYPE, ("stride", "must be an integer"), stride=stride)
    for padding in (-1, (0, -1), ((0, 0), (-1, 0)), -(2**63)):
        bad(58, WINDOWED, VALUE, ("padding", "negative padding is not supported"), padding=padding)
    half = "pad should be at most half of effective kernel size"
    for kernel, padding in ((2, 2), (3, 2), (1, 1), ((2, 4), (2, 0)), (2, ((0, 2), (0, 0))), (2, 2**31 - 1)):
        bad(59, WINDOWED, VALUE, (half, "padding="), kernel_size=kernel, padding=padding)
    bad(59, "max_pool2d", VALUE, (half, "dilation=3"), kernel_size=2, dilation=3, padding=3)
    for dilation in (0, -1, (1, 0)):
        bad(60, "max_pool2d", VALUE, ("dilation", "should be greater than zero"), dilation=dilation)
    for dilation in (1.5, None, "1", True):
        bad(60, "max_pool2d", TYPE, ("dilation", "must be an integer"), dilation=dilation)
    for kernel in (5, (5, 1), (1, 5), (3, 3)):
        says = ("Kernel size can't be greater", "has 2")
        bad(61, POOLS, VALUE, says, x=new(1, 1, 2, 2), kernel_size=kernel)
    for name in ("ceil_mode", "return_indices"):
        for value in (1, 0, None):
            bad(60, "max_pool2d", TYPE, (name, "True or False"), **{name: value})
    bad(60, "max_pool2d", VALUE, ("ceil_mode", "'onnx', 'pytorch'"), ceil_mode="yes")
    for value in (1, None):
        bad(60, "avg_pool2d", TYPE, ("count_include_pad", "True or False"), count_include_pad=value)


def pool_overflow() -> None:
    for changes in (
        dict(kernel_size=2**32 + 1, stride=1), dict(kernel_size=2, dilation=2**32),
        dict(kernel_size=2**32 + 1, dilation=2**32),
    ):  # fmt: skip
        bad(62, "max_pool2d", TOO_LARGE, "2147483647", **changes)
    for big in (INT64_MAX, 2**63, 2**64 - 1):
        bad(63, WINDOWED, TOO_LARGE, ("kernel_size", "2147483647"), kernel_size=big, stride=big)
        bad(63, WINDOWED, TOO_LARGE, ("stride", "2147483647"), stride=big)
    big = 2147483697
    bad(64, "max_pool2d", TOO_LARGE, "2147483647", kernel_size=big, stride=big, dilation=big)
    big, kernel = 1250999896764, 8608480567731124087
    bad(65, "max_pool2d", TOO_LARGE, ("kernel_size", str(kernel)), "all", kernel_size=kernel, padding=big,
        dilation=big, ceil_mode=True)  # fmt: skip
    bad(65, "max_pool2d", TOO_LARGE, ("dilation", str(big)), padding=big, dilation=big)
    bad(65, "max_pool2d", TOO_LARGE, ("padding", str(big)), padding=big)
    bad(66, "max_pool2d", TOO_LARGE, "Kernel size can't be greater", kernel_size=536870912, stride=536870912,
        dilation=1879048192)  # fmt: skip
    bad(66, "max_pool2d", VALUE, "Kernel size can't be greater", kernel_size=2**31 - 1, dilation=2**31 - 1)
    bad(66, "max_pool2d", VALUE, "Kernel size can't be greater", kernel_size=2**31 - 1, padding=2**29)


def layouts() -> None:
    for value in ("nchw", "CHWN", ""):
        bad(48, (*WINDOWED, "max_pool2d_backward"), VALUE, ("layout", repr(value), "'NHWC'"), layout=value)
    for value in (None, 0, ["NCHW"]):
        bad(48, (*WINDOWED, "max_pool2d_backward"), TYPE, ("layout", "'NHWC'"), layout=value)


def pool_divisors() -> None:
    for op in ("avg_pool2d", "avg_pool2d_backward"):
        bad(68, op, VALUE, ("divisor must be not zero", "divisor_override"), divisor_override=0)
        for value in (1.5, "2", True, (2,), float("nan")):
            bad(68, op, TYPE, ("divisor_override", "must be an integer"), divisor_override=value)
        for value in (2**31, -(2**31), 2**64):
            bad(68, op, TOO_LARGE, ("divisor_override", "2147483647"), divisor_override=value)
    # kernel 2, dilation 8, padding 4: the first window has its taps at -4 and 4, beside an image of 3 pixels.
    for size, changes in (
        (3, dict(kernel_size=2, dilation=8, padding=4, stride=1)),
        (1, dict(kernel_size=2, dilation=10, padding=5, stride=1)),
        (2, dict(kernel_size=2, dilation=8, padding=4, stride=2, ceil_mode=True)),
        (1, dict(kernel_size=2, dilation=2**31 - 1, padding=2**30, stride=1)),
        (2**30, dict(kernel_size=(1, 2), dilation=2**31 - 1, padding=(0, 2**30), stride=1)),
    ):
        shape = (1, 1, size, size) if size < 10 else (1, 1, 1, size)
        bad(70, "max_pool2d", VALUE, ("dilation", "step over"), x=new_giant(*shape), **changes)
    for shape in ((1, 3, 0, 6), (1, 3, 6, 0), (1, 0, 6, 6), (0, 3, 0, 6)):
        bad(71, POOLS, VALUE, ("x is empty", str(shape)), f"x{shape}", x=new_zeros(*shape))
    for shape in ((), (6,), (6, 6), (3, 6, 6), (1, 1, 3, 6, 6)):
        bad(71, POOLS, VALUE, ("x", str(shape)), f"x{shape}", x=new_zeros(*shape))


def pool_backwards() -> None:
    shapes = ((2, 3, 2, 1), (2, 3, 3, 2), (2, 3, 0, 0), (0, 0, 0, 0), (1, 3, 2, 2), (2, 4, 2, 2), (24,), ())
    for shape in shapes:
        bad(76, "avg_pool2d_backward", VALUE, ("grad_output", str(shape)), f"grad_output{shape}",
            grad_output=new(*shape))  # fmt: skip
        bad(76, "max_pool2d_backward", VALUE, ("grad_output", str(shape)), f"grad_output{shape}",
            grad_output=new(*shape))  # fmt: skip
    for value in (2**33, -(2**33), -1, 16, INT64_MAX, -(2**63)):
        bad(77, "max_pool2d_backward", VALUE, ("indices", str(value), "(2, 3, 4, 4)"), f"index {value}",
            indices=partial(_with_index, value))  # fmt: skip
    for dtype in ("float64", "int32", "uint64", "bool", ">i8", "object"):
        bad(78, "max_pool2d_backward", TYPE, ("indices", "int64"), f"indices:{dtype}",
            indices=new_zeros(2, 3, 2, 2, dtype=dtype))  # fmt: skip
    for value in (None, [[0]], 0):
        bad(78, "max_pool2d_backward", TYPE, ("indices", "numpy.ndarray"), indices=value)
    for shape in ((2, 3, 2), (2, 3, 2, 1), (24,), (2, 2, 3, 2), (0, 3, 2, 2)):
        bad(78, "max_pool2d_backward", VALUE, ("indices", str(shape)), f"indices{shape}",
            indices=new_zeros(*shape, dtype=np.int64))  # fmt: skip


def _with_index(value: int) -> Array:
    indices = np.zeros((2, 3, 2, 2), np.int64)
    indices[1, 2, 1, 0] = value
    return indices


def input_sizes() -> None:
    for size in ((2, 3, -4, 4), (-2, 3, 4, 4), (2, 3, 4, -(2**31)), (2, 3, 2**64, 4)):
        bad(79, BACKWARDS, TOO_LARGE, ("input_size[", "between 0 and"), input_size=size)
    for size in ((1, 3, 4, 4), (2, 4, 4, 4), (2, 2, 4, 4)):
        bad(79, BACKWARDS, VALUE, ("grad_output", "(2, 3, 2, 2)"), input_size=size)
    for size in ((3, 4, 4), (2, 3, 4, 4, 1), (), [4, 4]):
        bad(79, BACKWARDS, VALUE, ("input_size", "4 entries"), input_size=size)
    for size in (4, None, "2344", {2, 3, 4, 5}):
        bad(79, BACKWARDS, TYPE, "input_size", input_size=size)
    for size in ((2, 3, 4.0, 4), (2, 3, "4", 4), (2, 3, True, 4), (2, 3, None, 4)):
        bad(79, BACKWARDS, TYPE, ("input_size[2]", "must be an integer"), input_size=size)
    for size in ((2, 3, 0, 4), (2, 0, 4, 4)):
        bad(79, BACKWARDS, VALUE, ("input_size", "empty"), input_size=size)
    bad(79, "max_pool2d_backward", TOO_LARGE, ("gradient", "limit"), input_size=(2, 3, 2**40, 2**40))
    bad(79, "max_pool2d_backward", MEMORY, str(2**20), input_size=(2, 3, 2**20, 2**20))
    bad(79, "avg_pool2d_backward", TOO_LARGE, "", input_size=(2, 3, 2**40, 2**40))
    for size in ((2, 3, 6, 4), (2, 3, 4, 8), (2, 3, 3, 4), (2, 3, 2**31, 4)):
        bad(79, "avg_pool2d_backward", VALUE, ("grad_output", "(2, 3, 2, 2)"), input_size=size)


def empty_pools() -> None:
    empty = new_zeros(0, 0, 0, 0)
    bad(85, POOLS, VALUE, "x is empty", "all empty", x=empty)
    bad(85, "avg_pool2d_backward", VALUE, "input_size is empty", "all empty", grad_output=empty,
        input_size=(0, 0, 0, 0))  # fmt: skip
    bad(85, "max_pool2d_backward", VALUE, "input_size is empty", "all empty", grad_output=empty,
        indices=new_zeros(0, 0, 0, 0, dtype=np.int64), input_size=(0, 0, 0, 0))  # fmt: skip


for section in (
    pool_parameters, pool_overflow, layouts, pool_divisors, pool_backwards, input_sizes, empty_pools,
):  # fmt: skip
    section()
