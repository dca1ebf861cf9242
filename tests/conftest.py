"""Settings of the core that are put back after the test."""

import signal
from collections.abc import Iterator

import pytest

from fastconv import _core


@pytest.fixture(autouse=True, scope="session")
def _ctrl_c_is_heard() -> Iterator[None]:
    """A shell starts what runs in its background with SIGINT ignored, and so would be the programs that tests start."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(params=[name for name, supported in _core.isa_levels() if supported])
def level(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each instruction-set level of this processor in turn."""
    before = _core.isa()
    _core.set_isa(request.param)
    yield request.param
    _core.set_isa(before)


def _with_threads(count: int) -> Iterator[None]:
    before = _core.get_num_threads()
    _core.set_num_threads(count)
    yield
    _core.set_num_threads(before)


@pytest.fixture
def one_thread() -> Iterator[None]:
    yield from _with_threads(1)


@pytest.fixture
def two_threads() -> Iterator[None]:
    yield from _with_threads(2)
