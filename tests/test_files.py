# SPDX-License-Identifier: BSD-3-Clause
"""Files are written whole or not at all, and optional packages are asked for by name."""

import os

import numpy as np
import pytest

from fastconv._extras import MissingExtra, require
from fastconv._files import replacing, save_npz


def test_a_file_is_replaced_only_when_the_block_ends_well(tmp_path):
    path = tmp_path / "result"
    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), replacing(path) as file:
        file.write(b"half of the new")
        file.flush()
        raise KeyboardInterrupt
    assert path.read_bytes() == b"old"
    with replacing(path) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["result"]


def test_a_file_has_the_permissions_of_any_other(tmp_path):
    (tmp_path / "any").touch()
    with replacing(tmp_path / "ours"):
        pass
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "any").stat().st_mode


def test_a_directory_that_is_not_there_is_said_so(tmp_path):
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "nowhere" / "result"):
        pass


def test_arrays_come_back_as_they_were_under_any_name(tmp_path):
    arrays = {
        "file": np.arange(3),
        "a.b/c": np.float32(2.5),
        "empty": np.zeros((0, 4)),
        "allow_pickle": np.eye(2),
    }
    save_npz(tmp_path / "arrays.npz", arrays)
    with np.load(tmp_path / "arrays.npz") as loaded:
        assert set(loaded) == set(arrays)
        for name, array in arrays.items():
            np.testing.assert_array_equal(loaded[name], array)
            assert loaded[name].dtype == np.asarray(array).dtype


def test_equal_arrays_give_equal_bytes(tmp_path):
    for name in ("first.npz", "second.npz"):
        save_npz(tmp_path / name, {"a": np.arange(10.0)})
    assert (tmp_path / "first.npz").read_bytes() == (tmp_path / "second.npz").read_bytes()


def test_objects_are_not_pickled(tmp_path):
    with pytest.raises(ValueError, match="allow_pickle"):
        save_npz(tmp_path / "objects.npz", {"a": np.array([object()])})
    assert not os.listdir(tmp_path)


def test_a_package_that_is_not_there_is_named_with_its_extra():
    with pytest.raises(
        MissingExtra, match=r'no_such_package is not installed.*pip install "fastconv\[demo\]"'
    ):
        require("no_such_package.part", extra="demo")


def test_a_package_that_fails_to_import_keeps_its_own_error(tmp_path, monkeypatch):
    (tmp_path / "broken_package.py").write_text("import a_dependency_that_is_not_there")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="a_dependency_that_is_not_there") as caught:
        require("broken_package", extra="demo")
    assert not isinstance(caught.value, MissingExtra)
