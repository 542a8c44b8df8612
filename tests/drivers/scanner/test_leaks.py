"""The leak check itself: it would be worthless if it missed what it looks for."""

import os
import threading

import pytest

from tests.drivers.scanner.leaks import nothing_left


def test_a_descriptor_left_open_is_named() -> None:
    """Whoever forgets to close reads which kind of thing it was."""
    ends: tuple[int, int] = (0, 0)
    try:
        with pytest.raises(AssertionError, match="descriptor pipe"), nothing_left(0.1):
            ends = os.pipe()
    finally:
        for end in ends:
            os.close(end)


def test_a_thread_left_running_is_named() -> None:
    """A reader thread that outlives its scanner is named."""
    over = threading.Event()
    thread = threading.Thread(target=over.wait, name="forgotten reader")
    try:
        with pytest.raises(AssertionError, match="forgotten reader"), nothing_left(0.1):
            thread.start()
    finally:
        over.set()
        thread.join()


def test_what_is_closed_in_time_is_not_reported() -> None:
    """Opening and closing, and a thread that ends by itself shortly after, are no leak."""
    with nothing_left():
        for end in os.pipe():
            os.close(end)
        threading.Timer(0.05, lambda: None).start()
