"""The pooling kernels against an oracle that walks over the taps of a window one by one, in float64."""

import itertools
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

from fastconv import _core

DTYPES = ["float32", "float64"]
LAYOUTS = ["first", "last", "view"]


class Pool:
    """A pooling problem, its plan, and its oracle. Arrays are (N, C, D, H, W)."""

    def __init__(self, kind, x_shape, kernel, stride, dilation=(1, 1, 1), pad_lo=(0, 0, 0), pad_hi=None,
                 dtype="float32", **options):
        self.kind, self.x_shape, self.dtype, self.options = kind, tuple(x_shape), dtype, options
        self.kernel, self.stride, self.dilation, self.pad_lo = kernel, stride, dilation, pad_lo
        self.pad_hi = pad_lo if pad_hi is None else pad_hi
        self.plan = self.make_plan(x_shape[0])
        self.y_shape = (*x_shape[:2], *self.plan.output_size)

    def make_plan(self, batch):
        return _core.PoolPlan(self.kind, self.dtype, batch, self.x_shape[1], self.x_shape[2:], self.kernel, self.stride,
                              self.dilation, self.pad_lo, self.pad_hi, **self.options)

    def taps(self):
        """For each tap of the window, in row-major order: where it lies for each output along each axis."""
        for tap in np.ndindex(*self.kernel):
            axes = zip(self.y_shape[2:], self.stride, self.pad_lo, tap, self.dilation, strict=True)
            yield [np.arange(n) * s - p + t * d for n, s, p, t, d in axes]

    def inside(self, at, before=(0, 0, 0), after=(0, 0, 0)):
        axes = [(-b <= a) & (a < n + e) for a, n, b, e in zip(at, self.x_shape[2:], before, after, strict=True)]
        return axes[0][:, None, None] & axes[1][:, None] & axes[2]

    def gather(self, x, at):
        d, h, w = (np.clip(a, 0, n - 1) for a, n in zip(at, x.shape[2:], strict=True))
        return x[:, :, d[:, None, None], h[:, None], w].astype(np.float64)

    def max(self, x):
        """Values and positions; the first valid tap counts even if it is -inf."""
        best = np.full(self.y_shape, -np.inf)
        index = np.full(self.y_shape, -1, np.int64)
        for at in self.taps():
            value, inside = self.gather(x, at), self.inside(at)
            better = inside & ((value > best) | np.isnan(value) | (index < 0))
            position = (at[0][:, None, None] * x.shape[3] + at[1][:, None]) * x.shape[4] + at[2]
            best, index = np.where(better, value, best), np.where(better, position, index)
        return best, index

    def divisors(self):
        if self.options.get("divisor"):
            return np.full(self.y_shape[2:], self.options["divisor"])
        pads = (self.pad_lo, self.pad_hi) if self.options.get("count_include_pad", True) else ((0, 0, 0),) * 2
        return np.maximum(1, sum(self.inside(at, *pads).astype(int) for at in self.taps()))

    def avg(self, x):
        total = sum(np.where(self.inside(at), self.gather(x, at), 0) for at in self.taps())
        return total / self.divisors()

    def avg_backward(self, dy):
        dx = np.zeros(self.x_shape)
        share = dy.astype(np.float64) / self.divisors()
        for at in self.taps():
            d, h, w = (np.clip(a, 0, n - 1) for a, n in zip(at, self.x_shape[2:], strict=True))
            np.add.at(dx, (..., d[:, None, None], h[:, None], w), np.where(self.inside(at), share, 0))
        return dx


def arrange(a, layout):
    """The same values in another memory layout, as (array, channels_last)."""
    if layout == "first":
        return np.ascontiguousarray(a), False
    if layout == "last":
        return np.ascontiguousarray(np.moveaxis(a, 1, -1)), True
    wide = np.empty((*a.shape[:-1], 2 * a.shape[-1] + 1), a.dtype)[..., ::-2][..., : a.shape[-1]]
    wide[...] = a
    return wide, False


def channels_first(a, channels_last):
    return np.moveaxis(a, -1, 1) if channels_last else a


