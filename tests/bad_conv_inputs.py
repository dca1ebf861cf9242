# SPDX-License-Identifier: BSD-3-Clause
"""The bad inputs of convolution and of the fully connected layer: rows 1 to 48 and 82 to 85."""

from array import array
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from bad_inputs import (
    CASES,
    GOOD,
    INT64_MAX,
    MEMORY,
    TOO_LARGE,
    TYPE,
    VALUE,
    Case,
    bad,
    misaligned,
    new,
    new_giant,
    new_zeros,
    numbers,
)

CONVS = ("conv2d", "conv2d_backward")
LINEARS = ("linear", "linear_backward")
POOLS = ("max_pool2d", "avg_pool2d")

ARRAYS = {
    "conv2d": ("x", "weight", "bias"),
    "conv2d_backward": ("grad_output", "x", "weight"),
    "linear": ("x", "weight", "bias"),
    "linear_backward": ("grad_output", "x", "weight"),
    "max_pool2d": ("x",),
    "max_pool2d_backward": ("grad_output",),
    "avg_pool2d": ("x",),
    "avg_pool2d_backward": ("grad_output",),
}


# ---- convolution: parameters -----------------------------------------------------------------------------

NOT_INTEGERS = (1.5, 1.0, "2", None, float("nan"), float("inf"), 1j, b"1", np.float32(1), {1: 1})
BOOLEANS = (True, False, np.True_)


def stride_and_friends() -> None:
    non_positive = "non-positive stride is not supported"
    for stride in (0, (0, 1), (1, 0), [0, 0]):
        bad(1, CONVS, VALUE, ("stride", "got 0", non_positive), stride=stride)
    for stride in (-1, (-1, 1), (1, -2), -(2**31), -(2**63)):
        bad(2, CONVS, VALUE, ("stride", "got -", non_positive), stride=stride)
    for stride in (2**31, INT64_MAX, (1, 2**31), 2**32 + 1):
        bad(3, CONVS, VALUE, ("stride", "2147483647"), stride=stride)
    for stride in (2**64, 2**64 + 1, 10**30, -(2**64), 1 << 20000):
        bad(4, CONVS, TOO_LARGE, ("stride", "got"), stride=stride)
    for value in NOT_INTEGERS:
        for name in ("stride", "dilation"):
            bad(5, CONVS, TYPE, (name, "must be an integer"), **{name: value})
    for value in (1.5, "1", None, (1, 1)):
        bad(5, CONVS, TYPE, ("groups", "must be an integer"), groups=value)
    for value in ((1, 1.5), (None, 1), ("1", "1"), [1, 2.0]):
        bad(5, CONVS, TYPE, ("stride[", "must be an integer"), stride=value)
    bad(5, CONVS, TYPE, ("stride", "must be an integer"), stride=partial(np.array, [1, 1]))
    for value in BOOLEANS:
        for name in ("stride", "dilation", "groups", "padding"):
            bad(6, CONVS, TYPE, (name, "must be an integer", str(value)), **{name: value})
    for value in ((True, 1), (1, False)):
        bad(6, CONVS, TYPE, ("stride[", "must be an integer"), stride=value)
    for value in ((1,), (1, 1, 1), (), []):
        for name in ("stride", "dilation", "padding"):
            bad(7, CONVS, VALUE, (name, "pair of integers"), **{name: value})


