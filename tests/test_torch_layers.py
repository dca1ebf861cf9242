# mypy: ignore-errors
"""Activations, normalisations, padding and resampling agree with PyTorch's, where it is installed.

For each layer with a namesake: its signature, names in the state_dict, outputs and gradients, in training and in
evaluation, on at least 20 problems.
"""

from __future__ import annotations

import inspect
import itertools
import warnings

import numpy as np
import pytest

from fastconv import nn
from fastconv.autograd import tensor

torch = pytest.importorskip("torch", reason="PyTorch is not installed: nothing to compare with")
T = torch.nn

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Waiting for the others takes PyTorch far longer than these problems do."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def shapes(axes, channels=4):
    """Ten of them, with as many spatial axes."""
    sizes = [(n, channels, *RNG.integers(3, 9, axes).tolist()) for n in (1, 2, 3, 5, 2, 3, 1, 2, 4)]
    return [*sizes, (2, channels, *(3 + i for i in range(axes)))]


ANY = [(6,), (3, 5), (2, 3, 4), (2, 3, 4, 5), (0, 3), (1,), (2, 1, 7), (4, 4), (2, 2, 2, 2, 2), (17,)]
ALL_CHANNELS = [(3, 4), *shapes(1)[:3], *shapes(2)[:3], *shapes(3)[:3]]

# layer: (options to try, shapes); every pair is one problem.
ELEMENTWISE = {
    "ReLU": [{}, dict(inplace=True)], "ReLU6": [{}, dict(inplace=True)],
    "LeakyReLU": [{}, dict(negative_slope=0.3)], "ELU": [{}, dict(alpha=0.4)], "SELU": [{}, dict(inplace=True)],
    "GELU": [{}, dict(approximate="tanh")], "SiLU": [{}, dict(inplace=True)], "Sigmoid": [{}, {}],
    "Hardsigmoid": [{}, dict(inplace=True)], "Hardswish": [{}, dict(inplace=True)], "Tanh": [{}, {}],
    "Softplus": [{}, dict(beta=2.0, threshold=1.5), dict(beta=0.5)], "Softsign": [{}, {}],
    "Softmax": [dict(dim=0), dict(dim=-1), {}], "LogSoftmax": [dict(dim=0), dict(dim=-1), {}],
}
LAYERS = {name: (options, ANY) for name, options in ELEMENTWISE.items()}
LAYERS |= {
    "PReLU": ([{}, dict(num_parameters=4, init=0.1)], ALL_CHANNELS),
    "LayerNorm": ([dict(normalized_shape=5), dict(normalized_shape=(3, 5)), dict(normalized_shape=[5], bias=False),
                   dict(normalized_shape=5, elementwise_affine=False, eps=0.1)],
                  [(3, 5), (2, 3, 5), (1, 3, 5), (4, 2, 3, 5), (2, 1, 3, 5), (0, 3, 5)]),
    "GroupNorm": ([dict(num_groups=2, num_channels=4), dict(num_groups=4, num_channels=4, bias=False),
                   dict(num_groups=1, num_channels=4, eps=0.1, affine=False)], ALL_CHANNELS),
    "LocalResponseNorm": ([dict(size=1), dict(size=2, alpha=0.5), dict(size=5, alpha=0.3, beta=0.5, k=2.0)],
                          ALL_CHANNELS[1:]),
    "ChannelShuffle": ([dict(groups=1), dict(groups=2), dict(groups=4)], ALL_CHANNELS[1:]),
    "PixelShuffle": ([dict(upscale_factor=1), dict(upscale_factor=2)], [*shapes(2, 8), (4, 3, 2)]),
    "PixelUnshuffle": ([dict(downscale_factor=1), dict(downscale_factor=2)],
                       [(n, c, 2 * h, 4) for n, c, h, _ in shapes(2)] + [(3, 4, 2)]),
    "UpsamplingNearest2d": ([dict(size=5), dict(scale_factor=2), dict(size=(3, 7))], shapes(2)),
    "UpsamplingBilinear2d": ([dict(size=5), dict(scale_factor=2), dict(size=(3, 7))], shapes(2)),
}
for axes, mode in ((1, "linear"), (2, "bilinear"), (3, "trilinear")):
    d = f"{axes}d"
    sides = (1, 2, 0, 1, 2, 2)[:2 * axes]
    LAYERS[f"BatchNorm{d}"] = ([dict(num_features=4), dict(num_features=4, momentum=None, affine=False),
                                dict(num_features=4, bias=False, eps=0.1),
                                dict(num_features=4, track_running_stats=False)], shapes(axes))
    LAYERS[f"InstanceNorm{d}"] = ([dict(num_features=4), dict(num_features=4, affine=True),
                                   dict(num_features=4, track_running_stats=True, momentum=0.3)], shapes(axes))
    for kind in ("Zero", "Reflection", "Replication", "Circular"):
        LAYERS[f"{kind}Pad{d}"] = ([dict(padding=1), dict(padding=2), dict(padding=sides)], shapes(axes))
    LAYERS[f"ConstantPad{d}"] = ([dict(padding=1, value=2.5), dict(padding=sides, value=-1.0)], shapes(axes))
    LAYERS[f"Upsample-{d}"] = ([dict(size=5), dict(scale_factor=2), dict(scale_factor=1.7, mode="nearest-exact"),
                                dict(size=7, mode=mode), dict(scale_factor=1.6, mode=mode, align_corners=True),
                                dict(scale_factor=1.6, mode=mode, recompute_scale_factor=True)], shapes(axes))
