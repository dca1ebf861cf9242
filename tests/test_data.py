# SPDX-License-Identifier: BSD-3-Clause
"""fastconv.data: the IDX reader against bad files, the digits' split, the batches."""

import doctest
import gzip
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from idx_files import fill, idx_bytes, images_of, labels_of, write

from fastconv import data
from fastconv._extras import MissingExtra
from fastconv.data import cache, digits, idx, mnist
from fastconv.data.dataset import Dataset, batches
from fastconv.errors import DataError

pytest.importorskip("sklearn")

@pytest.fixture
def directory(tmp_path):
    """A well-formed, tiny MNIST: 20 images to learn from, 10 to be judged by."""
    fill(tmp_path)
    return tmp_path


# ---- IDX files -------------------------------------------------------------------------------------------


def test_a_good_directory_is_read_and_said_not_to_be_the_published_one(directory):
    with pytest.warns(UserWarning, match="not the published MNIST"):
        loaded = data.load("mnist", directory)
    expected = images_of(20)[:, None] / np.float32(255)
    np.testing.assert_array_equal(loaded.train_images, expected)
    assert loaded.train_images.dtype == np.float32
    np.testing.assert_array_equal(loaded.test_labels, np.arange(10))


BAD_FILES = {
    "labels where images should be": (lambda: idx_bytes(labels_of(20)), "magic number is 0x00000801"),
    "signed bytes": (lambda: idx_bytes(images_of(20), magic=0x00000903), "magic number is 0x00000903"),
    "little-endian": (lambda: idx_bytes(images_of(20), magic=0x03080000), "expected 0x00000803"),
    "empty": (lambda: b"", "0 of 16 header bytes"),
    "half a header": (lambda: idx_bytes(images_of(20))[:10], "10 of 16 header bytes"),
    "truncated": (lambda: idx_bytes(images_of(20))[:-1], "20 x 28 x 28 = 15680 bytes, 15679 are there"),
    "too long": (lambda: idx_bytes(images_of(20)) + b"\0", "bytes follow the 20 x 28 x 28"),
    "too few announced": (lambda: idx_bytes(images_of(20), shape=(19, 28, 28)), "bytes follow"),
    "petabytes announced": (lambda: idx_bytes(images_of(1), shape=(2**32 - 1,) * 3), "more than a file of"),
    "gigabyte announced": (lambda: idx_bytes(images_of(1), shape=(2**20, 28, 28)), "more than a file of"),
    "other size": (lambda: idx_bytes(images_of(20, side=27)), "images are 27 x 27, expected 28 x 28"),
    "no images": (lambda: idx_bytes(images_of(0)), "0 images, but .* 20 labels"),
    "count mismatch": (lambda: idx_bytes(images_of(21)), "21 images, but .* 20 labels"),
}


@pytest.mark.filterwarnings("ignore:.*not the published MNIST")
@pytest.mark.parametrize("case", BAD_FILES)
def test_a_bad_image_file_is_named_with_what_is_wrong(directory, case):
    content, message = BAD_FILES[case]
    write(directory / mnist.TRAIN_IMAGES.name, content())
    with pytest.raises(DataError, match=message) as caught:
        data.load("mnist", directory)
    assert mnist.TRAIN_IMAGES.name in str(caught.value)


@pytest.mark.filterwarnings("ignore:.*not the published MNIST")
def test_labels_beyond_the_classes_are_refused(directory):
    labels = labels_of(20)
    labels[7] = 10
    write(directory / mnist.TRAIN_LABELS.name, idx_bytes(labels))
    with pytest.raises(DataError, match=r"train-labels-idx1-ubyte.gz: label 7 is 10, expected 0 to 9"):
        data.load("mnist", directory)


@pytest.mark.filterwarnings("ignore:.*not the published MNIST")
def test_files_without_a_single_image_are_refused(directory):
    write(directory / mnist.TEST_IMAGES.name, idx_bytes(images_of(0)))
    write(directory / mnist.TEST_LABELS.name, idx_bytes(labels_of(0)))
    with pytest.raises(DataError, match="there are no images"):
        data.load("mnist", directory)


def test_a_gzip_file_cut_anywhere_is_refused(tmp_path):
    whole = gzip.compress(idx_bytes(images_of(2)), mtime=0)
    path = tmp_path / "cut.gz"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match="cut.gz"):
            idx.read_idx(path, 3)


def test_a_gzip_file_with_any_byte_changed_is_refused_or_unharmed(tmp_path):
    array = labels_of(30)
    whole = gzip.compress(idx_bytes(array), mtime=0)
    path = tmp_path / "changed.gz"
    for position in range(len(whole)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0x55]) + whole[position + 1 :])
        try:  # the header has a time stamp and an operating system, which change nothing
            np.testing.assert_array_equal(idx.read_idx(path, 1), array)
        except DataError as error:
            assert "changed.gz" in str(error)


