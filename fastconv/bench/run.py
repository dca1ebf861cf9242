# SPDX-License-Identifier: BSD-3-Clause
"""A run: which cases there are, each one measured, and what is left out because of memory or time."""

import gc
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

import fastconv
from fastconv.bench import ours, peers
from fastconv.bench.machine import Limits
from fastconv.bench.nets import PASSES as NET_PASSES
from fastconv.bench.nets import NetRow, net_runs, nets
from fastconv.bench.ours import BenchPass, Error
from fastconv.bench.peers import CHANNELS_LAST, NNPACK, ONNXRUNTIME, TORCH, Peer, Runs
from fastconv.bench.shapes import ConvRow, PoolRow, convolutions, matches, pools
from fastconv.bench.timing import interleave

OURS = "fastconv"
#: Seconds of turns for a case when time is plentiful, and the share of a case's time that turns get: the rest
#: goes into making arrays, packing and the check against float64.
AMPLE = 1.5
TURNS_SHARE = 0.5
#: Between turns with several threads, so that the spinning threads of the others have gone to sleep.
PAUSE = 0.003
#: A large case in units of its time at the peak: five contestants, two runs each, at two thirds of the peak, and the
#: arrays and the check.
LEAST_RUNS = 20
#: Arrays of a case in units of its compulsory traffic: plain, channels-last, results, reordered copies, and for
#: the check a float64 copy of the input and its magnitudes.
COPIES = 6

POOL_PASSES: tuple[BenchPass, ...] = ("forward", "backward_data")


@dataclass(frozen=True)
class Selection:
    """Which cases to run: rows by pattern ("" for all), passes, batches, numbers of threads."""

    rows: str = ""
    passes: tuple[BenchPass, ...] = tuple(ours.PASSES)
    batches: tuple[int, ...] = (1, 16, 64)
    threads: tuple[int, ...] = (1, 2)


@dataclass(frozen=True)
class Case:
    row: ConvRow | PoolRow | NetRow
    pass_: str
    batch: int
    threads: int

    @property
    def section(self) -> tuple[type, str, int, int]:
        """Cases of one table: all networks together, layers by pass and batch."""
        if isinstance(self.row, NetRow):
            return NetRow, "", 0, self.threads
        return type(self.row), self.pass_, self.batch, self.threads


@dataclass(frozen=True)
class Result:
    """seconds: medians by contestant. error is None for networks; macs are 0 for pools and networks."""

    case: Case
    seconds: dict[str, float]
    macs: int
    bytes: int
    algorithm: str
    error: Error | None
    limits: Limits

    @property
    def ours(self) -> float:
        return self.seconds[OURS]

    @property
    def flops(self) -> float:
        """FLOP/s, Winograd's counted as those of the direct sum."""
        return 2 * self.macs / self.ours

    @property
    def torch(self) -> tuple[str, float] | None:
        """The better layout and its seconds."""
        layouts = [(name, self.seconds[name]) for name in (TORCH, CHANNELS_LAST) if name in self.seconds]
        return min(layouts, key=lambda item: item[1]) if layouts else None

    def ratio(self, peer: str) -> float | None:
        """How many times as fast as the peer; torch is its better layout."""
        if peer == TORCH:
            return self.torch[1] / self.ours if self.torch else None
        return self.seconds[peer] / self.ours if peer in self.seconds else None


@dataclass(frozen=True)
class Skipped:
    case: Case
    reason: str


def cases(selection: Selection) -> list[Case]:
    """Networks first, then small batches before large ones: what a time limit cuts off is what counts least."""
    found = [Case(row, p, row.batch, t) for t, row, p in product(selection.threads, nets(), NET_PASSES)]
    for batch, threads in product(selection.batches, selection.threads):
        found += [Case(row, p, batch, threads) for p, row in product(selection.passes, convolutions())]
        wanted = [p for p in POOL_PASSES if {p, "backward" if p != "forward" else p} & set(selection.passes)]
        found += [Case(row, p, batch, threads) for p, row in product(wanted, pools())]
    if not selection.rows:
        return found
    return [c for c in found if matches(selection.rows, c.row.name, c.row.net, c.row.id)]


