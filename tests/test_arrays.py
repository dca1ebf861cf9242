# SPDX-License-Identifier: BSD-3-Clause
"""How an array is stored changes no bit of any result, and no input is written to.

Every operation, forward and backward, in both layouts, with its arguments stored in every way an ndarray can
be: one argument at a time, and all of them. And what `out` is when it is given.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from bad_inputs import misaligned
from problems import ConvProblem, PoolProblem, normal_arrays

from fastconv import ops

Array = np.ndarray[Any, np.dtype[Any]]

LAYOUTS = ("NCHW", "NHWC")


# ---- ways to store an array ------------------------------------------------------------------------------


class Subclass(np.ndarray[Any, np.dtype[Any]]):
    """An ndarray with behaviour of its own, which must not come into play."""

    def __array_function__(self, *_: Any, **__: Any) -> Any:
        raise AssertionError("a NumPy function saw the subclass")

    def __array_ufunc__(self, *_: Any, **__: Any) -> Any:
        raise AssertionError("a ufunc saw the subclass")


def c_order(a: Array) -> Array:
    return a.copy()


def fortran(a: Array) -> Array:
    return np.asfortranarray(a)


def negative_steps(a: Array) -> Array:
    everywhere = (slice(None, None, -1),) * a.ndim
    return a[everywhere].copy()[everywhere]


def step_2(a: Array) -> Array:
    """Every second element of an array twice as large on every axis, whose others are NaN or -1."""
    wide = np.full([2 * n for n in a.shape], np.nan if a.dtype.kind == "f" else -1, a.dtype)
    view = wide[(slice(None, None, 2),) * a.ndim]
    view[...] = a
    return view


def other_axes_first(a: Array) -> Array:
    """As the other layout stores it."""
    return np.ascontiguousarray(np.moveaxis(a, -1, 0)).transpose(*range(1, a.ndim), 0)


def inside_a_structure(a: Array) -> Array:
    """One field of an array of records: the steps are no powers of two."""
    records = np.zeros(a.shape, [("before", a.dtype), ("value", a.dtype), ("after", a.dtype)])
    records["value"] = a
    return records["value"]


def records_of_odd_size(a: Array) -> Array:
    """A field in records whose size is no multiple of the element's: no two elements are alike aligned."""
    records = np.zeros(a.shape, np.dtype([("before", "u1"), ("value", a.dtype)]))
    records["value"] = a
    return records["value"]


def read_only(a: Array) -> Array:
    a = a.copy()
    a.setflags(write=False)
    return a


def big_endian(a: Array) -> Array:
    return a.astype(a.dtype.newbyteorder(">"))


def subclass(a: Array) -> Array:
    return a.copy().view(Subclass)


WAYS: tuple[Callable[[Array], Array], ...] = (
    c_order, fortran, negative_steps, step_2, other_axes_first, inside_a_structure, records_of_odd_size,
    misaligned, read_only, big_endian, subclass,
)  # fmt: skip


# ---- operations on arrays --------------------------------------------------------------------------------


class Operation:
    """A function of arrays, and arguments for it."""

    def __init__(self, name: str, function: Callable[..., Any], **arguments: Array) -> None:
        self.name, self.function, self.arguments = name, function, arguments

    def __repr__(self) -> str:
        return self.name

    def results(self, **replaced: Array) -> list[Array]:
        result = self.function(**(self.arguments | replaced))
        return list(result) if isinstance(result, tuple) else [result]


CONVS = (
    ConvProblem(2, 1, 5, 18, 7, 9, (3, 3), padding=((1, 0), (0, 2)), name="3x3"),
    ConvProblem(1, 2, 6, 4, 8, 7, (2, 3), (2, 1), (1, 2), ((0, 1), (1, 1)), name="grouped, strided, dilated"),
    ConvProblem(3, 1, 17, 3, 4, 5, (1, 1), name="1x1"),
    ConvProblem(2, 6, 6, 6, 6, 6, (3, 3), padding=((1, 1), (1, 1)), name="depthwise"),
)

