"""Layers: gradients of every one, the module system, and what constructors and calls refuse."""

from __future__ import annotations

import copy
import doctest
import importlib
import inspect
import multiprocessing
import pickle
import pkgutil
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from gradients import check_gradients

import fastconv.random
from fastconv import nn
from fastconv.autograd import Tensor, no_grad, tensor
from fastconv.random import manual_seed

Array = np.ndarray[Any, Any]


def distinct(*shape: int) -> Array:
    """Numbers between -1 and 1, no two equal and none near 0: no kink of a maximum or a ReLU is near."""
    values = np.linspace(-1, 1, 2 * int(np.prod(shape)))[::2]
    return np.random.default_rng(0).permutation(values).reshape(shape)


def one_hot(classes: int, *indices: int) -> Array:
    return np.eye(classes)[list(indices)]


CLASSES = np.array([1, 0, 3])
WEIGHTS = np.array([0.5, 1.0, 2.0, 1.5])
SIGNS = np.array([[1.0, -1.0, 1.0, -1.0], [1.0, 1.0, -1.0, -1.0], [-1.0, 1.0, -1.0, 1.0]])
PIXELS = np.array([[[0, 1], [3, -100]], [[2, 2], [1, 0]]])

# Every layer has an entry, (make, inputs): one float64 input is differentiated, the others are passed on.
EXAMPLES: dict[type[nn.Module], list[tuple[Callable[[], nn.Module], tuple[Array, ...]]]] = {
    nn.AvgPool2d: [
        (lambda: nn.AvgPool2d(2), (distinct(2, 2, 4, 5),)),
        (lambda: nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False), (distinct(1, 2, 6, 5),)),
        (lambda: nn.AvgPool2d((2, 1), divisor_override=3), (distinct(2, 4, 5),)),
    ],
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
    nn.CrossEntropyLoss: [
        (lambda: nn.CrossEntropyLoss(), (distinct(3, 4), CLASSES)),
        (lambda: nn.CrossEntropyLoss(WEIGHTS, label_smoothing=0.1), (distinct(3, 4), CLASSES)),
        (lambda: nn.CrossEntropyLoss(WEIGHTS, reduction="none"), (distinct(2, 4, 2, 2), PIXELS)),
        (lambda: nn.CrossEntropyLoss(reduction="sum"), (distinct(4), np.array(2))),
        (lambda: nn.CrossEntropyLoss(WEIGHTS, label_smoothing=0.1), (distinct(3, 4), one_hot(4, 1, 0, 3))),
    ],
    nn.Dropout: [
        (lambda: nn.Dropout(0.4), (distinct(4, 5),)),
        (lambda: nn.Dropout().eval(), (distinct(4, 5),)),
    ],
    nn.Flatten: [
        (lambda: nn.Flatten(), (distinct(2, 3, 4),)),
        (lambda: nn.Flatten(0, 1), (distinct(2, 3, 4),)),
    ],
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
    nn.MSELoss: [
        (lambda: nn.MSELoss(), (distinct(3, 4), np.zeros((3, 4)))),
        (lambda: nn.MSELoss("sum"), (distinct(3, 4), np.ones((3, 4)))),
        (lambda: nn.MSELoss("none"), (distinct(3, 4), np.ones((3, 4)))),
    ],
    nn.MaxPool2d: [
        (lambda: nn.MaxPool2d(2), (distinct(2, 2, 4, 5),)),
        (lambda: nn.MaxPool2d(3, 2, 1, ceil_mode=True), (distinct(2, 6, 5),)),
        (lambda: nn.MaxPool2d((2, 1), 1, 0, (2, 1)), (distinct(1, 2, 4, 3),)),
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
    nn.Sequential: [(lambda: nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2)), (distinct(5, 4),))],
    nn.Sigmoid: [(lambda: nn.Sigmoid(), (distinct(3, 4),))],
    nn.SmoothL1Loss: [
        (lambda: nn.SmoothL1Loss(), (distinct(3, 4) * 2, np.zeros((3, 4)))),
        (lambda: nn.SmoothL1Loss("none", 0.3), (distinct(3, 4), np.full((3, 4), 0.1))),
    ],
    nn.Tanh: [(lambda: nn.Tanh(), (distinct(3, 4),))],
}

CASES = [pytest.param(make, inputs, id=f"{layer.__name__}{i}")
         for layer, cases in EXAMPLES.items() for i, (make, inputs) in enumerate(cases)]

# Those that treat each sample of a batch by itself.
BATCHED = [
    pytest.param(make, inputs, id=f"{layer.__name__}{i}")
    for layer, cases in EXAMPLES.items() for i, (make, inputs) in enumerate(cases)
    if inputs[0].ndim in (2, 4) and len(inputs) == 1 and (layer, i) != (nn.BatchNorm2d, 4)
]


