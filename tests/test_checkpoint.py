# SPDX-License-Identifier: BSD-3-Clause
"""Checkpoints: training that goes on from one gives the same bits; files that are damaged or foreign are refused."""

import io
import os
import signal
import subprocess
import sys
import time
import zipfile

import numpy as np
import pytest

import fastconv
from fastconv import nn, optim
from fastconv._files import load_npz, save_npz
from fastconv.callbacks import Callback, Checkpoint, EarlyStopping, LearningRateSchedule
from fastconv.data import DataLoader
from fastconv.data.transforms import RandomCrop
from fastconv.errors import WeightsError
from fastconv.train import load_checkpoint, save_checkpoint

RNG = np.random.default_rng(0)
IMAGES, LABELS = RNG.random((44, 1, 8, 8), np.float32), RNG.integers(0, 3, 44)
VALIDATION = RNG.random((10, 1, 8, 8), np.float32), RNG.integers(0, 3, 10)


class Run:
    """A training with everything that has a state: batch norm, dropout, momentum, schedules, transforms, penalties."""

    def __init__(self, path, method="adam", per="batch"):
        fastconv.manual_seed(0)
        self.model = nn.Sequential(
            nn.Conv2d(1, 4, 3, kernel_regularizer="l2"), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.3), nn.Flatten(),
            nn.Linear(144, 3),
        )
        self.loader = DataLoader((IMAGES, LABELS), 8, shuffle=True, seed=0, transform=RandomCrop(8, padding=1))
        parameters = self.model.parameters()
        self.optimizer = {
            "adam": lambda: optim.Adam(parameters, lr=0.01),
            "sgd": lambda: optim.SGD(parameters, lr=0.05, momentum=0.9, nesterov=True),
            "rmsprop": lambda: optim.RMSprop(parameters, lr=0.01, centered=True),
        }[method]()
        cycle = optim.lr_scheduler.OneCycleLR(self.optimizer, 0.02, total_steps=40)
        plateau = optim.lr_scheduler.ReduceLROnPlateau(self.optimizer, patience=0)
        self.callbacks = [
            Checkpoint(path, batches=3, keep_best=True),
            EarlyStopping(patience=9, restore_best=True),
            LearningRateSchedule(cycle if per == "batch" else plateau, per=per),
        ]

    def fit(self, *more, epochs=4, **options):
        callbacks = [*self.callbacks, *more]
        options = {"optimizer": self.optimizer, "verbose": 0, "callbacks": callbacks, **options}
        return fastconv.fit(self.model, self.loader, VALIDATION, epochs=epochs, **options)

    def everything(self, history):
        """All that must not depend on an interruption."""
        state = self.callbacks[0].training.state_dict()
        rows = [{k: v for k, v in row.items() if k != "images_per_second"} for row in history.rows]
        return plain({**state, "history": rows, "seconds": 0})


