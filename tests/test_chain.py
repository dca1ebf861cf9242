"""Chains of layers in the native layout: they reorder at their ends only, and their bits are those of plain arrays."""

import gc

import numpy as np
import pytest

import fastconv
from fastconv import _core, autograd, nn, optim
from fastconv.autograd import no_grad, plain_results


def net() -> nn.Sequential:
    fastconv.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16),
        nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 16, 3, groups=16, padding=1), nn.AvgPool2d(2), nn.Flatten(),
        nn.Linear(16 * 3 * 3, 5),
    )  # fmt: skip


def images(n: int = 2) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((n, 3, 12, 12), np.float32)


def gradients(model: nn.Module, x: np.ndarray) -> list[np.ndarray]:
    for parameter in model.parameters():
        parameter.zero_grad()
    leaf = fastconv.tensor(x, requires_grad=True)
    y = model(leaf)
    (y * y).sum().backward()
    return [leaf.grad.numpy(), *(p.grad.numpy() for p in model.parameters())]


def test_training_has_the_same_bits_in_either_layout():
    native = gradients(net(), images())
    with plain_results():
        plain = gradients(net(), images())
    for a, b in zip(native, plain, strict=True):
        np.testing.assert_array_equal(a, b)


def test_training_reorders_at_the_ends_only(monkeypatch):
    blocked, gradient_layouts = [], []
    reorder = autograd.block
    monkeypatch.setattr(autograd, "block", lambda a: blocked.append(a.shape) or reorder(a))
    pass_on = autograd._pass_on
    monkeypatch.setattr(
        autograd, "_pass_on",
        lambda node, grad, *rest: gradient_layouts.append(type(grad)) or pass_on(node, grad, *rest),
    )
    model, x = net(), fastconv.tensor(images())
    kinds = []
    for layer in model:
        x = layer(x)
        kinds.append(isinstance(x._value, np.ndarray))
    assert kinds == [False] * 8 + [True] * 2
    x.sum().backward()
    # Sum, Linear, Flatten and the last pooling are handed arrays; the chain itself what it is made of.
    assert gradient_layouts[:4] == [np.ndarray] * 4
    assert set(gradient_layouts[4:]) == {_core.Blocked}
    assert blocked == [(2, 16, 3, 3)]


def test_a_residual_block_in_either_layout():
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1, self.conv2 = (nn.Conv2d(16, 16, 3, padding=1) for _ in range(2))

        def forward(self, x):
            return (x + self.conv2(self.conv1(x).relu())).relu()

    fastconv.manual_seed(1)
    model = nn.Sequential(nn.Conv2d(3, 16, 1), Block(), Block())
    native = gradients(model, images())
    with plain_results():
        plain = gradients(model, images())
    for a, b in zip(native, plain, strict=True):
        np.testing.assert_array_equal(a, b)


# ---- fused ReLU ------------------------------------------------------------------------------------------


def block_of_two() -> tuple[nn.BatchNorm2d, fastconv.Tensor]:
    layer = nn.BatchNorm2d(16)
    with layer.weight.writable() as weight, layer.bias.writable() as bias:
        weight[:], bias[:] = np.linspace(-1, 2, 16), np.linspace(-0.5, 0.5, 16)
    x = fastconv.tensor(np.random.default_rng(5).standard_normal((2, 16, 4, 4), np.float32), requires_grad=True)
    return layer, x


@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_and_relu_in_one_have_the_bits_of_both(training):
    found = []
    for fused in (True, False):
        layer, x = block_of_two()
        layer.train(training)
        fastconv.manual_seed(1)
        y = layer(nn.Conv2d(16, 16, 1)(x))
        if not fused:
            y._computed()
        z = y.relu()
        assert type(z.grad_fn).__name__ == ("BatchNormalization" if fused else "ReLU")
        (z * z).sum().backward()
        found.append((z.numpy(), *(p.grad.numpy() for p in (x, layer.weight, layer.bias))))
    for together, apart in zip(*found, strict=True):
        np.testing.assert_array_equal(together, apart)


