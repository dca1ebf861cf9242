# SPDX-License-Identifier: BSD-3-Clause
"""The cost model: "auto" costs at most 10 % more, in the geometric mean, than always taking the fastest algorithm.

Every layer of shapes.csv that is measured in milliseconds, in every pass. The algorithms take turns, so that whatever
else the machine does slows all of them, and each counts with the best of its runs. What still fails is measured again:
noise does not last, a wrong choice does.
"""

import time
from math import exp, log

import numpy as np
import pytest

from fastconv import _core
from fastconv.bench.ours import make_arrays
from fastconv.bench.shapes import convolutions

#: "direct" is one of those before it, or depthwise convolution.
ALGORITHMS = ("blocked", "planar", "direct", "im2col", "winograd2", "winograd4")
PASSES = ("forward", "backward_data", "backward_weights")
MOST_MACS = 0.5e9
LOSS = 1.10
SECONDS = 9.0    # for all layers of a pass and batch, the first time


def plan(row, pass_, batch, algorithm):
    pads = (0, row.padding, row.padding)
    return _core.ConvPlan(
        pass_, "float32", batch, row.channels, row.filters, row.groups, (1, row.height, row.width), (1, *row.kernel),
        (1, row.stride, row.stride), (1, 1, 1), pads, pads, algorithm,
    )  # fmt: skip


def candidates(row, pass_, batch):
    """The plans of every algorithm that applies."""
    found = {}
    for algorithm in ALGORITHMS:
        try:
            candidate = plan(row, pass_, batch, algorithm)
        except ValueError:
            continue
        found.setdefault((candidate.algorithm, candidate.variant), candidate)
    return found


def call(row, pass_, plan, arrays):
    x, weight, grad = arrays
    if pass_ == "forward":
        packed, y = plan.pack(weight), np.empty_like(grad)
        return lambda: plan.forward(x, packed, None, y, False)
    if pass_ == "backward_data":
        packed, dx = plan.pack(weight), np.empty_like(x)
        return lambda: plan.backward_data(grad, packed, dx, False)
    dw = np.empty_like(weight)
    return lambda: plan.backward_weights(grad, x, dw, False)


def loss(row, pass_, batch, seconds):
    """How much longer the chosen algorithm takes than the fastest one."""
    arrays = make_arrays(row, batch)
    plans = candidates(row, pass_, batch)
    chosen = plan(row, pass_, batch, "auto")
    runs = {name: call(row, pass_, plan, arrays) for name, plan in plans.items()}
    best = dict.fromkeys(runs, float("inf"))
    end = time.perf_counter() + seconds
    rounds = 0
    while rounds < 3 or time.perf_counter() < end:
        rounds += 1
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            best[name] = min(best[name], time.perf_counter() - start)
    return best[chosen.algorithm, chosen.variant] / min(best.values())


@pytest.mark.parametrize("batch", [1, 16])
@pytest.mark.parametrize("pass_", PASSES)
def test_auto_is_nearly_the_best_algorithm(pass_, batch, one_thread):
    rows = [row for row in convolutions() if row.macs(batch) <= MOST_MACS]
    rows = [row for row in rows if len(candidates(row, pass_, batch)) > 1]
    assert len(rows) >= 5
    mean = float("inf")
    for attempt in range(1, 4):
        share = attempt * SECONDS / len(rows) / 2
        losses = {row.name: loss(row, pass_, batch, share) for row in rows}
        mean = min(mean, exp(sum(map(log, losses.values())) / len(losses)))
        if mean <= LOSS:
            return
    pytest.fail(f"{pass_}, batch {batch}: {mean:.2f} times the time of the best algorithms; {losses}")
