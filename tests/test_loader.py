# SPDX-License-Identifier: BSD-3-Clause
"""fastconv.data.DataLoader: every item once, the same for a seed, resumable, and no thread left behind."""

import copy
import json
import subprocess
import sys
import threading
import time
from itertools import chain, islice

import numpy as np
import pytest

import fastconv
from fastconv import nn, optim
from fastconv.data import Batch, DataLoader, Dataset, transforms

IMAGES = np.arange(23 * 2 * 4 * 5, dtype=np.float32).reshape(23, 2, 4, 5)
LABELS = np.arange(23)
PREFETCH = (0, 1, 2, 7, 100)


def noise(images, rng):
    return images + rng.normal(size=images.shape).astype(np.float32)


def shuffled(prefetch=2, seed=5, **options):
    return DataLoader((IMAGES, LABELS), 4, True, seed=seed, transform=noise, prefetch=prefetch, **options)


def assert_same(first, second):
    first, second = list(first), list(second)
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.images, other.images)
        np.testing.assert_array_equal(one.labels, other.labels)


def workers():
    return [thread for thread in threading.enumerate() if thread.name.startswith("fastconv-data")]


# ---- what an epoch holds ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefetch", PREFETCH)
@pytest.mark.parametrize("shuffle", [False, True])
def test_an_epoch_holds_every_item_once_with_its_label(shuffle, prefetch):
    loader = DataLoader((IMAGES, LABELS), 5, shuffle, seed=0, prefetch=prefetch)
    batches = list(loader)
    assert [len(batch.labels) for batch in batches] == [5, 5, 5, 5, 3]
    assert len(batches) == len(loader)
    labels = np.concatenate([batch.labels for batch in batches])
    np.testing.assert_array_equal(np.concatenate([batch.images for batch in batches]), IMAGES[labels])
    assert sorted(labels) == list(range(23))
    assert shuffle != (labels.tolist() == list(range(23)))


