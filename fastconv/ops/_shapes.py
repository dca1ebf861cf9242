# SPDX-License-Identifier: BSD-3-Clause
"""How the arguments of one operation fit together: layouts, padding, geometry.

Everything here is arithmetic on Python integers, which cannot overflow, on values that _check.py has already
bounded. The output size has one home, the plan's `output_size`; what is derived here is what the core does
not know: layouts, the words for padding, and whether each window reads the input at all.
"""

from collections.abc import Sequence
from typing import NamedTuple, TypeGuard, cast

from fastconv.errors import ShapeError
from fastconv.ops._check import LAYOUTS_OF, MAX_EXTENT, Shape, integer, pair, several, shown

Pair = tuple[int, int]
Triple = tuple[int, int, int]

IntOrPair = int | Pair
IntOrTriple = int | Triple
Padding = int | tuple[int, ...] | tuple[Pair, ...] | str

PADDING_WORDS = ("valid", "same", "same_lower", "full")


AXIS_NAMES = {1: ("length",), 2: ("height", "width"), 3: ("depth", "height", "width")}


class Geometry(NamedTuple):
    """Where windows lie: one number for each of one to three axes."""

    size: Shape
    kernel: Shape
    stride: Shape
    dilation: Shape
    pad_lo: Shape
    pad_hi: Shape

    def effective_kernel(self, axis: int) -> int:
        """Pixels from the first tap of a window to its last, both counted."""
        return self.dilation[axis] * (self.kernel[axis] - 1) + 1

    def padded_size(self, axis: int) -> int:
        return self.pad_lo[axis] + self.size[axis] + self.pad_hi[axis]

    def padded(self) -> "Geometry":
        """The same windows on the padded image."""
        axes = range(len(self.size))
        none = (0,) * len(self.size)
        return self._replace(size=tuple(map(self.padded_size, axes)), pad_lo=none, pad_hi=none)

    def three_axes(self) -> tuple[Triple, Triple, Triple, Triple, Triple, Triple]:
        """The same on a volume one pixel deep, or a line of one: in this order the core's plans take them."""
        size, kernel, stride, dilation, pad_lo, pad_hi = self
        more = 3 - len(size)
        ones, zeros = (1,) * more, (0,) * more
        fields = ones + size, ones + kernel, ones + stride, ones + dilation, zeros + pad_lo, zeros + pad_hi
        return cast(tuple[Triple, Triple, Triple, Triple, Triple, Triple], fields)


# ---- layouts ---------------------------------------------------------------------------------------------


def image_axes(name: str, shape: Shape, layout: str) -> tuple[int, int, Shape]:
    """(batch, channels, (height, width)) of an image batch, or other axes; only the batch may be empty."""
    axes = len(layout)
    if len(shape) != axes:
        fix = f" For one image pass {name}[None]." if len(shape) == axes - 1 else ""
        raise ShapeError(f"{name} must have {axes} axes, {layout}, got {len(shape)}: shape {shape}.{fix}")
    batch, *rest = shape
    channels = rest.pop(layout.index("C") - 1)
    if 0 in (channels, *rest):
        raise ShapeError(f"{name} is empty: shape {shape}, layout {layout}. Only the batch may be 0.")
    return batch, channels, tuple(rest)


def image_shape(batch: int, channels: int, size: Shape, layout: str) -> Shape:
    """The inverse of image_axes."""
    return (batch, channels, *size) if layout[1] == "C" else (batch, *size, channels)


def check_grad_output(shape: Shape, expected: Shape, layout: str) -> None:
    if shape != expected:
        raise ShapeError(
            f"grad_output must have the shape of the output {expected} (layout {layout}), got {shape}"
        )


def input_shape(name: str, value: object, axes: int = 2) -> Shape:
    """The shape of the input of a pooling, as its backward receives it: four integers, or those of other axes."""
    if not isinstance(value, (tuple, list)):
        raise TypeError(f"{name} must be the shape of the pooled array, got {shown(value)}")
    if len(value) != axes + 2:
        raise ShapeError(f"{name} must have {axes + 2} entries, the shape of the pooled array, got {shown(value)}")
    return tuple(integer(f"{name}[{i}]", v, 0, 2**63 - 1) for i, v in enumerate(value))


# ---- padding ---------------------------------------------------------------------------------------------


def _padding(value: object, size: Shape, kernel: Shape, stride: Shape, dilation: Shape) -> tuple[Shape, Shape]:
    """((top, left), (bottom, right)) from any form of padding: see conv2d."""
    axes = len(size)
    if isinstance(value, str):
        if value not in PADDING_WORDS:
            words = ", ".join(map(repr, PADDING_WORDS))
            raise ValueError(f"padding must be integers or one of {words}, got {shown(value)}")
        ends = [_padding_of_word(value, size[i], dilation[i] * (kernel[i] - 1) + 1, stride[i]) for i in range(axes)]
    elif _is_nested(value, axes):
        ends = [pair(f"padding[{i}]", v, 0) for i, v in enumerate(value)]
    else:
        both = several("padding", value, axes, 0)
        return both, both
    return tuple(lo for lo, _ in ends), tuple(hi for _, hi in ends)


