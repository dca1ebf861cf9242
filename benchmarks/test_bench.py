# SPDX-License-Identifier: BSD-3-Clause
"""The layers of `fastconv bench` under pytest-benchmark, to compare one version of fastconv with another.

    python -m pytest benchmarks --benchmark-enable

FASTCONV_BENCH_ROWS and FASTCONV_BENCH_BATCH choose other rows (shell patterns, "*" for all) and another batch. The
default is one layer of each kind. Without --benchmark-enable each case runs once, as a test.
"""

import os

import numpy as np
import pytest

from fastconv.bench import ours
from fastconv.bench.run import POOL_PASSES
from fastconv.bench.shapes import convolutions, matches, pools

ROWS = os.environ.get(
    "FASTCONV_BENCH_ROWS",
    "resnet50/conv1,resnet50/res3_3x3,resnet50/res3_1x1c,resnet50/res3_3x3s2,resnet50/res5_3x3,mobilenetv2/dw_144,"
    "lenet,cifar_resnet,resnet50/pool1,resnet50/global",
)
BATCH = int(os.environ.get("FASTCONV_BENCH_BATCH", "1"))


def chosen(rows):
    return [row for row in rows if matches(ROWS, row.name, row.net, row.id)]


@pytest.mark.parametrize("row", chosen(convolutions()), ids=lambda row: row.name)
@pytest.mark.parametrize("pass_", ours.PASSES)
def test_convolution(benchmark, row, pass_):
    arrays = ours.make_arrays(row, BATCH)
    benchmark.group = f"{row.name} {row.problem}"
    benchmark.extra_info.update(
        macs=len(ours.PARTS[pass_]) * row.macs(BATCH), algorithm=ours.variant(row, pass_, arrays)
    )
    benchmark(ours.conv_run(row, pass_, arrays))


@pytest.mark.parametrize("row", chosen(pools()), ids=lambda row: row.name)
@pytest.mark.parametrize("pass_", POOL_PASSES)
def test_pool(benchmark, row, pass_):
    rng = np.random.default_rng(0)
    x, grad = (rng.standard_normal(shape, np.float32) for shape in (row.input(BATCH), row.output(BATCH)))
    benchmark.group = f"{row.name} {row.problem}"
    benchmark(ours.pool_run(row, pass_, x, grad))
