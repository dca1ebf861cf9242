# SPDX-License-Identifier: BSD-3-Clause
"""`fastconv bench` and `fastconv explain`, end to end on a few small rows."""

import importlib.util
import json
import math
import os
import re
import subprocess
import sys

import numpy as np
import pytest

import fastconv
from fastconv import cli, models, nn
from fastconv.bench import machine, ours, peers, shapes, table, timing
from fastconv.bench import run as runs
from fastconv.errors import ShapeError
from fastconv.explanation import explain, parse

FEW = ["--rows", "lenet/conv*,cifar_resnet/stage3,lenet/pool1", "--batch", "1,2", "--threads", "1", "--minutes", "1"]

needs_matplotlib = pytest.mark.skipif(
    importlib.util.find_spec("matplotlib") is None, reason="draws with matplotlib, which is not installed"
)


def exit_code(*arguments):
    try:
        return cli.main(arguments)
    except SystemExit as leaving:
        return leaving.code


# ---- the lists -------------------------------------------------------------------------------------------


def test_the_lists_have_the_published_layers():
    rows = shapes.convolutions()
    assert len({row.id for row in (*rows, *shapes.pools())}) == len(rows) + len(shapes.pools())
    assert {row.category for row in rows} == {shapes.WINOGRAD, shapes.SEVEN_WIDE, shapes.REST}
    assert {"resnet50", "vgg", "alexnet", "googlenet", "mobilenet", "lenet", "deepbench"} <= {row.net for row in rows}


@pytest.mark.parametrize("row", shapes.convolutions(), ids=lambda row: row.name)
def test_a_row_agrees_with_the_core(row):
    arrays = ours.make_arrays(row, 1)
    plan = ours.conv_plan(row, "forward", arrays)
    assert row.output(1)[2:] == plan.output_size[1:]
    assert row.macs(1) == plan.multiply_accumulates
    assert row.bytes(1) == sum(a.nbytes for a in arrays)
    assert len(row.brief) <= 20


@pytest.mark.parametrize("row", shapes.convolutions(), ids=lambda row: row.name)
def test_explain_reads_the_problem_of_every_row(row):
    layer, image = parse(row.problem)
    assert (1, *image) == row.input(1)
    assert layer.weight.shape == row.weight
    assert (layer.stride, layer.padding) == ((row.stride,) * 2, (row.padding,) * 2)


# ---- measuring -------------------------------------------------------------------------------------------


def test_turns_alternate_and_give_medians():
    order = []
    seconds = timing.interleave({name: lambda n=name: order.append(n) for name in "ab"}, 0.01)
    assert set(seconds) == {"a", "b"}
    assert all(0 < s < 0.01 for s in seconds.values())


def test_a_round_that_exceeds_the_budget_is_not_repeated():
    calls = []
    timing.interleave({"a": lambda: calls.append(1) or timing.time.sleep(0.11)}, 0.01)
    assert len(calls) == 2    # the estimate, which is slow enough to count, and one turn


def test_the_error_of_a_case_is_that_of_float32():
    row = next(row for row in shapes.convolutions() if row.name == "cifar_resnet/stage3")
    for pass_ in ours.PASSES:
        error = ours.conv_error(row, pass_, ours.make_arrays(row, 2))
        assert 1e-9 < error.largest < 1e-4
        assert 0.1 < error.units < 100


def test_an_error_where_there_is_nothing_to_round_is_seen():
    zero = np.zeros(2)
    assert ours.compare(np.array([1.0, 0.0]), np.array([1.0, 0.0]), np.array([1.0, 0.0])).units == 0
    assert math.isinf(ours.compare(np.array([1.0, 1e-9]), np.array([1.0, 0.0]), zero).units)


def test_limits_are_plausible_and_memory_is_known():
    limits = machine.measure_limits(1)
    assert limits.peak > 1e8
    assert limits.bandwidth > 1e7
    assert machine.memory_limit() > 0


def test_a_case_beyond_the_memory_is_skipped_with_its_need(capsys):
    assert exit_code("bench", *FEW, "--against", "none", "--passes", "forward", "--memory", "0.000001") == 0
    assert "the limit is 0.0 GiB" in capsys.readouterr().out


def test_cases_that_the_time_does_not_reach_are_told(capsys):
    assert exit_code("bench", *FEW, "--against", "none", "--minutes", "0.00001") == 0
    text = capsys.readouterr().out
    assert re.search(r"skipped: \d+ cases, from .*: too little time is left", text)


def test_bench_puts_the_threads_back(capsys):
    before = fastconv.get_num_threads()
    assert exit_code("bench", "--rows", "lenet/conv2", "--threads", "1", "--batch", "1", "--against", "none") == 0
    assert fastconv.get_num_threads() == before


