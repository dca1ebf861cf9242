# SPDX-License-Identifier: BSD-3-Clause
"""Checkpoints: a training's state in one .npz file.

Arrays are members under their path, such as model.conv1.weight, so that numpy.load can look at them; all else is in the
member checkpoint.json, which refers to them; the member sha256 is the digest of both. Not pickle, because a file must
not run code, and not safetensors, because saving must need no package beyond NumPy.

A file is written beside the old one, synced, and renamed: there is always a whole one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fastconv._files import load_npz, save_npz
from fastconv.errors import WeightsError

Array = np.ndarray[Any, Any]

FORMAT = "fastconv checkpoint 1"
TREE, DIGEST = "checkpoint.json", "sha256"


def save_checkpoint(path: str | Path, state: Mapping[str, Any]) -> None:
    """Write a tree of dicts, lists and tuples with numbers, words, None and arrays at its leaves.

    Raises TypeError, naming the place, for anything else; OSError. Then an older file is still there.
    """
    arrays: dict[str, Array] = {}
    tree = json.dumps({"format": FORMAT, "state": _pack(state, "", arrays)})
    arrays[TREE] = np.frombuffer(tree.encode(), np.uint8)
    save_npz(path, {**arrays, DIGEST: _digest(arrays)})


def load_checkpoint(path: str | Path) -> dict[str, Any]:
    """The state in a checkpoint; `model.load_state_dict(load_checkpoint(path)["model"])` takes its weights.

    Raises OSError if the file cannot be read, WeightsError if it is damaged or something else.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     save_checkpoint(f"{directory}/a.npz", {"model": {"bias": np.zeros(2)}, "epoch": 3})
    ...     load_checkpoint(f"{directory}/a.npz")
    {'model': {'bias': array([0., 0.])}, 'epoch': 3}
    """
    arrays = load_npz(path)
    digest = arrays.pop(DIGEST, None)
    if TREE not in arrays or digest is None:
        raise WeightsError(f"{path} is not a checkpoint of fastconv: it has no {TREE} with a {DIGEST}")
    if not np.array_equal(digest, _digest(arrays)):
        raise WeightsError(f"{path} is damaged: its content does not have the digest that was written with it")
    return _read_tree(path, arrays.pop(TREE).tobytes(), arrays)


def _read_tree(path: str | Path, text: bytes, arrays: Mapping[str, Array]) -> dict[str, Any]:
    try:
        tree = json.loads(text)
        if tree["format"] == FORMAT:
            state: dict[str, Any] = _unpack(tree["state"], arrays)
            return state
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise WeightsError(f"{path} is not a checkpoint of fastconv: its {TREE} is malformed: {error}") from error
    raise WeightsError(f"{path} is of format {tree['format']!r}, expected {FORMAT!r}: another version wrote it")


def _digest(arrays: Mapping[str, Array]) -> Array:
    """SHA-256 over names, types, shapes and elements."""
    found = hashlib.sha256()
    for name, array in arrays.items():
        found.update(f"{name}\0{array.dtype.str}\0{array.shape}\0".encode())
        found.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return np.frombuffer(found.digest(), np.uint8)


# JSON has no tuples, and no keys but words: a dict is {"items": [[key, value], ...]}, a tuple {"tuple": [...]}, and an
# array {"array": name of its member}.


def _pack(value: Any, path: str, arrays: dict[str, Array]) -> Any:
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        name = path
        while name in arrays:    # {"a": {"b.c": ...}} and {"a.b": {"c": ...}}
            name += "'"
        arrays[name] = value
        return {"array": name}
    if isinstance(value, Mapping):
        return {"items": [[_key(key, path), _pack(v, _below(path, key), arrays)] for key, v in value.items()]}
    if isinstance(value, (list, tuple)):
        parts = [_pack(v, _below(path, i), arrays) for i, v in enumerate(value)]
        return parts if isinstance(value, list) else {"tuple": parts}
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(
        f"{path} is {type(value).__name__}, which a checkpoint cannot hold: expected numbers, words, None, arrays, and "
        "lists, tuples and dicts of these"
    )


def _key(key: Any, path: str) -> str | int:
    if isinstance(key, (str, int)):
        return key
    raise TypeError(f"{path} has the key {key!r}, which a checkpoint cannot hold: expected a word or an integer")


def _below(path: str, key: Any) -> str:
    return f"{path}.{key}" if path else str(key)


def _unpack(value: Any, arrays: Mapping[str, Array]) -> Any:
    if isinstance(value, list):
        return [_unpack(v, arrays) for v in value]
    if not isinstance(value, dict):
        return value
    if "array" in value:
        return arrays[value["array"]]
    if "tuple" in value:
        return tuple(_unpack(v, arrays) for v in value["tuple"])
    return {key: _unpack(v, arrays) for key, v in value["items"]}