LAYERS["BatchNorm1d"][1].append((5, 4))
NAMES = sorted({name.partition("-")[0] for name in LAYERS})


def cases():
    for name, (every, sizes) in LAYERS.items():
        for i, (options, shape) in enumerate(itertools.product(every, sizes)):
            yield pytest.param(name.partition("-")[0], options, shape, id=f"{name}-{i}")


def test_there_are_enough_cases():
    for name, (every, sizes) in LAYERS.items():
        assert len(every) * len(sizes) >= 20, name


@pytest.mark.parametrize("name", NAMES)
def test_signatures(name):
    mine = list(inspect.signature(getattr(nn, name).__init__).parameters.values())
    theirs = list(inspect.signature(getattr(T, name).__init__).parameters.values())
    kept = [(p.name, p.default) for p in theirs if p.name not in ("device", "dtype", "args", "kwargs")]
    assert [(p.name, p.default) for p in mine if p.name not in ("dtype", "args", "kwargs")] == kept


def same_numbers(mine, theirs):
    """Random parameters for both; the names are the same."""
    assert list(mine.state_dict()) == list(theirs.state_dict())
    for (_, p), (_, q) in zip(mine.named_parameters(), theirs.named_parameters(), strict=True):
        values = RNG.uniform(0.5, 1.5, tuple(q.shape))
        p.copy_(values)
        q.data = torch.tensor(values)


