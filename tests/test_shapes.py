# SPDX-License-Identifier: BSD-3-Clause
"""The sizes of outputs, and where padding goes, against values worked out by hand and the definition."""

import doctest
import importlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from problems import (
    ConvProblem,
    PoolProblem,
    conv_corpus,
    deconv_corpus,
    pool_corpus,
    random_conv,
    random_pool,
)

from fastconv import ops
from fastconv.errors import ShapeError
from fastconv.ops import _plans, _shapes


def windows(size: int, effective: int, stride: int, before: int, after: int) -> list[int]:
    """Where the windows on one axis start, found by sliding one along: the definition of the output size."""
    starts = range(-before, size + after - effective + 1)
    return [start for start in starts if (start + before) % stride == 0]


def test_output_size_of_convolution() -> None:
    for seed in range(200):
        p = random_conv(np.random.default_rng(seed), most_work=200_000)
        x, w = np.zeros(p.x_shape(), np.float32), np.zeros(p.weight_shape, np.float32)
        axes = zip((p.h, p.w), p.kernel, p.stride, p.dilation, p.padding, strict=True)
        sizes = tuple(len(windows(size, d * (k - 1) + 1, s, *pads)) for size, k, s, d, pads in axes)
        assert ops.conv2d(x, w, **p.parameters()).shape == (p.n, p.cout, *sizes) == p.output_shape(), p


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_shapes_of_gradients(layout: str) -> None:
    for seed in range(50):
        p = random_conv(np.random.default_rng(seed), most_work=200_000)
        x, w = np.ones(p.x_shape(layout)), np.ones(p.weight_shape)
        grad = np.ones(p.output_shape(layout))
        results = ops.conv2d_backward(grad, x, w, layout=layout, **p.parameters())
        assert [r.shape for r in results if r is not None] == [x.shape, w.shape, (p.cout,)]
        for needs in (
            (True, False, False),
            (False, True, False),
            (False, False, True),
            (False, False, False),
        ):
            some = ops.conv2d_backward(grad, x, w, layout=layout, needs=needs, **p.parameters())
            for part, whole, needed in zip(some, results, needs, strict=True):
                assert (part is not None) == needed
                np.testing.assert_array_equal(part, whole if needed else None)


def pool_windows(size: int, effective: int, stride: int, pads: tuple[int, int], ceil_mode: bool) -> list[int]:
    """As windows; in ceil mode one more may reach past the padding, if it starts on the image or before."""
    before, after = pads
    starts = windows(size, effective, stride, before, after)
    if ceil_mode:
        following = starts[-1] + stride
        reaches_on = (size + before + after - effective) % stride != 0
        starts += [following] if reaches_on and following < size else []
    return starts


def test_output_size_of_pooling() -> None:
    for seed in range(200):
        p = random_pool(np.random.default_rng(seed))
        x = np.zeros(p.x_shape(), np.float32)
        axes = zip((p.h, p.w), p.kernel, p.stride, p.dilation, p.padding, strict=True)
        sizes = tuple(
            len(pool_windows(size, d * (k - 1) + 1, s, pads, p.ceil_mode)) for size, k, s, d, pads in axes
        )
        assert ops.max_pool2d(x, **p.parameters()).shape == (p.n, p.c, *sizes) == p.output_shape(), p
        if p.dilation == (1, 1):
            assert ops.avg_pool2d(x, **p.parameters("avg")).shape == p.output_shape(), p


# (size, kernel, stride, dilation) -> outputs, padding of "same" (start, end). By hand: ceil(size / stride)
# outputs, and all windows together span (outputs - 1) * stride + dilation * (kernel - 1) + 1 pixels.
SAME = [
    ((5, 3, 1, 1), 5, (1, 1)), ((5, 3, 2, 1), 3, (1, 1)), ((5, 3, 3, 1), 2, (0, 1)),
    ((6, 3, 1, 1), 6, (1, 1)), ((6, 3, 2, 1), 3, (0, 1)), ((6, 3, 3, 1), 2, (0, 0)),
    ((7, 3, 2, 1), 4, (1, 1)), ((7, 3, 3, 1), 3, (1, 1)), ((8, 3, 3, 1), 3, (0, 1)),
    ((5, 2, 1, 1), 5, (0, 1)), ((5, 2, 2, 1), 3, (0, 1)), ((5, 2, 3, 1), 2, (0, 0)),
    ((6, 4, 1, 1), 6, (1, 2)), ((6, 4, 2, 1), 3, (1, 1)), ((6, 4, 3, 1), 2, (0, 1)),
    ((5, 5, 1, 1), 5, (2, 2)), ((5, 5, 2, 1), 3, (2, 2)), ((5, 5, 3, 1), 2, (1, 2)),
    ((5, 1, 1, 1), 5, (0, 0)), ((5, 1, 2, 1), 3, (0, 0)), ((5, 1, 3, 1), 2, (0, 0)),
    ((5, 3, 1, 2), 5, (2, 2)), ((5, 2, 1, 3), 5, (1, 2)), ((6, 2, 2, 3), 3, (1, 1)),
    ((2, 7, 1, 1), 2, (3, 3)), ((1, 4, 3, 1), 1, (1, 2)), ((224, 7, 2, 1), 112, (2, 3)),
]  # fmt: skip


