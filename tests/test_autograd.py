# mypy: disable-error-code="unreachable"
"""The tape: gradients of every operation, and what the tape refuses."""

from __future__ import annotations

import copy
import doctest
import inspect
import operator
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from gradients import check_gradients

from fastconv import _mode, _operands, _tensor, autograd, functions
from fastconv.autograd import Function, Tensor, as_tensor, enable_grad, is_grad_enabled, no_grad, tensor
from fastconv.nn import Parameter

MASK = np.array([[True, False, True, False], [False, True, True, False], [True, True, False, False]])

# One entry or more for every Function; the leaves are positive, away from 0 and all different.
OPERATIONS: dict[type[Function], list[tuple[Callable[..., Any], list[tuple[int, ...]]]]] = {
    functions.Add: [(lambda a, b: a + b, [(3, 4), (3, 4)]), (lambda a, b: a + b, [(3, 1), (2, 1, 4)]),
                    (lambda a: a + a + 2, [(3,)]), (lambda a, b: a + b, [(), (2, 2)])],
    functions.AddReLU: [(lambda a, b: functions.AddReLU()(a, b - 2.0), [(3, 4), (3, 4)])],
    functions.Subtract: [(lambda a, b: a - b, [(3, 4), (4,)]), (lambda a: 1 - a, [(2,)]),
                         (lambda a: np.ones(2) - a, [(2,)])],
    functions.Multiply: [(lambda a, b: a * b, [(3, 4), (3, 1)]), (lambda a: 3 * a * a, [(2, 2)])],
    functions.Divide: [(lambda a, b: a / b, [(3, 4), (4,)]), (lambda a: 2 / a, [(3,)])],
    functions.Power: [(lambda a: a ** 2, [(3,)]), (lambda a: a ** 0.5, [(3,)]),
                      (lambda a, b: a ** b, [(3,), (3,)]), (lambda a: 2.0 ** a, [(3,)])],
    functions.Negate: [(lambda a: -a, [(3,)])],
    functions.MatMul: [(lambda a, b: a @ b, [(3, 4), (4, 2)]), (lambda a, b: a @ b, [(4,), (4,)]),
                       (lambda a, b: a @ b, [(4,), (4, 2)]), (lambda a, b: a @ b, [(3, 4), (4,)]),
                       (lambda a, b: a @ b, [(5, 1, 3, 4), (2, 4, 2)]),
                       (lambda a, b: a @ b, [(2, 3, 4), (4,)]), (lambda a, b: a @ b, [(4,), (2, 4, 3)])],
    functions.Exp: [(lambda a: a.exp(), [(3,)])],
    functions.Log: [(lambda a: a.log(), [(3,)])],
    functions.ReLU: [(lambda a: (a - 1.0).relu(), [(3, 4)])],
    functions.Sigmoid: [(lambda a: (a - 1.0).sigmoid(), [(3, 4)])],
    functions.Tanh: [(lambda a: a.tanh(), [(3, 4)])],
    functions.Cast: [],  # float32 is too coarse for finite differences: test_gradient_of_a_conversion
    functions.Sum: [(lambda a: a.sum(), [(3, 4)]), (lambda a: a.sum(1), [(3, 4)]),
                    (lambda a: a.sum((0, -1), keepdim=True), [(2, 3, 4)])],
    functions.Mean: [(lambda a: a.mean(), [(3, 4)]), (lambda a: a.mean(-1, keepdim=True), [(3, 4)]),
                     (lambda a: a.mean((0, 2)), [(2, 3, 4)])],
    functions.Maximum: [(lambda a: a.max(), [(3, 4)])],
    functions.TakeAlong: [(lambda a: a.max(1)[0], [(3, 4)]),
                          (lambda a: a.max(0, keepdim=True).values, [(3, 4)])],
    functions.Reshape: [(lambda a: a.reshape(4, -1), [(3, 4)]), (lambda a: a.view((2, 6)), [(3, 4)]),
                        (lambda a: a.flatten(1), [(2, 3, 4)]), (lambda a: a.flatten(0, 1), [(2, 3, 4)]),
                        (lambda a: a.flatten(), [()])],
    functions.Permute: [
        (lambda a: a.permute(2, 0, 1), [(2, 3, 4)]), (lambda a: a.permute((-1, 0, 1)), [(2, 3, 4)]),
        (lambda a: a.transpose(0, -1), [(2, 3, 4)]),
    ],
    functions.Index: [
        (lambda a: a[1], [(3, 4)]), (lambda a: a[1:, ::-2], [(3, 4)]), (lambda a: a[..., None, 0], [(3, 4)]),
        (lambda a: a[[0, 0, 2]], [(3, 4)]), (lambda a: a[tensor([0, 0, 2])], [(3, 4)]),
        (lambda a: a[MASK], [(3, 4)]), (lambda a: a[tensor(MASK)], [(3, 4)]),
        (lambda a: a[np.arange(3), [1, 1, 3]], [(3, 4)]),
    ],
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
    defined = {c for _, c in inspect.getmembers(functions, inspect.isclass)
               if issubclass(c, Function) and c.__module__ == functions.__name__}
    assert defined == set(OPERATIONS)


@pytest.mark.parametrize(
    ("compute", "shapes"), [case for cases in OPERATIONS.values() for case in cases],
    ids=[f"{f.__name__}{i}" for f, cases in OPERATIONS.items() for i in range(len(cases))],
)
def test_gradient(compute: Callable[..., Tensor], shapes: list[tuple[int, ...]]) -> None:
    leaves = leaves_of(shapes)
    check_gradients(lambda: compute(*leaves), leaves)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_tensor_without_axes_keeps_its_type(dtype: Any) -> None:
    computations: list[Callable[[Tensor], Tensor]] = [
        lambda x: x ** 2, lambda x: 2 / (3 * x + 1), lambda x: x.exp() - x.log(), lambda x: x.relu(),
        lambda x: x.sigmoid() * x.tanh(), lambda x: x ** x, lambda x: x.sum() + x.mean() - x.max(),
    ]
    for compute in computations:
        x = tensor(np.array(0.5, dtype), requires_grad=True)
        y = compute(x)
        y.backward()
        assert x.grad is not None and y.dtype == x.grad.dtype == dtype


def test_gradient_of_a_conversion() -> None:
    x = tensor([1.0, 2.0], requires_grad=True)
    (x.double() * 3.0).sum().backward()
    assert x.grad is not None and x.grad.dtype == np.float32 and x.grad.tolist() == [3.0, 3.0]


# ---- Accumulation ----------------------------------------------------------------------------------------


def test_gradients_accumulate_and_are_not_shared() -> None:
    a, b = tensor([1.0, 2.0], requires_grad=True), tensor([3.0, 4.0], requires_grad=True)
    (a + b).backward(np.ones(2, np.float32))
    assert a.grad is not None and b.grad is not None
    assert not np.may_share_memory(a.grad.numpy(), b.grad.numpy())
    first = a.grad
    (a * 2.0).sum().backward()
    assert a.grad.tolist() == [3.0, 3.0]
    assert first.tolist() == [1.0, 1.0], "the tensor that was handed out has not changed"
    a.zero_grad()
    assert a.grad is None


def test_the_gradient_passed_to_backward_is_not_kept() -> None:
    a, gradient = tensor([1.0], requires_grad=True), np.ones(1, np.float32)
    a.reshape(1).backward(gradient)
    gradient[0] = 9
    assert a.grad is not None and a.grad.tolist() == [1.0]
    leaf = tensor([1.0], requires_grad=True)
    leaf.backward()
    assert leaf.grad is not None and leaf.grad.tolist() == [1.0]


def test_a_diamond_is_walked_once_per_operation() -> None:
    x = tensor(2.0, requires_grad=True)
    y = x * x
    for _ in range(60):
        y = (y + y) / 2.0  # 2**60 paths
    y.backward()
    assert x.grad is not None and x.grad.item() == 4.0


def test_sums_of_gradients_have_the_same_bits_every_time() -> None:
    rng = np.random.default_rng(0)
    data, factors = rng.normal(size=1000).astype(np.float32), rng.normal(size=(20, 1000)).astype(np.float32)

    def gradient() -> bytes:
        x = tensor(data, requires_grad=True)
        total = tensor(0.0)
        for factor in factors:
            total = total + (x * factor).sum()
        total.backward()
        assert x.grad is not None
        return x.grad.numpy().tobytes()

    assert len({gradient() for _ in range(5)}) == 1


def test_retain_grad_of_an_intermediate_result() -> None:
    x = tensor([1.0, 2.0], requires_grad=True)
    y = x * 3.0
    y.retain_grad()
    (y * y).sum().backward()
    assert y.grad is not None and y.grad.tolist() == [6.0, 12.0]
    with pytest.raises(RuntimeError, match="retain_grad"):
        tensor(1.0).retain_grad()


def test_long_chains_need_no_deep_stack() -> None:
    x = tensor(1.0, requires_grad=True)
    y = x
    for _ in range(20_000):
        y = y + 1.0
    y.backward()
    assert x.grad is not None and x.grad.item() == 1.0
    for _ in range(20_000):
        y = x + 0.0
    del y


def test_backward_frees_what_was_saved() -> None:
    x = tensor([1.0], requires_grad=True)
    y = x.exp()
    node = y.grad_fn
    assert node is not None and len(node.saved) == 1
    y.backward()
    assert len(node.saved) == len(node.inputs) == 0


# ---- What the tape refuses -------------------------------------------------------------------------------


def test_backward_twice() -> None:
    x = tensor(3.0, requires_grad=True)
    shared = x * x
    y = shared + 1.0
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad is not None and x.grad.item() == 12.0
    with pytest.raises(RuntimeError, match="retain_graph=True"):
        y.backward()
    with pytest.raises(RuntimeError, match="retain_graph=True"):
        (shared * 2.0).backward()
    assert x.grad.item() == 12.0


def test_backward_of_what_is_not_a_number() -> None:
    x = tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(RuntimeError, match=r"shape \(2,\).*\.sum\(\)"):
        (x * 2.0).backward()
    with pytest.raises(ValueError, match=r"gradient must have .* \(2,\), got \(3,\)"):
        (x * 2.0).backward(np.ones(3, np.float32))
    with pytest.raises(TypeError, match="gradient must have .* float32, got float64"):
        (x * 2.0).backward(np.ones(2))
    with pytest.raises(RuntimeError, match="nothing was recorded"):
        tensor([1.0]).backward()


def test_backward_after_a_parameter_changed() -> None:
    p = Parameter(np.ones(2, np.float32))
    loss = (p * p).sum()
    with p.writable() as a:
        a *= 2
    with pytest.raises(RuntimeError, match=r"changed between forward and backward.*optimizer\.step"):
        loss.backward()
    assert p.grad is None


def test_a_parameter_whose_value_is_not_needed_may_change() -> None:
    p = Parameter(np.ones(2, np.float32))
    loss = (p + 1.0).sum()
    p.data = np.zeros(2, np.float32)
    loss.backward()
    assert p.grad is not None and p.grad.tolist() == [1.0, 1.0]


def test_an_error_on_the_way_leaves_the_gradients_alone() -> None:
    class Broken(Function):
        def forward(self, x: Any) -> Any:
            return x + 1

        def backward(self, grad: Any) -> Any:
            return grad[:1]

    a, b = tensor([1.0, 2.0], requires_grad=True), tensor([1.0, 2.0], requires_grad=True)
    loss = (Broken()(a) + b).sum()
    with pytest.raises(RuntimeError, match=r"Broken\.backward returned float32 \(1,\)"):
        loss.backward()
    assert a.grad is None and b.grad is None


def test_recorded_values_are_read_only() -> None:
    x = tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(ValueError, match="read-only"):
        x.exp().numpy()[0] = 5
    with no_grad():
        x.exp().numpy()[0] = 5


@pytest.mark.parametrize("other", [np.ones(2), tensor([1.0, 2.0], np.float64)])
def test_float32_and_float64_never_mix(other: Any) -> None:
    x = tensor([1.0, 2.0])
    for operation in (operator.add, operator.sub, operator.mul, operator.truediv, operator.pow, operator.lt):
        for operands in ((x, other), (other, x)):
            with pytest.raises(TypeError, match=r"float32.*float64|float64.*float32"):
                operation(*operands)


@pytest.mark.parametrize("value", [[1.0], None, "1", 1.0, np.ma.masked_array([1.0], [True]), np.array(["a"]),
                                   np.array([1j]), np.array([None]), np.zeros(1, [("a", "f4")])], ids=repr)
def test_what_is_no_tensor_nor_array(value: Any) -> None:
    with pytest.raises(TypeError, match="weights"):
        as_tensor(value, "weights")
    with pytest.raises(TypeError):
        Tensor(value)


def test_masked_arrays_are_refused_everywhere() -> None:
    with pytest.raises(TypeError, match="MaskedArray"):
        tensor(np.ma.masked_array([1.0], [True]))


def test_only_floats_require_gradients() -> None:
    with pytest.raises(TypeError, match="float32 or float64 tensor, got int64"):
        tensor([1, 2], requires_grad=True)
    x = tensor([1.0], requires_grad=True) * 2.0
    with pytest.raises(RuntimeError, match="leaf"):
        x.requires_grad_(False)


# ---- Grad mode -------------------------------------------------------------------------------------------


def reshape_without_grad(x: Tensor) -> Tensor:
    with no_grad():
        return x.reshape(2)


def test_no_grad() -> None:
    x = tensor(1.0, requires_grad=True)
    with no_grad():
        assert not is_grad_enabled()
        assert (x * 2.0).is_leaf
        with enable_grad():
            assert (x * 2.0).requires_grad
        assert not (x * 2.0).requires_grad
    assert is_grad_enabled()

    @no_grad()
    def compute(depth: int) -> Tensor:
        assert not is_grad_enabled()
        return compute(depth - 1) if depth else x * 2.0

    assert not compute(3).requires_grad
    with pytest.raises(ValueError):
        reshape_without_grad(x)
    assert is_grad_enabled()


def test_no_grad_holds_for_its_thread() -> None:
    seen: list[bool] = []
    with no_grad():
        thread = threading.Thread(target=lambda: seen.append(is_grad_enabled()))
        thread.start()
        thread.join()
    assert seen == [True]


# ---- Tensor ----------------------------------------------------------------------------------------------


def test_element_types() -> None:
    assert tensor(1.5).dtype == tensor([[1.5]]).dtype == np.float32
    assert tensor([1, 2]).dtype == np.int64
    assert tensor([True]).dtype == np.bool_
    assert tensor(np.zeros(2)).dtype == np.float64
    assert tensor([1, 2], np.float64).dtype == np.float64
    x = tensor([1.0])
    for y in (x + 1, x * 2.5, x * np.float64(2), x * np.float32(2), x / 3, x ** 2, x + np.array([1]),
              x * np.array([True])):
        assert y.dtype == np.float32
    assert (tensor([1]) / 2).dtype == (tensor([1]) * 0.5).dtype == np.float32
    assert (tensor([1]) + 2).dtype == np.int64
    assert (tensor([True]) + 2).tolist() == [3]
    assert tensor(np.zeros(2)).float().dtype == x.float().dtype == np.float32
    assert x.double().dtype == np.float64
    assert x.astype(np.int64).dtype == np.int64


def test_tensor_copies_and_as_tensor_shares() -> None:
    a = np.zeros(2)
    assert not np.may_share_memory(tensor(a).numpy(), a)
    assert np.may_share_memory(as_tensor(a).numpy(), a)
    assert np.may_share_memory(tensor(a).detach().numpy(), a) is False
    x = as_tensor(a)
    assert as_tensor(x) is x and x.detach() is not x


def test_conversions() -> None:
    x = tensor([[1.0, 2.0], [3.0, 4.0]])
    assert x.shape == x.size() == (2, 2) and x.size(0) == len(x) == 2
    assert x.ndim == x.dim() == 2 and x.numel() == 4
    assert [row.tolist() for row in x] == [[1.0, 2.0], [3.0, 4.0]]
    assert tensor(2.5).item() == float(tensor(2.5)) == 2.5 and int(tensor(2)) == 2
    assert f"{tensor(2.5):.2f}" == "2.50" and bool(tensor(1.0))
    with pytest.raises(TypeError):
        len(tensor(1.0))
    with pytest.raises(ValueError):
        bool(x)


def test_array_protocol() -> None:
    x = tensor([1.0, 2.0])
    assert np.asarray(x) is x.numpy()
    assert np.asarray(x, np.float64).dtype == np.float64
    assert not np.may_share_memory(np.array(x), x.numpy())
    assert x.__array__(copy=True) is not x.numpy()
    with pytest.raises(ValueError, match="copy"):
        x.__array__(np.float64, copy=False)
    with pytest.raises(TypeError):
        np.exp(x)  # would lose the tape


def test_comparisons_and_argmax() -> None:
    x = tensor([[1.0, 5.0], [7.0, 3.0]])
    assert (x > 3).tolist() == [[False, True], [True, False]]
    assert (x == np.float32(3)).tolist() == [[False, False], [False, True]]
    assert (x != 3).tolist() == [[True, True], [True, False]]
    assert (x <= 5).tolist() == [[True, True], [False, True]]
    assert (x >= 5).tolist() == [[False, True], [True, False]]
    assert (x < 2).tolist() == [[True, False], [False, False]]
    assert x.argmax().item() == 2
    assert x.argmax(1).tolist() == [1, 0] and x.argmax(0, keepdim=True).tolist() == [[1, 0]]
    accuracy = (x.argmax(1) == np.array([1, 1])).float().mean()
    assert accuracy.item() == 0.5
    values, indices = x.max(1)
    assert values.tolist() == [5.0, 7.0] and indices.tolist() == [1, 0]
    assert x.max(dim=1).indices.tolist() == [1, 0]


def test_equal_maxima_share_the_gradient() -> None:
    x = tensor([1.0, 3.0, 3.0, 2.0], requires_grad=True)
    x.max().backward()
    assert x.grad is not None and x.grad.tolist() == [0.0, 0.5, 0.5, 0.0]


def test_sums_are_accurate() -> None:
    x = np.full((100_000, 3), 0.1, np.float32)
    exact = 100_000 * float(np.float32(0.1))
    np.testing.assert_allclose(tensor(x).sum(0).numpy(), exact, rtol=1e-7)
    np.testing.assert_allclose(tensor(x).mean().item(), np.float32(0.1), rtol=1e-7)
    bias = tensor(np.zeros(3, np.float32), requires_grad=True)
    (bias + x).backward(x)
    assert bias.grad is not None
    np.testing.assert_allclose(bias.grad.numpy(), exact, rtol=1e-7)


def test_relu_keeps_nan_and_sigmoid_does_not_overflow() -> None:
    x = tensor([np.nan, -1.0, 0.0, 2.0], requires_grad=True)
    y = x.relu()
    np.testing.assert_array_equal(y.numpy(), [np.nan, 0, 0, 2])
    y.backward(np.array([1, 1, 1, np.inf], np.float32))
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad.numpy(), [1, 0, 0, np.inf])
    with np.errstate(all="raise", under="ignore"):
        np.testing.assert_array_equal(tensor([-1e4, 0.0, 1e4]).sigmoid().numpy(), [0, 0.5, 1])


