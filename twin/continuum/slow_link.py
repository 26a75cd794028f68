"""A `[[link]]` between processes: a relay on loopback between a tier and its broker.

`python -m levada.twin.continuum.slow_link` is started by `levada up`.  TCP shows neither packets
nor their loss, only when bytes come, and so the relay decides when they leave:

- Bytes travel in segments of at most 1,460, the payload of a packet of 1,500 (RFC 9293, 3.7.1).
  Each takes its time at `rate_kbit_s`, which all connections of the relay share in a direction,
  then `delay_ms` and a random part of `jitter_ms`.  Within a connection none overtakes another.
- A segment that is lost is sent again when the retransmission timer expires (RFC 6298): after the
  mean round trip and, as (2.3) has it, four times its mean deviation, but for that 200 ms at least.
  This is Linux's bound (`TCP_RTO_MIN`); the RFC asks for 1 s in all, which few systems keep to.
  The time doubles from try to try, up to 120 s (`TCP_RTO_MAX`).  What comes after it has to wait.
- In an outage nothing passes, and what was being sent begins anew after it.  Bytes wait, up to a
  window, beyond which the sender is held up.  A connection that is made in an outage hangs: the
  broker hears of it afterwards, or never, if the client has given it up by then.

Delay, jitter, rate and loss are those of wall-clock time; outages come at the scenario's time.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from levada.guest.text.logs import LimitedLog, log_to_stderr
from levada.hil.line.broker import BrokerAddress, keep_address, parse_broker
from levada.hil.line.tls import client_context, explained
from levada.sim.scenario.continuum import Link
from levada.sim.scenario.model import Scenario
from levada.sim.seeds import generator
from levada.twin.continuum.outages import Outages

__all__ = ["BEGAN", "FieldOutages", "SegmentTimes", "SlowLink", "SlowLinkSettings", "main"]

_log = logging.getLogger(__name__)

SEGMENT_BYTES: Final = 1_460
WINDOW: Final = 700
"""Segments of a connection on their way in one direction at most, 1 MB if they are full."""
LOOK_S: Final = 0.2
"""Between two looks at whether an outage is over; the field may begin anew meanwhile."""
BEGAN: Final = "field-began"
"""Name of the file whose time says when the field began."""
RTO_FLOOR_S: Final = 0.2
"""Part of the retransmission time beyond the round trip, at least (include/net/tcp.h of Linux)."""
LONGEST_RTO_S: Final = 120.0


class SegmentTimes:
    """When segments arrive that are given to one direction of a link.

    Knows no clock: times are seconds of whoever asks, who must not go back.  `names` name its
    random stream.
    """

    def __init__(self, link: Link, seed: int, *names: str) -> None:
        self._outages = Outages()
        self._chance = generator(seed, "slow link", *names)
        self._loss = link.loss_pct / 100.0
        self._byte_s = 8.0 / (link.rate_kbit_s * 1000.0) if link.rate_kbit_s is not None else 0.0
        self._delay_s = link.delay_ms / 1000.0
        self._jitter_s = link.jitter_ms / 1000.0
        self._free_s = 0.0

    @property
    def outages(self) -> Outages:
        """By the clock of who asks; others than before leave a line on which nothing waits."""
        return self._outages

    @outages.setter
    def outages(self, outages: Outages) -> None:
        if outages != self._outages:
            self._outages = outages
            self._free_s = 0.0

    @property
    def retransmission_s(self) -> float:
        """How long after a segment has left it is sent again, if it was lost [s].

        The sum of two jitters of at most J has the mean J and the mean deviation J/3.
        """
        round_trip_s = 2.0 * self._delay_s + self._jitter_s
        return round_trip_s + max(4.0 * self._jitter_s / 3.0, RTO_FLOOR_S)

    def arrival(self, now_s: float, size_bytes: int, *, after_s: float = 0.0) -> float:
        """When a segment arrives that is given now; not before `after_s`, when the one before it
        in its connection does [s]."""
        takes_s = size_bytes * self._byte_s
        self._free_s = self._sent(max(now_s, self._free_s), takes_s)
        left_s, patience_s = self._free_s, self.retransmission_s
        while self._chance.random() < self._loss:
            left_s = self._sent(left_s + patience_s, takes_s)
            patience_s = min(2.0 * patience_s, LONGEST_RTO_S)
        return max(after_s, left_s + self._delay_s + self._jitter_s * self._chance.random())

    def _sent(self, from_s: float, takes_s: float) -> float:
        return self.outages.up_at(from_s, takes_s) + takes_s


class FieldOutages:
    """The outages of a link by this computer's monotonic clock.

    They are given in simulated seconds since the field began.  The file `began` is written at that
    moment, and again whenever the field begins anew; until then there is no outage.
    """

    def __init__(self, outages: Outages, speed: float, began: Path) -> None:
        self._outages = outages
        self._speed = speed
        self._began = began
        self._written_ns = 0
        self._current = Outages()

    def current(self) -> Outages:
        """Those that are known at present."""
        with suppress(FileNotFoundError):
            written_ns = self._began.stat().st_mtime_ns
            if written_ns != self._written_ns:
                self._written_ns = written_ns
                ago_s = (time.time_ns() - written_ns) / 1e9
                self._current = self._outages.at_speed(self._speed, time.monotonic() - ago_s)
        return self._current


class _Way:
    """One direction of one connection."""

    def __init__(self, times: SegmentTimes, outages: FieldOutages) -> None:
        self._times = times
        self._outages = outages
        self._under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(WINDOW)
        self._last_s = 0.0
        self.ended = False
        """Whether the sender has said all."""

    async def take(self, reader: asyncio.StreamReader) -> None:
        """Take what is sent, up to the end, which travels as well."""
        loop = asyncio.get_running_loop()
        while not self.ended:
            try:
                segment = await reader.read(SEGMENT_BYTES)
            except OSError:  # it was broken off
                segment = b""
            self._times.outages = self._outages.current()
            self._last_s = self._times.arrival(loop.time(), len(segment), after_s=self._last_s)
            self.ended = not segment
            await self._under_way.put((self._last_s, segment))

    async def give(self, writer: asyncio.StreamWriter) -> None:
        """Hand it over when it has arrived, up to the end."""
        loop = asyncio.get_running_loop()
        while True:
            due_s, segment = await self._under_way.get()
            await asyncio.sleep(due_s - loop.time())
            if not segment:
                break
            writer.write(segment)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
        else:
            writer.close()


class SlowLink:
    """The relay; `target` is the broker, to which it speaks TLS where that is asked for."""

    def __init__(
        self, target: BrokerAddress, link: Link, *, seed: int, outages: FieldOutages
    ) -> None:
        self._target = target
        self._between = link.between
        self._outages = outages
        self._up = SegmentTimes(link, seed, link.between, "up")
        self._down = SegmentTimes(link, seed, link.between, "down")
        self._said = LimitedLog(_log)
        self._connections: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def listen(self, port: int = 0) -> BrokerAddress:
        """Begin, on loopback; what clients are to use instead of the broker's address."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", port)
        port = self._server.sockets[0].getsockname()[1]
        return replace(self._target, host="127.0.0.1", port=port, tls=False, pki=None)

    async def close(self) -> None:
        """Hang up on everybody."""
        assert self._server is not None
        self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.create_task(self._carry(reader, writer))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers = [writer]
        try:
            async with asyncio.TaskGroup() as tasks:
                up, down = _Way(self._up, self._outages), _Way(self._down, self._outages)
                tasks.create_task(up.take(reader))
                if await self._hang() and up.ended:
                    raise ConnectionAbortedError("given up in an outage")
                broker_reader, broker_writer = await self._connect()
                writers.append(broker_writer)
                tasks.create_task(up.give(broker_writer))
                tasks.create_task(down.take(broker_reader))
                tasks.create_task(down.give(writer))
        except* OSError as errors:
            _log.debug("connection of %s: %s", self._between, errors.exceptions[0])
        finally:
            for one in writers:
                one.close()

    async def _hang(self) -> bool:
        """Wait for the end of an outage, if there is one; whether there was."""
        loop = asyncio.get_running_loop()
        hung = False
        while (down_s := self._outages.current().up_at(loop.time()) - loop.time()) > 0.0:
            hung = True
            await asyncio.sleep(min(down_s, LOOK_S))
        return hung

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        target = self._target
        tls = client_context(target.pki) if target.tls else None
        try:
            return await asyncio.open_connection(target.host, target.port, ssl=tls)
        except OSError as error:
            self._said.warning("%s: broker %s: %s", self._between, target.url, explained(error))
            raise


