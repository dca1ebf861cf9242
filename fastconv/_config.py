# SPDX-License-Identifier: BSD-3-Clause
"""What the environment decides at import: the instruction-set level and the number of threads."""

from __future__ import annotations

import os
import sys
import warnings
from contextlib import suppress

from fastconv import _core
from fastconv.ops import _plans

MAX_THREADS = 4096


def _allowed_cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cgroup_quota(path: str = "/sys/fs/cgroup/cpu.max") -> float:
    """CPUs this container may use on average (cgroup v2), infinity where nothing limits it."""
    with suppress(OSError, ValueError):
        with open(path) as file:
            quota, period = file.read().split()
        if quota != "max":
            return int(quota) / int(period)
    return float("inf")


def _threads_from(variable: str) -> int | None:
    text = os.environ.get(variable, "").split(",")[0].strip()
    if not text:
        return None
    if text.isascii() and text.isdigit() and int(text[:9]) >= 1 and len(text) <= 9:
        return min(int(text), MAX_THREADS)
    if variable == "FASTCONV_NUM_THREADS":
        warnings.warn(
            f"FASTCONV_NUM_THREADS={os.environ[variable]!r} is ignored: expected an integer from 1 to 999999999",
            RuntimeWarning,
            stacklevel=2,
        )
    return None


def default_threads() -> int:
    """FASTCONV_NUM_THREADS, else OMP_NUM_THREADS, else the CPUs this process may run on."""
    for variable in ("FASTCONV_NUM_THREADS", "OMP_NUM_THREADS"):
        threads = _threads_from(variable)
        if threads is not None:
            return threads
    return max(1, min(_allowed_cpus(), int(_cgroup_quota() + 0.5) if _cgroup_quota() < MAX_THREADS else MAX_THREADS))


def set_isa(name: str) -> None:
    """Forces an instruction-set level: "avx512", "avx2" or "portable".

    Results differ between levels by rounding. Raises TypeError for what is not a string, ValueError for an unknown
    level and for one this CPU does not have; the message lists those it has.

    >>> best = cpu_info()["isa"]
    >>> set_isa("portable"); cpu_info()["isa"]
    'portable'
    >>> set_isa(best)
    """
    if not isinstance(name, str):
        raise TypeError(f"name: got {name!r} ({type(name).__name__}), expected the name of a level as a string")
    _core.set_isa(name)
    _plans.clear()


def apply() -> None:
    """Follows FASTCONV_ISA, FASTCONV_NUM_THREADS and OMP_NUM_THREADS; what makes no sense is ignored with a warning."""
    name = os.environ.get("FASTCONV_ISA", "")
    if name:
        try:
            _core.set_isa(name)
        except ValueError as error:
            warnings.warn(f"FASTCONV_ISA is ignored, using {_core.isa()!r}: {error}", RuntimeWarning, stacklevel=2)
    _core.set_num_threads(default_threads())


def cpu_info() -> dict[str, object]:
    """The machine as fastconv sees it: active and available levels, threads, cache sizes in bytes.

    >>> sorted(cpu_info())
    ['cpus', 'isa', 'isa_levels', 'l1_bytes', 'l2_bytes', 'l3_bytes', 'num_threads']
    """
    l1, l2, l3 = _core.cache_sizes()
    return {
        "isa": _core.isa(),
        "isa_levels": [name for name, supported in _core.isa_levels() if supported],
        "num_threads": _core.get_num_threads(),
        "cpus": _allowed_cpus(),
        "l1_bytes": l1,
        "l2_bytes": l2,
        "l3_bytes": l3,
    }


def show_config() -> None:
    """Prints versions, level, threads, caches and the environment variables that count: what a bug report needs."""
    import platform

    import numpy as np

    from fastconv import __version__

    print(f"fastconv {__version__}, NumPy {np.__version__}, Python {sys.version.split()[0]}, {platform.platform()}")
    for name, value in cpu_info().items():
        print(f"  {name:12} {value}")
    for variable in ("FASTCONV_ISA", "FASTCONV_NUM_THREADS", "OMP_NUM_THREADS"):
        print(f"  {variable:22} {os.environ.get(variable, '(not set)')}")


def set_num_threads(n: int) -> None:
    """Sets how many threads a call may use. Results do not depend on it.

    Raises TypeError for what is not an int, ValueError outside 1 to 4096.

    >>> set_num_threads(2); get_num_threads()
    2
    """
    if type(n) is not int:
        raise TypeError(f"n: got {n!r} ({type(n).__name__}), expected an int")
    if not 1 <= n <= MAX_THREADS:
        raise ValueError(f"n: got {n}, expected 1 to {MAX_THREADS}")
    _core.set_num_threads(n)


def get_num_threads() -> int:
    """How many threads a call may use."""
    return _core.get_num_threads()
