# SPDX-License-Identifier: BSD-3-Clause
"""Reverse-mode differentiation: Tensor, Function, no_grad.

A :class:`Tensor` is a value, its gradient and how it was made. Each operation is one small subclass of
:class:`Function` that computes (``forward``) and differentiates (``backward``) on NumPy arrays; calling an
instance of it on tensors records it on the tape. :meth:`Tensor.backward` walks the tape from the newest
operation to the oldest, which is an order in which every gradient is complete before it is used, and the same
order every time: sums of gradients have the same bits from run to run.

Tensors are values: no operation changes one in place, ``a += b`` makes a new tensor. Only
:class:`fastconv.nn.Parameter` can be changed, and it counts its changes, so that a gradient is never computed
from a value that is no longer the one of the forward pass.

This file is the tape. The modes of a thread are in ``_mode.py``, Tensor is in ``_tensor.py``, the operations
(Add, Sum, Index, ...) in ``functions.py``.

>>> x = tensor([1.0, 2.0, 3.0], requires_grad=True)
>>> (x * x).sum().backward()
>>> x.grad
tensor([2., 4., 6.])
"""

from __future__ import annotations

import itertools
import math
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from fastconv._core import Blocked, block
from fastconv._mode import enable_grad, is_grad_enabled, mode, no_grad, plain_results, wants_native
from fastconv.ops._fold import Normalization
from fastconv.ops.act import add, relu_backward

__all__ = [
    "Function", "Tensor", "as_tensor", "enable_grad", "is_grad_enabled", "no_grad", "plain_results", "tensor",
    "wants_native",
]

Array = np.ndarray[Any, Any]
#: What a tensor holds: an array, or images in the layout in which the native kernels compute.
Value = Array | Blocked


# ---- Results to come -------------------------------------------------------------------------------------


class Deferred:
    """A result that is computed when somebody looks at it.

    Until then a ReLU may join the operation: `with_relu` makes the Function of both, which saves a pass over memory
    in either direction. So may, where nothing is recorded and `with_norm` is given, a normalisation by given
    statistics. What is computed later must depend on nothing that changes: on copies, and on images in the
    native layout, which nobody writes to. A `fragile` one, which reads an array of the caller's, waits only while
    a module is called on arrays; what is left then is computed (`settling`).
    """

    __slots__ = ("compute", "dtype", "fragile", "inputs", "native", "shape", "with_norm", "with_relu")

    def __init__(
        self, shape: tuple[int, ...], dtype: np.dtype[Any], compute: Callable[[], Value],
        with_relu: Callable[[], Function], with_norm: Callable[[Normalization], Function | None] | None = None,
        *, native: bool = True, fragile: bool = False,
    ) -> None:
        self.shape, self.dtype = shape, dtype
        self.compute, self.with_relu, self.with_norm = compute, with_relu, with_norm
        self.native, self.fragile = native, fragile
        self.inputs: Sequence[Tensor | None] = ()

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return math.prod(self.shape)


@contextmanager
def settling() -> Iterator[None]:
    """Fragile results may wait to the end of the block, and no longer."""
    if mode.waiting is not None:
        yield
        return
    waiting = mode.waiting = []
    try:
        yield
    finally:
        mode.waiting = None
        for reference in waiting:
            tensor = reference()
            if tensor is not None:
                tensor._computed()


# ---- The tape --------------------------------------------------------------------------------------------

_serial = itertools.count()


def recorded(*inputs: Tensor | None) -> bool:
    """Whether an operation of these inputs will be recorded."""
    return mode.enabled and any(t is not None and t._requires_grad for t in inputs)