POOL = PoolProblem(2, 5, 7, 9, (3, 2), (2, 2), ((1, 0), (0, 1)), name="3x2")


def conv_operations(problem: ConvProblem, layout: str, dtype: Any) -> list[Operation]:
    x, weight, bias, grad = normal_arrays(problem, np.random.default_rng(1), dtype, layout)
    options = problem.parameters() | {"layout": layout}
    return [
        Operation("conv2d", lambda **a: ops.conv2d(**a, **options), x=x, weight=weight, bias=bias),
        Operation(
            "conv2d_backward",
            lambda **a: ops.conv2d_backward(**a, **options),
            grad_output=grad,
            x=x,
            weight=weight,
        ),
    ]


def pool_operations(layout: str, dtype: Any) -> list[Operation]:
    rng = np.random.default_rng(2)
    shape = POOL.x_shape(layout)
    x, grad = (rng.standard_normal(s).astype(dtype) for s in (shape, POOL.output_shape(layout)))
    of_max, of_avg = (POOL.parameters(kind) | {"layout": layout} for kind in ("max", "avg"))
    _, indices = ops.max_pool2d(x, return_indices=True, **of_max)
    return [
        Operation("max_pool2d", lambda x: ops.max_pool2d(x, return_indices=True, **of_max), x=x),
        Operation(
            "max_pool2d_backward",
            lambda grad_output, indices: ops.max_pool2d_backward(grad_output, indices, shape, layout=layout),
            grad_output=grad,
            indices=indices,
        ),  # fmt: skip
        Operation("avg_pool2d", lambda x: ops.avg_pool2d(x, **of_avg), x=x),
        Operation(
            "avg_pool2d_backward",
            lambda grad_output: ops.avg_pool2d_backward(grad_output, shape, **of_avg),
            grad_output=grad,
        ),
    ]


def linear_operations(dtype: Any) -> list[Operation]:
    rng = np.random.default_rng(3)
    x, weight, bias, grad = (rng.standard_normal(s).astype(dtype) for s in ((5, 19), (7, 19), (7,), (5, 7)))
    return [
        Operation("linear", ops.linear, x=x, weight=weight, bias=bias),
        Operation("linear_backward", ops.linear_backward, grad_output=grad, x=x, weight=weight),
        Operation("linear of 3 axes", lambda x: ops.linear(x, weight), x=x.repeat(6, 0).reshape(5, 2, 3, 19)),
    ]


def all_operations() -> list[Any]:
    named = []
    for dtype in ("float32", "float64"):
        for layout in LAYOUTS:
            for problem in CONVS:
                for operation in conv_operations(problem, layout, dtype):
                    named.append((f"{operation}-{problem.name}-{layout}-{dtype}", operation))
            named += [(f"{o}-{layout}-{dtype}", o) for o in pool_operations(layout, dtype)]
        named += [(f"{o}-{dtype}", o) for o in linear_operations(dtype)]
    return [pytest.param(operation, id=name) for name, operation in named]


def same_bits(results: list[Array], expected: list[Array]) -> None:
    assert len(results) == len(expected)
    for result, wanted in zip(results, expected, strict=True):
        assert type(result) is np.ndarray and result.dtype == wanted.dtype and result.dtype.isnative
        assert result.flags.c_contiguous and result.flags.writeable
        assert result.shape == wanted.shape
        assert result.tobytes() == wanted.tobytes()


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("operation", all_operations())
def test_storage_changes_no_bit(operation: Operation, way: Callable[[Array], Array]) -> None:
    expected = operation.results()
    stored = {
        name: way(a)
        for name, a in operation.arguments.items()
        if not (way is big_endian and name == "indices")
    }
    for name, a in stored.items():
        same_bits(operation.results(**{name: a}), expected)
    same_bits(operation.results(**stored), expected)
    for name, a in stored.items():
        np.testing.assert_array_equal(a.view(np.ndarray), operation.arguments[name])


