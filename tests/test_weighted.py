# mypy: disable-error-code="arg-type, misc, union-attr"
"""Keras's options of layers with weights: penalties, constraints, and how training meets them."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from gradients import check_gradients

from fastconv import nn, optim
from fastconv.autograd import Tensor, no_grad, tensor
from fastconv.nn import constraints, regularizers
from fastconv.nn.weighted import WeightOptions
from fastconv.random import manual_seed

Array = np.ndarray[Any, Any]
RNG = np.random.default_rng(0)


def penalty_by_hand(x: Array, l1: float, l2: float) -> float:
    return float(l1 * np.abs(x.astype(np.float64)).sum() + l2 * (x.astype(np.float64) ** 2).sum())


REGULARIZERS = [
    (regularizers.L1(0.3), 0.3, 0.0), (regularizers.L2(0.2), 0.0, 0.2), (regularizers.L1L2(0.3, 0.2), 0.3, 0.2),
    (regularizers.L1(), 0.01, 0.0), (regularizers.L2(), 0.0, 0.01), (regularizers.L1L2(), 0.0, 0.0),
    (regularizers.get("x", "l1"), 0.01, 0.0), (regularizers.get("x", "l2"), 0.0, 0.01),
    (regularizers.get("x", "l1_l2"), 0.01, 0.01),
]

# ---- Penalties -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(5,), (3, 4), (2, 3, 3, 3), (), (0, 3)])
@pytest.mark.parametrize(("regularizer", "l1", "l2"), REGULARIZERS, ids=lambda v: str(v))
def test_penalty(regularizer: Callable[..., Tensor], l1: float, l2: float, shape: tuple[int, ...]) -> None:
    x = np.asarray(RNG.normal(size=shape))
    for dtype, tolerance in ((np.float64, 1e-13), (np.float32, 3e-7)):
        y = regularizer(tensor(x.astype(dtype)))
        assert y.shape == () and y.dtype == dtype
        assert y.item() == pytest.approx(penalty_by_hand(x.astype(dtype), l1, l2), rel=tolerance)
        assert regularizer(x.astype(dtype)).item() == y.item()
    leaf = nn.Parameter(np.where(np.abs(x) < 1e-3, 0.5, x))
    check_gradients(lambda: regularizer(leaf), [leaf])


def test_special_values_of_penalties() -> None:
    x = tensor([0.0, -0.0, 2.0], requires_grad=True)
    regularizers.L1(1.0)(x).backward()
    assert x.grad.tolist() == [0.0, 0.0, 1.0]
    assert np.isnan(regularizers.L1L2(1, 1)(np.array([np.nan, 1.0])).item())
    assert regularizers.L2(1)(np.array([np.inf, 1.0])).item() == np.inf


# ---- The penalty of a model ------------------------------------------------------------------------------


def model(**options: Any) -> nn.Sequential:
    manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 3, 3, dtype=np.float64, **options), nn.ReLU(), nn.Flatten(),
                         nn.Linear(12, 2, dtype=np.float64, **options))


ALL: dict[str, Any] = dict(kernel_regularizer=regularizers.L1L2(0.1, 0.2), bias_regularizer=regularizers.L1(0.3),
                           activity_regularizer=regularizers.L2(0.05))
IMAGES = RNG.normal(size=(4, 2, 4, 4))


def test_regularization_loss_by_hand() -> None:
    net = model(**ALL)
    features = net[0](tensor(IMAGES))
    logits = net[3](net[2](net[1](features)))
    expected = sum(penalty_by_hand(net[i].weight.numpy(), 0.1, 0.2) + penalty_by_hand(net[i].bias.numpy(), 0.3, 0)
                   for i in (0, 3))
    expected += (penalty_by_hand(features.numpy(), 0, 0.05) + penalty_by_hand(logits.numpy(), 0, 0.05)) / 4
    assert nn.regularization_loss(net).item() == pytest.approx(expected)
    assert nn.regularization_loss(net).item() == pytest.approx(expected)    # asking changes nothing


def test_gradients_of_everything() -> None:
    net = model(**ALL)
    for p in net.parameters():    # away from the kink of |x|
        with p.writable() as a:
            a += np.where(np.abs(a) < 1e-3, 0.01, 0)

    def loss() -> Tensor:
        y = net(tensor(IMAGES))
        if not y.requires_grad:    # finite differences run without a tape, and without a tape nothing is noted down
            features = net[0](tensor(IMAGES)).numpy()
            return Tensor(np.asarray(y.numpy().sum() + nn.regularization_loss(net).item() + (
                penalty_by_hand(features, 0, 0.05) + penalty_by_hand(y.numpy(), 0, 0.05)) / 4))
        return y.sum() + nn.regularization_loss(net)

    check_gradients(loss, list(net.parameters()))


def test_activities_count_once_and_only_while_they_matter() -> None:
    net = model(activity_regularizer="l2")
    net(tensor(IMAGES))    # thrown away
    gc.collect()
    assert nn.regularization_loss(net).item() == 0
    y = net(tensor(IMAGES))
    first = nn.regularization_loss(net)
    assert first.item() > 0
    (y.sum() + first).backward()
    assert nn.regularization_loss(net).item() == 0    # backward went through it, though y is alive
    again = net(tensor(IMAGES))
    assert nn.regularization_loss(net).item() == first.item()
    with no_grad():
        net(tensor(IMAGES))
    net.eval()
    other = net(tensor(IMAGES))
    assert nn.regularization_loss(net).item() == first.item()
    del y, again, other


def test_a_layer_called_twice_counts_twice() -> None:
    layer = nn.Linear(3, 3, activity_regularizer="l1")
    x = np.ones((2, 3), np.float32)
    y = layer(tensor(x))
    once = nn.regularization_loss(layer).item()
    z = layer(tensor(x))
    assert nn.regularization_loss(layer).item() == pytest.approx(2 * once)
    del y, z


def test_one_image_is_a_batch_of_one() -> None:
    conv = nn.Conv2d(2, 3, 3, activity_regularizer="l2", dtype=np.float64)
    y = conv(tensor(IMAGES[0]))
    assert nn.regularization_loss(conv).item() == pytest.approx(penalty_by_hand(y.numpy(), 0, 0.01))
    dense = nn.Linear(4, 3, activity_regularizer="l2", dtype=np.float64)
    z = dense(tensor(IMAGES[0, 0, 0]))
    assert nn.regularization_loss(dense).item() == pytest.approx(penalty_by_hand(z.numpy(), 0, 0.01))


def test_nothing_is_kept_alive() -> None:
    net = model(activity_regularizer="l2")
    y = net(tensor(IMAGES))
    loss = y.sum() + nn.regularization_loss(net)
    alive = weakref.ref(y)
    del y, loss
    gc.collect()
    assert alive() is None


def test_shared_parameters_count_once() -> None:
    layer = nn.Linear(2, 2, kernel_regularizer=regularizers.L2(1.0))
    net = nn.Sequential(layer, layer)
    assert nn.regularization_loss(net).item() == nn.regularization_loss(layer).item()


def test_without_penalties_it_is_zero_and_can_be_added() -> None:
    net = model()
    total = nn.regularization_loss(net)
    assert total.item() == 0 and not total.requires_grad and total.dtype == np.float64
    (net(tensor(IMAGES)).sum() + total).backward()
    assert nn.regularization_loss(nn.Sequential()).item() == 0


def test_any_parameter_and_any_function() -> None:
    net = nn.Sequential(nn.BatchNorm2d(3))
    net[0].weight.regularizer = lambda w: ((w - 1.0) ** 2).sum()
    with no_grad():
        net[0].weight += 2.0
    loss = nn.regularization_loss(net)
    loss.backward()
    assert loss.item() == 12 and net[0].weight.grad.tolist() == [4.0, 4.0, 4.0]


def test_l2_is_weight_decay_of_sgd() -> None:
    def train(regularizer: Any, decay: float) -> Array:
        manual_seed(1)
        layer = nn.Linear(3, 2, bias=False, kernel_regularizer=regularizer, dtype=np.float64)
        optimizer = optim.SGD(layer.parameters(), lr=0.1, weight_decay=decay)
        for x in np.random.default_rng(0).normal(size=(5, 4, 3)):
            optimizer.zero_grad()
            (layer(tensor(x)).sum() + nn.regularization_loss(layer)).backward()
            optimizer.step()
        return layer.weight.numpy()

    np.testing.assert_allclose(train(regularizers.L2(0.05), 0), train(None, 0.1), rtol=1e-12)


def test_a_regularised_layer_computes_the_same() -> None:
    """Bits included, though its ReLU no longer joins it."""
    plain, watched = model(), model(activity_regularizer="l2")
    for mode in (True, False):
        x = tensor(IMAGES)
        np.testing.assert_array_equal(plain.train(mode)(x).numpy(), watched.train(mode)(x).numpy())


# ---- Constraints -----------------------------------------------------------------------------------------

NORMS = [
    (constraints.MaxNorm(1.5), lambda n: np.minimum(n, 1.5)), (constraints.MaxNorm(), lambda n: np.minimum(n, 2)),
    (constraints.UnitNorm(), np.ones_like),
    (constraints.MinMaxNorm(1.0, 2.0), lambda n: np.clip(n, 1, 2)),
    (constraints.MinMaxNorm(1.0, 2.0, rate=0.25), lambda n: 0.75 * n + 0.25 * np.clip(n, 1, 2)),
    (constraints.get("x", "max_norm"), lambda n: np.minimum(n, 2)), (constraints.get("x", "unit_norm"), np.ones_like),
]


@pytest.mark.parametrize("shape", [(6, 5), (4, 3, 3, 3), (7,), (5, 1)])
@pytest.mark.parametrize(("constraint", "wanted"), NORMS, ids=[f"{i}-{c}" for i, (c, _) in enumerate(NORMS)])
def test_norms(constraint: Callable[[Array], None], wanted: Callable[[Array], Array], shape: tuple[int, ...]) -> None:
    for dtype, tolerance in ((np.float64, 1e-12), (np.float32, 1e-6)):
        w = (RNG.normal(size=shape) * RNG.uniform(0.1, 3, (shape[0], *[1] * (len(shape) - 1)))).astype(dtype)
        before, axes = w.copy(), tuple(range(1, len(shape))) or (0,)
        norm = np.sqrt((before.astype(np.float64) ** 2).sum(axes, keepdims=True))
        constraint(w)
        assert w.dtype == dtype
        np.testing.assert_allclose(w, before * (wanted(norm) / norm), rtol=tolerance)
        same = np.broadcast_to(wanted(norm) == norm, shape)
        assert (w[same] == before[same]).all()


def test_axes_of_norms() -> None:
    w = RNG.normal(size=(4, 3, 2)) * 5
    for axis in (0, -1, (1, 2), (0, 1, 2), [0]):
        v = w.copy()
        constraints.UnitNorm(axis)(v)
        norms = np.sqrt((v**2).sum(tuple(axis) if isinstance(axis, list) else axis))
        np.testing.assert_allclose(norms, 1)


def test_special_values_of_constraints() -> None:
    w = np.array([[np.nan, 1.0], [0.0, 0.0], [3.0, 4.0]])
    constraints.UnitNorm()(w)
    np.testing.assert_allclose(w, [[np.nan, 1.0], [0.0, 0.0], [0.6, 0.8]])
    v = np.array([np.nan, -1.0, -0.0, 2.0])
    constraints.NonNeg()(v)
    np.testing.assert_array_equal(v, [np.nan, 0.0, 0.0, 2.0])


@pytest.mark.parametrize("kind", [optim.SGD, optim.Adam, optim.AdamW, optim.RMSprop, optim.Adagrad])
def test_every_optimizer_obeys(kind: Callable[..., optim.Optimizer]) -> None:
    net = model(kernel_constraint=constraints.MaxNorm(0.5), bias_constraint="non_neg")
    optimizer = kind(net.parameters(), lr=0.3)
    for _ in range(4):
        optimizer.zero_grad()
        (net(tensor(IMAGES)) ** 2).sum().backward()
        versions = [p.version for p in net.parameters()]
        optimizer.step()
        assert all(p.version > v for p, v in zip(net.parameters(), versions, strict=True))
        for layer in (net[0], net[3]):
            norms = np.sqrt((layer.weight.numpy().reshape(len(layer.weight), -1) ** 2).sum(1))
            assert (norms <= 0.5 * (1 + 1e-12)).all() and (layer.bias.numpy() >= 0).all()


def test_what_has_no_gradient_is_left_alone() -> None:
    p = nn.Parameter(np.array([-1.0]))
    p.constraint = constraints.NonNeg()
    optim.SGD([p]).step()
    assert p.tolist() == [-1.0]


# ---- The options -----------------------------------------------------------------------------------------


def test_options_survive_copies() -> None:
    net = model(kernel_regularizer="l2", kernel_constraint="max_norm", bias_regularizer="l1",
                activity_regularizer="l2", kernel_initializer="he_normal", bias_initializer="ones")
    y = net(tensor(IMAGES))    # while a result is noted down
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert isinstance(twin[0].weight.constraint, constraints.MaxNorm)
        assert isinstance(twin[3].bias.regularizer, regularizers.L1)
        assert twin[3].weight.regularizer is not net[3].weight.regularizer
        assert isinstance(twin[0].activity_regularizer, regularizers.L2)
        assert repr(twin) == repr(net)
        twin[0].reset_parameters()
        assert (twin[0].bias.numpy() == 1).all()
        assert nn.regularization_loss(twin).item() > 0
    del y
    assert list(net.state_dict()) == list(model().state_dict())
    assert isinstance(net.float()[0].weight.constraint, constraints.MaxNorm)


def test_without_options_nothing_changes() -> None:
    for layer in (nn.Conv2d(2, 3, 3), nn.Linear(2, 3)):
        for p in layer.parameters():
            assert p.constraint is None and p.regularizer is None
        assert "None" not in repr(layer)
    manual_seed(5)
    plain = nn.Conv2d(2, 3, 3)
    manual_seed(5)
    none = nn.Conv2d(2, 3, 3, **dict.fromkeys(WeightOptions.__annotations__))
    np.testing.assert_array_equal(plain.weight.numpy(), none.weight.numpy())


def test_repr_tells_the_options() -> None:
    linear = nn.Linear(2, 3, kernel_regularizer="l2", bias_initializer="constant", kernel_constraint="non_neg")
    assert repr(linear) == ("Linear(in_features=2, out_features=3, bias=True, bias_initializer=Constant(value=0.0), "
                            "kernel_regularizer=L2(l2=0.01), kernel_constraint=NonNeg())")
    conv = nn.Conv2d(1, 2, 3, kernel_initializer=nn.init.xavier_normal_, activity_regularizer="l1")
    assert repr(conv) == ("Conv2d(1, 2, kernel_size=(3, 3), stride=(1, 1), kernel_initializer=xavier_normal_, "
                          "activity_regularizer=L1(l1=0.01))")


REFUSED: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: regularizers.L1(-1), ValueError, "l1"),
    (lambda: regularizers.L2("0.1"), TypeError, "l2"),
    (lambda: regularizers.L1L2(0, np.nan), ValueError, "l2"),
    (lambda: regularizers.L1()([1.0]), TypeError, "x must"),
    (lambda: constraints.MaxNorm(-1), ValueError, "max_value"),
    (lambda: constraints.MaxNorm(1, axis=1.5), TypeError, "axis"),
    (lambda: constraints.UnitNorm((0, "1")), TypeError, r"axis\[1\]"),
    (lambda: constraints.MinMaxNorm(2, 1), ValueError, "max_value"),
    (lambda: constraints.MinMaxNorm(rate=2), ValueError, "rate"),
    (lambda: nn.Linear(1, 1, kernel_regularizer="l3"), ValueError, "kernel_regularizer.*'l3'"),
    (lambda: nn.Linear(1, 1, kernel_regularizer=0.01), TypeError, "kernel_regularizer"),
    (lambda: nn.Linear(1, 1, activity_regularizer=regularizers.L2), TypeError, r"activity_regularizer.*L2\(\)"),
    (lambda: nn.Conv2d(1, 1, 1, kernel_constraint="max"), ValueError, "kernel_constraint"),
    (lambda: nn.Conv2d(1, 1, 1, bias_constraint=[]), TypeError, "bias_constraint"),
    (lambda: nn.Conv2d(1, 1, 1, bias=False, bias_regularizer="l2"), ValueError, "bias_regularizer.*no bias"),
    (lambda: nn.Conv2d(1, 1, 1, kernel_regulariser="l2"), TypeError, "Conv2d has no argument 'kernel_regulariser'"),
    (lambda: nn.Linear(1, 1, weight_init="zeros"), TypeError, "Linear has no argument 'weight_init'"),
]


@pytest.mark.parametrize(("call", "kind", "text"), REFUSED, ids=[f"{i}-{c[2]}" for i, c in enumerate(REFUSED)])
def test_refuses(call: Callable[[], Any], kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text):
        call()
