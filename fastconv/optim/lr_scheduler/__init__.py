# SPDX-License-Identifier: BSD-3-Clause
"""Learning-rate schedules, with PyTorch's names, defaults, formulas and state dicts.

Call ``scheduler.step()`` after ``optimizer.step()``: once for each epoch, or for each batch, whatever the numbers of
the schedule count. Each schedule but OneCycleLR goes from the present rate to the next, so several on one optimiser
multiply; :class:`SequentialLR` puts one after the other. No rate falls below 0.

To resume to the same bits, save the state dicts of model, optimiser and scheduler; make all three anew; load them.

In the formulas t counts the calls of step() from 0.

>>> import numpy as np
>>> from fastconv import nn, optim
>>> optimizer = optim.SGD([nn.Parameter(np.zeros(1))], lr=1.0)
>>> warm_up, decay = LinearLR(optimizer, 0.25, total_iters=3), CosineAnnealingLR(optimizer, 4)
>>> scheduler = SequentialLR(optimizer, [warm_up, decay], [3])
>>> rates = []
>>> for _ in range(8):
...     rates.append(round(optimizer.param_groups[0]["lr"], 3))
...     optimizer.step()
...     scheduler.step()
>>> rates
[0.25, 0.5, 0.75, 1.0, 0.854, 0.5, 0.146, 0.0]
"""

from fastconv.optim.lr_scheduler.base import LRScheduler
from fastconv.optim.lr_scheduler.one_cycle import OneCycleLR
from fastconv.optim.lr_scheduler.plateau import ReduceLROnPlateau
from fastconv.optim.lr_scheduler.sequential import SequentialLR
from fastconv.optim.lr_scheduler.steps import CosineAnnealingLR, LinearLR, MultiStepLR, StepLR

__all__ = [
    "CosineAnnealingLR", "LRScheduler", "LinearLR", "MultiStepLR", "OneCycleLR", "ReduceLROnPlateau", "SequentialLR",
    "StepLR",
]
