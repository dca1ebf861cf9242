# mypy: disable-error-code="arg-type, unreachable"
"""Optimisers: the formulas written out in float64, and what a state dict keeps."""

from __future__ import annotations

import copy
import doctest
import importlib
import math
import pickle
import pkgutil
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fastconv import nn, optim
from fastconv.autograd import is_grad_enabled, no_grad, tensor

Array = np.ndarray[Any, Any]

# Two of the core's pieces and a bit, so that the seams between pieces are in the test.
SIZE = 2 * 32768 + 3

OPTIONS: list[tuple[type[optim.Optimizer], dict[str, Any]]] = [
    (optim.SGD, dict(lr=0.1)),
    (optim.SGD, dict(lr=0.1, momentum=0.9)),
    (optim.SGD, dict(lr=0.1, momentum=0.9, dampening=0.3, weight_decay=0.01, maximize=True)),
    (optim.SGD, dict(lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1)),
    (optim.Adam, dict(lr=0.01)),
    (optim.Adam, dict(lr=0.01, betas=(0.5, 0.8), eps=1e-3, weight_decay=0.1, maximize=True)),
    (optim.Adam, dict(lr=0.01, amsgrad=True)),
    (optim.AdamW, dict(lr=0.01)),
    (optim.AdamW, dict(lr=0.01, weight_decay=0.3, amsgrad=True, maximize=True)),
    (optim.RMSprop, dict(lr=0.01)),
    (optim.RMSprop, dict(lr=0.01, alpha=0.8, eps=1e-3, weight_decay=0.1, momentum=0.9, maximize=True)),
    (optim.RMSprop, dict(lr=0.01, alpha=0.9, eps=1e-2, centered=True)),
    (optim.RMSprop, dict(lr=0.01, alpha=0.9, eps=1e-2, centered=True, momentum=0.5)),
    (optim.Adagrad, dict(lr=0.1)),
    (optim.Adagrad, dict(lr=0.1, lr_decay=0.1, weight_decay=0.1, initial_accumulator_value=0.5, eps=1e-3,
                         maximize=True)),
]
IDS = [f"{kind.__name__}-{','.join(options)}" for kind, options in OPTIONS]


def gradients(steps: int, size: int) -> Array:
    """Large ones first, so that amsgrad remembers them."""
    scale = np.linspace(3, 0.1, steps)[:, None]
    result: Array = np.random.default_rng(0).normal(size=(steps, size)) * scale
    return result


def sgd_by_hand(p: Array, grads: Array, lr: float, momentum: float = 0, dampening: float = 0,
                weight_decay: float = 0, nesterov: bool = False, maximize: bool = False) -> Array:
    v = None
    for g in -grads if maximize else grads:
        g = g + weight_decay * p
        v = g if v is None else momentum * v + (1 - dampening) * g
        p = p - lr * (g + momentum * v if nesterov else v if momentum else g)
    return p


def adam_by_hand(p: Array, grads: Array, lr: float, betas: tuple[float, float] = (0.9, 0.999),
                 eps: float = 1e-8, weight_decay: float = 0, amsgrad: bool = False, maximize: bool = False,
                 decoupled: bool = False) -> Array:
    m = v = largest = np.zeros_like(p)
    for t, g in enumerate(-grads if maximize else grads, 1):
        if decoupled:
            p = p - lr * weight_decay * p
        else:
            g = g + weight_decay * p
        m, v = betas[0] * m + (1 - betas[0]) * g, betas[1] * v + (1 - betas[1]) * g**2
        largest = np.maximum(largest, v)
        corrected = (largest if amsgrad else v) / (1 - betas[1] ** t)
        p = p - lr * m / (1 - betas[0] ** t) / (np.sqrt(corrected) + eps)
    return p


def rmsprop_by_hand(p: Array, grads: Array, lr: float, alpha: float = 0.99, eps: float = 1e-8, weight_decay: float = 0,
                    momentum: float = 0, centered: bool = False, maximize: bool = False) -> Array:
    v = a = b = np.zeros_like(p)
    for g in -grads if maximize else grads:
        g = g + weight_decay * p
        v, a = alpha * v + (1 - alpha) * g**2, alpha * a + (1 - alpha) * g
        b = momentum * b + g / (np.sqrt(v - a**2 if centered else v) + eps)
        p = p - lr * b
    return p


