# SPDX-License-Identifier: BSD-3-Clause
"""Convolution in the native core: every algorithm and pass, against the reference and its error bounds.

The sweeps run on the active level; FASTCONV_ISA chooses another, and continuous integration runs each.
"""

import os
from dataclasses import replace

import numpy as np
import pytest
from core_conv import (
    PLAIN,
    WINOGRAD,
    Results,
    expected,
    magnitudes,
    plan,
    run,
    summation_bound,
    unit,
    winograd_bound,
    winograd_magnitudes,
)
from problems import ConvArrays, ConvProblem, integer_arrays, normal_arrays, random_conv

from fastconv import _core, reference

LEVELS = [name for name, supported in _core.isa_levels() if supported]
DTYPES = (np.float32, np.float64)
SWEEP = int(os.environ.get("FASTCONV_SWEEP", "3000"))
CHUNKS = 10    # of a sweep: progress shows, and a failure names a seed


@pytest.fixture
def threads():
    before = _core.get_num_threads()
    yield _core.set_num_threads
    _core.set_num_threads(before)


@pytest.fixture
def level():
    before = _core.isa()
    yield _core.set_isa
    _core.set_isa(before)


def winograd_problem(rng: np.random.Generator) -> ConvProblem:
    while True:
        problem = random_conv(rng, 300_000)
        if problem.winograd_eligible:
            return problem


def cast(arrays: ConvArrays, dtype: type) -> ConvArrays:
    return ConvArrays(*(a.astype(dtype) for a in arrays))


def in_layout(arrays: ConvArrays, layout: str) -> ConvArrays:
    if layout == "NCHW":
        return arrays
    x, dy = (np.ascontiguousarray(a.transpose(0, 2, 3, 1)) for a in (arrays.x, arrays.grad_output))
    return arrays._replace(x=x, grad_output=dy)


def to_nchw(results: Results, layout: str) -> Results:
    if layout == "NCHW":
        return results
    return results._replace(y=results.y.transpose(0, 3, 1, 2), dx=results.dx.transpose(0, 3, 1, 2))


def same_bits(a: Results, b: Results) -> bool:
    return all(np.array_equal(p, q, equal_nan=True) for p, q in zip(a, b, strict=True))


def assert_within(results: Results, exact: Results, bounds: Results, what: object) -> None:
    for name, got, want, limit in zip(Results._fields, results, exact, bounds, strict=True):
        worst = np.max(np.abs(got - want) - limit, initial=-1)
        assert worst <= 0, f"{name} exceeds its bound by {worst}: {what}"


