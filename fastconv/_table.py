# SPDX-License-Identifier: BSD-3-Clause
"""Tables as text: the report of a training step, and the summary of a model."""

from collections.abc import Collection, Sequence

GAP = "  "


def aligned(row: Sequence[str], widths: Sequence[int], left: Collection[int]) -> str:
    """The cells of a row in columns of these widths; those whose numbers are in `left` begin at the left.

    >>> aligned(["a", "1"], [3, 4], left={0})
    'a       1'
    """
    cells = (
        cell.ljust(width) if column in left else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(row, widths, strict=True))
    )
    return GAP.join(cells).rstrip()


def rule(widths: Sequence[int]) -> str:
    """A line as wide as the table."""
    return "─" * (sum(widths) + len(GAP) * (len(widths) - 1))
