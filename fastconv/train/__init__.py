# SPDX-License-Identifier: BSD-3-Clause
"""The trainer: `fit`, `evaluate`, `predict`, which fastconv makes public, and what they are made of.

It is written on the public API only, and is what `fastconv train` runs. What happens depends on the seeds alone: the
batches of an epoch come from generators seeded by (seed, epoch), and every operation gives the same bits for any number
of threads.
"""

from fastconv.train.api import evaluate, fit, predict
from fastconv.train.checkpoint import load_checkpoint, save_checkpoint
from fastconv.train.history import History
from fastconv.train.loop import Diverged, Training
from fastconv.train.metrics import accuracy, top_k_accuracy

__all__ = [
    "Diverged", "History", "Training", "accuracy", "evaluate", "fit", "load_checkpoint", "predict", "save_checkpoint",
    "top_k_accuracy",
]
