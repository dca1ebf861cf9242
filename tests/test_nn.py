"""Layers: gradients of every one, and what calls refuse."""

from __future__ import annotations

import copy
import doctest
import importlib
import inspect
import multiprocessing
import pickle
import pkgutil
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from gradients import check_gradients, distinct
from layer_examples import EXAMPLES as MORE_EXAMPLES
from pool_examples import POOLS
from small_nets import images, small_net

from fastconv import nn
from fastconv.autograd import Tensor, no_grad, tensor
from fastconv.random import manual_seed

Array = np.ndarray[Any, Any]


def one_hot(classes: int, *indices: int) -> Array:
    return np.eye(classes)[list(indices)]


CLASSES = np.array([1, 0, 3])
WEIGHTS = np.array([0.5, 1.0, 2.0, 1.5])
SIGNS = np.array([[1.0, -1.0, 1.0, -1.0], [1.0, 1.0, -1.0, -1.0], [-1.0, 1.0, -1.0, 1.0]])
PIXELS = np.array([[[0, 1], [3, -100]], [[2, 2], [1, 0]]])

# Every layer has an entry, (make, inputs): one float64 input is differentiated, the others are passed on.
EXAMPLES: dict[type[nn.Module], list[tuple[Callable[[], nn.Module], tuple[Array, ...]]]] = {
    **POOLS,
    nn.BCELoss: [
        (lambda: nn.BCELoss(), (distinct(3, 4) / 2.5 + 0.5, one_hot(4, 1, 0, 3))),
        (lambda: nn.BCELoss(WEIGHTS, "none"), (distinct(3, 4) / 2.5 + 0.5, one_hot(4, 1, 0, 3) * 0.7)),
    ],
    nn.BCEWithLogitsLoss: [
        (lambda: nn.BCEWithLogitsLoss(), (distinct(3, 4) * 4, one_hot(4, 1, 0, 3))),
        (lambda: nn.BCEWithLogitsLoss(WEIGHTS, "sum", WEIGHTS), (distinct(3, 4), one_hot(4, 1, 0, 3) * 0.7)),
    ],
    nn.BatchNorm2d: [
        (lambda: nn.BatchNorm2d(2), (distinct(3, 2, 2, 3),)),
        (lambda: nn.BatchNorm2d(2).eval(), (distinct(3, 2, 2, 3),)),
        (lambda: nn.BatchNorm2d(2, affine=False, momentum=None), (distinct(3, 2, 2, 3),)),
        (lambda: nn.BatchNorm2d(2, bias=False), (distinct(3, 2, 2, 3),)),
        (lambda: nn.BatchNorm2d(2, track_running_stats=False).eval(), (distinct(3, 2, 2, 3),)),
    ],
    nn.Conv2d: [
        (lambda: nn.Conv2d(3, 4, 3), (distinct(2, 3, 5, 6),)),
        (lambda: nn.Conv2d(4, 6, (3, 2), (2, 1), ((1, 0), (0, 2)), (1, 2), 2), (distinct(2, 4, 6, 7),)),
        (lambda: nn.Conv2d(2, 3, 3, stride=2, padding="same", bias=False), (distinct(2, 6, 5),)),
    ],
    nn.Conv1d: [
        (lambda: nn.Conv1d(3, 4, 3, padding=2, padding_mode="circular"), (distinct(2, 3, 7),)),
        (lambda: nn.Conv1d(4, 6, 2, 2, "same", 2, 2), (distinct(4, 9),)),
    ],
    nn.Conv3d: [
        (lambda: nn.Conv3d(2, 3, (2, 3, 2), padding=1, padding_mode="reflect"), (distinct(1, 2, 3, 4, 3),)),
        (lambda: nn.Conv3d(2, 2, 2, (1, 2, 1), bias=False), (distinct(2, 3, 4, 3),)),
    ],
    nn.ConvTranspose1d: [(lambda: nn.ConvTranspose1d(4, 6, 3, 2, 1, 1, 2), (distinct(2, 4, 5),))],
    nn.ConvTranspose2d: [
        (lambda: nn.ConvTranspose2d(3, 2, 3), (distinct(2, 3, 3, 4),)),
        (lambda: nn.ConvTranspose2d(4, 2, (3, 2), (2, 1), ((1, 0), (0, 1)), (1, 1), 2, False, (1, 2)),
         (distinct(4, 3, 4),)),
    ],
    nn.ConvTranspose3d: [(lambda: nn.ConvTranspose3d(2, 1, 2, 2), (distinct(1, 2, 2, 3, 2),))],
    nn.CrossEntropyLoss: [
        (lambda: nn.CrossEntropyLoss(), (distinct(3, 4), CLASSES)),
        (lambda: nn.CrossEntropyLoss(WEIGHTS, label_smoothing=0.1), (distinct(3, 4), CLASSES)),
        (lambda: nn.CrossEntropyLoss(WEIGHTS, reduction="none"), (distinct(2, 4, 2, 2), PIXELS)),
        (lambda: nn.CrossEntropyLoss(reduction="sum"), (distinct(4), np.array(2))),
        (lambda: nn.CrossEntropyLoss(WEIGHTS, label_smoothing=0.1), (distinct(3, 4), one_hot(4, 1, 0, 3))),
    ],
    nn.DepthwiseConv2d: [
        (lambda: nn.DepthwiseConv2d(3, 3, 2, 1, depth_multiplier=2), (distinct(2, 3, 5, 4),)),
        (lambda: nn.DepthwiseConv2d(2, 2, padding=1, padding_mode="replicate"), (distinct(2, 4, 4),)),
    ],
    nn.Dropout: [
        (lambda: nn.Dropout(0.4), (distinct(4, 5),)),
        (lambda: nn.Dropout().eval(), (distinct(4, 5),)),
    ],
    nn.Flatten: [
        (lambda: nn.Flatten(), (distinct(2, 3, 4),)),
        (lambda: nn.Flatten(0, 1), (distinct(2, 3, 4),)),
    ],
    nn.Fold: [(lambda: nn.Fold((4, 5), 2, 1, 1, 2), (distinct(1, 8, 9),)), (lambda: nn.Fold(3, 2), (distinct(4, 4),))],
    nn.HingeEmbeddingLoss: [(lambda: nn.HingeEmbeddingLoss(0.5, "none"), (distinct(3, 4), SIGNS))],
    nn.HingeLoss: [(lambda: nn.HingeLoss(), (distinct(3, 4) * 2, SIGNS))],
    nn.HuberLoss: [
        (lambda: nn.HuberLoss(), (distinct(3, 4) * 2, np.zeros((3, 4)))),
        (lambda: nn.HuberLoss("none", 0.3), (distinct(3, 4), np.full((3, 4), 0.1))),
    ],
    nn.Identity: [(lambda: nn.Identity(3, a=1), (distinct(2, 3),))],
    nn.KLDivLoss: [
        (lambda: nn.KLDivLoss(), (distinct(3, 4), one_hot(4, 1, 0, 3))),
        (lambda: nn.KLDivLoss("batchmean"), (distinct(3, 4), distinct(3, 4) / 2 + 0.5)),
        (lambda: nn.KLDivLoss("sum", log_target=True), (distinct(3, 4), distinct(3, 4))),
    ],
    nn.L1Loss: [(lambda: nn.L1Loss(), (distinct(3, 4), np.zeros((3, 4)))), (lambda: nn.L1Loss("none"), (
        distinct(3, 4), np.zeros((3, 4))))],
    nn.Linear: [
        (lambda: nn.Linear(4, 3), (distinct(5, 4),)),
        (lambda: nn.Linear(4, 3, bias=False), (distinct(2, 3, 4),)),
        (lambda: nn.Linear(4, 1), (distinct(4),)),
    ],
    nn.LocallyConnected1d: [(lambda: nn.LocallyConnected1d(2, 3, 7, 3, 2, 1), (distinct(2, 2, 7),))],
    nn.LocallyConnected2d: [
        (lambda: nn.LocallyConnected2d(2, 3, (5, 4), 3, padding=1), (distinct(2, 2, 5, 4),)),
        (lambda: nn.LocallyConnected2d(2, 3, 5, (3, 2), 2, bias=False), (distinct(2, 5, 5),)),
    ],
    nn.MSELoss: [
        (lambda: nn.MSELoss(), (distinct(3, 4), np.zeros((3, 4)))),
        (lambda: nn.MSELoss("sum"), (distinct(3, 4), np.ones((3, 4)))),
        (lambda: nn.MSELoss("none"), (distinct(3, 4), np.ones((3, 4)))),
    ],
    nn.ModuleList: [(lambda: _Both(), (distinct(2, 4),))],
    nn.MultiMarginLoss: [
        (lambda: nn.MultiMarginLoss(), (distinct(3, 4) * 3, CLASSES)),
        (lambda: nn.MultiMarginLoss(2, 0.4, WEIGHTS, "none"), (distinct(3, 4) * 3, CLASSES)),
        (lambda: nn.MultiMarginLoss(), (distinct(4), np.array(2))),
    ],
    nn.NLLLoss: [
        (lambda: nn.NLLLoss(), (distinct(3, 4), CLASSES)),
        (lambda: nn.NLLLoss(WEIGHTS), (distinct(2, 4, 2, 2), PIXELS)),
        (lambda: nn.NLLLoss(WEIGHTS, 1, "none"), (distinct(3, 4), CLASSES)),
        (lambda: nn.NLLLoss(reduction="sum"), (distinct(4), np.array(2))),
    ],
    nn.ReLU: [(lambda: nn.ReLU(), (distinct(3, 4),)), (lambda: nn.ReLU(inplace=True), (distinct(3, 4),))],
    nn.SeparableConv2d: [(lambda: nn.SeparableConv2d(3, 4, 3, 2, "full", depth_multiplier=2), (distinct(2, 3, 4, 4),))],
    nn.Sequential: [(lambda: nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2)), (distinct(5, 4),))],
    nn.Sigmoid: [(lambda: nn.Sigmoid(), (distinct(3, 4),))],
    nn.SmoothL1Loss: [
        (lambda: nn.SmoothL1Loss(), (distinct(3, 4) * 2, np.zeros((3, 4)))),
        (lambda: nn.SmoothL1Loss("none", 0.3), (distinct(3, 4), np.full((3, 4), 0.1))),
    ],
    nn.Tanh: [(lambda: nn.Tanh(), (distinct(3, 4),))],
    nn.TiledConv2d: [
        (lambda: nn.TiledConv2d(2, 3, (2, 3), 3, padding=1), (distinct(2, 2, 5, 4),)),
        (lambda: nn.TiledConv2d(2, 3, 1, 2, 2, 0, 2), (distinct(2, 5, 5),)),
    ],
    nn.Unfold: [(lambda: nn.Unfold(2, 1, 1, 2), (distinct(1, 2, 4, 5),)), (lambda: nn.Unfold(2), (distinct(1, 3, 3),))],
}

