# SPDX-License-Identifier: BSD-3-Clause
"""The weights of a PyTorch checkpoint of before version 1.6, without PyTorch.

Such a file is five pickles: a magic number, a version, the sizes of C types, the checkpoint, in which each storage is
an id, and the list of these ids; then for each its number of elements, 8 bytes, and its elements. The unpickler builds
dicts and float32 arrays, and refuses every other name, so that a file cannot run code.
"""

import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

_MAGIC = 0x1950A86A20F9469CFC6C


class _View:
    """A tensor whose elements come later in the file: rebuilt by PyTorch's _rebuild_tensor(_v2)."""

    def __init__(self, storage: str, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: object) -> None:
        self.storage, self.offset, self.size, self.stride = storage, offset, size, stride

    def array(self, storages: dict[str, Array]) -> Array:
        elements = storages[self.storage][self.offset :]
        last = sum((n - 1) * step for n, step in zip(self.size, self.stride, strict=True))
        if last >= len(elements):
            raise ValueError(f"a tensor of shape {self.size} lies beyond its storage")
        return np.lib.stride_tricks.as_strided(elements, self.size, [4 * step for step in self.stride]).copy()


_ALLOWED = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch", "FloatStorage"): "float32",
    ("torch._utils", "_rebuild_tensor"): _View,
    ("torch._utils", "_rebuild_tensor_v2"): _View,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"{module}.{name} is no part of a checkpoint of float32 weights") from None

    def persistent_load(self, pid: Any) -> str:
        return str(pid[2])    # ("storage", type, key, device, number of elements, view)


def load(path: Path) -> dict[str, Array]:
    """The arrays under "state_dict", without the "module." that data-parallel training puts before each name."""
    with open(path, "rb") as file:
        magic, _, _, checkpoint, keys = (_Unpickler(file).load() for _ in range(5))
        if magic != _MAGIC:
            raise ValueError(f"{path} is no PyTorch checkpoint of the old format")
        storages = {}
        for key in keys:
            (count,) = np.fromfile(file, np.int64, 1)
            storages[key] = np.fromfile(file, np.float32, count)
    return {
        name.removeprefix("module."): view.array(storages) for name, view in checkpoint["state_dict"].items()
    }
