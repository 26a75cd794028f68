"""The thread of the wall-clock guard, beside others that begin and end guests."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from weakref import WeakSet

from levada.guest.wasm.watchdog import Watchdog


class Worker:
    busy = False

    def __init__(self) -> None:
        self.closed = False

    def close(self) -> None:
        self.closed = True


def test_a_worker_that_comes_while_all_are_looked_at_waits_for_that() -> None:
    dog, first, late = Watchdog(), Worker(), Worker()
    joining = threading.Thread(target=dog.watch, args=(late,))

    class Interrupted(WeakSet[Worker]):
        def __iter__(self) -> Iterator[Worker]:
            for worker in super().__iter__():
                if not joining.ident:
                    joining.start()
                    joining.join(0.2)  # it would be through by then
                yield worker

    dog._workers = Interrupted([first])  # type: ignore[assignment]
    dog.close()
    joining.join()
    assert first.closed
    dog.close()
    assert late.closed
