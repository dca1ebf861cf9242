# SPDX-License-Identifier: BSD-3-Clause
"""Training on real data goes step by step as in PyTorch, where it is installed.

The data are looked for in $FASTCONV_TEST_DATA, by default ../shared beside the repository.
"""

import os
from pathlib import Path

import numpy as np
import pytest

import fastconv
from fastconv import models, optim
from fastconv.bench.nets import torch_twin
from fastconv.callbacks import Callback
from fastconv.data import DataLoader

ROOT = Path(os.environ.get("FASTCONV_TEST_DATA") or Path(__file__).parents[2] / "shared") / "realdata"
torch = pytest.importorskip("torch", reason="PyTorch is not installed: nothing to compare with")


class Losses(Callback):
    """The loss of each batch."""

    def __init__(self):
        self.sums, self.values = [0.0], []

    def on_batch_end(self, batch, logs):
        seen = self.training.train.batch_size
        self.sums.append(logs["loss"] * (batch + 1) * seen)
        self.values.append((self.sums[-1] - self.sums[-2]) / seen)


@pytest.mark.skipif(not ROOT.is_dir(), reason=f"no real data in {ROOT}; set FASTCONV_TEST_DATA")
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 0.01), (np.float64, 1e-6)])
def test_resnet20_learns_as_in_pytorch(dtype, tolerance):
    """One epoch over 2,000 images of CIFAR-10: the losses of all batches within 1 %, in float32.

    Training is chaotic: a difference in the last bit grows tenfold every step or two. With a rate ten times as high
    PyTorch's own losses in float32 and in float64 come to differ by 5 %, so no two programs can agree there.
    """
    with np.load(ROOT / "cifar10_sample.npz") as sample:
        images, labels = sample["X"].transpose(0, 3, 1, 2) / np.float32(255), sample["y"].astype(np.int64)
    mean, deviation = (np.float32(v).reshape(3, 1, 1) for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    loader = DataLoader((((images - mean) / deviation).astype(dtype), labels), 50, shuffle=True, seed=0)
    fastconv.manual_seed(0)
    model = models.build("cifar_resnet20")
    model = model.double() if dtype == np.float64 else model
    twin = torch_twin(model, torch).to(torch.from_numpy(np.zeros(0, dtype)).dtype)
    theirs = torch_curve(twin, loader)
    loader.load_state_dict(loader.state_dict() | {"epoch": 0, "batch": 0})
    mine = Losses()
    sgd = optim.SGD(model.parameters(), lr=0.001, momentum=0.9, weight_decay=1e-4)
    fastconv.fit(model, loader, optimizer=sgd, callbacks=[mine], verbose=0)
    assert len(theirs) == 40
    np.testing.assert_allclose(mine.values, theirs, rtol=tolerance)


def torch_curve(model, loader):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.001, momentum=0.9, weight_decay=1e-4)
    losses = []
    for images, labels in loader:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model.train()(torch.from_numpy(images)), torch.from_numpy(labels))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses
