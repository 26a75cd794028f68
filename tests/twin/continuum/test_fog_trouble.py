"""A fog whose disk does not take what it computes, and whose brokers are not there."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest
from fog_telemetry import MODULE, rows_of

from levada.hil.line.broker import BrokerAddress, EmbeddedBroker
from levada.hil.line.mqtt_client import MqttClient
from levada.sim.scenario.continuum import Fog as FogSettings
from levada.twin.continuum import fog as fogs
from levada.twin.continuum.buffer import Buffer, Outgoing
from levada.twin.continuum.fog import Fog
from levada.twin.continuum.groups import Group
from levada.twin.health import look

NOWHERE = BrokerAddress(host="127.0.0.1", port=1)


class Trouble:
    """Commits of groups with message 0 fail as long as this is set."""

    def __init__(self, fog: Fog, monkeypatch: pytest.MonkeyPatch) -> None:
        self.there = threading.Event()
        self.there.set()
        self.tried = threading.Semaphore(0)
        commit = fog._groups.commit

        def failing(group: Group) -> None:
            self.tried.release()
            if self.there.is_set() and any(row["seq"] == 0 for row in group.taken.rows):
                raise sqlite3.OperationalError("disk I/O error")
            commit(group)

        monkeypatch.setattr(fog._groups, "commit", failing)


@pytest.fixture
def fog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fog:
    """Closed by the test."""
    monkeypatch.setattr(fogs, "RETRY_S", 0.01)
    settings = FogSettings(engine="off")
    return Fog(settings, MODULE, edge=NOWHERE, cloud=NOWHERE, file=tmp_path / "fog.sqlite")


def tell(fog: Fog, seq: int) -> None:
    fog._from_edge("ic/n/data", b'{"boot":1,"seq":%d,"oldest":0,"raw":1}' % seq)


def stored(folder: Path) -> list[int]:
    buffer = Buffer(folder / "fog.sqlite")
    found = [row["seq"] for row in rows_of(buffer)]
    buffer.close()
    return found


def test_what_cannot_be_written_is_tried_again_and_said_meanwhile(
    fog: Fog, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    trouble = Trouble(fog, monkeypatch)
    tell(fog, 0)
    for _ in range(3):
        assert trouble.tried.acquire(timeout=60)
    parts = look(fog.parts())
    assert not parts["buffer"].ok
    assert parts["buffer"].detail == "cannot be written: disk I/O error"
    assert not parts["edge broker"].ok
    tell(fog, 1)
    trouble.there.clear()
    while not look(fog.parts())["buffer"].ok:
        pass
    fog.close()
    assert stored(tmp_path) == [0, 1]


def test_nothing_is_taken_behind_a_group_that_was_not_written(
    fog: Fog, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its messages would be counted as there, and acknowledged with the later ones."""
    trouble = Trouble(fog, monkeypatch)
    tell(fog, 0)
    assert trouble.tried.acquire(timeout=60)
    tell(fog, 1)
    fog.close()
    assert stored(tmp_path) == []


def test_without_a_broker_of_the_cloud_it_says_that_it_is_cut_off(fog: Fog) -> None:
    text = fog.metrics.text().decode()
    fog.close()
    assert 'levada_fog_state{state="outage"} 1.0' in text
    assert 'levada_fog_state{state="forwarding"} 0.0' in text


def stays_unwritten(fog: Fog, seq: int) -> str:
    """What /health says of the buffer when message `seq` cannot be taken."""
    tell(fog, seq)
    while (part := look(fog.parts())["buffer"]).ok:
        pass
    return part.detail


def until_kept(fog: Fog, rows: int) -> None:
    while fog._buffer.kept().rows < rows:
        pass


def test_a_buffer_that_was_deleted_takes_nothing_more_and_its_rows_are_saved(
    fog: Fog, tmp_path: Path
) -> None:
    """Writing would go on, and reach nobody: nodes would forget what is nowhere."""
    tell(fog, 0)
    until_kept(fog, 1)
    for file in tmp_path.iterdir():
        file.unlink()
    assert "is gone" in stays_unwritten(fog, 1)
    fog.close()
    (tmp_path / "fog.sqlite.rescued").rename(tmp_path / "fog.sqlite")
    assert stored(tmp_path) == [0]


def test_a_buffer_that_was_moved_away_is_written_again_once_it_is_back(
    fog: Fog, tmp_path: Path
) -> None:
    tell(fog, 0)
    until_kept(fog, 1)
    (tmp_path / "fog.sqlite").rename(tmp_path / "elsewhere")
    stays_unwritten(fog, 1)
    (tmp_path / "elsewhere").rename(tmp_path / "fog.sqlite")
    until_kept(fog, 2)
    fog.close()
    assert stored(tmp_path) == [0, 1]


def test_a_buffer_that_cannot_be_read_for_a_while_is_sent_all_the_same(
    fog: Fog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread that ended would send nothing any more, and look well."""
    outgoing, asked = fog._buffer.outgoing, threading.Semaphore(0)

    def failing(first: int, most: int) -> list[Outgoing]:
        asked.release()
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(fog._buffer, "outgoing", failing)
    tell(fog, 0)
    for _ in range(2):
        assert asked.acquire(timeout=60)
    assert look(fog.parts())["cloud"].detail == "buffer cannot be read: disk I/O error"
    monkeypatch.setattr(fog._buffer, "outgoing", outgoing)
    while fog._uplink.trouble:
        pass
    fog.close()


def test_two_fog_nodes_of_one_name_tell_it_both(tmp_path: Path) -> None:
    settings = FogSettings(engine="off")
    heard = threading.Event()
    with EmbeddedBroker() as broker, ExitStack() as open_:
        address = broker.address
        listener = MqttClient(address, subscription="ic/fog/status", handler=lambda *_: heard.set())
        open_.callback(listener.close)

        def start(file: str) -> Fog:
            found = Fog(settings, MODULE, edge=address, cloud=address, file=tmp_path / file)
            return open_.enter_context(found)

        first = start("first.sqlite")
        assert heard.wait(60)  # its own, too
        assert look(first.parts())["name"].ok
        second = start("second.sqlite")
        for fog in (first, second):
            while (part := look(fog.parts())["name"]).ok:
                pass
            assert part.detail == "somebody else is called 'fog', too"
