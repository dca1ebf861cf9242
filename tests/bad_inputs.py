# SPDX-License-Identifier: BSD-3-Clause
"""What a bad input is, and what happens when it is tried.

A row is a kind of mistake; its number is that of the list of known failures of this class of software that
the tables were made from: overflowing sizes, gradients that trust the shape they are given, types that
convert silently. The tables are bad_conv_inputs.py, bad_pool_inputs.py and bad_more_pool_inputs.py; run_bad_inputs.py
runs rows in a process of their own, and test_bad_input.py says what must come out.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from fastconv import ops

Array = np.ndarray[Any, np.dtype[Any]]
Errors = tuple[type[Exception], ...]

TYPE, VALUE, MEMORY = (TypeError,), (ValueError,), (MemoryError,)
TOO_LARGE = (ValueError, OverflowError)

INT64_MAX = 2**63 - 1


@dataclass(frozen=True)
class Case:
    """op called with the arguments of make() must raise one of `raises`, and say all of `says`."""

    row: int
    op: str
    title: str
    make: Callable[[], dict[str, Any]]
    raises: Errors
    says: tuple[str, ...]

    @property
    def id(self) -> str:
        return f"{self.row:02d}-{self.op}-{self.title}"


@dataclass
class Outcome:
    """What one call did. `changed` lists the arguments that are not as they were."""

    id: str
    error: str = ""
    message: str = ""
    seconds: float = 0.0
    changed: list[str] = field(default_factory=list)
    next_call_same: bool = True


# ---- good arguments, one of which each case replaces -----------------------------------------------------


def numbers(*shape: int, dtype: Any = np.float32) -> Array:
    return (np.arange(np.prod(shape), dtype=np.int64) % 17 - 8).reshape(shape).astype(dtype)


def zeros(*shape: int, dtype: Any = np.float32) -> Array:
    return np.zeros(shape, dtype)


def giant(*shape: int, dtype: Any = np.float32) -> Array:
    """An array of any size in the memory of one element."""
    return np.broadcast_to(np.ones((), dtype), shape)


def misaligned(a: Array) -> Array:
    """A copy that starts one byte off its alignment."""
    raw = np.empty(a.nbytes + 1, np.uint8)[1:]
    view = raw.view(a.dtype).reshape(a.shape)
    view[...] = a
    return view


def new(*shape: int, dtype: Any = np.float32) -> Callable[[], Array]:
    """A recipe, so that every case has arrays of its own; new_zeros and new_giant alike."""
    return partial(numbers, *shape, dtype=dtype)


def new_zeros(*shape: int, dtype: Any = np.float32) -> Callable[[], Array]:
    return partial(zeros, *shape, dtype=dtype)


def new_giant(*shape: int) -> Callable[[], Array]:
    return partial(giant, *shape)


def _pool_arguments(axes: int) -> dict[str, Any]:
    return dict(x=numbers(2, 3, *(6,) * axes), kernel_size=2)


GOOD: dict[str, Callable[[], dict[str, Any]]] = {
    "conv2d": lambda: dict(
        x=numbers(2, 4, 6, 6),
        weight=numbers(4, 4, 3, 3),
        bias=numbers(4),
        out=np.full((2, 4, 4, 4), 7, np.float32),
    ),
    "conv2d_backward": lambda: dict(
        grad_output=numbers(2, 4, 4, 4), x=numbers(2, 4, 6, 6), weight=numbers(4, 4, 3, 3)
    ),
    "linear": lambda: dict(x=numbers(5, 3), weight=numbers(4, 3), bias=numbers(4)),
    "linear_backward": lambda: dict(grad_output=numbers(5, 4), x=numbers(5, 3), weight=numbers(4, 3)),
    "max_pool2d": lambda: dict(x=numbers(2, 3, 6, 6), kernel_size=2),
    "max_pool2d_backward": lambda: dict(
        grad_output=numbers(2, 3, 2, 2),
        indices=np.arange(24).reshape(2, 3, 2, 2) % 16,
        input_size=(2, 3, 4, 4),
    ),
    "avg_pool2d": lambda: dict(x=numbers(2, 3, 6, 6), kernel_size=2),
    "avg_pool2d_backward": lambda: dict(
        grad_output=numbers(2, 3, 2, 2), input_size=(2, 3, 4, 4), kernel_size=2
    ),
    **{f"{kind}_pool{axes}d": partial(_pool_arguments, axes)
       for kind in ("max", "min", "avg") for axes in (1, 2, 3) if (kind, axes) not in (("max", 2), ("avg", 2))},
    "max_pool3d_backward": lambda: dict(
        grad_output=numbers(1, 2, 2, 2, 2), indices=np.arange(16).reshape(1, 2, 2, 2, 2), input_size=(1, 2, 3, 4, 4)
    ),
    "avg_pool3d_backward": lambda: dict(
        grad_output=numbers(1, 2, 2, 2, 2), input_size=(1, 2, 4, 4, 4), kernel_size=2
    ),
    "adaptive_avg_pool2d": lambda: dict(x=numbers(2, 3, 6, 6), output_size=4),
    "adaptive_max_pool2d": lambda: dict(x=numbers(2, 3, 6, 6), output_size=4),
    "adaptive_avg_pool3d": lambda: dict(x=numbers(2, 3, 2, 6, 6), output_size=4),
    "adaptive_avg_pool2d_backward": lambda: dict(grad_output=numbers(2, 3, 4, 4), input_size=(2, 3, 6, 6)),
    "global_avg_pool": lambda: dict(x=numbers(2, 3, 6, 6)),
    "global_max_pool": lambda: dict(x=numbers(2, 3, 6, 6)),
    "global_avg_pool_backward": lambda: dict(grad_output=numbers(2, 3), input_size=(2, 3, 6, 6)),
    "global_max_pool_backward": lambda: dict(
        grad_output=numbers(2, 3), indices=np.arange(6).reshape(2, 3), input_size=(2, 3, 6, 6)
    ),
    "fractional_max_pool2d": lambda: dict(
        x=numbers(2, 3, 6, 6), kernel_size=2, random_samples=zeros(2, 3, 2), output_size=4
    ),
    "lp_pool2d": lambda: dict(x=numbers(2, 3, 6, 6), norm_type=2, kernel_size=2),
    "lp_pool2d_backward": lambda: dict(
        grad_output=numbers(2, 3, 3, 3), x=numbers(2, 3, 6, 6), norm_type=2, kernel_size=2
    ),
    "max_unpool2d": lambda: dict(
        x=numbers(2, 3, 2, 2), indices=np.arange(24).reshape(2, 3, 2, 2) % 16, kernel_size=2
    ),
    "max_unpool2d_backward": lambda: dict(
        grad_output=numbers(2, 3, 4, 4), indices=np.arange(24).reshape(2, 3, 2, 2) % 16
    ),
}

CASES: list[Case] = []


def bad(
    row: int,
    op: str | Iterable[str],
    raises: Errors,
    says: str | tuple[str, ...],
    title: str = "",
    **changes: Any,
) -> None:
    """Add a case per operation: its good arguments with these changes, of which a callable is a recipe."""
    says = (says,) if isinstance(says, str) else says
    title = title or ",".join(f"{k}={_brief(v)}" for k, v in changes.items())
    for name in (op,) if isinstance(op, str) else op:
        CASES.append(Case(row, name, title, partial(_arguments, name, changes), raises, says))


def _arguments(op: str, changes: dict[str, Any]) -> dict[str, Any]:
    return GOOD[op]() | {name: value() if callable(value) else value for name, value in changes.items()}


def _brief(value: object) -> str:
    if isinstance(value, int) and abs(value) > 2**70:
        return f"{value.bit_length()}bits"
    return "array" if callable(value) else repr(value).replace(" ", "")[:40]


# ---- trying one ------------------------------------------------------------------------------------------


def run(case: Case) -> Outcome:
    """Call it, and look at the arguments, and at an ordinary call, before and after."""
    outcome = Outcome(case.id)
    arguments = case.make()
    before = {name: _fingerprint(value) for name, value in arguments.items()}
    expected = ordinary_call(case.op)
    start = time.perf_counter()
    try:
        getattr(ops, case.op)(**arguments)
    except Exception as error:
        builtin = next(kind for kind in type(error).__mro__ if kind.__module__ == "builtins")
        outcome.error, outcome.message = builtin.__name__, str(error)
    outcome.seconds = time.perf_counter() - start
    outcome.changed = [name for name, value in arguments.items() if _fingerprint(value) != before[name]]
    outcome.next_call_same = ordinary_call(case.op) == expected
    return outcome


def ordinary_call(op: str) -> list[bytes]:
    """The bits of the results of the good arguments."""
    result = getattr(ops, op)(**GOOD[op]())
    return [a.tobytes() for a in (result if isinstance(result, tuple) else (result,))]


def _fingerprint(value: Any) -> Any:
    if not issubclass(type(value), np.ndarray):
        return id(value)
    small = value.nbytes < 1 << 20
    return value.shape, value.strides, str(value.dtype), np.ndarray.tobytes(value) if small else None