EXAMPLES.update(MORE_EXAMPLES)

CASES = [pytest.param(make, inputs, id=f"{layer.__name__}{i}")
         for layer, cases in EXAMPLES.items() for i, (make, inputs) in enumerate(cases)]

# Those that treat each sample of a batch by itself; not those that are given a single sample.
TOGETHER = {(nn.BatchNorm2d, 4), (nn.InstanceNorm1d, 1), (nn.Conv1d, 1), (nn.Conv3d, 1), (nn.Fold, 1)}
BATCHED = [
    pytest.param(make, inputs, id=f"{layer.__name__}{i}")
    for layer, cases in EXAMPLES.items() for i, (make, inputs) in enumerate(cases)
    if inputs[0].ndim in (2, 4) and len(inputs) == 1 and (layer, i) not in TOGETHER
]


class _Both(nn.Module):
    """What a ModuleList is for."""

    def __init__(self) -> None:
        super().__init__()
        self.branches = nn.ModuleList([nn.Linear(4, 3), nn.Linear(4, 3)])

    def forward(self, x: Tensor) -> Tensor:
        first, second = self.branches
        return first(x) * second(x)  # type: ignore[no-any-return]


# ---- Every layer -----------------------------------------------------------------------------------------


def test_every_layer_has_an_entry() -> None:
    layers = {c for _, c in inspect.getmembers(nn, inspect.isclass) if issubclass(c, nn.Module)}
    assert layers - {nn.Module} == set(EXAMPLES), "add the new layer to EXAMPLES"
    assert {c.__name__ for c in layers} <= set(nn.__all__)


