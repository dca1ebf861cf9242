# SPDX-License-Identifier: BSD-3-Clause
"""fit, evaluate, predict: what they learn, count, tell, and refuse; callbacks other than checkpoints."""

import math
import signal
import threading
import time

import numpy as np
import pytest

import fastconv
from fastconv import models, nn, optim
from fastconv.callbacks import Callback, EarlyStopping, LearningRateSchedule
from fastconv.data import DataLoader
from fastconv.data.dataset import Dataset
from fastconv.train import Diverged, History, accuracy, top_k_accuracy
from fastconv.train.interrupt import Unbroken
from fastconv.train.metrics import Means


def blobs(count=60, seed=0, dtype=np.float32):
    """Points of two dimensions in three classes that lie apart."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, count)
    centres = np.array([[0, 2], [2, -1], [-2, -1]])
    return (centres[labels] + rng.normal(scale=0.3, size=(count, 2))).astype(dtype), labels


def net(seed=0):
    fastconv.manual_seed(seed)
    return nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 3))


def fitted(model=None, train=None, validation=None, **options):
    model = net() if model is None else model
    options = {"epochs": 2, "seed": 0, "verbose": 0, **options}
    return model, fastconv.fit(model, blobs() if train is None else train, validation, **options)


def bits(model):
    return {name: array.tobytes() for name, array in model.state_dict().items()}


class Watch(Callback):
    """Notes down what it is told."""

    def __init__(self):
        self.events = []

    def __getattribute__(self, name):
        found = super().__getattribute__(name)
        if not name.startswith("on_") and name != "close":
            return found

        def noted(*arguments):
            self.events.append((name, *(a for a in arguments if isinstance(a, int))))
            return found(*arguments)

        return noted


# ---- learning --------------------------------------------------------------------------------------------


def test_one_line_learns():
    model = net()
    history = fitted(model, None, blobs(30, 1), epochs=30, optimizer=optim.Adam(model.parameters(), 0.02))[1]
    assert history["val_accuracy"][-1] == 1.0
    assert list(history) == ["loss", "accuracy", "val_loss", "val_accuracy", "lr", "images_per_second"]
    assert history["loss"][-1] < history["loss"][0] / 2
    assert fastconv.evaluate(model, blobs(30, 1))["accuracy"] == 1.0


def test_every_kind_of_data_gives_the_same_bits():
    images, labels = blobs()
    pairs = [(images[i], labels[i]) for i in range(len(images))]
    loader = DataLoader((images, labels), 32, shuffle=True, seed=0)
    expected = bits(fitted()[0])
    assert bits(fitted(train=pairs)[0]) == expected
    assert bits(fitted(train=loader, seed=None)[0]) == expected


def test_a_dataset_brings_its_validation_data():
    rng = np.random.default_rng(0)
    images, labels = rng.random((20, 1, 28, 28), np.float32), rng.integers(0, 10, 20)
    few = Dataset("few", images, labels, images[:5], labels[:5], tuple("0123456789"))
    history = fastconv.fit(models.build("lenet"), few, verbose=0)
    assert "val_loss" in history
    assert set(fastconv.evaluate(models.build("lenet"), few)) == {"loss", "accuracy"}


def test_a_step_is_forward_loss_backward_update():
    images, labels = blobs(8)
    model, twin = nn.Linear(2, 3), nn.Linear(2, 3)
    twin.load_state_dict(model.state_dict())
    fitted(model, (images, labels), epochs=3, batch_size=8, shuffle=False, optimizer=optim.SGD(model.parameters(), 0.1))
    sgd = optim.SGD(twin.parameters(), 0.1)
    for _ in range(3):
        sgd.zero_grad()
        nn.CrossEntropyLoss()(twin(images), fastconv.tensor(labels)).backward()
        sgd.step()
    assert bits(model) == bits(twin)


def test_means_are_over_samples_not_batches():
    images, labels = blobs(50)
    model = net().eval()
    whole = fastconv.evaluate(model, (images, labels), batch_size=50)
    parts = fastconv.evaluate(model, (images, labels), batch_size=7)
    assert whole == pytest.approx(parts, rel=1e-6)
    assert whole["accuracy"] == parts["accuracy"] == np.mean(model(images).argmax(axis=1) == labels)


def test_penalties_are_learnt_and_told_apart():
    images, labels = blobs()
    model = nn.Linear(2, 3, kernel_regularizer="l2")
    first = 0.01 * float(np.square(model.weight.numpy()).sum())
    history = fitted(model, epochs=1, batch_size=60)[1]
    assert history["penalty"][0] == pytest.approx(first, rel=1e-5)
    assert "penalty" not in fastconv.evaluate(model, (images, labels))
    assert "penalty" not in fitted()[1]


def test_regression_with_a_metric_of_ones_own():
    def worst(outputs, targets):
        return np.abs(outputs - targets).max()

    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, 2)).astype(np.float32)
    y = (x @ np.array([[1.0], [-2.0]], np.float32)) + 3
    model = nn.Linear(2, 1)
    history = fitted(model, (x, y), (x, y), epochs=40, loss=nn.MSELoss(), metrics=[worst],
                     optimizer=optim.Adam(model.parameters(), 0.1))[1]
    assert history["val_worst"][-1] < 0.1
    assert "accuracy" not in fitted(model, (x, y), loss=nn.MSELoss())[1]


def test_float64_stays_float64():
    model = net().double()
    fitted(model, blobs(dtype=np.float64))
    assert {array.dtype for array in model.state_dict().values()} == {np.dtype(np.float64)}


def test_predict_is_the_model_in_evaluation_mode():
    images, labels = blobs(50)
    model = net()
    model[2].eval()
    expected = np.concatenate([model.eval()(images[i : i + 20]) for i in (0, 20, 40)])
    model.train()
    model[2].eval()
    for inputs in (images, DataLoader((images, labels), 20), DataLoader(images, 20)):
        size = 20 if inputs is images else None
        np.testing.assert_array_equal(fastconv.predict(model, inputs, batch_size=size), expected)
    assert [m.training for m in model.modules()] == [True, True, True, False, True]


def test_a_loader_that_was_left_early_is_begun_anew():
    loader = DataLoader(blobs(), 20, shuffle=True, seed=0)
    next(iter(loader))
    watch = Watch()
    fitted(train=loader, epochs=1, seed=None, callbacks=[watch])
    assert watch.events.count(("on_batch_end", 2)) == 1
    assert loader.state_dict()["epoch"] == 2


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_loss_that_is_no_number_ends_training_before_the_weights_are_lost():
    model = net()
    watch = Watch()
    with pytest.raises(Diverged, match="the loss became .* in epoch .; try a lower learning rate"):
        fitted(model, optimizer=optim.SGD(model.parameters(), 1e30), epochs=50, callbacks=[watch])
    assert watch.events[-1] == ("close",)
    images, labels = blobs()
    images[3] = np.nan
    model = net()
    before = bits(model)
    with pytest.raises(Diverged):
        fitted(model, (images, labels), batch_size=60)
    assert bits(model) == before


# ---- metrics ---------------------------------------------------------------------------------------------


def test_top_k_by_hand_and_a_nan_is_never_right():
    rng = np.random.default_rng(0)
    outputs, targets = rng.normal(size=(40, 9)), rng.integers(0, 9, 40)
    for k in (1, 2, 5, 9):
        best = np.argsort(-outputs, axis=1)[:, :k]
        np.testing.assert_array_equal(top_k_accuracy(k)(outputs, targets), (best == targets[:, None]).any(axis=1))
    np.testing.assert_array_equal(top_k_accuracy(1)(outputs, targets), accuracy(outputs, targets))
    outputs[np.arange(40), targets] = np.nan
    assert not top_k_accuracy(5)(outputs, targets).any()


def test_means_of_trues_are_exact():
    means = Means()
    for size in (3, 7, 11):
        means.add(size, {"accuracy": np.ones(size, bool), "loss": 0.5})
    assert means.means() == {"accuracy": 1.0, "loss": 0.5}


# ---- callbacks -------------------------------------------------------------------------------------------


def test_callbacks_are_told_everything_in_order():
    watch = Watch()
    fitted(epochs=2, batch_size=30, callbacks=[watch])
    batch = [(event, i) for i in (0, 1) for event in ("on_batch_begin", "on_batch_end")]
    epochs = [[("on_epoch_begin", e), *batch, ("on_epoch_end", e)] for e in (0, 1)]
    assert watch.events == [("on_train_begin",), *epochs[0], *epochs[1], ("on_train_end",), ("close",)]


def test_callbacks_are_closed_whatever_happens():
    class Fails(Callback):
        def on_batch_end(self, batch, logs):
            raise RuntimeError("mine")

    watch = Watch()
    with pytest.raises(RuntimeError, match="mine"):
        fitted(callbacks=[watch, Fails()])
    assert watch.events[-1] == ("close",)


class Scripted(EarlyStopping):
    """Early stopping that is told a series instead of what was measured."""

    def __init__(self, values, **options):
        super().__init__(**options)
        self.values, self.seen = values, []

    def on_epoch_end(self, epoch, logs):
        self.seen.append(bits(self.model))
        super().on_epoch_end(epoch, {self._monitor.name: self.values[epoch]})


@pytest.mark.parametrize(
    ("values", "options", "epochs", "best"),
    [
        ([3, 2, 2, 1], {"patience": 0}, 3, 1),
        ([3, 2, 2, 1, 1, 1, 1], {"patience": 2}, 6, 3),
        ([3, 2, 1.9, 1.8, 1.7], {"patience": 2, "min_delta": 0.5}, 4, 1),
        ([1, math.nan, math.nan, 0.5], {"patience": 2}, 3, 0),
        ([math.nan, 1, 2, 3], {"patience": 2}, 4, 1),
        ([0.1, 0.2, 0.1, 0.1], {"patience": 1, "monitor": "val_accuracy"}, 3, 1),
        ([1, 2, 1, 1], {"patience": 1, "mode": "max"}, 3, 1),
    ],
)
def test_early_stopping_stops_and_restores_the_best(values, options, epochs, best):
    stopper = Scripted(values + [9] * 9, restore_best=True, **options)
    model, history = fitted(validation=blobs(9), epochs=7, callbacks=[stopper])
    assert len(history.rows) == epochs
    assert stopper.best_epoch == best
    assert bits(model) == stopper.seen[best]


def test_without_restore_best_the_last_weights_stay():
    stopper = Scripted([1, 2, 3])
    model, _ = fitted(validation=blobs(9), epochs=3, callbacks=[stopper])
    assert bits(model) == stopper.seen[-1]


@pytest.mark.parametrize(
    ("make", "per", "rates"),
    [
        (lambda o: optim.lr_scheduler.StepLR(o, 2, gamma=0.5), "epoch", [0.1, 0.1, 0.05, 0.05]),
        (lambda o: optim.lr_scheduler.LinearLR(o, 1.0, 0.0, total_iters=8), "batch", [0.0875, 0.0625, 0.0375, 0.0125]),
        (lambda o: optim.lr_scheduler.ReduceLROnPlateau(o, patience=0, threshold=10.0, threshold_mode="abs"), "epoch",
         [0.1, 0.1, 0.01, 0.001]),
    ],
)  # fmt: skip
def test_schedules_are_told_per_epoch_or_batch(make, per, rates):
    model = net()
    optimizer = optim.SGD(model.parameters(), 0.1)
    schedule = LearningRateSchedule(make(optimizer), per=per)
    history = fitted(model, None, blobs(9), epochs=4, batch_size=30, optimizer=optimizer, callbacks=[schedule])[1]
    assert history["lr"] == pytest.approx(rates)


# ---- Ctrl-C ----------------------------------------------------------------------------------------------


def test_the_first_ctrl_c_waits_for_the_end_of_the_block_the_second_does_not():
    reached = []
    with pytest.raises(KeyboardInterrupt), Unbroken():
        signal.raise_signal(signal.SIGINT)
        reached.append(1)
    with pytest.raises(KeyboardInterrupt), Unbroken():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        reached.append(2)
    assert reached == [1]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_error_in_the_block_goes_before_ctrl_c():
    with pytest.raises(ZeroDivisionError), Unbroken():
        signal.raise_signal(signal.SIGINT)
        raise ZeroDivisionError
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_training_works_in_another_thread():
    model, results = net(), []
    thread = threading.Thread(target=lambda: results.append(fitted(model)[1]))
    thread.start()
    thread.join()
    assert len(results[0].rows) == 2
    assert bits(model) == bits(fitted()[0])


# ---- history ---------------------------------------------------------------------------------------------


def test_the_history_is_a_mapping_and_names_what_there_is():
    history = fitted()[1]
    assert dict(history)["loss"] == history["loss"] == [row["loss"] for row in history.rows]
    assert repr(history).startswith("History(2 epochs: loss=")
    with pytest.raises(KeyError, match="'los'; there are loss, accuracy, lr"):
        history["los"]
    assert repr(History()) == "History(0 epochs)"


def test_the_history_is_drawn_with_a_panel_for_each_number(tmp_path):
    pytest.importorskip("matplotlib")
    history = fitted(validation=blobs(9), metrics=["accuracy", top_k_accuracy(2)])[1]
    figure = history.plot(tmp_path / "curves.png", "title")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert [axes.get_title() for axes in figure.axes] == ["Loss", "Accuracy", "Top2 accuracy"]
    assert all(len(axes.lines) == 2 for axes in figure.axes)
    with pytest.raises(ValueError, match="no epoch to plot"):
        History().plot()


# ---- what is shown ---------------------------------------------------------------------------------------


def test_without_a_terminal_every_epoch_is_a_line(capsys):
    fitted(validation=blobs(9), verbose="auto")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines] == ["epoch 1/2", "epoch 2/2"]
    assert all(len(line) < 80 and "val_accuracy 0." in line for line in lines)
    fitted(verbose=0)
    assert not capsys.readouterr().out


def test_a_bar_while_an_epoch_lasts_and_its_line_afterwards(capsys):
    pytest.importorskip("tqdm")
    class Slow(Callback):
        def on_batch_begin(self, batch, logs):
            time.sleep(0.06)    # bars are drawn ten times a second

    fitted(verbose=1, batch_size=6, callbacks=[Slow()])
    output = capsys.readouterr().out
    assert "images/s" in output
    assert output.count("\nepoch") + output.count("\repoch") == 2


# ---- bad input -------------------------------------------------------------------------------------------

X, Y = blobs(6)
LOADER = DataLoader((X, Y), 2)
OTHER = optim.SGD(nn.Linear(2, 2).parameters(), 0.1)


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"model": 3}, TypeError, "model must be a fastconv.nn.Module, got 3"),
        ({"train": 5}, TypeError, "train must be an array, a tuple of arrays or a sequence of items, got 5"),
        ({"train": (X, Y[:4])}, ValueError, "train must be arrays of one length"),
        ({"train": X}, TypeError, r"a batch must be \(inputs, targets\)"),
        ({"train": (X[:0], Y[:0])}, ValueError, "train must give at least one batch, got one of 0 items"),
        ({"validation": "test"}, TypeError, "validation must be an array"),
        ({"validation": (X[:0], Y[:0])}, ValueError, "validation must give at least one batch"),
        ({"epochs": 0}, ValueError, "epochs must be between 1 and"),
        ({"epochs": 1.5}, TypeError, "epochs must be an integer, got 1.5"),
        ({"batch_size": 0}, ValueError, "batch_size must be between 1"),
        ({"seed": -1}, ValueError, "seed must be between 0"),
        ({"shuffle": 1}, TypeError, "shuffle must be True or False, got 1"),
        ({"transform": 1}, TypeError, "transform must be a function"),
        ({"train": LOADER, "batch_size": 2}, ValueError, "batch_size is the DataLoader's, given for train, got 2"),
        ({"train": LOADER, "shuffle": True}, ValueError, "shuffle is the DataLoader's, given for train, got True"),
        ({"optimizer": "adam"}, TypeError, "optimizer must be one of fastconv.optim, .* got 'adam'"),
        ({"optimizer": OTHER}, ValueError, "optimizer has none of model's parameters"),
        ({"loss": "mse"}, TypeError, r"loss must be a function of \(outputs, targets\), .* got 'mse'"),
        ({"loss": nn.MSELoss}, TypeError, r"loss must be .* write MSELoss\(\)"),
        ({"metrics": "accuracy"}, TypeError, "metrics must be a list of names and functions, got 'accuracy'"),
        ({"metrics": ["top1"]}, ValueError, r"metrics\[0\] must be a function or one of 'accuracy', .* got 'top1'"),
        ({"metrics": [3]}, TypeError, r"metrics\[0\] must be a function or one of"),
        ({"callbacks": EarlyStopping()}, TypeError, "callbacks must be a list of callbacks, got"),
        ({"callbacks": [EarlyStopping]}, TypeError, r"callbacks\[0\] must be a .* write EarlyStopping\(...\)"),
        ({"callbacks": [EarlyStopping()]}, ValueError, "monitor must be one of loss, accuracy, got 'val_loss': pass"),
        ({"callbacks": [EarlyStopping("acc")]}, ValueError, "monitor must be one of loss, accuracy, got 'acc'$"),
        ({"verbose": 3}, ValueError, "verbose must be 'auto', 0, 1 or 2, got 3"),
        ({"resume": 3}, TypeError, "resume must be the name of a file, True or None, got 3"),
        ({"resume": True}, ValueError, "resume=True goes on from the file of a Checkpoint, but callbacks has none"),
    ],
)
def test_a_wrong_argument_is_named_and_nothing_is_changed(options, kind, message):
    model = net()
    before = bits(model)
    arguments = {"model": model, "train": (X, Y), "verbose": 0, **options}
    with pytest.raises(kind, match=message):
        fastconv.fit(arguments.pop("model"), arguments.pop("train"), **arguments)
    assert bits(model) == before


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda: EarlyStopping(patience=-1), ValueError, "patience must be between 0"),
        (lambda: EarlyStopping(patience="3"), TypeError, "patience must be an integer, got '3'"),
        (lambda: EarlyStopping(3), TypeError, "monitor must be the name of a loss or metric"),
        (lambda: EarlyStopping(min_delta=-1), ValueError, "min_delta must be a finite number"),
        (lambda: EarlyStopping(mode="lowest"), ValueError, "mode must be one of 'auto', 'min', 'max', got 'lowest'"),
        (lambda: EarlyStopping(restore_best=1), TypeError, "restore_best must be True or False"),
        (lambda: LearningRateSchedule(0.1), TypeError, "scheduler must be one of fastconv.optim.lr_scheduler"),
        (lambda: LearningRateSchedule(optim.lr_scheduler.StepLR(OTHER, 2), per="step"), ValueError, "per must be"),
        (lambda: LearningRateSchedule(optim.lr_scheduler.ReduceLROnPlateau(OTHER), "batch"), ValueError, "per must be"),
        (lambda: top_k_accuracy(0), ValueError, "k must be between 1"),
        (lambda: fastconv.predict(net(), (X, Y)), TypeError, "inputs must be an array or a DataLoader"),
        (lambda: fastconv.predict(net(), X[:0]), ValueError, "inputs must give at least one batch"),
        (lambda: fastconv.evaluate(net(), LOADER, batch_size=3), ValueError, "batch_size is the DataLoader's"),
        (lambda: fastconv.evaluate(3, LOADER), TypeError, "model must be"),
    ],
)
def test_other_wrong_arguments_are_named(make, kind, message):
    with pytest.raises(kind, match=message):
        make()


def test_a_schedule_of_another_optimizer_is_refused():
    with pytest.raises(ValueError, match="scheduler is one of another optimizer"):
        fitted(callbacks=[LearningRateSchedule(optim.lr_scheduler.StepLR(OTHER, 2))])
