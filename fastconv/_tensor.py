# SPDX-License-Identifier: BSD-3-Clause
"""Tensor: an array on the tape of :mod:`fastconv.autograd`, which is where to import it from."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from fastconv import autograd, functions
from fastconv._conversion import gradient_for, plain_array
from fastconv._core import Blocked
from fastconv.functions import arithmetic, elementwise, indexing, product
from fastconv.functions.arithmetic import binary
from fastconv.functions.comparison import compare

if TYPE_CHECKING:
    from fastconv.autograd import Function

Array = np.ndarray[Any, Any]


class Tensor:
    """A NumPy array that remembers how it was made. Make one with :func:`fastconv.tensor`.

    value: an array of floats, integers or booleans; it is not copied.
    requires_grad: whether :meth:`backward` shall compute ``grad``; needs float32 or float64.

    The operators broadcast as NumPy's. A Python number takes the tensor's element type and an integer array
    that of the float it meets; float32 and float64 never mix (TypeError).

    >>> a = Tensor(np.array([[1.0, 2.0], [3.0, 4.0]]), requires_grad=True)
    >>> y = (a.max(1).values * 10 - a[:, 0]).sum()
    >>> y.backward()
    >>> y.item(), a.grad.tolist()
    (56.0, [[-1.0, 10.0], [-1.0, 10.0]])
    """

    __slots__ = ("__weakref__", "_grad", "_node", "_requires_grad", "_value")
    __array_ufunc__ = None  # so that ``array + tensor`` comes to Tensor.__radd__
    __hash__ = object.__hash__
    #: Raised by every change; 0 for what cannot change.
    _version = 0

    def __init__(self, value: Array, requires_grad: bool = False) -> None:
        self._value: Array | Blocked | autograd.Deferred = plain_array(value, "value")
        self._node: Function | None = None
        self._grad: Tensor | None = None
        self._requires_grad = False
        self.requires_grad = requires_grad

    # -- The value. Between native operations it stays in their layout; everybody else reads it through numpy().

    def numpy(self) -> Array:
        """The value, not a copy. It is read-only where writing would falsify a gradient still to come."""
        value = self._computed()
        if isinstance(value, Blocked):
            value = value.plain()
            value.flags.writeable = self._node is None
            self._value = value
        return value

    def _computed(self) -> Array | Blocked:
        """The value in the layout it has."""
        value = self._value
        if isinstance(value, autograd.Deferred):
            value = self._value = value.compute()
            if self._node is not None and isinstance(value, np.ndarray):
                value.flags.writeable = False
        return value

    @property
    def data(self) -> Array:
        """The value, as :meth:`numpy`."""
        return self.numpy()

    @property
    def shape(self) -> tuple[int, ...]:
        return self._value.shape

    @property
    def ndim(self) -> int:
        return self._value.ndim

    @property
    def dtype(self) -> np.dtype[Any]:
        dtype: np.dtype[Any] = self._value.dtype
        return dtype

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the extent of one axis."""
        return self.shape if dim is None else self.shape[dim]

    def dim(self) -> int:
        """The number of axes."""
        return self.ndim

    def numel(self) -> int:
        """The number of elements."""
        return self._value.size

    def item(self) -> Any:
        """The value of a tensor of one element, as a Python number."""
        return self.numpy().item()

    def tolist(self) -> Any:
        """The value as nested lists of Python numbers."""
        return self.numpy().tolist()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        value = self.numpy()
        if dtype is not None and value.dtype != dtype:
            if copy is False:
                raise ValueError(f"a {value.dtype} tensor needs a copy to become a {np.dtype(dtype)} array")
            return value.astype(dtype)
        return value.copy() if copy else value

    def __len__(self) -> int:
        if self.ndim == 0:
            raise TypeError("a tensor of no axes has no len()")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))

    def __bool__(self) -> bool:
        return bool(self.item())

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __format__(self, spec: str) -> str:
        return format(self.item() if spec and self.ndim == 0 else str(self), spec)

    def __repr__(self) -> str:
        text = np.array2string(self.numpy(), separator=", ", prefix="tensor(")
        if self.dtype not in (np.float32, np.int64, np.bool_):
            text += f", dtype={self.dtype}"
        if self._node is not None:
            text += f", grad_fn=<{type(self._node).__name__}>"
        elif self._requires_grad:
            text += ", requires_grad=True"
        return f"tensor({text})"

    # -- The gradient.

    @property
    def requires_grad(self) -> bool:
        """Whether gradients flow to this tensor. Only that of a leaf can be set."""
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if self._node is not None and not value:
            raise RuntimeError("requires_grad can be cleared on a leaf only; .detach() gives the bare value")
        if value and self.dtype not in (np.float32, np.float64):
            raise TypeError(f"requires_grad needs a float32 or float64 tensor, got {self.dtype}")
        self._requires_grad = bool(value)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Set ``requires_grad``; returns the tensor."""
        self.requires_grad = requires_grad
        return self

    @property
    def is_leaf(self) -> bool:
        """Whether no recorded operation made this tensor."""
        return self._node is None

    @property
    def grad_fn(self) -> Function | None:
        """The operation that made this tensor; None for a leaf."""
        return self._node

    @property
    def grad(self) -> Tensor | None:
        """The sum of the gradients of every backward pass since it was last set to None."""
        return self._grad

    @grad.setter
    def grad(self, value: Tensor | Array | None) -> None:
        self._grad = None if value is None else Tensor(gradient_for(self, value, "grad"))

    def zero_grad(self) -> None:
        """Forget the gradient."""
        self._grad = None

    def retain_grad(self) -> None:
        """Keep the gradient of this tensor although it is not a leaf."""
        if not self._requires_grad:
            raise RuntimeError("retain_grad() needs a tensor that requires a gradient")
        if self._node is not None:
            self._node.retainer = weakref.ref(self)

    def backward(self, gradient: Tensor | Array | None = None, retain_graph: bool = False) -> None:
        """Add d(self)/d(leaf) to ``grad`` of every leaf that requires it.

        gradient: the derivative of the final result with respect to this tensor, of its shape and type; may
            be left out for a tensor of one element, where it is 1.
        retain_graph: keep what the operations saved, so that backward can be called again.

        RuntimeError, with every gradient as it was: if nothing was recorded, if the graph was already used,
        or if a parameter has been changed since the forward pass.
        """
        if not self._requires_grad:
            raise RuntimeError("backward(): the tensor does not require a gradient, so nothing was recorded")
        if gradient is None:
            if self.numel() != 1:
                raise RuntimeError(
                    f"backward() of a tensor of shape {self.shape}: pass gradient, an array of that shape, "
                    "or reduce the tensor to one number first, with .sum() or .mean()"
                )
            gradient = np.ones(self.shape, self.dtype)
        autograd.walk(self, gradient_for(self, gradient, "gradient"), retain_graph)

    def detach(self) -> Tensor:
        """The same value, without its history."""
        return Tensor(self.numpy())

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        self._refuse_unless_leaf("deepcopy")
        twin = type(self)(self.numpy().copy(), self._requires_grad)
        memo[id(self)] = twin
        return twin

    def __reduce__(self) -> tuple[Any, ...]:
        self._refuse_unless_leaf("pickle")
        return type(self), (np.array(self.numpy()), self._requires_grad)

    def _refuse_unless_leaf(self, what: str) -> None:
        if self._node is not None:
            raise RuntimeError(f"cannot {what} a tensor with its history; use .detach() first")

    # -- Element types.

    astype = elementwise.astype

    def float(self) -> Tensor:
        """As float32."""
        return self.astype(np.float32)

    def double(self) -> Tensor:
        """As float64."""
        return self.astype(np.float64)

    # -- Operators. Every one names the Function that carries its mathematics.

    def __add__(self, other: Any) -> Tensor:
        return binary(arithmetic.Add, self, other)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Tensor:
        return binary(arithmetic.Subtract, self, other)

    def __rsub__(self, other: Any) -> Tensor:
        return binary(arithmetic.Subtract, self, other, swap=True)

    def __mul__(self, other: Any) -> Tensor:
        return binary(arithmetic.Multiply, self, other)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Tensor:
        return binary(arithmetic.Divide, self, other)

    def __rtruediv__(self, other: Any) -> Tensor:
        return binary(arithmetic.Divide, self, other, swap=True)

    def __pow__(self, other: Any) -> Tensor:
        return binary(arithmetic.Power, self, other)

    def __rpow__(self, other: Any) -> Tensor:
        return binary(arithmetic.Power, self, other, swap=True)

    def __matmul__(self, other: Any) -> Tensor:
        return binary(product.MatMul, self, other)

    def __rmatmul__(self, other: Any) -> Tensor:
        return binary(product.MatMul, self, other, swap=True)

    __neg__ = functions.neg
    __abs__ = functions.abs
    __invert__ = functions.logical_not
    __getitem__ = indexing.getitem

    def __eq__(self, other: Any) -> Tensor:  # type: ignore[override]
        return compare(np.equal, self, other)

    def __ne__(self, other: Any) -> Tensor:  # type: ignore[override]
        return compare(np.not_equal, self, other)

    def __lt__(self, other: Any) -> Tensor:
        return compare(np.less, self, other)

    def __le__(self, other: Any) -> Tensor:
        return compare(np.less_equal, self, other)

    def __gt__(self, other: Any) -> Tensor:
        return compare(np.greater, self, other)

    def __ge__(self, other: Any) -> Tensor:
        return compare(np.greater_equal, self, other)

    def __and__(self, other: Any) -> Tensor:
        return compare(np.logical_and, self, other)

    __rand__ = __and__

    def __or__(self, other: Any) -> Tensor:
        return compare(np.logical_or, self, other)

    __ror__ = __or__

    # -- Methods: the functions of fastconv.functions, where they are documented.

    add = functions.add
    sub = functions.sub
    mul = functions.mul
    div = functions.div
    pow = functions.pow
    neg = functions.neg
    maximum = functions.maximum
    minimum = functions.minimum
    matmul = functions.matmul

    eq = functions.eq
    ne = functions.ne
    lt = functions.lt
    le = functions.le
    gt = functions.gt
    ge = functions.ge
    isnan = functions.isnan
    isfinite = functions.isfinite
    logical_and = functions.logical_and
    logical_or = functions.logical_or
    logical_not = functions.logical_not
    all = functions.all
    any = functions.any
    masked_fill = functions.masked_fill

    exp = functions.exp
    log = functions.log
    log1p = functions.log1p
    sqrt = functions.sqrt
    square = functions.square
    abs = functions.abs
    clamp = functions.clamp
    clone = functions.clone
    relu = functions.relu
    sigmoid = functions.sigmoid
    tanh = functions.tanh

    sum = functions.sum
    mean = functions.mean
    var = functions.var
    std = functions.std
    prod = functions.prod
    cumsum = functions.cumsum
    norm = functions.norm

    max = functions.max
    min = functions.min
    amax = functions.amax
    amin = functions.amin
    argmax = functions.argmax
    argmin = functions.argmin

    reshape = functions.reshape
    flatten = functions.flatten
    squeeze = functions.squeeze
    unsqueeze = functions.unsqueeze
    permute = functions.permute
    transpose = functions.transpose
    broadcast_to = functions.broadcast_to
    repeat = functions.repeat
    flip = functions.flip
    roll = functions.roll
    pad = functions.pad

    gather = functions.gather
    index_select = functions.index_select
    narrow = functions.narrow
    select = functions.select
    split = functions.split
    chunk = functions.chunk
    unbind = functions.unbind

    view = reshape
    expand = broadcast_to
