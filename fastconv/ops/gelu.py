# SPDX-License-Identifier: BSD-3-Clause
"""The error function, which NumPy lacks, and GELU, with their gradients; arguments and errors as in activation.py."""

from fastconv.ops._check import word
from fastconv.ops.act import Images, elementwise

GELU_KERNELS = {"none": "gelu", "tanh": "gelu_tanh"}


def erf(x: Images, *, out: Images | None = None) -> Images:
    """The error function, 2 / sqrt(pi) times the integral of e^(-t^2) from 0 to x, within 3 units of the last digit.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.erf(np.array([-np.inf, 0.0, 1.0])).round(6).tolist()
    [-1.0, 0.0, 0.842701]
    """
    return elementwise("erf", x, None, "x", "", out)


def erf_backward(grad_output: Images, x: Images, *, out: Images | None = None) -> Images:
    """grad_output * 2 / sqrt(pi) * e^(-x^2).

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.erf_backward(np.ones(1), np.zeros(1)).round(6).tolist()
    [1.128379]
    """
    return elementwise("erf_backward", grad_output, x, "grad_output", "x", out)


def gelu(x: Images, approximate: str = "none", *, out: Images | None = None) -> Images:
    """x * N(x), N(x) = (1 + erf(x / sqrt(2))) / 2 being the normal distribution's cumulative function.

    approximate: "none", or "tanh" for x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))).
    The tail of negative x keeps its relative accuracy, which the sum 1 + erf would lose.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.gelu(np.array([-1.0, 0.0, 1.0])).round(6).tolist()
    [-0.158655, 0.0, 0.841345]
    """
    return elementwise(GELU_KERNELS[word("approximate", approximate, GELU_KERNELS)], x, None, "x", "", out)


def gelu_backward(
    grad_output: Images, x: Images, approximate: str = "none", *, out: Images | None = None
) -> Images:
    """grad_output * (N(x) + x e^(-x^2/2) / sqrt(2 pi)), or the derivative of the approximation.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.gelu_backward(np.ones(1), np.zeros(1)).tolist()
    [0.5]
    """
    kernel = GELU_KERNELS[word("approximate", approximate, GELU_KERNELS)] + "_backward"
    return elementwise(kernel, grad_output, x, "grad_output", "x", out)
