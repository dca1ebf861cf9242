# SPDX-License-Identifier: BSD-3-Clause
"""Random changes of images that do not change what they show, for whole batches at once.

Each is called with images (N, C, H, W) and a numpy.random.Generator, and draws for every image anew. None changes its
argument. uint8 images stay uint8: what is computed in float32 is rounded and clipped at the end.

>>> import numpy as np
>>> change = Compose([RandomCrop(32, padding=4), RandomHorizontalFlip(), Normalize(0.5, 0.25)])
>>> change(np.zeros((8, 3, 32, 32), np.float32), np.random.default_rng(0)).shape
(8, 3, 32, 32)
"""

from fastconv.data.transforms.affine import RandomAffine, RandomRotation, RandomScale
from fastconv.data.transforms.base import Compose, Transform
from fastconv.data.transforms.colour import ColorJitter, Normalize, ToFloat
from fastconv.data.transforms.crop import RandomCrop, RandomHorizontalFlip, RandomVerticalFlip
from fastconv.data.transforms.erase import Cutout, RandomErasing

__all__ = [
    "ColorJitter",
    "Compose",
    "Cutout",
    "Normalize",
    "RandomAffine",
    "RandomCrop",
    "RandomErasing",
    "RandomHorizontalFlip",
    "RandomRotation",
    "RandomScale",
    "RandomVerticalFlip",
    "ToFloat",
    "Transform",
]
