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


def _is_leaf(module: nn.Module) -> bool:
    return not any(True for _ in module.children())


def trace(model: nn.Module, *inputs: Array, which: Callable[[nn.Module], bool] = _is_leaf) -> list[Call]:
    """Run `model` on `inputs` and tell what each layer was given and gave, in order of their ends.

    which: the layers that are told; by default those without sub-layers. A layer used twice is told twice. Layers with
    several inputs or outputs are told with the first.

    >>> from fastconv import models
    >>> calls = trace(models.build("lenet"), np.zeros((1, 1, 28, 28), np.float32))
    >>> [(call.name, call.output.shape) for call in calls[:2]]
    [('conv1', (1, 6, 28, 28)), ('relu1', (1, 6, 28, 28))]
    """
    calls: list[Call] = []
    with _observed([(name, module) for name, module in model.named_modules() if which(module)], calls.append):
        model(*inputs)
    return calls


@contextmanager
def _observed(layers: list[tuple[str, nn.Module]], tell: Callable[[Call], None]) -> Iterator[None]:
    """Shadow the `forward` of every layer by one that also tells; the class's own returns with the end."""
    for name, layer in layers:
        layer.forward = _telling(name, layer, tell)
    try:
        yield
    finally:
        for _, layer in layers:
            del layer.forward


def _telling(name: str, layer: nn.Module, tell: Callable[[Call], None]) -> Callable[..., Any]:
    forward = layer.forward

    def observed(*args: Any, **kwargs: Any) -> Any:
        output = forward(*args, **kwargs)
        first = next(iter(args or kwargs.values()))
        tell(Call(name, layer, np.asarray(first), np.asarray(output[0] if isinstance(output, tuple) else output)))
        return output

    return observed
