# SPDX-License-Identifier: BSD-3-Clause
"""The layers that are measured: shapes.csv, published convolutions, and pools.csv, the pools of such nets."""

import csv
import fnmatch
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TypeVar

#: How the rows are grouped in the summary. A layer that Winograd serves best is one class, its 7-wide relatives
#: another: there is too little of a map for its tiles to pay off as much.
WINOGRAD, SEVEN_WIDE, REST, POOLING = "3x3 s1 C,K>=64 W>=14", "3x3 s1 7 wide", "other convolutions", "pooling"

BYTES = 4    # of a float32

Shape = tuple[int, int, int, int]
Row = TypeVar("Row")


@dataclass(frozen=True)
class ConvRow:
    """One convolution; sizes as in shapes.csv: C x H x W -> K filters of R x S."""

    id: str
    net: str
    layer: str
    channels: int
    height: int
    width: int
    filters: int
    kernel: tuple[int, int]
    stride: int
    padding: int
    groups: int

    @property
    def name(self) -> str:
        return f"{self.net}/{self.layer}"

    @property
    def problem(self) -> str:
        """The problem in the words that `parse` of fastconv.explanation reads too."""
        rows, columns = self.kernel
        extras = "".join((
            f" s{self.stride}" if self.stride > 1 else "",
            f" p{self.padding}" if self.padding else "",
            f" g{self.groups}" if self.groups > 1 else "",
        ))
        return f"{self.channels}x{self.height}x{self.width} -> {self.filters} {rows}x{columns}{extras}"

    @property
    def brief(self) -> str:
        """The problem in at most 20 columns, for tables: C@W, kernel, K; then /stride and g groups."""
        extent = f"{self.width}" if self.height == self.width else f"{self.height}x{self.width}"
        stride, groups = (f"{mark}{n}" if n > 1 else "" for mark, n in (("/", self.stride), (" g", self.groups)))
        rows, columns = self.kernel
        return f"{self.channels}@{extent} {rows}x{columns} {self.filters}{stride}{groups}"

    @property
    def category(self) -> str:
        plain = self.kernel == (3, 3) and self.stride == self.groups == 1
        if plain and min(self.channels, self.filters) >= 64:
            if self.width >= 14:
                return WINOGRAD
            if self.width == 7:
                return SEVEN_WIDE
        return REST

    @property
    def weight(self) -> Shape:
        return self.filters, self.channels // self.groups, *self.kernel

    def input(self, batch: int) -> Shape:
        return batch, self.channels, self.height, self.width

    def output(self, batch: int) -> Shape:
        height, width = (
            (size + 2 * self.padding - kernel) // self.stride + 1
            for size, kernel in zip((self.height, self.width), self.kernel, strict=True)
        )
        return batch, self.filters, height, width

    def macs(self, batch: int) -> int:
        """Multiply-accumulates of one pass, padding included."""
        return size(self.output(batch)) * size(self.weight[1:])

    def bytes(self, batch: int) -> int:
        """Compulsory traffic of one pass: each of the three arrays once."""
        return BYTES * (size(self.input(batch)) + size(self.output(batch)) + size(self.weight))


@dataclass(frozen=True)
class PoolRow:
    """One pool, of kind "max" or "avg", of R x R windows over C x H x W."""

    id: str
    net: str
    layer: str
    kind: str
    channels: int
    height: int
    width: int
    kernel: int
    stride: int
    padding: int

    category = POOLING

    @property
    def name(self) -> str:
        return f"{self.net}/{self.layer}"

    @property
    def problem(self) -> str:
        extras = f" s{self.stride}" + (f" p{self.padding}" if self.padding else "")
        return f"{self.kind} {self.channels}x{self.height}x{self.width} {self.kernel}x{self.kernel}{extras}"

    @property
    def brief(self) -> str:
        return f"{self.kind} {self.channels}@{self.width} {self.kernel}x{self.kernel}/{self.stride}"

    def input(self, batch: int) -> Shape:
        return batch, self.channels, self.height, self.width

    def output(self, batch: int) -> Shape:
        height, width = (
            (extent + 2 * self.padding - self.kernel) // self.stride + 1 for extent in (self.height, self.width)
        )
        return batch, self.channels, height, width

    def bytes(self, batch: int) -> int:
        """Compulsory traffic: the input and the output once."""
        return BYTES * (size(self.input(batch)) + size(self.output(batch)))


def size(shape: Sequence[int]) -> int:
    result = 1
    for extent in shape:
        result *= extent
    return result


@cache
def convolutions() -> tuple[ConvRow, ...]:
    """The rows of shapes.csv.

    >>> convolutions()[1].problem
    '64x56x56 -> 64 3x3 p1'
    """
    return _read("shapes.csv", _conv_row)


@cache
def pools() -> tuple[PoolRow, ...]:
    """The rows of pools.csv.

    >>> pools()[0].problem
    'max 64x112x112 3x3 s2 p1'
    """
    return _read("pools.csv", _pool_row)


def _read(name: str, make: Callable[[dict[str, str]], Row]) -> tuple[Row, ...]:
    text = resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
    return tuple(map(make, csv.DictReader(text.splitlines())))


def _conv_row(cells: dict[str, str]) -> ConvRow:
    c, h, w, k, r, s, stride, pad, groups = (
        int(cells[key]) for key in ("C", "H", "W", "K", "R", "S", "stride", "pad", "groups")
    )
    return ConvRow(cells["id"], cells["net"], cells["layer"], c, h, w, k, (r, s), stride, pad, groups)


def _pool_row(cells: dict[str, str]) -> PoolRow:
    numbers = (int(cells[key]) for key in ("C", "H", "W", "R", "stride", "pad"))
    return PoolRow(cells["id"], cells["net"], cells["layer"], cells["kind"], *numbers)


def matches(pattern: str, *names: str) -> bool:
    """Whether a comma-separated list of shell patterns has one that fits any of the names. Case does not count.

    >>> matches("vgg,resnet50/*3x3", "resnet50/res2_3x3", "resnet50"), matches("lenet", "googlenet/conv2", "googlenet")
    (True, False)
    """
    wanted = [part.strip().lower() for part in pattern.split(",") if part.strip()]
    return any(fnmatch.fnmatchcase(name.lower(), part) for part in wanted for name in names)
