# mypy: disable-error-code="arg-type"
"""Losses: every one against its float64 twin, and what it refuses; their gradients are checked in test_nn.py."""

from __future__ import annotations

import doctest
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastconv.ops.class_loss
import fastconv.ops.loss
from fastconv import nn, ops
from fastconv.autograd import no_grad, tensor
from fastconv.reference import loss as reference_loss

Array = np.ndarray[Any, Any]
RNG = np.random.default_rng(0)


def normal(*shape: int) -> Array:
    return RNG.normal(size=shape)


def share(*shape: int) -> Array:
    return RNG.uniform(0.02, 0.98, shape)


def signs(*shape: int) -> Array:
    return RNG.choice([-1.0, 1.0], shape)


SHAPES = [(7,), (3, 5), (2, 3, 4), ()]
CLASSES: list[tuple[tuple[int, ...], tuple[int, ...]]] = [((5,), ()), ((6, 5), (6,)), ((2, 5, 3, 4), (2, 3, 4))]

# Each name: how to make x and target of a shape, and the options to try.
DRAWS: dict[str, tuple[Callable[..., Array], Callable[..., Array], list[dict[str, Any]]]] = {
    "mse_loss": (normal, normal, [{}]),
    "l1_loss": (normal, normal, [{}]),
    "smooth_l1_loss": (normal, normal, [{}, dict(beta=0.3), dict(beta=0)]),
    "huber_loss": (normal, normal, [{}, dict(delta=0.3)]),
    "binary_cross_entropy": (share, share, [{}, dict(weight=np.array(1.5))]),
    "binary_cross_entropy_with_logits": (
        normal, share, [{}, dict(weight=np.array(1.5)), dict(pos_weight=np.array(3.0))]),
    "kl_div": (normal, share, [{}, dict(log_target=True)]),
    "hinge_loss": (normal, signs, [{}]),
    "hinge_embedding_loss": (normal, signs, [{}, dict(margin=0.4), dict(margin=-0.3)]),
}
PER_CLASS: dict[str, list[dict[str, Any]]] = {
    "nll_loss": [{}, dict(weight=share(5)), dict(ignore_index=2), dict(ignore_index=2, weight=share(5))],
    "multi_margin_loss": [{}, dict(p=2), dict(margin=0.3, weight=share(5)), dict(p=2, weight=share(5))],
}


def cases() -> list[Any]:
    found = []
    for name, (draw_x, draw_t, every) in DRAWS.items():
        found += [pytest.param(name, draw_x(*shape), draw_t(*shape), options, id=f"{name}-{shape}-{list(options)}")
                  for shape in SHAPES for options in every]
    for name, every in PER_CLASS.items():
        for shape, places in CLASSES[:2] if name == "multi_margin_loss" else CLASSES:
            for options in every:
                target = RNG.integers(0, 5, places)
                if options.get("ignore_index") == 2:
                    target = np.where(target == 2, 2, target)
                    target.flat[-1] = 4    # so that something is left to count
                found.append(pytest.param(name, normal(*shape), target, options, id=f"{name}-{shape}-{list(options)}"))
    return found


CASES = cases()


def test_every_loss_has_a_twin_and_cases() -> None:
    names = {*fastconv.ops.loss.__all__, *fastconv.ops.class_loss.__all__}
    assert names <= set(ops.__all__)
    assert names == {n for case in [*DRAWS, *PER_CLASS] for n in (case, f"{case}_backward")}
    for name in names:
        mine, twin = inspect.signature(getattr(ops, name)), inspect.signature(getattr(reference_loss, name))
        assert str(mine) == str(twin), name
        assert getattr(ops, name).__doc__


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize(("name", "x", "target", "options"), CASES)
def test_twin(name: str, x: Array, target: Array, options: dict[str, Any], reduction: str, dtype: Any) -> None:
    """Each term within 32 roundings of itself and of what it was made of, which is of the order of 1."""
    u = np.finfo(dtype).eps / 2
    narrow = {k: v.astype(dtype) if isinstance(v, np.ndarray) else v for k, v in options.items()}
    x = np.asarray(x).astype(dtype)
    target = np.asarray(target)
    target = target.astype(dtype) if target.dtype.kind == "f" else target
    y = getattr(ops, name)(x, target, **narrow, reduction=reduction)
    expected = getattr(reference_loss, name)(x, target, **narrow, reduction=reduction)
    assert y.dtype == dtype and y.shape == expected.shape
    np.testing.assert_allclose(y, expected, rtol=32 * u, atol=32 * u * (x.size if reduction == "sum" else 1))
    grad = np.asarray(RNG.normal(size=y.shape)).astype(dtype)
    dx = getattr(ops, f"{name}_backward")(grad, x, target, **narrow, reduction=reduction)
    assert dx.dtype == dtype and dx.shape == x.shape
    exact = getattr(reference_loss, f"{name}_backward")(grad, x, target, **narrow, reduction=reduction)
    np.testing.assert_allclose(dx, exact, rtol=64 * u, atol=64 * u)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("shape", "places"), CLASSES)
