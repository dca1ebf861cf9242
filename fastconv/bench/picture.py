# SPDX-License-Identifier: BSD-3-Clause
"""A run as a picture: a roofline with every layer as a point, and the ratios to torch and onnxruntime as bars."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fastconv._extras import require
from fastconv.bench.machine import Limits
from fastconv.bench.nets import NETS
from fastconv.bench.ours import PASSES
from fastconv.bench.run import ONNXRUNTIME, TORCH, Result
from fastconv.bench.shapes import ConvRow, PoolRow
from fastconv.bench.table import counted, geometric_mean
from fastconv.viz import BLUE, DPI, SLIDE, VERMILION, figure_of, save, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's again.
GREEN, ORANGE, GREY = "#009E73", "#E69F00", "#555555"
#: (algorithm begins with, label, colour, marker)
FAMILIES = (
    ("winograd", "Winograd (counted as the direct sum, so it may exceed the roof)", VERMILION, "^"),
    ("direct depthwise", "depthwise", ORANGE, "D"),
    ("direct", "direct", BLUE, "o"),
    ("im2col", "im2col", GREEN, "s"),
)
BAR = 0.4


def write(path: Path, results: Sequence[Result]) -> None:
    """Both pictures below each other, for the fewest threads and the smallest batch that were measured."""
    save(draw(results), path)


@styled
def draw(results: Sequence[Result]) -> "Figure":
    shown, layers = _shown(results)
    points = [r for r in shown if isinstance(r.case.row, ConvRow)]
    compared = [r for r in layers if r.ratio(TORCH) or r.ratio(ONNXRUNTIME)]
    panels = [(_roofline, points), (_bars, compared)]
    filled = [(panel, members) for panel, members in panels if members]
    width, height = SLIDE
    figure = figure_of(_title(results), (1.25 * width, 1.15 * height * max(1, len(filled))), DPI)
    for axes, (panel, members) in zip(figure.subplots(max(1, len(filled)), squeeze=False).flat, filled, strict=False):
        panel(axes, members)
    return figure


def _shown(results: Sequence[Result]) -> tuple[list[Result], list[Result]]:
    """Of the fewest threads and the smallest batch: all, and those of the first pass that each kind has."""
    if not results:
        return [], []
    threads = min(r.case.threads for r in results)
    batch = min((r.case.batch for r in results if r.case.row.category != NETS), default=0)
    shown = [r for r in results if r.case.threads == threads and (r.case.batch == batch or r.case.row.category == NETS)]
    return shown, [r for r in shown if isinstance(r.case.row, (ConvRow, PoolRow))]


def _title(results: Sequence[Result]) -> str:
    shown, layers = _shown(results)
    if not layers:
        return "fastconv: no layer was measured"
    return f"fastconv: N = {layers[0].case.batch}, {counted(layers[0].case.threads, 'thread')}"


# ---- roofline --------------------------------------------------------------------------------------------


def _roofline(axes: "Axes", results: Sequence[Result]) -> None:
    """GFLOP/s over FLOP per compulsory byte, filled points for forward and hollow ones for gradients."""
    low, high = _intensities(results)
    _roofs(axes, results[0].limits, low, high)
    for prefix, label, colour, marker in FAMILIES:
        members = [r for r in results if _family(r) == prefix]
        if not members:
            continue
        axes.plot([], [], marker, color=colour, label=label)
        for fill, forward in (("full", True), ("none", False)):
            part = [r for r in members if (r.case.pass_ == "forward") is forward]
            x, y = [2 * r.macs / r.bytes for r in part], [r.flops / 1e9 for r in part]
            axes.plot(x, y, marker, color=colour, fillstyle=fill, markeredgewidth=1.5)
    axes.plot([], [], "o", color=GREY, fillstyle="none", markeredgewidth=1.5, label="hollow: a gradient")
    axes.set(xscale="log", yscale="log", xlim=(low, high))
    axes.set(xlabel="FLOP per byte, each array read or written once", ylabel="GFLOP/s")
    axes.set_title("Roofline: every convolution of the run")
    axes.legend(fontsize=12, loc="lower right")
    _plain(axes)


def _family(result: Result) -> str:
    """The prefix in FAMILIES; of two passes the first decides."""
    return next((prefix for prefix, *_ in FAMILIES if result.algorithm.startswith(prefix)), "direct")


def _intensities(results: Iterable[Result]) -> tuple[float, float]:
    values = [2 * r.macs / r.bytes for r in results]
    return min(values) / 2, max(values) * 2


def _roofs(axes: "Axes", limits: Limits, low: float, high: float) -> None:
    ridge = limits.peak / limits.bandwidth
    intensity = np.unique(np.clip([low, ridge, high], low, high))
    roof = np.minimum(limits.peak, limits.bandwidth * intensity) / 1e9
    text = f"measured: {limits.peak / 1e9:,.0f} GFLOP/s, copying {limits.bandwidth / 1e9:.0f} GB/s beyond the caches"
    axes.plot(intensity, roof, "-", color=GREY, label=text)


def _plain(axes: "Axes") -> None:
    """1, 2, 5, 10 in place of powers of ten."""
    ticker = require("matplotlib.ticker", extra="bench")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(ticker.FormatStrFormatter("%g"))
        axis.set_minor_formatter(ticker.NullFormatter())


# ---- bars ------------------------------------------------------------------------------------------------


def _bars(axes: "Axes", results: Sequence[Result]) -> None:
    """For each layer: times as fast as the better torch layout forward and backward, and as onnxruntime."""
    names = list(dict.fromkeys(r.case.row.name for r in results))
    passes = [p for p in PASSES if any(r.case.pass_ == p for r in results)]
    last = "backward" if "backward" in passes else passes[-1]
    series: tuple[tuple[str, str, str, str], ...] = (
        (passes[0], TORCH, BLUE, f"{PASSES[passes[0]]}, against torch's better layout"),
        (last, TORCH, VERMILION, f"{PASSES[last]}, against torch's better layout (pools: d input)"),
    )
    if last == passes[0]:
        series = series[:1]
    for index, (pass_, peer, colour, label) in enumerate(series):
        ratios = _ratios(results, pass_, peer)
        _draw_series(axes, names, ratios, index - (len(series) - 1) / 2, colour, label)
    _marks(axes, names, _ratios(results, "forward", ONNXRUNTIME))
    _label(axes, names)


def _ratios(results: Iterable[Result], pass_: str, peer: str) -> dict[str, float]:
    """By name of the row; a pool's only gradient counts as all gradients."""
    found: dict[str, float] = {}
    for r in results:
        same = r.case.pass_ == pass_ or (
            pass_ == "backward" and isinstance(r.case.row, PoolRow) and r.case.pass_ != "forward"
        )
        ratio = r.ratio(peer)
        if same and ratio is not None:
            found[r.case.row.name] = ratio
    return found