def run_forward(pool, x, layout="first", indices=False, plan=None):
    shape = (x.shape[0], *pool.y_shape[1:])
    source, channels_last = arrange(x, layout)
    y, _ = arrange(np.full(shape, 7, x.dtype), layout)
    index, _ = arrange(np.full(shape, -7, np.int64), layout)
    (plan or pool.plan).forward(source, y, index if indices else None, channels_last)
    y, index = channels_first(y, channels_last), channels_first(index, channels_last)
    return (y, index) if indices else y


def run_backward(pool, dy, layout="first", plan=None):
    gradient, channels_last = arrange(dy, layout)
    dx, _ = arrange(np.full((dy.shape[0], *pool.x_shape[1:]), 7, dy.dtype), layout)
    (plan or pool.plan).backward(gradient, dx, channels_last)
    return channels_first(dx, channels_last)


def scatter(pool, dy, index, layout="first"):
    gradient, channels_last = arrange(dy, layout)
    positions, _ = arrange(index, layout)
    dx, _ = arrange(np.full((dy.shape[0], *pool.x_shape[1:]), 7, dy.dtype), layout)
    done = _core.scatter_planes(gradient, positions, dx, channels_last)
    return done, channels_first(dx, channels_last)


def same_bits(a, b):
    return a.shape == b.shape and a.tobytes() == b.tobytes()


