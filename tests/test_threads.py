# SPDX-License-Identifier: BSD-3-Clause
"""The thread pool under what breaks others: fork, several Python threads at once, Ctrl-C."""

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from fastconv import ops

X = np.random.default_rng(0).standard_normal((2, 32, 64, 64)).astype(np.float32)
W = np.random.default_rng(1).standard_normal((64, 32, 3, 3)).astype(np.float32)


pytestmark = pytest.mark.usefixtures("two_threads")


def test_a_forked_child_computes():
    expected = ops.conv2d(X, W)
    for _ in range(20):
        child = os.fork()
        if child == 0:
            os._exit(0 if np.array_equal(ops.conv2d(X, W), expected) else 1)
        deadline = time.monotonic() + 30
        while os.waitpid(child, os.WNOHANG) == (0, 0):
            if time.monotonic() > deadline:
                os.kill(child, signal.SIGKILL)
                pytest.fail("the child hangs")
            time.sleep(0.002)


def test_fork_while_other_threads_compute():
    expected, stop = ops.conv2d(X, W), threading.Event()

    def work():
        while not stop.is_set():
            ops.conv2d(X, W)

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    try:
        for _ in range(20):
            child = os.fork()
            if child == 0:
                signal.alarm(30)    # a child that hangs dies of it
                os._exit(0 if np.array_equal(ops.conv2d(X, W), expected) else 1)
            assert os.waitpid(child, 0)[1] == 0
    finally:
        stop.set()
        for worker in workers:
            worker.join()


def test_many_python_threads_get_the_same_bits():
    expected, wrong = ops.conv2d(X, W), []

    def work():
        for _ in range(10):
            if not np.array_equal(ops.conv2d(X, W), expected):
                wrong.append(1)

    workers = [threading.Thread(target=work) for _ in range(16)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


INTERRUPTED = """
import signal, sys, threading, time
import numpy as np
import fastconv
from fastconv import ops
signal.signal(signal.SIGINT, signal.default_int_handler)    # a job in the background starts with it ignored
fastconv.set_num_threads(2)
x, w = np.ones((64, 64, 224, 224), np.float32), np.ones((64, 64, 3, 3), np.float32)
dy = np.ones((64, 64, 222, 222), np.float32)
call = {"forward": lambda: ops.conv2d(x, w),
        "backward": lambda: ops.conv2d_backward(dy, x, w, needs=(False, True, False))}[sys.argv[1]]
pressed = []
def press():
    pressed.append(time.perf_counter())
    signal.raise_signal(signal.SIGINT)
timer = threading.Timer(0.3, press)
timer.start()
try:
    call()
    print("finished")
except KeyboardInterrupt:
    print(time.perf_counter() - pressed[0])
small = ops.conv2d(x[:1, :, :50, :50], w)    # the pool still works
assert np.allclose(small, 576)
"""


@pytest.mark.parametrize("what", ["forward", "backward"])
def test_ctrl_c_is_heard_within_a_tenth_of_a_second(what):
    done = subprocess.run([sys.executable, "-c", INTERRUPTED, what], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() != "finished"
    assert float(done.stdout) < 0.1
