# SPDX-License-Identifier: BSD-3-Clause
"""Images of one's own: a directory for each class, with its images in it, as torchvision's ImageFolder has them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from fastconv._extras import require
from fastconv.data.dataset import Array, Batch, Dataset
from fastconv.errors import DataError
from fastconv.ops._check import integer, pair

#: What Pillow is told to try. Not more: its other decoders are rarely used, and one of them starts Ghostscript.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
SUFFIXES = frozenset({".bmp", ".gif", ".jpg", ".jpeg", ".png", ".pgm", ".ppm", ".tif", ".tiff", ".webp"})

#: The largest image that is decoded or made, in pixels; a file of a few kB can announce far more.
MAX_PIXELS = 2**26

MODES = {1: "L", 3: "RGB"}


class ImageFolder:
    """The images below root/CLASS/, for each directory CLASS: a sequence of (image, label).

    size: of the images given, (height, width) or one number for both. The largest part of this shape in the middle of
        each image is taken and scaled, bilinearly. None: as it is, but turned upright as the camera says.
    channels: 3 for red, green and blue, 1 for grey.

    classes: the names of the directories, sorted. paths: of the images, sorted. labels: int64 (N,), indices into
    classes. Images are read when asked for, so that a DataLoader reads them in its thread.

    Raises DataError where root is absent, has no directories, or one without images; and, when asked for it, for an
    image that cannot be read. MissingExtra without Pillow.

    >>> import tempfile
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as root:
    ...     for name in ("cat", "dog"):
    ...         Path(root, name).mkdir()
    ...         Image.new("RGB", (64, 48)).save(f"{root}/{name}/1.png")
    ...     folder = ImageFolder(root, size=(24, 32))
    ...     image, label = folder[1]
    >>> folder.classes, len(folder), image.shape, image.dtype, label
    (('cat', 'dog'), 2, (3, 24, 32), dtype('uint8'), 1)
    """

    def __init__(self, root: str | Path, size: int | tuple[int, int] | None = None, *, channels: int = 3) -> None:
        self.size, self.channels = _settings(size, channels)
        require("PIL", extra="data")
        self.root = Path(root)
        directories = _directories(self.root)
        self.classes = tuple(directory.name for directory in directories)
        found = [_images(directory) for directory in directories]
        self.paths = tuple(path for paths in found for path in paths)
        self.labels = np.repeat(np.arange(len(found)), [len(paths) for paths in found])

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Array, int]:
        """The image, uint8 (C, H, W), and its label."""
        return read_image(self.paths[index], self.size, channels=self.channels), int(self.labels[index])

    def __iter__(self) -> Iterator[tuple[Array, int]]:
        return (self[index] for index in range(len(self)))

    def load(self) -> Batch:
        """All images at once: uint8 (N, C, H, W), and their labels (N,). Raises DataError where sizes differ."""
        first = self[0][0]
        images = np.empty((len(self), *first.shape), np.uint8)
        for index, path in enumerate(self.paths):
            image = first if index == 0 else self[index][0]
            if image.shape != first.shape:
                raise DataError(
                    f"{path} is {_extent(image)}, {self.paths[0]} is {_extent(first)}; give the size to scale them to"
                )
            images[index] = image
        return Batch(images, self.labels)


def load_image_folder(
    directory: str | Path, size: int | tuple[int, int] | None = None, *, channels: int = 3
) -> Dataset:
    """The images of directory/train/CLASS/ to learn from, and of directory/test/CLASS/ to be judged by.

    size, channels: as ImageFolder's. Images (N, C, H, W) are float32 in [0, 1].

    Raises DataError as ImageFolder does, and where the classes of both differ; MissingExtra without Pillow.

    >>> load_image_folder("nowhere")
    Traceback (most recent call last):
    fastconv.errors.DataError: nowhere/train: no such directory; expected one directory for each class in it
    """
    train, test = (ImageFolder(Path(directory) / part, size, channels=channels) for part in ("train", "test"))
    if train.classes != test.classes:
        raise DataError(f"{train.root} has the classes {train.classes}, {test.root} {test.classes}")
    parts = [folder.load() for folder in (train, test)]
    images = [np.divide(part.images, np.float32(255), dtype=np.float32) for part in parts]
    if images[0].shape[1:] != images[1].shape[1:]:
        raise DataError(
            f"{train.root} has images of {_extent(images[0])}, {test.root} of {_extent(images[1])}; "
            "give the size to scale them to"
        )
    return Dataset(Path(directory).name, images[0], parts[0].labels, images[1], parts[1].labels, train.classes)


def read_image(path: str | Path, size: int | tuple[int, int] | None = None, *, channels: int = 3) -> Array:
    """The image in a file, uint8 (C, H, W); size and channels as ImageFolder's.

    Raises DataError, naming the file, where it is absent, damaged, of an unknown format or of more than MAX_PIXELS;
    MissingExtra without Pillow.

    >>> read_image("nowhere.png")
    Traceback (most recent call last):
    fastconv.errors.DataError: nowhere.png: cannot be read as an image (No such file or directory)
    """
    extent, channels = _settings(size, channels)
    pillow = require("PIL.Image", extra="data")
    try:
        with pillow.open(path, formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise DataError(f"{path}: {image.width} x {image.height} pixels, more than the limit of {MAX_PIXELS}")
            decoded = _decoded(image, extent, MODES[channels])
    except DataError:
        raise
    except Exception as error:  # decoders raise nearly anything for damaged files
        raise DataError(f"{path}: cannot be read as an image ({getattr(error, 'strerror', None) or error})") from error
    return np.ascontiguousarray(decoded.transpose(2, 0, 1))


def _decoded(image: Any, size: tuple[int, int] | None, mode: str) -> Array:
    """(H, W, C)."""
    operations = require("PIL.ImageOps", extra="data")
    image = operations.exif_transpose(image).convert(mode)
    if size is not None:
        bilinear = require("PIL.Image", extra="data").Resampling.BILINEAR
        image = operations.fit(image, size[::-1], method=bilinear)
    return np.atleast_3d(np.asarray(image))


def _settings(size: object, channels: object) -> tuple[tuple[int, int] | None, int]:
    """Both arguments, checked."""
    count = integer("channels", channels, 1, 3)
    if count not in MODES:
        raise ValueError(f"channels must be 1 or 3, got {count}")
    extent = None if size is None else pair("size", size, 1)
    if extent is not None and extent[0] * extent[1] > MAX_PIXELS:
        raise ValueError(f"size must be of at most {MAX_PIXELS} pixels, got {extent}")
    return extent, count


def _directories(root: Path) -> list[Path]:
    found = sorted(path for path in root.iterdir() if path.is_dir() and path.name[0] != ".") if root.is_dir() else []
    if not found:
        what = "no directories in it" if root.is_dir() else "no such directory"
        raise DataError(f"{root}: {what}; expected one directory for each class in it")
    return found


def _images(directory: Path) -> list[Path]:
    named = (path for path in directory.rglob("*") if path.suffix.lower() in SUFFIXES and path.name[0] != ".")
    found = sorted(path for path in named if path.is_file())
    if not found:
        raise DataError(f"{directory}: no images in it; expected files ending in {', '.join(sorted(SUFFIXES))}")
    return found


def _extent(images: Array) -> str:
    """Height and width, as words."""
    return " x ".join(map(str, images.shape[-2:]))
