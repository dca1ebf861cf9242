# SPDX-License-Identifier: BSD-3-Clause
"""What `fit` returns: the numbers of each epoch, and their picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fastconv.ops._check import shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class History(Mapping[str, "list[float]"]):
    """A list for each name, with a number for each epoch: `history["val_loss"][-1]`.

    rows: the same as a list of dicts, one for each epoch.

    >>> history = History([{"loss": 0.5, "val_loss": 0.7}, {"loss": 0.25, "val_loss": 0.5}])
    >>> history["loss"], len(history.rows), list(history)
    ([0.5, 0.25], 2, ['loss', 'val_loss'])
    """

    def __init__(self, rows: Sequence[Mapping[str, float]] = ()) -> None:
        self.rows: list[dict[str, float]] = [dict(row) for row in rows]

    def __getitem__(self, name: str) -> list[float]:
        if name not in list(self):
            raise KeyError(f"{shown(name)}; there are {', '.join(self) or 'no epochs yet'}")
        return [row.get(name, float("nan")) for row in self.rows]

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(name for row in self.rows for name in row))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def plot(self, path: str | Path | None = None, title: str = "") -> Figure:
        """A curve of the loss and of each metric by epoch; a matplotlib Figure, written to `path` as .png if given.

        Raises MissingExtra without matplotlib, ValueError where there is no epoch yet.
        """
        if not self.rows:
            raise ValueError("there is no epoch to plot yet")
        from fastconv import viz  # imports what training needs not

        figure: Figure = viz.curves(self, title)
        if path is not None:
            viz.save(figure, path)
        return figure

    def __repr__(self) -> str:
        last = ", ".join(f"{name}={value:.4g}" for name, value in self.rows[-1].items()) if self.rows else ""
        return f"History({len(self.rows)} epochs{': ' if last else ''}{last})"
