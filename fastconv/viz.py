# SPDX-License-Identifier: BSD-3-Clause
"""Pictures of a training run, for slides: each function returns a matplotlib Figure, `save` writes it.

Matplotlib is imported when a picture is made. Its pyplot is not used: no window, no state shared with the
caller's own plots. Colours are told apart by every kind of colour vision, and by lightness in print.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec

import numpy as np

from fastconv import nn
from fastconv._extras import require
from fastconv._files import replacing
from fastconv._trace import trace
from fastconv.data.dataset import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Parameters = ParamSpec("Parameters")

#: A 16:9 slide in inches, and its resolution.
SLIDE = (12.8, 7.2)
DPI = 150

# Okabe and Ito's blue and vermilion.
BLUE, VERMILION = "#0072B2", "#D55E00"
STYLE = {
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.w_pad": 0.1,  # inches
    "figure.constrained_layout.h_pad": 0.1,
    "font.size": 15,
    "axes.titlesize": 18,
    "figure.titlesize": 20,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "lines.linewidth": 2.5,
    "lines.markersize": 7,
    "legend.frameon": False,
}

#: Numbers of a history that are no loss and no metric.
NOT_DRAWN = ("lr", "images_per_second")

# The picture of feature maps: how many maps of a layer, how many below each other, the edge of one in pixels,
# and the width of a layer without maps as a share of the height.
MAPS_SHOWN = 16
MAPS_IN_COLUMN = 8
TILE = 64
STRIP_WIDTH = 0.05

MISTAKES_SHOWN = 40


def styled(make: Callable[Parameters, "Figure"]) -> Callable[Parameters, "Figure"]:
    """Run `make` under STYLE, whatever the user's matplotlibrc says."""

    @wraps(make)
    def styled(*args: Parameters.args, **kwargs: Parameters.kwargs) -> "Figure":
        matplotlib = require("matplotlib", extra="demo")
        with matplotlib.rc_context({**matplotlib.rcParamsDefault, **STYLE}):
            return make(*args, **kwargs)

    return styled


def figure_of(title: str, size: tuple[float, float] = SLIDE, dpi: int = DPI) -> "Figure":
    """An empty figure; size in inches."""
    figure: Figure = require("matplotlib.figure", extra="demo").Figure(figsize=size, dpi=dpi)
    figure.suptitle(title)
    return figure


def save(figure: "Figure", path: str | Path) -> None:
    """Write the figure as .png, whole or not at all."""
    with replacing(path) as file:
        figure.savefig(file, format="png")


# ---- curves ----------------------------------------------------------------------------------------------


@styled
def curves(history: Mapping[str, list[float]], title: str) -> "Figure":
    """Each loss and metric by epoch, on the images learnt from and, under "val_...", on those held out."""
    figure = figure_of(title)
    names = [name for name in history if not name.startswith("val_") and name not in NOT_DRAWN]
    panels = figure.subplots(1, len(names), squeeze=False)[0]
    for axes, name in zip(panels, names, strict=True):
        _draw_curves(axes, name, history)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def _draw_curves(axes: "Axes", name: str, history: Mapping[str, list[float]]) -> None:
    """Accuracies in per cent; losses on a logarithmic axis, if they are above 0."""
    accuracy = name.endswith("accuracy")
    learnt, held_out = (np.array(history.get(key, [])) * (100 if accuracy else 1) for key in (name, f"val_{name}"))
    epochs = range(1, len(learnt) + 1)
    axes.plot(epochs, learnt, "o--", color=BLUE, label="training data, while learning")
    if len(held_out):
        axes.plot(epochs, held_out, "s-", color=VERMILION, label="validation data")
    axes.set(title=name.replace("_", " ").capitalize(), xlabel="epoch", xlim=(0.5, len(learnt) + 0.5))
    axes.xaxis.set_major_locator(_ticker().MaxNLocator(integer=True, min_n_ticks=1))
    if accuracy:
        axes.set(ylabel="right answers (%)")
    elif name == "loss" and min([*learnt, *held_out]) > 0:
        axes.set(yscale="log")
        _plain_numbers(axes)