@pytest.mark.parametrize("kind", ["indices", "some ignored", "probabilities"])
def test_twin_of_cross_entropy(
    kind: str, shape: tuple[int, ...], places: tuple[int, ...], weighted: bool, smoothing: float, reduction: str,
    dtype: Any,
) -> None:
    u = np.finfo(dtype).eps / 2
    x, weight = np.asarray(normal(*shape)).astype(dtype), share(5).astype(dtype) if weighted else None
    target: Array = share(*shape).astype(dtype) if kind == "probabilities" else np.asarray(RNG.integers(0, 5, places))
    if kind == "some ignored" and places:
        target.flat[::2] = 3
    options: dict[str, Any] = dict(
        weight=weight, ignore_index=3 if kind == "some ignored" and places else -100, reduction=reduction,
        label_smoothing=smoothing)
    target.flat[-1] = 4 if target.dtype.kind == "i" else 0.5
    leaf = tensor(x, requires_grad=True)
    y = nn.functional.cross_entropy(leaf, target, **options)
    expected = reference_loss.cross_entropy(x, target, **options)
    scale = 32 * u * (10 if reduction == "sum" else 1)
    np.testing.assert_allclose(y.numpy(), expected, rtol=scale, atol=scale)
    grad = np.asarray(RNG.normal(size=y.shape)).astype(dtype)
    y.backward(grad)
    assert leaf.grad is not None
    exact = reference_loss.cross_entropy_backward(grad, x, target, **options)
    np.testing.assert_allclose(leaf.grad.numpy(), exact, rtol=64 * u, atol=64 * u)


@pytest.mark.parametrize("log_target", [False, True])
def test_batch_mean(log_target: bool) -> None:
    x, t = normal(4, 3), share(4, 3)
    y = ops.kl_div(x, t, "batchmean", log_target)
    np.testing.assert_allclose(y, reference_loss.kl_div(x, t, "batchmean", log_target))
    np.testing.assert_allclose(y * 4, ops.kl_div(x, t, "sum", log_target))
    np.testing.assert_allclose(ops.kl_div_backward(np.array(1.0), x, t, "batchmean", log_target),
                               reference_loss.kl_div_backward(np.array(1.0), x, t, "batchmean", log_target))


def test_the_mean_of_a_long_vector_is_accurate() -> None:
    """A float32 sum of a million equal terms, one after the other, is off in the third digit."""
    x = np.full(1_000_003, 0.1, np.float32)
    assert ops.l1_loss(x, np.zeros_like(x)) == np.float32(0.1)


def test_special_values() -> None:
    x, zero = np.array([np.inf, -np.inf, np.nan, 1e30, -1e30]), np.zeros(5)
    np.testing.assert_array_equal(
        ops.binary_cross_entropy_with_logits(x, zero, reduction="none"), [np.inf, np.nan, np.nan, 1e30, 0])
    np.testing.assert_array_equal(
        ops.binary_cross_entropy_with_logits_backward(np.ones(5), x, zero, reduction="none"), [1, 0, np.nan, 1, 0])
    np.testing.assert_array_equal(ops.binary_cross_entropy(np.array([0.0, 1.0]), np.array([1.0, 0.0])), 100)
    np.testing.assert_array_equal(ops.kl_div(np.array([-1.0, 2.0]), np.zeros(2), "none"), [0, 0])
    for name in ("l1_loss", "smooth_l1_loss", "huber_loss"):
        y = getattr(ops, name)(np.array([np.nan, np.inf]), np.zeros(2), "none")
        np.testing.assert_array_equal(y, [np.nan, np.inf])
    np.testing.assert_array_equal(ops.nll_loss(np.array([[-np.inf, 0.0]]), np.array([1])), 0)
    assert np.isnan(ops.nll_loss(np.zeros((1, 2)), np.array([-100])))
    assert ops.nll_loss(np.zeros((1, 2)), np.array([-100]), reduction="sum") == 0


