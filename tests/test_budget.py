# SPDX-License-Identifier: BSD-3-Clause
"""What importing fastconv and calling it costs. Best of several runs: the machine may be busy, the code is not."""

import os
import subprocess
import sys
import timeit

import numpy as np
import pytest

from fastconv import ops

IMPORT_MILLISECONDS = 30
CALL_MICROSECONDS = 5

MEASURE_IMPORT = """
import time
import numpy
start = time.perf_counter()
import fastconv
print((time.perf_counter() - start) * 1e3)
"""


def test_import_costs_little_beyond_numpy(tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = str(tmp_path)    # an installed package is compiled, a checkout perhaps not
    command = [sys.executable, "-W", "ignore", "-c", MEASURE_IMPORT]
    milliseconds = [
        float(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)
        for _ in range(8)
    ]
    assert min(milliseconds) <= IMPORT_MILLISECONDS, milliseconds


def nothing(*arguments, **options):
    pass


@pytest.mark.parametrize("name", ["conv2d", "conv2d 3x3", "max_pool2d", "avg_pool2d", "linear"])
def test_a_call_on_a_tiny_array_costs_little(name):
    image, one, nine = (np.ones(shape, np.float32) for shape in ((1, 1, 3, 3), (1, 1, 1, 1), (1, 1, 3, 3)))
    row = np.ones((1, 3), np.float32)
    calls = {
        "conv2d": lambda: ops.conv2d(image, one),
        "conv2d 3x3": lambda: ops.conv2d(image, nine, padding=1),
        "max_pool2d": lambda: ops.max_pool2d(image, 2),
        "avg_pool2d": lambda: ops.avg_pool2d(image, 2),
        "linear": lambda: ops.linear(row, row),
    }
    rounds = 2000
    empty = min(timeit.repeat(nothing, number=rounds, repeat=20)) / rounds
    call = min(timeit.repeat(calls[name], number=rounds, repeat=20)) / rounds
    assert (call - empty) * 1e6 <= CALL_MICROSECONDS