def _draw_series(
    axes: "Axes", names: Sequence[str], ratios: dict[str, float], shift: float, colour: str, label: str
) -> None:
    """Bars grow from 1, upwards where fastconv wins and downwards where it loses."""
    if not ratios:
        return
    places = [i + shift * BAR for i, name in enumerate(names) if name in ratios]
    heights = [ratios[name] - 1 for name in names if name in ratios]
    mean = geometric_mean(list(ratios.values()))
    axes.bar(places, heights, BAR, bottom=1, color=colour, label=f"{label}: geometric mean {mean:.2f}")


def _marks(axes: "Axes", names: Sequence[str], ratios: dict[str, float]) -> None:
    if ratios:
        places = [i for i, name in enumerate(names) if name in ratios]
        mean = geometric_mean(list(ratios.values()))
        axes.plot(
            places, [ratios[names[i]] for i in places], "_", color="black", markersize=9, markeredgewidth=2,
            label=f"forward, against onnxruntime: geometric mean {mean:.2f}",
        )  # fmt: skip


def _label(axes: "Axes", names: Sequence[str]) -> None:
    axes.axhline(1, color=GREY, linewidth=1)
    axes.set(yscale="log", xlim=(-1, len(names)), ylabel="times as fast; below 1 slower")
    low, high = axes.get_ylim()
    axes.set_ylim(min(low, 0.5), max(high, 2) * 2)    # room for the legend
    ticks: Any = [t for t in (0.1, 0.25, 0.5, 1, 2, 4, 8, 16, 32) if axes.get_ylim()[0] <= t <= axes.get_ylim()[1]]
    axes.set_yticks(ticks, [f"{t:g}" for t in ticks])
    axes.minorticks_off()
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=min(12, 900 / len(names)))
    axes.set_title("How many times as fast fastconv is")
    axes.legend(fontsize=12, loc="upper left")