@pytest.mark.parametrize("operation", all_operations())
def test_zero_steps_are_repeated_elements(operation: Operation) -> None:
    """Each argument in turn repeats its first element along every axis, then along the first axis only."""
    for name, a in operation.arguments.items():
        for first in (a[(slice(0, 1),) * a.ndim], a[:1]):
            repeated = np.broadcast_to(first, a.shape)
            same_bits(operation.results(**{name: repeated}), operation.results(**{name: repeated.copy()}))


@pytest.mark.parametrize("problem", CONVS, ids=lambda p: p.name)
def test_layouts_have_the_same_bits(problem: ConvProblem) -> None:
    x, weight, bias, grad = normal_arrays(problem, np.random.default_rng(4))
    last = [np.ascontiguousarray(a.transpose(0, 2, 3, 1)) for a in (x, grad)]
    options = problem.parameters()
    y = ops.conv2d(x, weight, bias, **options)
    y_last = ops.conv2d(last[0], weight, bias, layout="NHWC", **options)
    same_bits([np.ascontiguousarray(y_last.transpose(0, 3, 1, 2))], [y])
    dx, dw, db = ops.conv2d_backward(grad, x, weight, **options)
    dx_last, *rest = ops.conv2d_backward(last[1], last[0], weight, layout="NHWC", **options)
    assert dx is not None and dx_last is not None
    same_bits([np.ascontiguousarray(dx_last.transpose(0, 3, 1, 2)), *rest], [dx, dw, db])


def test_linear_is_the_same_in_every_batch() -> None:
    rng = np.random.default_rng(5)
    x, weight, bias = (rng.standard_normal(s).astype(np.float32) for s in ((37, 45), (23, 45), (23,)))
    y = ops.linear(x, weight, bias)
    for start, stop in ((0, 1), (3, 4), (36, 37), (5, 21), (1, 36)):
        same_bits([ops.linear(x[start:stop], weight, bias)], [y[start:stop].copy()])
    same_bits([ops.linear(x[0], weight, bias)], [y[0].copy()])


# ---- out -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("problem", CONVS, ids=lambda p: p.name)
def test_out_receives_the_result(problem: ConvProblem, layout: str) -> None:
    x, weight, bias, _ = normal_arrays(problem, np.random.default_rng(6), layout=layout)
    expected = ops.conv2d(x, weight, bias, layout=layout, **problem.parameters())
    out = np.full(problem.output_shape(layout), np.nan, np.float32)
    assert ops.conv2d(x, weight, bias, layout=layout, out=out, **problem.parameters()) is out
    same_bits([out], [expected])


def test_nothing_is_written_beside_out() -> None:
    problem = CONVS[0]
    x, weight, bias, _ = normal_arrays(problem, np.random.default_rng(7))
    shape = problem.output_shape()
    size, margin = int(np.prod(shape)), 64
    buffer = np.full(size + 2 * margin, 7, np.float32)
    ops.conv2d(x, weight, bias, out=buffer[margin:-margin].reshape(shape), **problem.parameters())
    assert (buffer[:margin] == 7).all() and (buffer[-margin:] == 7).all()


def test_out_may_be_a_subclass_and_beside_an_input() -> None:
    problem = CONVS[2]
    x, weight, _, _ = normal_arrays(problem, np.random.default_rng(8))
    expected = ops.conv2d(x, weight)
    buffer = np.concatenate([x.ravel(), np.zeros(expected.size, np.float32)])
    neighbour = buffer[x.size :].reshape(expected.shape).view(Subclass)
    assert ops.conv2d(buffer[: x.size].reshape(x.shape), weight, out=neighbour) is neighbour
    same_bits([neighbour.view(np.ndarray)], [expected])