def test_garbage_is_not_a_gzip_file(tmp_path):
    path = tmp_path / "page.gz"
    path.write_bytes(b"<!doctype html><title>404</title>")
    with pytest.raises(DataError, match="page.gz: not an intact gzip file"):
        idx.read_idx(path, 1)


def test_a_gzip_bomb_is_not_inflated(tmp_path):
    path = tmp_path / "bomb.gz"
    write(path, idx_bytes(labels_of(10)) + bytes(64 * 2**20))
    with pytest.raises(DataError, match="bytes follow the 10 that the header announces"):
        idx.read_idx(path, 1)


# ---- where files come from -------------------------------------------------------------------------------


def test_missing_files_are_listed(directory):
    (directory / mnist.TEST_LABELS.name).unlink()
    with pytest.raises(DataError, match="t10k-labels-idx1-ubyte.gz not found; expected the four files"):
        data.load("mnist", directory)


def test_a_missing_directory_is_said_to_be_missing(tmp_path):
    with pytest.raises(DataError, match="nowhere: no such directory"):
        data.load("mnist", tmp_path / "nowhere")


def test_a_directory_for_a_data_set_without_files_is_refused(tmp_path):
    with pytest.raises(ValueError, match="directory must be None for 'digits'"):
        data.load("digits", tmp_path)


def test_an_unknown_name_is_answered_with_the_known_ones():
    known = "'digits', 'mnist', 'fashion-mnist', 'cifar10'"
    with pytest.raises(ValueError, match=f"name must be one of {known}, got 'mnits'"):
        data.load("mnits")


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"FASTCONV_DATA": "/d", "XDG_CACHE_HOME": "/x"}, "/d"),
        ({"XDG_CACHE_HOME": "/x"}, "/x/fastconv"),
        ({"HOME": "/h"}, "/h/.cache/fastconv"),
    ],
)
def test_the_cache_directory(monkeypatch, variables, expected):
    for name in ("FASTCONV_DATA", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert cache.cache_directory() == Path(expected)


def test_without_pooch_the_error_says_both_ways_out(tmp_path, monkeypatch):
    def absent(module, extra):
        raise MissingExtra(f'pooch is not installed. Install it with: pip install "fastconv[{extra}]"')

    monkeypatch.setattr(cache, "require", absent)
    monkeypatch.setenv("FASTCONV_DATA", str(tmp_path))
    with pytest.raises(MissingExtra, match=r'pip install "fastconv\[data\]".*name the directory'):
        data.load("mnist")


# ---- digits ----------------------------------------------------------------------------------------------


def test_digits_hold_out_a_fifth_of_each_class():
    loaded = data.load("digits")
    assert len(loaded.train_images) + len(loaded.test_images) == 1797
    assert len(loaded.test_images) == 360
    share = np.bincount(loaded.test_labels) / (
        np.bincount(loaded.test_labels) + np.bincount(loaded.train_labels)
    )
    assert np.all(np.abs(share - 0.2) < 0.01)


def test_digits_are_split_the_same_way_every_time_and_otherwise_by_another_seed():
    first, again, other = digits.load_digits(), digits.load_digits(), digits.load_digits(seed=1)
    np.testing.assert_array_equal(first.test_images, again.test_images)
    assert not np.array_equal(first.test_images, other.test_images)


def test_enlarging_keeps_a_constant_and_frames_it():
    enlarged = digits.enlarge(np.ones((1, 8, 8)))
    np.testing.assert_allclose(enlarged[0, 2:-2, 2:-2], 1.0, rtol=1e-15)
    assert enlarged.sum() == pytest.approx(24 * 24)


# ---- batches and the data set ----------------------------------------------------------------------------


def numbered(count):
    """Images that carry their number in every pixel."""
    images = np.broadcast_to(np.arange(count, dtype=np.float32)[:, None, None, None], (count, 2, 4, 5)).copy()
    return images, np.arange(count)


@pytest.mark.parametrize("shift", [0, 1])
def test_shuffled_batches_cover_every_image_once_with_its_label(shift):
    images, labels = numbered(23)
    seen = []
    for batch in batches(images, labels, 5, np.random.default_rng(3), shift):
        np.testing.assert_array_equal(batch.images.max(axis=(1, 2, 3)), batch.labels)
        seen += batch.labels.tolist()
    assert sorted(seen) == list(range(23))
    assert seen != sorted(seen)


def test_equal_generators_give_equal_batches():
    images, labels = numbered(23)
    first, second = (list(batches(images, labels, 5, np.random.default_rng(3), 1)) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.images, other.images)


def test_a_shifted_image_is_the_image_moved():
    image = np.zeros((1, 1, 5, 5), np.float32)
    image[0, 0, 2, 2] = 1
    places = set()
    for seed in range(60):
        (batch,) = batches(image, np.zeros(1, np.int64), 1, np.random.default_rng(seed), shift=1)
        assert batch.images.sum() == 1
        places.add(tuple(np.argwhere(batch.images[0, 0])[0].tolist()))
    assert places == {(row, column) for row in (1, 2, 3) for column in (1, 2, 3)}


def test_a_shift_without_a_generator_is_refused():
    with pytest.raises(ValueError, match="shift=1 moves images at random"):
        batches(*numbered(3), 1, shift=1)


def test_an_empty_batch_size_is_refused_at_once():
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        batches(*numbered(3), 0)


def dataset(**changes):
    images, labels = np.zeros((4, 1, 8, 8), np.float32), np.zeros(4, np.int64)
    parts = dict(train_images=images, train_labels=labels, test_images=images, test_labels=labels)
    return Dataset("d", **{**parts, **changes}, classes=("a", "b"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_images": np.zeros((4, 1, 8, 8))}, "train_images must be float32"),
        ({"test_images": np.zeros((4, 8, 8), np.float32)}, "test_images must be float32"),
        ({"train_labels": np.zeros(3, np.int64)}, r"train_labels must be int64 \(4,\)"),
        ({"test_labels": np.full(4, 2)}, r"test_labels must lie in 0..1, got 2..2"),
        ({"test_images": np.zeros((4, 1, 9, 8), np.float32)}, "an image of train_images is"),
    ],
)
def test_a_data_set_that_does_not_fit_together_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        dataset(**changes)


# ---- the package as a whole ------------------------------------------------------------------------------


MODULES = ["fastconv.data", *(m.name for m in pkgutil.walk_packages(data.__path__, "fastconv.data."))]


@pytest.mark.parametrize("name", MODULES)
def test_doctests(name):
    if name.endswith((".folder", ".transforms.affine")):
        pytest.importorskip("PIL")
    assert doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS).failed == 0


