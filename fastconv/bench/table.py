# SPDX-License-Identifier: BSD-3-Clause
"""Results as text of at most 120 columns: a table for each pass, batch and number of threads, and a summary."""

import math
import textwrap
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from fastconv.bench.machine import Limits
from fastconv.bench.nets import NETS, NetRow
from fastconv.bench.nets import PASSES as NET_PASSES
from fastconv.bench.ours import PASSES
from fastconv.bench.run import NNPACK, ONNXRUNTIME, TORCH, Case, Result, Skipped
from fastconv.bench.shapes import POOLING, REST, SEVEN_WIDE, WINOGRAD, ConvRow, PoolRow

WIDTH = 120
GAP = "  "
CATEGORIES = (WINOGRAD, SEVEN_WIDE, REST, POOLING, NETS)
PEERS = (TORCH, NNPACK, ONNXRUNTIME)
ABSENT = "-"

#: Shorter than the words of the plan, which the record has.
ALGORITHMS = {
    "winograd F(4x4,3x3)": "F(4x4)",
    "winograd F(2x2,3x3)": "F(2x2)",
    "direct depthwise": "depthwise",
    "direct blocked": "direct",
    "direct planar": "planar",
}

LEGEND = textwrap.fill(
    "torch ms: the better of NCHW and channels-last (l) tensors. vs ...: how many times as fast fastconv is; below 1 "
    "it loses (ort: onnxruntime). max err: largest error against float64 over the largest result; err/uS: in units of "
    "the rounding of each output's terms (docs/numerics.md). Winograd's operations count as those of the direct sum, "
    "so it may exceed 100 % of the peak. What fits a cache may be read faster than memory is copied.",
    WIDTH,
)


class Column(NamedTuple):
    """head: its two lines. text: the cell of a result. left: how it is aligned."""

    head: tuple[str, str]
    text: Callable[[Result], str]
    left: bool = False


def _algorithm(result: Result) -> str:
    parts = [ALGORITHMS.get(name, name.partition(" ")[0]) for name in result.algorithm.split(" / ")]
    return "/".join(parts)


def _torch_ms(result: Result) -> str:
    if result.torch is None:
        return ABSENT
    name, seconds = result.torch
    return milliseconds(seconds) + ("l" if name != TORCH else " ")


def _ratio(peer: str) -> Callable[[Result], str]:
    return lambda result: number(result.ratio(peer))


NAME = Column(("", "layer"), lambda r: r.case.row.name, left=True)
PROBLEM = Column(("", "problem"), lambda r: r.case.row.brief, left=True)
MS = Column(("", "ms"), lambda r: milliseconds(r.ours))
RATIOS = (
    Column(("torch", "ms "), _torch_ms),
    Column(("vs", "torch"), _ratio(TORCH)),
    Column(("vs", "nnpack"), _ratio(NNPACK)),
    Column(("vs", "ort"), _ratio(ONNXRUNTIME)),
)
ERRORS = (
    Column(("max", "err"), lambda r: f"{r.error.largest:.0e}".replace("0e+00", "0") if r.error else ABSENT),
    Column(("err", "/uS"), lambda r: f"{r.error.units:.1f}" if r.error else ABSENT),
)
COLUMNS: dict[type, tuple[Column, ...]] = {
    ConvRow: (
        NAME, PROBLEM, Column(("", "algorithm"), _algorithm, left=True), MS,
        Column(("GFLOP", "/s"), lambda r: f"{r.flops / 1e9:.0f}"),
        Column(("% of", "peak"), lambda r: f"{100 * r.flops / r.limits.peak:.0f}"),
        *RATIOS, *ERRORS,
    ),
    PoolRow: (
        NAME, PROBLEM, MS,
        Column(("", "GB/s"), lambda r: f"{r.bytes / r.ours / 1e9:.1f}"),
        Column(("% of", "copying"), lambda r: f"{100 * r.bytes / r.ours / r.limits.bandwidth:.0f}"),
        *RATIOS, *ERRORS,
    ),
    NetRow: (
        NAME, Column(("", "what"), lambda r: NET_PASSES[r.case.pass_], left=True),
        Column(("", "batch"), lambda r: str(r.case.batch)), MS,
        Column(("", "images/s"), lambda r: f"{r.case.batch / r.ours:,.0f}"), *RATIOS[:2],
    ),
}  # fmt: skip


def milliseconds(seconds: float) -> str:
    """Three significant digits, at most three after the point."""
    ms = seconds * 1e3
    return f"{ms:.{max(0, min(3, 2 - math.floor(math.log10(ms))))}f}" if ms > 0 else "0"


def number(value: float | None) -> str:
    return ABSENT if value is None else f"{value:.2f}"


def headline(limits: Iterable[Limits], processor: str, isa: str) -> str:
    lines = [f"{processor}, {isa}"]
    for limit in limits:
        lines.append(
            f"  {counted(limit.threads, 'thread')}: measured peak {limit.peak / 1e9:,.0f} GFLOP/s, "
            f"copying {limit.bandwidth / 1e9:.1f} GB/s"
        )
    return "\n".join(lines)


def counted(n: int, noun: str) -> str:
    return f"{n} {noun}{'s' if n != 1 else ''}"


def section(results: Sequence[Result]) -> str:
    """The table of results that share pass, batch and threads."""
    kind = type(results[0].case.row)
    columns = [c for c in COLUMNS[kind] if any(c.text(r).strip() != ABSENT for r in results)]
    cells = [[column.text(result) for column in columns] for result in results]
    return "\n".join([title(results[0].case), "", *aligned(columns, cells)])


