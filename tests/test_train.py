# SPDX-License-Identifier: BSD-3-Clause
"""Training end to end: the trainer on digits, the report, the pictures, and `fastconv train` on top of them."""

import json
import re
import signal
import subprocess
import sys

import numpy as np
import pytest

import fastconv
from fastconv import cli, data, models, nn, optim, report
from fastconv.data.dataset import Dataset

pytest.importorskip("sklearn")
viz = pytest.importorskip("matplotlib") and pytest.importorskip("fastconv.viz")
train = pytest.importorskip("fastconv.commands.train")


@pytest.fixture(autouse=True)
def same_threads():
    """What a test sets is set back."""
    threads = fastconv.get_num_threads()
    yield
    fastconv.set_num_threads(threads)


@pytest.fixture(scope="module")
def few():
    """A data set small enough to train on in no time: 160 digits, and 40 held out."""
    digits = data.load("digits")
    return Dataset(
        "few", digits.train_images[:160], digits.train_labels[:160],
        digits.test_images[:40], digits.test_labels[:40], digits.classes,
    )  # fmt: skip


def bits(model):
    return {name: array.tobytes() for name, array in model.state_dict().items()}


# ---- the trainer on digits -------------------------------------------------------------------------------


def test_a_network_learns():
    model = models.build("lenet")
    adam = optim.Adam(model.parameters(), lr=3e-3)
    history = fastconv.fit(model, data.load("digits"), epochs=4, optimizer=adam, seed=0, verbose=0)
    assert history["val_accuracy"][-1] > 0.9
    assert history["loss"] == sorted(history["loss"], reverse=True)


def test_the_same_seed_gives_the_same_bits_for_any_number_of_threads(few):
    def fitted(threads, seed=0):
        fastconv.set_num_threads(threads)
        fastconv.manual_seed(0)
        model = models.build("lenet")
        history = fastconv.fit(model, few, epochs=2, seed=seed, verbose=0)
        return bits(model), history["loss"], history["val_loss"]

    first = fitted(1)
    assert fitted(2) == fitted(3) == first
    assert fitted(1, seed=1) != first


# ---- models ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", models.MODELS)
def test_a_model_maps_its_images_to_its_classes(name):
    images = np.zeros((2, *models.MODELS[name].input_shape), np.float32)
    assert np.asarray(models.build(name, 7).eval()(images)).shape == (2, 7)


@pytest.mark.parametrize(
    ("name", "count"), [("lenet", 61_706), ("lenet-caffe", 431_080), ("mnist-cnn", 50_186)]
)
def test_a_model_has_its_published_number_of_parameters(name, count):
    assert sum(p.numel() for p in models.build(name).parameters()) == count


def test_an_unknown_model_is_answered_with_the_known_ones():
    with pytest.raises(ValueError, match="name must be one of 'lenet', .*, got 'lenet6'"):
        models.build("lenet6")


# ---- the report ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", models.MODELS)
def test_the_report_has_every_layer_and_fits_a_terminal(name):
    model = models.build(name)
    before = bits(model)
    images = np.random.default_rng(0).random((8, *models.MODELS[name].input_shape), np.float32)
    measured = report.measure(model, images)
    assert bits(model) == before
    assert all(p.grad is None for p in model.parameters())
    leaves = [path for path, module in model.named_modules() if not module._modules]
    assert [layer.name for layer in measured.layers] == leaves
    text = report.describe(measured)
    assert max(map(len, text.splitlines())) <= report.WIDTH
    for layer in measured.layers:
        assert re.search(rf"^{re.escape(layer.name)} ", text, re.MULTILINE)


def test_the_report_counts_as_by_hand(few):
    layers = {
        layer.name: layer for layer in report.measure(models.build("lenet"), few.train_images[:8]).layers
    }
    assert layers["conv1"].macs == 8 * 6 * 25 * 28 * 28
    assert layers["conv2"].macs == 8 * 16 * 6 * 25 * 10 * 10
    assert layers["fc1"].macs == 8 * 400 * 120
    assert layers["relu1"].macs == layers["pool1"].macs == 0
    assert layers["conv2"].parameters == 16 * 6 * 25 + 16
    assert layers["conv2"].output_shape == (16, 10, 10)
    assert layers["conv2"].backward_flops == 2 * layers["conv2"].forward_flops
    assert (
        layers["conv1"].backward_flops == layers["conv1"].forward_flops
    )  # nobody needs the images' gradient
    assert layers["conv1"].backward_seconds > 0


@pytest.mark.parametrize("algorithm", ["direct", "im2col"])
def test_the_report_tells_the_algorithm_that_was_asked_for(few, algorithm):
    passes = report.choices(models.build("lenet", algorithm=algorithm), few.train_images[:1])
    for layer in ("conv1", "conv2"):
        assert {choice.algorithm for choice in passes[layer].values()} == {algorithm}
        assert all(choice.reason for choice in passes[layer].values())


