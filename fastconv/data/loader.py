# SPDX-License-Identifier: BSD-3-Clause
"""Batches of a data set, epoch by epoch, made in the background and in an order that can be resumed.

What batch i of epoch e holds depends on (seed, e, i) alone: the order of the epoch is a permutation drawn from
(seed, e, 0), and the transform of the batch draws from a generator seeded by (seed, e, 1 + i). So prefetching changes
nothing, and the state of a loader is three numbers.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import islice
from typing import Any

import numpy as np

from fastconv.data.dataset import Array, Batch, Dataset
from fastconv.ops._check import flag, integer, shown
from fastconv.random import generator

Transform = Callable[[Array, np.random.Generator], Array]

MAX_SEED = 2**64 - 1
MAX_COUNT = 2**63 - 1

#: What must be the same for a state to mean the same batches.
CONDITIONS = ("length", "batch_size", "shuffle", "drop_last")


class DataLoader:
    """Iterating over it is one epoch: its batches, in order or shuffled anew each time.

    data: an array; a tuple of arrays of one length, such as (images, labels); or any sequence with len() and [i] whose
        items are arrays or numbers, or tuples of them, all of the same shapes. A batch is an array or a tuple like an
        item, with one more axis in front; a tuple of two is a Batch(images, labels).
    batch_size: items in a batch; the last one holds the rest, or is left out with drop_last.
    shuffle: a new order in each epoch. Without it batches of arrays share the memory of `data`.
    seed: of orders and transforms; an integer or a numpy.random.Generator to draw one from. By default one is drawn
        from the generator of fastconv.manual_seed.
    transform: a function of (images, rng), such as those in data.transforms, applied to each batch, or to the first of
        its tuple.
    prefetch: how many batches a background thread makes ahead; 0 makes each when asked for. Then items and transforms
        are computed in that thread, and exceptions come out where the batch is asked for. The thread ends with the
        iteration, also with one that is broken off.

    Raises TypeError or ValueError naming the argument.

    >>> import numpy as np
    >>> images, labels = np.zeros((5, 1, 8, 8), np.float32), np.arange(5)
    >>> loader = DataLoader((images, labels), 2, shuffle=True, seed=0)
    >>> [batch.labels.tolist() for batch in loader], len(loader)
    ([[2, 4], [3, 0], [1]], 3)
    >>> [batch.images.shape for batch in loader]
    [(2, 1, 8, 8), (2, 1, 8, 8), (1, 1, 8, 8)]
    """

    def __init__(
        self,
        data: Any,
        batch_size: int = 1,
        shuffle: bool = False,
        *,
        seed: int | np.random.Generator | None = None,
        drop_last: bool = False,
        transform: Transform | None = None,
        prefetch: int = 2,
    ) -> None:
        self.length = _length(data)
        self.data = data
        self.batch_size = integer("batch_size", batch_size, 1)
        self.shuffle = flag("shuffle", shuffle)
        self.drop_last = flag("drop_last", drop_last)
        self.seed = _seed(seed)
        if transform is not None and not callable(transform):
            raise TypeError(f"transform must be a function of (images, rng), got {shown(transform)}")
        self.transform = transform
        self.prefetch = integer("prefetch", prefetch, 0)
        self._next = _Position(0, 0)
        self._current: _Position | None = None

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        return self.length // self.batch_size if self.drop_last else -(-self.length // self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        """Begin the next epoch; after load_state_dict, go on with the one that was saved."""
        position, self._next = self._next, _Position(self._next.epoch + 1, 0)
        self._current = position
        return _counted(self._batches(position), position)

    def _batches(self, start: "_Position") -> Generator[Any, None, None]:
        make, last = _Maker(self, start.epoch), len(self)
        if self.prefetch:
            return _prefetched(make, start.batch, last, self.prefetch)
        return (make(number) for number in range(start.batch, last))

    def state_dict(self) -> dict[str, Any]:
        """Where the latest iteration stands, as numbers that can be written as JSON.

        A batch counts from the moment it is handed out: taken after the step that learns from it, the state leads to
        the batch after it; inside the loop after the last one, to the end of this epoch; after the loop, to the next.

        >>> loader = DataLoader(np.arange(6), 2)
        >>> [(state["epoch"], state["batch"]) for batch in loader for state in [loader.state_dict()]]
        [(0, 1), (0, 2), (0, 3)]
        >>> loader.state_dict()["epoch"], loader.state_dict()["batch"]
        (1, 0)
        """
        position = self._current or self._next
        conditions = {name: getattr(self, name) for name in CONDITIONS}
        return {"seed": self.seed, "epoch": position.epoch, "batch": position.batch, **conditions}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where `state` was taken: the next iteration gives the rest of that epoch, bit for bit.

        Raises KeyError for a state that lacks a number, TypeError or ValueError for one that is wrong, or that was
        taken from a loader of other data, batch_size, shuffle or drop_last; then nothing is changed.

        >>> loader = DataLoader(np.arange(6), 2)
        >>> loader.load_state_dict(loader.state_dict() | {"epoch": 3, "batch": 1})
        >>> [batch.tolist() for batch in loader]
        [[2, 3], [4, 5]]
        """
        for name in CONDITIONS:
            if state[name] != getattr(self, name):
                raise ValueError(
                    f"state was taken with {name}={shown(state[name])}, this loader has {getattr(self, name)}"
                )
        seed = integer("seed", state["seed"], 0, MAX_SEED)
        epoch = integer("epoch", state["epoch"], 0, MAX_COUNT)
        batch = integer("batch", state["batch"], 0, len(self))
        self.seed, self._next, self._current = seed, _Position(epoch, batch), None