CONVOLUTIONS = {
    "winograd": lambda: nn.Conv2d(16, 16, 3, padding=1, algorithm="winograd"),
    "direct": lambda: nn.Conv2d(16, 32, 3, stride=2, algorithm="direct"),
    "im2col": lambda: nn.Conv2d(16, 16, 3, algorithm="im2col"),
    "pointwise": lambda: nn.Conv2d(16, 30, 1, algorithm="direct"),
    "depthwise": lambda: nn.Conv2d(16, 32, 3, groups=16),
    "few channels": lambda: nn.Conv2d(16, 6, 5),
    "groups": lambda: nn.Conv2d(16, 12, 3, groups=4, bias=False),
}


@pytest.mark.parametrize("batch", [0, 3])
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolution_and_relu_in_one_have_the_bits_of_both(name, batch):
    layer = CONVOLUTIONS[name]()
    x = np.random.default_rng(1).standard_normal((batch, 16, 13, 13), np.float32)
    if batch:
        x[0, 0, 0, 0] = np.nan
    net = nn.Sequential(layer, nn.ReLU())
    expected = fastconv.ops.relu(layer.eval()(x))
    np.testing.assert_array_equal(net.eval()(x), expected)
    together = net.train()(x)
    assert type(together.grad_fn).__name__ == "ConvolutionReLU"
    np.testing.assert_array_equal(together.numpy(), expected)
    together.sum().backward()
    gradient = layer.weight.grad.numpy()
    layer.zero_grad()
    layer(fastconv.tensor(x)).relu().sum().backward()    # nothing waits for what a tensor of the caller's will be
    np.testing.assert_array_equal(gradient, layer.weight.grad.numpy())


@pytest.mark.parametrize("shape", [(3, 20), (0, 20), (2, 5, 20), (20,)])
def test_linear_and_relu_in_one_have_the_bits_of_both(shape):
    layer = nn.Linear(20, 9)
    x = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    x.reshape(-1)[:1] = np.nan
    net = nn.Sequential(layer, nn.ReLU())
    expected = fastconv.ops.relu(layer.eval()(x))
    np.testing.assert_array_equal(net.eval()(x), expected)
    together = net.train()(x)
    assert type(together.grad_fn).__name__ == "MatrixProductReLU" and together.shape == (*shape[:-1], 9)
    np.testing.assert_array_equal(together.numpy(), expected)
    together.sum().backward()
    found = [p.grad.numpy() for p in layer.parameters()]
    layer.zero_grad()
    layer(fastconv.tensor(x)).relu().sum().backward()
    for a, p in zip(found, layer.parameters(), strict=True):
        np.testing.assert_array_equal(a, p.grad.numpy())


def test_what_waits_for_an_array_of_the_caller_is_computed_before_it_is_handed_back():
    class Keeps(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 16, 3)

        def forward(self, x):
            self.kept = self.conv(x)
            assert isinstance(self.kept._value, autograd.Deferred)
            return self.kept.relu()

    model, x = Keeps(), np.ones((1, 1, 5, 5), np.float32)
    y = model(x)
    x[:] = 7
    np.testing.assert_array_equal(np.maximum(model.kept.numpy(), 0), y.numpy())


def test_a_waiting_convolution_keeps_the_weights_it_was_called_with():
    conv = nn.Conv2d(16, 16, 3)
    x = nn.Conv2d(1, 16, 1)(fastconv.tensor(np.ones((1, 1, 5, 5), np.float32)))
    expected = conv(x).numpy()
    waiting = conv(x)
    assert isinstance(waiting._value, autograd.Deferred)
    with conv.weight.writable() as weight:
        weight *= 2
    np.testing.assert_array_equal(waiting.numpy(), expected)


