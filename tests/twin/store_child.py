"""Parts of the store's tests that need a process of their own, or a file system of their own."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

from levada.twin.continuum.buffer import Buffer, Change, Outgoing
from levada.twin.errors import StoreReadOnlyError
from levada.twin.store.health import State
from levada.twin.store.policy import prune
from levada.twin.store.rows import Commit, Row, StoreSettings
from levada.twin.store.store import Store

T0 = 1_700_000_000_000


def _row(seq: int, size: int = 50) -> Row:
    return Row(
        node="n",
        boot=1,
        seq=seq,
        oldest=0,
        received_ms=T0 + seq,
        payload=json.dumps({"x": "x" * size}),
        signals={"raw": float(seq)},
    )


def _write(where: Path | str) -> None:
    store = Store(where)

    def tell(commit: Commit) -> None:
        print(commit.acks["n", 1], flush=True)

    store.listen(tell)
    number = 0
    while True:
        if store.submit(_row(number)):
            number += 1


def _mount(folder: Path, size: str = "12m") -> None:
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    subprocess.run(mount, check=True)


class _Acks:
    def __init__(self, store: Store) -> None:
        self.last = -1
        self.news = threading.Condition()
        store.listen(self._hear)

    def _hear(self, commit: Commit) -> None:
        with self.news:
            self.last = commit.acks["n", 1]
            self.news.notify_all()

    def reaches(self, number: int, timeout_s: float = 30.0) -> bool:
        with self.news:
            return self.news.wait_for(lambda: self.last >= number, timeout_s)


def _fill(store: Store, acks: _Acks) -> int:
    """Write until the disk is full; how many rows were submitted."""
    number = 0
    while store.health().state is not State.FULL:
        if store.submit(_row(number, 2_000)):
            number += 1
        acks.reaches(number - 20, 0.5)
        assert number < 10_000
    return number


def _full(folder: Path) -> None:
    _mount(folder)
    ballast = folder / "ballast"
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, 5 << 20)
    settings = StoreSettings(reserve_bytes=2 << 20, retry_ms=20)
    with Store(folder / "s.sqlite", settings=settings) as store:
        acks = _Acks(store)
        submitted = _fill(store, acks)
        assert not store.health().reserve
        acknowledged = acks.last
        assert acknowledged < submitted - 1
        # all that was acknowledged can be read while the disk is full
        assert store.reader.count("n") >= acknowledged + 1
        assert not acks.reaches(submitted - 1, 0.3)
        ballast.unlink()
        assert acks.reaches(submitted - 1), store.health()
        assert store.flush()
        assert store.health().ok
        assert store.health().reserve
        assert store.reader.count("n") == submitted
        assert store.reader.events(kind="store")[0]["evidence"]["state"] == "full"


def _prune(folder: Path) -> None:
    _mount(folder)
    settings = StoreSettings(reserve_bytes=2 << 20, retry_ms=20)
    with Store(folder / "s.sqlite", settings=settings) as store:
        acks = _Acks(store)
        submitted = _fill(store, acks)
        removed = prune(store, before_ms=T0 + acks.last - 10)
        assert removed.messages > 100, removed
        assert acks.reaches(submitted - 1), store.health()
        assert store.flush()
        assert store.health().ok
        # a repetition of what was pruned is still recognised
        assert store.submit(_row(0))
        assert store.flush()
        assert store.health().duplicates == 1


def _fog(folder: Path) -> None:
    """A disk that fog's own rows have filled is written again when the cloud has some of them."""
    _mount(folder, "32m")
    rows = b"[%s]" % (b"1," * 30_000 + b"1")
    with Buffer(folder / "fog.sqlite") as buffer:

        def group(first: int) -> Change:
            return Change(outgoing=[Outgoing(first, 1, "relayed", T0, rows)])

        kept = 0
        try:
            while kept < 1_000:
                buffer.write(group(kept))
                kept += 1
        except sqlite3.OperationalError as error:
            assert "full" in str(error)
        assert 50 < kept < 1_000
        for _ in range(3):
            try:
                buffer.write(group(kept))
            except sqlite3.OperationalError:
                continue
            raise AssertionError("the disk was not full")
        buffer.make_room(kept // 2)
        buffer.refill()
        for number in range(kept, kept + kept // 3):
            buffer.write(group(number))
        found = buffer.kept()
        gone = (kept // 2 + 1) // 4 * 4  # in fours
        assert (found.oldest, found.rows) == (gone, kept + kept // 3 - gone)


def _read_only(folder: Path) -> None:
    _mount(folder)
    Store(folder / "s.sqlite", settings=StoreSettings(reserve_bytes=0)).close()
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
    try:
        Store(folder / "s.sqlite")
    except StoreReadOnlyError as error:
        assert "s.sqlite" in str(error)
    else:
        raise AssertionError("a read-only store was opened")


if __name__ == "__main__":
    if sys.argv[1] == "write":
        _write(sys.argv[2])
    scripts = {"full": _full, "prune": _prune, "read-only": _read_only, "fog": _fog}
    scripts[sys.argv[1]](Path(sys.argv[2]))