@pytest.mark.parametrize(("problem", "outputs", "pads"), SAME, ids=str)
def test_same_padding(problem: tuple[int, int, int, int], outputs: int, pads: tuple[int, int]) -> None:
    size, kernel, stride, dilation = problem
    rng = np.random.default_rng(0)
    x, w = rng.integers(-9, 10, (1, 1, size, size)), rng.integers(-9, 10, (1, 1, kernel, kernel))
    x, w = x.astype(np.float32), w.astype(np.float32)
    lower = pads[::-1]
    for word, pair in (("same", pads), ("same_lower", lower)):
        y = ops.conv2d(x, w, stride=stride, padding=word, dilation=dilation)
        assert y.shape == (1, 1, outputs, outputs)
        np.testing.assert_array_equal(
            y, ops.conv2d(x, w, stride=stride, padding=(pair, pair), dilation=dilation)
        )
        pooled = ops.max_pool2d(x, kernel, stride, word, dilation)
        np.testing.assert_array_equal(pooled, ops.max_pool2d(x, kernel, stride, (pair, pair), dilation))


def test_same_padding_of_each_axis_by_itself() -> None:
    x, w = np.ones((1, 1, 5, 6), np.float32), np.ones((1, 1, 2, 3), np.float32)
    y = ops.conv2d(x, w, stride=(1, 2), padding="same")
    np.testing.assert_array_equal(y, ops.conv2d(x, w, stride=(1, 2), padding=((0, 1), (0, 1))))


def test_forms_of_padding() -> None:
    x, w = np.ones((1, 1, 5, 5), np.float32), np.ones((1, 1, 3, 3), np.float32)
    for padding, shape in (
        (0, (3, 3)), (1, (5, 5)), ((1, 0), (5, 3)), ([0, 1], (3, 5)), (((1, 0), (0, 0)), (4, 3)),
        (((0, 2), (1, 0)), (5, 4)), ([[2, 2], [0, 0]], (7, 3)), ("valid", (3, 3)), ("same", (5, 5)),
    ):  # fmt: skip
        assert ops.conv2d(x, w, padding=padding).shape[2:] == shape
    # The ones of the image show where the padding is: top row, then left column.
    assert ops.conv2d(x, w, padding=((1, 0), (0, 0)))[0, 0, :, 0].tolist() == [6, 9, 9, 9]
    assert ops.conv2d(x, w, padding=((0, 0), (1, 0)))[0, 0, 0].tolist() == [6, 9, 9, 9]
    assert ops.conv2d(x, w, padding=((0, 1), (0, 0)))[0, 0, :, 0].tolist() == [9, 9, 9, 6]


def test_ceil_mode_by_hand() -> None:
    """(size, kernel, stride, padding) -> outputs rounding down, up."""
    for (size, kernel, stride, padding), down, up in (
        ((5, 2, 2, 0), 2, 3), ((6, 2, 2, 0), 3, 3), ((7, 3, 2, 0), 3, 3), ((8, 3, 2, 0), 3, 4),
        ((3, 1, 2, 0), 2, 2), ((4, 1, 2, 0), 2, 2), ((2, 1, 3, 0), 1, 1), ((3, 2, 2, 1), 2, 2),
        ((112, 3, 2, 1), 56, 57), ((4, 2, 3, 1), 2, 2),
    ):  # fmt: skip
        x = np.zeros((1, 1, size, size), np.float32)
        for pool in (ops.max_pool2d, ops.avg_pool2d):
            assert pool(x, kernel, stride, padding).shape[2:] == (down, down)
            assert pool(x, kernel, stride, padding, ceil_mode=True).shape[2:] == (up, up)


