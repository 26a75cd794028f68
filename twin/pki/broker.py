"""mosquitto's configuration for a scenario: certificates on both sides, and who may say what."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from levada.guest.private_file import write_private_bytes
from levada.hil.line.mqtt_client import MAX_PAYLOAD_BYTES
from levada.hil.line.tls import CA, CERTIFICATE, KEY
from levada.sim.scenario.model import Scenario
from levada.twin.errors import PkiError
from levada.twin.pki.authority import CRL, Authority
from levada.twin.pki.rights import Rights, Side, acl, rights

__all__ = ["BrokerFiles", "write_broker"]

CONFIG: Final = "levada.conf"
ACL: Final = "acl"

_CONFIG: Final = """\
# Made by `levada pki broker`, which makes it anew; put nothing of your own here.
per_listener_settings false
allow_anonymous false
acl_file {where}/{acl}

listener {port}{address}
cafile {where}/{ca}
certfile {where}/{certificate}
keyfile {where}/{key}
crlfile {where}/{crl}
require_certificate true
use_identity_as_username true
# at least
tls_version tlsv1.2

message_size_limit {payload_bytes}
max_queued_messages 10000
max_queued_bytes 16777216
max_connections 1024
max_keepalive 600
set_tcp_nodelay true
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class BrokerFiles:
    """What was written."""

    folder: Path
    rights: Rights
    missing: tuple[str, ...]
    """Users of the scenario that have no certificate yet."""


def write_broker(
    authority: Authority,
    scenario: Scenario,
    out: Path,
    *,
    name: str = "broker",
    listen: str = "",
    port: int = 8883,
    at: Path | None = None,
    side: Side = "both",
) -> BrokerFiles:
    """Write configuration, rights and certificates of the broker `name` into the folder `out`.

    It listens on all addresses, or on `listen`.  `at` is the folder in which mosquitto will find
    the files, if it is another one.  Raises PkiError.
    """
    entry = authority.valid(name)
    if entry is None or not entry.hosts:
        why = "may only be a client" if entry is not None else "has no certificate"
        raise PkiError(
            f"{name}: {why}; the broker needs one with the names under which it is reached: "
            f"levada pki issue {name} --host HOST"
        )
    own = authority.files(name)
    where = (at or out).absolute()
    if " " in str(where):  # mosquitto takes the rest of a line, but not so every version
        raise PkiError(f"{where}: the folder of the broker's files has a space in its name")
    table = rights(scenario, side)
    text = _CONFIG.format(
        where=where,
        acl=ACL,
        port=port,
        address=f" {listen}" if listen else "",
        ca=CA,
        certificate=CERTIFICATE,
        key=KEY,
        crl=CRL,
        payload_bytes=MAX_PAYLOAD_BYTES,
    )
    try:
        out.mkdir(parents=True, exist_ok=True)
        for file in (CA, CERTIFICATE, KEY):
            write_private_bytes(out / file, (own / file).read_bytes())
        write_private_bytes(out / CRL, (authority.folder / CRL).read_bytes())
        write_private_bytes(out / ACL, acl(table).encode())
        write_private_bytes(out / CONFIG, text.encode())
    except OSError as error:
        raise PkiError(f"{error.filename}: {error.strerror}") from None
    missing = tuple(user for user in table if authority.valid(user) is None)
    return BrokerFiles(folder=out, rights=table, missing=missing)