def padding_and_dilation() -> None:
    negative = "negative padding is not supported"
    for padding in (-1, (-1, 0), (0, -1), ((0, -1), (0, 0)), ((0, 0), (-1, 0)), -(2**63)):
        bad(8, CONVS, VALUE, ("padding", "got -", negative), padding=padding)
    for padding in (2**40, (0, 2**40), ((0, 2**40), (0, 0)), 2**31, 2**64):
        bad(9, CONVS, TOO_LARGE, ("padding", "2147483647"), padding=padding)
    bad(9, CONVS, TOO_LARGE, "output", padding=2**31 - 1)
    for padding in ("SAME ", "foo", "", "Same", "VALID", "same_upper"):
        bad(10, CONVS, VALUE, ("padding", repr(padding), "'same'"), padding=padding)
    for padding in (1.5, None, b"same", (1.5, 0), ((0, 0), 0), (0, (0, 0)), ((0, "1"), (0, 0))):
        bad(10, CONVS, TYPE, ("padding", "must be an integer"), padding=padding)
    for dilation in (0, -1, (0, 1), (1, -1), -INT64_MAX):
        bad(12, CONVS, VALUE, ("dilation", "should be greater than zero"), dilation=dilation)
    for dilation in (2**62, 2**61, 2**31, (1, 2**62), 2**63, 2**64 + 1):
        bad(13, CONVS, TOO_LARGE, ("dilation", "2147483647"), dilation=dilation)
    bad(13, CONVS, VALUE, ("Kernel size can't be greater", "dilation=2147483647"), dilation=2**31 - 1)


def groups_and_channels() -> None:
    for groups in (0, -1, -(2**63)):
        bad(15, CONVS, VALUE, ("groups", f"got {groups}"), groups=groups)
    bad(16, CONVS, VALUE, ("groups=3", "4 channels"), groups=3)
    bad(16, CONVS, VALUE, ("groups=2", "4 channels"), groups=2)
    six = {"x": new(2, 6, 6, 6), "weight": new(4, 2, 3, 3)}
    bad(16, CONVS, VALUE, ("groups=3", "4 output channels"), title="out_channels", groups=3, **six)
    for groups in (2**32 + 1, 2**31, 2**64 + 1):
        bad(17, CONVS, TOO_LARGE, ("groups", "2147483647"), groups=groups)
    for shape in ((), (3,), (4, 4), (4, 4, 3), (4, 4, 3, 3, 1)):
        bad(18, CONVS, VALUE, ("weight", str(shape)), f"weight{shape}", weight=new(*shape))
    for shape in ((), (6,), (6, 6), (4, 6, 6), (1, 2, 4, 6, 6)):
        bad(19, CONVS, VALUE, ("x", str(shape)), f"x{shape}", x=new(*shape))
    for channels in (1, 3, 5, 8):
        bad(20, CONVS, VALUE, ("x", f"{channels} channels", "needs 4"), f"x has {channels}",
            x=new(2, channels, 6, 6))  # fmt: skip
        bad(20, CONVS, VALUE, ("weight", f"needs {channels}"), f"weight has {channels}",
            weight=new(4, channels, 3, 3))  # fmt: skip
    bad(20, CONVS, VALUE, "did you mean layout='NHWC'?", "NHWC as NCHW", x=new(2, 6, 6, 4))
    bad(20, CONVS, VALUE, "did you mean layout='NCHW'?", layout="NHWC")
    for shape in ((), (0,), (3,), (5,), (4, 1), (1, 4), (1, 4, 1, 1)):
        bad(21, "conv2d", VALUE, ("bias", str(shape)), f"bias{shape}", bias=new(*shape))
    bad(20, LINEARS, VALUE, ("x", "3 features", "(5, 4)"), "x has 4", x=new(5, 4))
    bad(19, LINEARS, VALUE, ("x", "()"), "x()", x=new())
    for shape in ((), (3,), (4, 3, 1), (0, 3), (4, 0)):
        bad(18, LINEARS, VALUE, ("weight", str(shape)), f"weight{shape}", weight=new(*shape))
    for shape in ((), (3,), (4, 1)):
        bad(21, "linear", VALUE, ("bias", str(shape)), f"bias{shape}", bias=new(*shape))


