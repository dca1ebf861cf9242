"""Chains that join and part channels stay in the native layout, with the bits of plain arrays."""

import contextlib

import numpy as np
import pytest
from test_chain import gradients, images

import fastconv
from fastconv import _core, autograd, nn
from fastconv.autograd import plain_results
from fastconv.functions import joining


class Dense(nn.Module):
    """Two layers of a DenseNet, whose input is joined by what they make of it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList([nn.BatchNorm2d(channels + 16 * i) for i in range(2)])
        self.convs = nn.ModuleList([nn.Conv2d(channels + 16 * i, 16, 3, padding=1, bias=False) for i in range(2)])

    def forward(self, x):
        for norm, conv in zip(self.norms, self.convs, strict=True):
            x = fastconv.cat([x, conv(norm(x).relu())], 1)
        return x


def dense_net() -> nn.Sequential:
    fastconv.manual_seed(4)
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(), Dense(16), nn.MaxPool2d(2), Dense(48)
    )


@pytest.mark.parametrize("batch", [1, 2])
def test_a_dense_net_concatenates_in_the_native_layout(monkeypatch, batch):
    blocked, joined, layouts = [], [], []
    block, pass_on, forward = autograd.block, autograd._pass_on, joining.Concatenation.forward
    monkeypatch.setattr(autograd, "block", lambda a: blocked.append(a.shape) or block(a))
    monkeypatch.setattr(
        autograd, "_pass_on", lambda node, grad, *rest: layouts.append(type(grad)) or pass_on(node, grad, *rest)
    )
    monkeypatch.setattr(
        joining.Concatenation, "forward", lambda self, *parts: joined.extend(map(type, parts)) or forward(self, *parts)
    )
    y = dense_net()(fastconv.tensor(images(batch)))
    assert isinstance(y._value, _core.Blocked) and y.shape == (batch, 80, 6, 6)
    assert joined == [_core.Blocked] * 8 and not blocked
    y.backward(np.ones(y.shape, np.float32))
    # The gradient that is handed in is reordered, and no other from there to the first layer.
    assert blocked == [y.shape] and layouts[0] is np.ndarray
    assert set(layouts[1:]) == {_core.Blocked} and len(layouts) == 15


def test_a_dense_net_has_the_same_bits_in_either_layout():
    native = gradients(dense_net(), images())
    with plain_results():
        plain = gradients(dense_net(), images())
    for a, b in zip(native, plain, strict=True):
        np.testing.assert_array_equal(a, b)


class Shuffled(nn.Module):
    """A ShuffleNet's unit: half of the channels pass, half are convolved."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(16, 16, 3, padding=1)

    def forward(self, x):
        passed, used = x.chunk(2, 1)
        kinds = {type(part._computed()) for part in (passed, used, x[:, 16:], x[:, :, ::2], x[1:], x.narrow(1, 0, 16))}
        assert kinds == {type(x._computed())}
        return fastconv.cat([passed, self.conv(used).relu()], 1)


def test_whole_blocks_of_channels_are_cut_off_in_the_native_layout():
    found = []
    for results in (contextlib.nullcontext, plain_results):
        fastconv.manual_seed(1)
        model = nn.Sequential(nn.Conv2d(3, 32, 1), Shuffled(), nn.BatchNorm2d(32))
        with results():
            found.append(gradients(model, images()))
            y = model[0](fastconv.tensor(images()))
            assert isinstance(y._computed(), np.ndarray) == (results is plain_results)
    for native, plain in zip(*found, strict=True):
        np.testing.assert_array_equal(native, plain)


@pytest.mark.parametrize("key", [
    np.s_[:, 8:], np.s_[:, 8:24], np.s_[:, ::2], np.s_[:, 0], np.s_[0], np.s_[:, 16:16], np.s_[:, ::-1], np.s_[..., 1:],
    np.s_[:, [0, 1]], np.s_[:, None], np.s_[:, :, :, :], np.s_[:1], np.s_[:, :16, 1:, ::-1], np.s_[:, -16:],
])  # fmt: skip
def test_slices_of_the_native_layout_are_those_of_arrays(key):
    layer = nn.Conv2d(3, 32, 1)
    y = layer(fastconv.tensor(images()))
    expected = layer(fastconv.tensor(images())).numpy()[key]
    np.testing.assert_array_equal(y[key].numpy(), expected)
