# mypy: ignore-errors
"""The same numbers, names, bounds and trajectories as PyTorch, where it is installed."""

from __future__ import annotations

import copy
import re

import numpy as np
import pytest

from fastconv import nn, optim, reference
from fastconv.autograd import tensor
from fastconv.random import manual_seed

torch = pytest.importorskip("torch", reason="PyTorch is not installed: nothing to compare with")
F, T = torch.nn.functional, torch.nn

RNG = np.random.default_rng(0)


def close(mine, theirs, rtol=1e-10, atol=1e-10):
    np.testing.assert_allclose(np.asarray(mine), theirs.detach().numpy(), rtol=rtol, atol=atol)


# ---- The reference ---------------------------------------------------------------------------------------

CONVOLUTIONS = [
    ((2, 3, 7, 8), (4, 3, 3, 3), {}),
    ((1, 4, 9, 8), (6, 2, 3, 2), dict(stride=(2, 1), padding=(1, 2), dilation=(1, 3), groups=2)),
    ((2, 4, 6, 6), (8, 1, 3, 3), dict(groups=4, padding=1)),
    ((2, 3, 8, 7), (4, 3, 4, 3), dict(padding="same")),
    ((2, 3, 8, 7), (4, 3, 4, 3), dict(padding="valid", stride=3)),
]


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize(("shape", "weight", "options"), CONVOLUTIONS, ids=str)
def test_reference_conv2d(shape, weight, options):
    x, w, b = RNG.normal(size=shape), RNG.normal(size=weight), RNG.normal(size=weight[0])
    leaves = [torch.tensor(a, requires_grad=True) for a in (x, w, b)]
    y = F.conv2d(*leaves, **options)
    close(reference.conv2d(x, w, b, **options), y)
    dy = RNG.normal(size=tuple(y.shape))
    y.backward(torch.tensor(dy))
    for mine, leaf in zip(reference.conv2d_backward(dy, x, w, **options), leaves, strict=True):
        close(mine, leaf.grad)


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
def test_reference_padding_modes(mode):
    layer = T.Conv2d(2, 3, 3, padding=(2, 1), padding_mode=mode, dtype=torch.float64)
    x = torch.tensor(RNG.normal(size=(2, 2, 5, 6)), requires_grad=True)
    y = layer(x)
    w, b = (p.detach().numpy() for p in layer.parameters())
    close(reference.conv2d(x.detach().numpy(), w, b, padding=(2, 1), padding_mode=mode), y)
    dy = RNG.normal(size=tuple(y.shape))
    y.backward(torch.tensor(dy))
    gradients = reference.conv2d_backward(dy, x.detach().numpy(), w, padding=(2, 1), padding_mode=mode)
    for mine, theirs in zip(gradients, (x, layer.weight, layer.bias), strict=True):
        close(mine, theirs.grad)


def test_reference_conv2d_of_infinite_weights():
    x, w = RNG.normal(size=(1, 2, 5, 5)), RNG.normal(size=(2, 2, 3, 3))
    w[0, 0, 0, 0], x[0, 1, 2, 2] = np.inf, np.nan
    close(reference.conv2d(x, w, padding=1), F.conv2d(torch.tensor(x), torch.tensor(w), padding=1))


POOLS = [
    dict(kernel_size=2), dict(kernel_size=3, stride=2), dict(kernel_size=3, stride=2, padding=1),
    dict(kernel_size=(3, 2), stride=(1, 3), padding=(1, 1)), dict(kernel_size=2, stride=3),
]


@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize("size", [(7, 8), (6, 9), (5, 5)])
@pytest.mark.parametrize("options", POOLS, ids=str)
def test_reference_pooling(options, size, ceil_mode):
    x = RNG.integers(0, 5, (2, 3, *size)).astype(float)  # with ties
    x[0, 0, 2, 2:4], x[1, 1] = np.nan, -np.inf
    leaf = torch.tensor(x, requires_grad=True)
    y, where = F.max_pool2d(leaf, **options, ceil_mode=ceil_mode, return_indices=True)
    mine = reference.max_pool2d(x, **options, ceil_mode=ceil_mode, return_indices=True)
    close(mine[0], y)
    np.testing.assert_array_equal(mine[1], where.numpy())
    y.backward(torch.ones_like(y))
    close(reference.max_pool2d_backward(np.ones(y.shape), mine[1], x.shape), leaf.grad)

    x = RNG.normal(size=x.shape)
    for extra in ({}, dict(count_include_pad=False), dict(divisor_override=5)):
        leaf = torch.tensor(x, requires_grad=True)
        y = F.avg_pool2d(leaf, **options, ceil_mode=ceil_mode, **extra)
        close(reference.avg_pool2d(x, **options, ceil_mode=ceil_mode, **extra), y)
        dy = RNG.normal(size=tuple(y.shape))
        y.backward(torch.tensor(dy))
        close(reference.avg_pool2d_backward(dy, x.shape, **options, ceil_mode=ceil_mode, **extra), leaf.grad)