def test_empty_batches() -> None:
    empty, none = np.zeros((0, 3)), np.zeros(0, np.int64)
    for name in DRAWS:
        assert np.isnan(getattr(ops, name)(empty, empty))
        assert getattr(ops, name)(empty, empty, reduction="sum") == 0
        assert getattr(ops, f"{name}_backward")(np.array(1.0), empty, empty).shape == (0, 3)
    for name in PER_CLASS:
        assert np.isnan(getattr(ops, name)(empty, none))
        assert getattr(ops, f"{name}_backward")(np.array(1.0), empty, none).shape == (0, 3)


F4, X = np.zeros((3, 4), np.float32), np.zeros((3, 4))
T3 = np.array([0, 1, 3])
REFUSED: list[tuple[Callable[[], Any], type[Exception], str]] = [
    *[(lambda n=n: getattr(ops, n)(X, X[:2]), ValueError, "target") for n in DRAWS],    # type: ignore[misc]
    *[(lambda n=n: getattr(ops, n)(X.astype(int), X), TypeError, "x must") for n in DRAWS],    # type: ignore[misc]
    *[(lambda n=n: getattr(ops, n)(None, X), TypeError, "x must") for n in DRAWS],    # type: ignore[misc]
    *[(lambda n=n: getattr(ops, n)(X, [1.0]), TypeError, "target") for n in DRAWS],    # type: ignore[misc]
    *[(lambda n=n: getattr(ops, n)(X + 1, X + 1, reduction="avg"), ValueError, "reduction")    # type: ignore[misc]
      for n in DRAWS],
    *[(lambda n=n: getattr(ops, f"{n}_backward")(X[0], X + 1, X + 1), ValueError, "grad_output")    # type: ignore[misc]
      for n in DRAWS],
    *[(lambda n=n: getattr(ops, f"{n}_backward")(F4[0, 0], X + 1, X + 1), TypeError,    # type: ignore[misc]
       "grad_output") for n in DRAWS],
    *[(lambda n=n: getattr(ops, n)(X, T3[:2]), ValueError, "target") for n in PER_CLASS],    # type: ignore[misc]
    *[(lambda n=n: getattr(ops, n)(X, T3 + 1), ValueError, "target.*got 4") for n in PER_CLASS],    # type: ignore[misc]
    *[(lambda n=n: getattr(ops, n)(X, T3 - 1), ValueError, "target.*got -1") for n in PER_CLASS],    # type: ignore[misc]
    *[(lambda n=n: getattr(ops, n)(X, T3 + 2**40), ValueError, "target") for n in PER_CLASS],    # type: ignore[misc]
    *[(lambda n=n: getattr(ops, n)(X, T3 * 1.0), TypeError, "target") for n in PER_CLASS],    # type: ignore[misc]
    *[(lambda n=n: getattr(ops, n)(X, T3, weight=np.ones(3)), ValueError, "weight")    # type: ignore[misc]
      for n in PER_CLASS],
    *[(lambda n=n: getattr(ops, n)(X, T3, weight=np.ones(4, "f4")), TypeError, "weight")    # type: ignore[misc]
      for n in PER_CLASS],
    *[(lambda n=n: getattr(ops, f"{n}_backward")(X, X, T3), ValueError, "grad_output")    # type: ignore[misc]
      for n in PER_CLASS],
    (lambda: ops.l1_loss(X, F4), TypeError, "target"),
    (lambda: ops.smooth_l1_loss(X, X, beta=-1), ValueError, "beta"),
    (lambda: ops.smooth_l1_loss(X, X, beta="1"), TypeError, "beta"),
    (lambda: ops.smooth_l1_loss(X, X, beta=True), TypeError, "beta"),
    (lambda: ops.huber_loss(X, X, delta=0), ValueError, "delta"),
    (lambda: ops.huber_loss(X, X, delta=np.nan), ValueError, "delta"),
    (lambda: ops.binary_cross_entropy(X - 0.1, X), ValueError, "x must hold probabilities.*got -0.1"),
    (lambda: ops.binary_cross_entropy(X + 2, X), ValueError, "got 2"),
    (lambda: ops.binary_cross_entropy(X, X, weight=np.ones(3)), ValueError, "weight"),
    (lambda: ops.binary_cross_entropy(X, X, weight=F4), TypeError, "weight"),
    (lambda: ops.binary_cross_entropy_with_logits(X, X, pos_weight=np.ones((3, 3))), ValueError, "pos_weight"),
    (lambda: ops.hinge_loss(X, X), ValueError, "target must be 1 or -1"),
    (lambda: ops.hinge_embedding_loss(X, X + 2), ValueError, "target"),
    (lambda: ops.hinge_embedding_loss(X, X + 1, margin=np.inf), ValueError, "margin"),
    (lambda: ops.kl_div(X, X, log_target=1), TypeError, "log_target"),
    (lambda: ops.nll_loss(X, T3, ignore_index=1.0), TypeError, "ignore_index"),
    (lambda: ops.nll_loss(np.float64(1), T3), TypeError, "x must"),
    (lambda: ops.nll_loss(np.array(1.0), np.array(0)), ValueError, "x must"),
    (lambda: ops.multi_margin_loss(X[None], T3), ValueError, "x must"),
    (lambda: ops.multi_margin_loss(X, T3, p=3), ValueError, "p must"),
    (lambda: ops.multi_margin_loss(X, T3, margin="1"), TypeError, "margin"),
    (lambda: nn.L1Loss("max"), ValueError, "reduction"),
    (lambda: nn.L1Loss("batchmean"), ValueError, "reduction"),
    (lambda: nn.SmoothL1Loss(beta=-1), ValueError, "beta"),
    (lambda: nn.HuberLoss(delta=0), ValueError, "delta"),
    (lambda: nn.KLDivLoss(log_target="yes"), TypeError, "log_target"),
    (lambda: nn.HingeEmbeddingLoss(margin=np.nan), ValueError, "margin"),
    (lambda: nn.MultiMarginLoss(p=0), ValueError, "p must"),
    (lambda: nn.NLLLoss(ignore_index="a"), TypeError, "ignore_index"),
    (lambda: nn.BCELoss([1.0]), TypeError, "weight"),
    (lambda: nn.BCEWithLogitsLoss(pos_weight=1.0), TypeError, "pos_weight"),
]


