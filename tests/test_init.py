# mypy: disable-error-code="arg-type"
"""Initial values: distributions, exact values, seeds, names and what is refused."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fastconv import nn
from fastconv.nn import init, initializers
from fastconv.random import manual_seed

Array = np.ndarray[Any, Any]
SHAPE = (200, 100)    # fan_in 100, fan_out 200


def moments(low: float, high: float) -> tuple[float, float]:
    """Mean and deviation of a standard normal variable between low and high, by a sum over 200,000 points."""
    x = np.linspace(low, high, 200_001)
    density = np.exp(-(x**2 - min(x**2)) / 2)
    mean = (x * density).sum() / density.sum()
    return mean, math.sqrt(((x - mean) ** 2 * density).sum() / density.sum())


def assert_moments(values: Array, mean: float, deviation: float) -> None:
    """Within five standard errors."""
    error = 5 * deviation / math.sqrt(values.size)
    assert abs(values.mean() - mean) < error
    assert abs(values.std() - deviation) < error


@pytest.mark.parametrize("bounds", [
    (-2, 2), (-2, 0.5), (0, 1), (-0.1, 0.1), (1, 1.5), (3, 100), (-100, -3), (2, 4), (10, 11), (40, 50), (-8, 9),
    (-1e6, 1e6), (1e3, 2e3)])
def test_truncated_normal(bounds: tuple[float, float]) -> None:
    """The bounds, and the moments of the density between them, also where next to nothing of it is."""
    manual_seed(0)
    a, b = bounds
    w = init.trunc_normal_(np.empty((100, 200)), 3.0, 0.5, 3 + 0.5 * a, 3 + 0.5 * b)
    z = (w - 3) / 0.5
    assert z.min() >= a - 1e-9 and z.max() <= b + 1e-9
    # Beyond this nothing is left of the density.
    nearest = min(max(a, 0), b)
    reach = math.sqrt(nearest**2 + 60)
    assert_moments(z, *moments(max(a, -reach), min(b, reach)))
    single = init.trunc_normal_(np.empty(1000, np.float32), 0, 0.02, -0.04, 0.04)
    assert abs(single).max() <= np.float32(0.04)


@pytest.mark.parametrize("seed", range(3))
def test_truncated_normal_has_the_distribution(seed: int) -> None:
    """Kolmogorov and Smirnov's distance from the distribution function."""
    manual_seed(seed)
    cdf = np.vectorize(lambda x: (1 + math.erf(x / math.sqrt(2))) / 2)
    for a, b in ((-2.0, 2.0), (0.5, 0.7), (1.0, 5.0)):
        x = np.sort(init.trunc_normal_(np.empty(4000), a=a, b=b))
        expected = (cdf(x) - cdf(a)) / (cdf(b) - cdf(a))
        assert abs(expected - np.arange(4000) / 4000).max() < 1.95 / math.sqrt(4000)    # exceeded once in 1000


NAMED: dict[str, tuple[float, float]] = {    # deviation, largest
    "glorot_uniform": (math.sqrt(2 / 300), math.sqrt(6 / 300)),
    "xavier_uniform": (math.sqrt(2 / 300), math.sqrt(6 / 300)),
    "glorot_normal": (math.sqrt(2 / 300), 2.2737 * math.sqrt(2 / 300)), "xavier_normal": (math.sqrt(2 / 300), 9),
    "he_uniform": (math.sqrt(2 / 100), math.sqrt(6 / 100)), "kaiming_uniform": (math.sqrt(2 / 100), math.sqrt(6 / 100)),
    "he_normal": (math.sqrt(2 / 100), 2.2737 * math.sqrt(2 / 100)), "kaiming_normal": (math.sqrt(2 / 100), 9),
    "lecun_uniform": (math.sqrt(1 / 100), math.sqrt(3 / 100)),
    "lecun_normal": (math.sqrt(1 / 100), 2.2737 * math.sqrt(1 / 100)),
    "variance_scaling": (math.sqrt(1 / 100), 2.2737 * math.sqrt(1 / 100)),
    "random_normal": (0.05, 9), "normal": (0.05, 9), "random_uniform": (0.05 / math.sqrt(3), 0.05),
    "uniform": (0.05 / math.sqrt(3), 0.05), "truncated_normal": (0.05 * 0.8796256610342398, 0.1),
}


