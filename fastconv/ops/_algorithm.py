# SPDX-License-Identifier: BSD-3-Clause
"""Which convolution algorithm a block of code asks for: `with fastconv.algorithm("direct"):`."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Literal, NamedTuple

from fastconv.ops._check import word

ALGORITHMS = ("auto", "direct", "im2col", "winograd")
PRECISIONS = ("default", "strict")

AlgorithmName = Literal["auto", "direct", "im2col", "winograd"]
Precision = Literal["default", "strict"]


class Choice(NamedTuple):
    """What the innermost block asked for. strict keeps Winograd out of what "auto" may choose."""

    algorithm: str
    strict: bool


_DEFAULT = Choice("auto", False)

current: ContextVar[Choice] = ContextVar("fastconv_algorithm", default=_DEFAULT)


def algorithm(
    name: AlgorithmName = "auto", *, precision: Precision = "default"
) -> AbstractContextManager[None]:
    """Set the convolution algorithm, or the precision that "auto" must keep, for a block of code.

    name: "auto" lets the cost model choose; "direct", "im2col" and "winograd" force one, and the convolutions
    of the block to which it does not apply raise ValueError. An `algorithm=` argument of a single call wins
    over the block unless it is "auto".

    precision: "strict" keeps Winograd out, whose error is relative to the largest products of a tile, not to
    those of each output (docs/numerics.md).

    The setting belongs to the current thread or asyncio task. Blocks nest; the innermost decides both values.
    `linear` is always computed directly.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> x, w = np.ones((1, 1, 4, 4), np.float32), np.ones((1, 1, 3, 3), np.float32)
    >>> with ops.algorithm("direct"):
    ...     ops.conv2d(x, w)[0, 0].tolist()
    [[9.0, 9.0], [9.0, 9.0]]
    """
    choice = Choice(word("name", name, ALGORITHMS), word("precision", precision, PRECISIONS) == "strict")
    if choice == ("winograd", True):
        raise ValueError("name='winograd' contradicts precision='strict', which keeps Winograd out")
    return _block(choice)


@contextmanager
def _block(choice: Choice) -> Iterator[None]:
    token = current.set(choice)
    try:
        yield
    finally:
        current.reset(token)


def resolve(name: str, block: Choice) -> Choice:
    """The choice for one call: its own algorithm= argument, else the block's."""
    return block if name == "auto" else Choice(name, block.strict and name != "winograd")
