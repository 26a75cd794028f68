"""A byte line to a device: any URL that pyserial knows, with a timeout for reading.

pyserial opens `/dev/ttyUSB0`, `COM3`, `socket://host:port`, `rfc2217://host:port`, `loop://` and
`spy://` in front of a port.  A plain terminal or socket is then read and written through its file
descriptor, since a request and its answer are a few dozen bytes and pyserial's own reading costs
more than they do.
"""

from __future__ import annotations

import errno
import os
import re
import select
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Any, Final

import serial
from serial.urlhandler import protocol_socket

from levada.hil.errors import LinkError

__all__ = ["Port"]

CHUNK: Final = 4096
WRITE_S: Final = 5.0
TERMINAL_S: Final = 0.1
"""Longest wait of one read of a terminal, in whole tenths, and of one read by pyserial."""
TAKEN: Final = (errno.EAGAIN, errno.EBUSY)
"""What a terminal says that is locked (flock), or kept for one program (TIOCEXCL)."""


def _terminal_errors() -> tuple[type[Exception], ...]:
    """What a terminal raises that goes while it is opened; Windows has none."""
    try:
        import termios
    except ImportError:
        return ()
    return (termios.error,)


REFUSALS: Final[tuple[type[Exception], ...]] = (
    *(OSError, ValueError, TypeError, LookupError, NotImplementedError),
    *_terminal_errors(),
)
"""What pyserial raises that does not open a URL, such as for an option it does not know."""
_AGAIN: Final = re.compile(r"(\[Errno -?\d+\] )?could not open port \S+: (\[Errno -?\d+\] )?", re.I)
"""How pyserial repeats the address."""
BARE: Final = (serial.Serial, protocol_socket.Serial)
"""Classes of pyserial that only pass bytes on: `spy://`, for one, shows them, and `rfc2217://`
has a protocol in between."""


class Port:
    """An open line, its terminal locked.  Raises LinkError if it cannot be opened or is gone.

    `ended` says why there is nothing more to be opened, or nothing: the number of a pseudo terminal
    is given to the next program that asks for one.
    """

    def __init__(
        self, url: str, *, baud: int = 921_600, ended: Callable[[], str] = lambda: ""
    ) -> None:
        self.url = url
        self.baud = baud
        self._ended = ended
        self._serial: Any = None
        self._descriptor = -1
        """Of a line that is read and written past pyserial; writing to it does not wait."""
        self._readable: select.poll | None = None
        self._terminal = -1
        """A descriptor to read with, if the line is a terminal; a read waits for TERMINAL_S."""
        self.open()

    def open(self) -> None:
        """Open the line, or open it again."""
        self.close()
        if why := self._ended():
            raise LinkError(f"{self.url}: {why}")
        try:
            self._serial = serial.serial_for_url(
                self.url,
                baudrate=self.baud,
                timeout=TERMINAL_S,  # of the protocols; setting another one later sets up the line
                # RFC 2217 has 5 s by itself, and refuses to be told
                write_timeout=None if self.url.startswith("rfc2217://") else WRITE_S,
                exclusive=True,
            )
        except REFUSALS as error:
            if getattr(error, "errno", None) in TAKEN:
                raise LinkError(f"{self.url}: in use by another program") from None
            raise LinkError(f"{self.url}: cannot be opened: {_cause(error)}") from None
        if type(self._serial) in BARE and hasattr(select, "poll"):
            self._descriptor = self._serial.fileno()
            self._readable = _polling(self._descriptor, select.POLLIN)
            if os.isatty(self._descriptor):
                self._terminal = _opened_for_reading(self._descriptor)

    def write(self, data: bytes) -> None:
        """Send all bytes."""
        try:
            if self._descriptor < 0:
                self._serial.write(data)
                return
            left = data
            while left:
                try:
                    left = left[os.write(self._descriptor, left) :]
                except BlockingIOError:
                    if not _polling(self._descriptor, select.POLLOUT).poll(WRITE_S * 1000.0):
                        raise LinkError(f"{self.url}: takes nothing for {WRITE_S} s") from None
        except (OSError, serial.SerialException, AttributeError) as error:
            raise LinkError(f"{self.url}: gone while writing: {error}") from None

    def read(self, timeout_s: float) -> bytes:
        """What has come, empty after `timeout_s` without any."""
        try:
            if self._terminal >= 0 and timeout_s > TERMINAL_S:
                data = os.read(self._terminal, CHUNK)
                if data:  # nearly always
                    return data
                timeout_s -= TERMINAL_S
            if self._readable is not None:
                if not self._readable.poll(max(timeout_s, 0.0) * 1000.0):
                    return b""
                # a TCP line of pyserial keeps nothing back, so its descriptor may be read directly
                data = os.read(self._descriptor, CHUNK)
                if not data:
                    raise LinkError(f"{self.url}: the other side has closed the line")
                return data
            return self._read_by_pyserial(timeout_s)
        except BlockingIOError:  # what poll has seen is gone
            raise LinkError(f"{self.url}: another program reads from this line too") from None
        except (OSError, serial.SerialException, AttributeError) as error:
            raise LinkError(f"{self.url}: gone while reading: {error}") from None

    def _read_by_pyserial(self, timeout_s: float) -> bytes:
        until_s = monotonic() + timeout_s
        while True:
            waiting = self._serial.in_waiting
            data: bytes = self._serial.read(waiting or 1)
            if data or monotonic() >= until_s:
                return data

    def close(self) -> None:
        """Release the line; more than once does no harm."""
        self._readable = None
        self._descriptor = -1
        terminal, self._terminal = self._terminal, -1  # its number may be another's from now on
        if terminal >= 0:
            os.close(terminal)
        if self._serial is not None:
            # pyserial forgets the socket of a connection that the other side has ended
            socket = getattr(self._serial, "_socket", None)
            with suppress(OSError, serial.SerialException):  # it is gone, as was wanted
                self._serial.close()
            if socket is not None:
                socket.close()
            self._serial = None


def _polling(descriptor: int, event: int) -> select.poll:
    """What waits for the event; unlike `select` it knows descriptors beyond 1,023."""
    found = select.poll()
    found.register(descriptor, event)
    return found


def _opened_for_reading(terminal: int) -> int:
    """Open a terminal once more, so that a read waits by itself: poll and read cost more.

    Writing goes on without waiting, since the other end may not read.  -1 where it cannot be opened
    twice.
    """
    import termios  # not on Windows, which has no poll either

    settings = termios.tcgetattr(terminal)
    settings[6][termios.VMIN], settings[6][termios.VTIME] = 0, round(10 * TERMINAL_S)
    try:
        found = os.open(os.ttyname(terminal), os.O_RDONLY | os.O_NOCTTY)
        termios.tcsetattr(terminal, termios.TCSANOW, settings)
    except (OSError, termios.error):
        return -1
    return found


def _cause(error: Exception) -> str:
    """What went wrong, without the address: whoever tells it has named that already."""
    number = getattr(error, "errno", None)
    if number:
        return os.strerror(number)
    return _AGAIN.sub("", str(error))