@pytest.mark.parametrize("home", [data, data.transforms])
def test_everything_public_says_what_it_takes_and_raises_and_shows_it(home):
    for name in home.__all__:
        thing = getattr(home, name)
        if inspect.isclass(thing) and not issubclass(thing, (tuple, Exception)) or inspect.isfunction(thing):
            assert ">>>" in thing.__doc__, name
            raises = "Raises" in thing.__doc__ or "and errors" in thing.__doc__
            assert raises or name in ("ToFloat", "Transform", "cache_directory"), name


def test_the_example_of_the_documentation_runs():
    page = (Path(__file__).parents[1] / "docs" / "data.md").read_text()
    (block,) = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    names = {}
    exec(block, names)
    assert names["images"].shape == (29, 1, 28, 28)
    assert not {name for name in data.SOURCES if f"`{name}`" not in page}
    assert not {name for name in data.transforms.__all__ if name != "Transform" and f"`{name}" not in page}


def test_importing_the_package_imports_only_numpy():
    program = (
        "import sys; import fastconv.data; "
        "print([name for name in ('PIL', 'pooch', 'tqdm', 'sklearn', 'requests', 'urllib.request', 'pickle5') "
        "if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert found == "[]\n"


def test_uncompressed_files_are_read_too(directory):
    for file in mnist.MNIST.files:
        packed = directory / file.name
        packed.with_suffix("").write_bytes(gzip.decompress(packed.read_bytes()))
        packed.unlink()
    with pytest.warns(UserWarning, match="not the published MNIST"):
        loaded = data.load("mnist", directory)
    np.testing.assert_array_equal(loaded.test_labels, np.arange(10))
    images = directory / mnist.TRAIN_IMAGES.name.removesuffix(".gz")
    images.write_bytes(images.read_bytes()[:-1])
    with pytest.raises(DataError, match="idx3-ubyte: truncated; .* 15680 bytes, 15679 are there"):
        data.load("mnist", directory)


def test_fashion_mnist_has_its_classes_and_says_what_is_not_it(directory):
    with pytest.warns(UserWarning, match="not the published Fashion-MNIST"):
        loaded = data.load("fashion_mnist", directory)
    assert (loaded.name, loaded.classes[9]) == ("fashion-mnist", "Ankle boot")


def test_the_published_files_are_recognised_by_their_digest(directory, monkeypatch, recwarn):
    files = tuple(file._replace(sha256=mnist._digest(directory / file.name)) for file in mnist.MNIST.files)
    monkeypatch.setattr(mnist, "MNIST", mnist.MNIST._replace(files=files))
    data.load("mnist", directory)
    assert not recwarn
