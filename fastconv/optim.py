# SPDX-License-Identifier: BSD-3-Clause
"""Optimisers, with PyTorch's names, defaults, formulas and state dicts: SGD, Adam, AdamW.

Each update is one pass over memory, in place, by a native kernel.

In the formulas p is a parameter, g its gradient, and t counts its steps from 1.

>>> from fastconv import nn
>>> from fastconv.autograd import tensor
>>> p = nn.Parameter(np.array([1.0, 2.0]))
>>> optimizer = SGD([p], lr=0.5)
>>> (p * p).sum().backward()
>>> optimizer.step()
>>> p.numpy()
array([0., 0.])
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from fastconv import _core
from fastconv.autograd import enable_grad
from fastconv.errors import ShapeError
from fastconv.nn._common import number
from fastconv.nn.module import reset_grad
from fastconv.nn.parameter import Parameter
from fastconv.ops._check import flag, shown

__all__ = ["SGD", "Adam", "AdamW", "Optimizer"]

Array = np.ndarray[Any, Any]
Params = Iterable[Parameter] | Iterable[dict[str, Any]]


class Step(NamedTuple):
    """What an update needs besides the arrays."""

    t: int
    fresh: bool  # whether the state of this parameter was only just made, and is zero
    group: dict[str, Any]


class Optimizer:
    """The base: groups of parameters with their settings, the state of each parameter, saving and loading.

    A subclass gives the defaults of a group and defines ``_update``, which changes one parameter, and ``_state_names``,
    the arrays that it keeps for each parameter.

    params: parameters; or dicts with "params" and settings that differ from the defaults. ``param_groups``
    is a list of such dicts; settings such as ``group["lr"]`` may be changed between steps.
    """

    def __init__(self, params: Params, defaults: dict[str, Any]) -> None:
        self.defaults = defaults
        self.state: dict[Parameter, dict[str, Any]] = {}
        self.param_groups: list[dict[str, Any]] = []
        if isinstance(params, Parameter):
            raise TypeError("params must be an iterable of parameters, got one Parameter: write [parameter]")
        groups: list[Any] = list(params)
        if not groups:
            raise ValueError("params is empty: there is nothing to optimise")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    def add_param_group(self, param_group: Mapping[str, Any]) -> None:
        """Add parameters, with the defaults for every setting that is not given."""
        group = {**self.defaults, **param_group}
        given = group["params"]
        group["params"] = [given] if isinstance(given, Parameter) else list(given)
        unknown = set(group) - set(self.defaults) - {"params"}
        if unknown:
            have = list(self.defaults)
            raise ValueError(f"unknown settings {sorted(unknown)}; {type(self).__name__} has {have}")
        known = {id(p) for g in self.param_groups for p in g["params"]}
        for parameter in group["params"]:
            if not isinstance(parameter, Parameter):
                kind = type(parameter).__name__
                raise TypeError(f"params must hold nn.Parameter, got {kind}: wrap it in nn.Parameter(...)")
            if id(parameter) in known:
                raise ValueError(f"a parameter of shape {parameter.shape} is given twice")
            known.add(id(parameter))
        self._check(group)
        self.param_groups.append(group)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget every gradient, or with ``set_to_none=False`` make it zero."""
        for group in self.param_groups:
            for parameter in group["params"]:
                reset_grad(parameter, set_to_none)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient.

        closure: computes the loss anew, gradients included; it is called first and its result returned.
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._step_one(parameter, parameter.grad.numpy(), group)
        return loss

    def _step_one(self, parameter: Parameter, gradient: Array, group: dict[str, Any]) -> None:
        state = self.state.setdefault(parameter, {})
        names = self._state_names(group)
        fresh = any(name not in state for name in names)
        state["step"] = state.get("step", 0) + 1
        for name in names:
            old = state.get(name)
            if old is None:
                state[name] = np.zeros(parameter.shape, parameter.dtype)
            elif old.dtype != parameter.dtype:
                state[name] = old.astype(parameter.dtype)
        arrays = [state[name] for name in names]
        with parameter.writable() as store:
            self._update(store, np.ascontiguousarray(gradient), arrays, Step(state["step"], fresh, group))

    def _update(self, p: Array, g: Array, state: list[Array], step: Step) -> None:
        """Change a parameter, and its state in the order of ``_state_names``."""
        raise NotImplementedError

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        raise NotImplementedError

    def _check(self, group: dict[str, Any]) -> None:
        """ValueError or TypeError for a setting out of range."""
        for name in ("lr", "weight_decay"):
            number(name, group[name])
        flag("maximize", group["maximize"])

    def state_dict(self) -> dict[str, Any]:
        """A copy of the state: {"state": {index: {...}}, "param_groups": [...]}, parameters as numbers."""
        index = {id(p): i for i, p in enumerate(self._parameters())}
        return {
            "state": {index[id(p)]: copy.deepcopy(state) for p, state in self.state.items()},
            "param_groups": [
                {**copy.deepcopy({k: v for k, v in group.items() if k != "params"}),
                 "params": [index[id(p)] for p in group["params"]]}
                for group in self.param_groups
            ],
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Continue from a state dict of an optimiser with groups of the same sizes, in the same order.

        Settings that this optimiser does not have, such as PyTorch's choices of implementation, are left out.
        ValueError, with nothing changed, where they differ.
        """
        groups, parameters = state_dict["param_groups"], list(self._parameters())
        saved_sizes = [len(group["params"]) for group in groups]
        sizes = [len(group["params"]) for group in self.param_groups]
        if saved_sizes != sizes:
            raise ValueError(f"state_dict has parameter groups of sizes {saved_sizes}, expected {sizes}")
        numbers = [i for group in groups for i in group["params"]]
        by_number = dict(zip(numbers, parameters, strict=True))
        state = {by_number[i]: _fitting_state(by_number[i], s) for i, s in state_dict["state"].items()}
        updated = [{**mine, **{name: saved[name] for name in self.defaults if name in saved}}
                   for mine, saved in zip(self.param_groups, groups, strict=True)]
        for group in updated:
            self._check(group)
        self.state, self.param_groups = state, updated

    def _parameters(self) -> Iterator[Parameter]:
        return (parameter for group in self.param_groups for parameter in group["params"])

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for i, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {i}")
            lines += [f"    {name}: {value}" for name, value in sorted(group.items()) if name != "params"]
        return "\n".join([*lines, ")"])


def _fitting_state(parameter: Parameter, saved: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of one parameter's saved state, its arrays in the parameter's type."""
    state: dict[str, Any] = {}
    for name, value in saved.items():
        if name == "step":
            state[name] = int(value)
        elif value is not None:
            array = np.asarray(value).astype(parameter.dtype, order="C")
            if array.shape != parameter.shape:
                raise ShapeError(f"{name}: got shape {array.shape}, expected {parameter.shape}")
            state[name] = array
    return state


class SGD(Optimizer):
    """Gradient descent, with momentum.

        g += weight_decay * p
        v = g at the first step, else momentum * v + (1 - dampening) * g      (momentum > 0)
        p -= lr * (g, or v, or with nesterov g + momentum * v)

    maximize: go up instead of down.

    >>> from fastconv import nn
    >>> p = nn.Parameter(np.array([1.0]))
    >>> optimizer = SGD([p], lr=0.1, momentum=0.9)
    >>> for _ in range(2):
    ...     p.grad = np.array([1.0])
    ...     optimizer.step()
    >>> round(p.item(), 6)
    0.71
    """

    def __init__(
        self, params: Params, lr: float = 1e-3, momentum: float = 0.0, dampening: float = 0.0,
        weight_decay: float = 0.0, nesterov: bool = False, *, maximize: bool = False,
    ) -> None:
        super().__init__(params, {
            "lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay,
            "nesterov": nesterov, "maximize": maximize,
        })

    def _check(self, group: dict[str, Any]) -> None:
        super()._check(group)
        number("momentum", group["momentum"])
        number("dampening", group["dampening"], -math.inf)
        if flag("nesterov", group["nesterov"]) and not (group["momentum"] > 0 and group["dampening"] == 0):
            raise ValueError("nesterov needs momentum > 0 and dampening = 0")

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("momentum_buffer",) if group["momentum"] else ()

    def _update(self, p: Array, g: Array, state: list[Array], step: Step) -> None:
        group = step.group
        _core.sgd(
            p, g, state[0] if state else None, group["lr"], group["weight_decay"], group["momentum"],
            1 if step.fresh else 1 - group["dampening"], group["nesterov"], group["maximize"],
        )


class Adam(Optimizer):
    """Steps scaled by running moments of the gradient (Kingma and Ba, 2014).

        g += weight_decay * p
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g^2
        p -= lr / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + eps)

    amsgrad: use the largest v so far. maximize: go up instead of down.

    >>> from fastconv import nn
    >>> p = nn.Parameter(np.array([1.0]))
    >>> p.grad = np.array([123.0])
    >>> Adam([p], lr=0.1).step()  # the first step is as long as lr, whatever the gradient
    >>> round(p.item(), 6)
    0.9
    """

    _decoupled = False

    def __init__(
        self, params: Params, lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
        weight_decay: float = 0.0, amsgrad: bool = False, *, maximize: bool = False,
    ) -> None:
        super().__init__(params, {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad,
            "maximize": maximize,
        })

    def _check(self, group: dict[str, Any]) -> None:
        super()._check(group)
        number("eps", group["eps"])
        flag("amsgrad", group["amsgrad"])
        betas = group["betas"]
        if not isinstance(betas, (tuple, list)) or len(betas) != 2:
            raise TypeError(f"betas must be a pair of numbers, got {shown(betas)}")
        for i, beta in enumerate(betas):
            if number(f"betas[{i}]", beta, 0, 1) == 1:
                raise ValueError(f"betas[{i}] must be less than 1, got 1")

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("exp_avg", "exp_avg_sq", *(("max_exp_avg_sq",) if group["amsgrad"] else ()))

    def _update(self, p: Array, g: Array, state: list[Array], step: Step) -> None:
        group, lr, decay = step.group, step.group["lr"], step.group["weight_decay"]
        beta1, beta2 = group["betas"]
        if self._decoupled:
            decay, keep = 0, 1 - lr * decay
        else:
            keep = 1
        _core.adam(
            p, g, state[0], state[1], state[2] if group["amsgrad"] else None, lr / (1 - beta1**step.t), decay, keep,
            (beta1, beta2), math.sqrt(1 - beta2**step.t), group["eps"], group["maximize"],
        )


class AdamW(Adam):
    """Adam with decoupled decay (Loshchilov and Hutter, 2017): p *= 1 - lr * weight_decay, and g stays g.

    >>> from fastconv import nn
    >>> p = nn.Parameter(np.array([1.0]))
    >>> p.grad = np.array([123.0])
    >>> AdamW([p], lr=0.1, weight_decay=0.5).step()
    >>> round(p.item(), 6)
    0.85
    """

    _decoupled = True

    def __init__(
        self, params: Params, lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
        weight_decay: float = 1e-2, amsgrad: bool = False, *, maximize: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize)
