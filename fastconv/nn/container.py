# SPDX-License-Identifier: BSD-3-Clause
"""Modules that hold modules in order."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self

from fastconv.nn.module import Module


class _Ordered(Module):
    """Children under the names "0", "1", ... or, in Sequential, names of their own."""

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._as_list())

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            part = type(self)()
            for name in list(self._modules)[index]:
                part.register_module(name, self._modules[name])
            return part
        return self._modules[self._name(index)]

    def __setitem__(self, index: int, module: Module) -> None:
        self.register_module(self._name(index), module)

    def __delitem__(self, index: int) -> None:
        del self._modules[self._name(index)]
        if all(name.isdecimal() for name in self._modules):
            self._renumber(self._as_list())

    def append(self, module: Module) -> Self:
        """Add a module at the end."""
        self.register_module(str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Module]) -> Self:
        """Add modules at the end."""
        for module in modules:
            self.append(module)
        return self

    def insert(self, index: int, module: Module) -> Self:
        """Add a module before position ``index``."""
        modules = self._as_list()
        modules.insert(index, module)
        self._renumber(modules)
        return self

    def _as_list(self) -> list[Module]:
        return [module for module in self._modules.values() if module is not None]

    def _renumber(self, modules: list[Module]) -> None:
        self._modules.clear()
        for i, module in enumerate(modules):
            self.register_module(str(i), module)

    def _name(self, index: int) -> str:
        try:
            return list(self._modules)[operator.index(index)]
        except IndexError:
            raise IndexError(f"index {index} is out of range: {len(self)} modules") from None


class Sequential(_Ordered):
    """Modules applied one after the other: modules as arguments, or one dict of names to modules.

    >>> from fastconv import nn
    >>> nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU())
    Sequential(
      (0): Conv2d(1, 8, kernel_size=(3, 3), stride=(1, 1))
      (1): ReLU()
    )
    """

    def __init__(self, *modules: Module | Mapping[str, Module]) -> None:
        super().__init__()
        if len(modules) == 1 and isinstance(modules[0], Mapping):
            named: Iterable[tuple[str, Any]] = modules[0].items()
        else:
            named = ((str(i), module) for i, module in enumerate(modules))
        for name, module in named:
            self.register_module(name, module)

    def forward(self, input: Any) -> Any:
        for module in self:
            input = module(input)
        return input


class ModuleList(_Ordered):
    """A list of modules that registers them; its owner says what to do with them.

    >>> from fastconv import nn
    >>> len(nn.ModuleList([nn.ReLU(), nn.ReLU()]))
    2
    """

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        super().__init__()
        self.extend(modules)
