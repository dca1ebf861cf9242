# SPDX-License-Identifier: BSD-3-Clause
"""The bad inputs of pooling in one and three axes, and of its other kinds: rows 56 to 79 of bad_inputs.py."""

from functools import partial

import numpy as np
from bad_inputs import INT64_MAX, TOO_LARGE, TYPE, VALUE, Array, bad, new, new_zeros

SPATIAL = tuple(f"{kind}_pool{axes}d" for kind in ("max", "min", "avg") for axes in (1, 3))
KERNELS = (*SPATIAL, "min_pool2d", "lp_pool2d", "lp_pool2d_backward", "max_unpool2d", "avg_pool3d_backward")
ADAPTIVE = ("adaptive_avg_pool2d", "adaptive_max_pool2d")
IMAGES = (*ADAPTIVE, "min_pool2d", "lp_pool2d", "global_avg_pool", "global_max_pool", "fractional_max_pool2d")
UNPOOLS = ("max_unpool2d", "max_unpool2d_backward")


def windows() -> None:
    for kernel in (0, -1):
        bad(56, (*KERNELS, "fractional_max_pool2d"), VALUE, ("kernel_size", "greater than zero"), kernel_size=kernel)
    for value in (1.5, "2", None, True):
        bad(56, (*KERNELS, "fractional_max_pool2d"), TYPE, ("kernel_size", "must be an integer"), kernel_size=value)
    for value in ((2, 2, 2, 2), ()):
        bad(56, KERNELS, VALUE, ("kernel_size", "integer"), kernel_size=value)
    for stride in (0, -1):
        bad(57, KERNELS, VALUE, ("stride", "non-positive stride is not supported"), stride=stride)
    for value in (1.5, "2", True):
        bad(57, KERNELS, TYPE, ("stride", "must be an integer"), stride=value)
    bad(58, (*SPATIAL, "max_unpool2d"), VALUE, ("padding", "negative padding is not supported"), padding=-1)
    bad(59, SPATIAL, VALUE, "pad should be at most half of effective kernel size", padding=2)
    for op in ("max_pool1d", "max_pool3d", "min_pool3d"):
        bad(60, op, VALUE, ("dilation", "greater than zero"), dilation=0)
    for value in (1, None):
        bad(60, (*SPATIAL, "lp_pool2d"), TYPE, ("ceil_mode", "True or False"), ceil_mode=value)
    bad(60, (*SPATIAL, "lp_pool2d"), VALUE, ("ceil_mode", "'onnx', 'pytorch'"), ceil_mode="floor")
    bad(61, (*SPATIAL, "min_pool2d", "lp_pool2d"), VALUE, ("Kernel size can't be greater", "has 6"), kernel_size=7)
    bad(61, "fractional_max_pool2d", VALUE, ("output_size=4", "kernel_size=4", "at least 7"), kernel_size=4)


def overflow() -> None:
    bad(62, "max_pool3d", TOO_LARGE, "2147483647", kernel_size=2**32 + 1, dilation=2**32)
    bad(63, (*KERNELS, "fractional_max_pool2d"), TOO_LARGE, ("kernel_size", "2147483647"), kernel_size=INT64_MAX)
    bad(64, "max_pool3d", TOO_LARGE, "2147483647", kernel_size=2147483697, stride=2147483697, dilation=2147483697)
    bad(66, "max_pool3d", TOO_LARGE, "Kernel size can't be greater", kernel_size=536870912, stride=536870912,
        dilation=1879048192)  # fmt: skip
    for op in ("avg_pool3d", "avg_pool3d_backward"):
        bad(68, op, VALUE, ("divisor must be not zero", "divisor_override"), divisor_override=0)


def images() -> None:
    for shape in ((1, 3, 0, 6), (1, 3, 6, 0), (1, 0, 6, 6), (0, 3, 0, 6)):
        bad(71, IMAGES, VALUE, ("x is empty", str(shape)), f"x{shape}", x=new_zeros(*shape))
    for shape in ((), (6,), (6, 6)):
        bad(71, IMAGES, VALUE, ("x must", str(shape)), f"x{shape}", x=new_zeros(*shape))
    bad(71, "max_pool1d", VALUE, ("3 axes, NCL", "(1, 1, 6, 6)"), x=new_zeros(1, 1, 6, 6))
    bad(71, "avg_pool3d", VALUE, ("5 axes, NCDHW", "x[None]"), x=new_zeros(1, 6, 6, 6))
    for dtype in ("int64", "float16", "complex64"):
        bad(71, IMAGES, TYPE, ("x must be float32 or float64", dtype), f"x:{dtype}",
            x=new_zeros(2, 3, 6, 6, dtype=dtype))  # fmt: skip
    for value in (None, [[1.0]]):
        bad(71, IMAGES, TYPE, ("x", "numpy.ndarray"), x=value)
    for value in (1, None, "no"):
        bad(71, ("global_avg_pool", "global_max_pool"), TYPE, ("keepdims", "True or False"), keepdims=value)
    for value in ("NHWC", "nchw"):
        bad(71, ("max_pool1d", "avg_pool3d", "adaptive_avg_pool3d"), VALUE, ("layout", "'N"), layout=value)


