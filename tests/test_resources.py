"""Memory stays flat whatever shapes come by, and what is kept between calls has bounds."""

import os
import subprocess
import sys

import numpy as np
import pytest

import fastconv
from fastconv import nn
from fastconv.ops import _plans

FLAT = """
import numpy as np, fastconv
from fastconv import nn, ops

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

def step(rng):
    channels, filters = (int(v) for v in rng.integers(1, 40, 2))
    kernel, size = int(rng.integers(1, 6)), int(rng.integers(6, 40))
    layer = nn.Conv2d(channels, filters, kernel, int(rng.integers(1, 3)), int(rng.integers(0, 3)))
    x = fastconv.tensor(rng.standard_normal((2, channels, size, size), np.float32), requires_grad=True)
    y = nn.functional.max_pool2d(layer(x).relu(), 2) if size > 14 else layer(x)
    y.sum().backward()
    ops.linear(x.numpy().reshape(2, -1), rng.standard_normal((3, x.numel() // 2), np.float32))

rng = np.random.default_rng(0)
for _ in range(100):
    step(rng)
before = resident()
for _ in range(1000):
    step(rng)
print((resident() - before) / 1e6)
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs Linux's /proc")
def test_a_thousand_random_shapes_leave_memory_flat():
    done = subprocess.run([sys.executable, "-c", FLAT], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 50


def test_plans_are_bounded_in_number():
    fastconv.cache_clear()
    w = np.ones((1, 1, 1, 1), np.float32)
    for height in range(1, 1 + _plans.LIMIT):
        fastconv.ops.conv2d(np.ones((1, 1, height, 1), np.float32), w)
        assert fastconv.cache_info().plans <= _plans.LIMIT


def test_scratch_memory_is_bounded():
    for channels in (16, 64, 128, 256, 512):
        nn.Conv2d(channels, channels, 3).eval()(np.ones((1, channels, 16, 16), np.float32))
        assert fastconv.cache_info().scratch_bytes <= 256 << 20
