"""Parameters, the tree of modules, and state dicts."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from small_nets import images, small_net

from fastconv import nn
from fastconv.autograd import Tensor, no_grad

Array = np.ndarray[Any, Any]



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