# ---- pictures --------------------------------------------------------------------------------------------


def test_mistakes_can_be_drawn_for_none_one_and_a_hundred():
    digits = data.load("digits")
    for wrong, title in ((0, "None of the 360"), (1, "1 of 360"), (100, "100 of 360 .*the first 40")):
        predictions = digits.test_labels.copy()
        predictions[:wrong] = (predictions[:wrong] + 1) % 10
        figure = viz.mistakes(digits.test_images, digits.test_labels, predictions, digits.classes)
        assert re.match(title, figure.get_suptitle())
        assert sum(bool(axes.images) for axes in figure.axes) == min(wrong, viz.MISTAKES_SHOWN)


@pytest.mark.parametrize("shape", [(6, 1, 5, 5), (64, 3, 7, 7), (1, 2, 3, 3)])
def test_filters_of_every_depth_can_be_drawn(tmp_path, shape):
    weight = np.random.default_rng(0).normal(size=shape)
    viz.save(viz.filters(weight, "filters"), tmp_path / "filters.png")
    assert (tmp_path / "filters.png").read_bytes().startswith(b"\x89PNG")


# ---- the command -----------------------------------------------------------------------------------------


@pytest.fixture
def run(few, monkeypatch, tmp_path, capsys):
    """`fastconv train` for one epoch on the few images; returns (exit code, standard output, errors)."""
    monkeypatch.setattr(data, "load", lambda name, directory: few)
    monkeypatch.chdir(tmp_path)

    def command(*arguments, pictures=False):
        if not pictures:  # they take longer than all the rest
            monkeypatch.setattr(train, "_draw", lambda *arguments: None)
        try:
            code = cli.main(["train", "--epochs", "1", *arguments])
        except SystemExit as leaving:
            code = leaving.code
        return code, *capsys.readouterr()

    return command


def test_a_run_prints_and_writes_everything(run, tmp_path):
    code, output, errors = run(pictures=True)
    assert (code, errors) == (0, "")
    assert re.search(
        r"^epoch 1/1  loss \d\.\d{4}  accuracy 0\.\d{4}  val_loss \d\.\d{4}  val_accuracy 0\.\d{4}$", output, re.M
    )
    (accuracy,) = re.findall(r"^test accuracy (\d\.\d{4})$", output, re.M)
    out = tmp_path / "fastconv-runs" / "lenet-digits"
    assert {path.name for path in out.iterdir()} == set(train.FILES)
    assert all(name in output for name in train.FILES)
    for picture in out.glob("*.png"):
        assert picture.read_bytes().startswith(b"\x89PNG")
    record = json.loads((out / train.RECORD).read_text())
    assert f"{record['test_accuracy']:.4f}" == accuracy
    assert record["options"]["batch_size"] == 32
    assert (out / train.LAYERS).read_text() in output


def test_the_weights_can_be_loaded_again(run, few, tmp_path):
    run("--model", "mnist-cnn", "--out", "run")
    model = models.build("mnist-cnn")
    with np.load(tmp_path / "run" / train.WEIGHTS) as weights:
        model.load_state_dict(weights)
    record = json.loads((tmp_path / "run" / train.RECORD).read_text())
    assert fastconv.evaluate(model, few)["accuracy"] == record["test_accuracy"]


def test_the_same_seed_writes_the_same_bits_for_any_number_of_threads(run, tmp_path):
    for threads in "12":
        assert run("--threads", threads, "--out", threads)[0] == 0
    run("--seed", "1", "--out", "other")
    first, second, other = ((tmp_path / name / train.WEIGHTS).read_bytes() for name in ("1", "2", "other"))
    assert first == second != other


def test_a_second_run_says_that_it_replaces_the_first(run):
    run("--out", "run")
    code, output, _ = run("--out", "run")
    assert code == 0
    assert output.startswith("the results of the earlier run in run will be replaced\n")


def test_files_of_somebody_else_are_not_replaced(run, tmp_path):
    (tmp_path / train.WEIGHTS).write_text("mine")
    code, _, errors = run("--out", ".")
    assert code == 2
    assert "argument --out: . holds weights.npz that `fastconv train` did not write" in errors
    assert (tmp_path / train.WEIGHTS).read_text() == "mine"


