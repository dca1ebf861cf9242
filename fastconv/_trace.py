# SPDX-License-Identifier: BSD-3-Clause
"""What goes through a model: the input and the output of every layer, for the report and the pictures."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from fastconv import nn
from fastconv.data.dataset import Array


class Call(NamedTuple):
    """One layer at work. name: its path in the model, as in the state dict."""

    name: str
    layer: nn.Module
    input: Array
    output: Array


def trace(model: nn.Module, x: Array) -> list[Call]:
    """Run `model` on `x` and tell what each layer without sub-layers was given and gave, in order.

    A layer used twice is told twice. Layers with several inputs are told with the first.

    >>> from fastconv import models
    >>> calls = trace(models.build("lenet"), np.zeros((1, 1, 28, 28), np.float32))
    >>> [(call.name, call.output.shape) for call in calls[:2]]
    [('conv1', (1, 6, 28, 28)), ('relu1', (1, 6, 28, 28))]
    """
    calls: list[Call] = []
    with _observed(model, calls.append):
        model(x)
    return calls


@contextmanager
def _observed(model: nn.Module, tell: Callable[[Call], None]) -> Iterator[None]:
    """Shadow the `forward` of every leaf by one that also tells; the class's own returns with the end."""
    leaves = [
        (name, module) for name, module in model.named_modules() if not any(True for _ in module.children())
    ]
    for name, layer in leaves:
        layer.forward = _telling(name, layer, tell)
    try:
        yield
    finally:
        for _, layer in leaves:
            del layer.forward


def _telling(name: str, layer: nn.Module, tell: Callable[[Call], None]) -> Callable[..., Any]:
    forward = layer.forward

    def observed(*args: Any, **kwargs: Any) -> Any:
        output = forward(*args, **kwargs)
        tell(Call(name, layer, np.asarray(args[0]), np.asarray(output)))
        return output

    return observed
