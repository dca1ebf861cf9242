# SPDX-License-Identifier: BSD-3-Clause
"""Small IDX files, good and bad."""

import gzip
import struct

import numpy as np

from fastconv.data import mnist


def idx_bytes(array, magic=None, shape=None):
    """An IDX file's content, with a false header where one is given."""
    magic = 0x00000800 | array.ndim if magic is None else magic
    shape = array.shape if shape is None else shape
    return struct.pack(f">{1 + len(shape)}I", magic, *shape) + array.tobytes()


def write(path, content):
    path.write_bytes(gzip.compress(content, mtime=0))


def images_of(count, side=28, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, side, side), dtype=np.uint8)


def labels_of(count):
    return (np.arange(count) % 10).astype(np.uint8)


def fill(directory, train=20, test=10):
    """A well-formed, tiny MNIST."""
    for images, labels, count in (
        (mnist.TRAIN_IMAGES, mnist.TRAIN_LABELS, train),
        (mnist.TEST_IMAGES, mnist.TEST_LABELS, test),
    ):
        write(directory / images.name, idx_bytes(images_of(count)))
        write(directory / labels.name, idx_bytes(labels_of(count)))
