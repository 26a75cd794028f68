"""What the command line says when something takes long."""

from __future__ import annotations

import threading

import pytest

from levada.hil import virtual
from levada.hil.errors import LinkError
from levada.twin.cli import slow
from levada.twin.cli.main import main
from levada.twin.cli.nodes import _COMPILING
from levada.twin.cli.slow import said_if_slow


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bool]]:
    found: list[tuple[str, bool]] = []
    monkeypatch.setattr(slow.typer, "echo", lambda text, err: found.append((text, err)))
    return found


def timers() -> list[threading.Timer]:
    return [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]


def test_it_is_said_on_standard_error(said: list[tuple[str, bool]]) -> None:
    with said_if_slow("still compiling", 0.0):
        for timer in timers():
            timer.join()
        assert said == [("still compiling", True)]


def test_what_is_done_in_time_is_not_spoken_of(said: list[tuple[str, bool]]) -> None:
    with said_if_slow("still compiling", 3_600.0) as done:
        (waiting,) = timers()
        done()
        waiting.join()
    with pytest.raises(RuntimeError), said_if_slow("still compiling", 3_600.0):
        (waiting,) = timers()
        raise RuntimeError
    waiting.join()
    assert said == []


def test_who_starts_a_virtual_board_for_the_first_time_is_told_that_it_compiles(
    said: list[tuple[str, bool]], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Compiled:
        """A board that is there once it was said that it is compiled."""

        def __init__(self, *_: object, **__: object) -> None:
            (waiting,) = timers()
            waiting.function()
            raise LinkError("it does not start")

    monkeypatch.setattr(virtual, "VirtualDevice", Compiled)
    with pytest.raises(SystemExit):
        main(["device"])
    assert said[0] == (_COMPILING, True)
