# SPDX-License-Identifier: BSD-3-Clause
"""The corpus' convolutions of volumes and its transposed ones, by the public functions, exact on small integers.

A random part of them; all with

    FASTCONV_CORPUS=all python -m pytest tests/test_corpora_axes.py

Of each problem as many images as have 400 million multiply-accumulates, but at least one. Small ones are compared with
the twin; larger ones algorithm by algorithm, and their passes by the adjoint identity.
"""

import os
from math import prod
from typing import Any

import numpy as np
import pytest
from problems import require_corpus

from fastconv import ops, reference

SAMPLE = 30
SMALL, MOST = 5_000_000, 400_000_000    # multiply-accumulates
GIGABYTE = 2**30

Line = dict[str, Any]


def macs_of_an_image(line: Line, pixels: list[int]) -> int:
    return prod(pixels) * prod(line["R"]) * line["C"] * line["K"] // line["groups"]


def fits(line: Line) -> bool:
    return max(prod(line["I"]) * line["C"], prod(line["O"]) * line["K"]) * 4 < GIGABYTE


def chosen(lines: list[Line]) -> list[Line]:
    lines = [line for line in lines if fits(line)]
    if os.environ.get("FASTCONV_CORPUS") == "all" or len(lines) <= SAMPLE:
        return lines
    return [lines[i] for i in sorted(np.random.default_rng(0).choice(len(lines), SAMPLE, replace=False))]


def signs(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    """-1, 0 and 1: sums of millions are exact in float32."""
    return rng.integers(-1, 2, shape).astype(np.float32)


def images(line: Line, macs: int) -> int:
    return int(min(line["N"], max(1, MOST // max(macs, 1))))


def geometry(line: Line) -> tuple[Any, Any, Any]:
    """A negative padding at the end, which the corpus derives from the output, is an output_padding."""
    ends = tuple((lo, max(hi, 0)) for lo, hi in zip(line["pad_l"], line["pad_r"], strict=True))
    return tuple(line["stride"]), ends, tuple(line["dil"])


def same(results: list[tuple[Any, ...]], y: Any, x: Any, weight: Any, grad: Any, line: Line) -> None:
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b, err_msg=str(line))
    dx, dw, db = results[0][1:]
    products = {float(np.vdot(a.astype(np.float64), b.astype(np.float64))) for a, b in (
        (y, grad), (dx, x), (dw, weight))}
    assert len(products) == 1, line
    np.testing.assert_array_equal(db, grad.sum((0, *range(2, grad.ndim)), np.float64))


def test_convolutions_of_volumes() -> None:
    rng = np.random.default_rng(0)
    lines = [line for line in require_corpus("conv") if len(line["I"]) == 3 and min(line["pad_l"] + line["pad_r"]) >= 0
             and all(r > 1 or i > 1 for i, r in zip(line["I"], line["R"], strict=True))]
    assert len(lines) > 50
    for line in chosen(lines):
        macs = macs_of_an_image(line, line["O"])
        n = images(line, macs)
        x = signs(rng, (n, line["C"], *line["I"]))
        weight = signs(rng, (line["K"], line["C"] // line["groups"], *line["R"]))
        parameters = *geometry(line), line["groups"]
        y = ops.conv3d(x, weight, None, *parameters)
        assert y.shape[2:] == tuple(line["O"]), line
        grad = signs(rng, y.shape)
        results = [
            (ops.conv3d(x, weight, None, *parameters, algorithm=a),
             *ops.conv3d_backward(grad, x, weight, *parameters, algorithm=a)) for a in ("auto", "im2col")
        ]
        same(results, y, x, weight, grad, line)
        if macs * n <= SMALL:
            np.testing.assert_array_equal(y, reference.conv3d(x, weight, None, *parameters))


def test_transposed_convolutions() -> None:
    rng = np.random.default_rng(0)
    for line in chosen(list(require_corpus("deconv"))):
        axes, stride = len(line["I"]), tuple(line["stride"])
        _, padding, dilation = geometry(line)
        least = [(i - 1) * s - lo - hi + (r - 1) * d + 1 for i, s, (lo, hi), r, d in zip(
            line["I"], stride, padding, line["R"], dilation, strict=True)]
        more = tuple(o - m for o, m in zip(line["O"], least, strict=True))
        assert min(more) >= 0, line
        macs = macs_of_an_image(line, line["I"])
        n = images(line, macs)
        x = signs(rng, (n, line["C"], *line["I"]))
        weight = signs(rng, (line["C"], line["K"] // line["groups"], *line["R"]))
        parameters = stride, padding, more, line["groups"], dilation
        forward = getattr(ops, f"conv_transpose{axes}d")
        backward = getattr(ops, f"conv_transpose{axes}d_backward")
        y = forward(x, weight, None, *parameters)
        assert y.shape[2:] == tuple(line["O"]), line
        grad = signs(rng, y.shape)
        results = [
            (forward(x, weight, None, *parameters, algorithm=a),
             *backward(grad, x, weight, *parameters, algorithm=a)) for a in ("auto", "im2col")
        ]
        same(results, y, x, weight, grad, line)
        if macs * n <= SMALL:
            np.testing.assert_array_equal(y, reference.conv_transpose2d(
                x, weight, None, *parameters, layout=("", "NCL", "NCHW", "NCDHW")[axes]))


@pytest.mark.parametrize("name", ["conv", "deconv"])
def test_what_is_left_out_is_little(name: str) -> None:
    lines = require_corpus(name)
    assert sum(not fits(line) for line in lines) <= 30
