# SPDX-License-Identifier: BSD-3-Clause
"""LeNet-5 (LeCun, Bottou, Bengio, Haffner 1998, "Gradient-based learning applied to document recognition").

                     lenet                     lenet_caffe
    image            1 x 28 x 28               1 x 28 x 28
    conv1 5x5        6 x 28 x 28  (padding 2)  20 x 24 x 24
    pool1 2x2        6 x 14 x 14               20 x 12 x 12
    conv2 5x5        16 x 10 x 10              50 x 8 x 8
    pool2 2x2        16 x 5 x 5                50 x 4 x 4
    dense            120, 84, 10               500, 10
    parameters       61,706                    431,080

The paper's images are 32x32 with an empty frame of two pixels, which is what padding 2 makes of 28x28.
"""

from collections import OrderedDict

from fastconv import nn


def lenet(num_classes: int = 10, *, algorithm: str = "auto") -> nn.Sequential:
    """LeNet-5 as it is taught today: ReLU and max pooling in place of scaled tanh and trainable averaging,
    full connections between the two convolutions, and a linear last layer for cross entropy.

    Maps (N, 1, 28, 28) to (N, num_classes).

    >>> import numpy as np
    >>> lenet()(np.zeros((2, 1, 28, 28), np.float32)).shape
    (2, 10)
    """
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(1, 6, 5, padding=2, algorithm=algorithm),
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(2),
            conv2=nn.Conv2d(6, 16, 5, algorithm=algorithm),
            relu2=nn.ReLU(),
            pool2=nn.MaxPool2d(2),
            flatten=nn.Flatten(),
            fc1=nn.Linear(400, 120),
            relu3=nn.ReLU(),
            fc2=nn.Linear(120, 84),
            relu4=nn.ReLU(),
            fc3=nn.Linear(84, num_classes),
        )
    )


def lenet_caffe(num_classes: int = 10, *, algorithm: str = "auto") -> nn.Sequential:
    """The LeNet of Caffe's MNIST example, with the names of its parameters: conv1.weight ... ip2.bias.

    Maps (N, 1, 28, 28) to (N, num_classes). The published weights expect pixels divided by 256. There is no
    nonlinearity after the convolutions but the maximum of the pools, which round sizes up (ceil_mode).

    >>> import numpy as np
    >>> lenet_caffe()(np.zeros((2, 1, 28, 28), np.float32)).shape
    (2, 10)
    """
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(1, 20, 5, algorithm=algorithm),
            pool1=nn.MaxPool2d(2, ceil_mode=True),
            conv2=nn.Conv2d(20, 50, 5, algorithm=algorithm),
            pool2=nn.MaxPool2d(2, ceil_mode=True),
            flatten=nn.Flatten(),
            ip1=nn.Linear(800, 500),
            relu1=nn.ReLU(),
            ip2=nn.Linear(500, num_classes),
        )
    )
