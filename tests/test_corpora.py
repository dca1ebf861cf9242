# SPDX-License-Identifier: BSD-3-Clause
"""The convolution problems of oneDNN's benchdnn, on small integers, where every algorithm must be exact.

A random thousand of them; all of them with

    FASTCONV_CORPUS=all python -m pytest tests/test_corpora.py

A problem of up to 20 million multiply-accumulates is compared with the reference in every pass. A larger one, for
which the reference would take minutes, is compared with it for its first image, and beyond that the algorithms with
each other and the passes by the adjoint identity. Batches of more than a gigabyte are cut; the three problems with a
single image of 13 to 32 GiB are left out.
"""

import os
from dataclasses import replace
from math import prod

import numpy as np
import pytest
from core_conv import PLAIN, Results, expected, run
from problems import EXACT, ConvArrays, ConvProblem, conv_corpus, deconv_corpus, integer_arrays

from fastconv import reference

SAMPLE = 1000
CHUNKS = 8
SMALL = 20_000_000    # multiply-accumulates


def image_bytes(problem: ConvProblem) -> int:
    return 4 * (prod(problem.x_shape()[1:]) + prod(problem.output_shape()[1:]))


def chosen() -> list[ConvProblem]:
    problems = [p for p in conv_corpus() + deconv_corpus() if image_bytes(p) < 2**32]
    if os.environ.get("FASTCONV_CORPUS") == "all":
        return problems
    picked = np.random.default_rng(0).choice(len(problems), SAMPLE, replace=False)
    return [problems[i] for i in sorted(picked)]


def cut_to_a_gigabyte(problem: ConvProblem) -> ConvProblem:
    most = max(1, min(problem.n, 2**30 // image_bytes(problem), (EXACT // 2) // max(1, prod(problem.output_size))))
    return replace(problem, n=most)


def assert_adjoint(problem: ConvProblem, arrays: ConvArrays, results: Results) -> None:
    without_bias = results.y - arrays.bias[:, None, None]
    products = [(without_bias, arrays.grad_output), (results.dx, arrays.x), (results.dw, arrays.weight)]
    sums = {float(np.vdot(a.astype(np.float64), b.astype(np.float64))) for a, b in products}
    assert len(sums) == 1, problem


def check_first_image(problem: ConvProblem, arrays: ConvArrays, results: Results) -> None:
    one = slice(0, 1)
    x, dy = (a[one].astype(np.float64) for a in (arrays.x, arrays.grad_output))
    weight = arrays.weight.astype(np.float64)
    y = reference.conv2d(x, weight, arrays.bias.astype(np.float64), **problem.parameters())
    dx, _, _ = reference.conv2d_backward(dy, x, weight, **problem.parameters(), needs=(True, False, False))
    assert np.array_equal(results.y[one], y) and np.array_equal(results.dx[one], dx), problem


def check(problem: ConvProblem, rng: np.random.Generator) -> None:
    arrays = integer_arrays(problem, rng)
    algorithms = (*PLAIN, "winograd2") if problem.winograd_eligible else PLAIN
    results = [run(problem, arrays, algorithm) for algorithm in algorithms]
    small = problem.multiply_accumulates <= SMALL
    wanted = expected(problem, ConvArrays(*(a.astype(np.float64) for a in arrays))) if small else results[0]
    for algorithm, result in zip(algorithms, results, strict=True):
        for field, got, want in zip(Results._fields, result, wanted, strict=True):
            assert np.array_equal(got, want), (algorithm, field, problem)
    if not small:
        assert_adjoint(problem, arrays, results[0])
        if problem.multiply_accumulates // problem.n <= 20 * SMALL:
            check_first_image(problem, arrays, results[0])


@pytest.mark.parametrize("part", range(CHUNKS))
def test_corpus_problems_are_exact_on_integers(part):
    problems = chosen()
    rng = np.random.default_rng(part)
    for problem in problems[part::CHUNKS]:
        check(cut_to_a_gigabyte(problem), rng)