@pytest.mark.parametrize("name", NAMED)
def test_named_distributions(name: str) -> None:
    manual_seed(1)
    deviation, largest = NAMED[name]
    layer = nn.Linear(100, 200, kernel_initializer=name, bias_initializer="zeros")
    w = layer.weight.numpy().astype(np.float64)
    assert_moments(w, 0, deviation)
    assert abs(w).max() <= largest * (1 + 1e-6)
    assert not layer.bias.numpy().any()    # type: ignore[union-attr]


def test_every_name_and_object() -> None:
    manual_seed(0)
    fill = {name: initializers.get("kernel_initializer", name) for name in initializers._NAMES}
    assert {*NAMED, "zeros", "ones", "constant", "orthogonal", "identity"} == set(fill)
    for name, f in fill.items():
        assert f is not None
        for shape in ((4, 3), (4, 3, 2), (4, 3, 3, 3), (2, 2, 1, 2, 3)):
            for dtype in (np.float32, np.float64):
                a = np.full(shape, np.nan, dtype)
                assert f(a) is a and np.isfinite(a).all(), name
            p = nn.Parameter(np.full(shape, np.nan, np.float32))
            version = p.version
            assert f(p) is p and p.version > version and np.isfinite(p.numpy()).all()
    for name in initializers.__all__:
        kind = getattr(initializers, name)
        if isinstance(kind, type) and kind is not initializers.Initializer:
            a = kind()(np.empty((4, 4)))
            assert np.isfinite(a).all() and kind.__doc__
            twin = pickle.loads(pickle.dumps(kind()))
            assert type(twin) is kind and type(copy.deepcopy(kind())) is kind


def test_a_seed_gives_the_same_values_each_time() -> None:
    manual_seed(0)
    for kind in (initializers.HeNormal, initializers.Orthogonal, initializers.RandomUniform,
                 initializers.TruncatedNormal, initializers.RandomNormal):
        seeded, free = kind(seed=3), kind()
        np.testing.assert_array_equal(seeded(np.empty((4, 3))), seeded(np.empty((4, 3))))
        assert (free(np.empty((4, 3))) != free(np.empty((4, 3)))).any()
    drawn = [init.normal_(np.empty(5), generator=np.random.default_rng(4)) for _ in range(2)]
    np.testing.assert_array_equal(*drawn)


@pytest.mark.parametrize("shape", [(4, 4), (3, 5), (5, 3), (2, 3, 2, 2), (16, 2, 2), (1, 7)])
def test_orthogonal(shape: tuple[int, ...]) -> None:
    manual_seed(0)
    w = init.orthogonal_(np.empty(shape), 2.0).reshape(shape[0], -1)
    product = w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w
    np.testing.assert_allclose(product, 4 * np.eye(len(product)), atol=1e-12)


def test_orthogonal_matrices_are_uniform() -> None:
    """A column of one is a direction like any other: without the signs of R the first element would be negative."""
    manual_seed(0)
    first = np.array([init.orthogonal_(np.empty((3, 3)))[0, 0] for _ in range(2000)])
    assert abs(first.mean()) < 5 / math.sqrt(3 * 2000) and abs((first**2).mean() - 1 / 3) < 0.03