def test_a_result_that_a_relu_joined_can_still_be_looked_at():
    layer, x = block_of_two()
    native = nn.Conv2d(16, 16, 3, padding=1)(x)
    y = layer(native)
    assert isinstance(y._value, autograd.Deferred)
    z = y.relu()
    with layer.weight.writable() as weight:    # y is what it was when it was asked for
        before = weight.copy()
        weight *= 3
    np.testing.assert_array_equal(np.maximum(y.numpy(), 0), z.numpy())
    with layer.weight.writable() as weight:
        weight[:] = before


def test_sum_and_relu_join_and_both_pass_gradients_on():
    x = fastconv.tensor(np.random.default_rng(5).standard_normal((2, 16, 4, 4), np.float32), requires_grad=True)
    conv = nn.Conv2d(16, 16, 3, padding=1)
    a, b = conv(x), conv(x)
    total = a + b
    assert isinstance(total._value, autograd.Deferred) and total.shape == (2, 16, 4, 4) and total.ndim == 4
    y = total.relu()
    assert type(y.grad_fn).__name__ == "AddReLU"
    (y.sum() + (total * total).sum()).backward()    # both the fused result and the sum itself are used
    fused = x.grad.numpy()
    x.zero_grad()
    with plain_results():
        total = conv(x) + conv(x)
        (total.relu().sum() + (total * total).sum()).backward()
    np.testing.assert_array_equal(fused, x.grad.numpy())


def test_a_gradient_that_others_see_is_not_overwritten():
    seed = np.ones((2, 3))
    x = fastconv.tensor(np.array([[1.0, -1.0, 2.0], [-3.0, 4.0, -5.0]]), requires_grad=True)
    y = x.relu()
    y.backward(seed)
    assert (seed == 1).all()    # the caller's
    a, b = (fastconv.tensor(x.numpy() + shift, requires_grad=True) for shift in (0.0, 1.5))
    (a.relu() + b.relu()).backward(seed)    # one array for both
    np.testing.assert_array_equal(a.grad.numpy(), a.numpy() > 0)
    np.testing.assert_array_equal(b.grad.numpy(), b.numpy() > 0)
    z = x.relu() * 2.0
    z.retain_grad()
    x.zero_grad()
    (z.relu() + z).reshape(3, 2).sum().backward()    # a retained one, a view of a repeated number
    np.testing.assert_array_equal(z.grad.numpy(), 1.0 + (z.numpy() > 0))
    np.testing.assert_array_equal(x.grad.numpy(), 4.0 * (x.numpy() > 0))


def test_a_tensor_in_the_native_layout_looks_like_any_other():
    layer = nn.Conv2d(3, 16, 3)
    y = layer(fastconv.tensor(images()))
    assert type(y._value) is _core.Blocked
    assert (y.shape, y.ndim, y.dtype, y.numel(), len(y)) == ((2, 16, 10, 10), 4, np.float32, 3200, 2)
    array = y.numpy()
    assert array.flags.c_contiguous and not array.flags.writeable and y.numpy() is array
    np.testing.assert_array_equal(array, layer.eval()(images()))


def test_evaluation_of_one_layer_returns_the_array_it_wrote():
    layer = nn.Conv2d(3, 16, 3).eval()
    assert layer(images()).flags.owndata


# ---- packed weights ---------------------------------------------------------------------------------------


def test_weights_are_packed_once_per_version():
    fastconv.cache_clear()
    layer = nn.Conv2d(16, 16, 3, algorithm="im2col").eval()
    x = np.ones((1, 16, 8, 8), np.float32)
    before = layer(x)
    first = fastconv.cache_info()
    assert first.packed_weights == 1 and first.packed_bytes > 0
    layer(np.ones((3, 16, 9, 9), np.float32))
    assert fastconv.cache_info().packed_weights == 1    # another size, the same packing
    for change in (layer.weight, layer.bias):
        with change.writable() as array:
            array *= 2
        after = layer(x)
        assert not np.array_equal(before, after)
        before = after
    assert fastconv.cache_info().packed_weights == 1
    expected = fastconv.ops.conv2d(x, layer.weight.numpy(), layer.bias.numpy(), algorithm="im2col")
    np.testing.assert_array_equal(after, expected)