def test_windows_that_step_over_the_image() -> None:
    """The count in closed form, against looking at every tap of every window."""
    rng = np.random.default_rng(0)
    found = 0
    for _ in range(3000):
        size, kernel, dilation, stride = (int(rng.integers(1, n)) for n in (12, 6, 14, 6))
        effective = dilation * (kernel - 1) + 1
        pads = int(rng.integers(0, effective // 2 + 1)), int(rng.integers(0, effective // 2 + 1))
        if size + sum(pads) < effective:
            continue
        ceil_mode = bool(rng.random() < 0.5)
        taps = range(0, effective, dilation)
        starts = pool_windows(size, effective, stride, pads, ceil_mode)
        blind = sum(not any(0 <= start + tap < size for tap in taps) for start in starts)
        geometry = _shapes.Geometry(
            (size, 1), (kernel, 1), (stride, 1), (dilation, 1), (pads[0], 0), (pads[1], 0)
        )
        assert _shapes._blind_windows(geometry, 0, ceil_mode) == blind, (geometry, ceil_mode)
        found += blind > 0
    assert found > 100


# ---- corpora ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("read", [conv_corpus, deconv_corpus], ids=lambda read: read.__name__)
def test_corpus_of_convolutions(read: object) -> None:
    """Every problem is one that conv2d accepts; that it has the outputs of its line, the reader checks."""
    problems = read()  # type: ignore[operator]
    assert len(problems) > 50
    for p in problems:
        geometry = _shapes.conv_geometry((p.h, p.w), p.weight_shape, p.stride, p.padding, p.dilation)
        assert (geometry.pad_lo, geometry.pad_hi) == tuple(zip(*p.padding, strict=True))
        assert min(p.output_size) > 0 and p.cin % p.groups == p.cout % p.groups == 0


def test_corpus_of_pools() -> None:
    problems = pool_corpus()
    assert len(problems) > 50
    for p in problems:
        _shapes.pool_geometry((p.h, p.w), p.kernel, p.stride, p.padding, p.dilation, False)


# ---- choosing an algorithm, and the cache of plans -------------------------------------------------------

X, W, GRAD = (np.ones(shape, np.float32) for shape in ((1, 2, 6, 6), (3, 2, 5, 5), (1, 3, 2, 2)))


def test_algorithm_of_a_block() -> None:
    ops.conv2d(X, W)
    ops.conv2d_backward(GRAD, X, W)
    with ops.algorithm("winograd"):
        with pytest.raises(ValueError, match="winograd"):
            ops.conv2d(X, W)
        with pytest.raises(ValueError, match="winograd"):
            ops.conv2d_backward(GRAD, X, W)
        ops.conv2d(X, W, algorithm="direct")
        with ops.algorithm("im2col"):
            ops.conv2d(X, W)
        with pytest.raises(ValueError, match="winograd"):
            ops.conv2d(X, W)
    ops.conv2d(X, W)


def test_algorithm_of_a_block_ends_with_an_exception() -> None:
    with pytest.raises(ZeroDivisionError), ops.algorithm("winograd"):
        raise ZeroDivisionError
    ops.conv2d(X, W)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"name": "nope"}, ValueError),
        ({"name": None}, TypeError),
        ({"name": "auto", "precision": "loose"}, ValueError),
        ({"name": "winograd", "precision": "strict"}, ValueError),
    ],
)
def test_algorithm_refuses(arguments: dict[str, str], error: type[Exception]) -> None:
    with pytest.raises(error, match="name|precision"):
        ops.algorithm(**arguments)  # type: ignore[arg-type]


def test_plans_are_kept_and_bounded() -> None:
    _plans.clear()
    assert _plans._calls == {}
    ops.conv2d(X, W)
    kept = len(_plans._calls)
    ops.conv2d(X, W)
    ops.conv2d(X.copy(), W)
    assert len(_plans._calls) == kept
    for size in range(5, 5 + _plans.LIMIT):
        ops.conv2d(np.ones((1, 1, 1, size), np.float32), np.ones((1, 1, 1, 1), np.float32))
    assert len(_plans._calls) <= _plans.LIMIT


def test_plans_are_shared_by_threads() -> None:
    """While one thread keeps clearing, the others must neither fail nor mix up their calls."""
    arrays = [np.full((1, 1, 3, width), width, np.float32) for width in range(3, 11)]
    kernel = np.ones((1, 1, 3, 3), np.float32)

    def work(x: np.ndarray) -> bool:
        results = [ops.conv2d(x, kernel) for _ in range(200)]
        return all((y == 9 * x[0, 0, 0, 0]).all() and y.shape[3] == x.shape[3] - 2 for y in results)

    with ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(work, x) for x in arrays]
        while not all(future.done() for future in futures):
            _plans.clear()
        assert all(future.result() for future in futures)


def test_shape_errors_are_shape_errors() -> None:
    with pytest.raises(ShapeError, match="input x has 2 channels on axis 1"):
        ops.conv2d(X, np.ones((3, 3, 5, 5), np.float32))


# ---- documentation ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [
    "_algorithm", "adaptive_pool", "conv", "fractional_pool", "linear", "lp_pool", "pool", "signal", "unpool",
])
def test_examples_of_the_documentation(name: str) -> None:
    result = doctest.testmod(importlib.import_module(f"fastconv.ops.{name}"))
    assert result.attempted > 0 and result.failed == 0


def test_random_problems_hit_the_edges() -> None:
    rng = np.random.default_rng(0)
    problems = [random_conv(rng) for _ in range(300)]
    widths = {p.output_size[1] for p in problems}
    assert {13, 14, 15, 27, 28, 29} <= widths
    assert {15, 16, 17} <= {p.cout for p in problems} and {15, 16, 17} <= {p.cin for p in problems}
    assert sum(p.winograd_eligible for p in problems) > 50
    assert isinstance(problems[0], ConvProblem) and isinstance(random_pool(rng), PoolProblem)
