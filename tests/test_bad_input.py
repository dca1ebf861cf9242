# SPDX-License-Identifier: BSD-3-Clause
"""Bad inputs get the right error, and leave everything as it was; inputs that only look bad work.

The bad ones are the tables described in bad_inputs.py; tests of valid inputs are named after their row.
"""

import json
import subprocess
import sys
from functools import cache

import numpy as np
import pytest
import run_bad_inputs
from bad_inputs import CASES, Case, Outcome, giant, misaligned, numbers, run, zeros

from fastconv import ops

#: Seconds a call may take to be refused.
PATIENCE = 1.0

#: Bytes the process of a row may grow by.
GROWTH = 64 << 20

#: Rows of which some library made a crash, a hang or a giant allocation.
RISKY_ROWS = {3, 4, 9, 13, 17, 40, 44, 45, 46, 62, 63, 64, 65, 66, 70, 77, 79, 82, 85}

#: Rows whose input is valid: the second half of this file, and test_arrays.py.
VALID_ROWS = {11, 14, 26, 31, 32, 33, 34, 41, 67, 69, 72, 80, 81, 84}

# 49, 50: weights packed by hand, of which this release has none. 51 to 55: transposed convolution is no
# operation yet. 74, 75: values, not inputs. 86: the order of forward and
# backward is the business of the tape (test_autograd.py).
ROWS_ELSEWHERE = {49, 50, 51, 52, 53, 54, 55, 74, 75, 86}

IN_PROCESS = [case for case in CASES if case.row not in RISKY_ROWS]
APART = [case for case in CASES if case.row in RISKY_ROWS]


def check(case: Case, outcome: Outcome) -> None:
    assert outcome.error in [e.__name__ for e in case.raises], outcome.message or "no error"
    for words in case.says:
        assert words in outcome.message
    assert outcome.changed == []
    assert outcome.next_call_same
    assert outcome.seconds < PATIENCE


@pytest.mark.parametrize("case", IN_PROCESS, ids=lambda case: case.id)
def test_bad_input(case: Case) -> None:
    check(case, run(case))


@pytest.mark.parametrize("case", APART, ids=lambda case: case.id)
def test_bad_input_in_its_own_process(case: Case) -> None:
    outcomes, growth, end = run_apart(case.row)
    assert case.id in outcomes, f"the process ended before this case: {end}"
    check(case, outcomes[case.id])
    assert growth < GROWTH


@cache
def run_apart(row: int) -> tuple[dict[str, Outcome], int, str]:
    """The outcomes of a row, by how many bytes the process grew, and how it ended."""
    command = [sys.executable, run_bad_inputs.__file__, str(row)]
    try:
        process = subprocess.run(command, capture_output=True, text=True, timeout=120)
        lines, end = process.stdout.splitlines(), f"exit {process.returncode}: {process.stderr[-2000:]}"
    except subprocess.TimeoutExpired as expired:
        lines, end = (expired.stdout or b"").decode().splitlines(), "timeout"
    records = [json.loads(line) for line in lines]
    growth = next((r["growth"] for r in records if "growth" in r), 0)
    return {r["id"]: Outcome(**r) for r in records if "id" in r}, growth, end


def test_every_row_has_inputs() -> None:
    rows = {case.row for case in CASES}
    assert rows == set(range(1, 87)) - VALID_ROWS - ROWS_ELSEWHERE
    assert len({case.id for case in CASES}) == len(CASES)


# ---- a cached plan must not let a bad argument through ---------------------------------------------------


@pytest.mark.parametrize("impostor", [True, 1.0, np.float64(1), np.True_], ids=repr)
def test_equal_is_not_valid(impostor: object) -> None:
    """True == 1 == 1.0, also as keys of the cache of plans."""
    x, w = numbers(1, 2, 5, 5), numbers(2, 2, 3, 3)
    for name in ("stride", "padding", "dilation", "groups"):
        ops.conv2d(x, w, **{name: 1} if name != "padding" else {"padding": 1})
        with pytest.raises(TypeError, match=name):
            ops.conv2d(x, w, **{name: impostor})
    for value in ((1, impostor), (impostor, 1)):
        ops.conv2d(x, w, stride=(1, 1))
        with pytest.raises(TypeError, match="stride"):
            ops.conv2d(x, w, stride=value)
    ops.conv2d(x, w, padding=((1, 1), (1, 1)))
    with pytest.raises(TypeError, match="padding"):
        ops.conv2d(x, w, padding=((1, 1), (1, impostor)))


