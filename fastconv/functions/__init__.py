# SPDX-License-Identifier: BSD-3-Clause
"""What tensors can do: functions with PyTorch's names, which are also Tensor's methods and fastconv's.

Each stands next to the small Function that carries its mathematics, forward and backward.

>>> import numpy as np
>>> import fastconv
>>> x = fastconv.tensor([[1.0, 2.0], [3.0, 4.0]])
>>> fastconv.cat([x, x * 10], 1).max(1).values.tolist() == [20.0, 40.0]
True
"""

from fastconv.functions.arithmetic import add, div, maximum, minimum, mul, neg, pow, sub
from fastconv.functions.comparison import (
    all,
    any,
    eq,
    ge,
    gt,
    isfinite,
    isnan,
    le,
    logical_and,
    logical_not,
    logical_or,
    lt,
    masked_fill,
    ne,
    where,
)
from fastconv.functions.elementwise import abs, clamp, clone, exp, log, log1p, relu, sigmoid, sqrt, square, tanh
from fastconv.functions.extrema import amax, amin, argmax, argmin, max, min
from fastconv.functions.indexing import gather, index_select, narrow, select
from fastconv.functions.joining import cat, chunk, split, stack, unbind
from fastconv.functions.making import arange, from_numpy, full, full_like, ones, ones_like, zeros, zeros_like
from fastconv.functions.padding import pad
from fastconv.functions.product import matmul
from fastconv.functions.reductions import cumsum, mean, norm, prod, std, sum, var
from fastconv.functions.shape import (
    broadcast_to,
    flatten,
    flip,
    permute,
    repeat,
    reshape,
    roll,
    squeeze,
    transpose,
    unsqueeze,
)

__all__ = [
    "abs", "add", "all", "amax", "amin", "any", "arange", "argmax", "argmin", "broadcast_to", "cat", "chunk", "clamp",
    "clone", "cumsum", "div", "eq", "exp", "flatten", "flip", "from_numpy", "full", "full_like", "gather", "ge", "gt",
    "index_select", "isfinite", "isnan", "le", "log", "log1p", "logical_and", "logical_not", "logical_or", "lt",
    "masked_fill", "matmul", "max", "maximum", "mean", "min", "minimum", "mul", "narrow", "ne", "neg", "norm", "ones",
    "ones_like", "pad", "permute", "pow", "prod", "relu", "repeat", "reshape", "roll", "select", "sigmoid", "split",
    "sqrt", "square", "squeeze", "stack", "std", "sub", "sum", "tanh", "transpose", "unbind", "unsqueeze", "var",
    "where", "zeros", "zeros_like",
]
