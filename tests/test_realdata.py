# SPDX-License-Identifier: BSD-3-Clause
"""Published weights on real images give the published results; and training comes to them.

The files are not part of the project: they are looked for in $FASTCONV_TEST_DATA, by default ../shared beside
the repository, and the tests are skipped where they are absent.
"""

import os
from pathlib import Path

import numpy as np
import pytest

import fastconv
from fastconv import data, models, nn, optim
from fastconv.callbacks import LearningRateSchedule
from fastconv.data import DataLoader
from fastconv.data.transforms import RandomCrop

ROOT = Path(os.environ.get("FASTCONV_TEST_DATA") or Path(__file__).parents[2] / "shared") / "realdata"

pytestmark = pytest.mark.skipif(
    not (ROOT / "mnist").is_dir() or not (ROOT / "lenet_caffe").is_dir(),
    reason=f"no real data in {ROOT}; set FASTCONV_TEST_DATA",
)


@pytest.fixture(scope="module")
def mnist():
    return data.load("mnist", ROOT / "mnist")


@pytest.fixture(scope="module")
def logits(mnist):
    """What Caffe's LeNet makes of MNIST's test images, with pixels divided by 256 as it was trained."""
    model = models.build("lenet-caffe").eval()
    with np.load(ROOT / "lenet_caffe" / "lenet.npz") as weights:
        model.load_state_dict(weights)
    images = mnist.test_images * np.float32(255 / 256)
    with fastconv.no_grad():
        return np.concatenate([np.asarray(model(part)) for part in np.split(images, 20)])


def test_mnist_is_the_published_one(mnist, recwarn):
    """The loader compares digests and warns."""
    data.load("mnist", ROOT / "mnist")
    assert not recwarn
    assert mnist.train_images.shape == (60_000, 1, 28, 28)
    assert mnist.test_images.shape == (10_000, 1, 28, 28)
    np.testing.assert_array_equal(
        np.bincount(mnist.test_labels), [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    )


def test_caffes_lenet_classifies_as_published(mnist, logits):
    correct = logits.argmax(axis=1) == mnist.test_labels
    assert abs(np.count_nonzero(correct) - 9_905) <= 1
    assert correct[:5000].mean() == pytest.approx(0.9860, abs=0.0003)


def test_caffes_lenet_has_the_published_loss(mnist, logits):
    loss = nn.CrossEntropyLoss()(fastconv.tensor(logits[:5000]), fastconv.tensor(mnist.test_labels[:5000]))
    assert loss.item() == pytest.approx(0.0444183, abs=2e-6)


def test_caffes_lenet_gives_the_published_logits(logits):
    with np.load(ROOT / "lenet_caffe" / "logits_first1000.npz") as published:
        np.testing.assert_allclose(logits[:1000], published["logits"], rtol=1e-4, atol=1e-4)


def test_caffes_lenet_has_the_published_size():
    assert sum(p.numel() for p in models.build("lenet-caffe").parameters()) == 431_080


@pytest.mark.skipif(os.environ.get("FASTCONV_LONG") != "1", reason="takes minutes; FASTCONV_LONG=1 runs it")
def test_mnist_cnn_reaches_the_published_accuracy(mnist):
    """98.5 % after three epochs, 99 % after ten."""
    fastconv.manual_seed(0)
    model = models.build("mnist-cnn")
    loader = DataLoader(mnist.train, 64, shuffle=True, seed=0, transform=RandomCrop(28, padding=1))
    optimizer = optim.Adam(model.parameters(), lr=3e-3)
    decay = optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=10 * len(loader))
    schedule = LearningRateSchedule(decay, per="batch")
    history = fastconv.fit(model, loader, mnist.test, epochs=10, optimizer=optimizer, callbacks=[schedule])
    assert history["val_accuracy"][2] >= 0.985
    assert history["val_accuracy"][9] >= 0.99
