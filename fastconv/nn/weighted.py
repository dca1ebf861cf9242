# SPDX-License-Identifier: BSD-3-Clause
"""What layers with a weight share: Keras's options for initial values, penalties and constraints.

The arguments are keyword-only, and None, the default, leaves PyTorch's behaviour. Each takes a name, an object or a
function; see :mod:`~fastconv.nn.initializers`, :mod:`~fastconv.nn.regularizers`, :mod:`~fastconv.nn.constraints`.

kernel_initializer, bias_initializer: fill weight and bias, when the layer is made and in reset_parameters().
kernel_regularizer, bias_regularizer, activity_regularizer: penalties of weight, bias and result, which
    :func:`regularization_loss` adds up.
kernel_constraint, bias_constraint: what weight and bias obey after every step of an optimiser.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, TypedDict

import numpy as np

from fastconv.autograd import Tensor
from fastconv.nn._common import float_type
from fastconv.nn.init import reset_weight_and_bias
from fastconv.nn.module import Module
from fastconv.nn.parameter import Parameter
from fastconv.ops._check import flag, integer

Initializer = Callable[..., Any] | str | None
Regularizer = Callable[[Tensor], Tensor] | str | None
Constraint = Callable[[Any], None] | str | None


class WeightOptions(TypedDict, total=False):
    """The arguments above, for a layer's signature: ``**options: Unpack[WeightOptions]``."""

    kernel_initializer: Initializer
    bias_initializer: Initializer
    kernel_regularizer: Regularizer
    bias_regularizer: Regularizer
    activity_regularizer: Regularizer
    kernel_constraint: Constraint
    bias_constraint: Constraint


#: The results of layers with an activity_regularizer that are still alive, each with the size of its batch.
_results: weakref.WeakKeyDictionary[Module, list[tuple[weakref.ref[Tensor], int]]] = weakref.WeakKeyDictionary()


class Weighted(Module):
    """A layer with a weight and perhaps a bias. Its constructor ends with ``take_options``, its forward with
    ``watched``.
    """

    weight: Parameter
    bias: Parameter | None
    groups: int = 1
    #: Leading axes of the weight that count kernels, each of which is initialised as one of its own.
    places: int = 0
    kernel_initializer: Callable[..., Any] | None = None
    bias_initializer: Callable[..., Any] | None = None
    activity_regularizer: Callable[[Tensor], Tensor] | None = None

    def make_parameters(self, weight: tuple[int, ...], bias: tuple[int, ...], with_bias: object, dtype: Any) -> None:
        """Parameters of these shapes, without values yet."""
        element = float_type(dtype)
        self.weight = Parameter(np.empty(weight, element))
        wanted = flag("bias", with_bias)
        self.register_parameter("bias", Parameter(np.empty(bias, element)) if wanted else None)

    def take_options(self, options: WeightOptions) -> None:
        """Set what Keras's arguments ask for, and the initial values."""
        if options:
            self._set(options)
        self.reset_parameters()

    def _set(self, options: WeightOptions) -> None:
        from fastconv.nn import constraints, initializers, regularizers  # most programs do without

        _check_names(type(self).__name__, options, self.bias is not None)
        self.kernel_initializer = initializers.get("kernel_initializer", options.get("kernel_initializer"))
        self.bias_initializer = initializers.get("bias_initializer", options.get("bias_initializer"))
        self.activity_regularizer = regularizers.get("activity_regularizer", options.get("activity_regularizer"))
        self.weight.regularizer = regularizers.get("kernel_regularizer", options.get("kernel_regularizer"))
        self.weight.constraint = constraints.get("kernel_constraint", options.get("kernel_constraint"))
        if self.bias is not None:
            self.bias.regularizer = regularizers.get("bias_regularizer", options.get("bias_regularizer"))
            self.bias.constraint = constraints.get("bias_constraint", options.get("bias_constraint"))

    def reset_parameters(self) -> None:
        """Draw weight and bias anew."""
        reset_weight_and_bias(self.weight, self.bias, self.places)
        if self.kernel_initializer is not None:
            fill = self.kernel_initializer
            fill = fill.of(self.groups) if hasattr(fill, "of") else fill    # an Identity
            if not self.places:
                fill(self.weight)
            else:
                with self.weight.writable() as kernels:
                    for place in np.ndindex(kernels.shape[:self.places]):
                        fill(kernels[place])
        if self.bias_initializer is not None and self.bias is not None:
            self.bias_initializer(self.bias)

    def watched(self, y: Tensor, axes: int) -> Tensor:
        """y itself, the result of a forward pass, after it is noted down for the activity_regularizer.

        axes: how many y has with its batch; with fewer it is the result of one sample. Who penalises a result looks
        at it, so it does not wait for a ReLU to join it.
        """
        if self.activity_regularizer is not None and self.training and y.requires_grad:
            y.numpy()
            alive = [entry for entry in _results.get(self, ()) if entry[0]() is not None]
            _results[self] = [*alive, (weakref.ref(y), y.shape[0] if y.ndim >= axes else 1)]
        return y

    def options_repr(self) -> list[str]:
        """The options that are set, for extra_repr."""
        owners = (("kernel", self.weight), ("bias", self.bias))
        values = {
            **{f"{name}_initializer": getattr(self, f"{name}_initializer") for name, _ in owners},
            **{f"{name}_regularizer": p.regularizer for name, p in owners if p is not None},
            "activity_regularizer": self.activity_regularizer,
            **{f"{name}_constraint": p.constraint for name, p in owners if p is not None},
        }
        return [f"{name}={getattr(v, '__name__', v)}" for name, v in values.items() if v is not None]


