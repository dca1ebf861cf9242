# SPDX-License-Identifier: BSD-3-Clause
"""The exceptions of fastconv that carry more meaning than ValueError."""


class ShapeError(ValueError):
    """Arrays whose shapes do not fit each other, the parameters or the layout."""


class WeightsError(ValueError):
    """A weights file that is malformed, truncated, or not one that fastconv reads."""


class DataError(ValueError):
    """A data set whose files are absent, malformed, or not the ones they should be."""
