# SPDX-License-Identifier: BSD-3-Clause
"""What the machine can do: multiply-adds and bytes per second, measured; and how much memory a case may use."""

import os
import platform
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

import fastconv
from fastconv import _core

PEAK_SECONDS = 0.1
COPY_BYTES = 64 << 20    # beyond most third-level caches
COPIES = 6
FALLBACK_MEMORY = 4 << 30
MEMORY_SHARE = 0.5    # of what is available, for the arrays of one case


class Limits(NamedTuple):
    """Of so many threads together: FLOP/s in registers, bytes/s (read and written) of copying large arrays."""

    threads: int
    peak: float
    bandwidth: float


def measure_limits(threads: int) -> Limits:
    peak = sum(_together(threads, lambda: _core.measure_peak("float32", PEAK_SECONDS)))
    return Limits(threads, peak, sum(_together(threads, _copy_rate)))


def _together(threads: int, work: Callable[[], float]) -> list[float]:
    """What `work` gives on each of so many threads at once; it releases the GIL."""
    with ThreadPoolExecutor(threads) as pool:
        return [future.result() for future in [pool.submit(work) for _ in range(threads)]]


def _copy_rate() -> float:
    source, target = np.ones(COPY_BYTES // 4, np.float32), np.zeros(COPY_BYTES // 4, np.float32)
    best = float("inf")
    for _ in range(COPIES):
        start = time.perf_counter()
        np.copyto(target, source)
        best = min(best, time.perf_counter() - start)
    return 2 * COPY_BYTES / best


def memory_limit() -> int:
    """Bytes that one case may use: a share of what the system and the container have left."""
    left = [value for value in (_available(), _container_left()) if value is not None]
    return int(MEMORY_SHARE * min(left)) if left else FALLBACK_MEMORY


def _available(path: str = "/proc/meminfo") -> int | None:
    for line in _text(path).splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def _container_left(group: str = "/sys/fs/cgroup") -> int | None:
    limit, used = (_text(f"{group}/memory.{name}").strip() for name in ("max", "current"))
    return max(0, int(limit) - int(used)) if limit.isdigit() and used.isdigit() else None


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError:
        return ""


def processor() -> str:
    """The processor's name as its maker gives it."""
    for line in _text("/proc/cpuinfo").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def description() -> dict[str, object]:
    """The machine and its settings, for the record."""
    return {
        "processor": processor(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "load_average": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        **fastconv.cpu_info(),
    }