def title(case: Case) -> str:
    threads = counted(case.threads, "thread")
    if isinstance(case.row, NetRow):
        return f"Whole networks, {threads}"
    what = "Pooling" if isinstance(case.row, PoolRow) else "Convolution"
    pass_ = next(text for name, text in PASSES.items() if name == case.pass_)
    return f"{what}: {pass_}, N = {case.batch}, {threads}"


def aligned(columns: Sequence[Column], cells: Sequence[Sequence[str]]) -> list[str]:
    """Two lines of heads, a rule, and a line for each row."""
    heads = [[column.head[line] for column in columns] for line in (0, 1)]
    widths = [max(len(row[i]) for row in (*heads, *cells)) for i in range(len(columns))]
    lines = [_line(row, widths, columns) for row in (*heads, *cells)]
    return [*lines[:2], "─" * max(map(len, lines)), *lines[2:]]


def _line(row: Sequence[str], widths: Sequence[int], columns: Sequence[Column]) -> str:
    parts = zip(row, widths, columns, strict=True)
    return GAP.join(c.ljust(w) if column.left else c.rjust(w) for c, w, column in parts).rstrip()


# ---- summary ---------------------------------------------------------------------------------------------


class Summary(NamedTuple):
    """One class of rows in one pass, batch and number of threads, against one peer.

    mean: geometric, of the ratios. worst: the least ratio, and its row. slower: rows that lose.
    """

    category: str
    pass_: str
    batch: int
    threads: int
    peer: str
    rows: int
    mean: float
    worst: float
    worst_row: str
    slower: int


def summarize(results: Iterable[Result]) -> list[Summary]:
    """Of each class that was measured, in the order of CATEGORIES, PEERS and the run."""
    groups: dict[tuple[str, str, int, int], list[Result]] = {}
    for r in results:
        batch = 0 if r.case.row.category == NETS else r.case.batch
        groups.setdefault((r.case.row.category, r.case.pass_, batch, r.case.threads), []).append(r)
    ordered = sorted(groups.items(), key=lambda item: CATEGORIES.index(item[0][0]))
    found = [_summary(*key, peer, members) for key, members in ordered for peer in PEERS]
    return [summary for summary in found if summary]


def _summary(
    category: str, pass_: str, batch: int, threads: int, peer: str, results: Sequence[Result]
) -> Summary | None:
    ratios = [(ratio, r.case.row.name) for r in results if (ratio := r.ratio(peer)) is not None]
    if not ratios:
        return None
    mean = geometric_mean([ratio for ratio, _ in ratios])
    slower = sum(ratio < 1 for ratio, _ in ratios)
    return Summary(category, pass_, batch, threads, peer, len(ratios), mean, *min(ratios), slower)


def geometric_mean(values: Sequence[float]) -> float:
    return math.exp(math.fsum(map(math.log, values)) / len(values))


SUMMARY_HEADS = ("class", "pass", "N", "threads", "against", "rows", "geomean", "worst", "its row", "slower")
SUMMARY_LEFT = {0, 1, 4, 8}


def summary(results: Sequence[Result], skipped: Sequence[Skipped]) -> str:
    """The geometric means of the ratios, the share of the peak, and what was left out."""
    parts = [_summary_table(summarize(results)), _peaks(results), _errors(results), _left_out(skipped)]
    return "\n\n".join(part for part in parts if part)


def _summary_table(summaries: Sequence[Summary]) -> str:
    if not summaries:
        return ""
    columns = [
        Column(("", head), lambda result: "", left=i in SUMMARY_LEFT) for i, head in enumerate(SUMMARY_HEADS)
    ]
    cells = [_summary_cells(s) for s in summaries]
    for above, row in zip([[""], *map(list, cells)], cells, strict=False):
        if above[0] == row[0]:
            row[0] = ""    # a class is named once
    return "\n".join(["Summary: how many times as fast fastconv is, by class of rows", *aligned(columns, cells)[1:]])


def _summary_cells(s: Summary) -> list[str]:
    words: dict[str, str] = {**dict(PASSES.items()), **NET_PASSES}
    batch = str(s.batch) if s.batch else ""
    counts = f"{s.slower} of {s.rows}" if s.slower else "none"
    texts = [s.category, words[s.pass_], batch, str(s.threads), s.peer, str(s.rows), f"{s.mean:.2f}", f"{s.worst:.2f}"]
    return [*texts, s.worst_row, counts]


def _peaks(results: Sequence[Result]) -> str:
    """The number by which direct convolution is to be judged; Winograd has no such limit."""
    shares = [
        r.flops / r.limits.peak
        for r in results
        if isinstance(r.case.row, ConvRow)
        and (r.case.pass_, r.algorithm) == ("forward", "direct blocked")
        and r.case.row.channels >= 64
    ]
    if not shares:
        return ""
    return f"Direct forward, C >= 64: {100 * geometric_mean(shares):.0f} % of the peak in the geometric mean"


def _errors(results: Sequence[Result]) -> str:
    measured = [(r.error.units, r) for r in results if r.error]
    if not measured:
        return ""
    units, worst = max(measured, key=lambda item: item[0])
    return f"Largest error: {units:.1f} uS, in {worst.case.row.name}, {title(worst.case).partition(': ')[2]}"


def _left_out(skipped: Sequence[Skipped]) -> str:
    """Each reason with its cases; many cases of one reason are counted."""
    reasons: dict[str, list[Case]] = {}
    for item in skipped:
        reasons.setdefault(item.reason, []).append(item.case)
    return "\n".join(
        f"skipped: {_cases(cases)}: {reason}" for reason, cases in reasons.items()
    )


def _cases(cases: Sequence[Case]) -> str:
    if len(cases) > 1:
        return f"{len(cases)} cases, from {_cases(cases[:1])}"
    return f"{cases[0].row.name} ({title(cases[0])})"
