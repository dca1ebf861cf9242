# SPDX-License-Identifier: BSD-3-Clause
"""The small network of introductory courses: two 3x3 convolutions and one dense layer.

image        1 x 28 x 28
conv1 3x3    32 x 28 x 28   ("same" padding)
pool1 2x2    32 x 14 x 14
conv2 3x3    64 x 14 x 14   ("same" padding)
pool2 2x2    64 x 7 x 7
dense        10
parameters   50,186
"""

from collections import OrderedDict

from fastconv import nn


def mnist_cnn(num_classes: int = 10, *, algorithm: str = "auto") -> nn.Sequential:
    """Maps (N, 1, 28, 28) to (N, num_classes).

    >>> import numpy as np
    >>> mnist_cnn()(np.zeros((2, 1, 28, 28), np.float32)).shape
    (2, 10)
    """
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(1, 32, 3, padding="same", algorithm=algorithm),
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(2),
            conv2=nn.Conv2d(32, 64, 3, padding="same", algorithm=algorithm),
            relu2=nn.ReLU(),
            pool2=nn.MaxPool2d(2),
            flatten=nn.Flatten(),
            fc=nn.Linear(3136, num_classes),
        )
    )
