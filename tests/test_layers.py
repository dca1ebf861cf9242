"""Layers one by one: what constructors refuse, initial values, dropout, batch norm, losses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastconv.random
from fastconv import nn
from fastconv.autograd import tensor
from fastconv.random import manual_seed

Array = np.ndarray[Any, Any]


# ---- Constructors ----------------------------------------------------------------------------------------

REFUSED: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: nn.Conv2d(0, 1, 3), ValueError, "in_channels"),
    (lambda: nn.Conv2d(-1, 1, 3), ValueError, "in_channels"),
    (lambda: nn.Conv2d(2**40, 1, 3), ValueError, "in_channels"),
    (lambda: nn.Conv2d(1, 0, 3), ValueError, "out_channels"),
    (lambda: nn.Conv2d(1, True, 3), TypeError, "out_channels"),
    (lambda: nn.Conv2d(1.0, 1, 3), TypeError, "in_channels"),  # type: ignore[arg-type]
    (lambda: nn.Conv2d(1, 1, (0, 3)), ValueError, "kernel_size"),
    (lambda: nn.Conv2d(1, 1, (3, 3, 3)), ValueError, "kernel_size"),  # type: ignore[arg-type]
    (lambda: nn.Conv2d(1, 1, "3"), TypeError, "kernel_size"),  # type: ignore[arg-type]
    (lambda: nn.Conv2d(1, 1, 3, stride=0), ValueError, "stride"),
    (lambda: nn.Conv2d(1, 1, 3, stride=1.5), TypeError, "stride"),  # type: ignore[arg-type]
    (lambda: nn.Conv2d(1, 1, 3, stride=True), TypeError, "stride"),
    (lambda: nn.Conv2d(1, 1, 3, padding=-1), ValueError, "padding"),
    (lambda: nn.Conv2d(1, 1, 3, padding=((1, -1), (0, 0))), ValueError, "padding"),
    (lambda: nn.Conv2d(1, 1, 3, padding="SAME "), ValueError, "padding"),
    (lambda: nn.Conv2d(1, 1, 3, padding=None), TypeError, "padding"),  # type: ignore[arg-type]
    (lambda: nn.Conv2d(1, 1, 3, dilation=0), ValueError, "dilation"),
    (lambda: nn.Conv2d(2, 3, 3, groups=2), ValueError, "groups"),
    (lambda: nn.Conv2d(3, 2, 3, groups=2), ValueError, "groups"),
    (lambda: nn.Conv2d(1, 1, 3, groups=0), ValueError, "groups"),
    (lambda: nn.Conv2d(1, 1, 3, bias=1), TypeError, "bias"),  # type: ignore[arg-type]
    (lambda: nn.Conv2d(1, 1, 3, padding_mode="mirror"), ValueError, "padding_mode"),
    (lambda: nn.Conv2d(1, 1, 3, algorithm="fft"), ValueError, "algorithm"),
    (lambda: nn.Conv2d(1, 1, 3, dtype=np.float16), TypeError, "dtype"),
    (lambda: nn.Linear(0, 1), ValueError, "in_features"),
    (lambda: nn.Linear(1, 2.0), TypeError, "out_features"),  # type: ignore[arg-type]
    (lambda: nn.MaxPool2d(0), ValueError, "kernel_size"),
    (lambda: nn.MaxPool2d(2, 0), ValueError, "stride"),
    (lambda: nn.MaxPool2d(2, padding=-1), ValueError, "padding"),
    (lambda: nn.MaxPool2d(2, dilation=0), ValueError, "dilation"),
    (lambda: nn.MaxPool2d(2, ceil_mode=1), TypeError, "ceil_mode"),  # type: ignore[arg-type]
    (lambda: nn.AvgPool2d((2, 0)), ValueError, "kernel_size"),
    (lambda: nn.AvgPool2d(2, divisor_override=0), ValueError, "divisor_override"),
    (lambda: nn.BatchNorm2d(0), ValueError, "num_features"),
    (lambda: nn.BatchNorm2d(1, eps=-1), ValueError, "eps"),
    (lambda: nn.BatchNorm2d(1, momentum=2), ValueError, "momentum"),
    (lambda: nn.BatchNorm2d(1, momentum=True), TypeError, "momentum"),
    (lambda: nn.Dropout(1.5), ValueError, "p must"),
    (lambda: nn.Dropout("0.5"), TypeError, "p must"),  # type: ignore[arg-type]
    (lambda: nn.Dropout(float("nan")), ValueError, "p must"),
    (lambda: nn.CrossEntropyLoss(reduction="avg"), ValueError, "reduction"),
    (lambda: nn.CrossEntropyLoss(label_smoothing=-0.1), ValueError, "label_smoothing"),
    (lambda: nn.CrossEntropyLoss(ignore_index=1.0), TypeError, "ignore_index"),  # type: ignore[arg-type]
    (lambda: nn.MSELoss("max"), ValueError, "reduction"),
    (lambda: nn.Sequential(lambda x: x), TypeError, "0"),  # type: ignore[arg-type]
    (lambda: nn.Parameter([1.0]), TypeError, "data"),  # type: ignore[arg-type]
    (lambda: nn.init.kaiming_uniform_(np.zeros(3)), ValueError, "2 axes"),
    (lambda: nn.init.kaiming_uniform_(np.zeros((3, 3)), mode="fan"), ValueError, "mode"),
    (lambda: nn.init.calculate_gain("swish"), ValueError, "nonlinearity"),
    (lambda: manual_seed(-1), ValueError, "seed"),
    (lambda: manual_seed(1.0), TypeError, "seed"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("make", "kind", "name"), REFUSED,
                         ids=[f"{i}-{c[2]}" for i, c in enumerate(REFUSED)])
def test_constructors_refuse(make: Callable[[], Any], kind: type[Exception], name: str) -> None:
    with pytest.raises(kind, match=name):
        make()


def test_integers_of_any_kind_are_taken() -> None:
    layer = nn.Conv2d(np.int64(2), np.int32(4), [3, np.int8(1)], groups=np.uint8(2))  # type: ignore[arg-type]
    assert repr(layer) == "Conv2d(2, 4, kernel_size=(3, 1), stride=(1, 1), groups=2)"


@pytest.mark.parametrize(("layer", "text"), [
    (nn.Conv2d(3, 8, 3), "Conv2d(3, 8, kernel_size=(3, 3), stride=(1, 1))"),
    (nn.Conv2d(4, 8, 3, 2, 1, 2, 4, False),
     "Conv2d(4, 8, kernel_size=(3, 3), stride=(2, 2), padding=(1, 1), dilation=(2, 2), groups=4, "
     "bias=False)"),
    (nn.Conv2d(3, 8, 3, padding="same", algorithm="direct"),
     "Conv2d(3, 8, kernel_size=(3, 3), stride=(1, 1), padding=same, algorithm=direct)"),
    (nn.MaxPool2d(2), "MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)"),
    (nn.AvgPool2d((2, 1)), "AvgPool2d(kernel_size=(2, 1), stride=(2, 1), padding=0)"),
    (nn.Linear(2, 3), "Linear(in_features=2, out_features=3, bias=True)"),
    (nn.Flatten(), "Flatten(start_dim=1, end_dim=-1)"),
    (nn.Dropout(), "Dropout(p=0.5, inplace=False)"),
    (nn.ReLU(inplace=True), "ReLU(inplace=True)"),
    (nn.Sequential(nn.ReLU()), "Sequential(\n  (0): ReLU()\n)"),
    (nn.Sequential({"a": nn.Sequential(nn.Tanh())}),
     "Sequential(\n  (a): Sequential(\n    (0): Tanh()\n  )\n)"),
], ids=lambda v: v if isinstance(v, str) else "")
def test_repr(layer: nn.Module, text: str) -> None:
    assert repr(layer) == text


# ---- Values ----------------------------------------------------------------------------------------------


def test_default_initialisation() -> None:
    manual_seed(0)
    for layer, fan_in in ((nn.Conv2d(8, 64, (3, 5), groups=2), 60), (nn.Linear(60, 256), 60)):
        for p in layer.parameters():
            bound = 1 / np.sqrt(fan_in)
            assert np.abs(p.numpy()).max() <= bound
            assert np.abs(p.numpy()).max() > 0.9 * bound
            assert abs(p.numpy().mean()) < 0.2 * bound


def test_initialisers() -> None:
    manual_seed(0)
    a = np.empty((200, 100), np.float32)
    assert nn.init.kaiming_normal_(a, nonlinearity="relu") is a
    assert abs(a.std() - np.sqrt(2 / 100)) < 2e-3
    nn.init.kaiming_uniform_(a, mode="fan_out", nonlinearity="relu")
    assert np.sqrt(6 / 200) * 0.99 < a.max() <= np.sqrt(6 / 200)
    nn.init.xavier_uniform_(a, gain=2)
    assert 2 * np.sqrt(6 / 300) * 0.99 < a.max() <= 2 * np.sqrt(6 / 300)
    nn.init.xavier_normal_(a)
    assert abs(a.std() - np.sqrt(2 / 300)) < 2e-3
    p = nn.Parameter(a)
    version = p.version
    assert nn.init.constant_(p, 3) is p and (p.numpy() == 3).all() and p.version > version
    assert (nn.init.ones_(p).numpy() == 1).all() and (nn.init.zeros_(p).numpy() == 0).all()
    assert abs(nn.init.normal_(p, 1, 2).numpy().mean() - 1) < 0.05
    assert 0 <= nn.init.uniform_(p).numpy().min() < 0.01


def test_the_seed_decides() -> None:
    def draw() -> bytes:
        layer = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5))
        y: Array = layer(np.ones((9, 4), np.float32)).numpy()
        return b"".join(v.tobytes() for v in (*layer.state_dict().values(), y))

    manual_seed(3)
    first = draw()
    state = fastconv.random.get_rng_state()
    second = draw()
    manual_seed(3)
    assert draw() == first and first != second
    fastconv.random.set_rng_state(state)
    assert draw() == second


def test_dropout() -> None:
    manual_seed(0)
    x = np.ones((100, 100), np.float32)
    y = nn.Dropout(0.25)(x).numpy()
    assert set(np.unique(y)) == {0, np.float32(1 / 0.75)}
    assert abs((y == 0).mean() - 0.25) < 0.02
    assert (nn.Dropout(1.0)(x).numpy() == 0).all()
    assert (nn.Dropout(0)(x).numpy() == 1).all()


def test_batch_norm_statistics() -> None:
    x = np.random.default_rng(0).normal(3, 2, (4, 2, 5, 6)).astype(np.float32)
    mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3), ddof=1)
    layer: Any = nn.BatchNorm2d(2)
    y = layer(x).numpy()
    np.testing.assert_allclose(y.mean((0, 2, 3)), 0, atol=1e-6)
    np.testing.assert_allclose(y.std((0, 2, 3)), 1, rtol=1e-5)
    np.testing.assert_allclose(layer.running_mean.numpy(), 0.1 * mean, rtol=1e-5)
    np.testing.assert_allclose(layer.running_var.numpy(), 0.9 + 0.1 * var, rtol=1e-5)
    assert layer.num_batches_tracked.item() == 1
    layer.reset_parameters()
    assert layer.running_var.tolist() == [1.0, 1.0] and layer.num_batches_tracked.item() == 0
    average: Any = nn.BatchNorm2d(2, momentum=None)
    average(x)
    average(x + np.float32(1))
    np.testing.assert_allclose(average.running_mean.numpy(), mean + 0.5, rtol=1e-5)
    assert list(nn.BatchNorm2d(2, affine=False, track_running_stats=False).state_dict()) == []


def test_batch_norm_keeps_its_digits_where_the_mean_is_large() -> None:
    noise = np.random.default_rng(0).normal(size=(8, 1, 16, 16))
    x = (noise + 1e4).astype(np.float32)
    exact = (x.astype(np.float64) - x.mean(dtype=np.float64)) / x.astype(np.float64).std()
    np.testing.assert_allclose(nn.BatchNorm2d(1, eps=0)(x).numpy(), exact, atol=1e-5)


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 4), (2, 2, 4, 4), (1, 3, 1, 1), (0, 3, 4, 4)])
def test_batch_norm_refuses(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="got shape"):
        nn.BatchNorm2d(3)(np.zeros(shape, np.float32))


def test_batch_norm_refuses_mixed_types() -> None:
    with pytest.raises(TypeError, match="float64"):
        nn.BatchNorm2d(3)(np.zeros((2, 3, 4, 4)))


@pytest.mark.parametrize(("target", "kind", "text"), [
    (np.array([0, 4, 1]), ValueError, "between 0 and 3, got 4"),
    (np.array([0, -1, 1]), ValueError, "got -1"),
    (np.array([0, 1]), ValueError, r"shape \(3,\), got \(2,\)"),
    (np.array([True, False, True]), TypeError, "bool"),
    (np.zeros((3, 4)), TypeError, "float32.*float64"),
    (np.zeros((3, 3), np.float32), ValueError, "input's shape"),
    ([0, 1, 2], TypeError, "target"),
])
def test_cross_entropy_refuses(target: Any, kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text):
        nn.CrossEntropyLoss()(tensor(np.zeros((3, 4), np.float32)), target)


def test_cross_entropy_of_impossible_classes() -> None:
    x = tensor([[0.0, -np.inf, 0.0]], requires_grad=True)
    loss = nn.CrossEntropyLoss()(x, np.array([0]))
    loss.backward()
    assert loss.item() == pytest.approx(np.log(2))
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), [[-0.5, 0, 0.5]], atol=1e-7)
    assert np.isnan(nn.CrossEntropyLoss()(x, np.array([-100])).item())
    big = nn.CrossEntropyLoss()(tensor([[1e30, 0.0]]), np.array([1]))
    assert big.item() == np.float32(1e30)
    with pytest.raises(ValueError, match="weight"):
        nn.CrossEntropyLoss(np.ones(2, np.float32))(x, np.array([0]))


def test_losses_refuse_shapes_that_would_broadcast() -> None:
    with pytest.raises(ValueError, match=r"\(3, 1\), got \(3,\)"):
        nn.MSELoss()(np.zeros((3, 1)), np.zeros(3))
    with pytest.raises(TypeError, match="float32"):
        nn.MSELoss()(np.zeros(3), np.zeros(3, np.float32))