@pytest.mark.parametrize("optimizer", train.METHODS)
def test_every_optimizer_trains(run, optimizer):
    assert run("--optimizer", optimizer)[0] == 0


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_learning_rate_that_is_too_high_is_named(run):
    code, _, errors = run("--lr", "1e18")
    assert code == 1
    assert re.search(r"fastconv: error: the loss became \w+ in epoch 1; .* than --lr 1e\+18\n$", errors)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "resnet"], "argument --model: invalid choice: 'resnet' (choose from"),
        (["--data", "imagenet"], "argument --data: invalid choice: 'imagenet' (choose from"),
        (["--optimizer", "lion"], "argument --optimizer: invalid choice: 'lion' (choose from"),
        (["--algorithm", "fft"], "argument --algorithm: invalid choice: 'fft' (choose from"),
        (["--batch-size", "0"], "argument --batch-size: got '0', expected an integer of 1 or more"),
        (["--threads", "two"], "argument --threads: got 'two', expected an integer of 1 to 4096"),
        (["--seed", "-1"], "argument --seed: got '-1', expected an integer of 0 or more"),
        (["--lr", "0"], "argument --lr: got '0', expected a number above 0"),
        (["--data-dir", "."], "argument --data-dir: --data digits reads no files"),
        (["--algorithm", "winograd"], "argument --algorithm: got 'winograd', expected one that fits lenet: "),
        (["--out", "file"], "argument --out: got file, which is a file, expected a directory"),
        (["--out", "file/run"], "argument --out: cannot write to file/run: Not a directory"),
        (
            ["--data", "cifar10", "--model", "lenet"],
            "argument --model: got 'lenet', expected one for images of 3 x 32 x 32, as --data cifar10 has them: "
            "cifar_resnet20, ",
        ),
        (["--epoch", "3"], "unrecognized arguments: --epoch 3"),
    ],
)
def test_a_wrong_option_is_named_with_what_was_got_and_expected(run, tmp_path, arguments, message):
    (tmp_path / "file").touch()
    code, _, errors = run(*arguments)
    assert code == 2
    assert message in errors
    assert not (tmp_path / "fastconv-runs").exists()


@pytest.mark.parametrize("package", ["matplotlib", "sklearn"])
def test_a_missing_extra_is_named_with_the_command_that_installs_it(monkeypatch, capsys, tmp_path, package):
    monkeypatch.chdir(tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    assert cli.main(["train"]) == 1
    expected = f'fastconv: error: {package} is not installed. Install it with: pip install "fastconv[demo]"\n'
    assert capsys.readouterr().err == expected


def test_an_interrupted_run_goes_on_to_the_same_bits(run, tmp_path, monkeypatch):
    run("--epochs", "2", "--out", "whole")
    done = train.LearningRateSchedule.on_batch_end

    def interrupted(self, batch, logs):
        done(self, batch, logs)
        if (self.training.epoch, batch) == (1, 2):
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(train.LearningRateSchedule, "on_batch_end", interrupted)
    code, output, errors = run("--epochs", "2", "--out", "run")
    assert code == 130
    assert "run/checkpoint.npz is written: repeat the command with --resume to go on" in output
    monkeypatch.setattr(train.LearningRateSchedule, "on_batch_end", done)
    assert run("--epochs", "2", "--out", "run", "--resume", "--threads", "1")[0] == 0
    whole, gone_on = ((tmp_path / name / train.WEIGHTS).read_bytes() for name in ("whole", "run"))
    assert whole == gone_on


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--out", "empty"], "argument --resume: empty holds no run that can be gone on with"),
        (["--out", "run", "--epochs", "3"], "argument --epochs: got 3, but the run in run has 1"),
        (["--out", "run", "--model", "mnist-cnn"], "argument --model: got mnist-cnn, but the run in run has lenet"),
    ],
)
def test_resume_refuses_another_run(run, tmp_path, arguments, message):
    (tmp_path / "empty").mkdir()
    run("--out", "run")
    code, _, errors = run(*arguments, "--resume")
    assert code == 2
    assert message in errors


def test_a_damaged_checkpoint_or_record_is_named(run, tmp_path):
    run("--out", "run")
    (tmp_path / "run" / train.CHECKPOINT).write_bytes(b"PK")
    code, _, errors = run("--out", "run", "--resume")
    assert (code, "checkpoint.npz is damaged" in errors) == (1, True)
    (tmp_path / "run" / train.RECORD).write_text("{}")
    code, _, errors = run("--out", "run", "--resume")
    assert (code, "fastconv-run.json is not what `fastconv train` wrote" in errors) == (2, True)


def test_on_a_terminal_every_epoch_is_a_bar(run, monkeypatch):
    pytest.importorskip("tqdm")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    code, output, _ = run("--out", "run")
    assert code == 0
    assert re.search(r"\| epoch 1/1", output)
    assert re.search(r"[\r\n]epoch 1/1  loss .*  val_accuracy 0\.\d{4}\n", output)


def test_import_of_the_package_imports_no_extra():
    code = "import fastconv, sys; print([m for m in ('sklearn', 'matplotlib', 'tqdm') if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"


def test_a_layer_that_reshapes_only_is_left_out_of_the_maps(few):
    model = models.build("lenet").eval()
    figure = viz.feature_maps(model, few.test_images[0], "8", few.classes)
    titles = [axes.get_title().splitlines()[0] for axes in figure.axes]
    layers = [name for name, layer in model.named_children() if not isinstance(layer, nn.Flatten)]
    assert titles == ["input", *layers, "softmax"]