def _is_nested(value: object, axes: int) -> TypeGuard[Sequence[object]]:
    return (
        isinstance(value, (tuple, list))
        and len(value) == axes
        and all(isinstance(v, (tuple, list)) for v in value)
    )


def _padding_of_word(word: str, size: int, effective: int, stride: int) -> Pair:
    """(before, after) on one axis. "same" is the least padding for ceil(size / stride) outputs."""
    if word in ("valid", "full"):
        reach = effective - 1 if word == "full" else 0
        return reach, reach
    total = max((-(-size // stride) - 1) * stride + effective - size, 0)
    less, more = total // 2, total - total // 2
    return (less, more) if word == "same" else (more, less)


# ---- convolution -----------------------------------------------------------------------------------------


def conv_geometry(
    size: Shape, weight: Shape, stride: object, padding: object, dilation: object, padding_mode: str = "zeros"
) -> Geometry:
    """The windows of a convolution; ShapeError where not even one fits."""
    kernel, axes = weight[2:], len(size)
    strides, dilations = several("stride", stride, axes, 1), several("dilation", dilation, axes, 1)
    pad_lo, pad_hi = _padding(padding, size, kernel, strides, dilations)
    geometry = Geometry(size, kernel, strides, dilations, pad_lo, pad_hi)
    check_border(size, pad_lo, pad_hi, padding_mode)
    _check_fits(geometry, "x", f"weight {weight}")
    return geometry


def transposed_geometry(
    size: Shape, weight: Shape, stride: object, padding: object, output_padding: object, dilation: object
) -> Geometry:
    """The windows of the convolution whose gradient a transposed convolution of images of `size` is.

    geometry.size is the size of the result; that convolution may have more outputs than `size` where
    output_padding reaches beyond a stride.
    """
    kernel, axes = weight[2:], len(size)
    strides, dilations = several("stride", stride, axes, 1), several("dilation", dilation, axes, 1)
    more = several("output_padding", output_padding, axes, 0)
    if isinstance(padding, str):
        raise ValueError(
            f"padding of a transposed convolution must be integers, got {padding!r}: "
            "give the numbers, and output_padding for the size you want"
        )
    pad_lo, pad_hi = _padding(padding, size, kernel, strides, dilations)
    for axis in range(axes):
        if more[axis] >= max(strides[axis], dilations[axis]):
            raise ValueError(
                f"output_padding must be smaller than stride or dilation, got output_padding={more[axis]}, "
                f"stride={strides[axis]}, dilation={dilations[axis]}"
            )
    out = tuple(
        (size[a] - 1) * strides[a] - pad_lo[a] - pad_hi[a] + dilations[a] * (kernel[a] - 1) + 1 + more[a]
        for a in range(axes)
    )
    if min(out) < 1:
        raise ShapeError(
            f"x of size {size} with stride={strides}, padding={pad_lo}, {pad_hi} and weight {weight} gives an "
            f"output of size {out}: padding is taken off a transposed convolution. Pad less."
        )
    return Geometry(out, kernel, strides, dilations, pad_lo, pad_hi)


def check_border(size: Shape, pad_lo: Shape, pad_hi: Shape, mode: str) -> None:
    """ShapeError where an image is too small for what its padding has to show of it."""
    if mode not in ("reflect", "circular"):
        return
    for name, n, lo, hi in zip(AXIS_NAMES[len(size)], size, pad_lo, pad_hi, strict=True):
        if max(lo, hi) > n - (mode == "reflect"):
            most = f"less than the {name}" if mode == "reflect" else f"at most the {name}"
            raise ShapeError(
                f"padding={max(lo, hi)} with padding_mode={mode!r} must be {most} of x, which is {n}: "
                f"{mode} padding repeats each pixel once. Pad less, or use padding_mode='replicate'."
            )


def check_weight(shape: Shape, axes: int = 2, channels: str = "(out, in / groups, ") -> None:
    """Weights are OIHW in both layouts: (out_channels, in_channels / groups, kernel height, kernel width)."""
    if len(shape) != axes + 2:
        names = channels + ", ".join(AXIS_NAMES[axes])
        raise ShapeError(f"weight must have {axes + 2} axes {names}), got {len(shape)}: shape {shape}")
    if 0 in shape:
        raise ShapeError(f"weight is empty: shape {shape}. Every axis must be at least 1.")
    if max(shape[2:]) > MAX_EXTENT:
        raise ShapeError(f"weight of shape {shape} has a kernel beyond {MAX_EXTENT}")


def check_channels(x: Shape, weight: Shape, groups: int, layout: str) -> None:
    """ShapeError unless groups divides the channels and x has the channels that the weights read."""
    last = len(layout) - 1
    axis = layout.index("C")
    channels, needed = x[axis], weight[1] * groups
    if channels != needed:
        other_axis, ordinal = (last, "last") if axis == 1 else (1, "second")
        other = LAYOUTS_OF[last - 1][axis == 1]
        hint = (
            f" The {ordinal} axis is {needed}: did you mean layout={other!r}?"
            if x[other_axis] == needed
            else ""
        )
        raise ShapeError(
            f"input x has {channels} channels on axis {axis} (shape {x}, layout {layout}) but "
            f"weight {weight} with groups={groups} needs {needed}.{hint}"
        )
    if weight[0] % groups:
        raise ShapeError(
            f"groups={groups} does not divide the {weight[0]} output channels of weight {weight}"
        )


def check_bias(shape: Shape, out_channels: int) -> None:
    if shape != (out_channels,):
        raise ShapeError(
            f"bias must have shape ({out_channels},), one number per output channel, got {shape}"
        )


def _check_fits(geometry: Geometry, array: str, kernel_name: str) -> None:
    for axis, size in enumerate(geometry.size):
        effective, padded = geometry.effective_kernel(axis), geometry.padded_size(axis)
        if effective > padded:
            direction = AXIS_NAMES[len(geometry.size)][axis]
            raise ShapeError(
                f"Kernel size can't be greater than actual input size: {kernel_name} with "
                f"dilation={geometry.dilation[axis]} spans {effective} pixels of {direction}, "
                f"but {array} has {size}, with padding {padded}"
            )


# ---- pooling ---------------------------------------------------------------------------------------------


def pool_geometry(
    size: Shape, kernel_size: object, stride: object, padding: object, dilation: object, ceil_mode: bool
) -> Geometry:
    """The windows of a pooling; an error where not one fits or one would read nothing but padding."""
    axes = len(size)
    kernel = several("kernel_size", kernel_size, axes, 1)
    strides = kernel if _is_default(stride) else several("stride", stride, axes, 1)
    dilations = several("dilation", dilation, axes, 1)
    pad_lo, pad_hi = _padding(padding, size, kernel, strides, dilations)
    geometry = Geometry(size, kernel, strides, dilations, pad_lo, pad_hi)
    for axis in range(axes):
        most = max(pad_lo[axis], pad_hi[axis])
        if most > geometry.effective_kernel(axis) // 2:
            raise ValueError(
                "pad should be at most half of effective kernel size, but got "
                f"padding={most}, kernel_size={kernel[axis]} and dilation={dilations[axis]}"
            )
    _check_fits(geometry, "x", f"kernel_size={kernel}")
    for axis, direction in enumerate(AXIS_NAMES[axes]):
        if count := _blind_windows(geometry, axis, ceil_mode):
            raise ShapeError(
                f"dilation={dilations[axis]} with padding={pad_lo[axis]} makes {count} windows step over "
                f"the whole {direction} of x, which is {size[axis]}; their maximum is not defined"
            )
    return geometry


def _is_default(stride: object) -> bool:
    return stride is None or (isinstance(stride, (tuple, list)) and not stride)


def _blind_windows(geometry: Geometry, axis: int, ceil_mode: bool) -> int:
    """Windows none of whose taps lies on the input.

    With padding at most half of the effective kernel, a window that starts at or after 0 starts on the input
    (ceil_mode drops one that would start past it), and one that starts at a < 0 ends at or after 0. So its
    first tap at or after 0 exists; it is at a mod d, and off the input if that is >= size. The starts before
    0 are a = o * stride - pad, and those with a mod d >= size number the sum over o of
    floor((a + d - size) / d) - floor(a / d).
    """
    size, stride, d = geometry.size[axis], geometry.stride[axis], geometry.dilation[axis]
    pad = geometry.pad_lo[axis]
    if size >= d or pad == 0:
        return 0
    span = geometry.padded_size(axis) - geometry.effective_kernel(axis)
    outputs = (-(-span // stride) if ceil_mode else span // stride) + 1
    before = min(outputs, -(-pad // stride))
    return _floor_sum(before, d, stride, d - size - pad) - _floor_sum(before, d, stride, -pad)


def _floor_sum(n: int, m: int, a: int, b: int) -> int:
    """Sum of floor((a * i + b) / m) over 0 <= i < n, in O(log m) steps.

    The whole parts of a/m and b/m come out in front; what is left counts lattice points under a line, and
    exchanging the axes turns (m, a) into (a, m mod a), as in Euclid's algorithm.
    """
    total = 0
    while n > 0:
        total += n * (n - 1) // 2 * (a // m) + n * (b // m)
        a, b = a % m, b % m
        n, b = divmod(a * n + b, m)
        m, a = a, m
    return total
