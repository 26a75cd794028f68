"""The embedded broker, in a process of its own: `python -m levada.hil.line.broker_process`.

Reads one line of JSON from standard input (host, port, token), prints one line with the port that
it listens on, and ends when standard input is closed, so it cannot outlive its parent.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from amqtt.plugins.base import BaseAuthPlugin  # type: ignore[import-untyped]
from amqtt.session import Session  # type: ignore[import-untyped]

from levada.guest.text.logs import log_to_stderr
from levada.hil.line.guarded_broker import GuardedBroker

__all__ = ["TokenAuth", "main"]


class TokenAuth(BaseAuthPlugin):  # type: ignore[misc]  # amqtt gives no types
    """Lets in who knows the token of this run; compared in constant time."""

    @dataclass
    class Config:
        """Settings of the plugin."""

        token: str = ""

    async def authenticate(self, *, session: Session) -> bool:
        """Whether the password is the token."""
        token: str = self.config.token
        return bool(token) and hmac.compare_digest(
            (session.password or "").encode(), token.encode()
        )


async def _serve(settings: dict[str, Any]) -> None:
    broker = GuardedBroker(
        {
            "listeners": {
                "default": {"type": "tcp", "bind": f"{settings['host']}:{settings['port']}"}
            },
            # explicit: the defaults include anonymous access
            "plugins": {"levada.hil.line.broker_process.TokenAuth": {"token": settings["token"]}},
        }
    )
    await broker.start()
    with suppress(BrokenPipeError):  # who started us ends already, and so shall we
        os.write(sys.stdout.fileno(), json.dumps({"port": broker.port}).encode() + b"\n")
    counting = asyncio.create_task(broker.count_aloud())
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()  # until the parent closes it or ends
    counting.cancel()
    os._exit(0)  # amqtt's own end waits as long as a client talks, and keeps the port


def main() -> None:
    """Serve until standard input ends."""
    log_to_stderr("broker: %(message)s", logging.ERROR)
    logging.getLogger("levada").setLevel(logging.WARNING)
    settings = sys.stdin.readline()
    if settings:  # else who started us has ended already
        asyncio.run(_serve(json.loads(settings)))


if __name__ == "__main__":
    main()
