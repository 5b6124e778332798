"""Signals that ask a program to stop: a training finishes its step and keeps its state first."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, TypeAlias

Handler: TypeAlias = Callable[[int, FrameType | None], None]
ASKING = (signal.SIGINT, signal.SIGTERM)


class Stopped(KeyboardInterrupt):
    """The process was asked to stop by a signal; everything that was reached is on disk.

    Attributes:
        signal_number: Which signal.

    Examples:
        >>> try:
        ...     raise Stopped(signal.SIGTERM)
        ... except KeyboardInterrupt as stopped:
        ...     print(stopped)
        stopped by SIGTERM
    """

    def __init__(self, signal_number: int):
        super().__init__(f"stopped by {signal.Signals(signal_number).name}")
        self.signal_number = signal_number


@contextlib.contextmanager
def deferred() -> Iterator[Callable[[], int | None]]:
    """Holds signals that ask to stop back until the caller looks; a second one of them acts at once.

    Only the main thread can; elsewhere nothing is held back.

    Yields:
        A function that returns the number of the signal that came, or None.
    """
    came: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        came.append(number)
        for again, handler in before.items():
            signal.signal(again, handler)

    with _handling(handle) as before:
        yield lambda: came[0] if came else None


@contextlib.contextmanager
def raising() -> Iterator[None]:
    """Signals that ask to stop raise Stopped where the program is, so that it can say how to go on.

    Raises:
        Stopped: On SIGINT or SIGTERM, in the main thread; elsewhere signals do what they did.

    Examples:
        >>> try:
        ...     with raising():
        ...         signal.raise_signal(signal.SIGINT)
        ... except Stopped as stopped:
        ...     print(stopped)
        stopped by SIGINT
    """

    def handle(number: int, frame: FrameType | None) -> None:
        raise Stopped(number)

    with _handling(handle):
        yield


@contextlib.contextmanager
def _handling(handle: Handler) -> Iterator[dict[int, Any]]:
    if threading.current_thread() is not threading.main_thread():
        yield {}
        return
    before: dict[int, Any] = {number: signal.getsignal(number) or signal.SIG_DFL for number in ASKING}
    try:
        for number in ASKING:
            signal.signal(number, handle)
        yield before
    finally:
        for restored, handler in before.items():
            signal.signal(restored, handler)