class _Position:
    """An epoch, and how many of its batches have been handed out; the next epoch, once this one has ended."""

    def __init__(self, epoch: int, batch: int) -> None:
        self.epoch = epoch
        self.batch = batch


class _Maker:
    """Makes the batches of one epoch, by number."""

    def __init__(self, loader: DataLoader, epoch: int) -> None:
        self.data, self.transform, self.batch_size = loader.data, loader.transform, loader.batch_size
        self.key = (loader.seed, epoch)
        self.order = np.random.default_rng((*self.key, 0)).permutation(loader.length) if loader.shuffle else None
        self.length = loader.length

    def __call__(self, number: int) -> Any:
        part = slice(number * self.batch_size, min((number + 1) * self.batch_size, self.length))
        batch = _items(self.data, part if self.order is None else self.order[part])
        if self.transform is None:
            return batch
        rng = np.random.default_rng((*self.key, 1 + number))
        if not isinstance(batch, tuple):
            return self.transform(batch, rng)
        return _joined((self.transform(batch[0], rng), *batch[1:]))


def _counted(made: Generator[Any, None, None], position: _Position) -> Iterator[Any]:
    with closing(made):
        for batch in made:
            position.batch += 1
            yield batch
    position.epoch, position.batch = position.epoch + 1, 0


def _prefetched(make: Callable[[int], Any], first: int, last: int, ahead: int) -> Generator[Any, None, None]:
    """make(first) to make(last - 1), each asked for `ahead` batches before it is needed."""
    from concurrent.futures import ThreadPoolExecutor  # only who prefetches waits for its import

    numbers = iter(range(first, last))
    with ThreadPoolExecutor(1, thread_name_prefix="fastconv-data") as worker:
        waiting = deque(worker.submit(make, number) for number in islice(numbers, ahead))
        try:
            while waiting:
                batch = waiting.popleft().result()
                waiting.extend(worker.submit(make, number) for number in islice(numbers, 1))
                yield batch
        finally:
            for future in waiting:
                future.cancel()


# ---- what data is ----------------------------------------------------------------------------------------------------


def _length(data: Any) -> int:
    """TypeError unless `data` is one of the three kinds, ValueError where arrays differ in length."""
    if _are_arrays(data):
        lengths = [len(array) if array.ndim else 0 for array in data]
        if len(set(lengths)) > 1 or not all(array.ndim for array in data):
            raise ValueError(f"data must be arrays of one length, got shapes {[array.shape for array in data]}")
        return lengths[0]
    if isinstance(data, np.ndarray) and not data.ndim:
        raise ValueError("data must have items, got an array without axes")
    if isinstance(data, Dataset):
        raise TypeError("data must be what to iterate over, got a Dataset. Pass a part: data.train or data.test.")
    if isinstance(data, (str, bytes, Mapping)) or not (hasattr(data, "__len__") and hasattr(data, "__getitem__")):
        raise TypeError(f"data must be an array, a tuple of arrays or a sequence of items, got {shown(data)}")
    return len(data)


def _are_arrays(data: Any) -> bool:
    return isinstance(data, tuple) and bool(data) and all(isinstance(part, np.ndarray) for part in data)


def _items(data: Any, which: slice | Array) -> Any:
    """The batch of those items."""
    if isinstance(data, np.ndarray):
        return data[which]
    if _are_arrays(data):
        return _joined(tuple(array[which] for array in data))
    numbers = range(which.start, which.stop) if isinstance(which, slice) else which.tolist()
    return _stacked([data[number] for number in numbers])


def _stacked(items: Sequence[Any]) -> Any:
    if isinstance(items[0], tuple):
        return _joined(tuple(np.stack([np.asarray(part) for part in parts]) for parts in zip(*items, strict=True)))
    return np.stack([np.asarray(item) for item in items])


def _joined(parts: tuple[Any, ...]) -> tuple[Any, ...]:
    return Batch(*parts) if len(parts) == 2 else parts


def _seed(seed: object) -> int:
    if seed is None:
        seed = generator()
    if isinstance(seed, np.random.Generator):
        return int(seed.integers(0, MAX_SEED, dtype=np.uint64))
    return integer("seed", seed, 0, MAX_SEED)