class _Both(nn.Module):
    """What a ModuleList is for."""

    def __init__(self) -> None:
        super().__init__()
        self.branches = nn.ModuleList([nn.Linear(4, 3), nn.Linear(4, 3)])

    def forward(self, x: Tensor) -> Tensor:
        first, second = self.branches
        return first(x) * second(x)  # type: ignore[no-any-return]


def small_net() -> nn.Sequential:
    return nn.Sequential(OrderedDict(
        features=nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2)),
        head=nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(16, 3)),
    ))


def images(n: int = 2) -> Array:
    return np.random.default_rng(1).normal(size=(n, 1, 4, 4)).astype(np.float32)


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


# ---- Parameters ------------------------------------------------------------------------------------------


def test_a_parameter_counts_its_changes() -> None:
    source = np.zeros((2, 3), np.float32)
    p = nn.Parameter(source)
    source += 1
    assert p.numpy().sum() == 0 and p.requires_grad and p.is_leaf
    with pytest.raises(ValueError):
        p.numpy()[0, 0] = 1
    versions = [p.version]

    def changed() -> bool:
        versions.append(p.version)
        return versions[-1] > versions[-2]

    p.data = np.ones((2, 3), np.float32)
    assert changed() and p.numpy().sum() == 6
    p.copy_(np.full((2, 3), 2.0))
    assert changed() and p.dtype == np.float32 and p.numpy().sum() == 12
    with p.writable() as a:
        inside = p.version
        assert changed()
        a[0] = 0
    assert changed() and p.version > inside and p.numpy().sum() == 6
    with no_grad():
        p -= 1.0
        p *= np.float32(2)
        p += np.ones(3, np.float32)
        p /= 2
    assert changed() and isinstance(p, nn.Parameter) and p.numpy().sum() == 3
    assert not changed()


def test_a_parameter_refuses() -> None:
    p = nn.Parameter(np.zeros((2, 3), np.float32))
    with pytest.raises(ValueError, match=r"\(2, 3\), got \(3, 2\)"):
        p.data = np.zeros((3, 2), np.float32)
    with pytest.raises(TypeError, match="float32.*float64"):
        p.data = np.zeros((2, 3))
    with pytest.raises(TypeError):
        p.copy_(np.zeros((2, 3), complex))
    with pytest.raises(RuntimeError, match="no_grad"):
        p += 1.0
    with pytest.raises(TypeError, match="float32.*float64"), no_grad():
        p += np.zeros((2, 3))
    with pytest.raises(RuntimeError), p.writable() as a:
        version = p.version
        a += 1
        raise RuntimeError
    assert p.version > version


# ---- Modules ---------------------------------------------------------------------------------------------


def test_names() -> None:
    net = small_net()
    assert [name for name, _ in net.named_modules()] == [
        "", "features", "features.0", "features.1", "features.2", "features.3",
        "head", "head.0", "head.1", "head.2",
    ]
    assert [name for name, _ in net.named_parameters()] == [
        "features.0.weight", "features.0.bias", "features.1.weight", "features.1.bias", "head.2.weight",
        "head.2.bias",
    ]
    assert [name for name, _ in net.named_buffers()] == [
        "features.1.running_mean", "features.1.running_var", "features.1.num_batches_tracked",
    ]
    assert list(net.state_dict("m.")) == ["m." + key for key in net.state_dict()]
    assert [name for name, _ in net.named_children()] == ["features", "head"]
    assert len(list(net.modules())) == 10 and len(list(net.children())) == 2
    assert len(list(net.buffers())) == 3
    assert net.get_submodule("head.2") is net.head[2] and net.get_submodule("") is net
    with pytest.raises(AttributeError, match=r"head\.9"):
        net.get_submodule("head.9")


def test_shared_modules_count_once() -> None:
    layer = nn.Linear(2, 2)
    net = nn.Sequential(layer, layer)
    assert len(list(net.parameters())) == 2 and len(list(net.children())) == 1
    assert list(net.state_dict()) == ["0.weight", "0.bias", "1.weight", "1.bias"]
    twin = copy.deepcopy(net)
    assert twin[0] is twin[1]
    assert len(list(pickle.loads(pickle.dumps(net)).parameters())) == 2


def test_attributes() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(np.ones(2))
            self.layer = nn.Linear(2, 2)
            self.register_buffer("seen", np.zeros(2))
            self.register_buffer("scratch", np.zeros(2), persistent=False)
            self.register_parameter("none", None)
            self.plain = 3

    net: Any = Net()
    assert list(net.state_dict()) == ["w", "seen", "layer.weight", "layer.bias"]
    assert {"w", "layer", "seen", "none", "plain"} <= set(dir(net))
    net.seen = np.ones(2)
    assert isinstance(net.seen, Tensor) and net.state_dict()["seen"].tolist() == [1.0, 1.0]
    with pytest.raises(TypeError, match="w must be a Parameter"):
        net.w = np.ones(2)
    with pytest.raises(TypeError, match="layer must be a Module"):
        net.layer = 3
    net.w = None
    assert net.w is None and "w" not in net.state_dict()
    net.plain = nn.ReLU()  # becomes a child
    assert "plain" in dict(net.named_children())
    del net.plain
    with pytest.raises(AttributeError, match="no attribute 'plain'"):
        net.plain  # noqa: B018
    for name in ("", "a.b"):
        with pytest.raises(ValueError, match="without a dot"):
            net.register_parameter(name, nn.Parameter(np.ones(1)))

    class Early(nn.Module):
        def __init__(self) -> None:
            self.w = nn.Parameter(np.ones(2))

    with pytest.raises(AttributeError, match="super"):
        Early()


