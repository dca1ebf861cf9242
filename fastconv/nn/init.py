# SPDX-License-Identifier: BSD-3-Clause
"""Initial values, with PyTorch's names, bounds and defaults, drawn from fastconv's own generator.

Each function fills a Parameter, or a writable array, of any float type, and returns it. ``fan_in`` is the number of
products in one output, ``fan_out`` the number of outputs that one input takes part in.

generator: a numpy.random.Generator to draw from instead of fastconv's own.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from fastconv.nn._common import number
from fastconv.nn.parameter import Parameter
from fastconv.ops._check import integer, word
from fastconv.random import generator as shared

__all__ = [
    "calculate_gain", "constant_", "dirac_", "eye_", "identity_", "kaiming_normal_", "kaiming_uniform_",
    "lecun_normal_", "lecun_uniform_", "normal_", "ones_", "orthogonal_", "trunc_normal_", "uniform_",
    "variance_scaling_", "xavier_normal_", "xavier_uniform_", "zeros_",
]

Array = np.ndarray[Any, Any]
T = TypeVar("T", Parameter, Array)

if TYPE_CHECKING:    # numpy.random takes a while to import
    Generator = np.random.Generator | None

_GAINS = {
    **dict.fromkeys(("linear", "conv1d", "conv2d", "conv3d"), 1.0),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), 1.0),
    "sigmoid": 1.0, "tanh": 5 / 3, "relu": math.sqrt(2.0), "selu": 3 / 4,
}


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor that keeps the variance of activations behind a non-linearity.

    >>> calculate_gain("tanh")
    1.6666666666666667
    """
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else number("param", param, -math.inf)
        return math.sqrt(2.0 / (1 + slope * slope))
    if nonlinearity not in _GAINS:
        known = ", ".join([*_GAINS, "leaky_relu"])
        raise ValueError(f"nonlinearity must be one of {known}; got {nonlinearity!r}")
    return _GAINS[nonlinearity]


def _fill(tensor: T, values: Any) -> T:
    if isinstance(tensor, Parameter):
        with tensor.writable() as array:
            array[...] = values
    else:
        tensor[...] = values
    return tensor


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """(fan_in, fan_out) of a weight (out, in, ...)."""
    if len(shape) < 2:
        raise ValueError(f"tensor must have at least 2 axes, (out, in, ...), got shape {shape}")
    taps = math.prod(shape[2:])
    return shape[1] * taps, shape[0] * taps


def _fan(shape: tuple[int, ...], mode: str) -> int:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"mode must be 'fan_in' or 'fan_out', got {mode!r}")
    return fans(shape)[mode == "fan_out"]


def uniform_(tensor: T, a: float = 0.0, b: float = 1.0, generator: Generator = None) -> T:
    """Uniform between a and b.

    >>> uniform_(np.empty(2), 3.0, 3.0).tolist()
    [3.0, 3.0]
    """
    low, high = number("a", a, -math.inf), number("b", b, -math.inf)
    if low > high:
        raise ValueError(f"b must be at least a={low:g}, got {high:g}")
    return _fill(tensor, (generator or shared()).uniform(low, high, tensor.shape))


def normal_(tensor: T, mean: float = 0.0, std: float = 1.0, generator: Generator = None) -> T:
    """Normal.

    >>> normal_(np.empty(2), 3.0, 0.0).tolist()
    [3.0, 3.0]
    """
    centre, deviation = number("mean", mean, -math.inf), number("std", std)
    return _fill(tensor, (generator or shared()).normal(centre, deviation, tensor.shape))


def trunc_normal_(
    tensor: T, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0, generator: Generator = None
) -> T:
    """Normal, but nothing below a or above b: what falls outside is drawn again. a and b are values, not deviations.

    >>> w = trunc_normal_(np.empty(100), std=0.5, a=-0.5, b=1.0)
    >>> bool(w.min() >= -0.5 and w.max() <= 1.0)
    True
    """
    centre, deviation = number("mean", mean, -math.inf), number("std", std)
    low, high = number("a", a, -math.inf), number("b", b, -math.inf)
    if deviation == 0:
        raise ValueError("std must be greater than 0, got 0")
    if low >= high:
        raise ValueError(f"b must be greater than a={low:g}, got {high:g}")
    size = math.prod(tensor.shape)
    drawn = _truncated((low - centre) / deviation, (high - centre) / deviation, size, generator or shared())
    # Clipped, because rounding may pass the bounds.
    return _fill(tensor, np.clip(centre + deviation * drawn, low, high).reshape(tensor.shape))