def adagrad_by_hand(p: Array, grads: Array, lr: float, lr_decay: float = 0, weight_decay: float = 0,
                    initial_accumulator_value: float = 0, eps: float = 1e-10, maximize: bool = False) -> Array:
    v = np.full_like(p, initial_accumulator_value)
    for t, g in enumerate(-grads if maximize else grads, 1):
        g = g + weight_decay * p
        v = v + g**2
        p = p - lr / (1 + (t - 1) * lr_decay) * g / (np.sqrt(v) + eps)
    return p


def by_hand(kind: type[optim.Optimizer], p: Array, grads: Array, options: dict[str, Any]) -> Array:
    if kind is optim.SGD:
        return sgd_by_hand(p, grads, **options)
    if kind is optim.RMSprop:
        return rmsprop_by_hand(p, grads, **options)
    if kind is optim.Adagrad:
        return adagrad_by_hand(p, grads, **options)
    if kind is optim.AdamW:
        options = {"weight_decay": 1e-2, **options, "decoupled": True}
    return adam_by_hand(p, grads, **options)


def run(optimizer: optim.Optimizer, parameter: nn.Parameter, grads: Array) -> None:
    for g in grads:
        parameter.grad = g.astype(parameter.dtype).reshape(parameter.shape)
        optimizer.step()


