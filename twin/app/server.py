"""The page as a server in a thread of its own: it reads the store and the twin's view, never waits.

    with Page(subject, port=8050) as page:
        print(page.url)

The server listens on loopback.  A request under another host name is refused, so that no foreign
page can reach it by pointing a name of its own to this computer.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from secrets import token_urlsafe
from types import TracebackType
from typing import Any, Final, Protocol, Self

from dash import Dash
from flask import Flask, Response, abort, request
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from guest.module import ModuleInfo
from sim.scenario_model import Scenario
from twin.app import views
from twin.app.api import blueprint
from twin.app.callbacks import register
from twin.dry_run import DryRun
from twin.errors import TwinError
from twin.store import Store
from twin.view import View

__all__ = ["Page", "PageError", "Subject"]

LOOPBACK: Final = "127.0.0.1"
NAMES: Final = ("127.0.0.1", "localhost", "[::1]")


class PageError(TwinError):
    """The page cannot be served."""


class Subject(Protocol):
    """What is shown: a twin."""

    store: Store
    scenario: Scenario
    info: ModuleInfo

    @property
    def view(self) -> View:
        """What is to be seen now."""

    def calibrate(
        self, zone: str, values: Mapping[str, int], *, who: str, expires_s: float | None = None
    ) -> Future[dict[str, int]]:
        """Change parameters."""

    def try_out(self, zone: str, values: Mapping[str, int], days: int) -> DryRun:
        """What a change would have done over the last days."""


class _Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:
        logging.getLogger("twin.app").debug(message, *args)


class Page:
    """A running server; `port` 0 takes any free one.  Raises PageError if it cannot listen."""

    def __init__(self, subject: Subject, *, port: int = 8050) -> None:
        self.token = token_urlsafe(24)
        server = Flask("levada")
        app = Dash(
            "levada",
            server=server,  # type: ignore[arg-type]  # annotated too narrowly
            title="levada",
            update_title=None,  # type: ignore[arg-type]  # the tab must not blink every second
            assets_folder=str(Path(__file__).parent / "assets"),
            suppress_callback_exceptions=True,
            serve_locally=True,
            add_log_handler=False,
        )
        app.layout = views.shell()
        register(app, subject)
        server.register_blueprint(blueprint(subject, self.token))
        server.before_request(_only_us)
        server.after_request(_headers)
        try:
            self._server: BaseWSGIServer = make_server(
                LOOPBACK, port, server, threaded=True, request_handler=_Quiet
            )
        except (OSError, SystemExit) as error:
            raise PageError(f"port {port} of {LOOPBACK}: cannot listen ({error})") from None
        self.port: int = self._server.server_port
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="page", kwargs={"poll_interval": 0.1}
        )
        self._thread.start()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://{LOOPBACK}:{self.port}"

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _only_us() -> None:
    host = request.host.rpartition(":")[0] if ":" in request.host else request.host
    if host not in NAMES:
        abort(403, "unknown host name")


def _headers(response: Response) -> Response:
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["X-Frame-Options"] = "DENY"
    response.headers["Referrer-Policy"] = "no-referrer"
    return response
