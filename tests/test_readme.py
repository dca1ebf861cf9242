# SPDX-License-Identifier: BSD-3-Clause
"""What the README shows works as shown."""

import re
from pathlib import Path

import pytest

from fastconv import data, models, nn, optim

README = (Path(__file__).parents[1] / "README.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
COMMENTED_SHAPE = re.compile(r"^(\w+)(?:, \w+)* = .*# (\(\d+(?:, \d+)*\))$", re.MULTILINE)


@pytest.mark.parametrize("block", BLOCKS, ids=[block.splitlines()[0] for block in BLOCKS])
def test_a_python_block_runs_and_its_shapes_are_true(block):
    pytest.importorskip("sklearn")
    names = {}
    exec(block, names)
    for name, shape in COMMENTED_SHAPE.findall(block):
        assert str(names[name].shape) == shape


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
