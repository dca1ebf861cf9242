# SPDX-License-Identifier: BSD-3-Clause
"""A normalisation by given statistics, and the convolution that does it on the way.

    (w * x + b - mean) * scale + bias = (scale w) * x + ((b - mean) scale + bias)

scale and the sum on the right are computed in float64; each number of the new weights and the new bias is rounded once.
"""

from typing import NamedTuple

import numpy as np

from fastconv.ops._check import Array


class Normalization(NamedTuple):
    """Per channel, (x - mean) * scale + bias by given float64 statistics; scale = weight / sqrt(var + eps)."""

    mean: Array
    var: Array
    weight: Array | None
    bias: Array | None
    eps: float

    def stamp(self) -> tuple[bytes | float | None, ...]:
        """All its numbers, to compare."""
        return tuple(v.tobytes() if isinstance(v, np.ndarray) else v for v in self)

    def folded_into(self, weight: Array, bias: Array | None) -> tuple[Array, Array] | None:
        """Weights and bias of the convolution that gives the normalised result of the one with these; each number is
        rounded once. None where one is not finite, or the types differ."""
        if any(v is not None and v.dtype != weight.dtype for v in (self.weight, self.bias)):
            return None
        with np.errstate(all="ignore"):
            scale = (1 if self.weight is None else self.weight) / np.sqrt(self.var + self.eps)
            shift = ((0 if bias is None else bias) - self.mean) * scale + (0 if self.bias is None else self.bias)
            scaled = (weight * scale.reshape(-1, *(1,) * (weight.ndim - 1))).astype(weight.dtype)
            shifted = shift.astype(weight.dtype)
        return (scaled, shifted) if np.isfinite(scaled).all() and np.isfinite(shifted).all() else None