def test_modes_and_conversions() -> None:
    net = small_net()
    assert net.eval() is net and not any(m.training for m in net.modules())
    assert net.train() is net and all(m.training for m in net.modules())
    with pytest.raises(ValueError, match="mode"):
        net.train(1)  # type: ignore[arg-type]
    net(images()).sum().backward()
    net.double()
    assert {a.dtype for a in net.state_dict().values()} == {np.dtype(np.float64), np.dtype(np.int64)}
    assert all(p.grad is not None and p.grad.dtype == np.float64 for p in net.parameters())
    assert net.float()(images()).dtype == np.float32
    net.zero_grad(set_to_none=False)
    assert all(p.grad is not None and not p.grad.numpy().any() for p in net.parameters())
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())
    net.requires_grad_(False)
    assert not net(images()).requires_grad
    order: list[str] = []
    assert net.apply(lambda m: order.append(type(m).__name__)) is net
    assert order[0] == "Conv2d" and order[-1] == "Sequential" and len(order) == 10


def test_containers() -> None:
    a, b, c, d = nn.ReLU(), nn.Tanh(), nn.Sigmoid(), nn.Identity()
    net = nn.Sequential(a, b).append(c)
    assert list(net) == [a, b, c] and len(net) == 3 and net[-1] is c
    assert list(net[1:]) == [b, c] and isinstance(net[1:], nn.Sequential)
    net.insert(1, d)
    assert list(net) == [a, d, b, c]
    del net[0]
    assert list(net) == [d, b, c] and [name for name, _ in net.named_children()] == ["0", "1", "2"]
    net[0] = a
    assert list(net.extend([d])) == [a, b, c, d]
    with pytest.raises(IndexError, match="4 modules"):
        net[4]
    assert len(nn.ModuleList()) == 0
    with pytest.raises(TypeError, match="0 must be a Module"):
        nn.ModuleList([3])  # type: ignore[list-item]


# ---- State dicts -----------------------------------------------------------------------------------------


def test_a_state_dict_is_a_snapshot() -> None:
    net = small_net()
    state = net.state_dict()
    kept = {key: value.copy() for key, value in state.items()}
    net(images())
    with no_grad():
        for p in net.parameters():
            p += 1.0
    for key, value in kept.items():
        np.testing.assert_array_equal(state[key], value)
    net.load_state_dict(state)
    np.testing.assert_array_equal(net.state_dict()["head.2.weight"], kept["head.2.weight"])


def test_loading_changes_nothing_unless_everything_fits() -> None:
    net = small_net()
    before = {key: value.tobytes() for key, value in net.state_dict().items()}
    state: dict[str, Any] = {key: np.full_like(value, 7) for key, value in net.state_dict().items()}
    del state["features.0.bias"]
    state["head.2.weight"] = state["head.2.weight"].T
    state["head.2.bias"] = [1.0, 2.0, 3.0]
    state["features.1.bias"] = np.zeros(4, complex)
    state["extra"] = np.zeros(1)
    with pytest.raises(ValueError) as caught:
        net.load_state_dict(state)
    message = str(caught.value)
    for part in ("missing key: 'features.0.bias'", "unexpected key: 'extra'", "head.2.bias: got list",
                 "head.2.weight: got shape (16, 3) (transposed?), expected (3, 16)", "complex128"):
        assert part in message
    assert {key: value.tobytes() for key, value in net.state_dict().items()} == before
    with pytest.raises(ValueError, match="transposed"):
        net.load_state_dict(state, strict=False)
    assert {key: value.tobytes() for key, value in net.state_dict().items()} == before


def test_loading_what_is_there() -> None:
    net = small_net()
    result = net.load_state_dict({"head.2.bias": np.ones(3), "extra": np.ones(1)}, strict=False)
    assert "features.0.weight" in result.missing_keys and result.unexpected_keys == ["extra"]
    assert repr(result).startswith("IncompatibleKeys(missing_keys=[")
    assert net.head[2].bias.tolist() == [1.0, 1.0, 1.0] and net.head[2].bias.dtype == np.float32
    old = net.state_dict()
    del old["features.1.num_batches_tracked"]  # as in files from before it existed
    assert net.load_state_dict(old).missing_keys == []


# ---- Single layers ---------------------------------------------------------------------------------------


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