@pytest.mark.parametrize(("make", "inputs"), CASES)
def test_gradient(make: Callable[[], nn.Module], inputs: tuple[Array, ...]) -> None:
    manual_seed(1)
    layer = make().double()
    x = tensor(inputs[0], requires_grad=True)

    def forward() -> Tensor:
        manual_seed(2)  # the same dropout every time
        y = layer(x, *inputs[1:])
        assert isinstance(y, Tensor)
        return y

    check_gradients(forward, [x, *layer.parameters()], rtol=2e-5)


@pytest.mark.parametrize(("make", "inputs"), CASES)
def test_float32_agrees_with_float64_and_stays_float32(
    make: Callable[[], nn.Module], inputs: tuple[Array, ...]
) -> None:
    manual_seed(1)
    layer = make().float()
    narrow = tuple(a.astype(np.float32) if a.dtype.kind == "f" else a for a in inputs)
    wide = copy.deepcopy(layer).double()
    manual_seed(2)
    x = tensor(narrow[0], requires_grad=True)
    y = layer(x, *narrow[1:])
    assert y.dtype == np.float32
    manual_seed(2)
    x64 = tensor(narrow[0].astype(np.float64), requires_grad=True)
    y64 = wide(x64, *(a.astype(np.float64) if a.dtype.kind == "f" else a for a in narrow[1:]))
    np.testing.assert_allclose(y.numpy(), y64.numpy(), rtol=2e-5, atol=2e-6)
    y.sum().backward()
    y64.sum().backward()
    for mine, exact in zip([x, *layer.parameters()], [x64, *wide.parameters()], strict=True):
        assert mine.grad is not None and exact.grad is not None and mine.grad.dtype == np.float32
        np.testing.assert_allclose(mine.grad.numpy(), exact.grad.numpy(), rtol=2e-4, atol=2e-6)


