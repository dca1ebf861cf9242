# SPDX-License-Identifier: BSD-3-Clause
"""ResNet for CIFAR-10: He, Zhang, Ren and Sun, "Deep residual learning for image recognition", 2016, section 4.2.

image         3 x 32 x 32
conv1 3x3     16 x 32 x 32
layer1        16 x 32 x 32   n residual blocks of two 3x3 convolutions
layer2        32 x 16 x 16   n blocks, the first with stride 2
layer3        64 x 8 x 8     n blocks, the first with stride 2
global average pool, dense   10

6n + 2 layers with weights. Shortcuts are those of option A: every second pixel, and zeros for the channels that are
missing, so that they have no parameters. ResNet-20, n = 3: 269,722 parameters, 8.75 % error in the paper; -32: 464,154,
7.51 %; -44: 658,586, 7.17 %; -56: 853,018, 6.97 %; -110: 1,727,962, 6.43 %.
"""

import numpy as np

from fastconv import nn
from fastconv._core import Blocked, empty_blocked
from fastconv.autograd import Function, Tensor, Value

BLOCK = 16    # channels of a block of the native layout


class Subsample(Function):
    """Every second pixel of x, with `pad` channels of zeros before and behind its own."""

    native = True

    def __init__(self, pad: int) -> None:
        self.pad = pad

    def forward(self, x: Value) -> Value:
        n, channels, height, width = self.shape = x.shape
        shape = (n, channels + 2 * self.pad, (height + 1) // 2, (width + 1) // 2)
        y: Value
        if isinstance(x, Blocked) and shape[1] % BLOCK == 0:
            y = empty_blocked(shape, x.dtype)
            y.array.fill(0)
            self._move(x.array[:, :, ::2, ::2], y.array, back=False)
            return y
        y = np.zeros(shape, x.dtype)
        y[:, self.pad:self.pad + channels] = (x.plain() if isinstance(x, Blocked) else x)[:, :, ::2, ::2]
        return y

    def backward(self, grad: Value) -> Value:
        if isinstance(grad, Blocked):
            blocked = empty_blocked(self.shape, grad.dtype)
            blocked.array.fill(0)
            self._move(blocked.array[:, :, ::2, ::2], grad.array, back=True)
            return blocked
        dx = np.zeros(self.shape, grad.dtype)
        dx[:, :, ::2, ::2] = grad[:, self.pad:self.pad + self.shape[1]]
        return dx

    def _move(self, narrow: np.ndarray, wide: np.ndarray, back: bool) -> None:
        """Channel c of narrow, at (c // 16, c % 16), to channel c + pad of wide; or back."""
        first, shift = divmod(self.pad, BLOCK)
        for step, here, there in ((0, slice(0, BLOCK - shift), slice(shift, BLOCK)),
                                  (1, slice(BLOCK - shift, BLOCK), slice(0, shift))):
            a = narrow[..., here]
            b = wide[:, first + step:first + step + narrow.shape[1], ..., there]
            if here.start < here.stop:
                np.copyto(*((a, b) if back else (b, a)))


class BasicBlock(nn.Module):
    """relu(x' + bn2(conv2(relu(bn1(conv1(x)))))), x' = x or, where the stride is 2, its subsample."""

    def __init__(self, channels: int, out_channels: int, stride: int, algorithm: str) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out_channels, 3, stride, 1, bias=False, algorithm=algorithm)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False, algorithm=algorithm)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.pad = (out_channels - channels) // 2
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.bn1(self.conv1(x)).relu()
        y = self.bn2(self.conv2(y))
        shortcut = Subsample(self.pad)(x) if self.stride == 2 else x
        return (y + shortcut).relu()


class CifarResNet(nn.Module):
    """The network of 6 * blocks + 2 layers."""

    def __init__(self, blocks: int, num_classes: int = 10, *, algorithm: str = "auto") -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False, algorithm=algorithm)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = self._stage(16, 16, blocks, 1, algorithm)
        self.layer2 = self._stage(16, 32, blocks, 2, algorithm)
        self.layer3 = self._stage(32, 64, blocks, 2, algorithm)
        self.linear = nn.Linear(64, num_classes)
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(module.weight)

    @staticmethod
    def _stage(channels: int, out_channels: int, blocks: int, stride: int, algorithm: str) -> nn.Sequential:
        first = BasicBlock(channels, out_channels, stride, algorithm)
        return nn.Sequential(first, *(BasicBlock(out_channels, out_channels, 1, algorithm) for _ in range(blocks - 1)))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.bn1(self.conv1(x)).relu()
        y = self.layer3(self.layer2(self.layer1(y)))
        logits: Tensor = self.linear(nn.functional.avg_pool2d(y, y.shape[2]).flatten(1))
        return logits


def cifar_resnet20(num_classes: int = 10, *, algorithm: str = "auto") -> CifarResNet:
    """Maps (N, 3, 32, 32) to (N, num_classes).

    >>> sum(p.numel() for p in cifar_resnet20().parameters())
    269722
    """
    return CifarResNet(3, num_classes, algorithm=algorithm)


def cifar_resnet32(num_classes: int = 10, *, algorithm: str = "auto") -> CifarResNet:
    """Maps (N, 3, 32, 32) to (N, num_classes)."""
    return CifarResNet(5, num_classes, algorithm=algorithm)


def cifar_resnet44(num_classes: int = 10, *, algorithm: str = "auto") -> CifarResNet:
    """Maps (N, 3, 32, 32) to (N, num_classes)."""
    return CifarResNet(7, num_classes, algorithm=algorithm)


def cifar_resnet56(num_classes: int = 10, *, algorithm: str = "auto") -> CifarResNet:
    """Maps (N, 3, 32, 32) to (N, num_classes)."""
    return CifarResNet(9, num_classes, algorithm=algorithm)


def cifar_resnet110(num_classes: int = 10, *, algorithm: str = "auto") -> CifarResNet:
    """Maps (N, 3, 32, 32) to (N, num_classes)."""
    return CifarResNet(18, num_classes, algorithm=algorithm)