def impossible(name, options, shape):
    """What PyTorch refuses: see test_refused_as_by_torch."""
    size = options.get("padding", 0)
    largest = max(size) if isinstance(size, tuple) else size
    lengths = int(np.prod(np.array(shape[2:]) if len(shape) > 2 else 1))
    return (
        (name == "LayerNorm" and shape[-np.size(options["normalized_shape"]):] != tuple(
            np.atleast_1d(options["normalized_shape"])))
        or (name.startswith("Reflection") and largest >= min(shape[2:]))
        or (name == "GroupNorm" and shape[0] * lengths * 4 // options["num_groups"] == 1)
    )


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "options", "shape"), list(cases()))
def test_outputs_and_gradients(name, options, shape):
    if impossible(name, options, shape):
        pytest.skip("PyTorch refuses it")
    mine, theirs = getattr(nn, name)(**options).double(), getattr(T, name)(**options).double()
    same_numbers(mine, theirs)
    # PyTorch multiplies doubles with 1/6 in float.
    exact = dict(rtol=1e-7 if name == "Hardsigmoid" else 1e-9, atol=1e-9)
    for training in (True, True, False) if hasattr(mine, "running_mean") else (True,):
        mine.train(training)
        theirs.train(training)
        values = RNG.normal(size=shape) * (3 if name.startswith("Hard") or name == "ReLU6" else 1)
        x, y = tensor(values, requires_grad=True), torch.tensor(values, requires_grad=True)
        a = mine(x)
        b = theirs(y.clone() if options.get("inplace") else y)
        np.testing.assert_allclose(a.numpy(), b.detach().numpy(), **exact)
        grad = RNG.normal(size=a.shape)
        for p in (*mine.parameters(), *theirs.parameters()):
            p.grad = None
        a.backward(grad)
        b.backward(torch.tensor(grad))
        np.testing.assert_allclose(x.grad.numpy(), y.grad.numpy(), **exact)
        for p, q in zip(mine.parameters(), theirs.parameters(), strict=True):
            np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-8, atol=1e-9)
    for p, q in zip(mine.state_dict().values(), theirs.state_dict().values(), strict=True):
        np.testing.assert_allclose(np.asarray(p), q.numpy(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", [n for n in ELEMENTWISE if "oftmax" not in n])
def test_special_values(name):
    # PyTorch's float gelu gives NaN at infinity, and few digits far below 0.
    infinity, rtol = (100, 1e-3) if name == "GELU" else (np.inf, 1e-6)
    values = np.array([np.nan, infinity, -infinity, 0.0, -0.0, 3.0, -3.0, 6.0, 1e30, -1e30], np.float32)
    x, y = tensor(values, requires_grad=True), torch.tensor(values, requires_grad=True)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        a, b = getattr(nn, name)()(x), getattr(T, name)()(y)
        np.testing.assert_allclose(a.numpy(), b.detach().numpy(), rtol=rtol)
        a.sum().backward()
    b.sum().backward()
    ordinary = slice(3, 8)
    np.testing.assert_allclose(x.grad.numpy()[ordinary], y.grad.numpy()[ordinary], rtol=rtol)


@pytest.mark.parametrize(("name", "options", "shape"), [
    ("BatchNorm1d", dict(num_features=4), (2, 4, 3, 3)),
    ("BatchNorm3d", dict(num_features=4), (2, 4, 3, 3)),
    ("BatchNorm1d", dict(num_features=4), (1, 4)),
    ("InstanceNorm1d", dict(num_features=4), (2, 4, 1)),
    ("InstanceNorm2d", dict(num_features=4), (2, 3)),
    ("LayerNorm", dict(normalized_shape=(3, 5)), (3, 4)),
    ("GroupNorm", dict(num_groups=2, num_channels=4), (2, 3, 5)),
    ("LocalResponseNorm", dict(size=2), (2, 3)),
    ("PixelShuffle", dict(upscale_factor=2), (1, 3, 2, 2)),
    ("PixelUnshuffle", dict(downscale_factor=2), (1, 3, 3, 2)),
    ("ChannelShuffle", dict(groups=3), (1, 4, 2)),
    ("ReflectionPad2d", dict(padding=3), (1, 4, 3, 3)),
    ("CircularPad1d", dict(padding=4), (1, 4, 3)),
    ("Upsample", dict(), (1, 4, 3)),
    ("Upsample", dict(scale_factor=2, mode="bilinear"), (1, 4, 3)),
    ("Softmax", dict(dim=3), (2, 3)),
    ("PReLU", dict(num_parameters=3), (2, 4, 3)),
])
def test_refused_as_by_torch(name, options, shape):
    with pytest.raises((RuntimeError, ValueError, IndexError, NotImplementedError)):
        getattr(T, name)(**options)(torch.zeros(shape))
    with pytest.raises(ValueError):
        getattr(nn, name)(**options)(np.zeros(shape, np.float32))
