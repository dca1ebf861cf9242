# SPDX-License-Identifier: BSD-3-Clause
"""The random numbers of the library: initial weights and dropout come from the one generator here.

It starts from the system's entropy; :func:`manual_seed` makes what follows repeatable.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np

from fastconv.ops._check import integer

__all__ = ["generator", "get_rng_state", "manual_seed", "set_rng_state"]


@functools.cache
def generator() -> np.random.Generator:
    """The generator itself, made when first asked for: numpy.random takes a while to import.

    Threads may share it, but which of them draws first is then up to chance.
    """
    return np.random.Generator(np.random.PCG64())


def manual_seed(seed: int) -> None:
    """Start the generator over: the same seed gives the same bits.

    seed: an integer between 0 and 2**64 - 1.

    >>> from fastconv import nn
    >>> manual_seed(0)
    >>> first = nn.Linear(2, 2).weight.numpy().tolist()
    >>> manual_seed(0)
    >>> nn.Linear(2, 2).weight.numpy().tolist() == first
    True
    """
    generator().bit_generator.state = np.random.PCG64(integer("seed", seed, 0, 2**64 - 1)).state


def get_rng_state() -> Mapping[str, Any]:
    """Where the generator stands, to continue from later; it can be written as JSON.

    >>> state = get_rng_state()
    >>> first = generator().random()
    >>> set_rng_state(state)
    >>> generator().random() == first
    True
    """
    return generator().bit_generator.state


def set_rng_state(state: Mapping[str, Any]) -> None:
    """Put the generator back to where :func:`get_rng_state` found it."""
    generator().bit_generator.state = dict(state)
