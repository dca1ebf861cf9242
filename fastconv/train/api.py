# SPDX-License-Identifier: BSD-3-Clause
"""`fit`, `evaluate` and `predict`: their arguments, checked and completed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fastconv import nn, optim
from fastconv.data.dataset import Dataset
from fastconv.data.loader import DataLoader, Transform
from fastconv.errors import WeightsError
from fastconv.ops._check import integer, shown
from fastconv.optim import Optimizer
from fastconv.train.callbacks import Callback, Checkpoint
from fastconv.train.checkpoint import load_checkpoint
from fastconv.train.history import History
from fastconv.train.loop import Training, evaluating, judge
from fastconv.train.metrics import Array, Metric, chosen, criterion
from fastconv.train.progress import reporter

BATCH = 32
EVALUATION_BATCH = 256


def fit(
    model: nn.Module,
    train: Any,
    validation: Any = None,
    *,
    epochs: int = 1,
    optimizer: Optimizer | None = None,
    loss: Callable[..., Any] | None = None,
    metrics: Iterable[str | Metric] | None = None,
    callbacks: Sequence[Callback] = (),
    batch_size: int | None = None,
    shuffle: bool | None = None,
    seed: int | None = None,
    transform: Transform | None = None,
    verbose: int | str = "auto",
    resume: str | Path | bool | None = None,
) -> History:
    """Train `model` in place, and tell how it went.

    train: (inputs, targets), two arrays of one length; a sequence of such pairs; a DataLoader of either; or a Dataset,
        whose test part is then the validation data, if no others are given.
    validation: the same; looked at after each epoch, and never learnt from.
    epochs: how many in all, those of a checkpoint to go on from included.
    optimizer: of model's parameters; by default Adam with its defaults.
    loss: function of (outputs, targets), two tensors, that gives the mean over the batch; by default
        nn.CrossEntropyLoss(). Penalties of the layers, nn.regularization_loss, are added in training, and told as
        "penalty".
    metrics: "accuracy", "top5_accuracy", and functions of (outputs, targets), two arrays, that give a number for each
        sample, or their mean. By default accuracy, for a loss of classes.
    callbacks: see fastconv.callbacks.
    batch_size, shuffle, seed, transform: of the DataLoader that is made of `train`: 32, True, and as there.
    verbose: 1, a progress bar (needs tqdm); 2, a line for each epoch; 0, nothing; "auto", a bar on a terminal.
    resume: the file of a Checkpoint to go on from, with the arguments of the fit that wrote it; True for that of the
        Checkpoint among the callbacks, if it is there. The result has the same bits as without the interruption.

    Returns a History: "loss", metrics, the same of the validation data as "val_loss" and so on, "lr",
    "images_per_second". Losses and metrics of the training data are means of what each batch gave before it was learnt
    from.

    Raises TypeError or ValueError naming the argument, Diverged where the loss is no number any more; for `resume`
    OSError, and WeightsError, with nothing changed, for a file that is damaged or of another training.

    >>> from fastconv import data, models
    >>> history = fit(models.build("lenet"), data.load("digits"), epochs=2, seed=0, verbose=0)
    >>> history["val_loss"][1] < history["val_loss"][0]
    True
    """
    _check_model(model)
    if isinstance(train, Dataset):
        train, validation = train.train, train.test if validation is None else validation
    training = Training(
        model,
        _train_loader(train, batch_size, shuffle, seed, transform),
        None if validation is None else _loader("validation", validation, EVALUATION_BATCH),
        _optimizer(optimizer, model),
        criterion(loss),
        chosen(metrics, criterion(loss)),
        integer("epochs", epochs, 1),
        [*reporter(verbose), *_ordered(callbacks)],
    )
    path = _resume_path(resume, training.callbacks)
    try:
        training.begin()
        if path is not None:
            _resume(training, path)
        training.run()
    finally:
        training.close()
    return training.history


def evaluate(
    model: nn.Module, data: Any, *, loss: Callable[..., Any] | None = None,
    metrics: Iterable[str | Metric] | None = None, batch_size: int | None = None,
) -> dict[str, float]:
    """The mean loss and metrics of `model` on data, all as for `fit`, without penalties; of a Dataset the test part.

    The model is in evaluation mode meanwhile, and afterwards in the mode it was in.

    >>> from fastconv import models
    >>> images, labels = np.zeros((3, 1, 28, 28), np.float32), np.arange(3)
    >>> list(evaluate(models.build("lenet"), (images, labels)))
    ['loss', 'accuracy']
    """
    _check_model(model)
    loader = _loader("data", data.test if isinstance(data, Dataset) else data, batch_size)
    return judge(model, loader, criterion(loss), chosen(metrics, criterion(loss)))


def predict(model: nn.Module, inputs: Any, *, batch_size: int | None = None) -> Array:
    """The outputs of `model`, in evaluation mode, for inputs (N, ...): an array (N, ...).

    inputs: an array; or a DataLoader, of inputs or of pairs whose second is left aside.

    >>> from fastconv import models
    >>> predict(models.build("lenet"), np.zeros((3, 1, 28, 28), np.float32)).shape
    (3, 10)
    """
    _check_model(model)
    if not isinstance(inputs, (np.ndarray, DataLoader)):
        raise TypeError(f"inputs must be an array or a DataLoader, got {shown(inputs)}")
    loader = _loader("inputs", inputs, batch_size)
    with evaluating(model):
        parts = [np.asarray(model(batch[0] if isinstance(batch, tuple) else batch)) for batch in loader]
    return np.concatenate(parts)


def _check_model(model: object) -> None:
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a fastconv.nn.Module, got {shown(model)}")


def _loader(name: str, data: Any, batch_size: int | None, **options: Any) -> DataLoader:
    """A DataLoader of `data`, which `name` stands for in errors; one that is given stays as it is."""
    if isinstance(data, DataLoader):
        given = {"batch_size": batch_size, **options}
        for option, value in given.items():
            if value is not None and (name != "validation" or option != "batch_size"):
                raise ValueError(f"{option} is the DataLoader's, given for {name}, got {shown(value)}: leave it out")
        loader = data
    else:
        size = EVALUATION_BATCH if batch_size is None else batch_size
        try:
            loader = DataLoader(data, size, **{"seed": 0, **options})    # a seed, so that none is drawn for nothing
        except (TypeError, ValueError) as error:
            if not str(error).startswith("data "):
                raise
            raise type(error)(f"{name}{str(error).removeprefix('data')}") from None
    if not len(loader):
        raise ValueError(f"{name} must give at least one batch, got one of {loader.length} items")
    return loader


def _train_loader(
    data: Any, batch_size: int | None, shuffle: bool | None, seed: int | None, transform: Transform | None
) -> DataLoader:
    options: dict[str, Any] = {"shuffle": shuffle, "seed": seed, "transform": transform}
    if not isinstance(data, DataLoader):
        batch_size = BATCH if batch_size is None else batch_size
        options["shuffle"] = True if shuffle is None else shuffle
    return _loader("train", data, batch_size, **options)


def _optimizer(optimizer: Optimizer | None, model: nn.Module) -> Optimizer:
    if optimizer is None:
        return optim.Adam(model.parameters())
    if not isinstance(optimizer, Optimizer):
        raise TypeError(
            f"optimizer must be one of fastconv.optim, such as optim.Adam(model.parameters()), got {shown(optimizer)}"
        )
    own = {id(parameter) for parameter in model.parameters()}
    if not any(id(parameter) in own for group in optimizer.param_groups for parameter in group["params"]):
        raise ValueError("optimizer has none of model's parameters: make it of model.parameters()")
    return optimizer


def _ordered(callbacks: Iterable[Any]) -> list[Callback]:
    """Checkpoints last, because they hold what the others have made of the epoch."""
    if isinstance(callbacks, Callback) or not isinstance(callbacks, Iterable):
        raise TypeError(f"callbacks must be a list of callbacks, got {shown(callbacks)}")
    found = list(callbacks)
    for i, callback in enumerate(found):
        if not isinstance(callback, Callback):
            fix = f": write {callback.__name__}(...)" if isinstance(callback, type) else ""
            raise TypeError(f"callbacks[{i}] must be a fastconv.callbacks.Callback, got {shown(callback)}{fix}")
    return sorted(found, key=lambda callback: isinstance(callback, Checkpoint))


def _resume_path(resume: str | Path | bool | None, callbacks: Iterable[Callback]) -> Path | None:
    """The file to go on from, if any."""
    if resume is None or resume is False:
        return None
    if isinstance(resume, (str, Path)):
        return Path(resume)
    if resume is not True:
        raise TypeError(f"resume must be the name of a file, True or None, got {shown(resume)}")
    paths = [callback.path for callback in callbacks if isinstance(callback, Checkpoint)]
    if not paths:
        raise ValueError("resume=True goes on from the file of a Checkpoint, but callbacks has none")
    return paths[0] if paths[0].exists() else None


def _resume(training: Training, path: Path) -> None:
    state: Mapping[str, Any] = load_checkpoint(path)
    try:
        training.load_state_dict(state)
    except ValueError as error:
        raise WeightsError(f"{path} does not fit this training: {error}") from error
