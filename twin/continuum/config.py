"""Configuration of a tier: a TOML file, and flags that win over it.

Its tables are those of a scenario (`levada.sim.scenario.continuum`); beside them stand the
connections.  What is wrong is said with line and column, as of a scenario.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeVar

from pydantic import Field, ValidationError

from levada.guest.shipped import DEFAULT_GUEST
from levada.sim.scenario.config_table import Table
from levada.sim.scenario.continuum import Cloud, Fog
from levada.sim.scenario.diagnostics import ScenarioError
from levada.sim.scenario.source import no_source, open_source
from levada.sim.settings.explain import explain
from levada.sim.settings.issue import Issue

__all__ = [
    "BrokerFile",
    "CloudFile",
    "EdgeFile",
    "FogFile",
    "Given",
    "TierFile",
    "read_config",
]

Given = Mapping[tuple[str, ...], tuple[str, object]]
"""Key -> flag that sets it, and the value."""


class TierFile(Table):
    """What every tier above the node is told besides its own table."""

    guest: str | None = None
    """Module (`.wasm`); default: the shipped one."""
    cloud_broker: str | None = None
    """Broker between fog and cloud, `mqtt(s)://HOST[:PORT]`."""
    pki: str | None = None
    """Folder with `ca.pem`, `cert.pem` and `key.pem` for brokers `mqtts://`."""

    @property
    def module(self) -> Path:
        """File of the guest."""
        return Path(self.guest) if self.guest else DEFAULT_GUEST


class FogFile(TierFile):
    """Configuration of `levada fog`."""

    fog: Fog = Fog()
    edge_broker: str | None = None
    """Broker between nodes and fog; default: one of its own, on this computer only."""
    buffer: str = "fog.sqlite"
    """File in which it keeps what the cloud has not acknowledged."""
    health_port: int = Field(default=8060, ge=0, le=65_535)
    """Of `/health` and `/metrics`, on this computer only; 0: any."""

    def troubles(self) -> Iterator[Issue]:
        """A buffer has a name, and another one than the file with the addresses beside it."""
        if not self.buffer.strip() or self.buffer.endswith(".json"):
            yield Issue(
                ("buffer",), f'`buffer` = "{self.buffer}": name a file such as "fog.sqlite"'
            )


class CloudFile(TierFile):
    """Configuration of `levada cloud`."""

    cloud: Cloud = Cloud()
    scenario: str | None = None
    """Scenario file whose nodes the twin follows; default: there is no twin."""
    out: str | None = None
    """Directory of store and address; default: a new one for each start."""
    store: str | None = None
    """A file, or `postgresql://...`; default: `store.sqlite` in the directory of `--out`."""
    port: int = Field(default=8050, ge=0, le=65_535)
    """Of the page, on this computer only; 0: any."""
    host: str | None = None
    """Address at which other computers reach the page, too: with TLS and a login."""
    host_port: int | None = Field(default=None, ge=0, le=65_535)
    """Its port there; default: 8443."""
    password_file: str | None = None
    """What `levada page-password` has written."""


class BrokerFile(Table):
    """Configuration of `levada broker`."""

    port: int = Field(default=1883, ge=0, le=65_535)
    """On this computer only; 0: any."""
    out: str = "runs/broker"
    """Directory of `broker.json`, the address with the password."""


class EdgeFile(Table):
    """Configuration of `levada edge`, beside its scenario."""

    broker: str = "mqtt://127.0.0.1"
    """Where the boards report, `mqtt(s)://HOST[:PORT]`."""
    pki: str | None = None
    """As of fog."""
    speed: str = "1x"
    """Simulated seconds a second, such as `"60x"`."""
    out: str | None = None
    """Directory of the modules that came over the broker; default: none is kept."""


T = TypeVar("T", bound=Table)


def read_config(kind: type[T], file: Path | None, given: Given) -> T:
    """The configuration in `file`, if there is one, with what flags say; raises ScenarioError."""
    source = no_source("options") if file is None else open_source(file)
    for path, (option, value) in given.items():
        source.put(path, value, option)
    try:
        found = kind.model_validate(source.data)
    except ValidationError as error:
        raise ScenarioError(source.problem(issue) for issue in explain(error, kind)) from None
    return found if file is None else _located(found, file.parent, given)


def _located(found: T, folder: Path, given: Given) -> T:
    """Files that the file names are relative to it."""
    changes = {}
    for name in ("guest", "buffer", "scenario", "store", "out", "pki", "password_file"):
        value = getattr(found, name, None)
        if value is not None and "://" not in value and (name,) not in given:
            changes[name] = str(folder / value)
    return found.model_copy(update=changes)