def groups_of(layer: Any, groups: object) -> int:
    """A number that divides the layer's in_channels and out_channels."""
    number = integer("groups", groups, 1)
    for name in ("in_channels", "out_channels"):
        if getattr(layer, name) % number:
            raise ValueError(f"groups must divide {name}={getattr(layer, name)}, got {number}")
    return number


def unusual(layer: Module, **defaults: Any) -> list[str]:
    """name=value of the attributes that are not the defaults, for extra_repr; a bias counts as whether there is one."""
    values = {**vars(layer), "bias": getattr(layer, "bias", None) is not None}
    return [f"{name}={values[name]}" for name, default in defaults.items() if values[name] != default]


def _check_names(layer: str, options: WeightOptions, has_bias: bool) -> None:
    for name, value in options.items():
        if name not in WeightOptions.__annotations__:
            raise TypeError(f"{layer} has no argument {name!r}; those for weights are "
                            + ", ".join(WeightOptions.__annotations__))
        if value is not None and name.startswith("bias_") and not has_bias:
            raise ValueError(f"{name} is given, but the layer has no bias")


def regularization_loss(model: Module) -> Tensor:
    """The sum of all penalties of a model: a tensor of no axes, to be added to the loss.

    Those of parameters, each once; and those of the results of layers in the forward pass under way, each divided by
    the size of its batch, so that the balance between the two does not change with it. A result counts in training
    mode, as long as it is alive and backward has not gone through it. So call this once after each forward pass,
    before backward.

    Where there is nothing to penalise it is 0, and has no gradient.

    >>> from fastconv import nn
    >>> layer = nn.Linear(2, 2, bias=False, kernel_initializer="ones", kernel_regularizer="l2",
    ...                   activity_regularizer="l1")
    >>> y = layer(np.ones((5, 2), np.float32))
    >>> round(regularization_loss(layer).item(), 3)    # 0.01 * 4 ones, and 0.01 * 2 results of 2 for each sample
    0.08
    """
    penalties = [p.regularizer(p) for p in model.parameters() if p.regularizer is not None]
    for module in model.modules():
        if isinstance(module, Weighted) and module.activity_regularizer is not None:
            for reference, batch in _results.get(module, ()):
                y = reference()
                if y is not None and y.grad_fn is not None and not y.grad_fn._used:
                    penalties.append(module.activity_regularizer(y) * (1 / max(batch, 1)))
    if not penalties:
        return Tensor(np.zeros((), next((p.dtype for p in model.parameters()), np.float32)))
    total = penalties[0]
    for penalty in penalties[1:]:
        total = total + penalty
    return total