def run(
    todo: Sequence[Case], against: Sequence[str], limits: dict[int, Limits], memory: int, seconds: float
) -> Iterator[Result | Skipped]:
    """Measure the cases in order, within about so many seconds; the threads of fastconv are put back at the end."""
    others, before = peers.load(against), fastconv.get_num_threads()
    end = time.monotonic() + seconds
    try:
        for index, case in enumerate(todo):
            left = end - time.monotonic()
            reason = _obstacle(case, limits[case.threads], memory, left)
            if reason:
                yield Skipped(case, reason)
                continue
            fastconv.set_num_threads(case.threads)
            budget = min(AMPLE, TURNS_SHARE * left / (len(todo) - index))
            yield _measure(case, others, limits[case.threads], budget)
            gc.collect()    # a session of onnxruntime or a graph of torch may hold arrays of the case
    finally:
        fastconv.set_num_threads(before)


def _obstacle(case: Case, limits: Limits, memory: int, seconds_left: float) -> str:
    """Why a case cannot be run, or ""."""
    if seconds_left <= _least_seconds(case, limits):
        return "too little time is left"
    if isinstance(case.row, NetRow):
        return ""
    need = COPIES * case.row.bytes(case.batch)
    return f"needs about {need / 2**30:.1f} GiB, the limit is {memory / 2**30:.1f} GiB" if need > memory else ""


def _least_seconds(case: Case, limits: Limits) -> float:
    """Roughly what a large convolution takes even if each contestant has a single turn."""
    if not isinstance(case.row, ConvRow):
        return 0.0
    return LEAST_RUNS * len(ours.PARTS[_bench_pass(case)]) * 2 * case.row.macs(case.batch) / limits.peak


def _measure(case: Case, others: Sequence[Peer], limits: Limits, budget: float) -> Result:
    if isinstance(case.row, NetRow):
        return _measure_net(case, case.row, others, limits, budget)
    if isinstance(case.row, PoolRow):
        return _measure_pool(case, case.row, others, limits, budget)
    return _measure_convolution(case, case.row, others, limits, budget)


def _timed(runs: Runs, threads: int, budget: float) -> dict[str, float]:
    return interleave(runs, budget, PAUSE if threads > 1 and len(runs) > 1 else 0.0)


def _measure_convolution(
    case: Case, row: ConvRow, others: Sequence[Peer], limits: Limits, budget: float
) -> Result:
    pass_ = _bench_pass(case)
    arrays = ours.make_arrays(row, case.batch)
    runs: Runs = {OURS: ours.conv_run(row, pass_, arrays)}
    for peer in others:
        runs.update(peer.convolution(row, pass_, arrays, case.threads))
    parts = len(ours.PARTS[pass_])
    return Result(
        case,
        _timed(runs, case.threads, budget),
        parts * row.macs(case.batch),
        parts * row.bytes(case.batch),
        ours.variant(row, pass_, arrays),
        ours.conv_error(row, pass_, arrays),
        limits,
    )


def _measure_pool(case: Case, row: PoolRow, others: Sequence[Peer], limits: Limits, budget: float) -> Result:
    pass_ = _bench_pass(case)
    rng = np.random.default_rng(0)
    x, grad = (rng.standard_normal(s, np.float32) for s in (row.input(case.batch), row.output(case.batch)))
    runs: Runs = {OURS: ours.pool_run(row, pass_, x, grad)}
    for peer in others:
        runs.update(peer.pool(row, pass_, x, grad, case.threads))
    seconds = _timed(runs, case.threads, budget)
    return Result(case, seconds, 0, row.bytes(case.batch), row.kind, ours.pool_error(row, pass_, x, grad), limits)


def _measure_net(case: Case, row: NetRow, others: Sequence[Peer], limits: Limits, budget: float) -> Result:
    against_torch = any(isinstance(peer, peers.Torch) for peer in others)
    runs = net_runs(row, case.pass_, case.threads, against_torch)
    return Result(case, _timed(runs, case.threads, budget), 0, 0, "", None, limits)


def _bench_pass(case: Case) -> BenchPass:
    return next(pass_ for pass_ in ours.PASSES if pass_ == case.pass_)


__all__ = ["NNPACK", "ONNXRUNTIME", "OURS", "TORCH", "Case", "Result", "Selection", "Skipped", "cases", "run"]