# ---- the command -----------------------------------------------------------------------------------------


@needs_matplotlib
def test_a_small_run_end_to_end(tmp_path, capsys):
    record, picture = tmp_path / "bench.json", tmp_path / "bench.png"
    assert exit_code("bench", *FEW, "--against", "none", "--json", str(record), "--picture", str(picture)) == 0
    text = capsys.readouterr().out
    for words in ("Convolution: all gradients, N = 2, 1 thread", "lenet/conv2", "Pooling: d input", "measured peak"):
        assert words in text
    assert max(map(len, text.splitlines())) <= table.WIDTH
    assert picture.read_bytes().startswith(b"\x89PNG")
    content = json.loads(record.read_text())
    assert set(content) == {"fastconv", "date", "machine", "peers", "limits", "results", "skipped", "summary"}
    assert len(content["results"]) == 2 * (3 * 4 + 2)
    assert content["results"][0].keys() == {
        "id", "name", "problem", "class", "pass", "batch", "threads", "algorithm", "seconds", "ratios", "macs",
        "bytes", "flops_per_second", "share_of_peak", "error",
    }  # fmt: skip
    assert all(result["seconds"]["fastconv"] > 0 for result in content["results"])


@pytest.mark.parametrize("peer", peers.PACKAGES)
def test_a_run_against_a_peer(peer, capsys):
    if peers.missing(peer):
        pytest.skip(f"{peer} is not installed")
    assert exit_code("bench", *FEW, "--against", peer) == 0
    text = capsys.readouterr().out
    assert "Summary: how many times as fast fastconv is" in text
    assert max(map(len, text.splitlines())) <= table.WIDTH


@pytest.mark.skipif(bool(peers.missing("torch")), reason="compares with torch, which is not installed")
@pytest.mark.parametrize("pass_", ["forward", "backward_data", "backward_weights"])
def test_torch_computes_the_same(pass_):
    row = next(row for row in shapes.convolutions() if row.name == "mobilenetv2/dw_576")
    arrays = ours.make_arrays(row, 2)
    mine = ours.conv_run(row, pass_, arrays)()
    mine = mine if pass_ == "forward" else next(g for g in mine if g is not None)
    for run in peers.Torch().convolution(row, pass_, arrays, 1).values():
        theirs = run()
        theirs = theirs if pass_ == "forward" else next(g for g in theirs if g is not None)
        np.testing.assert_allclose(theirs.numpy(), mine, rtol=1e-3, atol=1e-4)


def test_networks_come_first_and_are_those_of_models():
    found = runs.cases(runs.Selection())
    assert {case.row.name for case in found if isinstance(case.row, runs.NetRow)} <= set(models.MODELS)
    assert isinstance(found[0].row, runs.NetRow)
    assert [case.batch for case in found if isinstance(case.row, shapes.ConvRow)] == sorted(
        case.batch for case in found if isinstance(case.row, shapes.ConvRow)
    )


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--rows", "nothing"], "argument --rows: got 'nothing', which fits no row"),
        (["--passes", "forward,sideways"], "argument --passes: got 'sideways', expected some of forward,"),
        (["--batch", "1,0"], "argument --batch: got '0', expected an integer of 1 to"),
        (["--threads", "two"], "argument --threads: got 'two', expected an integer of 1 to"),
        (["--against", "keras"], "argument --against: got 'keras', expected some of torch, onnxruntime, none"),
        (["--against", "torch,none"], "argument --against: got torch,none, expected none alone or peers"),
        (["--minutes", "0"], "argument --minutes: got '0', expected a number above 0"),
        (["--json", "no/such/place.json"], "argument --json: cannot write to no/such/place.json"),
        (["--json", "."], "argument --json: got ., which is a directory, expected a file"),
    ],
)
def test_a_wrong_option_is_named(options, text, capsys):
    assert exit_code("bench", *options) == 2
    assert text in " ".join(capsys.readouterr().err.split())


def test_a_peer_that_is_not_installed_is_named_with_the_remedy(monkeypatch, capsys):
    monkeypatch.setattr(peers, "missing", lambda name: ["torch"])
    assert exit_code("bench", "--against", "torch") == 2
    assert 'pip install "fastconv[bench]"' in capsys.readouterr().err


# ---- explain ---------------------------------------------------------------------------------------------


