"""The oracle itself: against sums written out in pure Python, published values and algebraic identities."""

from __future__ import annotations

import doctest
import itertools
import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from fastconv import reference as ref
from fastconv.reference.windows import repeated, resolve_padding, windows_on

CONVOLUTIONS: list[dict[str, Any]] = [
    dict(shape=(2, 3, 5, 6), weight=(4, 3, 3, 2)),
    dict(shape=(1, 4, 7, 5), weight=(6, 2, 3, 3), groups=2, stride=(2, 1), padding=(1, 2)),
    dict(shape=(1, 3, 8, 9), weight=(3, 1, 2, 3), groups=3, dilation=(2, 3), padding=((0, 3), (1, 2))),
    dict(shape=(2, 2, 6, 7), weight=(2, 2, 3, 4), stride=(2, 3), padding="same"),
    dict(shape=(2, 2, 6, 7), weight=(2, 2, 3, 4), stride=2, padding="same_lower"),
    dict(shape=(0, 2, 4, 4), weight=(2, 2, 3, 3)),
]


def integers(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    return rng.integers(-9, 10, shape)


def problem(case: dict[str, Any]) -> tuple[Any, Any, Any, dict[str, Any]]:
    rng = np.random.default_rng(0)
    options = {key: value for key, value in case.items() if key not in ("shape", "weight")}
    x, w = integers(rng, case["shape"]), integers(rng, case["weight"])
    return x, w, integers(rng, (len(w),)), options


def conv2d_by_hand(x: Any, w: Any, b: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
                   groups: int = 1) -> list[Any]:
    """Seven loops over Python integers. padding is ((top, bottom), (left, right))."""
    x, w, b = x.tolist(), w.tolist(), b.tolist()
    (top, bottom), (left, right) = padding
    height, width = len(x[0][0]), len(x[0][0][0])
    kh, kw, per_group, out_per_group = len(w[0][0]), len(w[0][0][0]), len(w[0]), len(w) // groups
    rows = (height + top + bottom - dilation[0] * (kh - 1) - 1) // stride[0] + 1
    columns = (width + left + right - dilation[1] * (kw - 1) - 1) // stride[1] + 1
    y = [[[[b[k]] * columns for _ in range(rows)] for k in range(len(w))] for _ in x]
    for n, k, p, q in itertools.product(range(len(x)), range(len(w)), range(rows), range(columns)):
        for c, i, j in itertools.product(range(per_group), range(kh), range(kw)):
            r, s = p * stride[0] + i * dilation[0] - top, q * stride[1] + j * dilation[1] - left
            if 0 <= r < height and 0 <= s < width:
                y[n][k][p][q] += x[n][k // out_per_group * per_group + c][r][s] * w[k][c][i][j]
    return y


# The padding that "same" and "same_lower" stand for in CONVOLUTIONS, worked out on paper.
PADDING_BY_HAND = {3: ((0, 1), (1, 2)), 4: ((1, 0), (2, 1))}


@pytest.mark.parametrize("index", range(5))
def test_conv2d_equals_seven_loops(index: int) -> None:
    x, w, b, options = problem(CONVOLUTIONS[index])
    by_hand = {name: repeated(options.get(name, 1), 2) for name in ("stride", "dilation")}
    padding = options.get("padding", 0)
    if not isinstance(padding, str):
        padding = resolve_padding(padding, (0, 0), (1, 1), (1, 1), (1, 1))
    expected = conv2d_by_hand(x, w, b, padding=PADDING_BY_HAND.get(index, padding),
                              groups=options.get("groups", 1), **by_hand)
    y = ref.conv2d(x, w, b, **options)
    assert y.dtype == np.int64
    assert y.tolist() == expected


def test_conv2d_published_values() -> None:
    """The example of Stanford's course cs231n, which many implementations have been checked against."""
    x = np.linspace(-0.1, 0.5, 2 * 3 * 4 * 4).reshape(2, 3, 4, 4)
    w = np.linspace(-0.2, 0.3, 3 * 3 * 4 * 4).reshape(3, 3, 4, 4)
    y = ref.conv2d(x, w, np.linspace(-0.1, 0.2, 3), stride=2, padding=1)
    assert y.shape == (2, 3, 2, 2)
    np.testing.assert_allclose(y[0, 0], [[-0.08759809, -0.10987781], [-0.18387192, -0.2109216]], atol=5e-9)
    np.testing.assert_allclose(y[1, 2], [[2.36270298, 2.36904306], [2.38090835, 2.38247847]], atol=5e-9)


@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate", "circular"])
@pytest.mark.parametrize("case", CONVOLUTIONS, ids=str)
def test_adjoint_identity_is_exact_in_integers(case: dict[str, Any], mode: str) -> None:
    """<conv(x), dy> == <x, dx> == <w, dw> ties the three passes together without an oracle."""
    x, w, _, options = problem(case)
    y = ref.conv2d(x, w, padding_mode=mode, **options)
    dy = integers(np.random.default_rng(1), y.shape)
    dx, dw, db = ref.conv2d_backward(dy, x, w, padding_mode=mode, **options)
    assert dx is not None and dw is not None and db is not None
    assert (y * dy).sum() == (x * dx).sum() == (w * dw).sum()
    assert db.tolist() == dy.sum(axis=(0, 2, 3)).tolist()


def test_layouts_agree() -> None:
    x, w, b, options = problem(CONVOLUTIONS[1])
    nhwc = x.transpose(0, 2, 3, 1)
    y = ref.conv2d(x, w, b, **options)
    np.testing.assert_array_equal(ref.conv2d(nhwc, w, b, layout="NHWC", **options), y.transpose(0, 2, 3, 1))
    dx, dw, _ = ref.conv2d_backward(y, x, w, **options)
    dx_last, dw_last, _ = ref.conv2d_backward(y.transpose(0, 2, 3, 1), nhwc, w, layout="NHWC", **options)
    assert dx is not None and dx_last is not None and dw is not None and dw_last is not None
    np.testing.assert_array_equal(dx_last, dx.transpose(0, 2, 3, 1))
    np.testing.assert_array_equal(dw_last, dw)
    for name, pool in (("max", ref.max_pool2d), ("avg", ref.avg_pool2d)):
        np.testing.assert_array_equal(pool(nhwc, 3, 2, 1, layout="NHWC"),
                                      pool(x, 3, 2, 1).transpose(0, 2, 3, 1), err_msg=name)


def test_precision_of_the_result() -> None:
    x, w = np.ones((1, 1, 3, 3)), np.ones((1, 1, 2, 2))
    assert ref.conv2d(x.astype("f4"), w.astype("f4")).dtype == np.float64
    assert ref.conv2d(x.astype(np.longdouble), w.astype(np.longdouble)).dtype == np.longdouble
    dx, dw, db = ref.conv2d_backward(np.ones((1, 1, 2, 2)), x, w, needs=(True, False, True))
    assert dx is not None and dw is None and db is not None


def test_infinite_weight_on_a_padded_tap_gives_nan() -> None:
    w = np.zeros((1, 1, 3, 3))
    w[0, 0, 0, 0] = np.inf
    y = ref.conv2d(np.ones((1, 1, 3, 3)), w, padding=1)[0, 0]
    assert np.isnan(y[0]).all() and np.isnan(y[:, 0]).all()
    assert (y[1:, 1:] == np.inf).all()


@pytest.mark.parametrize("options", [
    dict(kernel_size=2), dict(kernel_size=3, stride=2, padding=1), dict(kernel_size=(3, 2), stride=(3, 1)),
    dict(kernel_size=3, stride=2, padding=1, ceil_mode=True), dict(kernel_size=2, dilation=3),
], ids=str)
def test_max_pool2d_by_hand(options: dict[str, Any]) -> None:
    x = np.random.default_rng(0).permutation(2 * 3 * 7 * 8).reshape(2, 3, 7, 8)
    y, where = ref.max_pool2d(x, return_indices=True, **options)
    windows = windows_on((7, 8), repeated(options["kernel_size"], 2),
                         options.get("stride", options["kernel_size"]), options.get("padding", 0),
                         options.get("dilation", 1), options.get("ceil_mode", False))
    (top, _), (left, _) = windows.padding
    for n, c, p, q in np.ndindex(y.shape):
        best = -math.inf
        for i, j in np.ndindex(*windows.kernel):
            r = p * windows.stride[0] + i * windows.dilation[0] - top
            s = q * windows.stride[1] + j * windows.dilation[1] - left
            if 0 <= r < 7 and 0 <= s < 8:
                best = max(best, x[n, c, r, s])
        assert y[n, c, p, q] == best
        assert x[n, c].flat[where[n, c, p, q]] == best
    dy = np.random.default_rng(1).integers(-5, 5, y.shape)
    dx = ref.max_pool2d_backward(dy, where, x.shape)
    assert dx.shape == x.shape
    assert (dx * x).sum() == (dy * y).sum()


@pytest.mark.parametrize(("values", "value", "index"), [
    ([1, 3, 3, 2], 3, 1),
    ([np.nan, 1, 2, 3], np.nan, 0),
    ([np.nan, 1, np.nan, 9], np.nan, 2),
    ([-np.inf] * 4, -np.inf, 0),
    ([-np.inf, -np.inf, -1, -np.inf], -1, 2),
    ([np.nan] * 4, np.nan, 3),
])
def test_max_pool2d_special_values(values: list[float], value: float, index: int) -> None:
    y, where = ref.max_pool2d(np.array(values).reshape(1, 1, 2, 2), 2, return_indices=True)
    np.testing.assert_array_equal(y[0, 0, 0, 0], value)
    assert where[0, 0, 0, 0] == index


def test_max_pool2d_of_minus_infinity_takes_the_first_element_inside_the_image() -> None:
    y, where = ref.max_pool2d(np.full((1, 1, 4, 4), -np.inf), 3, 2, 1, return_indices=True)
    assert (y == -np.inf).all()
    assert where[0, 0].tolist() == [[0, 1], [4, 5]]


@pytest.mark.parametrize(("options", "expected"), [
    (dict(padding=1), [[1 / 4, 3 / 4], [9 / 4, 11 / 4]]),
    (dict(padding=1, count_include_pad=False), [[1, 3 / 2], [9 / 2, 11 / 4]]),
    (dict(padding=1, divisor_override=3), [[1 / 3, 1], [3, 11 / 3]]),
], ids=str)
def test_avg_pool2d_divisors(options: dict[str, Any], expected: list[list[float]]) -> None:
    x = np.array([[1, 1, 2], [3, 2, 2], [6, 3, 4]]).reshape(1, 1, 3, 3)
    np.testing.assert_array_equal(ref.avg_pool2d(x, 2, **options)[0, 0], expected)


def test_avg_pool2d_counts_no_element_beyond_the_padding() -> None:
    y = ref.avg_pool2d(np.ones((1, 1, 4, 4)), 3, 2, ceil_mode=True)
    np.testing.assert_array_equal(y, np.ones((1, 1, 2, 2)))
    y = ref.avg_pool2d(np.ones((1, 1, 4, 4)), 3, 2, 1, ceil_mode=True)[0, 0]
    assert y.shape == (3, 3)
    assert y[2, 2] == 1 / 4 and y[1, 2] == 3 / 6


@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize("count_include_pad", [False, True])
def test_avg_pool2d_backward_is_the_adjoint(ceil_mode: bool, count_include_pad: bool) -> None:
    rng = np.random.default_rng(0)
    x: Any = rng.normal(size=(2, 3, 7, 8))
    y = ref.avg_pool2d(x, 3, 2, 1, ceil_mode, count_include_pad)
    dy: Any = rng.normal(size=y.shape)
    dx = ref.avg_pool2d_backward(dy, x.shape, 3, 2, 1, ceil_mode, count_include_pad)
    assert np.vdot(y, dy) == pytest.approx(np.vdot(x, dx), rel=1e-12)


def test_linear_is_a_1x1_convolution() -> None:
    rng = np.random.default_rng(0)
    x, w, b, dy = (integers(rng, s) for s in ((5, 3), (4, 3), (4,), (5, 4)))
    as_map, as_kernel = x[:, :, None, None], w[:, :, None, None]
    np.testing.assert_array_equal(ref.linear(x, w, b), ref.conv2d(as_map, as_kernel, b)[:, :, 0, 0])
    dx, dw, db = ref.linear_backward(dy, x, w)
    expected = ref.conv2d_backward(dy[:, :, None, None], as_map, as_kernel)
    for mine, theirs in zip((dx, dw, db), expected, strict=True):
        assert mine is not None and theirs is not None
        np.testing.assert_array_equal(mine, theirs.reshape(mine.shape))


def exact_matrices(m: int) -> tuple[list[list[Fraction]], list[list[Fraction]], list[list[Fraction]]]:
    """winograd_matrices in rational arithmetic, with the polynomial products written out."""
    points = [Fraction(p) for p in ref.WINOGRAD_POINTS[m]]

    def expand(roots: list[Fraction]) -> list[Fraction]:
        coefficients = [Fraction(1)]
        for root in roots:
            shifted = [Fraction(0), *coefficients]
            coefficients = [s - root * c for s, c in zip(shifted, [*coefficients, Fraction(0)], strict=True)]
        return coefficients

    others = [[q for q in points if q != p] for p in points]
    b_t = [[*expand(rest), Fraction(0)] for rest in others] + [expand(points)]
    g = [[p ** e / math.prod((p - q for q in rest), start=Fraction(1)) for e in range(3)]
         for p, rest in zip(points, others, strict=True)] + [[Fraction(0), Fraction(0), Fraction(1)]]
    a_t = [[p ** e for p in points] + [Fraction(e == m - 1)] for e in range(m)]
    return a_t, g, b_t


@pytest.mark.parametrize("m", [2, 4])
def test_winograd_matrices_are_exact(m: int) -> None:
    a_t, g, b_t = exact_matrices(m)
    for name, mine, exact in zip(("A", "G", "B"), ref.winograd_matrices(m), (a_t, g, b_t), strict=True):
        assert mine.tolist() == [[float(v) for v in row] for row in exact], name
    # sum over t of A[p,t] G[t,i] B[t,j] is 1 where j == p + i and 0 elsewhere: a convolution, exactly.
    for p, i, j in itertools.product(range(m), range(3), range(m + 2)):
        assert sum(a_t[p][t] * g[t][i] * b_t[t][j] for t in range(m + 2)) == (j == p + i)


@pytest.mark.parametrize("m", [2, 4])
@pytest.mark.parametrize("groups", [1, 2])
def test_winograd_computes_the_convolution(m: int, groups: int) -> None:
    rng = np.random.default_rng(0)
    x, w, b = rng.normal(size=(2, 4, 9, 7)), rng.normal(size=(6, 4 // groups, 3, 3)), rng.normal(size=6)
    matrices = ref.winograd_matrices(m)
    y = ref.winograd(x, w, b, 1, groups, matrices=matrices)
    expected, magnitude = ref.conv2d(x, w, b, 1, 1, 1, groups), ref.conv2d_abs(x, w, b, 1, 1, 1, groups)
    np.testing.assert_allclose(y, expected, atol=1e-12)
    bound = ref.winograd_abs(x, w, b, 1, groups, matrices=matrices)
    assert (bound >= magnitude * (1 - 1e-12)).all()
    assert (np.abs(y - expected) <= (4 + 32) * 2.0**-53 * bound).all()


def test_bad_arguments() -> None:
    x, w = np.ones((1, 2, 4, 4)), np.ones((2, 2, 3, 3))
    with pytest.raises(ValueError, match="does not fit"):
        ref.conv2d(x, np.ones((2, 2, 5, 5)))
    with pytest.raises(ValueError, match="padding: got 'SAME '"):
        ref.conv2d(x, w, padding="SAME ")
    with pytest.raises(ValueError, match="grad_output"):
        ref.conv2d_backward(np.ones((1, 2, 3, 2)), x, w)
    with pytest.raises(ValueError, match="groups"):
        ref.conv2d(x, w, groups=2)
    with pytest.raises(ValueError, match="padding only"):
        ref.max_pool2d(np.ones((1, 1, 1, 1)), 2, 1, 1, 2)


def test_doctests() -> None:
    assert doctest.testmod(ref).failed == 0
