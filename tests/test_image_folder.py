# SPDX-License-Identifier: BSD-3-Clause
"""fastconv.data: directories of images, good and bad."""

import sys

import numpy as np
import pytest

from fastconv import data
from fastconv._extras import MissingExtra
from fastconv.data import DataLoader, ImageFolder, folder
from fastconv.errors import DataError


@pytest.fixture
def pictures(tmp_path):
    """Two classes, three images, in three formats and sizes."""
    image = pytest.importorskip("PIL.Image")
    for name, extent, colour in (
        ("cat/b.png", (8, 6), (255, 0, 0)),
        ("cat/deeper/a.bmp", (10, 10), (0, 255, 0)),
        ("dog/c.jpg", (20, 6), (0, 0, 255)),
    ):
        path = tmp_path / "train" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        image.new("RGB", extent, colour).save(path)
    (tmp_path / "train" / "cat" / "notes.txt").write_text("no image")
    (tmp_path / "train" / ".hidden").mkdir()
    return tmp_path


def test_a_directory_of_images_is_a_sequence(pictures):
    images = ImageFolder(pictures / "train")
    assert images.classes == ("cat", "dog")
    assert [path.name for path in images.paths] == ["b.png", "a.bmp", "c.jpg"]
    assert [(image.shape, label) for image, label in images] == [((3, 6, 8), 0), ((3, 10, 10), 0), ((3, 6, 20), 1)]
    assert images[0][0][:, 0, 0].tolist() == [255, 0, 0]
    assert images[-1][1] == 1
    with pytest.raises(IndexError):
        images[3]


def test_images_are_scaled_to_one_size(pictures):
    images, labels = ImageFolder(pictures / "train", 4).load()
    assert images.shape == (3, 3, 4, 4)
    assert labels.tolist() == [0, 0, 1]
    assert images[1].tolist() == np.broadcast_to([[[0]], [[255]], [[0]]], (3, 4, 4)).tolist()
    (batch,) = DataLoader(ImageFolder(pictures / "train", (4, 5), channels=1), 3)
    assert batch.images.shape == (3, 1, 4, 5)
    assert batch.images[:, 0, 0, 0].tolist()[:2] == [76, 150]  # 0.299 and 0.587 of 255


def test_the_middle_is_taken_and_the_camera_believed(tmp_path):
    image = pytest.importorskip("PIL.Image")
    picture = image.fromarray(np.arange(12, dtype=np.uint8).reshape(2, 6) * 20)
    picture.save(tmp_path / "a.png")
    assert data.read_image(tmp_path / "a.png", (2, 2), channels=1)[0].tolist() == [[40, 60], [160, 180]]
    exif = image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    picture.save(tmp_path / "b.png", exif=exif)
    turned = data.read_image(tmp_path / "b.png", channels=1)[0]
    np.testing.assert_array_equal(turned, np.rot90(np.asarray(picture), -1))


def test_a_data_set_from_two_directories(pictures):
    image = pytest.importorskip("PIL.Image")
    for name in ("cat", "dog"):
        (pictures / "test" / name).mkdir(parents=True)
        image.new("RGB", (8, 8)).save(pictures / "test" / name / "1.png")
    loaded = data.load_image_folder(pictures, 5)
    assert loaded.train_images.shape == (3, 3, 5, 5)
    assert loaded.train_images.max() == 1.0
    assert loaded.test_labels.tolist() == [0, 1]
    (pictures / "test" / "dog").rename(pictures / "test" / "fox")
    with pytest.raises(DataError, match=r"train has the classes \('cat', 'dog'\), .*test \('cat', 'fox'\)"):
        data.load_image_folder(pictures, 5)


def test_images_of_different_sizes_need_a_size(pictures):
    with pytest.raises(DataError, match=r"a.bmp is 10 x 10, .*b.png is 6 x 8; give the size"):
        ImageFolder(pictures / "train").load()


def test_both_parts_have_images_of_one_size(pictures):
    image = pytest.importorskip("PIL.Image")
    for part, extent in (("train", (8, 6)), ("test", (8, 8))):
        for name in ("cat", "dog"):
            (pictures / "sized" / part / name).mkdir(parents=True)
            image.new("RGB", extent).save(pictures / "sized" / part / name / "1.png")
    with pytest.raises(DataError, match=r"train has images of 6 x 8, .*test of 8 x 8; give the size"):
        data.load_image_folder(pictures / "sized")


@pytest.mark.parametrize("content", [b"", b"<!doctype html>", b"\x89PNG\r\n\x1a\n", b"%!PS-Adobe-3.0 EPSF-3.0\n"])
def test_a_file_that_is_no_image_is_named(pictures, content):
    (pictures / "train" / "cat" / "b.png").write_bytes(content)
    with pytest.raises(DataError, match="b.png: cannot be read as an image"):
        ImageFolder(pictures / "train")[0]


def test_a_damaged_image_is_named_or_read(pictures):
    path = pictures / "train" / "dog" / "c.jpg"
    whole = path.read_bytes()
    for length in range(0, len(whole), 5):
        path.write_bytes(whole[:length])
        try:
            assert data.read_image(path).shape[0] == 3
        except DataError as error:
            assert "c.jpg" in str(error)


def test_a_picture_of_too_many_pixels_is_not_decoded(pictures, monkeypatch):
    monkeypatch.setattr(folder, "MAX_PIXELS", 47)
    with pytest.raises(DataError, match=r"b.png: 8 x 6 pixels, more than the limit of 47"):
        ImageFolder(pictures / "train")[0]


def test_directories_without_classes_or_images_are_named(tmp_path):
    with pytest.raises(DataError, match="nowhere: no such directory"):
        ImageFolder(tmp_path / "nowhere")
    with pytest.raises(DataError, match="no directories in it; expected one directory for each class"):
        ImageFolder(tmp_path)
    (tmp_path / "cat").mkdir()
    with pytest.raises(DataError, match="cat: no images in it; expected files ending in .bmp"):
        ImageFolder(tmp_path)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"size": 0}, ValueError, "size must be between 1"),
        ({"size": (1, 2, 3)}, ValueError, "size must be an integer or a pair"),
        ({"size": 2**20}, ValueError, r"size must be of at most 67108864 pixels, got \(1048576, 1048576\)"),
        ({"size": "8"}, TypeError, "size must be an integer"),
        ({"channels": 2}, ValueError, "channels must be 1 or 3, got 2"),
        ({"channels": 4}, ValueError, "channels must be between 1 and 3"),
        ({"channels": "RGB"}, TypeError, "channels must be an integer"),
    ],
)
def test_a_bad_argument_is_named(pictures, options, error, message):
    with pytest.raises(error, match=message):
        ImageFolder(pictures / "train", **options)
    with pytest.raises(error, match=message):
        data.read_image(pictures / "train" / "cat" / "b.png", **options)


def test_without_pillow_the_error_says_what_to_install(pictures, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "PIL"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingExtra, match=r'PIL is not installed.*pip install "fastconv\[data\]"'):
        ImageFolder(pictures / "train")