@pytest.mark.parametrize(("call", "kind", "text"), REFUSED, ids=[f"{i}-{c[2]}" for i, c in enumerate(REFUSED)])
def test_refuses(call: Callable[[], Any], kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text):
        call()


def test_gradients_of_targets() -> None:
    """A distance has one, and it is checked; the others say that they have none."""
    x, t = tensor(normal(3, 4), requires_grad=True), tensor(share(3, 4), requires_grad=True)
    for layer in (nn.MSELoss(), nn.L1Loss(), nn.SmoothL1Loss(beta=0.5), nn.HuberLoss()):
        x.zero_grad()
        t.zero_grad()
        layer(x, t).backward()
        assert x.grad is not None and t.grad is not None
        np.testing.assert_array_equal(x.grad.numpy(), -t.grad.numpy())
    with pytest.raises(ValueError, match="target must not require a gradient"):
        nn.BCEWithLogitsLoss()(x, t)
    assert nn.BCEWithLogitsLoss()(x, t.detach()).requires_grad
    with no_grad():
        nn.BCEWithLogitsLoss()(x, t)


def test_a_support_vector_machine_by_hand() -> None:
    """Scores (3.2, 5.1, -1.7) of class 0: max(0, 5.1 - 3.2 + 1) + max(0, -1.7 - 3.2 + 1) = 2.9, over 3 classes."""
    assert nn.MultiMarginLoss()(np.array([[3.2, 5.1, -1.7]]), np.array([0])).item() * 3 == pytest.approx(2.9)


@pytest.mark.parametrize("module", [fastconv.ops.loss, fastconv.ops.class_loss, reference_loss])
def test_doctests(module: Any) -> None:
    assert doctest.testmod(module).failed == 0
