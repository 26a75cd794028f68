"""D2: the power fails at any moment, and every acknowledged row is there afterwards.

A child writes a store while a shim (write_order.c) notes every write, synchronisation and
acknowledgement in order.  From that record disks are made as a power cut could have left them: what
was synchronised is there; of what came after, any sectors of any writes.
"""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from services import need

from levada.twin.store.store import Store

HERE = Path(__file__).parent
SECTOR = 512
ACKNOWLEDGEMENTS = 80
CC_FLAGS = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-O1", "-shared", "-fPIC"]


@dataclass
class File:
    """A file on a disk with a cache."""

    durable: bytearray
    cached: list[tuple[int, bytes | None]] = field(default_factory=list)
    """(offset, bytes), or (size, None) for a cut, since the last synchronisation"""

    def synchronise(self) -> None:
        for change in self.cached:
            _apply(self.durable, *change)
        self.cached.clear()

    def after_power_cut(self, chance: random.Random) -> bytes:
        left = bytearray(self.durable)
        for offset, data in self.cached:
            if data is None:
                if chance.random() < 0.5:
                    _apply(left, offset, None)
                continue
            for start in range(0, len(data), SECTOR):
                if chance.random() < 0.5:
                    _apply(left, offset + start, data[start : start + SECTOR])
        return bytes(left)


def _apply(content: bytearray, offset: int, data: bytes | None) -> None:
    if data is None:
        del content[offset:]
        content.extend(bytes(offset - len(content)))
        return
    content.extend(bytes(max(0, offset + len(data) - len(content))))
    content[offset : offset + len(data)] = data


def _records(log: bytes) -> Iterator[tuple[str, str, int, bytes]]:
    at = 0
    while (end := log.find(b"\n", at)) >= 0:
        kind, name, offset, length = log[at:end].decode().split(" ")
        at = end + 1 + int(length)
        if at > len(log):
            return  # the child was killed while writing it
        yield kind, name, int(offset), log[end + 1 : at]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    """The database before, and the record of a child that writes it."""
    folder = tmp_path_factory.mktemp("power")
    disk = folder / "disk"
    disk.mkdir()
    Store(disk / "s.sqlite").close()
    before = (disk / "s.sqlite").read_bytes()
    library = folder / "write_order.so"
    subprocess.run(
        [need("cc"), *CC_FLAGS, "-o", str(library), str(HERE / "write_order.c")],
        check=True,
    )
    shim = {
        "LD_PRELOAD": str(library),
        "WRITE_ORDER_LOG": str(folder / "log"),
        "WRITE_ORDER_FOLDER": str(disk),
    }
    with subprocess.Popen(
        [sys.executable, str(HERE / "store_child.py"), "write", str(disk / "s.sqlite")],
        stdout=subprocess.PIPE,
        env=os.environ | shim,
    ) as child:
        assert child.stdout is not None
        for _ in range(ACKNOWLEDGEMENTS):
            assert child.stdout.readline()
        child.kill()
    return before, (folder / "log").read_bytes()


def _power_cuts(
    recorded: tuple[bytes, bytes], folder: Path, chance: random.Random, *, synchronises: bool = True
) -> Iterator[tuple[int, Path]]:
    """After each acknowledgement, and some writes later: its number, and the disk then."""
    before, log = recorded
    files = {"s.sqlite": File(bytearray(before))}
    acknowledged = -1
    for number, (kind, name, offset, data) in enumerate(_records(log)):
        if kind == "A":
            acknowledged = max([acknowledged, *map(int, data.split())])
        elif kind == "S" and synchronises:
            files.setdefault(name, File(bytearray())).synchronise()
        elif kind in "WT":
            file = files.setdefault(name, File(bytearray()))
            file.cached.append((offset, data if kind == "W" else None))
        if kind == "A" or chance.random() < 0.1:
            disk = folder / str(number)
            disk.mkdir()
            for known in ("s.sqlite", "s.sqlite-wal"):
                if known in files:
                    (disk / known).write_bytes(files[known].after_power_cut(chance))
            yield acknowledged, disk / "s.sqlite"


def _is_whole(acknowledged: int, file: Path) -> bool:
    try:
        with closing(sqlite3.connect(file)) as raw:
            if raw.execute("PRAGMA integrity_check").fetchall() != [("ok",)]:
                return False
            stored = {number for (number,) in raw.execute("SELECT seq FROM telemetry")}
    except sqlite3.DatabaseError:
        return False
    return set(range(acknowledged + 1)) <= stored


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 10))]
)
def test_what_was_acknowledged_survives_a_power_cut_at_any_moment(
    recorded: tuple[bytes, bytes], memory_folder: Path, seed: int
) -> None:
    cuts = 0
    for acknowledged, file in _power_cuts(recorded, memory_folder, random.Random(seed)):
        assert _is_whole(acknowledged, file), (seed, acknowledged, file)
        cuts += 1
    assert cuts >= ACKNOWLEDGEMENTS
    print(f"seed {seed}: {cuts} power cuts")


def test_a_disk_that_lies_about_synchronising_would_be_noticed(
    recorded: tuple[bytes, bytes], tmp_path: Path
) -> None:
    """So the test above is able to fail."""
    cuts = _power_cuts(recorded, tmp_path, random.Random(0), synchronises=False)
    assert not all(_is_whole(acknowledged, file) for acknowledged, file in cuts)
