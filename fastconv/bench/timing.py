# SPDX-License-Identifier: BSD-3-Clause
"""Contestants take turns, so that a slow spell of the machine falls on all of them; each gets its median."""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

Run = Callable[[], Any]

#: A turn lasts at least so long, in seconds, so that the clock's steps do not count.
TURN = 1e-3
MOST_TURNS = 25
FEWEST_TURNS = 3
#: Slower runs need no second warm-up before each turn: what a neighbour left in the caches is soon replaced.
SLOW = 0.1


def interleave(runs: Mapping[str, Run], budget: float, pause: float = 0.0) -> dict[str, float]:
    """Median seconds of one call of each run, found in about `budget` seconds.

    pause: seconds to sleep before every turn. Idle threads of OpenMP and onnxruntime spin for a while, and would
    take a core from whoever has the next turn.
    """
    once = {name: _estimate(run) for name, run in runs.items()}
    calls = {name: max(1, round(TURN / max(seconds, 1e-7))) for name, seconds in once.items()}
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(_turns(once, calls, budget, pause)):
        for name in _rotated(list(runs), turn):
            taken[name].append(_turn(runs[name], calls[name], once[name] < SLOW, pause))
    return {name: statistics.median(seconds) for name, seconds in taken.items()}


def _turns(once: Mapping[str, float], calls: Mapping[str, int], budget: float, pause: float) -> int:
    """As many as fit, at least FEWEST_TURNS; but a round that alone exceeds the budget is not repeated."""
    round_ = sum(once[name] * (calls[name] + (once[name] < SLOW)) + pause for name in once)
    fitting = int(budget / max(round_, 1e-9))
    if not fitting:
        return 1
    return min(max(fitting, FEWEST_TURNS), MOST_TURNS)


def _estimate(run: Run) -> float:
    """Seconds of a call; the first pays for plans and fresh pages, and counts only where it is slow."""
    first = _timed(run, 1)
    return min(_timed(run, 1), _timed(run, 1)) if first < SLOW else first


def _turn(run: Run, calls: int, warm_up: bool, pause: float) -> float:
    if pause:
        time.sleep(pause)
    if warm_up:
        run()
    return _timed(run, calls)


def _timed(run: Run, calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        run()
    return (time.perf_counter() - start) / calls


def _rotated(names: list[str], by: int) -> list[str]:
    """Another one begins each time."""
    by %= len(names)
    return names[by:] + names[:by]