def test_a_training_step_packs_each_pass_once_and_replaces_what_is_stale():
    fastconv.cache_clear()
    layer = nn.Conv2d(16, 16, 3)
    optimizer = optim.SGD(layer.parameters(), lr=0.1)
    sizes = []
    for _ in range(3):
        x = fastconv.tensor(np.ones((1, 16, 8, 8), np.float32), requires_grad=True)
        layer(x).sum().backward()
        optimizer.step()
        sizes.append(fastconv.cache_info().packed_weights)
    assert sizes == [2, 2, 2]


def test_packed_weights_go_with_their_parameter():
    fastconv.cache_clear()
    layer = nn.Conv2d(16, 16, 3).eval()
    layer(np.ones((1, 16, 8, 8), np.float32))
    del layer
    gc.collect()
    assert fastconv.cache_info()[2:4] == (0, 0)


def test_another_bias_in_the_same_place_is_another_bias():
    layer = nn.Conv2d(16, 16, 3).eval()
    x = np.zeros((1, 16, 8, 8), np.float32)
    value = np.zeros(16, np.float32)
    for number in range(20):    # each is made where the one before was freed
        layer.bias = None
        value[:] = number
        layer.bias = nn.Parameter(value)
        assert (layer(x) == number).all()


def test_the_cache_stays_below_its_limit(monkeypatch):
    fastconv.cache_clear()
    monkeypatch.setattr("fastconv.ops._packed.LIMIT", 30_000)
    layers = [nn.Conv2d(16, 16, 3).eval() for _ in range(4)]
    x = np.ones((1, 16, 8, 8), np.float32)
    results = [layer(x) for layer in layers]
    info = fastconv.cache_info()
    assert info.packed_bytes <= info.packed_limit == 30_000
    for layer, result in zip(layers, results, strict=True):
        np.testing.assert_array_equal(layer(x), result)


def test_linear_layers_cache_too():
    fastconv.cache_clear()
    layer = nn.Linear(32, 16).eval()
    x = np.ones((4, 32), np.float32)
    with no_grad():
        layer(x)
        layer(x[:2])
    assert fastconv.cache_info().packed_weights == 1


def test_scratch_memory_is_counted_and_given_back():
    nn.Conv2d(16, 16, 3).eval()(np.ones((1, 16, 8, 8), np.float32))
    assert fastconv.cache_info().scratch_bytes > 0
    fastconv.cache_clear()
    assert fastconv.cache_info() == (0, fastconv.cache_info().plan_limit, 0, 0, fastconv.cache_info().packed_limit, 0)


@pytest.mark.parametrize("forced", ["direct", "winograd"])
def test_an_algorithm_of_a_block_reaches_layers_with_cached_weights(forced):
    layer = nn.Conv2d(16, 16, 3).eval()
    x = images(1)[:, :1].repeat(16, axis=1)
    layer(x)
    with fastconv.algorithm(forced):
        got = layer(x)
        np.testing.assert_array_equal(got, fastconv.ops.conv2d(x, layer.weight.numpy(), layer.bias.numpy()))


def test_batch_norm_keeps_the_layout_and_the_bits():
    fastconv.manual_seed(2)
    model = nn.Sequential(
        nn.Conv2d(3, 32, 3), nn.BatchNorm2d(32), nn.ReLU(), nn.Conv2d(32, 16, 3), nn.BatchNorm2d(16), nn.ReLU()
    )
    native = gradients(model, images(3))
    assert isinstance(model(fastconv.tensor(images(3)))._value, _core.Blocked)
    with plain_results():
        plain = gradients(model, images(3))
    for a, b in zip(native, plain, strict=True):
        np.testing.assert_array_equal(a, b)