def _truncated(low: float, high: float, size: int, rng: np.random.Generator) -> Array:
    """Standard normal numbers between low and high, by rejection.

    Proposals are normal if the bounds hold most of them. Else they are uniform, between the bounds or as far as the
    density, which is largest at the point nearest to 0, is above 2^-60 of that, and are kept in its proportion.
    """
    nearest = min(max(low, 0.0), high)
    reach = math.sqrt(nearest * nearest + 2 * 60 * math.log(2))
    near, far = max(low, -reach), min(high, reach)
    share = (math.erf(high / math.sqrt(2)) - math.erf(low / math.sqrt(2))) / 2
    found, count = [np.empty(0)], 0
    while count < size:
        ask = size - count + 16
        if share > 0.3:
            x = rng.normal(size=ask)
            kept = x[(low <= x) & (x <= high)]
        else:
            x = rng.uniform(near, far, ask)
            kept = x[rng.uniform(size=ask) <= np.exp((nearest * nearest - x * x) / 2)]
        found.append(kept)
        count += len(kept)
    return np.concatenate(found)[:size]


def constant_(tensor: T, val: float) -> T:
    """Everywhere ``val``.

    >>> constant_(np.empty(2), 3).tolist()
    [3.0, 3.0]
    """
    return _fill(tensor, number("val", val, -math.inf))


def zeros_(tensor: T) -> T:
    """Everywhere 0.

    >>> zeros_(np.empty(2)).tolist()
    [0.0, 0.0]
    """
    return _fill(tensor, 0)


def ones_(tensor: T) -> T:
    """Everywhere 1.

    >>> ones_(np.empty(2)).tolist()
    [1.0, 1.0]
    """
    return _fill(tensor, 1)


def kaiming_uniform_(
    tensor: T, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu", generator: Generator = None
) -> T:
    """Uniform within gain * sqrt(3 / fan); ``a`` is the slope of a leaky ReLU.

    >>> bool((abs(kaiming_uniform_(np.empty((8, 6)), nonlinearity="relu")) <= 1).all())
    True
    """
    bound = calculate_gain(nonlinearity, a) * math.sqrt(3.0 / _fan(tensor.shape, mode))
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: T, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu", generator: Generator = None
) -> T:
    """Normal with deviation gain / sqrt(fan).

    >>> kaiming_normal_(np.empty((8, 6)), nonlinearity="relu").shape
    (8, 6)
    """
    deviation = calculate_gain(nonlinearity, a) / math.sqrt(_fan(tensor.shape, mode))
    return normal_(tensor, 0.0, deviation, generator)


def xavier_uniform_(tensor: T, gain: float = 1.0, generator: Generator = None) -> T:
    """Uniform within gain * sqrt(6 / (fan_in + fan_out)); also called Glorot's.

    >>> bool((abs(xavier_uniform_(np.empty((2, 4)))) <= 1).all())
    True
    """
    bound = number("gain", gain) * math.sqrt(6.0 / sum(fans(tensor.shape)))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: T, gain: float = 1.0, generator: Generator = None) -> T:
    """Normal with deviation gain * sqrt(2 / (fan_in + fan_out)); also called Glorot's.

    >>> xavier_normal_(np.empty((2, 4))).shape
    (2, 4)
    """
    return normal_(tensor, 0.0, number("gain", gain) * math.sqrt(2.0 / sum(fans(tensor.shape))), generator)


def lecun_uniform_(tensor: T, generator: Generator = None) -> T:
    """Uniform within sqrt(3 / fan_in); for SELU.

    >>> bool((abs(lecun_uniform_(np.empty((8, 3)))) <= 1).all())
    True
    """
    return variance_scaling_(tensor, 1.0, "fan_in", "uniform", generator)


def lecun_normal_(tensor: T, generator: Generator = None) -> T:
    """Truncated normal with deviation 1 / sqrt(fan_in); for SELU.

    >>> lecun_normal_(np.empty((8, 3))).shape
    (8, 3)
    """
    return variance_scaling_(tensor, 1.0, "fan_in", "truncated_normal", generator)


#: The deviation of a standard normal variable that is cut off at -2 and 2.
_CUT = 0.87962566103423978


