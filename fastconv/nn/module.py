# SPDX-License-Identifier: BSD-3-Clause
"""Module, the base of every layer and model.

Names and behaviour are PyTorch's, with these differences, each of which turns a silent mistake into none or
into an error:

* ``state_dict()`` is a snapshot: a dict of arrays that later training does not change.
* ``load_state_dict`` changes nothing at all unless everything fits.
* A module called on arrays computes on tensors inside. In evaluation mode or under ``no_grad`` it returns
  arrays and keeps no state, so several threads may share it; otherwise it returns tensors.
* An exception from inside a model carries a note that names the layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from typing import Any, NamedTuple, Self

import numpy as np

from fastconv.autograd import Tensor, as_tensor, is_grad_enabled, no_grad, plain_results, settling
from fastconv.nn.parameter import Parameter

Array = np.ndarray[Any, Any]


class IncompatibleKeys(NamedTuple):
    """What ``load_state_dict`` returns."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not any(self):
            return "<All keys matched successfully>"
        return f"IncompatibleKeys(missing_keys={self.missing_keys}, unexpected_keys={self.unexpected_keys})"


class Module:
    """A layer, or a model made of layers. A subclass assigns its parts to attributes and defines ``forward``.

    >>> from fastconv import nn
    >>> class Net(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.conv = nn.Conv2d(1, 2, 3)
    ...     def forward(self, x):
    ...         return self.conv(x).relu()
    >>> net = Net().eval()
    >>> net(np.ones((1, 1, 4, 4), np.float32)).shape
    (1, 2, 2, 2)
    >>> [name for name, _ in net.named_parameters()]
    ['conv.weight', 'conv.bias']
    """

    training: bool
    forward: Callable[..., Any]

    #: Buffers that a state dict may lack, because older files do not have them.
    _optional_buffers: tuple[str, ...] = ()

    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Module | None]
    _transient: set[str]

    def __init__(self) -> None:
        for name in ("_parameters", "_buffers", "_modules"):
            object.__setattr__(self, name, {})
        object.__setattr__(self, "_transient", set())
        object.__setattr__(self, "training", True)

    # -- Calling.

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            arrays = tensors = False
            for value in (*args, *kwargs.values()) if kwargs else args:
                arrays |= isinstance(value, np.ndarray)
                tensors |= isinstance(value, Tensor)
            if not arrays:
                return self.forward(*args, **kwargs)
            return self._call_on_arrays(args, kwargs, stay=tensors)
        except Exception as error:
            _name_the_layer(error, self)
            raise

    def _call_on_arrays(self, args: tuple[Any, ...], kwargs: dict[str, Any], stay: bool) -> Any:
        """forward on tensors; the result goes back to arrays unless a tensor came in or training records."""
        args = tuple(_to_tensor(a) for a in args)
        kwargs = {name: _to_tensor(a) for name, a in kwargs.items()}
        if stay or (self.training and is_grad_enabled()):
            with settling():
                return self.forward(*args, **kwargs)
        with no_grad(), settling(), nullcontext() if self._modules else plain_results():
            return _to_array(self.forward(*args, **kwargs))

    # -- Attributes: parameters, buffers and modules live in their dicts, found through __getattr__.

    def __getattr__(self, name: str) -> Any:
        own = self.__dict__
        for kind in ("_parameters", "_modules", "_buffers"):
            if kind in own and name in own[kind]:
                return own[kind][name]
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Parameter):
            self.register_parameter(name, value)
        elif isinstance(value, Module):
            self.register_module(name, value)
        elif name in self.__dict__.get("_parameters", {}):
            self.register_parameter(name, value)
        elif name in self.__dict__.get("_modules", {}):
            self.register_module(name, value)
        elif name in self.__dict__.get("_buffers", {}):
            self._buffers[name] = _buffer(name, value)
        else:
            object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        for kind in ("_parameters", "_buffers", "_modules"):
            if name in self.__dict__[kind]:
                del self.__dict__[kind][name]
                self._transient.discard(name)
                return
        object.__delattr__(self, name)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._parameters, *self._buffers, *self._modules})

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter; None keeps the name for one that this instance does without."""
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(f"{name} must be a Parameter or None, got {type(param).__name__}")
        self._claim(name, "_parameters")[name] = param

    def register_buffer(self, name: str, tensor: Tensor | Array | None, persistent: bool = True) -> None:
        """Add state that is saved but not trained; ``persistent=False`` leaves it out of the state dict."""
        self._claim(name, "_buffers")[name] = _buffer(name, tensor)
        if persistent:
            self._transient.discard(name)
        else:
            self._transient.add(name)

    def register_module(self, name: str, module: Module | None) -> None:
        """Add a child."""
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"{name} must be a Module or None, got {type(module).__name__}")
        self._claim(name, "_modules")[name] = module

    add_module = register_module

    def _claim(self, name: str, kind: str) -> dict[str, Any]:
        """The dict of ``kind``, after ``name`` has been taken from wherever else it was."""
        if "_modules" not in self.__dict__:
            raise AttributeError(f"call super().__init__() before assigning {name!r}")
        if not isinstance(name, str) or not name or "." in name:
            raise ValueError(f"name must be a non-empty string without a dot, got {name!r}")
        for other in ("_parameters", "_buffers", "_modules"):
            if other != kind:
                self.__dict__[other].pop(name, None)
        self.__dict__.pop(name, None)
        members: dict[str, Any] = self.__dict__[kind]
        return members

    # -- Walking the tree.

    def children(self) -> Iterator[Module]:
        """The direct children, each once."""
        return (module for _, module in self.named_children())

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """(name, module) of the direct children, each once."""
        seen: set[Module] = set()
        for name, module in self._modules.items():
            if module is not None and module not in seen:
                seen.add(module)
                yield name, module

    def modules(self) -> Iterator[Module]:
        """This module and everything below it, each once."""
        return (module for _, module in self.named_modules())

    def named_modules(self, prefix: str = "", remove_duplicate: bool = True) -> Iterator[tuple[str, Module]]:
        """(path, module) for this module, whose path is ``prefix``, and everything below it."""
        seen: set[Module] = set()
        stack: list[tuple[str, Module]] = [(prefix, self)]
        while stack:
            path, module = stack.pop()
            if remove_duplicate and module in seen:
                continue
            seen.add(module)
            yield path, module
            below = reversed(module._modules.items())
            stack += [(_join(path, name), child) for name, child in below if child is not None]

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """Every parameter, each once; with ``recurse=False`` only this module's own."""
        return (parameter for _, parameter in self.named_parameters(recurse=recurse))

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """(path, parameter)."""
        return self._members("_parameters", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """Every buffer, each once."""
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """(path, buffer)."""
        return self._members("_buffers", prefix, recurse, remove_duplicate)

    def _members(self, kind: str, prefix: str, recurse: bool, once: bool) -> Iterator[tuple[str, Any]]:
        owners = self.named_modules(prefix, once) if recurse else iter([(prefix, self)])
        seen: set[int] = set()
        for path, module in owners:
            for name, member in module.__dict__[kind].items():
                if member is None or (once and id(member) in seen):
                    continue
                seen.add(id(member))
                yield _join(path, name), member

    def get_submodule(self, target: str) -> Module:
        """The module at a path such as ``"features.3"``; the empty path is this module."""
        module: Module = self
        for name in target.split(".") if target else []:
            child = module._modules.get(name)
            if child is None:
                raise AttributeError(f"{target!r}: {type(module).__name__} has no module {name!r}")
            module = child
        return module

    # -- Changing the whole tree.

    def apply(self, fn: Callable[[Module], Any]) -> Self:
        """Call ``fn`` on every module, children first."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    def train(self, mode: bool = True) -> Self:
        """Put every module into training mode, or with False into evaluation mode."""
        if not isinstance(mode, bool):
            raise ValueError(f"mode must be True or False, got {mode!r}")
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """``train(False)``."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Set ``requires_grad`` of every parameter."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget every parameter's gradient, or with ``set_to_none=False`` make it zero."""
        for parameter in self.parameters():
            reset_grad(parameter, set_to_none)

    def float(self) -> Self:
        """Convert every float parameter and buffer to float32."""
        return self._convert(np.float32)

    def double(self) -> Self:
        """Convert every float parameter and buffer to float64."""
        return self._convert(np.float64)

    def _convert(self, dtype: Any) -> Self:
        for parameter in self.parameters():
            if parameter.dtype.kind == "f" and parameter.dtype != dtype:
                parameter._adopt(parameter.numpy().astype(dtype))
                parameter.grad = None if parameter.grad is None else parameter.grad.astype(dtype)
        for module in self.modules():
            for name, buffer in module._buffers.items():
                if buffer is not None and buffer.dtype.kind == "f":
                    module._buffers[name] = buffer.astype(dtype)
        return self

    # -- Saving and loading.

    def state_dict(self, prefix: str = "") -> dict[str, Array]:
        """A copy of every parameter and persistent buffer, by path."""
        return {prefix + slot.path: slot.value.numpy().copy() for slot in self._state()}

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> IncompatibleKeys:
        """Take over the values of a state dict, as arrays, tensors or anything with ``__array__``.

        Floats are converted to the type of the parameter. With ``strict=False`` missing and unexpected keys
        are allowed, and returned. ValueError lists everything that does not fit, and then nothing is changed.
        """
        slots = {slot.path: slot for slot in self._state()}
        missing = [path for path, slot in slots.items() if path not in state_dict and not slot.optional]
        unexpected = [path for path in state_dict if path not in slots]
        arrays, misfits = _fit_all(slots, state_dict)
        problems = misfits
        if strict:
            problems = [*(f"missing key: {path!r}" for path in missing),
                        *(f"unexpected key: {path!r}" for path in unexpected), *misfits]
        if problems:
            raise ValueError(f"state_dict does not fit {type(self).__name__}:\n  " + "\n  ".join(problems))
        for path, array in arrays.items():
            slots[path].store(array)
        return IncompatibleKeys(missing, unexpected)

    def _state(self) -> Iterator[_Slot]:
        for path, module in self.named_modules(remove_duplicate=False):
            for name, parameter in module._parameters.items():
                if parameter is not None:
                    yield _Slot(_join(path, name), module, name, parameter, optional=False)
            for name, buffer in module._buffers.items():
                if buffer is not None and name not in module._transient:
                    yield _Slot(_join(path, name), module, name, buffer, name in module._optional_buffers)

    # -- Text.

    def extra_repr(self) -> str:
        """What stands between the parentheses of the repr; a subclass defines it."""
        return ""

    def __repr__(self) -> str:
        children = [
            f"({name}): {child!r}".replace("\n", "\n  ") for name, child in self._modules.items()
        ]
        extra = self.extra_repr()
        if not children:
            return f"{type(self).__name__}({extra})"
        return f"{type(self).__name__}({extra}\n  " + "\n  ".join(children) + "\n)"


class _Slot(NamedTuple):
    """One entry of a state dict: where it lives, and what is there now."""

    path: str
    module: Module
    name: str
    value: Tensor
    optional: bool

    def store(self, array: Array) -> None:
        if isinstance(self.value, Parameter):
            self.value.copy_(array)
        else:
            self.module._buffers[self.name] = Tensor(array.astype(self.value.dtype))


def _fit_all(slots: dict[str, _Slot], state: Mapping[str, Any]) -> tuple[dict[str, Array], list[str]]:
    """The arrays of ``state`` that have a place, and what is wrong with them."""
    arrays: dict[str, Array] = {}
    misfits: list[str] = []
    for path, slot in slots.items():
        if path not in state:
            continue
        value, target = state[path], slot.value
        if not hasattr(value, "__array__"):
            misfits.append(f"{path}: got {type(value).__name__}, expected an array")
            continue
        array = np.asarray(value)
        if array.shape != target.shape:
            hint = " (transposed?)" if array.ndim > 1 and array.shape[::-1] == target.shape else ""
            misfits.append(f"{path}: got shape {array.shape}{hint}, expected {target.shape}")
        elif not np.can_cast(array.dtype, target.dtype, "same_kind"):
            misfits.append(f"{path}: got element type {array.dtype}, expected {target.dtype}")
        arrays[path] = array
    return arrays, misfits


def reset_grad(parameter: Tensor, set_to_none: bool) -> None:
    """Forget the gradient, or make it zero where there is one."""
    if set_to_none:
        parameter.grad = None
    elif parameter.grad is not None:
        parameter.grad = np.zeros(parameter.shape, parameter.dtype)


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _buffer(name: str, value: Any) -> Tensor | None:
    return None if value is None else as_tensor(value, name).detach()


def _to_tensor(value: Any) -> Any:
    return as_tensor(value) if isinstance(value, np.ndarray) else value


def _to_array(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.numpy()
    if type(value) in (tuple, list):
        return type(value)(_to_array(v) for v in value)
    return value


def _name_the_layer(error: Exception, module: Module) -> None:
    """Keep one note on ``error`` that says where it happened, seen from the outermost module so far."""
    culprit, note = getattr(error, "_fastconv_layer", (module, None))
    path = next((path for path, m in module.named_modules() if m is culprit), "")
    if note is not None:
        error.__notes__.remove(note)
    note = f"raised in {type(culprit).__name__} {path!r}" if path else f"raised in {culprit!r}"
    error.add_note(note)
    error._fastconv_layer = culprit, note  # type: ignore[attr-defined]