@pytest.mark.parametrize(("kind", "options"), OPTIONS, ids=IDS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_formula(kind: Callable[..., optim.Optimizer], options: dict[str, Any], dtype: Any) -> None:
    start, grads = np.random.default_rng(1).normal(size=SIZE), gradients(5, SIZE)
    parameter = nn.Parameter(start.astype(dtype))
    run(kind([parameter], **options), parameter, grads)
    assert parameter.dtype == dtype
    expected = by_hand(kind, start, grads, options)
    tolerance = 1e-12 if dtype == np.float64 else 2e-5
    np.testing.assert_allclose(parameter.numpy(), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("kind", "options"), OPTIONS, ids=IDS)
def test_an_element_does_not_depend_on_its_place(
    kind: Callable[..., optim.Optimizer], options: dict[str, Any]
) -> None:
    start, grads = np.random.default_rng(1).normal(size=SIZE).astype("f4"), gradients(3, SIZE)
    results = []
    for cuts in ([], [11, 12], [SIZE - 1]):
        parts = []
        for i, piece in enumerate(np.split(start, cuts)):
            parameter = nn.Parameter(piece)
            run(kind([parameter], **options), parameter, [np.split(g, cuts)[i] for g in grads])
            parts.append(parameter.numpy())
        results.append(np.concatenate(parts).tobytes())
    assert len(set(results)) == 1


def test_without_decay_an_infinite_parameter_stays_what_it_is() -> None:
    for kind in (optim.SGD, optim.Adam, optim.RMSprop, optim.Adagrad):
        parameter = nn.Parameter(np.array([np.inf, 1.0]))
        parameter.grad = np.array([1.0, 1.0])
        kind([parameter]).step()
        assert parameter.numpy()[0] == np.inf


@pytest.mark.parametrize(("kind", "options"), OPTIONS, ids=IDS)
def test_continuing_from_a_state_dict(kind: Callable[..., optim.Optimizer], options: dict[str, Any]) -> None:
    start, grads = np.random.default_rng(1).normal(size=(4, 3)), gradients(6, 12)
    whole = nn.Parameter(start)
    run(kind([whole], **options), whole, grads)

    first = nn.Parameter(start)
    optimizer = kind([first], **options)
    run(optimizer, first, grads[:3])
    saved = pickle.loads(pickle.dumps(optimizer.state_dict()))
    kept = copy.deepcopy(saved)
    second = nn.Parameter(first.numpy())
    continued = kind([second], lr=99.0)
    continued.load_state_dict(saved)
    run(continued, second, grads[3:])
    np.testing.assert_array_equal(second.numpy(), whole.numpy())
    run(optimizer, first, grads[3:])
    np.testing.assert_array_equal(first.numpy(), whole.numpy())
    np.testing.assert_equal(saved, kept)
    assert continued.param_groups[0]["lr"] == options["lr"]


def test_state_dict_has_pytorchs_form() -> None:
    a, b, c = (nn.Parameter(np.ones(2)) for _ in range(3))
    optimizer = optim.Adam([{"params": [a]}, {"params": [b, c], "lr": 0.5}])
    b.grad = np.ones(2)
    optimizer.step()
    state = optimizer.state_dict()
    assert [group["params"] for group in state["param_groups"]] == [[0], [1, 2]]
    assert [group["lr"] for group in state["param_groups"]] == [1e-3, 0.5]
    assert list(state["state"]) == [1]
    assert set(state["state"][1]) == {"step", "exp_avg", "exp_avg_sq"}


def test_momentum_of_a_state_dict_without_step_counts() -> None:
    """As PyTorch's SGD writes it."""
    p = nn.Parameter(np.zeros(2))
    optimizer = optim.SGD([p], lr=1.0, momentum=0.5)
    state = optimizer.state_dict()
    state["state"] = {0: {"momentum_buffer": np.array([4.0, 8.0])}}
    optimizer.load_state_dict(state)
    p.grad = np.ones(2)
    optimizer.step()
    assert p.tolist() == [-3.0, -5.0]


def test_loading_changes_nothing_unless_it_fits() -> None:
    p = nn.Parameter(np.ones(2))
    optimizer = optim.SGD([p], lr=0.1, momentum=0.9)
    p.grad = np.ones(2)
    optimizer.step()
    before = optimizer.state_dict()
    two = optim.SGD([nn.Parameter(np.ones(2)), nn.Parameter(np.ones(2))]).state_dict()
    with pytest.raises(ValueError, match=r"sizes \[2\], expected \[1\]"):
        optimizer.load_state_dict(two)
    wrong = copy.deepcopy(before)
    wrong["state"][0]["momentum_buffer"] = np.ones(3)
    with pytest.raises(ValueError, match=r"momentum_buffer: got shape \(3,\)"):
        optimizer.load_state_dict(wrong)
    wrong = copy.deepcopy(before)
    wrong["param_groups"][0]["lr"] = -1.0
    with pytest.raises(ValueError, match="lr"):
        optimizer.load_state_dict(wrong)
    np.testing.assert_equal(optimizer.state_dict(), before)


def test_step_and_zero_grad() -> None:
    p, q = nn.Parameter(np.ones(2)), nn.Parameter(np.ones(2))
    optimizer = optim.SGD([p, q], lr=0.5)
    (p * 2.0).sum().backward()
    version = p.version
    assert optimizer.step() is None
    assert p.tolist() == [0.0, 0.0] and q.tolist() == [1.0, 1.0] and p.version > version
    optimizer.zero_grad(set_to_none=False)
    assert p.grad is not None and p.grad.tolist() == [0.0, 0.0] and q.grad is None
    optimizer.zero_grad()
    assert p.grad is None

    def closure() -> float:
        assert is_grad_enabled()
        optimizer.zero_grad()
        loss = (q * q).sum()
        loss.backward()
        return float(loss)

    with no_grad():
        assert optimizer.step(closure) == 2.0
    assert q.tolist() == [0.0, 0.0]


def test_settings_may_change_between_steps() -> None:
    p = nn.Parameter(np.zeros(1))
    optimizer = optim.SGD([p], lr=1.0)
    for lr in (1.0, 0.5):
        optimizer.param_groups[0]["lr"] = lr
        p.grad = np.ones(1)
        optimizer.step()
    assert p.tolist() == [-1.5]
    optimizer.param_groups[0]["momentum"] = 0.5
    p.grad = np.ones(1)
    optimizer.step()
    assert p.tolist() == [-2.0]


def test_a_model_converted_after_the_first_step() -> None:
    layer = nn.Linear(2, 2)
    optimizer = optim.Adam(layer.parameters())
    for make in (layer.float, layer.double, layer.float):
        optimizer.zero_grad()
        x = tensor(np.ones((1, 2)).astype(make().weight.dtype))
        layer(x).sum().backward()
        optimizer.step()
    assert optimizer.state[layer.weight]["exp_avg"].dtype == layer.weight.dtype == np.float32


def test_a_step_before_backward_is_an_error_in_backward() -> None:
    p = nn.Parameter(np.ones(2))
    optimizer = optim.SGD([p])
    loss = (p * p).sum()
    p.grad = np.ones(2)
    optimizer.step()
    with pytest.raises(RuntimeError, match=r"before optimizer\.step"):
        loss.backward()


def test_training_finds_the_minimum() -> None:
    rates = {optim.SGD: 0.1, optim.Adam: 0.1, optim.AdamW: 0.1, optim.RMSprop: 0.03, optim.Adagrad: 1.0}
    for kind, lr in rates.items():
        p = nn.Parameter(np.array([5.0, -3.0]))
        optimizer = kind([p], lr=lr, weight_decay=0.0)
        for _ in range(300):
            optimizer.zero_grad()
            ((p - np.array([1.0, 2.0])) ** 2).sum().backward()
            optimizer.step()
        np.testing.assert_allclose(p.numpy(), [1, 2], atol=2e-2)


P = nn.Parameter(np.ones(1))


@pytest.mark.parametrize(("make", "kind", "text"), [
    (lambda: optim.SGD([]), ValueError, "empty"),
    (lambda: optim.SGD(P), TypeError, r"\[parameter\]"),
    (lambda: optim.SGD([P, P]), ValueError, "twice"),
    (lambda: optim.SGD([{"params": P}, {"params": [P]}]), ValueError, "twice"),
    (lambda: optim.SGD([tensor([1.0], requires_grad=True)]), TypeError, "nn.Parameter"),
    (lambda: optim.SGD([{"params": [P], "momentun": 1}]), ValueError, "momentun"),
    (lambda: optim.SGD([P], lr=-1), ValueError, "lr"),
    (lambda: optim.SGD([P], lr="1"), TypeError, "lr"),
    (lambda: optim.SGD([P], lr=math.nan), ValueError, "lr"),
    (lambda: optim.SGD([P], momentum=-1), ValueError, "momentum"),
    (lambda: optim.SGD([P], nesterov=True), ValueError, "nesterov"),
    (lambda: optim.SGD([P], weight_decay=-1), ValueError, "weight_decay"),
    (lambda: optim.SGD([P], maximize=1), TypeError, "maximize"),
    (lambda: optim.Adam([P], betas=(1.0, 0.9)), ValueError, r"betas\[0\]"),
    (lambda: optim.Adam([P], betas=(0.9, -1)), ValueError, r"betas\[1\]"),
    (lambda: optim.Adam([P], betas=0.9), TypeError, "betas"),
    (lambda: optim.Adam([P], eps=-1), ValueError, "eps"),
    (lambda: optim.AdamW([P], amsgrad=1), TypeError, "amsgrad"),
    (lambda: optim.RMSprop([P], lr=-1), ValueError, "lr"),
    (lambda: optim.RMSprop([P], alpha=1.0), ValueError, "alpha"),
    (lambda: optim.RMSprop([P], alpha=-0.1), ValueError, "alpha"),
    (lambda: optim.RMSprop([P], momentum="0.9"), TypeError, "momentum"),
    (lambda: optim.RMSprop([P], eps=math.inf), ValueError, "eps"),
    (lambda: optim.RMSprop([P], centered=None), TypeError, "centered"),
    (lambda: optim.Adagrad([P], lr_decay=-1), ValueError, "lr_decay"),
    (lambda: optim.Adagrad([P], initial_accumulator_value=-1), ValueError, "initial_accumulator_value"),
    (lambda: optim.Adagrad([P], eps=True), TypeError, "eps"),
])
def test_refuses(make: Callable[[], Any], kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text):
        make()


def test_centered_rmsprop_of_a_constant_gradient_stays_finite() -> None:
    """v - a^2 goes to 0 there, and by rounding below."""
    p = nn.Parameter(np.zeros(1000, np.float32))
    g = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    optimizer = optim.RMSprop([p], lr=1e-3, alpha=0.1, centered=True, eps=1e-3)
    run(optimizer, p, np.stack([g] * 30))
    assert np.isfinite(p.numpy()).all()
    p.grad = np.full(1000, np.nan, np.float32)
    optimizer.step()
    assert np.isnan(p.numpy()).all()


def test_repr() -> None:
    lines = repr(optim.SGD([P], lr=0.1)).splitlines()
    assert lines[:3] == ["SGD (", "Parameter Group 0", "    dampening: 0.0"]


def test_doctests() -> None:
    names = [name for _, name, _ in pkgutil.walk_packages(optim.__path__, "fastconv.optim.")]
    for name in ["fastconv.optim", *names]:
        assert doctest.testmod(importlib.import_module(name)).failed == 0