def plain(value):
    """The same with bytes in place of arrays, so that == compares bits."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, dict):
        return {key: plain(v) for key, v in value.items()}
    return [plain(v) for v in value] if isinstance(value, (list, tuple)) else value


class Interrupt(Callback):
    """Ctrl-C after so many batches."""

    def __init__(self, after):
        self.left = after

    def on_batch_end(self, batch, logs):
        self.left -= 1
        if not self.left:
            signal.raise_signal(signal.SIGINT)


class InterruptInValidation(Callback):
    """Ctrl-C while the validation data are looked at: the model runs in evaluation mode."""

    def __init__(self, model, epoch):
        self.hook, self.epoch = model, epoch

    def on_batch_end(self, batch, logs):
        if self.training.epoch == self.epoch and batch + 1 == len(self.training.train):
            forward = self.hook.forward

            def interrupted(*arguments):
                del self.hook.forward
                signal.raise_signal(signal.SIGINT)
                return forward(*arguments)

            self.hook.forward = interrupted


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """What comes out without an interruption, by method and schedule."""
    known = {}

    def find(method="adam", per="batch"):
        if (method, per) not in known:
            run = Run(tmp_path_factory.mktemp("whole") / "run.npz", method, per)
            known[method, per] = run.everything(run.fit())
        return known[method, per]

    return find


# ---- the same bits ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [1, 5, 6, 7, 13, 23])
def test_ctrl_c_and_going_on_gives_the_same_bits(tmp_path, expected, after):
    path = tmp_path / "run.npz"
    with pytest.raises(KeyboardInterrupt):
        Run(path).fit(Interrupt(after))
    again = Run(path)
    fastconv.manual_seed(99)
    assert again.everything(again.fit(resume=path)) == expected()


@pytest.mark.parametrize("epoch", [0, 2])
def test_ctrl_c_in_the_validation_too(tmp_path, expected, epoch):
    run = Run(tmp_path / "run.npz")
    with pytest.raises(KeyboardInterrupt):
        run.fit(InterruptInValidation(run.model[5], epoch))
    assert all(module.training for module in run.model.modules())
    again = Run(tmp_path / "run.npz")
    assert again.everything(again.fit(resume=True)) == expected()


@pytest.mark.parametrize(("method", "per"), [("sgd", "batch"), ("rmsprop", "epoch"), ("adam", "epoch")])
def test_every_optimiser_and_schedule_goes_on(tmp_path, expected, method, per):
    path = tmp_path / "run.npz"
    for after in (4, 4, 9):    # interrupted three times
        run = Run(path, method, per)
        with pytest.raises(KeyboardInterrupt):
            run.fit(Interrupt(after), resume=True)
    again = Run(path, method, per)
    assert again.everything(again.fit(resume=True)) == expected(method, per)


def test_more_epochs_go_on_where_the_fewer_ended(tmp_path):
    def run(name, epochs, resume=None):
        fastconv.manual_seed(0)
        model = nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(64, 3))
        callbacks = [Checkpoint(tmp_path / name)]
        history = fastconv.fit(
            model, (IMAGES, LABELS), epochs=epochs, seed=0, verbose=0, callbacks=callbacks, resume=resume
        )
        return plain(model.state_dict()), history["loss"]

    whole = run("whole.npz", 5)
    run("run.npz", 2)
    assert run("run.npz", 5, resume=tmp_path / "run.npz") == whole
    assert run("run.npz", 5, resume=True) == whole    # nothing is left to do


def test_what_was_stopped_early_stays_stopped(tmp_path):
    run = Run(tmp_path / "run.npz")
    run.callbacks[1] = EarlyStopping("loss", patience=1, min_delta=100.0, restore_best=True)
    whole = run.everything(run.fit())
    assert len(whole["history"]) == 2
    again = Run(tmp_path / "run.npz")
    again.callbacks[1] = EarlyStopping("loss", patience=1, min_delta=100.0, restore_best=True)
    assert again.everything(again.fit(resume=True)) == whole


def test_a_killed_process_leaves_a_whole_file(tmp_path):
    """SIGKILL at any time; what is there can be gone on from, and no half file is."""
    program = (
        "import sys; sys.path.insert(0, sys.argv[2]); from test_checkpoint import Run\n"
        "print('ready', flush=True)\n"
        "while True: run = Run(sys.argv[1]); run.callbacks[0].batches = 1; run.fit(epochs=1)"
    )
    path = tmp_path / "run.npz"
    for delay in (0.05, 0.1, 0.2, 0.35):
        command = [sys.executable, "-c", program, str(path), os.path.dirname(__file__)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            process.stdout.readline()
            while not path.exists():
                time.sleep(0.01)
            time.sleep(delay)
            process.kill()
        assert set(load_checkpoint(path)) >= {"model", "optimizer", "loader"}
    (tmp_path / ".run.npz.0123abcd.part").touch()    # what the killed may leave
    (tmp_path / ".run.npz.mine.part").touch()
    Run(path).fit(epochs=1, resume=True)
    assert {p.name for p in tmp_path.iterdir()} - {"run.best.npz"} == {"run.npz", ".run.npz.mine.part"}


def test_a_second_ctrl_c_leaves_the_earlier_file(tmp_path):
    path = tmp_path / "run.npz"

    class Twice(Callback):
        def on_batch_end(self, batch, logs):
            if batch == 4:
                signal.raise_signal(signal.SIGINT)
                signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        Run(path).fit(Twice())
    assert load_checkpoint(path)["loader"]["batch"] == 3


# ---- files -----------------------------------------------------------------------------------------------


def test_the_best_is_kept_beside_the_last(tmp_path):
    run = Run(tmp_path / "run.npz")
    run.callbacks[1] = EarlyStopping(patience=9)
    history = run.fit()
    best = load_checkpoint(tmp_path / "run.best.npz")
    number = int(np.argmin(history["val_loss"]))
    assert len(best["history"]) == number + 1
    run.model.load_state_dict(best["model"])
    assert fastconv.evaluate(run.model, VALIDATION)["loss"] == history["val_loss"][number]


def test_numpy_can_look_at_a_checkpoint(tmp_path):
    run = Run(tmp_path / "run.npz")
    run.fit(epochs=1)
    expected = load_checkpoint(tmp_path / "run.npz")["model"]["5.weight"]
    with np.load(tmp_path / "run.npz") as file:
        np.testing.assert_array_equal(file["model.5.weight"], expected)


@pytest.mark.parametrize("every", [1, 2, 3])
def test_every_so_many_epochs_and_at_the_end(tmp_path, every):
    saved = []

    class Counted(Checkpoint):
        def save(self):
            saved.append(self.training.epoch)

    fastconv.fit(nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), (IMAGES, LABELS), epochs=5, verbose=0,
                 callbacks=[Counted(tmp_path / "run.npz", every)])
    assert saved == [e for e in range(1, 6) if e % every == 0 or e == 5]


def test_a_tree_of_everything_comes_back(tmp_path):
    tree = {
        "a": {"b.c": np.arange(3)}, "a.b": {"c": np.ones((2, 0), np.float32)},
        "f": np.asfortranarray(RNG.random((3, 2))), "n": None, "t": (1, [2.5, True]), 3: {"x": float("inf")},
        "scalar": np.float32(0.1), "zero": np.array(7),
        "big": 2**127 + 1, "word": "ä\n",
    }  # fmt: skip
    save_checkpoint(tmp_path / "a.npz", tree)
    back = load_checkpoint(tmp_path / "a.npz")
    assert plain(back) == plain({**tree, "scalar": float(np.float32(0.1))})
    assert isinstance(back["t"], tuple)
    assert np.isnan(_round(tmp_path, {"x": float("nan")})["x"])


def _round(directory, tree):
    save_checkpoint(directory / "b.npz", tree)
    return load_checkpoint(directory / "b.npz")


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"a": [1, {2}]}, r"a\.1 is set, which a checkpoint cannot hold"),
        ({"a": np.array([None])}, "a is ndarray, which a checkpoint cannot hold"),
        ({"a": {(1, 2): 3}}, r"a has the key \(1, 2\)"),
    ],
)
def test_what_cannot_be_saved_is_named_and_the_old_file_stays(tmp_path, tree, message):
    path = tmp_path / "a.npz"
    save_checkpoint(path, {"x": 1})
    with pytest.raises(TypeError, match=message):
        save_checkpoint(path, tree)
    assert load_checkpoint(path) == {"x": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.npz"]


# ---- files that are wrong --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    path = tmp_path_factory.mktemp("good") / "a.npz"
    save_checkpoint(path, {"model": {"w": np.arange(4.0)}, "n": 3})
    return path.read_bytes()


def loaded(tmp_path, content):
    (tmp_path / "a.npz").write_bytes(content)
    return load_checkpoint(tmp_path / "a.npz")


def test_a_file_cut_anywhere_is_refused(tmp_path, content):
    for length in range(len(content)):
        with pytest.raises(WeightsError, match="is damaged, or not an uncompressed"):
            loaded(tmp_path, content[:length])


def test_a_flipped_bit_anywhere_is_refused_or_harmless(tmp_path, content):
    """Harmless: times, versions and attributes of the archive, which nobody reads."""
    good, refused = plain(loaded(tmp_path, content)), 0
    for position in range(len(content)):
        for bit in (0, 3, 7):
            bad = bytearray(content)
            bad[position] ^= 1 << bit
            try:
                assert plain(loaded(tmp_path, bytes(bad))) == good
            except WeightsError:
                refused += 1
    assert refused > len(content)


def npz(**members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, value in members.items():
            archive.writestr(f"{name}.npy", value)
    return file.getvalue()


def npy(array, **options):
    file = io.BytesIO()
    np.lib.format.write_array(file, array, **options)
    return file.getvalue()


HEADER = b"\x93NUMPY\x01\x00v\x00{'descr': '<f8', 'fortran_order': False, 'shape': %s, }"


def header(shape):
    return (HEADER % shape).ljust(127) + b"\n"


@pytest.mark.parametrize(
    "content",
    [
        b"", b"\x89PNG\r\n", b"PK\x05\x06" + bytes(18), npz(a=b""), npz(a=b"\x93NUMPY"), npz(a=b"x" * 200),
        npz(a=header(b"(1000000000000,)")), npz(a=header(b"(4294967296, 4294967296, 2)")), npz(a=header(b"(-1,)")),
        npz(a=header(b"(1,)") + bytes(7)), npz(a=header(b"(1,)") + bytes(9)),
        npz(a=npy(np.array([{}]), allow_pickle=True)), npz(a=npy(np.array(["x"]))), npz(a=npy(np.zeros(2, ">f8"))),
        npz(a=npy(np.zeros(2))), npz(sha256=npy(np.zeros(32, np.uint8))),
    ],
)  # fmt: skip
def test_a_foreign_file_is_refused(tmp_path, content):
    with pytest.raises(WeightsError, match="a.npz is (damaged|not a checkpoint)"):
        loaded(tmp_path, content)


def test_compressed_doubled_and_other_members_are_refused(tmp_path):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, a=np.zeros(10**6))
    with pytest.raises(WeightsError, match=r"'a.npy' is compressed"):
        load_npz(path)
    with zipfile.ZipFile(path, "w") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("a.npy", npy(np.zeros(1)))
        archive.writestr("a.npy", npy(np.ones(1)))
    with pytest.raises(WeightsError, match="two arrays have the same name"):
        load_npz(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../evil.txt", b"")
    with pytest.raises(WeightsError, match="holds '../evil.txt', which is no array"):
        load_npz(path)


def test_weights_alone_are_no_checkpoint(tmp_path):
    save_npz(tmp_path / "weights.npz", nn.Linear(2, 2).state_dict())
    with pytest.raises(WeightsError, match="weights.npz is not a checkpoint of fastconv: it has no checkpoint.json"):
        load_checkpoint(tmp_path / "weights.npz")


def changed(**changes):
    return lambda state: {**state, **changes}


def without(name):
    return lambda state: {key: value for key, value in state.items() if key != name}


def renamed(state):
    return {**state, "model": {f"x.{name}": array for name, array in state["model"].items()}}


def doubled(state):
    return {**state, "model": {name: array.astype(np.float64) for name, array in state["model"].items()}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (renamed, "state_dict does not fit Sequential:\n  missing key"),
        (doubled, "model: 0.weight has element type float64 there, got a model with float32"),
        (lambda s: {**s, "optimizer": {**s["optimizer"], "type": "SGD"}}, "it was written with SGD, got Adam"),
        (lambda s: {**s, "optimizer": {**s["optimizer"], "param_groups": []}}, "groups of sizes"),
        (lambda s: {**s, "loader": {**s["loader"], "batch_size": 9}}, "state was taken with batch_size=9"),
        (lambda s: {**s, "loader": {**s["loader"], "length": 9}}, "state was taken with length=9"),
        (lambda s: {**s, "callbacks": s["callbacks"][1:]}, "callbacks: it was written with"),
        (lambda s: {**s, "callbacks": [[name, {"x": 1}] for name, _ in s["callbacks"]]}, ""),
        (changed(random={"bit_generator": "MT19937"}), ""),
        (changed(random=3), ""),
        (changed(history=3), "incomplete or has values of a wrong kind"),
        (changed(means={}), "incomplete or has values of a wrong kind"),
        *[(without(name), "incomplete") for name in ("model", "optimizer", "loader", "random", "history", "callbacks")],
    ],
)
def test_a_checkpoint_of_another_training_is_refused_and_nothing_is_changed(tmp_path, change, message):
    path, other = tmp_path / "run.npz", tmp_path / "other.npz"
    with pytest.raises(KeyboardInterrupt):
        Run(path).fit(Interrupt(9))
    save_checkpoint(other, change(load_checkpoint(path)))
    run = Run(tmp_path / "new.npz")
    model, optimizer, loader, state = (
        run.model.state_dict(), run.optimizer.state_dict(), run.loader.state_dict(), fastconv.random.get_rng_state()
    )  # fmt: skip
    with pytest.raises(WeightsError, match="other.npz does not fit this training: ") as caught:
        run.fit(resume=other)
    assert message in str(caught.value)
    assert plain(run.model.state_dict()) == plain(model)
    assert plain(run.optimizer.state_dict()) == plain(optimizer)
    assert run.loader.state_dict() == loader
    assert fastconv.random.get_rng_state() == state


def test_a_missing_file_and_directory_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere.npz"):
        Run(tmp_path / "run.npz").fit(resume=tmp_path / "nowhere.npz")
    with pytest.raises(ValueError, match="path must lie in a directory that exists, got .*nowhere"):
        Run(tmp_path / "nowhere" / "run.npz").fit()
    with pytest.raises(ValueError, match="path must be the name of a file, got the directory"):
        Run(tmp_path).fit()


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"path": 3}, TypeError, "path must be the name of a file, got 3"),
        ({"every": 0}, ValueError, "every must be between 1"),
        ({"batches": 0}, ValueError, "batches must be between 1"),
        ({"keep_best": 1}, TypeError, "keep_best must be True or False"),
        ({"mode": "best"}, ValueError, "mode must be one of"),
    ],
)
def test_a_wrong_argument_of_checkpoint_is_named(options, kind, message):
    with pytest.raises(kind, match=message):
        Checkpoint(**{"path": "run.npz", **options})