def test_power_at_zero() -> None:
    x = tensor([0.0, 2.0], requires_grad=True)
    (x ** 2).sum().backward()
    assert x.grad is not None and x.grad.tolist() == [0.0, 4.0]
    x.zero_grad()
    (x ** 0).sum().backward()
    assert x.grad is not None and x.grad.tolist() == [0.0, 0.0]


def test_matmul_has_the_same_bits_for_any_batch() -> None:
    rng = np.random.default_rng(0)
    a, b = (tensor(rng.normal(size=s).astype(np.float32)) for s in ((7, 33), (33, 5)))
    whole = (a @ b).numpy()
    for i in range(7):
        np.testing.assert_array_equal((a[i:i + 1] @ b).numpy()[0], whole[i])
    with pytest.raises(ValueError):
        a @ a
    assert (tensor([[1, 2]]) @ tensor([[3], [4]])).tolist() == [[11]]


def test_bad_shapes() -> None:
    with pytest.raises(ValueError):
        tensor([1.0, 2.0]).reshape(3)
    with pytest.raises(ValueError, match="start_dim"):
        tensor([[1.0]]).flatten(1, 0)
    with pytest.raises(TypeError, match="mean"):
        tensor([1]).mean()
    with pytest.raises(TypeError):
        tensor([1.0]) + "1"