def test_explain_a_layer():
    layer = nn.Conv2d(64, 32, 3, padding=1)
    found = explain(layer, (64, 14, 14)).layers[0]
    assert [part.name for part in found.passes] == ["forward", "d input", "d weights"]
    assert found.macs == 64 * 32 * 9 * 14 * 14
    assert found.bytes == 4 * (64 * 196 + 32 * 196 + 64 * 32 * 9)
    for part in found.passes:
        assert sum(option.chosen for option in part.options) == 1
        assert all(option.refusal or (option.predicted > 0 and option.measured > 0) for option in part.options)


def test_the_bounds_are_those_of_the_manual():
    part = explain(nn.Conv2d(10, 4, 5, stride=2, dtype=np.float64), (10, 9, 9)).layers[0].passes[0]
    assert part.bound == "gamma_251 S = 2.8e-14 S"
    with_winograd = explain(nn.Conv2d(64, 64, 3, padding=1), (2, 64, 28, 28)).layers[0].passes
    assert with_winograd[0].bound == "(64 + 32) u W = 5.7e-06 W"
    assert with_winograd[2].bound == f"({2 * 7 * 7} + 48) u W = 8.7e-06 W"


def test_explain_says_why_an_algorithm_does_not_apply():
    text = str(explain(nn.Conv2d(1, 6, 5), (1, 28, 28)))
    assert "winograd" in text
    assert "the kernel is not 3 x 3" in text


def test_a_forced_algorithm_and_strict_precision_are_followed():
    layer = nn.Conv2d(64, 64, 3, padding=1, algorithm="im2col")
    chosen = [o.name for o in explain(layer, (64, 14, 14)).layers[0].passes[0].options if o.chosen]
    assert chosen[0].startswith("im2col")
    with fastconv.algorithm(precision="strict"):
        strict = explain(nn.Conv2d(64, 64, 3, padding=1), (64, 14, 14)).layers[0].passes[0].options
    assert not any(o.chosen and "winograd" in o.name for o in strict)


def test_explain_lenet(capsys):
    assert exit_code("explain", "lenet", "--batch", "4", "--threads", "1") == 0
    text = capsys.readouterr().out
    assert "1 thread," in text
    for name in ("conv1: Conv2d(1, 6", "conv2: Conv2d(6, 16", "fc1: Linear", "4x6x14x14 -> 4x16x10x10", "why: "):
        assert name in text
    conv1 = text[text.index("conv1:") : text.index("conv2:")]
    assert "d input" not in conv1    # nobody asks for the gradient of the images
    assert max(map(len, text.splitlines())) <= 120


def test_explain_leaves_the_model_as_it_was():
    model = models.build("lenet")
    before = {name: np.array(value) for name, value in model.state_dict().items()}
    fastconv.explain(model, (1, 28, 28))
    assert all(np.array_equal(before[name], value) for name, value in model.state_dict().items())


def test_explain_follows_the_words_of_a_layer():
    layer, image = parse("conv2d 8x20x30 -> 16 3x5 stride 2 padding 1 dilation 2 groups 4")
    assert image == (8, 20, 30)
    assert layer.weight.shape == (16, 2, 3, 5)
    assert (layer.stride, layer.dilation, layer.groups) == ((2, 2), (2, 2), 4)


@pytest.mark.parametrize(
    "text", ["", "vgg", "conv2d 3x3", "3x8x8 -> 4 3x3 stride", "3x8x8 -> 4 3x3 s2 s1", "3x8x8 -> 4 3x3 fast", "0" * 99]
)
def test_words_that_are_no_layer_are_answered_with_the_syntax(text, capsys):
    assert exit_code("explain", text) == 2
    assert "conv2d 64x56x56 -> 128 3x3 stride 2" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("text", ["3x4x4 -> 8 9x9", "3x8x8 -> 8 3x3 groups 2", "3x8x8 -> 8 3x3 stride 0"])
def test_an_impossible_layer_is_an_error_of_the_command_line(text, capsys):
    assert exit_code("explain", text) == 2
    assert "argument MODEL|LAYER" in capsys.readouterr().err


def test_explain_refuses_what_it_cannot_explain():
    with pytest.raises(TypeError, match="layer_or_model must be a fastconv.nn.Module, got str"):
        fastconv.explain("lenet", (1, 28, 28))
    with pytest.raises(ValueError, match="nothing|no convolution"):
        fastconv.explain(nn.ReLU(), (1, 28, 28))
    with pytest.raises(ShapeError, match="input_shape must be positive integers"):
        fastconv.explain(nn.Conv2d(1, 1, 1), (1, -28, 28))


def test_importing_fastconv_does_not_import_the_explanation():
    code = "import sys, fastconv; sys.exit(any('bench' in m or 'explanation' in m for m in sys.modules))"
    path = os.pathsep.join(filter(None, sys.path))
    assert subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}).returncode == 0
