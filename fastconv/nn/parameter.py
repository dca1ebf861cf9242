# SPDX-License-Identifier: BSD-3-Clause
"""Parameter: what training changes."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self

import numpy as np

from fastconv._operands import operands
from fastconv.autograd import Tensor, as_tensor, is_grad_enabled
from fastconv.errors import ShapeError

Array = np.ndarray[Any, Any]


class Parameter(Tensor):
    """A tensor that training changes; assigning one to an attribute of a Module registers it.

    data: an array or tensor; it is copied.

    The array it hands out is read-only. ``p.data = array``, ``p.copy_(array)``, ``with p.writable() as a:``
    and, under ``no_grad``, ``p += x`` and its kin change it, and raise ``version`` each time. So whatever was
    computed from a parameter, packed weights or a gradient under way, can tell that it is out of date.

    constraint: changes the array in place after every step of an optimiser; see :mod:`fastconv.nn.constraints`.
    regularizer: maps the parameter to its penalty; see :mod:`fastconv.nn.regularizers`.

    >>> p = Parameter(np.zeros(2, np.float32))
    >>> with p.writable() as a:
    ...     a += 1
    >>> p.numpy()
    array([1., 1.], dtype=float32)
    """

    __slots__ = ("_store", "_version", "constraint", "regularizer")

    def __init__(self, data: Tensor | Array, requires_grad: bool = True) -> None:
        self._version = 0
        self.constraint: Callable[[Array], None] | None = None
        self.regularizer: Callable[[Tensor], Tensor] | None = None
        super().__init__(as_tensor(data, "data").numpy(), requires_grad)
        self._adopt(self.numpy())

    def _adopt(self, array: Array) -> None:
        """Make a copy of ``array`` the value: one writable store, seen from outside through a locked view."""
        self._store = np.array(array, order="C")
        self._value = self._store.view()
        self._value.flags.writeable = False
        self._version += 1

    @property
    def version(self) -> int:
        """A number that every change raises."""
        return self._version

    @property
    def data(self) -> Array:
        """The value, read-only. Assigning an array of the same shape and element type replaces it."""
        return self.numpy()

    @data.setter
    def data(self, value: Tensor | Array) -> None:
        array = self._fitting(value)
        if array.dtype != self.dtype:
            raise TypeError(f"data must be {self.dtype} as it was, got {array.dtype}: copy_() converts")
        self._adopt(array)

    def copy_(self, source: Tensor | Array) -> Self:
        """Take over the elements of ``source``, converted to the parameter's float type."""
        array = self._fitting(source)
        with self.writable() as store:
            np.copyto(store, array, casting="same_kind")
        return self

    def _fitting(self, value: Tensor | Array) -> Array:
        array = as_tensor(value, "data").numpy()
        if array.shape != self.shape:
            raise ShapeError(f"data must have the parameter's shape {self.shape}, got {array.shape}")
        return array

    @contextmanager
    def writable(self) -> Iterator[Array]:
        """The array itself, to be changed inside the block."""
        # Raised on entry too: what is computed from a half-changed value must not pass for current.
        self._version += 1
        try:
            yield self._store
        finally:
            self._version += 1

    def _in_place(self, operation: Callable[..., Any], other: Any) -> Self:
        if is_grad_enabled() and self.requires_grad:
            raise RuntimeError(
                "a parameter that requires a gradient cannot be changed in place while operations are "
                "recorded: put the update inside `with no_grad():`"
            )
        both = operands(self, other)
        if both is None:
            return NotImplemented  # type: ignore[no-any-return]
        with self.writable() as store:
            operation(store, both[1].numpy(), out=store)
        return self

    def __iadd__(self, other: Any) -> Self:
        return self._in_place(np.add, other)

    def __isub__(self, other: Any) -> Self:
        return self._in_place(np.subtract, other)

    def __imul__(self, other: Any) -> Self:
        return self._in_place(np.multiply, other)

    def __itruediv__(self, other: Any) -> Self:
        return self._in_place(np.divide, other)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        twin = super().__deepcopy__(memo)
        twin.constraint, twin.regularizer = copy.deepcopy((self.constraint, self.regularizer), memo)
        return twin

    def __reduce__(self) -> tuple[Any, ...]:
        return *super().__reduce__(), (None, {"constraint": self.constraint, "regularizer": self.regularizer})

    def __repr__(self) -> str:
        return f"Parameter containing:\n{super().__repr__()}"
