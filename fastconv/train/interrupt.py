# SPDX-License-Identifier: BSD-3-Clause
"""Ctrl-C between the steps of training rather than in the middle of one."""

import signal
import threading
from types import FrameType, TracebackType


class Unbroken:
    """A block in which the first Ctrl-C waits for the end; the second one does not.

    An optimiser interrupted in the middle of a step leaves some parameters updated and others not, a state that cannot
    be gone on from. Signals reach the main thread only, so in others this does nothing.
    """

    def __enter__(self) -> None:
        self._asked: FrameType | None = None
        self._handler = signal.getsignal(signal.SIGINT) if _in_main_thread() else None
        if callable(self._handler):
            signal.signal(signal.SIGINT, self._wait)

    def _wait(self, number: int, frame: FrameType | None) -> None:
        if self._asked is not None and callable(self._handler):
            self._handler(number, frame)
        self._asked = frame

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if callable(self._handler):
            signal.signal(signal.SIGINT, self._handler)
            if self._asked is not None and error is None:
                self._handler(signal.SIGINT, self._asked)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