def extents() -> None:
    too_big = "Kernel size can't be greater than actual input size"
    for shape in ((2, 4, 2, 2), (2, 4, 6, 2), (2, 4, 2, 6), (2, 4, 1, 1)):
        bad(22, CONVS, VALUE, (too_big, "(4, 4, 3, 3)"), f"x{shape}", x=new(*shape))
    for dilation in (3, (1, 3), 100):
        bad(22, CONVS, VALUE, (too_big, "dilation="), dilation=dilation)
    for shape in ((4, 4, 0, 3), (4, 4, 3, 0), (4, 4, 0, 0)):
        bad(23, CONVS, VALUE, ("weight", str(shape)), f"weight{shape}", weight=new_zeros(*shape))
    bad(24, CONVS, VALUE, ("weight", "(0, 4, 3, 3)"), "no output channels", weight=new_zeros(0, 4, 3, 3))
    bad(25, CONVS, VALUE, ("x", "(2, 0, 6, 6)"), "no input channels",
        x=new_zeros(2, 0, 6, 6), weight=new_zeros(4, 0, 3, 3))  # fmt: skip
    bad(25, CONVS, VALUE, ("weight", "(4, 0, 3, 3)"), "no weight channels", weight=new_zeros(4, 0, 3, 3))
    for shape in ((2, 4, 0, 6), (2, 4, 6, 0), (2, 4, 0, 0), (0, 4, 0, 0)):
        for padding in (0, 2):
            bad(27, CONVS, VALUE, ("x is empty", str(shape)), f"x{shape},padding={padding}",
                x=new_zeros(*shape), padding=padding)  # fmt: skip


# ---- convolution: arrays ---------------------------------------------------------------------------------


class LyingInterface:
    """Claims a gigabyte at address 64."""

    __array_interface__ = {"shape": (1 << 28,), "typestr": "<f4", "data": (64, False), "version": 3}


class LyingArray:
    """Claims to convert, and converts to something that lies."""

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise AssertionError("__array__ must not be called")


class LyingDLPack:
    def __dlpack__(self, **_: Any) -> Any:
        raise AssertionError("__dlpack__ must not be called")

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)


class LyingClass:
    """isinstance(LyingClass(), np.ndarray) is True."""

    @property
    def __class__(self) -> Any:  # type: ignore[override]
        return np.ndarray

    shape = (1 << 40, 1, 1, 1)
    dtype = np.dtype(np.float32)
    flags = np.ones(1).flags


def wrong_types() -> None:
    for op, names in ARRAYS.items():
        for name in names:
            good = GOOD[op]()[name]
            for dtype in ("complex64", "complex128"):
                recipe = {name: partial(good.astype, dtype)}
                bad(28, op, TYPE, (name, dtype), f"{name}:{dtype}", **recipe)
            if len(names) > 1:
                recipe = {name: partial(good.astype, "float64")}
                bad(28, op, TYPE, (name, "float64", "should be the same"), f"{name}:float64", **recipe)
            for dtype in ("int64", "uint8", "bool", "object", "<U5", "S3"):
                recipe = {name: partial(good.astype, dtype)}
                bad(29, op, TYPE, (name, "must be float32 or float64", "astype"), f"{name}:{dtype}", **recipe)
            for dtype in ("float16", "longdouble"):
                recipe = {name: partial(good.astype, dtype)}
                kind = np.dtype(dtype).name
                bad(30, op, TYPE, (name, kind, "astype(np.float32)"), f"{name}:{dtype}", **recipe)
            if name != "bias":
                bad(36, op, TYPE, (name, "None"), f"{name}=None", **{name: None})
            recipe = {name: partial(np.ma.masked_array, good, mask=good > 0)}
            bad(37, op, TYPE, (name, "MaskedArray"), f"{name}:masked", **recipe)
            recipe = {name: partial(good.view, [("value", "f4")])}
            bad(38, op, TYPE, (name, "'value'"), f"{name}:structured", **recipe)


def wrong_objects() -> None:
    for name in ("x", "weight", "bias"):
        values = ([1.0, 2.0], [[1.0], [1.0, 2.0]], (1.0,), 1.0, "x", b"xxxx", range(4), np.float32(1), {})
        for value in values:
            bad(39, "conv2d", TYPE, (name, "numpy.ndarray", type(value).__name__), **{name: value})
        for value in (memoryview(numbers(4)), array("f", [1.0])):
            kind = type(value).__name__
            bad(39, "conv2d", TYPE, (name, "numpy.ndarray", kind), f"{name}:{kind}", **{name: value})
        for liar in (LyingInterface, LyingArray, LyingDLPack, LyingClass):
            bad(40, "conv2d", TYPE, (name, liar.__name__), f"{name}:{liar.__name__}", **{name: liar})
    bad(39, POOLS, TYPE, ("x", "list"), x=[[1.0, 2.0]])
    bad(39, LINEARS, TYPE, ("x", "list"), x=[[1.0, 2.0]])