@pytest.mark.parametrize(("channels", "groups", "kernel"), [(3, 1, 3), (4, 2, 3), (4, 4, 5), (6, 3, (1, 3))])
def test_an_identity_convolution_hands_on_its_input(channels: int, groups: int, kernel: Any) -> None:
    layer = nn.Conv2d(channels, channels, kernel, padding="same", groups=groups, kernel_initializer="identity",
                      bias_initializer="zeros")
    x = np.random.default_rng(0).normal(size=(2, channels, 6, 7)).astype(np.float32)
    np.testing.assert_array_equal(layer.eval()(x), x)
    doubled = nn.Linear(7, 7, bias=False, kernel_initializer=initializers.Identity(gain=2.0))
    np.testing.assert_array_equal(doubled.eval()(x), 2 * x)


Z = np.zeros((2, 3))
REFUSED: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: init.uniform_(Z, 1.0, 0.0), ValueError, "b must be at least a=1"),
    (lambda: init.uniform_(Z, "0"), TypeError, "a must be a number"),
    (lambda: init.uniform_(Z, 0, np.inf), ValueError, "b must"),
    (lambda: init.normal_(Z, 0, -1), ValueError, "std"),
    (lambda: init.normal_(Z, np.nan), ValueError, "mean"),
    (lambda: init.constant_(Z, None), TypeError, "val"),
    (lambda: init.trunc_normal_(Z, std=0), ValueError, "std"),
    (lambda: init.trunc_normal_(Z, a=2, b=2), ValueError, "b must be greater than a=2"),
    (lambda: init.xavier_normal_(np.zeros(3)), ValueError, "2 axes"),
    (lambda: init.xavier_uniform_(Z, gain=-1), ValueError, "gain"),
    (lambda: init.kaiming_normal_(Z, "0"), TypeError, "param"),
    (lambda: init.variance_scaling_(Z, -1), ValueError, "scale"),
    (lambda: init.variance_scaling_(Z, 1, "fan"), ValueError, "mode"),
    (lambda: init.variance_scaling_(Z, 1, "fan_in", "normal"), ValueError, "distribution"),
    (lambda: init.orthogonal_(np.zeros(3)), ValueError, "2 axes"),
    (lambda: init.eye_(np.zeros((1, 2, 3))), ValueError, "2 axes"),
    (lambda: init.dirac_(Z), ValueError, "3, 4 or 5 axes"),
    (lambda: init.dirac_(np.zeros((3, 2, 1)), 2), ValueError, "groups"),
    (lambda: init.dirac_(np.zeros((3, 2, 1)), 0), ValueError, "groups"),
    (lambda: initializers.Constant("1"), TypeError, "value"),
    (lambda: initializers.RandomNormal(stddev=-1), ValueError, "stddev"),
    (lambda: initializers.TruncatedNormal(stddev=0), ValueError, "stddev"),
    (lambda: initializers.RandomUniform(1, 0), ValueError, "maxval"),
    (lambda: initializers.VarianceScaling(mode="fan"), ValueError, "mode"),
    (lambda: initializers.HeNormal(seed=-1), ValueError, "seed"),
    (lambda: initializers.HeNormal(seed=1.5), TypeError, "seed"),
    (lambda: initializers.Orthogonal(gain=np.inf), ValueError, "gain"),
    (lambda: initializers.Identity(groups=0), ValueError, "groups"),
    (lambda: nn.Linear(2, 2, kernel_initializer="he"), ValueError, "kernel_initializer must be one of.*'he'"),
    (lambda: nn.Linear(2, 2, kernel_initializer=3), TypeError, "kernel_initializer"),
    (lambda: nn.Linear(2, 2, bias_initializer=initializers.Zeros), TypeError, r"bias_initializer.*Zeros\(\)"),
    (lambda: nn.Linear(2, 2, bias_initializer="he_normal"), ValueError, "2 axes"),
]


@pytest.mark.parametrize(("call", "kind", "text"), REFUSED, ids=[f"{i}-{c[2]}" for i, c in enumerate(REFUSED)])
def test_refuses(call: Callable[[], Any], kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text):
        call()
