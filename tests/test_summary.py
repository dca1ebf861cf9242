# SPDX-License-Identifier: BSD-3-Clause
"""summary: what it counts, for nested models, layers used twice or not at all; and that it changes nothing."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

import fastconv
from fastconv import models, nn
from fastconv.errors import ShapeError
from fastconv.random import get_rng_state

ROOT = Path(os.environ.get("FASTCONV_TEST_DATA") or Path(__file__).parents[2] / "shared") / "realdata"


class Nested(nn.Module):
    """A layer used twice, one that is not used, a parameter of its own, two inputs, a random number."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1, groups=2)
        self.inner = nn.Sequential(nn.BatchNorm2d(4), nn.ReLU())
        self.idle = nn.Linear(3, 3)
        self.scale = nn.Parameter(np.ones(4, np.float32).reshape(4, 1, 1))
        self.register_buffer("calls", np.zeros(1))
        self.scale.requires_grad_(False)

    def forward(self, x, other):
        self.calls = self.calls.numpy() + fastconv.random.generator().random()
        return self.conv(self.inner(self.conv(x))) * self.scale + other


def test_lenet_by_hand():
    found = fastconv.summary(models.build("lenet"), (1, 28, 28))
    rows = {row.name: row for row in found.rows}
    assert list(rows)[:4] == ["conv1", "relu1", "pool1", "conv2"]
    conv = rows["conv2"]
    assert conv.kind == "Conv2d" and conv.output_shape == (1, 16, 10, 10)
    assert (conv.parameters, conv.macs) == (16 * 6 * 25 + 16, 16 * 6 * 25 * 100)
    assert (conv.activation_bytes, conv.parameter_bytes) == (4 * 1600, 4 * conv.parameters)
    assert conv.algorithm.split()[0] in ("direct", "im2col", "winograd")
    assert rows["fc1"].macs == 400 * 120 and not rows["fc1"].algorithm
    assert (found.parameters, found.trainable, found.macs) == (61_706, 61_706, 416_520)
    assert found.input_bytes == 4 * 28 * 28


@pytest.mark.skipif(not ROOT.is_dir(), reason=f"no real data in {ROOT}; set FASTCONV_TEST_DATA")
@pytest.mark.parametrize("layers", [20, 32, 44, 56])
def test_published_numbers_of_cifar_resnets(layers):
    stats = json.loads((ROOT / "model_stats.json").read_text())["cifar_resnet_optionA"][f"ResNet-{layers}"]
    found = fastconv.summary(models.build(f"cifar_resnet{layers}"), (3, 32, 32))
    assert (found.parameters, found.macs) == (stats["params"], stats["macs"])


def test_a_batch_scales_work_and_outputs_but_not_parameters():
    one, eight = (fastconv.summary(models.build("lenet"), (1, 28, 28), batch_size=n) for n in (1, 8))
    assert (eight.macs, eight.activation_bytes) == (8 * one.macs, 8 * one.activation_bytes)
    assert eight.parameters == one.parameters
    assert [row.output_shape[0] for row in eight.rows] == [8] * len(one.rows)


def test_nested_used_twice_not_used_frozen_and_two_inputs():
    found = fastconv.summary(Nested(), [(4, 6, 6), (4, 1, 1)])
    rows = [(row.name, row.kind, row.calls, row.parameters) for row in found.rows]
    assert rows == [
        ("conv", "Conv2d", 1, 76), ("inner.0", "BatchNorm2d", 1, 8), ("inner.1", "ReLU", 1, 0),
        ("conv", "Conv2d", 2, 0), ("", "Nested", 1, 4), ("idle", "Linear", 0, 12),
    ]  # fmt: skip
    assert [row.macs for row in found.rows] == [36 * 72, 0, 0, 36 * 72, 0, 0]
    assert (found.parameters, found.trainable) == (100, 96)
    assert found.rows[-1].output_shape == ()
    assert found.input_shapes == [(1, 4, 6, 6), (1, 4, 1, 1)]
    text = str(found)
    assert "Conv2d (use 2)" in text and "Linear (not used)" in text and "96 to be trained, 4 not" in text


def test_it_leaves_everything_as_it_was():
    model = Nested()
    model.inner.eval()
    before = {name: array.copy() for name, array in model.state_dict().items()}
    modes, state = [m.training for m in model.modules()], get_rng_state()
    fastconv.summary(model, [(4, 6, 6), (4, 1, 1)])
    assert all(np.array_equal(before[name], array) for name, array in model.state_dict().items())
    assert [m.training for m in model.modules()] == modes
    assert get_rng_state() == state
    assert not any("forward" in vars(m) for m in model.modules())
    assert all(p.grad is None for p in model.parameters())


def test_as_data_it_can_be_written_as_json():
    found = fastconv.summary(models.build("mnist-cnn"), (1, 28, 28))
    data = json.loads(json.dumps(found.as_dict()))
    assert data["macs"] == sum(row["macs"] for row in data["rows"]) == found.macs
    assert data["rows"][0]["output_shape"][0] == 1


@pytest.mark.parametrize("name", models.MODELS)
def test_every_model_is_a_table_that_fits_a_terminal(name):
    found = fastconv.summary(models.build(name), models.MODELS[name].input_shape)
    text = str(found)
    assert max(map(len, text.splitlines())) <= 110
    assert found.parameters == sum(p.numel() for p in models.build(name).parameters())
    assert repr(found) == text


def test_float64_and_a_single_layer():
    found = fastconv.summary(nn.Linear(3, 2, bias=False, dtype=np.float64), (3,))
    assert (found.rows[0].output_shape, found.macs, found.parameter_bytes) == ((1, 2), 6, 48)


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ((3, (1, 28, 28)), TypeError, "model must be a fastconv.nn.Module, got 3"),
        ((nn.ReLU(), 28), TypeError, r"input_shape must be a tuple such as \(3, 32, 32\), got 28"),
        ((nn.ReLU(), (1, 0)), ShapeError, r"input_shape\[1\] must be between 1"),
        ((nn.ReLU(), (1, 2.5)), TypeError, r"input_shape\[1\] must be an integer, got 2.5"),
        ((nn.Linear(3, 2), (4,)), ShapeError, "4"),
    ],
)
def test_a_wrong_argument_is_named(arguments, kind, message):
    with pytest.raises(kind, match=message):
        fastconv.summary(*arguments)
    with pytest.raises(ValueError, match="batch_size must be between 1"):
        fastconv.summary(nn.ReLU(), (1,), batch_size=0)


def test_a_shape_with_the_batch_in_it_gets_a_hint():
    model = models.build("lenet").train()
    with pytest.raises(ShapeError) as caught:
        fastconv.summary(model, (8, 1, 28, 28))
    assert any("without the batch: batch_size sets that" in note for note in caught.value.__notes__)
    assert model.training