def test_reference_dilated_max_pooling():
    x = RNG.normal(size=(2, 3, 9, 8))
    y, where = F.max_pool2d(torch.tensor(x), 3, 2, 1, (2, 1), return_indices=True)
    mine = reference.max_pool2d(x, 3, 2, 1, (2, 1), return_indices=True)
    close(mine[0], y)
    np.testing.assert_array_equal(mine[1], where.numpy())


# ---- The tape --------------------------------------------------------------------------------------------

EXPRESSIONS = {
    "arithmetic": lambda a, b: (a * b - a / b + b) ** 2 / 3 - 2 ** a,
    "power": lambda a, b: a ** 3 + b ** a + a ** 0.5,
    "matmul": lambda a, b: (a @ b.transpose(0, 1)).flatten(0) @ (a @ b.transpose(0, 1)).flatten(0),
    "reductions": lambda a, b: a.sum(0) * b.mean(1, keepdim=True) + (a * b).sum((0, 1)) + a.max() + b.mean(),
    "maximum": lambda a, b: a.max(1)[0] * b.max(0, keepdim=True).values.sum(),
    "shapes": lambda a, b: a.reshape(2, 6).permute(1, 0).flatten() * b.view(-1) + a[1:, ::2].sum() * b[0, 1],
    "functions": lambda a, b: a.exp() + b.log() + (a - b).relu() + a.sigmoid() * b.tanh() - (-a),
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_tape(name):
    data = RNG.uniform(0.5, 2, (2, 3, 4))
    mine = [tensor(a, requires_grad=True) for a in data]
    theirs = [torch.tensor(a, requires_grad=True) for a in data]
    y, z = EXPRESSIONS[name](*mine), EXPRESSIONS[name](*theirs)
    assert y.shape == tuple(z.shape)
    close(y, z)
    y.sum().backward()
    z.sum().backward()
    for a, b in zip(mine, theirs, strict=True):
        close(a.grad, b.grad)


def test_gradients_at_special_values():
    for build, values in (
        (lambda x: x.relu(), [np.nan, 0.0, -0.0, 1.0, -np.inf, np.inf]),
        (lambda x: x ** 2, [0.0, -1.0]), (lambda x: x ** 0.0, [0.0, 1.0]),
        (lambda x: x.max(), [1.0, 3.0, 3.0]), (lambda x: x.max(0)[0], [1.0, 3.0, 3.0]),
    ):
        mine, theirs = tensor(values, requires_grad=True), torch.tensor(values, requires_grad=True)
        build(mine).sum().backward()
        build(theirs).sum().backward()
        close(mine.grad, theirs.grad)


def test_exponent_gradient_at_zero():
    base = [0.0, 2.0, 0.0]
    exponent = [1.0, 2.0, 0.0]
    mine, theirs = tensor(exponent, requires_grad=True), torch.tensor(exponent, requires_grad=True)
    (tensor(base) ** mine).sum().backward()
    torch.pow(torch.tensor(base), theirs).sum().backward()
    np.testing.assert_allclose(mine.grad.numpy()[:2], theirs.grad.numpy()[:2], rtol=1e-6)


# ---- Layers ----------------------------------------------------------------------------------------------

LAYERS = [
    ("Conv2d", (3, 4, 3), dict(stride=2, padding=1), (2, 3, 7, 8)),
    ("Conv2d", (4, 6, (3, 2)), dict(groups=2, dilation=2, bias=False), (2, 4, 7, 8)),
    ("Conv2d", (3, 4, 4), dict(padding="same"), (3, 7, 8)),
    ("MaxPool2d", (3,), dict(stride=2, padding=1, ceil_mode=True), (2, 3, 7, 8)),
    ("MaxPool2d", (2,), {}, (3, 7, 8)),
    ("AvgPool2d", (3, 2, 1), dict(count_include_pad=False), (2, 3, 7, 8)),
    ("AvgPool2d", ((2, 1),), dict(divisor_override=3), (2, 3, 7, 8)),
    ("Linear", (5, 4), {}, (3, 5)),
    ("Linear", (5, 4), dict(bias=False), (2, 3, 5)),
    ("Flatten", (), {}, (2, 3, 4)),
    ("Identity", (), {}, (2, 3, 4)),
    ("BatchNorm2d", (3,), {}, (4, 3, 5, 6)),
    ("BatchNorm2d", (3,), dict(momentum=None, eps=0.1), (4, 3, 5, 6)),
    ("BatchNorm2d", (3,), dict(affine=False, track_running_stats=False), (4, 3, 5, 6)),
    ("ReLU", (), {}, (3, 4)),
    ("Sigmoid", (), {}, (3, 4)),
    ("Tanh", (), {}, (3, 4)),
    ("Dropout", (0.0,), {}, (3, 4)),
]


def text(module):
    """The repr, without the bias of a batch norm, which not every PyTorch shows."""
    return re.sub(r"(affine=\w+), bias=\w+", r"\1", repr(module))


def pair_of(name, args, options):
    mine, theirs = getattr(nn, name)(*args, **options).double(), getattr(T, name)(*args, **options).double()
    assert list(mine.state_dict()) == list(theirs.state_dict())
    assert {k: v.shape for k, v in mine.state_dict().items()} == {
        k: tuple(v.shape) for k, v in theirs.state_dict().items()}
    mine.load_state_dict(theirs.state_dict())
    return mine, theirs


@pytest.mark.parametrize(("name", "args", "options", "shape"), LAYERS, ids=lambda v: str(v))
def test_layer(name, args, options, shape):
    mine, theirs = pair_of(name, args, options)
    assert text(mine) == text(theirs)
    assert [n for n, _ in mine.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    for _ in range(2):  # the second time on moved statistics
        x = RNG.normal(size=shape)
        a, b = tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
        y, z = mine(a), theirs(b)
        close(y, z)
        y.backward(x_like := RNG.normal(size=y.shape))
        z.backward(torch.tensor(x_like))
        close(a.grad, b.grad, rtol=1e-8)
    for p, q in zip(mine.parameters(), theirs.parameters(), strict=True):
        close(p.grad, q.grad)
    for key, value in theirs.state_dict().items():
        close(mine.state_dict()[key], value)
    x = RNG.normal(size=shape)
    close(mine.eval()(x), theirs.eval()(torch.tensor(x)))


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", [(5, 4), (4,), (3, 4, 2, 2)])
@pytest.mark.parametrize("kind", ["indices", "probabilities"])
def test_cross_entropy(kind, shape, weighted, smoothing, reduction):
    x = RNG.normal(size=shape)
    if kind == "indices":
        target = RNG.integers(0, 4, () if len(shape) == 1 else (shape[0], *shape[2:]))
        if len(shape) > 1:
            target.flat[0] = 2 if reduction == "sum" else -100
    else:
        target = np.exp(RNG.normal(size=shape))
    weight = RNG.uniform(0.5, 2, 4) if weighted else None
    options = dict(reduction=reduction, label_smoothing=smoothing)
    a, b = tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    y = nn.CrossEntropyLoss(weight, **options)(a, np.asarray(target))
    weight = None if weight is None else torch.tensor(weight)
    z = T.CrossEntropyLoss(weight, **options)(b, torch.tensor(target))
    assert y.shape == tuple(z.shape)
    close(y, z)
    y.sum().backward()
    z.sum().backward()
    close(a.grad, b.grad)


def test_special_losses():
    for x, target in (([[0.0, -np.inf, 1.0]], [0]), ([[np.inf, 0.0, 0.0]], [1]), ([[np.nan, 0.0, 0.0]], [1]),
                      ([[-np.inf] * 3], [1]), ([[0.0, 0.0, 0.0]], [-100])):
        a, b = tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
        y, z = nn.CrossEntropyLoss()(a, np.array(target)), T.CrossEntropyLoss()(b, torch.tensor(target))
        close(y, z)


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_mse(reduction):
    x, t = RNG.normal(size=(2, 3, 4))
    close(nn.MSELoss(reduction)(x, t), T.MSELoss(reduction=reduction)(torch.tensor(x), torch.tensor(t)))
    for name in ("softmax", "log_softmax"):
        close(getattr(nn.functional, name)(x, 1), getattr(F, name)(torch.tensor(x), 1))


def test_initial_values_have_the_same_distribution():
    """The same bounds, and means and deviations within four standard errors."""
    manual_seed(0)
    for name, args in (("Conv2d", (16, 64, 3)), ("Linear", (100, 300))):
        mine, theirs = getattr(nn, name)(*args), getattr(T, name)(*args)
        for p, q in zip(mine.parameters(), theirs.parameters(), strict=True):
            a, b = p.numpy(), q.detach().numpy()
            assert np.abs(a).max() == pytest.approx(np.abs(b).max(), rel=0.1)
            assert abs(a.mean() - b.mean()) < 4 * (a.std() + b.std()) / np.sqrt(a.size)
            assert a.std() == pytest.approx(b.std(), rel=0.3)
    for name in ("relu", "tanh", "sigmoid", "linear", "leaky_relu", "selu", "conv2d"):
        assert nn.init.calculate_gain(name) == T.init.calculate_gain(name)


# ---- A model and its training ----------------------------------------------------------------------------


def models():
    def build(n):
        return n.Sequential(
            n.Conv2d(1, 6, 5, padding=2), n.BatchNorm2d(6), n.ReLU(), n.MaxPool2d(2),
            n.Conv2d(6, 8, 3), n.Tanh(), n.AvgPool2d(2), n.Flatten(), n.Linear(32, 10),
        )
    mine, theirs = build(nn).double(), build(T).double()
    assert text(mine) == text(theirs)
    mine.load_state_dict(theirs.state_dict())
    return mine, theirs


OPTIMIZERS = [
    ("SGD", dict(lr=0.05)), ("SGD", dict(lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-2)),
    ("SGD", dict(lr=0.05, momentum=0.9, dampening=0.5, maximize=True)),
    ("Adam", dict(lr=0.01)),
    ("Adam", dict(lr=0.01, weight_decay=0.1, amsgrad=True, betas=(0.8, 0.9), eps=1e-4)),
    ("AdamW", dict(lr=0.01)), ("AdamW", dict(lr=0.01, weight_decay=0.5, maximize=True)),
]


@pytest.mark.parametrize(("name", "options"), OPTIMIZERS, ids=str)
def test_training_takes_the_same_path(name, options):
    mine, theirs = models()
    a, b = getattr(optim, name)(mine.parameters(), **options), getattr(torch.optim, name)(
        theirs.parameters(), **options)
    criterion, other = nn.CrossEntropyLoss(label_smoothing=0.1), T.CrossEntropyLoss(label_smoothing=0.1)
    for _ in range(6):
        x, t = RNG.normal(size=(8, 1, 12, 12)), RNG.integers(0, 10, 8)
        a.zero_grad()
        loss = criterion(mine(x), t)
        loss.backward()
        a.step()
        b.zero_grad()
        expected = other(theirs(torch.tensor(x)), torch.tensor(t))
        expected.backward()
        b.step()
        assert loss.item() == pytest.approx(expected.item(), rel=1e-8)
    for key, value in theirs.state_dict().items():
        close(mine.state_dict()[key], value, rtol=1e-6, atol=1e-9)
    # PyTorch's state continues here.
    twin = copy.deepcopy(mine)
    continued = getattr(optim, name)(twin.parameters(), **options)
    continued.load_state_dict(b.state_dict())
    for p, q, r in zip(mine.parameters(), twin.parameters(), theirs.parameters(), strict=True):
        p.grad = q.grad = r.grad.numpy()
    for optimizer in (a, b, continued):
        optimizer.step()
    for p, q, r in zip(mine.parameters(), twin.parameters(), theirs.parameters(), strict=True):
        close(p, r, rtol=1e-6, atol=1e-9)
        close(q, r, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW"])
def test_defaults(name):
    parameter = nn.Parameter(np.zeros(1))
    mine = getattr(optim, name)([parameter]).defaults
    theirs = getattr(torch.optim, name)([torch.zeros(1, requires_grad=True)]).defaults
    assert mine == {key: theirs[key] for key in mine}