class Function:
    """One operation of the tape. A subclass defines two methods on NumPy arrays:

    ``forward(self, *arrays)`` returns the result. It may read ``self.needs``, which says for each input
    whether its gradient will be asked for, and keeps arrays for backward with ``self.save(...)``, and there
    only: so they are freed in time and checked for changes. Inputs given as None arrive as None.

    ``backward(self, grad)`` returns one gradient for each input, of the input's shape and type; None where
    ``self.needs`` is false. A single input needs no tuple. It may return ``grad`` itself or a view of it, but
    never a saved array, and changes neither, but for ``grad`` where ``self.owns_grad``.

    With ``native = True`` inputs may also be images in the native layout (``_core.Blocked``), and so may be the
    result, or a Deferred, and the gradients that backward returns; the gradient it is given has the layout of the
    result. All others are given plain arrays.

    Options go to ``__init__``; calling the instance runs and records it. An instance is called once.

    >>> class Square(Function):
    ...     def forward(self, x):
    ...         self.save(x)
    ...         return x * x
    ...     def backward(self, grad):
    ...         (x,) = self.saved
    ...         return 2 * x * grad
    >>> x = tensor([3.0], requires_grad=True)
    >>> Square()(x).backward()
    >>> x.grad
    tensor([6.])
    """

    forward: Callable[..., Any]
    backward: Callable[..., Any]
    native = False
    needs: tuple[bool, ...] = ()
    inputs: tuple[Tensor | None, ...] = ()
    retainer: weakref.ref[Tensor] | None = None
    _saved: tuple[Any, ...] = ()
    _versions: Sequence[tuple[Tensor, int]] = ()
    _serial: int = -1
    _used = False
    _blocked = False
    #: In backward: whether nobody else sees the gradient that is given, so that it may be overwritten.
    owns_grad = False
    #: Whether the result is a maximum with 0, and backward drops the gradient where it is not positive.
    rectifies = False
    #: In backward: whether the gradient that is given is 0 there already.
    grad_is_rectified = False
    #: Set by backward: whether it has done so for the operation that made its input.
    gives_rectified = False

    def save(self, *arrays: Any) -> None:
        """Keep arrays for backward."""
        self._saved = arrays

    @property
    def saved(self) -> tuple[Any, ...]:
        """What forward saved."""
        return self._saved

    def follows_rectifier(self) -> bool:
        """Whether the only input is a recorded maximum with 0 whose own gradient nobody asks for."""
        (source,) = self.inputs
        node = None if source is None else source._node
        return node is not None and node.rectifies and node.retainer is None

    def rectified(self, grad: Value, y: Value) -> Value:
        """grad where y, a maximum with 0, is positive or NaN, else 0."""
        if self.grad_is_rectified:
            return grad
        masked: Value = relu_backward(grad, y, out=grad if self.owns_grad else None)
        return masked

    def __call__(self, *inputs: Tensor | Array | None) -> Tensor:
        tensors = [None if x is None else as_tensor(x) for x in inputs]
        if mode.enabled:
            self.needs = tuple([t is not None and t._requires_grad for t in tensors])
        else:
            self.needs = (False,) * len(tensors)
        recorded = True in self.needs
        if recorded:
            self.inputs = tuple(tensors)
        arrays: list[Value | None]
        if self.native:
            arrays = [None if t is None else t._computed() for t in tensors]
        else:
            arrays = [None if t is None else t.numpy() for t in tensors]
        value: Value | Deferred = self.forward(*arrays)
        if isinstance(value, Deferred):
            if value.fragile and mode.waiting is None:
                value = value.compute()
            else:
                value.inputs = tensors
        elif not isinstance(value, Blocked):
            value = np.asarray(value)
        self._blocked = value.native if isinstance(value, Deferred) else isinstance(value, Blocked)
        if not recorded:
            self._saved = ()
            return _made(value, None)
        if isinstance(value, np.ndarray):
            if True in [value is a for a in arrays]:
                value = value.view()
            value.flags.writeable = False
        self._serial = next(_serial)
        # Only a value that backward will read must stay as it is: a bias, say, may change.
        self._versions = [
            (t, t._version) for t, a in zip(tensors, arrays, strict=True)
            if t is not None and t._version and any(a is s for s in self._saved)
        ]
        return _made(value, self)

    def check(self) -> None:
        """RuntimeError unless backward would see just what forward saw."""
        if self._used:
            raise RuntimeError(
                f"backward() already went through this {type(self).__name__}, and what it saved is freed: "
                "pass retain_graph=True to the first call, or compute the loss again"
            )
        for tensor_, version in self._versions:
            if tensor_._version != version:
                raise RuntimeError(
                    f"a parameter of shape {tensor_.shape} was changed between forward and backward (version "
                    f"{version}, now {tensor_._version}), and {type(self).__name__} needs the old value: "
                    "call backward() before optimizer.step()"
                )

    def free(self) -> None:
        """Drop what was saved, and the way to older operations."""
        self._saved = self.inputs = self._versions = ()
        self._used = True

    def gradients(self, grad: Value, owned: bool = False, rectified: bool = False) -> list[Value | None]:
        """backward(grad), checked, with None for every input that needs none. owned: nobody else sees grad."""
        mine = in_layout(grad, self._blocked)
        self.owns_grad, self.grad_is_rectified = owned or mine is not grad, rectified
        result = self.backward(mine)
        if not isinstance(result, tuple):
            result = (result,)
        if len(result) != len(self.inputs):
            name, count = type(self).__name__, len(self.inputs)
            raise RuntimeError(f"{name}.backward returned {len(result)} gradients for {count} inputs")
        return [
            self._checked(g, t) if need and g is not None and t is not None else None
            for g, need, t in zip(result, self.needs, self.inputs, strict=True)
        ]

    def _checked(self, grad: Any, target: Tensor) -> Value:
        array: Value = grad if type(grad) is Blocked else np.asarray(grad)
        if array.shape != target.shape or array.dtype != target.dtype:
            raise RuntimeError(
                f"{type(self).__name__}.backward returned {array.dtype} {array.shape} "
                f"for an input of {target.dtype} {target.shape}"
            )
        return array