def outputs() -> None:
    read_only = numbers(2, 4, 4, 4)
    read_only.setflags(write=False)
    bad(35, "conv2d", VALUE, "out is read-only", "read-only out", out=lambda: read_only)
    for shape in ((2, 4, 4, 5), (2, 4, 4), (1, 2, 4, 4, 4), (2, 4, 16), (0, 4, 4, 4), (2, 4, 6, 6), (128,)):
        says = ("out", str(shape), "(2, 4, 4, 4)")
        bad(42, "conv2d", VALUE, says, f"out{shape}", out=new(*shape))
    for dtype in ("float64", "float16", "int32", ">f4", "complex64", "object"):
        says = ("out", str(np.dtype(dtype)))
        bad(42, "conv2d", TYPE, says, f"out:{dtype}", out=new(2, 4, 4, 4, dtype=dtype))
    for title, make in {
        "fortran": lambda: np.asfortranarray(numbers(2, 4, 4, 4)),
        "reversed": lambda: numbers(2, 4, 4, 4)[::-1],
        "step 2": lambda: numbers(2, 4, 4, 8)[..., ::2],
        "NHWC view": lambda: numbers(2, 4, 4, 4).transpose(0, 3, 1, 2),
        "misaligned": lambda: misaligned(numbers(2, 4, 4, 4)),
    }.items():
        bad(42, "conv2d", VALUE, ("out", "contiguous"), title, out=make)
    for value in ([], 1.0, "out", (1,)):
        bad(42, "conv2d", TYPE, ("out", type(value).__name__), out=value)
    masked = partial(np.ma.zeros, (2, 4, 4, 4), np.float32)
    bad(42, "conv2d", TYPE, ("out", "MaskedArray"), "out:masked", out=masked)
    for title, make in OVERLAPS.items():
        CASES.append(Case(43, "conv2d", title, make, VALUE, ("out", "overlaps")))


def _shifted_by(elements: int) -> Callable[[], dict[str, Any]]:
    """x and out in one buffer, out starting so many elements after x."""

    def make() -> dict[str, Any]:
        size = 2 * 4 * 6 * 6
        buffer = numbers(3 * size)
        x = buffer[size : 2 * size].reshape(2, 4, 6, 6)
        out = buffer[size + elements : 2 * size + elements].reshape(2, 4, 6, 6)
        return dict(x=x, weight=numbers(4, 4, 1, 1), bias=None, out=out)

    return make


def _out_holds(name: str, shape: tuple[int, ...]) -> Callable[[], dict[str, Any]]:
    """An argument that is the beginning of out."""

    def make() -> dict[str, Any]:
        arguments = GOOD["conv2d"]()
        out = numbers(2, 4, 6, 6) if name != "x" else arguments["x"]
        return arguments | dict(padding=1, out=out) | {name: out.ravel()[: np.prod(shape)].reshape(shape)}

    return make


OVERLAPS = {
    "out is x": _out_holds("x", (2, 4, 6, 6)),
    "out one element after x": _shifted_by(1),
    "out one element before x": _shifted_by(-1),
    "last element of x": _shifted_by(2 * 4 * 6 * 6 - 1),
    "weight in out": _out_holds("weight", (4, 4, 3, 3)),
    "bias in out": _out_holds("bias", (4,)),
}


# ---- convolution: sizes and algorithms -------------------------------------------------------------------