def _plain_numbers(axes: "Axes") -> None:
    """Label a logarithmic axis 0.05, 0.1, 0.2 instead of with powers of ten."""
    axes.yaxis.set_major_locator(_ticker().LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(_ticker().FormatStrFormatter("%g"))
    axes.yaxis.set_minor_formatter(_ticker().NullFormatter())


def _ticker() -> Any:
    return require("matplotlib.ticker", extra="demo")


# ---- filters ---------------------------------------------------------------------------------------------


@styled
def filters(weight: Array, title: str) -> "Figure":
    """The filters (K, C, height, width) of a convolution: in colour for C = 3, else their first channel."""
    count = len(weight)
    columns = _columns(count)
    figure = figure_of(title)
    grid = figure.subplots(math.ceil(count / columns), columns, squeeze=False)
    limit = float(np.abs(weight).max()) or 1.0
    shown: Any = None
    for index, axes in enumerate(grid.flat):
        axes.set_axis_off()
        if index < count:
            axes.set_title(str(index + 1), fontsize=13, pad=3)
            shown = axes.imshow(_filter_image(weight[index], limit), cmap="RdBu_r", vmin=-limit, vmax=limit)
    if weight.shape[1] != 3:
        figure.colorbar(shown, ax=grid, label="weight", shrink=0.8)
    return figure


def _filter_image(kernel: Array, limit: float) -> Array:
    """(height, width), or (height, width, 3) in [0, 1] for three channels."""
    if len(kernel) != 3:
        first: Array = kernel[0]
        return first
    return kernel.transpose(1, 2, 0) / (2 * limit) + 0.5


def _columns(count: int) -> int:
    """How many columns suit `count` squares on a slide: about as many as fill it, leaving few gaps."""
    ideal = math.sqrt(count * SLIDE[0] / SLIDE[1])
    candidates = range(max(1, math.floor(ideal)), math.ceil(ideal) + 2)
    return min(count, min(candidates, key=lambda columns: (-count % columns, abs(columns - ideal))))


# ---- feature maps ----------------------------------------------------------------------------------------


@styled
def feature_maps(model: nn.Module, image: Array, label: str, classes: Sequence[str]) -> "Figure":
    """One image (C, H, W) on its way through `model`, from left to right, and the score of each class.

    A layer of maps is a block of them, the first MAPS_SHOWN; a layer of numbers is a strip with a cell for
    each. Layers that only reshape are left out. The model should be in evaluation mode.
    """
    calls = [c for c in trace(model, image[None]) if not isinstance(c.layer, (nn.Flatten, nn.Dropout))]
    blocks = [_mosaic(c.output[0]) if c.output.ndim == 4 else c.output.T for c in calls]
    widths = [max(block.shape[1] / len(block), STRIP_WIDTH) for block in blocks]
    figure = figure_of(f"An image of class {label} on its way through the network")
    figure.supxlabel("each layer's colours run from its lowest value, dark, to its highest", fontsize=13)
    first, *axes, last = figure.subplots(1, len(calls) + 2, width_ratios=[0.2, *widths, 0.25])
    first.imshow(_picture(image), cmap="gray")
    _title(first, "input", image.shape)
    for ax, block, call in zip(axes, blocks, calls, strict=True):
        ax.imshow(block, cmap="viridis", aspect="equal" if call.output.ndim == 4 else "auto")
        _title(ax, call.name, call.output.shape[1:])
    _draw_scores(last, calls[-1].output[0], classes)
    return figure


def _mosaic(maps: Array) -> Array:
    """The first maps (K, H, W) one below the other, MAPS_IN_COLUMN to a column, with NaN between them."""
    edge, pitch = TILE, TILE + TILE // 8
    columns = math.ceil(min(len(maps), MAPS_SHOWN) / MAPS_IN_COLUMN)
    canvas = np.full((MAPS_IN_COLUMN * pitch, columns * pitch), np.nan, maps.dtype)
    rows_of, columns_of = (np.arange(edge) * size // edge for size in maps.shape[1:])
    for index, tile in enumerate(maps[:MAPS_SHOWN]):
        left, top = (pitch * place for place in divmod(index, MAPS_IN_COLUMN))
        canvas[top : top + edge, left : left + edge] = tile[np.ix_(rows_of, columns_of)]
    return canvas


def _title(axes: "Axes", name: str, shape: Sequence[int]) -> None:
    some = f"\nfirst {MAPS_SHOWN}" if len(shape) == 3 and shape[0] > MAPS_SHOWN else ""
    axes.set_title(f"{name}\n{'x'.join(map(str, shape))}{some}", fontsize=12)
    axes.set_axis_off()


def _picture(image: Array) -> Array:
    """(C, H, W) as imshow wants it: (H, W, 3) in colour where there are three channels, else (H, W)."""
    return image.transpose(1, 2, 0) if len(image) == 3 else image[0]


def _draw_scores(axes: "Axes", logits: Array, classes: Sequence[str]) -> None:
    exponentials = np.exp(logits - logits.max())
    axes.barh(classes, exponentials / exponentials.sum(), color=BLUE)
    # From the top down, and each bar beside the cell of its class in the last layer's strip.
    axes.set(ylabel="class", ylim=(len(classes) - 0.5, -0.5))
    axes.set(xlabel="probability", xlim=(0, 1), xticks=(0, 0.5, 1))
    axes.set_title("softmax", fontsize=12)
    axes.grid(visible=False, axis="y")


# ---- mistakes --------------------------------------------------------------------------------------------


@styled
def mistakes(images: Array, labels: Array, predictions: Array, classes: Sequence[str]) -> "Figure":
    """The images (N, C, H, W) whose prediction (N,) is not the label (N,), the first MISTAKES_SHOWN."""
    wrong = np.flatnonzero(predictions != labels)
    shown = wrong[:MISTAKES_SHOWN]
    figure = figure_of(_count_mistakes(len(wrong), len(shown), len(images)))
    if not len(shown):
        figure.suptitle(figure.get_suptitle(), y=0.5)
        return figure
    columns = _columns(len(shown))
    grid = figure.subplots(math.ceil(len(shown) / columns), columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, index in zip(grid.flat, shown, strict=False):
        axes.imshow(_picture(images[index]), cmap="gray")
        truth, answer = classes[labels[index]], classes[predictions[index]]
        axes.set_title(f"{truth}, read as {answer}", fontsize=18 if columns <= 5 else 13, pad=4)
    return figure


def _count_mistakes(wrong: int, shown: int, total: int) -> str:
    if not wrong:
        return f"None of the {total:,} held-out images is misclassified"
    some = f"; the first {shown}" if shown < wrong else ""
    return f"{wrong:,} of {total:,} held-out images misclassified{some}"
