# SPDX-License-Identifier: BSD-3-Clause
"""Measure both methods of ops.convolve beside what the cost model predicts: `python benchmarks/conv_methods.py`

The constants of fastconv/ops/signal.py come from this table: seconds for a multiply-add from the rows in which
direct takes longest, for a transformed number from those in which fft does, for a call from the smallest row.
The last column is the time of the method chosen over that of the better one.
"""

import numpy as np

import fastconv
from fastconv import ops
from fastconv.ops import signal

SHAPES = [
    ((64,), (8,)), ((1_000,), (10,)), ((1_000,), (100,)), ((1_000,), (1_000,)), ((10_000,), (300,)),
    ((10_000,), (3_000,)), ((100_000,), (100,)), ((100_000,), (1_000,)), ((100_000,), (10_000,)),
    ((32, 32), (3, 3)), ((128, 128), (5, 5)), ((128, 128), (25, 25)), ((128, 128), (64, 64)), ((512, 512), (3, 3)),
    ((512, 512), (15, 15)), ((512, 512), (31, 31)), ((512, 512), (63, 63)), ((1024, 1024), (5, 5)),
]  # fmt: skip


def main() -> None:
    """Print a row for each pair of shapes and each dtype."""
    fastconv.set_num_threads(1)
    rng = np.random.default_rng(0)
    print(f"level {fastconv.cpu_info()['isa']}, microseconds: measured (predicted)")
    for dtype in (np.float32, np.float64):
        print(f"\n{dtype.__name__:>24}  {'direct':>19} {'fft':>19}  chosen  over better")
        for one, two in SHAPES:
            a, b = (rng.random(shape).astype(dtype) for shape in (one, two))
            predicted = signal._predicted(signal._checked(a, b, "full"))
            chosen = ops.choose_conv_method(a, b)
            _, measured = ops.choose_conv_method(a, b, measure=True)
            cells = " ".join(f"{1e6 * measured[m]:9.0f} ({1e6 * predicted[m]:7.0f})" for m in ("direct", "fft"))
            worse = measured[chosen] / min(measured.values())
            print(f"{'x'.join(map(str, one)):>12} {'x'.join(map(str, two)):>11}  {cells}  {chosen:>6}  {worse:11.2f}")


if __name__ == "__main__":
    main()