@pytest.mark.parametrize(("make", "inputs"), CASES)
def test_evaluation_on_arrays_gives_arrays_and_keeps_no_state(
    make: Callable[[], nn.Module], inputs: tuple[Array, ...]
) -> None:
    layer = make().double().eval()
    before = pickle.dumps(layer)
    y = layer(*inputs)
    assert type(y) is np.ndarray
    assert pickle.dumps(layer) == before
    np.testing.assert_array_equal(layer(tensor(inputs[0]), *inputs[1:]).numpy(), y)
    results: list[Array] = [np.empty(0)] * 4

    def work(i: int) -> None:
        results[i] = layer(*inputs)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        np.testing.assert_array_equal(result, y)


@pytest.mark.parametrize(("make", "inputs"), CASES)
def test_copies_and_state_dicts_make_the_same_layer(
    make: Callable[[], nn.Module], inputs: tuple[Array, ...]
) -> None:
    layer = make().double()
    layer.train()(*inputs)  # moves running statistics
    layer.eval()
    y = layer(*inputs)
    other = make().double().eval()
    assert str(other.load_state_dict(layer.state_dict())) == "<All keys matched successfully>"
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)), other):
        np.testing.assert_array_equal(twin(*inputs), y)
        for p, q in zip(twin.parameters(), layer.parameters(), strict=True):
            assert not np.may_share_memory(p.numpy(), q.numpy())


@pytest.mark.parametrize(("make", "inputs"), BATCHED)
def test_no_result_depends_on_the_rest_of_the_batch(
    make: Callable[[], nn.Module], inputs: tuple[Array, ...]
) -> None:
    layer = make().float().eval()
    x = inputs[0].astype(np.float32)
    y = layer(x)
    for i in range(len(x)):
        np.testing.assert_array_equal(layer(x[i:i + 1])[0], y[i])


# ---- Arrays or tensors -----------------------------------------------------------------------------------


def test_what_comes_out() -> None:
    net, x = small_net(), images()
    assert isinstance(net(x), Tensor) and isinstance(net(tensor(x)), Tensor)
    with no_grad():
        assert type(net(x)) is np.ndarray
        assert isinstance(net(tensor(x)), Tensor)
    net.eval()
    assert type(net(x)) is np.ndarray
    y = net(tensor(x))
    assert isinstance(y, Tensor) and y.requires_grad
    pooled = nn.MaxPool2d(2, return_indices=True).eval()(x)
    assert [type(part) for part in pooled] == [np.ndarray, np.ndarray]
    assert nn.MaxPool2d(2, return_indices=True)(tensor(x))[1].dtype == np.int64


