# SPDX-License-Identifier: BSD-3-Clause
"""What several layers share: checks of constructor arguments and the treatment of single images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from fastconv.autograd import Tensor
from fastconv.errors import ShapeError
from fastconv.ops._check import integer, pair, several, shown, word
from fastconv.ops._shapes import PADDING_WORDS

Array = np.ndarray[Any, Any]
IntOrPair = int | tuple[int, int]
Pair = tuple[int, int]


def count(name: str, value: object) -> int:
    """A number of channels or features: an integer of at least 1."""
    return integer(name, value, 1)


def float_type(dtype: Any) -> np.dtype[Any]:
    """The element type of new parameters: float32 unless told otherwise."""
    chosen = np.dtype(np.float32 if dtype is None else dtype)
    if chosen not in (np.float32, np.float64):
        raise TypeError(f"dtype must be float32 or float64, got {chosen}")
    return chosen


def number(name: str, value: object, low: float = 0.0, high: float = float("inf")) -> float:
    """A finite real number in [low, high]; booleans are refused."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name} must be a number, got {shown(value)}")
    result = float(value)
    if not (low <= result <= high and abs(result) < float("inf")):
        raise ValueError(f"{name} must be a finite number between {low:g} and {high:g}, got {result:g}")
    return result


def chosen(name: str, value: Any, known: Mapping[str, Callable[[], Any]]) -> Any:
    """What an argument stands for: one of the known words, something to call, or None."""
    if isinstance(value, str):
        return known[word(name, value, known)]()
    if isinstance(value, type):
        raise TypeError(f"{name} must be an object, not a class: write {value.__name__}()")
    if value is not None and not callable(value):
        raise TypeError(f"{name} must be None, a function, an object or one of {', '.join(map(repr, known))}, "
                        f"got {shown(value)}")
    return value


_AXES = {1: "C, L", 2: "C, H, W", 3: "C, D, H, W"}


def on_batch(x: Tensor, layer: Callable[[Tensor], Tensor], axes: int = 2) -> Tensor:
    """layer(x) for images (N, C, H, W); one image (C, H, W) is a batch of one. Or with other axes in space."""
    if x.ndim == axes + 2:
        return layer(x)
    if x.ndim != axes + 1:
        raise ShapeError(f"input must be (N, {_AXES[axes]}) or ({_AXES[axes]}), got shape {x.shape}")
    y = layer(x.reshape(1, *x.shape))
    return y.reshape(y.shape[1:])


def several_paddings(value: Any, axes: int) -> Any:
    """``padding`` with its numbers checked; which word or tuple it is stays as given."""
    if isinstance(value, str):
        return word("padding", value, PADDING_WORDS)
    if isinstance(value, (tuple, list)) and len(value) == axes and all(isinstance(v, (tuple, list)) for v in value):
        return tuple(pair(f"padding[{i}]", v, 0) for i, v in enumerate(value))
    return several("padding", value, axes, 0)