@pytest.mark.parametrize("impostor", [True, 1.0, np.float64(1), np.True_], ids=repr)
def test_equal_is_not_valid_in_pools(impostor: object) -> None:
    x, grad = numbers(1, 1, 1, 1), numbers(1, 1, 1, 1)
    for name, one in {"kernel_size": 1, "stride": 1, "padding": 0, "divisor_override": 1}.items():
        value = impostor if one else type(impostor)(0)
        good = {"kernel_size": 1, name: one}
        ops.avg_pool2d(x, **good)
        ops.avg_pool2d_backward(grad, (1, 1, 1, 1), **good)
        with pytest.raises(TypeError, match=name):
            ops.avg_pool2d(x, **good | {name: value})
        with pytest.raises(TypeError, match=name):
            ops.avg_pool2d_backward(grad, (1, 1, 1, 1), **good | {name: value})
    for position in range(4):
        size = tuple(impostor if i == position else 1 for i in range(4))
        with pytest.raises(TypeError, match="input_size"):
            ops.avg_pool2d_backward(grad, size, 1)
        with pytest.raises(TypeError, match="input_size"):
            ops.max_pool2d_backward(grad, zeros(1, 1, 1, 1, dtype=np.int64), size)


def test_integers_of_other_types_are_integers() -> None:
    x, w = numbers(1, 2, 5, 5), numbers(2, 2, 3, 3)
    expected = ops.conv2d(x, w, stride=2, padding=1)
    for two, one in ((np.int64(2), np.uint8(1)), ([2, 2], [1, 1]), (np.array(2), np.int8(1))):
        np.testing.assert_array_equal(ops.conv2d(x, w, stride=two, padding=one), expected)


# ---- rows that look bad and are valid --------------------------------------------------------------------


def test_row_11_same_padding_with_a_stride() -> None:
    assert ops.conv2d(numbers(1, 1, 7, 8), numbers(1, 1, 3, 3), stride=2, padding="same").shape == (
        1,
        1,
        4,
        4,
    )


def test_row_14_any_dilation_of_one_tap() -> None:
    x, w = numbers(1, 2, 5, 5), numbers(3, 2, 1, 1)
    np.testing.assert_array_equal(ops.conv2d(x, w, dilation=2**31 - 1), ops.conv2d(x, w))
    np.testing.assert_array_equal(ops.max_pool2d(x, 1, dilation=2**31 - 1), x)


def test_row_3_stride_beyond_the_input() -> None:
    x, w = numbers(1, 2, 5, 5), numbers(3, 2, 3, 3)
    np.testing.assert_array_equal(ops.conv2d(x, w, stride=2**31 - 1), ops.conv2d(x, w)[:, :, :1, :1])


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_row_26_empty_batch(layout: str) -> None:
    x = zeros(0, 4, 6, 5) if layout == "NCHW" else zeros(0, 6, 5, 4)
    y = ops.conv2d(x, numbers(3, 4, 3, 3), numbers(3), layout=layout)
    assert y.shape == ((0, 3, 4, 3) if layout == "NCHW" else (0, 4, 3, 3)) and y.dtype == np.float32
    assert ops.linear(zeros(0, 3), numbers(4, 3)).shape == (0, 4)
    out = zeros(0, 3, 4, 3)
    assert ops.conv2d(zeros(0, 4, 6, 5), numbers(3, 4, 3, 3), out=out) is out


def test_row_41_subclass_that_lies_about_its_shape() -> None:
    class Lying(np.ndarray):
        @property
        def shape(self) -> tuple[int, ...]:  # type: ignore[override]
            return (1, 4, 1000, 1000)

    x, w = numbers(1, 4, 5, 5), numbers(3, 4, 3, 3)
    np.testing.assert_array_equal(ops.conv2d(x.view(Lying), w), ops.conv2d(x, w))
    assert type(ops.conv2d(x.view(Lying), w)) is np.ndarray