@pytest.mark.parametrize("size", [1, 4, 23, 24])
def test_the_rest_can_be_dropped(size):
    loader = DataLoader((IMAGES, LABELS), size, drop_last=True)
    assert [len(batch.labels) for batch in loader] == [size] * (23 // size) == [size] * len(loader)


def test_no_items_make_no_batches():
    loader = DataLoader((IMAGES[:0], LABELS[:0]), 4, True)
    assert len(loader) == 0
    assert list(loader) == []


def test_batches_in_order_share_memory():
    assert all(np.shares_memory(batch.images, IMAGES) for batch in DataLoader((IMAGES, LABELS), 4))


def test_what_kinds_of_data_there_are():
    (batch,) = DataLoader(LABELS, 23)
    assert type(batch) is np.ndarray
    (batch,) = DataLoader((LABELS,) * 3, 23)
    assert type(batch) is tuple
    assert len(batch) == 3
    (batch,) = DataLoader([(image, int(label)) for image, label in zip(IMAGES, LABELS, strict=True)], 23)
    assert type(batch) is Batch
    np.testing.assert_array_equal(batch.images, IMAGES)
    np.testing.assert_array_equal(batch.labels, LABELS)
    assert batch.labels.dtype == np.int64
    (batch,) = DataLoader(list(IMAGES), 23)
    np.testing.assert_array_equal(batch, IMAGES)
    (batch,) = DataLoader([(1, 2.0, IMAGES[0])] * 2, 2)
    assert [part.shape for part in batch] == [(2,), (2,), (2, 2, 4, 5)]


def test_the_transform_gets_only_the_images():
    (batch,) = DataLoader((IMAGES, LABELS), 23, transform=lambda images, rng: images * 2)
    np.testing.assert_array_equal(batch.images, IMAGES * 2)
    np.testing.assert_array_equal(batch.labels, LABELS)
    (batch,) = DataLoader(IMAGES, 23, transform=lambda images, rng: images * 2)
    np.testing.assert_array_equal(batch, IMAGES * 2)


def test_a_data_set_on_disk_is_read_batch_by_batch(tmp_path):
    np.save(tmp_path / "images.npy", IMAGES)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    for batch in DataLoader((mapped, LABELS), 4, True, seed=1):
        np.testing.assert_array_equal(batch.images, IMAGES[batch.labels])


# ---- seeds and epochs ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefetch", PREFETCH)
def test_prefetching_changes_no_bit(prefetch):
    direct, ahead = shuffled(prefetch=0), shuffled(prefetch=prefetch)
    for _ in range(3):
        assert_same(direct, ahead)


def test_every_epoch_and_every_seed_is_another_one():
    loader = shuffled()
    epochs = [np.concatenate([batch.labels for batch in loader]).tolist() for _ in range(4)]
    epochs.append(np.concatenate([batch.labels for batch in shuffled(seed=6)]).tolist())
    assert len(set(map(tuple, epochs))) == 5


def test_equal_batches_of_one_epoch_are_transformed_differently():
    first, second = DataLoader(np.zeros((2, 8), np.float32), 1, seed=0, transform=noise)
    assert not np.array_equal(first, second)


def test_a_seed_is_drawn_from_the_library_or_a_generator():
    seeds = []
    for _ in range(2):
        fastconv.manual_seed(3)
        seeds.append((shuffled(seed=None).seed, shuffled(seed=np.random.default_rng(3)).seed))
    assert seeds[0] == seeds[1]
    assert shuffled(seed=None).seed != seeds[0][0]


@pytest.mark.parametrize("prefetch", [0, 3])
@pytest.mark.parametrize("taken", range(7))
@pytest.mark.parametrize("epoch", [0, 2])
def test_a_saved_state_leads_to_the_same_bits(prefetch, taken, epoch):
    loader = shuffled(prefetch)
    for _ in range(epoch):
        list(loader)
    running = iter(loader)
    for _ in range(min(taken, len(loader))):
        next(running)
    state = json.loads(json.dumps(loader.state_dict()))
    assert (state["epoch"], state["batch"]) == (epoch, min(taken, len(loader)))
    resumed = shuffled(prefetch=2, seed=99)
    resumed.load_state_dict(state)
    assert resumed.state_dict() == state
    assert_same(running, resumed)
    assert_same(loader, resumed)


def test_a_state_saved_between_epochs_leads_to_the_next():
    loader, resumed = shuffled(), shuffled()
    for epoch in (1, 2):
        list(loader)
        assert (loader.state_dict()["epoch"], loader.state_dict()["batch"]) == (epoch, 0)
        resumed.load_state_dict(loader.state_dict())
    assert_same(loader, resumed)


def test_a_state_saved_after_the_last_batch_leads_to_the_end_of_its_epoch():
    """So that a trainer that was stopped there does what comes after an epoch, and no batch twice."""
    loader, resumed = shuffled(), shuffled()
    for _ in loader:
        state = loader.state_dict()
    resumed.load_state_dict(state)
    assert list(resumed) == []
    assert_same(loader, resumed)


def test_an_epoch_broken_off_is_not_taken_up_unless_asked_for():
    loader, whole = shuffled(), shuffled()
    list(whole)
    next(iter(loader))
    assert_same(loader, whole)


def test_two_iterations_at_once_are_two_epochs():
    loader, alone = shuffled(), shuffled()
    first, second = iter(loader), iter(loader)
    pairs = list(zip(first, second, strict=True))
    assert_same([one for one, _ in pairs], alone)
    assert_same([other for _, other in pairs], alone)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"length": 24}, ValueError, "state was taken with length=24, this loader has 23"),
        ({"batch_size": 5}, ValueError, "batch_size=5, this loader has 4"),
        ({"shuffle": False}, ValueError, "shuffle=False"),
        ({"drop_last": True}, ValueError, "drop_last=True"),
        ({"batch": 7}, ValueError, "batch must be between 0 and 6, got 7"),
        ({"epoch": -1}, ValueError, "epoch must be between 0"),
        ({"epoch": 1.5}, TypeError, "epoch must be an integer"),
        ({"seed": "0"}, TypeError, "seed must be an integer"),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(change, error, message):
    loader = shuffled()
    next(iter(loader))
    state = loader.state_dict()
    with pytest.raises(error, match=message):
        loader.load_state_dict({**state, **change})
    with pytest.raises(KeyError):
        loader.load_state_dict({name: value for name, value in state.items() if name not in change})
    assert loader.state_dict() == state


def steps(model, optimizer, batches):
    for batch in batches:
        optimizer.zero_grad()
        nn.CrossEntropyLoss()(model(batch.images), fastconv.tensor(batch.labels)).backward()
        optimizer.step()


def start(seed):
    fastconv.manual_seed(seed)
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(24, 23))
    return model, optim.Adam(model.parameters()), shuffled(seed=seed)


def test_training_resumes_to_the_same_bits():
    """Stopped within an epoch, and continued by a model, an optimiser and a loader that were made otherwise."""
    model, optimizer, loader = start(0)
    running = iter(loader)
    steps(model, optimizer, islice(running, 3))
    saved = [copy.deepcopy(part.state_dict()) for part in (model, optimizer, loader)]
    steps(model, optimizer, chain(running, loader))
    other = start(1)
    for part, state in zip(other, saved, strict=True):
        part.load_state_dict(state)
    steps(*other[:2], chain(other[2], other[2]))
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(other[0].state_dict()[name], value)


# ---- the thread ------------------------------------------------------------------------------------------------------