def giants() -> None:
    b20 = 2**20
    bad(44, CONVS, TOO_LARGE, ("x", "bytes", "limit"), "x of 2**62 bytes", x=new_giant(1, b20, b20, b20))
    bad(44, CONVS, TOO_LARGE, ("x", "bytes", "limit"), "x of 2**48 bytes", x=new_giant(1, 4, b20, b20 * 16))
    bad(44, CONVS, TOO_LARGE, ("weight", "bytes", "limit"), "weight of 2**62 bytes",
        weight=new_giant(b20, b20, b20, 1))  # fmt: skip
    bad(44, "conv2d_backward", TOO_LARGE, ("grad_output", "bytes", "limit"), "grad_output of 2**62 bytes",
        grad_output=new_giant(1, b20, b20, b20))  # fmt: skip
    bad(44, "conv2d", TOO_LARGE, "output", "output of 2**62 bytes", bias=None, out=None,
        x=new_giant(b20, 1, b20, 1), weight=new_giant(b20, 1, 1, 1))  # fmt: skip
    bad(44, POOLS, TOO_LARGE, ("x", "bytes", "limit"), "x of 2**62 bytes", x=new_giant(1, b20, b20, b20))
    for batch in (2**31, 2**33, 2**40):
        bad(45, "conv2d", MEMORY, str(batch), f"batch of {batch}", bias=None, out=None,
            x=new_giant(batch, 1, 1, 1), weight=new_zeros(1, 1, 1, 1))  # fmt: skip
        bad(45, "max_pool2d", MEMORY, str(batch), f"batch of {batch}", kernel_size=1,
            x=new_giant(batch, 1, 1, 1))  # fmt: skip
        bad(45, "avg_pool2d", MEMORY, str(batch), f"batch of {batch}", kernel_size=1,
            x=new_giant(batch, 1, 1, 1))  # fmt: skip
        bad(45, "linear", MEMORY, str(batch), f"batch of {batch}", bias=None,
            x=new_giant(batch, 3))  # fmt: skip
    b16 = 2**16
    bad(46, "conv2d", TOO_LARGE + MEMORY, ("bytes", "limit"), "kernel 65536x65536", bias=None, out=None,
        x=new_giant(1, b16, b16, b16), weight=new_giant(1, b16, b16, b16))  # fmt: skip
    bad(46, "conv2d_backward", TOO_LARGE + MEMORY, ("bytes", "limit"), "kernel 65536x65536",
        grad_output=new_zeros(1, 1, 1, 1), x=new_giant(1, b16, b16, b16),
        weight=new_giant(1, b16, b16, b16))  # fmt: skip
    bad(46, "conv2d", TOO_LARGE, ("weight", "2147483647"), "kernel beyond 2**31", bias=None, out=None,
        x=new_giant(1, 1, 1, 2**32), weight=new_giant(1, 1, 1, 2**32))  # fmt: skip


def algorithms() -> None:
    bad(47, CONVS, VALUE, "winograd", title="winograd 5x5", algorithm="winograd", padding=1,
        weight=new(4, 4, 5, 5))  # fmt: skip
    fits = {"conv2d": {}, "conv2d_backward": {"grad_output": new(2, 4, 2, 2)}}
    for op in CONVS:
        bad(47, op, VALUE, "winograd", algorithm="winograd", stride=2, **fits[op])
        bad(47, op, VALUE, "winograd", algorithm="winograd", dilation=2, **fits[op])
        bad(47, op, VALUE, "winograd", algorithm="winograd", groups=4, weight=new(4, 1, 3, 3))
    for value in ("nope", "", "Direct", "winograd ", "fft"):
        bad(48, CONVS, VALUE, ("algorithm", repr(value), "'direct'"), algorithm=value)
    for value in (None, 1, True, b"auto", ["auto"]):
        bad(48, CONVS, TYPE, ("algorithm", repr(value), "'direct'"), algorithm=value)
    for value in ("nchw", "CHWN", "", "NCHW "):
        bad(48, CONVS, VALUE, ("layout", repr(value), "'NHWC'"), layout=value)
    for value in (None, 0, ("N",), ["NCHW"]):
        bad(48, CONVS, TYPE, ("layout", "'NHWC'"), layout=value)
    for value in ("constant", "mirror", "zero"):
        bad(48, CONVS, VALUE, ("padding_mode", repr(value), "'zeros'"), padding_mode=value)
    bad(48, CONVS, TYPE, ("padding_mode", "None"), padding_mode=None)
    for op in CONVS:
        for value, padding in (("reflect", 6), ("reflect", ((0, 6), (0, 0))), ("circular", 7)):
            bad(48, op, VALUE, (f"padding={np.max(padding)}", repr(value), "which is 6", "'replicate'"),
                padding_mode=value, padding=padding)  # fmt: skip