def test_row_57_no_stride_means_the_kernel() -> None:
    x = numbers(1, 2, 6, 6)
    for pool in (ops.max_pool2d, ops.avg_pool2d):
        for stride in (None, (), [], 2, (2, 2)):
            np.testing.assert_array_equal(pool(x, 2, stride), pool(x, 2, 2))


def test_row_67_window_in_the_padding_is_dropped() -> None:
    """Size 3, kernel 1, stride 2 in ceil mode: starts 0, 2; not 4. Kernel 2, padding 1: -1, 1; not 3."""
    x = numbers(1, 1, 3, 3)
    assert ops.max_pool2d(x, 1, 2, ceil_mode=True).shape == (1, 1, 2, 2)
    assert ops.max_pool2d(x, 2, 2, 1, ceil_mode=True).shape == (1, 1, 2, 2)
    assert ops.avg_pool2d(numbers(1, 1, 2, 2), 1, 3, ceil_mode=True).shape == (1, 1, 1, 1)


def test_row_69_negative_divisor() -> None:
    x = numbers(1, 1, 4, 4)
    np.testing.assert_array_equal(
        ops.avg_pool2d(x, 2, divisor_override=-2), -ops.avg_pool2d(x, 2, divisor_override=2)
    )


def test_row_70_no_division_by_zero() -> None:
    for padding in (0, 1):
        for ceil_mode in (False, True):
            y = ops.avg_pool2d(numbers(1, 1, 5, 5), 2, 3, padding, ceil_mode, count_include_pad=False)
            assert np.isfinite(y).all()


def test_row_72_and_80_empty_batch_of_pools() -> None:
    x = zeros(0, 3, 4, 4)
    y, indices = ops.max_pool2d(x, 2, return_indices=True)
    assert y.shape == indices.shape == (0, 3, 2, 2) and indices.dtype == np.int64
    assert ops.max_pool2d_backward(y, indices, x.shape).shape == x.shape
    assert ops.avg_pool2d(x, 2).shape == (0, 3, 2, 2)
    assert ops.avg_pool2d_backward(y, x.shape, 2).shape == x.shape


def test_row_81_gradients_of_one_pixel_add_up() -> None:
    grad, indices = np.array([[[[1.0, 2.0, 4.0]]]]), np.array([[[[1, 1, 1]]]])
    dx = ops.max_pool2d_backward(grad, indices, (1, 1, 1, 3))
    np.testing.assert_array_equal(dx, [[[[0.0, 7.0, 0.0]]]])


@pytest.mark.parametrize("needs", [(True, True, True), (False, True, False), (False, False, True)])
def test_row_84_empty_batch_has_zero_gradients(needs: tuple[bool, bool, bool]) -> None:
    results = ops.conv2d_backward(zeros(0, 3, 4, 4), zeros(0, 4, 6, 6), numbers(3, 4, 3, 3), needs=needs)
    shapes = ((0, 4, 6, 6), (3, 4, 3, 3), (3,))
    for result, shape, needed in zip(results, shapes, needs, strict=True):
        assert (result is not None) == needed
        if result is not None:
            assert result.shape == shape and not result.any()
    _, dw, db = ops.linear_backward(zeros(0, 4), zeros(0, 3), numbers(4, 3))
    assert dw is not None and dw.shape == (4, 3) and not dw.any()
    assert db is not None and db.shape == (4,) and not db.any()


# Rows 31 to 35, inputs stored in unusual ways, are test_arrays.py; here only that they are not refused.


def test_rows_31_to_35_unusual_storage_is_valid() -> None:
    x, w = numbers(2, 4, 6, 6), numbers(3, 4, 3, 3)
    expected = ops.conv2d(x, w)
    read_only = x.copy()
    read_only.setflags(write=False)
    for stored in (x.astype(">f4"), x[::-1][::-1], misaligned(x), read_only):
        np.testing.assert_array_equal(ops.conv2d(stored, w), expected)
    constant = giant(2, 4, 6, 6)
    np.testing.assert_array_equal(ops.conv2d(constant, w), ops.conv2d(np.ascontiguousarray(constant), w))