def in_layout(value: Value, blocked: bool) -> Value:
    """The same images in the native layout, or as an array."""
    if isinstance(value, Blocked):
        return value if blocked else value.plain()
    return block(value) if blocked else value


def plain(value: Value) -> Array:
    """An array of the same images."""
    return value.plain() if isinstance(value, Blocked) else value


def _sum(a: Value, b: Value, own_a: bool, own_b: bool) -> Value:
    """a + b, in the layout of a; in the memory of an operand that nobody else sees."""
    if isinstance(a, Blocked):
        b_like_a = in_layout(b, True)
        return add(a, b_like_a, out=a if own_a else b_like_a if own_b or b_like_a is not b else None)
    return np.asarray(a + plain(b))


def _made(value: Value | Deferred, node: Function | None) -> Tensor:
    tensor = result(value, node)
    if isinstance(value, Deferred) and value.fragile and mode.waiting is not None:
        mode.waiting.append(weakref.ref(tensor))
    return tensor


def _recorded(root: Tensor) -> list[Function]:
    """The operations behind ``root``, newest first."""
    found: set[Function] = set()
    stack = [root._node]
    while stack:
        node = stack.pop()
        if node is not None and node not in found:
            found.add(node)
            # A used node has no inputs left; check() will say so.
            stack += [t._node for t in node.inputs if t is not None and t._requires_grad]
    return sorted(found, key=lambda node: -node._serial)


def walk(root: Tensor, gradient: Array, retain_graph: bool) -> None:
    """Carry ``gradient`` from ``root`` to the leaves, which receive theirs together, at the end."""
    nodes = _recorded(root)
    for node in nodes:
        node.check()
    if root._node is None:
        _receive(root, gradient.copy())
        return
    # What has arrived so far, by the operation that made the tensor, or by the leaf itself.
    arrived: dict[Function | Tensor, Value] = {root._node: gradient}
    owned: set[Function | Tensor] = set()    # those whose gradient nobody else sees
    rectified: set[Function | Tensor] = set()    # those whose gradient is 0 where their result is not positive
    retained: list[tuple[Tensor, Array]] = []
    for node in nodes:
        grad = arrived.pop(node, None)
        if grad is not None:
            keeper = None if node.retainer is None else node.retainer()
            if keeper is not None:
                retained.append((keeper, np.array(plain(grad))))
            _pass_on(node, grad, arrived, owned, rectified)
        if not retain_graph:
            node.free()
    for leaf, grad in arrived.items():
        assert isinstance(leaf, Tensor)
        _receive(leaf, plain(grad))
    for keeper, grad in retained:
        _receive(keeper, grad)


def _pass_on(
    node: Function, grad: Value, arrived: dict[Function | Tensor, Value], owned: set[Function | Tensor],
    rectified: set[Function | Tensor],
) -> None:
    was_owned = node in owned
    gradients = node.gradients(grad, was_owned, node in rectified)
    for i, (source, mine) in enumerate(zip(node.inputs, gradients, strict=True)):
        if mine is None or source is None:
            continue
        key = source._node or source
        others = [g for j, g in enumerate(gradients) if j != i]
        alone = _is_whole(mine) and not _shares(mine, others if was_owned else [grad, *others])
        if not node.gives_rectified:
            rectified.discard(key)
        elif key not in arrived:
            rectified.add(key)
        if key in arrived:
            arrived[key] = _sum(arrived[key], mine, key in owned, alone)
            owned.add(key)
        elif key is source:
            # A leaf keeps its gradient, so it must not share memory with another's, nor hold more than it needs.
            array = plain(mine)
            kept = array is not mine or (alone and _has_all_its_memory(array))
            arrived[key] = array if kept else array.copy()
        else:
            arrived[key] = mine
            if alone:
                owned.add(key)


def _is_whole(value: Value) -> bool:
    """Whether every element has its own place, and may be written."""
    return isinstance(value, Blocked) or (value.flags.c_contiguous and value.flags.writeable)


def _has_all_its_memory(array: Array) -> bool:
    base = array.base
    return base is None or (isinstance(base, np.ndarray) and base.size == array.size)


def _shares(mine: Value, others: Sequence[Value | None]) -> bool:
    a = mine.array if isinstance(mine, Blocked) else mine
    for other in others:
        if other is not None and np.may_share_memory(a, other.array if isinstance(other, Blocked) else other):
            return True
    return False


def _receive(target: Tensor, grad: Array) -> None:
    target._grad = Tensor(grad if target._grad is None else np.asarray(target._grad.numpy() + grad))


# Tensor's methods call operations, operations are Functions, and Functions take and make Tensors. So this
# file and _tensor.py import what they need at their ends, when everything they may be asked for exists.
from fastconv._tensor import Tensor, as_tensor, result, tensor  # noqa: E402
