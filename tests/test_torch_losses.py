# mypy: ignore-errors
"""Losses and their gradients agree with PyTorch's, where it is installed: signatures, values, special values."""

from __future__ import annotations

import inspect
import itertools

import numpy as np
import pytest

from fastconv import nn
from fastconv.autograd import tensor

torch = pytest.importorskip("torch", reason="PyTorch is not installed: nothing to compare with")
F, T = torch.nn.functional, torch.nn

RNG = np.random.default_rng(0)
SHAPES = [(6,), (3, 5), (2, 3, 4), (), (4, 1), (2, 2, 3, 2)]
PLACES = [((5,), ()), ((6, 5), (6,)), ((1, 5), (1,)), ((2, 5, 3), (2, 3)), ((2, 5, 3, 4), (2, 3, 4))]
REDUCTIONS = ["none", "mean", "sum"]


def normal(shape):
    return RNG.normal(size=shape)


def share(shape):
    return RNG.uniform(0.02, 0.98, shape)


def signs(shape):
    return RNG.choice([-1.0, 1.0], shape)


def pick(shape):
    return RNG.integers(0, 5, shape)


# layer: (draw x, draw target, the options to try), for shapes of two kinds.
LAYERS = {
    "MSELoss": (normal, normal, [{}, {}]),
    "L1Loss": (normal, normal, [{}, {}]),
    "SmoothL1Loss": (normal, normal, [{}, dict(beta=0.3), dict(beta=0.0)]),
    "HuberLoss": (normal, normal, [{}, dict(delta=0.3)]),
    "BCELoss": (share, share, [{}, dict(weight=np.array(1.5))]),
    "BCEWithLogitsLoss": (normal, share, [{}, dict(weight=np.array(1.5)), dict(pos_weight=np.array(3.0))]),
    "KLDivLoss": (normal, share, [{}, dict(log_target=True)]),
    "HingeEmbeddingLoss": (normal, signs, [{}, dict(margin=0.4)]),
}
BY_CLASS = {
    "NLLLoss": [{}, dict(weight=share(5)), dict(ignore_index=2), dict(ignore_index=2, weight=share(5))],
    "CrossEntropyLoss": [{}, dict(weight=share(5)), dict(ignore_index=2, label_smoothing=0.1)],
    "MultiMarginLoss": [{}, dict(p=2), dict(margin=0.3, weight=share(5)), dict(p=2, weight=share(5))],
}


def cases():
    for name, (draw_x, draw_t, every) in LAYERS.items():
        for shape, options, reduction in itertools.product(SHAPES, every, REDUCTIONS):
            yield name, draw_x(shape), np.asarray(draw_t(shape)), options | dict(reduction=reduction)
    for name, every in BY_CLASS.items():
        for (shape, places), options, reduction in itertools.product(PLACES, every, REDUCTIONS):
            if name != "MultiMarginLoss" or len(shape) < 3:
                yield name, normal(shape), np.asarray(pick(places)), options | dict(reduction=reduction)
    yield "KLDivLoss", normal((4, 3)), share((4, 3)), dict(reduction="batchmean")


CASES = [pytest.param(*case, id=f"{i}-{case[0]}") for i, case in enumerate(cases())]


def test_twenty_configurations_each():
    names = [case.values[0] for case in CASES]
    assert min(names.count(name) for name in [*LAYERS, *BY_CLASS]) >= 20
    mine = {n for n in nn.__all__ if n.endswith("Loss")}
    assert {n for n in mine if hasattr(T, n)} == {*LAYERS, *BY_CLASS}


@pytest.mark.parametrize(("name", "x", "target", "options"), CASES)
def test_loss(name, x, target, options):
    theirs = {k: torch.tensor(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
    a, b = tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    layer, other = getattr(nn, name)(**options), getattr(T, name)(**theirs)
    y, z = layer(a, target), other(b, torch.tensor(target))
    assert y.shape == tuple(z.shape)
    np.testing.assert_allclose(y.numpy(), z.detach().numpy(), rtol=1e-10, atol=1e-12)
    assert list(layer.state_dict()) == list(other.state_dict())
    if np.isnan(y.numpy()).any():
        return    # every target is ignored
    grad = np.asarray(RNG.normal(size=y.shape))
    y.backward(grad)
    z.backward(torch.tensor(grad))
    np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("weight", [(4,), (3, 1), (3, 4)])
@pytest.mark.parametrize("name", ["BCELoss", "BCEWithLogitsLoss"])
def test_weights_that_broadcast(name, weight):
    x, t, w = share((3, 4)), share((3, 4)), share(weight)
    a, b = tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    getattr(nn, name)(w)(a, t).backward()
    getattr(T, name)(torch.tensor(w))(b, torch.tensor(t)).backward()
    np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-10)


SPECIAL = np.array([np.nan, np.inf, -np.inf, 1e30, -1e30, 0.0, -0.0, 1.0])


@pytest.mark.parametrize("name", ["MSELoss", "L1Loss", "SmoothL1Loss", "HuberLoss", "BCEWithLogitsLoss", "KLDivLoss",
                                  "HingeEmbeddingLoss"])
def test_special_values(name):
    t = np.ones(8)
    a, b = tensor(SPECIAL, requires_grad=True), torch.tensor(SPECIAL, requires_grad=True)
    with np.errstate(invalid="ignore", over="ignore"):
        y = getattr(nn, name)(reduction="none")(a, t)
        y.backward(t)
    z = getattr(T, name)(reduction="none")(b, torch.tensor(t))
    z.backward(torch.tensor(t))
    np.testing.assert_allclose(y.numpy(), z.detach().numpy(), rtol=1e-12)
    same = ~np.isnan(b.grad.numpy()) | np.isnan(SPECIAL)    # at an infinite logit we have the limit
    np.testing.assert_allclose(a.grad.numpy()[same & ~np.isnan(SPECIAL)], b.grad.numpy()[same & ~np.isnan(SPECIAL)])


@pytest.mark.parametrize("name", [*LAYERS, *BY_CLASS])
def test_signatures(name):
    """PyTorch's, but for its two deprecated arguments."""
    ours = inspect.signature(getattr(nn, name)).parameters
    theirs = inspect.signature(getattr(T, name)).parameters
    kept = {k: p for k, p in theirs.items() if k not in ("size_average", "reduce")}
    assert [(k, p.default) for k, p in ours.items()] == [(k, p.default) for k, p in kept.items()]


@pytest.mark.parametrize("name", [
    "nll_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "binary_cross_entropy", "binary_cross_entropy_with_logits",
    "kl_div", "hinge_embedding_loss", "multi_margin_loss", "mse_loss", "cross_entropy"])
def test_functional_signatures(name):
    ours = inspect.signature(getattr(nn.functional, name)).parameters
    theirs = inspect.signature(getattr(F, name)).parameters
    distance = name in ("l1_loss", "huber_loss", "mse_loss")    # PyTorch's newest also weights these
    kept = [k for k in theirs if k not in ("size_average", "reduce") and not (distance and k == "weight")]
    assert list(ours) == kept
    assert [p.default for p in ours.values()] == [theirs[k].default for k in kept]