def test_forward_always_sees_tensors() -> None:
    class Net(nn.Module):
        def forward(self, x: Tensor, *, y: Tensor) -> Tensor:
            assert isinstance(x, Tensor) and isinstance(y, Tensor)
            return x.view(x.size(0), -1) + y

    x, y = np.ones((2, 3, 1)), np.ones((2, 3))
    assert type(Net().eval()(x, y=y)) is np.ndarray
    assert isinstance(Net()(x, y=y), Tensor)
    assert isinstance(Net().eval()(tensor(x), y=y), Tensor)


@pytest.mark.parametrize("bad", [[[1.0]], None, "x", np.ma.masked_array([1.0]), np.array(["a"]),
                                 np.zeros((1, 1, 4, 4), np.int64), np.zeros((1, 1, 4, 4), ">f4").tolist()])
def test_bad_inputs_are_refused_and_the_layer_is_named(bad: Any) -> None:
    with pytest.raises(TypeError) as caught:
        small_net()(bad)
    assert len(caught.value.__notes__) == 1


def test_errors_name_the_layer_once() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = small_net()

        def forward(self, x: Tensor) -> Tensor:
            return self.net(x)  # type: ignore[no-any-return]

    with pytest.raises(ValueError) as caught:
        Model()(np.zeros((1, 2, 4, 4), np.float32))
    assert caught.value.__notes__ == ["raised in Conv2d 'net.features.0'"]
    with pytest.raises(ValueError) as caught:
        nn.Conv2d(1, 4, 3)(np.zeros((1, 2, 4, 4), np.float32))
    assert caught.value.__notes__ == ["raised in Conv2d(1, 4, kernel_size=(3, 3), stride=(1, 1))"]


def test_functional_agrees_with_the_layers() -> None:
    F = nn.functional
    x = distinct(2, 3, 6, 6)
    conv, linear = nn.Conv2d(3, 4, 3, dtype=np.float64), nn.Linear(6, 2, dtype=np.float64)
    pairs = [
        (F.conv2d(x, conv.weight, conv.bias), conv), (F.linear(x, linear.weight, linear.bias), linear),
        (F.max_pool2d(x, 2), nn.MaxPool2d(2)), (F.avg_pool2d(x, 2), nn.AvgPool2d(2)), (F.relu(x), nn.ReLU()),
        (F.sigmoid(x), nn.Sigmoid()), (F.tanh(x), nn.Tanh()), (F.dropout(x, training=False), nn.Dropout()),
    ]
    for result, layer in pairs:
        assert isinstance(result, Tensor)
        np.testing.assert_array_equal(result.numpy(), layer.eval()(x))
    y, where = F.max_pool2d(x[0], 2, return_indices=True)
    assert y.shape == where.shape == (3, 3, 3)
    np.testing.assert_allclose(F.softmax(x, 1).sum(1).numpy(), 1)
    np.testing.assert_allclose(F.log_softmax(x, 1).exp().numpy(), F.softmax(x, 1).numpy())
    with pytest.raises(ValueError, match=r"\(N, C, H, W\)"):
        F.conv2d(x[0, 0], conv.weight)
    for function in (F.softmax, F.log_softmax):
        leaf = tensor(distinct(3, 4), requires_grad=True)
        check_gradients(lambda f=function, leaf=leaf: f(leaf, 1), [leaf])  # type: ignore[misc]


def test_training_after_changing_weights_is_an_error() -> None:
    net = nn.Linear(2, 1)
    x = tensor([[1.0, 2.0]], requires_grad=True)
    loss = net(x).sum()
    net.weight.data = np.zeros((1, 2), np.float32)
    with pytest.raises(RuntimeError, match="changed between forward and backward"):
        loss.backward()


def _predict_in_child(connection: Any, net: nn.Module, x: Array) -> None:
    connection.send(net(x))


def test_a_layer_works_after_fork() -> None:
    net, x = small_net().eval(), images()
    expected = net(x)
    context = multiprocessing.get_context("fork")
    mine, theirs = context.Pipe()
    child = context.Process(target=_predict_in_child, args=(theirs, net, x))
    child.start()
    assert mine.poll(30), "the child hangs"
    np.testing.assert_array_equal(mine.recv(), expected)
    child.join()


@pytest.mark.parametrize("name", ["fastconv.random", *(
    f"fastconv.nn.{module.name}" for module in pkgutil.iter_modules(nn.__path__))])
def test_doctests(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0
