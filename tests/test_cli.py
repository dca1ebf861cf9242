# SPDX-License-Identifier: BSD-3-Clause
"""The `fastconv` command: what it says about wrong command lines and failures, and with which exit code."""

import argparse
import importlib.util
import os
import signal
import subprocess
import sys
import warnings

import pytest

from fastconv import cli
from fastconv.commands import CommandError, UsageError, integer, positive
from fastconv.errors import DataError

needs_demo = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("sklearn", "matplotlib"))),
    reason='needs pip install "fastconv[demo]"',
)


@pytest.fixture
def command(monkeypatch):
    """`fastconv probe` runs whatever function the test puts into command.run."""

    class Probe:
        add_options = staticmethod(lambda parser: parser.add_argument("--n", type=integer(1, 5)))
        run = staticmethod(lambda options: None)

    monkeypatch.setattr(cli, "COMMANDS", {"probe": cli.Command("probe_module", "for the test")})
    monkeypatch.setitem(sys.modules, "probe_module", Probe)
    return Probe


def fail_with(error):
    def run(options):
        raise error

    return staticmethod(run)


def exit_code(*arguments):
    """What the shell would see, wherever it comes from."""
    try:
        return cli.main(arguments)
    except SystemExit as leaving:
        return leaving.code


def test_a_command_that_returns_has_exit_code_0(command):
    assert exit_code("probe", "--n", "3") == 0


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (CommandError("the loss became nan"), 1, "fastconv: error: the loss became nan\n"),
        (DataError("a.gz: truncated"), 1, "fastconv: error: a.gz: truncated\n"),
        (PermissionError(13, "Permission denied", "/x"), 1, "Permission denied: '/x'\n"),
        (MemoryError("Unable to allocate 9 GiB"), 1, "fastconv: error: Unable to allocate 9 GiB\n"),
        (KeyboardInterrupt(), 130, "fastconv: interrupted; files written before are complete\n"),
    ],
)
def test_an_expected_failure_is_one_line(command, capsys, error, code, text):
    command.run = fail_with(error)
    assert exit_code("probe") == code
    assert capsys.readouterr().err.endswith(text)


def test_a_usage_error_of_the_command_reads_like_the_parsers_own(command, capsys):
    command.run = fail_with(UsageError("argument --n: got 3, expected less than --m"))
    assert exit_code("probe") == 2
    text = capsys.readouterr().err
    assert text.startswith("usage: fastconv probe")
    assert text.endswith("fastconv probe: error: argument --n: got 3, expected less than --m\n")


def test_a_bug_keeps_its_traceback(command):
    command.run = fail_with(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        cli.main(["probe"])


def test_a_warning_is_one_line_and_the_hook_is_put_back(command, capsys):
    hook = warnings.showwarning
    command.run = staticmethod(lambda options: warnings.warn("not the published file", stacklevel=1))
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert exit_code("probe") == 0
    assert capsys.readouterr().err == "fastconv: warning: not the published file\n"
    assert warnings.showwarning is hook


@pytest.mark.parametrize("arguments", [(), ("trian",), ("--train",)])
def test_a_wrong_command_is_answered_with_the_commands(capsys, arguments):
    assert exit_code(*arguments) == 2
    assert "COMMAND" in capsys.readouterr().err


def test_help_lists_every_command(capsys):
    assert exit_code("--help") == 0
    text = capsys.readouterr().out
    for name, command in cli.COMMANDS.items():
        assert name in text
        assert command.summary in text


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_has_help(capsys, name):
    assert exit_code(name, "--help") == 0
    assert f"usage: fastconv {name}" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["0", "6", "-1", "2.0", "1e3", "", "two"])
def test_integer_names_what_it_got_and_expected(text):
    with pytest.raises(argparse.ArgumentTypeError, match=f"got '{text}', expected an integer of 1 to 5"):
        integer(1, 5)(text)


def test_integer_keeps_what_fits():
    assert [integer(0)("0"), integer(1, 5)("5")] == [0, 5]


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "1e999", "fast"])
def test_positive_names_what_it_got_and_expected(text):
    with pytest.raises(argparse.ArgumentTypeError, match=f"got '{text}', expected a number above 0"):
        positive(text)


def start(*arguments, directory, stdout=subprocess.PIPE):
    """The command as a process of its own, in a directory of the test's."""
    return subprocess.Popen(
        [sys.executable, "-m", "fastconv", *arguments],
        cwd=directory,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        # where the tests run as a job in the background they start with it ignored, and so would the command
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


@needs_demo
def test_a_command_whose_reader_leaves_is_quiet(tmp_path):
    reading, writing = os.pipe()
    os.close(reading)
    with start("train", "--epochs", "1", directory=tmp_path, stdout=writing) as process:
        os.close(writing)
        assert process.stderr.read() == ""
    assert process.returncode == 1


@needs_demo
def test_ctrl_c_leaves_nothing_half_written(tmp_path):
    with start("train", "--epochs", "500", "--out", "run", directory=tmp_path) as process:
        while not process.stdout.readline().startswith("epoch"):
            assert process.poll() is None, process.stderr.read()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert errors == "fastconv: interrupted; files written before are complete\n"
    assert process.returncode == 130
    assert sorted(os.listdir(tmp_path / "run")) == ["checkpoint.npz", "fastconv-run.json"]
