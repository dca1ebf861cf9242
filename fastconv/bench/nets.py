# SPDX-License-Identifier: BSD-3-Clause
"""Whole networks: a training step and inference, and the same network in torch."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import fastconv
from fastconv import models, nn, optim
from fastconv.bench.peers import CHANNELS_LAST, TORCH, Runs

NETS = "whole networks"
PASSES = {"training": "training step", "inference": "inference"}
RATE, MOMENTUM = 0.01, 0.9
CLASSES = 10


@dataclass(frozen=True)
class NetRow:
    """A network of fastconv.models, and the batch it is usually trained with."""

    id: str
    name: str
    batch: int

    category = NETS

    @property
    def net(self) -> str:
        return self.name

    @property
    def problem(self) -> str:
        return "x".join(map(str, models.MODELS[self.name].input_shape))

    brief = problem


#: A network that fastconv.models does not have (yet) is left out.
CANDIDATES = (NetRow("N1", "lenet", 64), NetRow("N2", "mnist-cnn", 64), NetRow("N3", "cifar_resnet20", 128))


def nets() -> tuple[NetRow, ...]:
    return tuple(row for row in CANDIDATES if row.name in models.MODELS)


def net_runs(row: NetRow, pass_: str, threads: int, against_torch: bool) -> Runs:
    """Steps on one batch of random images. Weights change in training, as they would."""
    fastconv.manual_seed(0)
    model = models.build(row.name, CLASSES)
    rng = np.random.default_rng(0)
    images = rng.standard_normal((row.batch, *models.MODELS[row.name].input_shape), np.float32)
    labels = rng.integers(CLASSES, size=row.batch)
    runs: Runs = {"fastconv": _ours(model, images, labels, pass_)}
    if against_torch:
        torch = importlib.import_module("torch")
        torch.set_num_threads(threads)
        for name, layout in ((TORCH, torch.contiguous_format), (CHANNELS_LAST, torch.channels_last)):
            twin = torch_twin(model, torch).to(memory_format=layout)
            tensors = torch.from_numpy(images).contiguous(memory_format=layout), torch.from_numpy(labels)
            runs[name] = _torch(torch, twin, *tensors, pass_)
    return runs


def _ours(model: nn.Module, images: Any, labels: Any, pass_: str) -> Callable[[], Any]:
    if pass_ == "inference":
        model.eval()
        return lambda: model(images)
    optimizer, loss_fn = optim.SGD(model.parameters(), lr=RATE, momentum=MOMENTUM), nn.CrossEntropyLoss()
    target = fastconv.tensor(labels)

    def step() -> None:
        optimizer.zero_grad()
        loss_fn(model(images), target).backward()
        optimizer.step()

    return step


def _torch(torch: Any, model: Any, images: Any, labels: Any, pass_: str) -> Callable[[], Any]:
    if pass_ == "inference":
        model.eval()
        infer: Callable[[], Any] = torch.inference_mode()(lambda: model(images))
        return infer
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE, momentum=MOMENTUM)
    loss_fn = torch.nn.CrossEntropyLoss()

    def step() -> None:
        optimizer.zero_grad()
        loss_fn(model(images), labels).backward()
        optimizer.step()

    return step


def torch_twin(model: nn.Module, torch: Any) -> Any:
    """The same network in torch, with the same weights."""
    twin = _sequential(model, torch) if isinstance(model, nn.Sequential) else _cifar_resnet(model, torch)
    twin.load_state_dict({name: torch.tensor(np.array(value)) for name, value in model.state_dict().items()})
    return twin


def _sequential(model: nn.Module, torch: Any) -> Any:
    twin = torch.nn.Sequential()
    for name, layer in model.named_children():
        twin.add_module(name, _layer(layer, torch.nn))
    return twin


def _layer(layer: nn.Module, torch_nn: Any) -> Any:
    kind = getattr(torch_nn, type(layer).__name__)
    if isinstance(layer, nn.Conv2d):
        return kind(
            layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride, layer.padding,
            layer.dilation, layer.groups, layer.bias is not None,
        )  # fmt: skip
    if isinstance(layer, nn.Linear):
        return kind(layer.in_features, layer.out_features)
    if isinstance(layer, nn.MaxPool2d):
        return kind(layer.kernel_size, layer.stride, layer.padding, ceil_mode=layer.ceil_mode)
    if isinstance(layer, nn.BatchNorm2d):
        return kind(layer.num_features)
    return kind()


def _cifar_resnet(model: Any, torch: Any) -> Any:
    """fastconv.models.CifarResNet as its users write it in torch."""
    functional = torch.nn.functional

    class Block(torch.nn.Module):  # type: ignore[misc]
        def __init__(self, block: Any) -> None:
            super().__init__()
            for name, layer in block.named_children():
                self.add_module(name, _layer(layer, torch.nn))
            self.pad, self.stride = block.pad, block.stride

        def forward(self, x: Any) -> Any:
            y = functional.relu(self.bn1(self.conv1(x)))
            y = self.bn2(self.conv2(y))
            if self.stride == 2:
                x = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.pad, self.pad))
            return functional.relu(y + x)

    class Net(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.conv1, self.bn1 = _layer(model.conv1, torch.nn), _layer(model.bn1, torch.nn)
            for name in ("layer1", "layer2", "layer3"):
                self.add_module(name, torch.nn.Sequential(*map(Block, getattr(model, name))))
            self.linear = _layer(model.linear, torch.nn)

        def forward(self, x: Any) -> Any:
            y = functional.relu(self.bn1(self.conv1(x)))
            y = self.layer3(self.layer2(self.layer1(y)))
            return self.linear(functional.avg_pool2d(y, y.shape[2:]).flatten(1))

    return Net()