def random_pool(rng, kind, dtype):
    while True:
        options = {"ceil_mode": bool(rng.integers(2))}
        if kind == "avg":
            options |= {"count_include_pad": bool(rng.integers(2)), "divisor": int(rng.choice([0, 0, 0, 3, -2]))}
        axes = int(rng.integers(1, 4))
        one = (1,) * (3 - axes)
        kernel = one + tuple(rng.integers(1, 6, axes).tolist())
        dilation = one + tuple(rng.choice([1, 1, 1, 2, 3, 7], axes).tolist())
        reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
        pads = [tuple(int(rng.integers(0, r // 2 + 1)) for r in reach) for _ in range(2)]
        size = one + tuple(rng.integers(1, (200, 30, 12)[axes - 1], axes).tolist())
        shape = (int(rng.integers(1, 4)), int(rng.choice([1, 3, 6, 15, 16, 17, 32, 50])), *size)
        stride = one + tuple(rng.integers(1, 6, axes).tolist())
        try:
            return Pool(kind, shape, kernel, stride, dilation, *pads, dtype, **options)
        except ValueError:
            continue    # the window is larger than the padded input


def hits_input(pool):
    """Dilation can let a window jump over the whole input; what its maximum is at then is our own rule."""
    return bool(np.all(sum(pool.inside(at).astype(int) for at in pool.taps()) > 0))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("seed", range(40))
def test_max_is_exact(level, dtype, seed):
    rng = np.random.default_rng(seed)
    pool = random_pool(rng, "max", dtype)
    x = rng.integers(-4, 5, pool.x_shape).astype(dtype)    # many ties
    special = rng.random(x.shape)
    x[special < 0.05] = np.nan
    x[special > 0.9] = -np.inf
    best, index = pool.max(x)
    for layout in LAYOUTS:
        y = run_forward(pool, x, layout)
        with_index, where = run_forward(pool, x, layout, indices=True)
        np.testing.assert_array_equal(y, best)
        np.testing.assert_array_equal(with_index, best)
        if hits_input(pool):
            np.testing.assert_array_equal(where, index)
        else:
            assert where.min() >= 0 and where.max() < np.prod(pool.x_shape[2:])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("seed", range(40))
def test_avg_is_close_and_exact_where_it_can_be(level, dtype, seed):
    rng = np.random.default_rng(100 + seed)
    pool = random_pool(rng, "avg", dtype)
    x, dy = rng.standard_normal(pool.x_shape).astype(dtype), rng.standard_normal(pool.y_shape).astype(dtype)
    unit = np.finfo(dtype).epsneg
    bound, bound_back = 4 * unit * abs(pool.avg(abs(x))), 4 * unit * abs(pool.avg_backward(abs(dy)))
    for layout in LAYOUTS:
        assert np.all(abs(run_forward(pool, x, layout) - pool.avg(x)) <= bound)
        assert np.all(abs(run_backward(pool, dy, layout) - pool.avg_backward(dy)) <= bound_back)
    x, dy = np.round(64 * x), np.round(64 * dy)
    power = np.log2(abs(pool.divisors())) % 1 == 0
    np.testing.assert_array_equal(run_forward(pool, x)[..., power], pool.avg(x)[..., power])
    if power.all():
        np.testing.assert_array_equal(run_backward(pool, dy), pool.avg_backward(dy))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("seed", range(20))
def test_max_backward_is_exact(level, dtype, seed):
    rng = np.random.default_rng(200 + seed)
    pool = random_pool(rng, "max", dtype)
    x = rng.standard_normal(pool.x_shape).astype(dtype)
    dy = rng.standard_normal(pool.y_shape).astype(dtype)
    _, index = run_forward(pool, x, indices=True)
    expected = np.zeros(pool.x_shape, dtype)
    planes = expected.reshape(*pool.x_shape[:2], -1)
    for n, c in np.ndindex(pool.x_shape[:2]):
        np.add.at(planes[n, c], index[n, c].ravel(), dy[n, c].ravel())
    for layout in LAYOUTS:
        done, dx = scatter(pool, dy, index, layout)
        assert done and same_bits(dx, expected)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("bad", [-1, 30, 2**33, -(2**33), 2**63 - 1, -(2**63)])
def test_max_backward_refuses_positions_outside_the_plane(layout, bad):
    pool = Pool("max", (2, 17, 1, 5, 6), (1, 2, 2), (1, 2, 2))
    dy = np.ones(pool.y_shape, np.float32)
    for where in [(0, 0, 0, 0, 0), (1, 16, 0, 1, 2), (1, 3, 0, 0, 1)]:
        index = np.zeros(pool.y_shape, np.int64)
        index[where] = bad
        done, dx = scatter(pool, dy, index, layout)
        assert not done and np.all(dx == 7)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", [1, 7, 16, 35])
def test_nan_at_every_place_of_the_window_and_every_lane(level, dtype, layout, channels):
    pool = Pool("max", (1, channels, 1, 3, 3 * 9), (1, 3, 3), (1, 3, 3), dtype=dtype)
    rng = np.random.default_rng(0)
    base = rng.standard_normal(pool.x_shape).astype(dtype)
    for first, second in itertools.combinations(range(9), 2):
        x = base.copy()
        for channel in range(channels):
            for window in range(9):
                for place in {(first + channel) % 9, (second + window) % 9}:
                    x[0, channel, 0, place // 3, 3 * window + place % 3] = np.nan
        y, index = run_forward(pool, x, layout, indices=True)
        best, where = pool.max(x)
        assert np.all(np.isnan(y)) and np.all(np.isnan(best)) and np.all(np.isnan(run_forward(pool, x, layout)))
        np.testing.assert_array_equal(index, where)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, 0.0, -0.0])
def test_windows_of_one_value(level, dtype, value):
    pool = Pool("max", (2, 19, 1, 7, 9), (1, 3, 3), (1, 2, 2), pad_lo=(0, 1, 1), dtype=dtype)
    x = np.full(pool.x_shape, value, dtype)
    y, index = run_forward(pool, x, indices=True)
    np.testing.assert_array_equal(y, np.full_like(y, value))
    assert np.array_equal(np.signbit(y), np.full(y.shape, np.signbit(np.array(value, dtype))))
    np.testing.assert_array_equal(index, pool.max(x)[1])


@pytest.mark.parametrize("zeros", [(0.0, -0.0), (-0.0, 0.0)])
def test_of_two_zeros_the_first_wins(level, zeros):
    pool = Pool("max", (1, 16, 1, 1, 40), (1, 1, 2), (1, 1, 2))
    x = np.tile(np.array(zeros, np.float32), 16 * 20).reshape(pool.x_shape)
    for y in (run_forward(pool, x), run_forward(pool, x, indices=True)[0]):
        assert np.all(np.signbit(y) == np.signbit(np.float32(zeros[0])))


PROBLEMS = {
    "overlapping": ((3, 20, 1, 40, 33), (1, 3, 3), (1, 2, 2), (1, 1, 1), (0, 1, 1)),
    "apart": ((3, 20, 1, 40, 33), (1, 2, 2), (1, 5, 7), (1, 1, 1), (0, 0, 0)),
    "dilated": ((3, 20, 1, 40, 33), (1, 3, 3), (1, 1, 2), (1, 6, 5), (0, 4, 3)),
    "global": ((3, 20, 1, 40, 33), (1, 40, 33), (1, 1, 1), (1, 1, 1), (0, 0, 0)),
    "line": ((3, 20, 1, 1, 3000), (1, 1, 700), (1, 1, 300), (1, 1, 1), (0, 0, 350)),
    "volume": ((3, 20, 6, 9, 10), (3, 2, 3), (2, 2, 1), (1, 1, 1), (1, 1, 1)),
    "tall": ((2, 20, 1, 200, 12), (1, 150, 3), (1, 25, 1), (1, 1, 1), (0, 10, 1)),
    "sparse": ((2, 18, 1, 9, 4000), (1, 2, 2), (1, 2, 500), (1, 3, 1), (0, 2, 1)),
    "wide": ((2, 18, 1, 2, 70000), (1, 2, 20000), (1, 1, 9000), (1, 1, 1), (0, 1, 1)),
}


@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_same_bits_for_every_layout_thread_count_and_split_of_the_batch(level, two_threads, name, dtype):
    for kind in ("max", "avg"):
        pool = Pool(kind, *PROBLEMS[name], dtype=dtype)
        rng = np.random.default_rng(3)
        x, dy = rng.standard_normal(pool.x_shape).astype(dtype), rng.standard_normal(pool.y_shape).astype(dtype)
        single = pool.make_plan(1)

        def passes(layout, plan, part, kind=kind, pool=pool, x=x, dy=dy):
            if kind == "max":
                return run_forward(pool, x[part], layout, indices=True, plan=plan)
            return run_forward(pool, x[part], layout, plan=plan), run_backward(pool, dy[part], layout, plan=plan)

        expected = passes("first", pool.plan, slice(None))
        for layout in LAYOUTS:
            for threads in (1, 2):
                _core.set_num_threads(threads)
                results = passes(layout, pool.plan, slice(None))
                assert all(same_bits(a, b) for a, b in zip(results, expected, strict=True))
            split = [passes(layout, single, slice(n, n + 1)) for n in range(x.shape[0])]
            assert all(same_bits(np.concatenate(a), b) for a, b in zip(zip(*split, strict=True), expected, strict=True))


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_strips_of_unusual_problems_are_right(level, name):
    pool = Pool("max", *PROBLEMS[name])
    rng = np.random.default_rng(5)
    x = rng.integers(-1000, 1000, pool.x_shape).astype(np.float32)
    if np.prod(pool.kernel) * np.prod(pool.y_shape) > 2e8:
        pytest.skip("the oracle would take minutes")
    best, index = pool.max(x)
    np.testing.assert_array_equal(run_forward(pool, x, indices=True)[0], best)
    np.testing.assert_array_equal(run_forward(pool, x, indices=True)[1], index)
    mean = Pool("avg", *PROBLEMS[name], divisor=1024)
    x %= 8
    np.testing.assert_array_equal(run_forward(mean, x), mean.avg(x))
    dy = rng.integers(0, 8, mean.y_shape).astype(np.float32)
    np.testing.assert_array_equal(run_backward(mean, dy), mean.avg_backward(dy))


@pytest.mark.parametrize("shape", [(4, 16, 1, 56, 56), (1, 3, 1, 300, 400), (1, 2, 1, 1, 1_000_000), (1, 40, 1, 7, 7)])
def test_global_average_sums_in_blocks(level, shape):
    pool = Pool("avg", shape, shape[2:], (1, 1, 1))
    x = np.random.default_rng(0).random(shape, np.float32)
    expected = x.mean((2, 3, 4), np.float64, keepdims=True)
    assert np.all(abs(run_forward(pool, x) - expected) <= 16 * 2.0**-24 * expected)


def test_an_empty_batch_is_valid():
    for kind in ("max", "avg"):
        pool = Pool(kind, (0, 16, 1, 8, 8), (1, 2, 2), (1, 2, 2))
        assert run_forward(pool, np.empty((0, 16, 1, 8, 8), np.float32)).shape == (0, 16, 1, 4, 4)
    assert run_backward(pool, np.empty((0, 16, 1, 4, 4), np.float32)).shape == (0, 16, 1, 8, 8)
    empty = np.empty((0, 16, 1, 4, 4))
    assert scatter(pool, empty.astype(np.float32), empty.astype(np.int64))[0]


HUGE = 2**31 - 1
EXTREMES = {
    # kind, input, kernel, stride, dilation, pad_lo, options: valid, so it has to be computed in no time
    "window over everything":
        ("max", (3, 4, 5), (HUGE,) * 3, (HUGE,) * 3, (1,) * 3, (HUGE // 2,) * 3, {"ceil_mode": True}),
    "average over everything":
        ("avg", (3, 4, 5), (HUGE,) * 3, (1,) * 3, (1,) * 3, (HUGE // 2,) * 3, {"count_include_pad": False}),
    "dilation": ("max", (1, 2, 9), (1, 1, 3), (1, 1, HUGE), (1, 1, HUGE), (0, 0, HUGE), {}),
    "average with dilation": ("avg", (1, 2, 9), (1, 1, 3), (1, 1, HUGE), (1, 1, HUGE), (0, 0, HUGE), {}),
    "stride": ("avg", (4, 4, 4), (1, 1, 1), (HUGE,) * 3, (HUGE,) * 3, (0,) * 3, {"ceil_mode": True}),
}


@pytest.mark.parametrize("name", EXTREMES)
def test_extreme_parameters_are_quick_and_small(name):
    kind, size, kernel, stride, dilation, pad, options = EXTREMES[name]
    plan = _core.PoolPlan(kind, "float32", 1, 3, size, kernel, stride, dilation, pad, pad, **options)
    assert plan.workspace_bytes <= 4 << 20
    x = np.arange(3 * np.prod(size), dtype=np.float32).reshape(1, 3, *size)
    y = np.full((1, 3, *plan.output_size), np.nan, np.float32)
    plan.forward(x, y, None, False)
    assert not np.isnan(y).any()
    if kind == "avg":
        dx = np.full_like(x, np.nan)
        plan.backward(y, dx, False)
        assert not np.isnan(dx).any()


def test_ctrl_c_stops_a_long_call():
    class Stop(Exception):
        pass

    def stop(signum, frame):
        raise Stop

    plan = _core.PoolPlan("max", "float32", 1, 16, (1, 1, 300_000), (1, 1, 300_000), (1, 1, 1), (1, 1, 1),
                          (0, 0, 150_000), (0, 0, 150_000))
    x, y = np.zeros((1, 16, 1, 1, 300_000), np.float32), np.empty((1, 16, 1, *plan.output_size[1:]), np.float32)
    before = signal.signal(signal.SIGALRM, stop)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        start = time.perf_counter()
        with pytest.raises(Stop):
            plan.forward(x, y, None, False)
        assert time.perf_counter() - start < 0.5
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def attempt(arguments):
    """Runs a plan in a process of its own, which reports what it raises."""
    script = f"""
        import numpy as np
        from fastconv import _core
        try:
            _core.PoolPlan({arguments})
        except (ValueError, OverflowError) as e:
            print(type(e).__name__)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("kernel, stride, dilation, pad, ceil_mode", [
    (2**32 + 1, 1, 2**32, 0, False),
    (2**63 - 1, 2**63 - 1, 1, 0, False),
    (2147483697, 2147483697, 2147483697, 0, False),
    (8608480567731124087, 1, 1250999896764, 1250999896764, True),
    (536870912, 536870912, 1879048192, 0, False),
    (0, 1, 1, 0, False), (2, 0, 1, 0, False), (2, -1, 1, 0, False), (2, 1, 0, 0, False), (2, 1, 1, -1, False),
    (2, 1, 1, 2, False), (11, 1, 1, 0, False),
])
@pytest.mark.parametrize("axes", [1, 3])
def test_impossible_parameters_are_refused(kernel, stride, dilation, pad, ceil_mode, axes):
    def extents(value, otherwise):
        return (otherwise,) * (3 - axes) + (value,) * axes

    arguments = ("max", "float32", 1, 4, (10, 10, 10), extents(kernel, 1), extents(stride, 1), extents(dilation, 1),
                 extents(pad, 0), extents(pad, 0), ceil_mode)
    assert attempt(", ".join(map(repr, arguments))) in ("ValueError", "OverflowError")