# ---- gradients of convolution ----------------------------------------------------------------------------


def conv_backwards() -> None:
    right = (2, 4, 4, 4)
    for axis in range(4):
        for off in (-1, 1):
            shape = tuple(n + off * (i == axis) for i, n in enumerate(right))
            bad(82, "conv2d_backward", VALUE, ("grad_output", str(shape), str(right)), f"grad_output{shape}",
                grad_output=new(*shape))  # fmt: skip
    for shape in ((0, 0, 0, 0), (2, 4, 0, 4), (128,), (2, 4, 4), (4, 2, 4, 4), (2, 4, 16, 1), ()):
        bad(82, "conv2d_backward", VALUE, ("grad_output", str(shape), str(right)), f"grad_output{shape}",
            grad_output=new(*shape))  # fmt: skip
    bad(82, "conv2d_backward", VALUE, "grad_output", "stride 66x49", stride=(66, 49))
    bad(82, "conv2d_backward", VALUE, "grad_output", layout="NHWC", x=new(2, 6, 6, 4), stride=2)
    bad(82, "conv2d_backward", VALUE, "grad_output", "only db", grad_output=new(2, 4, 4, 3),
        needs=(False, False, True))  # fmt: skip
    for shape in ((5, 3), (4, 4), (5,), (20,), (5, 4, 1), (0, 4)):
        bad(82, "linear_backward", VALUE, ("grad_output", str(shape), "(5, 4)"), f"grad_output{shape}",
            grad_output=new(*shape))  # fmt: skip
    for shape in ((3, 4, 3, 3), (5, 4, 3, 3), (4, 4, 2, 3), (4, 4, 3, 4), (8, 4, 1, 1)):
        bad(83, "conv2d_backward", VALUE, ("grad_output", "(2, 4, 4, 4)"), f"weight{shape}",
            weight=new(*shape))  # fmt: skip
    for shape in ((4, 3, 3, 3), (3, 8, 1, 1), (4, 5, 3, 3)):
        bad(83, "conv2d_backward", VALUE, ("weight", str(shape)), f"weight{shape}",
            weight=new(*shape))  # fmt: skip
    for value in (None, True, 3, "yes"):
        bad(83, ("conv2d_backward", "linear_backward"), TYPE, ("needs", "3 booleans"), needs=value)
    for value in ((True,), (True,) * 4, ()):
        bad(83, ("conv2d_backward", "linear_backward"), VALUE, ("needs", "3 booleans"), needs=value)
    for value in ((1, 1, 1), (True, None, True), (0.0, True, True)):
        bad(83, ("conv2d_backward", "linear_backward"), TYPE, ("needs[", "True or False"), needs=value)
    empty = {"grad_output": new_zeros(0, 0, 0, 0), "x": new_zeros(0, 0, 0, 0)}
    bad(85, "conv2d_backward", VALUE, "x is empty", "all empty", weight=new_zeros(0, 0, 0, 0), **empty)
    bad(85, "conv2d_backward", VALUE, "x is empty", "empty but the weights", **empty)
    bad(85, "conv2d", VALUE, "x is empty", "all empty", x=new_zeros(0, 0, 0, 0),
        weight=new_zeros(0, 0, 0, 0), bias=new_zeros(0))  # fmt: skip
    empty = {name: new_zeros(0, 0) for name in ("grad_output", "x", "weight")}
    bad(85, "linear_backward", VALUE, "weight", "all empty", **empty)


for section in (
    stride_and_friends, padding_and_dilation, groups_and_channels, extents, wrong_types, wrong_objects,
    outputs, giants, algorithms, conv_backwards,
):  # fmt: skip
    section()
