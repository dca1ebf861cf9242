# mypy: disable-error-code="unreachable"
"""What tensors can do: the gradient of every operation, values, and what is refused."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from gradients import check_gradients

import fastconv
from fastconv import functions
from fastconv._core import Blocked, block
from fastconv.autograd import Function, Tensor, tensor
from fastconv.functions import (
    arithmetic,
    comparison,
    elementwise,
    extrema,
    indexing,
    joining,
    padding,
    product,
    reductions,
)
from fastconv.functions import shape as shapes_

MASK = np.array([[True, False, True, False], [False, True, True, False], [True, True, False, False]])
MODULES = [
    importlib.import_module(f"fastconv.functions.{m.name}") for m in pkgutil.iter_modules(functions.__path__)
]


class ToBlocks(Function):
    """The same images in the native layout, as a convolution returns them."""

    native = True

    def forward(self, x: Any) -> Any:
        return block(x)

    def backward(self, grad: Any) -> Any:
        assert isinstance(grad, Blocked)
        return grad.plain()


def native(x: Tensor) -> Tensor:
    return ToBlocks()(x)


# One entry or more for every Function; the leaves are positive, away from 0 and all different.
OPERATIONS: dict[type[Function], list[tuple[Callable[..., Any], list[tuple[int, ...]]]]] = {
    arithmetic.Add: [(lambda a, b: a + b, [(3, 4), (3, 4)]), (lambda a, b: a + b, [(3, 1), (2, 1, 4)]),
                    (lambda a: a + a + 2, [(3,)]), (lambda a, b: a + b, [(), (2, 2)]),
        (lambda a, b: a.add(b, alpha=3), [(2, 3), (3,)]), (lambda a: a.sub(np.ones(3), alpha=2.0), [(2, 3)]),
    ],
    arithmetic.AddReLU: [(lambda a, b: arithmetic.AddReLU()(a, b - 2.0), [(3, 4), (3, 4)])],
    arithmetic.Subtract: [(lambda a, b: a - b, [(3, 4), (4,)]), (lambda a: 1 - a, [(2,)]),
                         (lambda a: np.ones(2) - a, [(2,)])],
    arithmetic.Multiply: [(lambda a, b: a * b, [(3, 4), (3, 1)]), (lambda a: 3 * a * a, [(2, 2)])],
    arithmetic.Divide: [(lambda a, b: a / b, [(3, 4), (4,)]), (lambda a: 2 / a, [(3,)])],
    arithmetic.Power: [(lambda a: a ** 2, [(3,)]), (lambda a: a ** 0.5, [(3,)]),
                      (lambda a, b: a ** b, [(3,), (3,)]), (lambda a: 2.0 ** a, [(3,)])],
    arithmetic.Negate: [(lambda a: -a, [(3,)])],
    product.MatMul: [(lambda a, b: a @ b, [(3, 4), (4, 2)]), (lambda a, b: a @ b, [(4,), (4,)]),
                       (lambda a, b: a @ b, [(4,), (4, 2)]), (lambda a, b: a @ b, [(3, 4), (4,)]),
                       (lambda a, b: a @ b, [(5, 1, 3, 4), (2, 4, 2)]),
                       (lambda a, b: a @ b, [(2, 3, 4), (4,)]), (lambda a, b: a @ b, [(4,), (2, 4, 3)]),
        (lambda a, b: fastconv.matmul(a, b), [(2, 3, 4), (4, 2)]), (lambda a, b: a @ b, [(4,), (5, 2, 4, 2)]),
        (lambda a, b: a @ b, [(2, 3, 4), (2, 4, 5)]), (lambda a, b: a.transpose(-1, -2) @ b, [(2, 4, 3), (1, 4, 2)]),
    ],
    elementwise.Exp: [(lambda a: a.exp(), [(3,)])],
    elementwise.Log: [(lambda a: a.log(), [(3,)]),
        (lambda a: fastconv.log(a * 2.0), [(2, 3)]),
    ],
    elementwise.ReLU: [(lambda a: (a - 1.0).relu(), [(3, 4)])],
    elementwise.Sigmoid: [(lambda a: (a - 1.0).sigmoid(), [(3, 4)])],
    elementwise.Tanh: [(lambda a: a.tanh(), [(3, 4)])],
    elementwise.Cast: [],  # float32 is too coarse for finite differences: test_gradient_of_a_conversion
    reductions.Sum: [(lambda a: a.sum(), [(3, 4)]), (lambda a: a.sum(1), [(3, 4)]),
                    (lambda a: a.sum((0, -1), keepdim=True), [(2, 3, 4)])],
    reductions.Mean: [(lambda a: a.mean(), [(3, 4)]), (lambda a: a.mean(-1, keepdim=True), [(3, 4)]),
                     (lambda a: a.mean((0, 2)), [(2, 3, 4)])],
    extrema.SharedExtremum: [(lambda a: a.max(), [(3, 4)]),
        (lambda a: a.min(), [(3, 4)]), (lambda a: a.amax((0, 2)), [(2, 3, 2)]),
        (lambda a: a.amin(-1, keepdim=True), [(3, 4)]), (lambda a: a.norm(np.inf, 1), [(3, 4)]),
        (lambda a: a.amax(0), [()]),
    ],
    extrema.FirstExtremum: [(lambda a: a.max(1)[0], [(3, 4)]),
                          (lambda a: a.max(0, keepdim=True).values, [(3, 4)]),
        (lambda a: a.min(-2).values, [(3, 4)]), (lambda a: a.max(-1).values, [()]),
    ],
    shapes_.Reshape: [(lambda a: a.reshape(4, -1), [(3, 4)]), (lambda a: a.view((2, 6)), [(3, 4)]),
                        (lambda a: a.flatten(1), [(2, 3, 4)]), (lambda a: a.flatten(0, 1), [(2, 3, 4)]),
                        (lambda a: a.flatten(), [()]),
        (lambda a: a.squeeze(1).unsqueeze(-1), [(2, 1, 3)]), (lambda a: a.squeeze((0, 2)), [(1, 2, 1)]),
    ],
    shapes_.Permute: [
        (lambda a: a.permute(2, 0, 1), [(2, 3, 4)]), (lambda a: a.permute((-1, 0, 1)), [(2, 3, 4)]),
        (lambda a: a.transpose(0, -1), [(2, 3, 4)]),
    ],
    indexing.Index: [
        (lambda a: a[1], [(3, 4)]), (lambda a: a[1:, ::-2], [(3, 4)]), (lambda a: a[..., None, 0], [(3, 4)]),
        (lambda a: a[[0, 0, 2]], [(3, 4)]), (lambda a: a[tensor([0, 0, 2])], [(3, 4)]),
        (lambda a: a[MASK], [(3, 4)]), (lambda a: a[tensor(MASK)], [(3, 4)]),
        (lambda a: a[np.arange(3), [1, 1, 3]], [(3, 4)]),
        (lambda a: a.flip(0), [(3, 4)]), (lambda a: a.flip((0, -1)), [(3, 4)]),
        (lambda a: a.index_select(1, np.array([3, 0, 3])), [(3, 4)]), (lambda a: a.narrow(-1, 1, 2), [(3, 4)]),
        (lambda a: a.select(1, -1), [(3, 4)]), (lambda a: a.split(2)[1], [(3, 4)]),
        (lambda a: a.split([1, 3], -1)[1], [(3, 4)]), (lambda a: a.chunk(3, 1)[2], [(3, 5)]),
        (lambda a: a.unbind(1)[2], [(3, 4)]), (lambda a: fastconv.cat(a[:, [0, 0, 1]].chunk(2, 1), 1), [(3, 4)]),
    ],
    arithmetic.Maximum: [(lambda a, b: a.maximum(b), [(3, 4), (4,)]), (lambda a: a.maximum(1.0), [(3, 4)]),
                         (lambda a, b: fastconv.max(a, b), [(3, 1), (4,)])],
    arithmetic.Minimum: [(lambda a, b: a.minimum(b), [(3, 4), (3, 1)]), (lambda a: fastconv.minimum(a, 1), [(3, 4)])],
    comparison.Where: [
        (lambda a, b: fastconv.where(MASK, a, b), [(3, 4), (4,)]),
        (lambda a: fastconv.where(a > 1.0, a * a, 2), [(5,)]),
        (lambda a: fastconv.where(MASK, 0.5, a), [(4,)]), (lambda a, b: fastconv.where(MASK[:, :1], a, b), [(), (4,)]),
        (lambda a: a.masked_fill(MASK, -1.0), [(3, 4)]), (lambda a, b: a.masked_fill(MASK[0], b), [(3, 4), ()]),
    ],
    elementwise.Log1p: [(lambda a: a.log1p(), [(3,)])],
    elementwise.Sqrt: [(lambda a: a.sqrt(), [(3, 2)])],
    elementwise.Abs: [(lambda a: (a - 1.0).abs(), [(3, 4)]), (lambda a: (1.0 - a).norm(1), [(3, 4)])],
    elementwise.Clamp: [(lambda a: a.clamp(0.7, 1.4), [(3, 4)]), (lambda a: a.clamp(min=1), [(3, 4)]),
                        (lambda a: fastconv.clamp(a, max=1.1), [(3, 4)])],
    elementwise.Clone: [(lambda a: a.clone() * a, [(3, 4)])],
    reductions.Variance: [
        (lambda a: a.var(), [(3, 4)]), (lambda a: a.var(1), [(3, 4)]),
        (lambda a: a.var((0, -1), correction=0), [(2, 3, 4)]),
        (lambda a: a.var(0, keepdim=True, unbiased=False), [(3, 4)]),
    ],
    reductions.Deviation: [(lambda a: a.std(), [(3, 4)]), (lambda a: a.std(0, keepdim=True), [(3, 4)]),
                           (lambda a: a.std((0, 2), correction=0.5), [(2, 3, 4)])],
    reductions.Product: [
        (lambda a: a.prod(), [(2, 3)]), (lambda a: a.prod(1), [(3, 4)]), (lambda a: a.prod(0, keepdim=True), [(3, 1)]),
        (lambda a: (a * MASK).prod(1), [(3, 4)]), (lambda a: (a * MASK[:, :3]).prod(-2), [(3, 3)]),
        (lambda a: a.prod(0), [()]),
    ],
    reductions.CumulativeSum: [(lambda a: a.cumsum(1), [(3, 4)]), (lambda a: a.cumsum(-3), [(3, 4, 2)]),
                               (lambda a: a.cumsum(0), [()])],
    reductions.Norm: [
        (lambda a: a.norm(), [(3, 4)]), (lambda a: a.norm(2, 1), [(3, 4)]), (lambda a: a.norm(1, (0, 1)), [(3, 4)]),
        (lambda a: (a - 1.0).norm(3, 0, keepdim=True), [(3, 4)]), (lambda a: (a - 1.0).norm(0.5, 1), [(3, 4)]),
    ],
    shapes_.Expand: [(lambda a: a.expand(3, -1), [(1, 4)]), (lambda a: a.broadcast_to((2, 3, 4)), [(3, 1)]),
                   (lambda a: a.expand(2, 2), [()])],
    shapes_.Repeat: [(lambda a: a.repeat(2, 3), [(3, 4)]), (lambda a: a.repeat((2, 1, 2)), [(3, 4)]),
                   (lambda a: a.repeat(3), [()])],
    shapes_.Roll: [(lambda a: a.roll(2), [(3, 4)]), (lambda a: a.roll(-1, 1), [(3, 4)]),
                 (lambda a: a.roll((1, 5), (0, -1)), [(3, 4)])],
    indexing.Gather: [
        (lambda a: a.gather(1, np.array([[0, 0, 3], [1, 2, 1]])), [(3, 4)]),
        (lambda a: a.gather(0, np.array([[2, 2, 2, 0]])), [(3, 4)]),
        (lambda a: a.gather(-1, np.zeros((2, 1, 5), int)), [(2, 3, 2)]), (lambda a: a.gather(0, np.array(0)), [()]),
    ],
    indexing.BlockIndex: [(lambda a: native(a)[:, 16:], [(1, 32, 1, 2)]),
                          (lambda a: native(a)[1:, :16, 1:], [(2, 32, 2, 1)]),
                          (lambda a: native(a).chunk(2, 1)[0], [(1, 32, 1, 2)])],
    joining.Concatenation: [
        (lambda a, b: fastconv.cat([a, b]), [(3, 4), (2, 4)]),
        (lambda a, b: fastconv.cat((a, b, a), -1), [(3, 4), (3, 1)]),
        (lambda a: fastconv.cat([np.ones((3, 2)), a], 1), [(3, 4)]),
        (lambda a, b: fastconv.cat([native(a), native(b)], 1), [(1, 16, 1, 2), (1, 32, 1, 2)]),
        (lambda a, b: fastconv.cat([native(a), native(b)], -1), [(1, 16, 1, 2), (1, 16, 1, 1)]),
        (lambda a, b: fastconv.cat([native(a), b], 1), [(1, 16, 1, 2), (1, 3, 1, 2)]),
    ],
    joining.Stack: [(lambda a, b: fastconv.stack([a, b]), [(3, 4), (3, 4)]),
                    (lambda a: fastconv.stack((a, a * a, a), -1), [(3, 4)]), (lambda a: fastconv.stack([a, a]), [()])],
    padding.Pad: [(lambda a: a.pad((1, 2)), [(3, 4)]), (lambda a: a.pad((1, 2, 0, 1), "reflect"), [(3, 4)]),
                  (lambda a: fastconv.pad(a, (-1, 1), value=3.0), [(3, 4)])],
}


def leaves_of(shapes: list[tuple[int, ...]]) -> list[Tensor]:
    rng = np.random.default_rng(0)
    total = sum(int(np.prod(shape)) for shape in shapes)
    values = rng.permutation(np.linspace(0.31, 1.87, max(total, 2)))
    leaves, start = [], 0
    for shape in shapes:
        size = int(np.prod(shape))
        leaves.append(tensor(values[start:start + size].reshape(shape), requires_grad=True))
        start += size
    return leaves


def test_every_operation_has_an_entry() -> None:
    defined = {c for m in MODULES for _, c in inspect.getmembers(m, inspect.isclass)
               if issubclass(c, Function) and c.__module__ == m.__name__}
    assert defined - {reductions.Reduction} == set(OPERATIONS)


@pytest.mark.parametrize(
    ("compute", "shapes"), [case for cases in OPERATIONS.values() for case in cases],
    ids=[f"{f.__name__}{i}" for f, cases in OPERATIONS.items() for i in range(len(cases))],
)
def test_gradient(compute: Callable[..., Tensor], shapes: list[tuple[int, ...]]) -> None:
    leaves = leaves_of(shapes)
    check_gradients(lambda: compute(*leaves), leaves)


@pytest.mark.parametrize("module", MODULES, ids=lambda m: m.__name__)
def test_doctests(module: Any) -> None:
    assert doctest.testmod(module).failed == 0


# ---- Values ----------------------------------------------------------------------------------------------

# A function of tensors and its twin on arrays, which computes in float64.
TWINS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "add": (lambda x, y: fastconv.add(x, y, alpha=2), lambda x, y: x + 2 * y),
    "sub": (lambda x, y: fastconv.sub(x, y, alpha=2), lambda x, y: x - 2 * y),
    "mul": (fastconv.mul, np.multiply), "div": (fastconv.div, np.divide),
    "neg": (lambda x, y: fastconv.neg(x), lambda x, y: -x),
    "pow": (lambda x, y: fastconv.pow(x.abs(), y), lambda x, y: np.abs(x) ** y),
    "maximum": (fastconv.maximum, np.maximum), "minimum": (fastconv.minimum, np.minimum),
    "matmul": (lambda x, y: fastconv.matmul(x, y.unsqueeze(-1)), lambda x, y: x @ y[:, None]),
    "eq": (fastconv.eq, np.equal), "ne": (fastconv.ne, np.not_equal), "lt": (fastconv.lt, np.less),
    "le": (fastconv.le, np.less_equal), "gt": (fastconv.gt, np.greater), "ge": (fastconv.ge, np.greater_equal),
    "where": (lambda x, y: fastconv.where(x > y, x, y * 2), lambda x, y: np.where(x > y, x, y * 2)),
    "masked_fill": (lambda x, y: x.masked_fill(y > 0, -9), lambda x, y: np.where(y > 0, -9, x)),
    "exp": (lambda x, y: fastconv.exp(x), lambda x, y: np.exp(x)),
    "log": (lambda x, y: fastconv.log(x * x), lambda x, y: np.log(x * x)),
    "log1p": (lambda x, y: fastconv.log1p(x * x), lambda x, y: np.log1p(x * x)),
    "sqrt": (lambda x, y: fastconv.sqrt(x * x), lambda x, y: np.abs(x)),
    "square": (lambda x, y: fastconv.square(x), lambda x, y: x * x),
    "clamp": (lambda x, y: fastconv.clamp(x, -0.5, 0.5), lambda x, y: np.clip(x, -0.5, 0.5)),
    "sigmoid": (lambda x, y: fastconv.sigmoid(x), lambda x, y: 1 / (1 + np.exp(-x))),
    "tanh": (lambda x, y: fastconv.tanh(x), lambda x, y: np.tanh(x)),
    "sum": (lambda x, y: x.sum((0, 2)), lambda x, y: x.sum((0, 2))),
    "mean": (lambda x, y: x.mean(-1, keepdim=True), lambda x, y: x.mean(-1, keepdims=True)),
    "var": (lambda x, y: x.var((0, 1)), lambda x, y: x.var((0, 1), ddof=1)),
    "std": (lambda x, y: x.std(correction=0), lambda x, y: x.std()),
    "prod": (lambda x, y: x.prod(1), lambda x, y: x.prod(1)),
    "cumsum": (lambda x, y: x.cumsum(1), lambda x, y: x.cumsum(1)),
    "norm": (lambda x, y: x.norm(3, 1), lambda x, y: (np.abs(x) ** 3).sum(1) ** (1 / 3)),
    "max": (lambda x, y: x.max(1).values, lambda x, y: x.max(1)), "min": (lambda x, y: x.min(), lambda x, y: x.min()),
    "argmax": (lambda x, y: x.argmax(2), lambda x, y: x.argmax(2)),
    "argmin": (lambda x, y: x.argmin(), lambda x, y: x.argmin()),
    "amax": (lambda x, y: x.amax((0, 1)), lambda x, y: x.max((0, 1))),
    "amin": (lambda x, y: x.amin(0), lambda x, y: x.min(0)),
    "flatten": (lambda x, y: x.flatten(1), lambda x, y: x.reshape(2, 12)),
    "permute": (lambda x, y: x.permute(2, 0, 1), lambda x, y: x.transpose(2, 0, 1)),
    "transpose": (lambda x, y: x.transpose(0, -1), lambda x, y: x.swapaxes(0, -1)),
    "broadcast_to": (lambda x, y: y.expand(2, 3, -1), lambda x, y: np.broadcast_to(y, (2, 3, 4))),
    "repeat": (lambda x, y: x.repeat(2, 1, 1, 3), lambda x, y: np.tile(x, (2, 1, 1, 3))),
    "flip": (lambda x, y: x.flip(0, 2), lambda x, y: np.flip(x, (0, 2))),
    "roll": (lambda x, y: x.roll((1, -1), (0, 2)), lambda x, y: np.roll(x, (1, -1), (0, 2))),
    "gather": (lambda x, y: x.gather(2, x.argmax(2, keepdim=True)), lambda x, y: x.max(2, keepdims=True)),
    "index_select": (lambda x, y: x.index_select(1, np.array([2, 2, 0])), lambda x, y: x[:, [2, 2, 0]]),
    "narrow": (lambda x, y: x.narrow(2, -3, 2), lambda x, y: x[..., 1:3]),
    "cat": (lambda x, y: fastconv.cat([x, x[:, :1]], 1), lambda x, y: np.concatenate([x, x[:, :1]], 1)),
    "stack": (lambda x, y: fastconv.stack([x, x + y], 2), lambda x, y: np.stack([x, x + y], 2)),
    "split": (lambda x, y: x.split([1, 3], -1)[1], lambda x, y: x[..., 1:]),
    "chunk": (lambda x, y: x.chunk(2, 1)[0], lambda x, y: x[:, :2]),
    "unbind": (lambda x, y: x.unbind(1)[2], lambda x, y: x[:, 2]),
    "select": (lambda x, y: x.select(1, -1), lambda x, y: x[:, -1]),
    "pad": (lambda x, y: x.pad((1, 2, 0, 1)), lambda x, y: np.pad(x, ((0, 0), (0, 1), (1, 2)))),
}  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("name", TWINS)
def test_values(name: str, dtype: Any) -> None:
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(2, 3, 4)).astype(dtype), rng.normal(size=4).astype(dtype)
    mine, twin = TWINS[name]
    found, expected = mine(tensor(x), tensor(y)), twin(x.astype(np.float64), y.astype(np.float64))
    assert found.shape == expected.shape
    assert found.dtype == (dtype if expected.dtype.kind == "f" else expected.dtype)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12 if dtype == np.float64 else 2e-6, atol=1e-6)



def test_methods_are_the_functions_of_the_package() -> None:
    assert set(functions.__all__) <= set(fastconv.__all__)
    for name in functions.__all__:
        assert getattr(fastconv, name) is getattr(functions, name)
        method = inspect.getattr_static(Tensor, name, None)
        assert method is None or method is getattr(functions, name), name
        assert getattr(functions, name).__doc__, name


def test_arrays_are_taken_as_they_are() -> None:
    a = np.arange(24.0).reshape(2, 3, 4).transpose(2, 0, 1)[::-1]
    a.flags.writeable = False
    for y, expected in (
        (fastconv.sum(a, 1), a.sum(1)), (fastconv.cat([a, a], -1), np.concatenate([a, a], -1)),
        (fastconv.max(a, 0).values, a.max(0)), (fastconv.reshape(a, -1), a.reshape(-1)), (fastconv.abs(a), a),
        (fastconv.flip(a, 0), a[::-1]), (fastconv.where(a > 3, a, 0), np.where(a > 3, a, 0)),
        (fastconv.matmul(a, a.swapaxes(1, 2)), a @ a.swapaxes(1, 2)),
    ):
        assert isinstance(y, Tensor)
        np.testing.assert_array_equal(y.numpy(), expected)


def test_views_copy_nothing() -> None:
    x = tensor(np.zeros((4, 1, 6)))
    for y in (x.reshape(2, 12), x.permute(2, 0, 1), x.transpose(0, 2), x.squeeze(1), x.unsqueeze(0), x.flip(0),
              x.narrow(0, 1, 2), x.expand(4, 5, 6), x.split(2)[1], x.unbind(2)[0], x.flatten(), x[1:], x.detach()):
        assert np.may_share_memory(y.numpy(), x.numpy())
    assert not np.may_share_memory(x.clone().numpy(), x.numpy())


def test_norms_do_not_overflow() -> None:
    assert tensor(np.array([3e200, 4e200])).norm().item() == pytest.approx(5e200)
    assert tensor(np.array([3e-200, 4e-200])).norm().item() == pytest.approx(5e-200)
    x = tensor(np.array([3e30, 4e30], np.float32), requires_grad=True)
    x.norm().backward()
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), [0.6, 0.8], rtol=1e-6)


def test_a_variance_far_from_zero() -> None:
    x = tensor((np.arange(5) + 1e6).astype(np.float32))
    assert x.var().item() == 2.5 and x.std(correction=0).item() == np.float32(np.sqrt(2))


def test_operators_of_booleans() -> None:
    a, b = tensor([True, True, False]), tensor([True, False, False])
    assert (a & b).tolist() == [True, False, False] and (a | b).tolist() == [True, True, False]
    assert (~a).tolist() == [False, False, True] and abs(tensor([-1.0])).tolist() == [1.0]
    assert a.all().item() is False and a.any().item() is True


def test_gathered_elements_are_added_up_exactly() -> None:
    x = tensor(np.zeros((3, 2), np.float32), requires_grad=True)
    index = np.zeros((10_000, 2), int)
    x[index[:, 0]].sum().backward()
    x.gather(0, tensor(np.zeros((3, 2), int))).backward(np.ones((3, 2), np.float32))
    assert x.grad is not None and x.grad.tolist() == [[10_003, 10_003], [0, 0], [0, 0]]