def test_batches_are_made_ahead_but_not_too_far():
    made = []

    def watched(images, rng):
        made.append(threading.current_thread().name)
        return images

    running = iter(DataLoader(IMAGES, 1, transform=watched, prefetch=3))
    next(running)
    deadline = time.monotonic() + 10
    while len(made) < 4 and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(0.02)
    assert len(made) == 4
    assert all(name.startswith("fastconv-data") for name in made)
    running.close()


class Failing:
    """A sequence whose item 6 cannot be read."""

    def __len__(self):
        return 10

    def __getitem__(self, index):
        if index == 6:
            raise OSError("item 6 is damaged")
        return np.zeros(2)


@pytest.mark.parametrize("prefetch", [0, 1, 5])
def test_an_exception_arrives_at_its_batch(prefetch):
    running = iter(DataLoader(Failing(), 2, prefetch=prefetch))
    assert [next(running).shape for _ in range(3)] == [(2, 2)] * 3
    with pytest.raises(OSError, match="item 6 is damaged"):
        next(running)
    assert not workers()


def test_breaking_off_leaves_no_thread():
    for _ in shuffled():
        assert len(workers()) == 1
        break
    assert not workers()
    with pytest.raises(ZeroDivisionError):
        for _ in shuffled():
            raise ZeroDivisionError
    assert not workers()
    running = iter(shuffled())
    next(running)
    running.close()
    assert not workers()
    running = iter(shuffled())
    next(running)
    del running
    assert not workers()
    iter(shuffled())
    assert not workers()
    list(shuffled())
    assert not workers()


def test_the_interpreter_ends_with_an_iteration_under_way():
    program = (
        "import numpy as np; from fastconv.data import DataLoader\n"
        "running = iter(DataLoader(np.arange(9), 2)); next(running)\nprint('done')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert (done.stdout, done.stderr) == ("done\n", "")


def test_images_are_never_touched_one_by_one():
    """60,000 small images cost what their bytes cost: no Python for each of them."""
    images = np.zeros((60_000, 1, 8, 8), np.uint8)
    calls = []
    transform = transforms.Compose([lambda images, rng: calls.append(len(images)) or images])
    loader = DataLoader(images, 6_000, True, seed=0, transform=transform)
    assert sum(len(batch) for batch in loader) == 60_000
    assert calls == [6_000] * 10


# ---- bad arguments ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "options", "error", "message"),
    [
        (IMAGES, {"batch_size": 0}, ValueError, "batch_size must be between 1 and .*, got 0"),
        (IMAGES, {"batch_size": 2.0}, TypeError, "batch_size must be an integer, got 2.0"),
        (IMAGES, {"batch_size": 2**63}, ValueError, "batch_size must be between"),
        (IMAGES, {"shuffle": 1}, TypeError, "shuffle must be True or False, got 1"),
        (IMAGES, {"drop_last": "no"}, TypeError, "drop_last must be True or False"),
        (IMAGES, {"seed": -1}, ValueError, "seed must be between 0"),
        (IMAGES, {"seed": 2**64}, ValueError, "seed must be between 0"),
        (IMAGES, {"seed": 0.5}, TypeError, "seed must be an integer"),
        (IMAGES, {"prefetch": -1}, ValueError, "prefetch must be between 0"),
        (IMAGES, {"prefetch": True}, TypeError, "prefetch must be an integer, got True"),
        (IMAGES, {"transform": "flip"}, TypeError, r"transform must be a function of \(images, rng\), got 'flip'"),
        ((IMAGES, LABELS[:-1]), {}, ValueError, r"data must be arrays of one length, got shapes \[\(23, 2, 4, 5\)"),
        ((IMAGES, np.array(1)), {}, ValueError, "data must be arrays of one length"),
        (np.array(1), {}, ValueError, "data must have items"),
        (None, {}, TypeError, "data must be an array, a tuple of arrays or a sequence of items, got None"),
        (7, {}, TypeError, "data must be"),
        ("images", {}, TypeError, "data must be"),
        ({"x": IMAGES}, {}, TypeError, "data must be"),
        (iter([]), {}, TypeError, "data must be"),
    ],
)
def test_a_bad_argument_is_named(data, options, error, message):
    with pytest.raises(error, match=message):
        DataLoader(data, **options)


def test_a_data_set_is_asked_which_part_is_meant():
    whole = Dataset("d", IMAGES, LABELS, IMAGES, LABELS, tuple(map(str, LABELS)))
    with pytest.raises(TypeError, match=r"got a Dataset. Pass a part: data.train or data.test"):
        DataLoader(whole)
    (batch,) = DataLoader(whole.train, 23)
    np.testing.assert_array_equal(batch.images, IMAGES)


def test_items_of_different_shapes_are_refused():
    with pytest.raises(ValueError, match="shape"):
        list(DataLoader([np.zeros(2), np.zeros(3)], 2))
