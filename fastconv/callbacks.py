# SPDX-License-Identifier: BSD-3-Clause
"""What `fastconv.fit` can be told to do beside training, with Keras's names for it.

>>> from fastconv import callbacks
>>> callbacks.EarlyStopping(patience=3, restore_best=True)
EarlyStopping(monitor='val_loss', patience=3)
"""

from fastconv.train.callbacks import Callback, Checkpoint, EarlyStopping, LearningRateSchedule

__all__ = ["Callback", "Checkpoint", "EarlyStopping", "LearningRateSchedule"]