# ---- Random problems ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(CHUNKS))
def test_random_problems_stay_inside_the_hard_bounds(seed):
    rng = np.random.default_rng(1000 + seed)
    for _ in range(SWEEP // CHUNKS):
        problem = random_conv(rng, 300_000)
        drawn = normal_arrays(problem, rng, np.float32)
        exact, layout = expected(problem, drawn), str(rng.choice(["NCHW", "NHWC"]))
        sums = magnitudes(problem, drawn)
        for dtype in DTYPES:
            arrays = cast(drawn, dtype)
            bounds = summation_bound(problem, sums, np.dtype(dtype))
            for algorithm in PLAIN:
                results = to_nchw(run(problem, in_layout(arrays, layout), algorithm, layout), layout)
                assert_within(results, exact, bounds, (algorithm, dtype.__name__, layout, problem))


@pytest.mark.parametrize("seed", range(CHUNKS))
def test_random_winograd_problems_stay_inside_the_hard_bounds(seed):
    rng = np.random.default_rng(2000 + seed)
    for _ in range(SWEEP // CHUNKS):
        problem = winograd_problem(rng)
        drawn = normal_arrays(problem, rng, np.float32)
        exact, layout = expected(problem, drawn), str(rng.choice(["NCHW", "NHWC"]))
        for algorithm in WINOGRAD:
            m = int(algorithm[-1])
            sums = winograd_magnitudes(problem, drawn, m)
            for dtype in DTYPES:
                arrays = in_layout(cast(drawn, dtype), layout)
                results = to_nchw(run(problem, arrays, algorithm, layout), layout)
                limit = winograd_bound(problem, sums, np.dtype(dtype), m)
                assert_within(results, exact, limit, (algorithm, dtype.__name__, layout, problem))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", LEVELS)
def test_integers_are_exact_on_every_level(name, dtype, level):
    """Direct, im2col and F(2x2,3x3), whose transforms only halve, make no error on small integers."""
    level(name)
    rng = np.random.default_rng(3)
    for _ in range(150):
        problem = random_conv(rng, 300_000)
        arrays = integer_arrays(problem, rng, dtype)
        exact = expected(problem, arrays)
        for algorithm in (*PLAIN, "winograd2") if problem.winograd_eligible else PLAIN:
            for got, want in zip(run(problem, arrays, algorithm), exact, strict=True):
                assert np.array_equal(got, want), (name, algorithm, problem)


#: What random problems miss: strides that are unzipped, strips of many lines, of parts of a line; sums over several
#: blocks with pixels in the lanes, and with so many steps that channels fill them in forward.
FEW_CHANNELS = [
    ConvProblem(2, 1, 3, 24, 67, 71, (11, 11), (4, 4), padding=((2, 2), (2, 2)), name="stride 4"),
    ConvProblem(1, 1, 3, 20, 150, 90, (7, 7), (2, 2), padding=((3, 3), (3, 3)), name="stride 2"),
    ConvProblem(1, 1, 2, 5, 61, 83, (3, 4), (5, 6), (2, 3), padding=((1, 0), (4, 5)), name="stride 5 and 6, dilated"),
    ConvProblem(40, 1, 1, 6, 28, 28, (5, 5), padding=((2, 2), (2, 2)), name="few outputs"),
    ConvProblem(3, 1, 6, 16, 14, 14, (5, 5), name="many steps"),
    ConvProblem(1, 1, 12, 96, 9, 15, (5, 5), padding=((2, 2), (0, 4)), name="many steps, several panels"),
    ConvProblem(1, 1, 1, 8, 1, 100_000, (1, 3), padding=((0, 0), (1, 1)), name="a long line"),
    ConvProblem(1, 1, 2, 70, 3, 2000, (3, 3), padding=((1, 1), (0, 2)), name="long lines"),
    ConvProblem(1, 2, 6, 8, 300, 12, (3, 3), padding=((1, 1), (1, 1)), name="many lines of two groups"),
]


@pytest.mark.parametrize("problem", FEW_CHANNELS, ids=lambda problem: problem.name)
@pytest.mark.parametrize("name", LEVELS)
def test_few_channels_are_exact(name, problem, level, threads):
    level(name)
    arrays = integer_arrays(problem, np.random.default_rng(18))
    exact = expected(problem, arrays)
    for layout, count in (("NCHW", 1), ("NCHW", 3), ("NHWC", 2)):
        threads(count)
        results = to_nchw(run(problem, in_layout(arrays, layout), "planar", layout), layout)
        assert same_bits(results, Results(*(a.astype(np.float32) for a in exact))), (layout, count)


@pytest.mark.parametrize("name", LEVELS)
def test_relu_in_the_same_pass_has_the_bits_of_relu_afterwards(name, level):
    level(name)
    rng = np.random.default_rng(19)
    for problem in [random_conv(rng) for _ in range(40)] + [p for p in FEW_CHANNELS if p.cin > 1]:
        arrays = normal_arrays(problem, rng)
        arrays.x.flat[rng.integers(arrays.x.size)] = np.nan
        for layout in ("NCHW", "NHWC"):
            x, weight, bias, dy = in_layout(arrays, layout)
            for algorithm in PLAIN:
                forward = plan(problem, "forward", np.float32, algorithm)
                y, joined = np.full_like(dy, 7), np.full_like(dy, 7)
                forward.forward(x, weight, bias, y, layout == "NHWC")
                forward.forward(x, weight, bias, joined, layout == "NHWC", True)
                assert np.array_equal(np.maximum(y, 0), joined, equal_nan=True), (algorithm, layout, problem)


@pytest.mark.parametrize("name", LEVELS)
def test_the_passes_are_adjoint(name, level):
    """<conv(x), dy> = <x, backward_data(dy)> = <w, backward_weights(x, dy)>, exactly, without an oracle."""
    level(name)
    rng = np.random.default_rng(4)
    for _ in range(100):
        problem = random_conv(rng)
        arrays = integer_arrays(problem, rng, np.float32)._replace(bias=np.zeros(problem.cout, np.float32))
        for algorithm in (*PLAIN, "winograd2") if problem.winograd_eligible else PLAIN:
            r = run(problem, arrays, algorithm)
            products = [(r.y, arrays.grad_output), (r.dx, arrays.x), (r.dw, arrays.weight)]
            sums = {int(np.sum(a.astype(np.int64) * b.astype(np.int64))) for a, b in products}
            assert len(sums) == 1, (name, algorithm, problem)


# ---- The same bits -------------------------------------------------------------------------------------------


def eligible(problem: ConvProblem) -> tuple[str, ...]:
    return (*PLAIN, *WINOGRAD, "auto") if problem.winograd_eligible else (*PLAIN, "auto")


def larger_conv(rng: np.random.Generator) -> ConvProblem:
    """Work for several threads: the pool is not woken for less than 20 microseconds a piece."""
    while True:
        problem = random_conv(rng, 30_000_000)
        if problem.multiply_accumulates > 3_000_000:
            return problem


def test_any_number_of_threads_gives_the_same_bits(threads):
    rng = np.random.default_rng(5)
    for i in range(60):
        problem = larger_conv(rng) if i % 2 else random_conv(rng)
        arrays = normal_arrays(problem, rng)
        for algorithm in eligible(problem):
            threads(1)
            one = run(problem, arrays, algorithm)
            for count in (2, 3, 7):
                threads(count)
                assert same_bits(run(problem, arrays, algorithm), one), (count, algorithm, problem)


def test_an_image_gives_the_same_bits_in_any_batch():
    rng = np.random.default_rng(6)
    for i in range(60):
        drawn = larger_conv(rng) if i % 4 == 0 else random_conv(rng)
        problem = replace(drawn, n=5)
        arrays = normal_arrays(problem, rng)
        for algorithm in eligible(problem):
            whole = run(problem, arrays, algorithm)
            for images in (slice(0, 1), slice(1, 3), slice(4, 5)):
                part = replace(drawn, n=images.stop - images.start)
                some = arrays._replace(x=arrays.x[images], grad_output=arrays.grad_output[images])
                got = run(part, some, algorithm)
                assert np.array_equal(got.y, whole.y[images]), (algorithm, problem)
                assert np.array_equal(got.dx, whole.dx[images]), (algorithm, problem)


def stored_otherwise(array: np.ndarray, how: str) -> np.ndarray:
    """The same values: reversed in memory, as every second element, or in Fortran's order."""
    if how == "reversed":
        return np.ascontiguousarray(array[..., ::-1])[..., ::-1]
    if how == "every second":
        wide = np.zeros((*array.shape[:-1], array.shape[-1] * 2), array.dtype)
        wide[..., ::2] = array
        return wide[..., ::2]
    return np.asfortranarray(array)


@pytest.mark.parametrize("how", ["reversed", "every second", "fortran", "channels last"])
def test_any_layout_gives_the_same_bits(how):
    rng = np.random.default_rng(7)
    for _ in range(60):
        problem = random_conv(rng)
        arrays = normal_arrays(problem, rng)
        for algorithm in eligible(problem):
            plain = run(problem, arrays, algorithm)
            if how == "channels last":
                other = to_nchw(run(problem, in_layout(arrays, "NHWC"), algorithm, "NHWC"), "NHWC")
            else:
                x, dy = (stored_otherwise(a, how) for a in (arrays.x, arrays.grad_output))
                views = arrays._replace(x=x, grad_output=dy)
                other = run(problem, views, algorithm)
            assert same_bits(other, plain), (how, algorithm, problem)


# ---- Special values ------------------------------------------------------------------------------------------


# 1e37 overflows in Winograd's transforms and nowhere else: sums of some hundred terms of it stay finite in any order.
def spoil(array: np.ndarray, rng: np.random.Generator) -> None:
    values = np.array([np.nan, np.inf, -np.inf, 1e37, -1e37], array.dtype)
    for _ in range(int(rng.integers(1, 4))):
        array.flat[rng.integers(array.size)] = rng.choice(values)


def kinds(array: np.ndarray) -> np.ndarray:
    """0 for finite, 1 for NaN, 2 and 3 for the infinities."""
    return np.select([np.isnan(array), array == np.inf, array == -np.inf], [1, 2, 3], 0)


@pytest.mark.parametrize("name", LEVELS)
@pytest.mark.parametrize("algorithm", ["planar", "im2col", *WINOGRAD])
def test_not_a_number_and_infinity_are_where_direct_has_them(algorithm, name, level):
    level(name)
    rng = np.random.default_rng(8)
    for _ in range(150):
        problem = winograd_problem(rng)
        arrays = normal_arrays(problem, rng)
        for array in arrays[:2] + arrays[3:]:
            if rng.random() < 0.5:
                spoil(array, rng)
        with np.errstate(all="ignore"):
            direct, other = run(problem, arrays, "blocked"), run(problem, arrays, algorithm)
        for field, a, b in zip(Results._fields, direct, other, strict=True):
            assert np.array_equal(np.isnan(a), np.isnan(b)), (field, problem)
            assert np.array_equal(kinds(a), kinds(b)), (field, problem)


def test_one_huge_pixel_spoils_only_what_covers_it():
    """F(4x4,3x3) alone would overflow in a whole tile of 36 pixels and give NaN there."""
    problem = ConvProblem(1, 1, 16, 16, 12, 12, (3, 3), padding=((1, 1), (1, 1)))
    arrays = normal_arrays(problem, np.random.default_rng(9))
    arrays.x[0, 3, 5, 6] = 3e38
    with np.errstate(all="ignore"):
        y = run(problem, arrays, "winograd4").y
    far = np.ones((12, 12), bool)
    far[4:7, 5:8] = False
    assert np.isfinite(y[:, :, far]).all()
    exact = reference.conv2d(arrays.x, arrays.weight, arrays.bias, padding=1)
    with np.errstate(all="ignore"):
        assert np.array_equal(np.isinf(y), np.isinf(exact.astype(np.float32)))


def test_padding_counts_as_zero_times_the_weight():
    problem = ConvProblem(1, 1, 1, 1, 5, 5, (3, 3), padding=((1, 1), (1, 1)))
    x, weight = np.ones((1, 1, 5, 5), np.float32), np.ones((1, 1, 3, 3), np.float32)
    weight[0, 0, 0, 0] = np.inf
    arrays = ConvArrays(x, weight, np.zeros(1, np.float32), x)
    for algorithm in eligible(problem):
        with np.errstate(all="ignore"):
            y = run(problem, arrays, algorithm).y[0, 0]
        assert np.isnan(y[0]).all() and np.isnan(y[:, 0]).all(), algorithm
        assert np.isposinf(y[1:, 1:]).all(), algorithm


def test_denormals_are_kept():
    problem = ConvProblem(1, 1, 16, 16, 6, 6, (1, 1))
    tiny, ones = np.full((1, 16, 6, 6), 1e-40, np.float32), np.ones((16, 16, 1, 1), np.float32)
    arrays = ConvArrays(tiny, ones, np.zeros(16, np.float32), tiny)
    for algorithm in PLAIN:
        assert np.allclose(run(problem, arrays, algorithm).y, 16e-40, rtol=1e-3, atol=0)
    assert np.float32(1e-40) * np.float32(1) != 0


# ---- Accuracy of long sums -----------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", [*PLAIN, *WINOGRAD])
def test_gradients_of_many_positive_terms_stay_accurate(algorithm):
    """A sequential float32 sum of 1e5 positive terms errs by 228 units; summed in blocks it stays below 16."""
    problem = ConvProblem(4, 1, 16, 16, 162, 162, (3, 3))
    assert problem.n * np.prod(problem.output_size) > 1e5
    rng = np.random.default_rng(11)
    shapes = problem.x_shape(), problem.weight_shape, (16,), problem.output_shape()
    arrays = ConvArrays(*(rng.random(shape, np.float32) for shape in shapes))
    results, exact = run(problem, arrays, algorithm), expected(problem, arrays)
    scale = exact.dw if algorithm in PLAIN else winograd_magnitudes(problem, arrays, int(algorithm[-1])).dw
    assert np.max(np.abs(results.dw - exact.dw) / (unit(np.float32) * scale)) <= 16
    assert np.max(np.abs(results.db - exact.db) / (unit(np.float32) * exact.db)) <= 16


@pytest.mark.parametrize(("algorithm", "most"), [("blocked", 8), ("planar", 8), ("im2col", 8)])
def test_forward_errors_on_normal_data_stay_small(algorithm, most):
    problem = ConvProblem(1, 1, 512, 32, 9, 9, (3, 3), padding=((1, 1), (1, 1)))
    arrays = normal_arrays(problem, np.random.default_rng(12))
    results, exact = run(problem, arrays, algorithm), expected(problem, arrays)
    s = reference.conv2d_abs(arrays.x, arrays.weight, arrays.bias, padding=1)
    assert np.max(np.abs(results.y - exact.y) / (unit(np.float32) * s)) <= most


@pytest.mark.parametrize(("algorithm", "most"), [("winograd2", 2e-6), ("winograd4", 6e-6)])
def test_winograd_errors_on_normal_data_stay_small(algorithm, most):
    problem = ConvProblem(1, 1, 256, 32, 14, 14, (3, 3), padding=((1, 1), (1, 1)))
    arrays = normal_arrays(problem, np.random.default_rng(13))
    results, exact = run(problem, arrays, algorithm), expected(problem, arrays)
    for got, want in zip(results[:3], exact[:3], strict=True):
        assert np.linalg.norm(got - want) / np.linalg.norm(want) <= most


# ---- Plans ---------------------------------------------------------------------------------------------------


def test_the_choice_does_not_depend_on_the_batch():
    rng = np.random.default_rng(14)
    for _ in range(300):
        drawn = random_conv(rng, 10**9)
        for pass_ in ("forward", "backward_data"):
            variants = {plan(replace(drawn, n=n), pass_, np.float32, "auto").variant for n in (1, 2, 16, 100)}
            assert len(variants) == 1, (pass_, drawn)


def test_scratch_memory_is_bounded_for_any_layer():
    rng = np.random.default_rng(15)
    for _ in range(3000):
        groups = int(rng.choice([1, 1, 2, 8]))
        kernel = tuple(int(k) for k in rng.choice([1, 2, 3, 7, 50, 1000], 2))
        dilation = tuple(int(d) for d in rng.choice([1, 2, 30, 10_000], 2))
        size = [int(rng.choice([1, 100, 5000, 100_000])) + d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        cin, cout = (groups * int(rng.choice([1, 3, 64, 2000])) for _ in range(2))
        stride = tuple(int(s) for s in rng.choice([1, 2, 1000], 2))
        problem = ConvProblem(int(rng.choice([1, 64])), groups, cin, cout, *size, kernel, stride, dilation)
        for pass_ in ("forward", "backward_data", "backward_weights"):
            for algorithm in ("auto", *PLAIN):
                try:
                    made = plan(problem, pass_, np.float32, algorithm)
                except OverflowError:
                    continue
                except ValueError as refused:
                    assert algorithm not in ("auto", "im2col") and "scratch memory" in str(refused)
                    continue
                assert made.workspace_bytes <= 4 << 20, (algorithm, pass_, problem)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"kernel": (5, 5)}, "the kernel is not 3 x 3"),
        ({"stride": (2, 2)}, "the stride is not 1"),
        ({"dilation": (2, 2)}, "the dilation is not 1"),
        ({"groups": 2}, "there are several groups"),
    ],
)
def test_winograd_says_why_it_does_not_apply(changes, why):
    parts = dict(n=1, groups=1, cin=16, cout=16, h=20, w=20, kernel=(3, 3)) | changes
    for pass_ in ("forward", "backward_data", "backward_weights"):
        with pytest.raises(ValueError, match=why):
            plan(ConvProblem(**parts), pass_, np.float32, "winograd")


