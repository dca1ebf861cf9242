"""Two threads: on free cores, and while another process keeps one core busy, against one thread; torch's, too.

    python benchmarks/busy.py

On two cores. A pool of threads whose caller waits for every one of them stands still while one is descheduled.
"""

import importlib.util
import multiprocessing
import statistics
import time
from collections.abc import Callable
from typing import Any

import fastconv
from fastconv.bench import ours, shapes
from fastconv.bench.peers import Torch

ROWS = ("resnet50/res2_3x3", "resnet50/res3_3x3", "vgg/conv3_2", "resnet50/res2_1x1c", "deepbench/speech_5x5s2")
ROUNDS = 30


def burn() -> None:
    while True:
        sum(range(10_000))


def median(run: Callable[[], Any]) -> float:
    times = []
    run()
    for _ in range(ROUNDS):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def measure(name: str, make: Callable[[int], Callable[[], Any]]) -> None:
    one, two = median(make(1)), median(make(2))
    other = multiprocessing.Process(target=burn, daemon=True)
    other.start()
    time.sleep(0.1)
    busy = median(make(2))
    other.terminate()
    other.join()
    print(f"{name:36} {1e3 * one:8.2f} ms  two threads {one / two:5.2f}x  one core busy {one / busy:5.2f}x")


def main() -> None:
    torch = Torch() if importlib.util.find_spec("torch") else None
    for row in shapes.convolutions():
        if row.name not in ROWS:
            continue
        arrays = ours.make_arrays(row, 1)

        def fast(threads: int, row: Any = row, arrays: Any = arrays) -> Callable[[], Any]:
            fastconv.set_num_threads(threads)
            return ours.conv_run(row, "forward", arrays)

        measure(row.name, fast)
        if torch is not None:
            measure("    torch", lambda threads, r=row, a=arrays: torch.convolution(r, "forward", a, threads)["torch"])


if __name__ == "__main__":
    main()
