"""Batch norm in the weights of the convolution before it: where nothing is recorded, by given statistics."""

import numpy as np
import pytest

import fastconv
from fastconv import nn, reference
from fastconv.autograd import no_grad
from fastconv.ops import _fold, _packed

CONVOLUTIONS = {
    "direct": lambda dtype: nn.Conv2d(16, 32, 3, stride=2, algorithm="direct", dtype=dtype),
    "im2col": lambda dtype: nn.Conv2d(16, 16, 3, bias=False, algorithm="im2col", dtype=dtype),
    "pointwise": lambda dtype: nn.Conv2d(16, 30, 1, algorithm="direct", dtype=dtype),
    "depthwise": lambda dtype: nn.Conv2d(16, 32, 3, groups=16, dtype=dtype),
    "few channels": lambda dtype: nn.Conv2d(16, 6, 5, dtype=dtype),
    "winograd": lambda dtype: nn.Conv2d(16, 16, 3, padding=1, algorithm="winograd", dtype=dtype),
}


def randomized(layer: nn.BatchNorm2d) -> nn.BatchNorm2d:
    rng = np.random.default_rng(2)
    for array in (layer.running_mean.numpy(), layer.weight._store, layer.bias._store):
        array[:] = rng.standard_normal(array.shape)
    layer.running_var.numpy()[:] = rng.uniform(0.1, 2, layer.num_features)
    return layer


def pair(name: str = "few channels", dtype: type = np.float32) -> nn.Sequential:
    fastconv.manual_seed(3)
    conv = CONVOLUTIONS[name](dtype)
    return nn.Sequential(conv, randomized(nn.BatchNorm2d(conv.out_channels, dtype=dtype))).eval()


def images(dtype: type = np.float32) -> np.ndarray:
    return np.random.default_rng(1).standard_normal((2, 16, 13, 13)).astype(dtype)


def unfolded(net: nn.Sequential, x: np.ndarray) -> np.ndarray:
    return net[1](net[0](x))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_error_is_within_the_bound_of_numerics_md(name, dtype):
    net, x = pair(name, dtype), images(dtype)
    conv, norm = net
    scale = norm.weight.numpy() / np.sqrt(norm.running_var.numpy().astype(float) + norm.eps)
    bias = 0 if conv.bias is None else conv.bias.numpy().astype(float)
    weight = conv.weight.numpy() * scale.reshape(-1, 1, 1, 1)
    shift = (bias - norm.running_mean.numpy()) * scale + norm.bias.numpy()
    arguments = conv.stride, conv.padding, conv.dilation, conv.groups
    exact = reference.conv2d(x.astype(float), weight, shift, *arguments)
    largest = (np.abs(bias) + np.abs(norm.running_mean.numpy())) * np.abs(scale) + np.abs(norm.bias.numpy())
    size = reference.conv2d_abs(x.astype(float), weight, largest, *arguments)
    terms = weight[0].size + 2
    if name == "winograd":
        size = reference.winograd_abs(x, weight, largest, 1, matrices=reference.winograd_matrices(4))
        terms = 16 + 33
    if dtype == np.float64:
        terms *= 2    # the exact result is none
    unit = np.finfo(dtype).eps / 2
    assert (np.abs(net(x) - exact) <= terms * unit / (1 - terms * unit) * size).all()
    together = nn.Sequential(*net, nn.ReLU()).eval()(x)
    np.testing.assert_array_equal(together, fastconv.ops.relu(net(x)))


def test_results_follow_every_change_of_weights_and_statistics():
    net, x = pair(), images()
    conv, norm = net

    def follows() -> None:
        np.testing.assert_allclose(net(x), unfolded(net, x), rtol=1e-4, atol=1e-5)

    follows()
    before = net(x)
    norm.running_mean.numpy()[:] += 1    # in place: no version tells
    follows()
    norm.running_var.numpy()[:] *= 3
    follows()
    for parameter in (conv.weight, conv.bias, norm.weight, norm.bias):
        with parameter.writable() as array:
            array *= 2
        follows()
    norm.eps = 0.5
    follows()
    net.train()(x)
    net.eval()
    follows()
    net.load_state_dict(pair().state_dict())
    norm.eps = 1e-5
    np.testing.assert_array_equal(net(x), before)


def test_weights_are_folded_once(monkeypatch):
    net, x = pair(), images()
    expected, folded = net(x), []
    fold = _fold.Normalization.folded_into
    monkeypatch.setattr(_fold.Normalization, "folded_into", lambda *a: folded.append(1) or fold(*a))
    np.testing.assert_array_equal(net(x), expected)
    assert not folded
    _packed.clear()
    np.testing.assert_array_equal(net(x), expected)
    assert folded


@pytest.mark.parametrize("change", ["scale", "weight", "size"])
def test_what_cannot_fold_is_computed_one_after_the_other(change, monkeypatch):
    net, x = pair(), images()
    if change == "scale":
        net[1].eps, net[1].running_var.numpy()[0] = 0, 0
    elif change == "weight":
        with net[0].weight.writable() as weight:
            weight[0, 0] = np.inf
    else:
        monkeypatch.setattr(_packed, "FOLD_LIMIT", 1)
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(net(x), unfolded(net, x))


def test_gradients_by_given_statistics_are_those_of_both_layers():
    net, x = pair(), images()
    net(x)    # the folded weights exist
    y = net(fastconv.tensor(x))
    y.sum().backward()
    assert type(y.grad_fn).__name__ == "BatchNormalization"
    assert all(p.grad is not None for p in net.parameters())
    np.testing.assert_array_equal(y.numpy(), unfolded(net, x))


def test_one_pixel_that_is_not_finite_spoils_the_windows_it_is_in():
    for name in CONVOLUTIONS:
        net, x = pair(name), images()
        x[0, 3, 5, 5], x[1, 2, 0, 0] = np.nan, np.inf
        np.testing.assert_array_equal(np.isfinite(net(x)), np.isfinite(unfolded(net, x)))


def test_an_empty_batch_and_what_is_looked_at_before():
    net = pair()
    assert net(images()[:0]).shape == (0, 6, 9, 9)
    with no_grad():
        x = fastconv.tensor(images())
        native = nn.Conv2d(16, 32, 1)(x)
        conv, norm = nn.Conv2d(32, 16, 3), randomized(nn.BatchNorm2d(16)).eval()
        waiting = conv(native)
        y = norm(waiting)
        np.testing.assert_allclose(y.numpy(), norm(waiting.numpy()), rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(norm(waiting).numpy(), norm(waiting.numpy()))    # no longer waits
