# SPDX-License-Identifier: BSD-3-Clause
"""What all optimisers share: groups of parameters, the state of each parameter, saving and loading."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from fastconv.autograd import enable_grad
from fastconv.errors import ShapeError
from fastconv.nn._common import number
from fastconv.nn.module import reset_grad
from fastconv.nn.parameter import Parameter
from fastconv.ops._check import flag

Array = np.ndarray[Any, Any]
Params = Iterable[Parameter] | Iterable[dict[str, Any]]

#: What schedulers keep in a group of parameters, by PyTorch's names.
SCHEDULED = ("initial_lr", "max_lr", "min_lr", "max_momentum", "base_momentum")


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

    A parameter with a ``constraint`` (:mod:`fastconv.nn.constraints`) obeys it after every step.
    """

    #: Whether ``step`` has been called; a scheduler that goes first asks.
    stepped = False

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
        unknown = set(group) - {*self.defaults, *SCHEDULED, "params"}
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
        self.stepped = True
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
                state[name] = np.full(parameter.shape, self._initial(group), parameter.dtype)
            elif old.dtype != parameter.dtype:
                state[name] = old.astype(parameter.dtype)
        arrays = [state[name] for name in names]
        with parameter.writable() as store:
            self._update(store, np.ascontiguousarray(gradient), arrays, Step(state["step"], fresh, group))
            if parameter.constraint is not None:
                parameter.constraint(store)

    def _update(self, p: Array, g: Array, state: list[Array], step: Step) -> None:
        """Change a parameter, and its state in the order of ``_state_names``."""
        raise NotImplementedError

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        raise NotImplementedError

    def _initial(self, group: dict[str, Any]) -> float:
        """What the arrays of the state start with."""
        return 0.0

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

        Settings that neither this optimiser nor a scheduler has, such as PyTorch's choices of implementation, are
        left out.
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
        names = (*self.defaults, *SCHEDULED)
        updated = [{**mine, **{name: copy.deepcopy(saved[name]) for name in names if name in saved}}
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
