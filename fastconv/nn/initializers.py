# SPDX-License-Identifier: BSD-3-Clause
"""Initialisers as objects, with Keras's names and defaults, for the arguments of layers; the maths is in init.py.

``nn.Conv2d(3, 8, 3, kernel_initializer="he_normal", bias_initializer=nn.initializers.Constant(0.1))``

An object is called with a parameter or array, fills it and returns it; so any function of :mod:`fastconv.nn.init`
will do in its place. With a seed it gives the same values each time it is called; without, they come from fastconv's
own generator.

The names "xavier_..." and "kaiming_..." mean PyTorch's functions, "glorot_...", "he_..." and "lecun_..." Keras's,
whose normal distributions are cut off at two deviations.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastconv.nn import init
from fastconv.nn._common import chosen, number
from fastconv.nn.init import T
from fastconv.ops._check import integer, word

__all__ = [
    "Constant", "GlorotNormal", "GlorotUniform", "HeNormal", "HeUniform", "Identity", "Initializer", "LecunNormal",
    "LecunUniform", "Ones", "Orthogonal", "RandomNormal", "RandomUniform", "TruncatedNormal", "VarianceScaling",
    "Zeros", "get",
]


class Initializer:
    """The base: a subclass defines ``__call__``, which fills a parameter or array and returns it."""

    def __call__(self, tensor: T) -> T:
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in vars(self).items())})"


def _generator(seed: int | None) -> np.random.Generator | None:
    return None if seed is None else np.random.default_rng(seed)


def _seed(seed: int | None) -> int | None:
    return None if seed is None else integer("seed", seed, 0, 2**64 - 1)


class Constant(Initializer):
    """Everywhere ``value``.

    >>> Constant(3.0)(np.empty(2)).tolist()
    [3.0, 3.0]
    """

    def __init__(self, value: float = 0.0) -> None:
        self.value = number("value", value, -np.inf)

    def __call__(self, tensor: T) -> T:
        return init.constant_(tensor, self.value)


class Zeros(Initializer):
    """Everywhere 0.

    >>> Zeros()(np.empty(2)).tolist()
    [0.0, 0.0]
    """

    def __call__(self, tensor: T) -> T:
        return init.zeros_(tensor)


class Ones(Initializer):
    """Everywhere 1.

    >>> Ones()(np.empty(2)).tolist()
    [1.0, 1.0]
    """

    def __call__(self, tensor: T) -> T:
        return init.ones_(tensor)


class RandomNormal(Initializer):
    """Normal.

    >>> RandomNormal(mean=3.0, stddev=0.0)(np.empty(2)).tolist()
    [3.0, 3.0]
    """

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None) -> None:
        self.mean = number("mean", mean, -np.inf)
        self.stddev = number("stddev", stddev)
        self.seed = _seed(seed)

    def __call__(self, tensor: T) -> T:
        return init.normal_(tensor, self.mean, self.stddev, _generator(self.seed))


class TruncatedNormal(RandomNormal):
    """Normal, but nothing more than two deviations from the mean.

    >>> bool((abs(TruncatedNormal(stddev=0.5)(np.empty(100))) <= 1).all())
    True
    """

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None) -> None:
        super().__init__(mean, stddev, seed)
        if self.stddev == 0:
            raise ValueError("stddev must be greater than 0, got 0")

    def __call__(self, tensor: T) -> T:
        low, high = self.mean - 2 * self.stddev, self.mean + 2 * self.stddev
        return init.trunc_normal_(tensor, self.mean, self.stddev, low, high, _generator(self.seed))


class RandomUniform(Initializer):
    """Uniform between minval and maxval.

    >>> RandomUniform(3.0, 3.0)(np.empty(2)).tolist()
    [3.0, 3.0]
    """

    def __init__(self, minval: float = -0.05, maxval: float = 0.05, seed: int | None = None) -> None:
        self.minval, self.maxval = number("minval", minval, -np.inf), number("maxval", maxval, -np.inf)
        if self.minval > self.maxval:
            raise ValueError(f"maxval must be at least minval={minval:g}, got {maxval:g}")
        self.seed = _seed(seed)

    def __call__(self, tensor: T) -> T:
        return init.uniform_(tensor, self.minval, self.maxval, _generator(self.seed))


class VarianceScaling(Initializer):
    """Mean 0 and variance scale / n; see :func:`fastconv.nn.init.variance_scaling_`.

    >>> VarianceScaling(2.0, "fan_out")(np.empty((4, 3))).shape
    (4, 3)
    """

    def __init__(
        self, scale: float = 1.0, mode: str = "fan_in", distribution: str = "truncated_normal",
        seed: int | None = None,
    ) -> None:
        self.scale = number("scale", scale)
        self.mode = word("mode", mode, ("fan_in", "fan_out", "fan_avg"))
        self.distribution = word("distribution", distribution, ("truncated_normal", "untruncated_normal", "uniform"))
        self.seed = _seed(seed)

    def __call__(self, tensor: T) -> T:
        return init.variance_scaling_(tensor, self.scale, self.mode, self.distribution, _generator(self.seed))


class GlorotNormal(VarianceScaling):
    """Truncated normal with deviation sqrt(2 / (fan_in + fan_out)).

    >>> GlorotNormal(seed=1)(np.empty((4, 3))).shape
    (4, 3)
    """

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(1.0, "fan_avg", "truncated_normal", seed)


class GlorotUniform(VarianceScaling):
    """Uniform within sqrt(6 / (fan_in + fan_out)); Keras's default.

    >>> GlorotUniform(seed=1)(np.empty((4, 3))).shape
    (4, 3)
    """

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(1.0, "fan_avg", "uniform", seed)


class HeNormal(VarianceScaling):
    """Truncated normal with deviation sqrt(2 / fan_in); for ReLU.

    >>> HeNormal(seed=1)(np.empty((4, 3))).shape
    (4, 3)
    """

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(2.0, "fan_in", "truncated_normal", seed)


class HeUniform(VarianceScaling):
    """Uniform within sqrt(6 / fan_in); for ReLU.

    >>> HeUniform(seed=1)(np.empty((4, 3))).shape
    (4, 3)
    """

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(2.0, "fan_in", "uniform", seed)


class LecunNormal(VarianceScaling):
    """Truncated normal with deviation sqrt(1 / fan_in); for SELU.

    >>> LecunNormal(seed=1)(np.empty((4, 3))).shape
    (4, 3)
    """

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(1.0, "fan_in", "truncated_normal", seed)


class LecunUniform(VarianceScaling):
    """Uniform within sqrt(3 / fan_in); for SELU.

    >>> LecunUniform(seed=1)(np.empty((4, 3))).shape
    (4, 3)
    """

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(1.0, "fan_in", "uniform", seed)


class Orthogonal(Initializer):
    """gain times a random orthogonal matrix; see :func:`fastconv.nn.init.orthogonal_`.

    >>> w = Orthogonal()(np.empty((2, 3)))
    >>> bool(np.allclose(w @ w.T, np.eye(2)))
    True
    """

    def __init__(self, gain: float = 1.0, seed: int | None = None) -> None:
        self.gain, self.seed = number("gain", gain, -np.inf), _seed(seed)

    def __call__(self, tensor: T) -> T:
        return init.orthogonal_(tensor, self.gain, _generator(self.seed))


class Identity(Initializer):
    """gain times the identity: the layer hands on what it is given. groups: those of the layer, unless given.

    >>> Identity(2.0)(np.empty((2, 2))).tolist()
    [[2.0, 0.0], [0.0, 2.0]]
    """

    def __init__(self, gain: float = 1.0, groups: int | None = None) -> None:
        self.gain = number("gain", gain, -np.inf)
        self.groups = None if groups is None else integer("groups", groups, 1)

    def __call__(self, tensor: T) -> T:
        return init.identity_(tensor, self.gain, self.groups or 1)

    def of(self, groups: int) -> Identity:
        """This one, for a layer of so many groups."""
        return self if self.groups is not None else Identity(self.gain, groups)


def _function(fill: Callable[..., Any]) -> Callable[[], Callable[..., Any]]:
    return lambda: fill


_NAMES: dict[str, Callable[[], Callable[..., Any]]] = {
    "zeros": Zeros, "ones": Ones, "constant": Constant, "random_normal": RandomNormal, "normal": RandomNormal,
    "random_uniform": RandomUniform, "uniform": RandomUniform, "truncated_normal": TruncatedNormal,
    "variance_scaling": VarianceScaling, "glorot_normal": GlorotNormal, "glorot_uniform": GlorotUniform,
    "he_normal": HeNormal, "he_uniform": HeUniform, "lecun_normal": LecunNormal, "lecun_uniform": LecunUniform,
    "orthogonal": Orthogonal, "identity": Identity,
    "xavier_normal": _function(init.xavier_normal_), "xavier_uniform": _function(init.xavier_uniform_),
    "kaiming_normal": _function(init.kaiming_normal_), "kaiming_uniform": _function(init.kaiming_uniform_),
}


def get(name: str, value: object) -> Callable[..., Any] | None:
    """The initialiser that an argument called ``name`` stands for: a word, an object or function, or None.

    >>> get("bias_initializer", "constant")
    Constant(value=0.0)
    """
    initializer: Callable[..., Any] | None = chosen(name, value, _NAMES)
    return initializer
