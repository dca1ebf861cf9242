# SPDX-License-Identifier: BSD-3-Clause
"""Levels and threads: set by call, set by environment, set wrongly."""

import os
import subprocess
import sys

import numpy as np
import pytest

import fastconv
from fastconv import _config, ops

LEVELS = fastconv.cpu_info()["isa_levels"]


@pytest.fixture(autouse=True)
def restore():
    isa, threads = fastconv.cpu_info()["isa"], fastconv.get_num_threads()
    yield
    fastconv.set_isa(isa)
    fastconv.set_num_threads(threads)


def in_new_process(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, env=os.environ | environment, capture_output=True, text=True, timeout=60, check=True
    )


@pytest.mark.parametrize("name", LEVELS)
def test_each_level_can_be_forced_and_is_used_at_once(name):
    x, w = np.ones((1, 16, 20, 20), np.float32), np.ones((16, 16, 3, 3), np.float32)
    before = ops.conv2d(x, w)
    fastconv.set_isa(name)
    assert fastconv.cpu_info()["isa"] == name
    assert np.array_equal(ops.conv2d(x, w, algorithm="direct"), before.round())


def test_an_unknown_level_names_those_there_are():
    with pytest.raises(ValueError, match="'avx1024' is no instruction-set level; expected one of .*'portable'"):
        fastconv.set_isa("avx1024")
    for wrong in (None, 2, b"avx2"):
        with pytest.raises(TypeError, match="name"):
            fastconv.set_isa(wrong)
    assert fastconv.cpu_info()["isa"] in LEVELS


@pytest.mark.parametrize("name", LEVELS)
def test_the_environment_chooses_the_level(name):
    done = in_new_process("import fastconv; print(fastconv.cpu_info()['isa'])", FASTCONV_ISA=name)
    assert done.stdout.strip() == name and not done.stderr


def test_a_level_from_the_environment_that_does_not_exist_is_a_warning():
    done = in_new_process("import fastconv; print(fastconv.cpu_info()['isa'])", FASTCONV_ISA="nope")
    assert done.stdout.strip() == LEVELS[0]
    assert "FASTCONV_ISA is ignored" in done.stderr and "'nope'" in done.stderr


@pytest.mark.parametrize("text", ["abc", "-1", "0", "9999999999999", "1.5", " "])
def test_a_thread_count_from_the_environment_that_makes_no_sense_is_a_warning(text):
    done = in_new_process("import fastconv; print(fastconv.get_num_threads())", FASTCONV_NUM_THREADS=text)
    assert int(done.stdout) >= 1
    assert ("FASTCONV_NUM_THREADS" in done.stderr) == bool(text.strip())


def test_the_environment_sets_the_threads():
    code = "import fastconv; print(fastconv.get_num_threads())"
    assert in_new_process(code, FASTCONV_NUM_THREADS="3", OMP_NUM_THREADS="5").stdout.strip() == "3"
    assert in_new_process(code, FASTCONV_NUM_THREADS="", OMP_NUM_THREADS="5,2").stdout.strip() == "5"


@pytest.mark.parametrize("wrong", [1.5, "2", None, True, np.int64(2)])
def test_a_thread_count_is_an_int(wrong):
    with pytest.raises(TypeError, match="n: got"):
        fastconv.set_num_threads(wrong)


@pytest.mark.parametrize("wrong", [0, -1, 2**40])
def test_a_thread_count_is_in_range(wrong):
    with pytest.raises(ValueError, match=f"n: got {wrong}, expected 1 to"):
        fastconv.set_num_threads(wrong)


@pytest.mark.parametrize(("text", "cpus"), [("max 100000", np.inf), ("150000 100000", 1.5), ("broken", np.inf)])
def test_the_quota_of_a_container_is_read(tmp_path, text, cpus):
    path = tmp_path / "cpu.max"
    path.write_text(text)
    assert _config._cgroup_quota(str(path)) == cpus
    assert _config._cgroup_quota(str(tmp_path / "absent")) == np.inf


def test_show_config_says_what_a_bug_report_needs(capsys):
    fastconv.show_config()
    shown = capsys.readouterr().out
    assert fastconv.__version__ in shown and "isa" in shown and "FASTCONV_NUM_THREADS" in shown
