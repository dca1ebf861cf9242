# SPDX-License-Identifier: BSD-3-Clause
"""What the README shows works as shown."""

import re
from pathlib import Path

import pytest

from fastconv import data, models, nn, optim

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PYTHON = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = PYTHON.findall(README)
COMMENTED_SHAPE = re.compile(r"^(\w+)(?:, \w+)* = .*# (\(\d+(?:, \d+)*\))$", re.MULTILINE)


@pytest.mark.parametrize("block", BLOCKS, ids=[block.splitlines()[0] for block in BLOCKS])
def test_a_python_block_runs_and_its_shapes_are_true(block):
    pytest.importorskip("sklearn")
    names = {}
    exec(block, names)
    for name, shape in COMMENTED_SHAPE.findall(block):
        assert str(names[name].shape) == shape


def test_the_training_page_runs_and_names_everything():
    page = (ROOT / "docs" / "training.md").read_text()
    names = {}
    for block in PYTHON.findall(page):
        exec(block, names)
    assert names["loss"].item() > 0
    losses = {name for name in nn.__all__ if name.endswith("Loss")}
    schedules = set(optim.lr_scheduler.__all__) - {"LRScheduler"}
    optimizers = {name for name in optim.__all__ if name[0].isupper()} - {"Optimizer"}
    assert not {name for name in losses | schedules | optimizers if f"`{name}`" not in page}


def test_there_is_an_example_of_each_level():
    assert len(BLOCKS) == 2
    assert len(COMMENTED_SHAPE.findall(README)) == 2


def test_the_first_code_is_the_two_commands():
    first = re.search(r"^```sh\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    assert first.start() < README.index("```python")
    commands = [line.partition("#")[0].strip() for line in first[1].splitlines()]
    assert commands == [
        'pip install -e ".[demo]" && fastconv train',
        'pip install -e ".[test]" && python -m pytest',
    ]


@pytest.mark.parametrize("home", [nn, optim])
def test_the_table_names_every_layer_loss_and_optimiser(home):
    not_listed = {"Module", "Parameter", "Identity", "Optimizer"}
    classes = {name for name in home.__all__ if name[0].isupper()} - not_listed
    assert not {name for name in classes if not re.search(rf"\b{name}\b", README)}


def test_the_table_names_every_model():
    assert not {name for name in models.MODELS if f"`{name}`" not in README}


def test_the_table_names_every_data_set():
    assert not {name for name in data.SOURCES if not re.search(rf"\b{name}\b", README, re.IGNORECASE)}