@dataclass(frozen=True, kw_only=True)
class SlowLinkSettings:
    """What the process is told, as JSON on its command line."""

    link: dict[str, Any]
    """As in the scenario, without its outages."""
    outages: tuple[tuple[float, float], ...]
    """Simulated seconds since the field began."""
    seed: int
    speed: float
    """Simulated seconds a second."""
    broker: str
    """URL or file of the broker."""
    address: str
    """File in which the relay tells its own address; it takes the port that is there already."""
    began: str
    """File of `FieldOutages`."""

    @classmethod
    def of(
        cls, link: Link, scenario: Scenario, *, speed: float, broker: str, folder: Path
    ) -> SlowLinkSettings:
        """Those of a link of a scenario; both files are in `folder`."""
        return cls(
            link=link.model_dump(exclude={"outage"}),
            outages=Outages.of(link, scenario.period).intervals,
            seed=scenario.seed,
            speed=speed,
            broker=broker,
            address=str(folder / f"{link.between}.json"),
            began=str(folder / BEGAN),
        )

    @property
    def command(self) -> list[str]:
        """Starts the relay."""
        return [sys.executable, "-m", __name__, json.dumps(asdict(self))]


async def _serve(settings: SlowLinkSettings) -> None:
    link = Link.model_validate(settings.link)
    intervals = tuple((start_s, end_s) for start_s, end_s in settings.outages)
    outages = FieldOutages(Outages(intervals), settings.speed, Path(settings.began))
    relay = SlowLink(parse_broker(settings.broker), link, seed=settings.seed, outages=outages)
    file = Path(settings.address)
    address = await relay.listen(parse_broker(str(file)).port if file.exists() else 0)
    keep_address(file, address)
    sys.stdout.write(f"{link.between} at {address.url}\n")
    sys.stdout.flush()
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()  # until who started us closes it or ends
    await relay.close()


def main() -> None:
    """Relay until standard input ends."""
    log_to_stderr("link: %(message)s", logging.WARNING)
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve(SlowLinkSettings(**json.loads(sys.argv[1]))))


if __name__ == "__main__":
    main()