# ---- Packed weights ------------------------------------------------------------------------------------------


def test_packed_weights_give_the_same_bits_and_keep_a_copy():
    rng = np.random.default_rng(16)
    for _ in range(100):
        problem = random_conv(rng)
        x, weight, bias, dy = normal_arrays(problem, rng)
        for algorithm in eligible(problem):
            forward, backward = (plan(problem, p, np.float32, algorithm) for p in ("forward", "backward_data"))
            plain = run(problem, ConvArrays(x, weight, bias, dy), algorithm)
            changed = weight.copy()
            packed, packed_back = forward.pack(changed, bias), backward.pack(changed)
            changed[...] = 0
            y, dx = np.empty_like(dy), np.empty_like(x)
            forward.forward(x, packed, None, y, False)
            backward.backward_data(dy, packed_back, dx, False)
            assert np.array_equal(y, plain.y) and np.array_equal(dx, plain.dx), (algorithm, problem)


def test_packed_weights_refuse_another_plan(level):
    problem = ConvProblem(1, 1, 16, 16, 9, 9, (3, 3))
    x, weight, _, dy = normal_arrays(problem, np.random.default_rng(17))
    forward = plan(problem, "forward", np.float32, "blocked")
    packed = forward.pack(weight)
    others = [
        plan(problem, "forward", np.float32, "im2col"),
        plan(problem, "forward", np.float32, "planar"),
        plan(problem, "forward", np.float64, "blocked"),
        plan(ConvProblem(1, 1, 16, 32, 9, 9, (3, 3)), "forward", np.float32, "blocked"),
        plan(ConvProblem(1, 1, 16, 16, 9, 9, (3, 3), stride=(2, 2)), "forward", np.float32, "blocked"),
        plan(problem, "backward_data", np.float32, "blocked"),
    ]
    if len(LEVELS) > 1:
        level(next(name for name in LEVELS if name != _core.isa()))
        others.append(plan(problem, "forward", np.float32, "blocked"))
    for other in others:
        with pytest.raises(ValueError, match="pack the weights again"):
            other.forward(x, packed, None, dy, False)
    with pytest.raises(ValueError, match="bias"):
        forward.forward(x, packed, np.zeros(16, np.float32), dy, False)


def test_packed_weights_cannot_be_pickled_or_made():
    import copy
    import pickle

    forward = plan(ConvProblem(1, 1, 4, 4, 5, 5, (3, 3)), "forward", np.float32, "direct")
    packed = forward.pack(np.ones((4, 4, 3, 3), np.float32))
    with pytest.raises(ValueError, match="pickled"):
        pickle.dumps(packed)
    with pytest.raises(ValueError, match="pickled"):
        copy.copy(packed)
    with pytest.raises(TypeError, match="ConvPlan.pack"):
        type(packed)()
