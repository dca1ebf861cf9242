# SPDX-License-Identifier: BSD-3-Clause
"""The pooling problems of oneDNN's benchdnn, of one to three axes, on small integers, where all must be exact.

Channels and batches are cut until an array has at most two million elements (with FASTCONV_CORPUS=all, sixteen): no
channel sees another. The three problems whose single image has more than that are left out.

oneDNN allows more padding than half of the kernel, and negative padding, which crops. Those two are done by ops.pad
here, with -infinity for the maximum, so that windows of nothing but padding exist, too.
"""

import os
from functools import cache
from math import prod
from typing import Any, NamedTuple

import numpy as np
import pytest
from problems import corpus

from fastconv import ops, reference

MOST = 16_000_000 if os.environ.get("FASTCONV_CORPUS") == "all" else 2_000_000


class Problem(NamedTuple):
    """One line of the corpus; `before` is what ops.pad has to do, as it takes it, or () for nothing."""

    shape: tuple[int, ...]
    outputs: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    given: tuple[tuple[int, int], ...]
    padding: tuple[tuple[int, int], ...]
    before: tuple[int, ...]

    def padded(self, x: Any, value: float) -> Any:
        return ops.pad(x, self.before, "constant", value) if self.before else x

    def unpadded(self, dx: Any) -> Any:
        return ops.pad_backward(dx, self.before) if self.before else dx


def _of_line(line: dict[str, Any]) -> Problem | None:
    size = prod(line["I"])
    if size > MOST:
        return None
    channels = max(min(line["C"], MOST // size), 1)
    batch = max(min(line["N"], MOST // (size * channels)), 1)
    half = [(d * (k - 1) + 1) // 2 for d, k in zip(line["dil"], line["R"], strict=True)]
    given = tuple(zip(line["pad_l"], line["pad_r"], strict=True))
    padding = tuple(tuple(min(max(p, 0), h) for p in ends) for ends, h in zip(given, half, strict=True))
    before = tuple(p - q for ends, own in zip(reversed(given), reversed(padding), strict=True)
                   for p, q in zip(ends, own, strict=True))
    return Problem((batch, channels, *line["I"]), tuple(line["O"]), tuple(line["R"]), tuple(line["stride"]),
                   tuple(line["dil"]), given, padding, before if any(before) else ())  # type: ignore[arg-type]


@cache
def problems() -> list[Problem]:
    return [p for line in corpus("pool") or () if (p := _of_line(line)) is not None]


def arrays(p: Problem) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    return (rng.integers(-4, 5, shape).astype(np.float32) for shape in (p.shape, (*p.shape[:2], *p.outputs)))  # type: ignore[return-value]


def reference_of(p: Problem, x: Any) -> tuple[Any, Any, Any]:
    """The images that the twin pools, and what it gives; with its own padding where every window has a pixel."""
    if min(min(ends) for ends in p.given) >= 0:
        try:
            pooled = reference.max_pool2d(x, p.kernel, p.stride, p.given, p.dilation, False, True)
            return x, *pooled
        except ValueError:
            pass
    wide = p.padded(x, -np.inf)
    return wide, *reference.max_pool2d(wide, p.kernel, p.stride, p.padding, p.dilation, False, True)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_maxima(axes: int) -> None:
    if not problems():
        pytest.skip("no pool corpus: set FASTCONV_TEST_DATA to the directory with corpora/")
    pool, backward = getattr(ops, f"max_pool{axes}d"), getattr(ops, f"max_pool{axes}d_backward")
    for p in (p for p in problems() if len(p.kernel) == axes):
        x, grad = arrays(p)
        wide = p.padded(x, -np.inf)
        y, indices = pool(wide, p.kernel, p.stride, p.padding, p.dilation, return_indices=True)
        pooled, expected, where = reference_of(p, x)
        assert y.shape == (*p.shape[:2], *p.outputs)
        np.testing.assert_array_equal(y, expected, err_msg=str(p))
        dx = p.unpadded(backward(grad, indices, wide.shape))
        twin = reference.max_pool2d_backward(grad, where, pooled.shape)
        np.testing.assert_array_equal(dx, twin if pooled is x else p.unpadded(twin), err_msg=str(p))
        if not p.before:
            np.testing.assert_array_equal(indices, where)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_sums(axes: int) -> None:
    """Averages over 1, so that they are exact."""
    if not problems():
        pytest.skip("no pool corpus: set FASTCONV_TEST_DATA to the directory with corpora/")
    pool, backward = getattr(ops, f"avg_pool{axes}d"), getattr(ops, f"avg_pool{axes}d_backward")
    for p in (p for p in problems() if len(p.kernel) == axes and max(p.dilation) == 1):
        x, grad = arrays(p)
        wide, divisor = p.padded(x, 0.0), prod(p.kernel)
        options = {"divisor_override": 1} if axes > 1 else {}
        twin = {"divisor_override": 1}
        y = pool(wide, p.kernel, p.stride, p.padding, **options)
        expected = reference.avg_pool2d(x, p.kernel, p.stride, p.given, **twin) if min(map(min, p.given)) >= 0 else (
            reference.avg_pool2d(wide, p.kernel, p.stride, p.padding, **twin))
        if axes == 1:    # which has no divisor_override
            expected = (expected / divisor).astype(np.float32)
        np.testing.assert_array_equal(y, expected, err_msg=str(p))
        if axes == 1:
            continue
        dx = p.unpadded(backward(grad, wide.shape, p.kernel, p.stride, p.padding, **options))
        twin_dx = reference.avg_pool2d_backward(grad, wide.shape, p.kernel, p.stride, p.padding, **twin)
        np.testing.assert_array_equal(dx, p.unpadded(twin_dx), err_msg=str(p))