def variance_scaling_(
    tensor: T, scale: float = 1.0, mode: str = "fan_in", distribution: str = "truncated_normal",
    generator: Generator = None,
) -> T:
    """Mean 0 and variance scale / n; Keras's initialisers by their common rule.

    mode: n is "fan_in", "fan_out" or "fan_avg", their mean.
    distribution: "truncated_normal", cut off at two deviations of the normal it is cut from; "untruncated_normal";
        or "uniform".

    >>> bool((abs(variance_scaling_(np.empty((8, 3)), 1.0, "fan_in", "uniform")) <= 1).all())
    True
    """
    fan_in, fan_out = fans(tensor.shape)
    counts = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}
    variance = number("scale", scale) / max(counts[word("mode", mode, counts)], 1)
    word("distribution", distribution, ("truncated_normal", "untruncated_normal", "uniform"))
    if distribution == "uniform":
        bound = math.sqrt(3 * variance)
        return uniform_(tensor, -bound, bound, generator)
    if distribution == "untruncated_normal" or variance == 0:
        return normal_(tensor, 0.0, math.sqrt(variance), generator)
    deviation = math.sqrt(variance) / _CUT
    return trunc_normal_(tensor, 0.0, deviation, -2 * deviation, 2 * deviation, generator)


def orthogonal_(tensor: T, gain: float = 1.0, generator: Generator = None) -> T:
    """gain times a random orthogonal matrix; all axes but the first count as one, and the shorter side is orthogonal.

    >>> w = orthogonal_(np.empty((2, 3)))
    >>> bool(np.allclose(w @ w.T, np.eye(2)))
    True
    """
    if tensor.ndim < 2:
        raise ValueError(f"tensor must have at least 2 axes, got shape {tensor.shape}")
    scale = number("gain", gain, -math.inf)
    rows, columns = tensor.shape[0], math.prod(tensor.shape[1:])
    tall = max(rows, columns), min(rows, columns)
    q, r = np.linalg.qr((generator or shared()).normal(size=tall))
    q = q * np.where(np.diagonal(r) < 0, -1.0, 1.0)    # makes it uniform among all orthogonal matrices (Mezzadri, 2006)
    return _fill(tensor, scale * (q if rows >= columns else q.T).reshape(tensor.shape))


def eye_(tensor: T) -> T:
    """The identity, for a matrix (out, in).

    >>> eye_(np.empty((2, 3))).tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    """
    if tensor.ndim != 2:
        raise ValueError(f"tensor must have 2 axes, (out, in), got shape {tensor.shape}")
    return _fill(tensor, np.eye(tensor.shape[0], tensor.shape[1]))


def dirac_(tensor: T, groups: int = 1) -> T:
    """The identity, for weights (out, in / groups, taps...) of a convolution: a 1 at the middle of its own channel.

    >>> dirac_(np.empty((1, 1, 3)))
    array([[[0., 1., 0.]]])
    """
    if not 3 <= tensor.ndim <= 5:
        raise ValueError(f"tensor must have 3, 4 or 5 axes, (out, in, taps...), got shape {tensor.shape}")
    out, channels = tensor.shape[:2]
    if out % integer("groups", groups, 1):
        raise ValueError(f"groups must divide the {out} outputs, got {groups}")
    values = np.zeros(tensor.shape)
    middle: tuple[int, ...] = tuple([n // 2 for n in tensor.shape[2:]])
    for k in range(out):
        channel = k % (out // groups)
        if channel < channels:
            values[(k, channel, *middle)] = 1
    return _fill(tensor, values)


def identity_(tensor: T, gain: float = 1.0, groups: int = 1) -> T:
    """gain times the identity: :func:`eye_` of a matrix, :func:`dirac_` of weights of a convolution.

    >>> identity_(np.empty((1, 1, 3)), 2.0).tolist()
    [[[0.0, 2.0, 0.0]]]
    """
    scale = number("gain", gain, -math.inf)
    one = np.zeros(tensor.shape)
    return _fill(tensor, scale * (eye_(one) if tensor.ndim == 2 else dirac_(one, groups)))


def reset_weight_and_bias(weight: Parameter, bias: Parameter | None, places: int = 0) -> None:
    """PyTorch's default for convolutions and linear layers: both uniform within 1 / sqrt(fan_in).

    places: leading axes of the weight that count kernels.
    """
    bound = 1 / math.sqrt(fans(weight.shape[places:])[0])
    uniform_(weight, -bound, bound)
    if bias is not None:
        uniform_(bias, -bound, bound)