def test_in_place_operators_make_new_tensors() -> None:
    x = y = tensor([1.0])
    y += 1.0
    assert x.tolist() == [1.0] and y.tolist() == [2.0]


def test_repr() -> None:
    assert repr(tensor([1, 2])) == "tensor([1, 2])"
    assert repr(tensor([1.0], np.float64)) == "tensor([1.], dtype=float64)"
    x = tensor([1.0], requires_grad=True)
    assert repr(x) == "tensor([1.], requires_grad=True)"
    assert repr(x + 1) == "tensor([2.], grad_fn=<Add>)"


def test_copies() -> None:
    x = tensor([1.0, 2.0], requires_grad=True)
    for twin in (copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert twin.tolist() == [1.0, 2.0] and twin.requires_grad
        assert not np.may_share_memory(twin.numpy(), x.numpy())
    with pytest.raises(RuntimeError, match="detach"):
        copy.deepcopy(x * 2.0)
    with pytest.raises(RuntimeError, match="detach"):
        pickle.dumps(x * 2.0)


@pytest.mark.parametrize("module", ["fastconv.autograd", "fastconv._tensor", "fastconv.functions",
                                    "fastconv.nn", "fastconv.optim", "fastconv.reference", "fastconv.random"])
def test_any_module_may_be_imported_first_and_brings_in_nothing(module: str) -> None:
    script = f"""
import numpy, sys
before = set(sys.modules)
import {module}
new = {{name.partition(".")[0] for name in set(sys.modules) - before}}
print(*(name for name in new - set(sys.stdlib_module_names) if "cython" not in name))
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["fastconv"]


@pytest.mark.parametrize("module", [autograd, _mode, _operands, _tensor, functions], ids=lambda m: m.__name__)
def test_doctests(module: Any) -> None:
    assert doctest.testmod(module).failed == 0