def output_sizes() -> None:
    for value in (0, -1, (4, -1), 2**62, (2**62, 1)):
        bad(73, (*ADAPTIVE, "fractional_max_pool2d"), TOO_LARGE, ("output_size", "between 1 and"), output_size=value)
    for value in ((), (4,), (4, 4, 4)):
        bad(73, (*ADAPTIVE, "fractional_max_pool2d"), VALUE, "output_size must be", output_size=value)
    for value in (1.5, "4", True, (4, 2.0)):
        bad(73, (*ADAPTIVE, "fractional_max_pool2d"), TYPE, ("output_size", "must be an integer"), output_size=value)
    fractional = partial(bad, 73, "fractional_max_pool2d")
    fractional(VALUE, "one of output_size and output_ratio", output_ratio=0.5)
    fractional(VALUE, "one of output_size and output_ratio", output_size=None)
    for ratio in (0.0, 1.0, -0.5, float("nan"), float("inf")):
        fractional(VALUE, "output_ratio must be above 0", output_size=None, output_ratio=ratio)
    fractional(VALUE, "leaves nothing", output_size=None, output_ratio=0.1)
    fractional(VALUE, "2 numbers", output_size=None, output_ratio=(0.5,))
    fractional(TYPE, "output_ratio must be a number", output_size=None, output_ratio="half")
    fractional(VALUE, ("random_samples must have shape (2, 3, 2)", "(2, 3)"), random_samples=new_zeros(2, 3))
    for value in (1.0, -0.1, np.nan):
        fractional(VALUE, "numbers in [0, 1)", f"u={value}", random_samples=partial(np.full, (2, 3, 2), value))
    for norm in (0, 0.0, float("nan")):
        bad(73, ("lp_pool2d", "lp_pool2d_backward"), VALUE, "norm_type must be a number other than 0", norm_type=norm)
    for norm in ("2", None, True):
        bad(73, ("lp_pool2d", "lp_pool2d_backward"), TYPE, "norm_type must be a number", norm_type=norm)
    for size in ((6, 4), (4, 2), (2, 3, 7, 4)):
        bad(73, "max_unpool2d", VALUE, ("output_size", "does not fit", "stride=2"), output_size=size)
    for size in ((4,), (4, 4, 4), ()):
        bad(73, "max_unpool2d", VALUE, ("output_size must have 2 entries",), output_size=size)
    bad(73, "max_unpool2d", TYPE, "output_size must be a tuple", output_size=4)


def gradients() -> None:
    for shape in ((2, 4, 4, 4), (1, 3, 4, 4), (2, 3, 0, 4), (2, 3, 4)):
        bad(76, "adaptive_avg_pool2d_backward", VALUE, ("grad_output", str(shape)), f"grad_output{shape}",
            grad_output=new(*shape))  # fmt: skip
    for op in ("global_avg_pool_backward", "global_max_pool_backward"):
        for shape in ((2, 4), (3,), (2, 3, 6, 6), (2, 3, 1)):
            bad(76, op, VALUE, ("grad_output", str(shape)), f"grad_output{shape}", grad_output=new(*shape))
    for shape in ((2, 3, 3, 2), (2, 3, 6, 6), (1, 3, 3, 3)):
        bad(76, "lp_pool2d_backward", VALUE, ("grad_output", str(shape)), f"grad_output{shape}",
            grad_output=new(*shape))  # fmt: skip
    bad(76, "lp_pool2d_backward", TYPE, "same element type", grad_output=new(2, 3, 3, 3, dtype="float64"))
    for op in ("avg_pool3d_backward", "max_pool3d_backward"):
        bad(76, op, VALUE, ("grad_output", "(1, 2, 2, 2)"), grad_output=new(1, 2, 2, 2))
        bad(79, op, VALUE, ("input_size", "5 entries"), input_size=(1, 2, 4, 4))


def indices() -> None:
    for value in (2**33, -(2**33), -1, 16, INT64_MAX, -(2**63)):
        bad(77, UNPOOLS, VALUE, ("indices", str(value)), f"index {value}",
            indices=partial(_with_index, value, 2, 3, 2, 2))  # fmt: skip
        bad(77, "global_max_pool_backward", VALUE, ("indices", str(value)) if value != 16 else "indices",
            f"index {value}", indices=partial(_with_index, value if value != 16 else 36, 2, 3))  # fmt: skip
    for dtype in ("float64", "int32", "uint64", "bool", ">i8", "object"):
        bad(78, UNPOOLS, TYPE, ("indices", "int64"), f"indices:{dtype}", indices=new_zeros(2, 3, 2, 2, dtype=dtype))
        bad(78, "global_max_pool_backward", TYPE, ("indices", "int64"), f"indices:{dtype}",
            indices=new_zeros(2, 3, dtype=dtype))  # fmt: skip
    for value in (None, [[0]], 0):
        bad(78, (*UNPOOLS, "global_max_pool_backward"), TYPE, ("indices", "numpy.ndarray"), indices=value)
    for shape in ((2, 3, 2), (24,), (2, 2, 3, 2), (0, 3, 2, 2)):
        bad(78, UNPOOLS, VALUE, ("indices", str(shape)), f"indices{shape}", indices=new_zeros(*shape, dtype=np.int64))
    for op in ("adaptive_avg_pool2d_backward", "global_avg_pool_backward", "global_max_pool_backward"):
        for size in ((2, 3, -4, 4), (-2, 3, 4, 4), (2, 3, 2**64, 4)):
            bad(79, op, TOO_LARGE, ("input_size[", "between 0 and"), input_size=size)
        for size in ((1, 3, 6, 6), (2, 4, 6, 6)):
            bad(79, op, VALUE, "grad_output", input_size=size)
        for size in ((2, 3, 0, 6), (2, 3), ()):
            bad(79, op, VALUE, "input_size", input_size=size)
        for size in (4, None, "2366"):
            bad(79, op, TYPE, "input_size", input_size=size)


def _with_index(value: int, *shape: int) -> Array:
    array = np.zeros(shape, np.int64)
    array.flat[-2] = value
    return array


for section in (windows, overflow, images, output_sizes, gradients, indices):
    section()
