"""How the last update of a node ended, kept in its folder, so that a restart forgets no verdict.

update.json      what was offered, and where it stands
<id>.part        its bytes, until it has come to an end
"""

from __future__ import annotations

import json
import logging
from base64 import b64encode
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from levada.guest.private_file import replace_file
from levada.guest.text.json_text import parse
from levada.hil.errors import PayloadError
from levada.hil.update.package import ModulePackage
from levada.hil.update.states import UpdateStage
from levada.twin.mqtt.messages import OtaRequest
from levada.twin.ota.chunks import Download, Offer

__all__ = ["keep_last", "module_on_trial", "read_last"]

_log = logging.getLogger(__name__)
LAST: Final = "update.json"

Last = tuple[Offer, UpdateStage, str, str]
"""Offer, state, reason, text."""


def keep_last(folder: Path, offer: Offer, state: UpdateStage, reason: str, text: str) -> None:
    """Replace what is kept; a disk that does not take it is told of and holds nothing up."""
    about = {
        "offer": {
            "id": offer.id,
            "attempt": offer.attempt or None,
            "name": offer.name,
            "version": offer.version,
            "size": offer.size,
            "sha256": offer.sha256,
            "envelope": b64encode(offer.envelope).decode(),
            "trial_steps": offer.trial_steps,
        },
        "state": state,
        "reason": reason,
        "text": text,
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        replace_file(folder / LAST, json.dumps(about).encode())
    except OSError as error:
        _log.warning("%s: not kept: %s", folder / LAST, error)


def read_last(folder: Path) -> Last | None:
    """What a node goes on from: how it ended, or that a trial was under way; else None.

    A module that was still on its way is asked for again by whoever sends it.
    """
    try:
        about: Any = parse((folder / LAST).read_text(encoding="utf-8"))
        offer = Offer.of(OtaRequest(action="install", **about["offer"]))
        state = UpdateStage(about["state"])
        reason, text = str(about["reason"]), str(about["text"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, PayloadError, ValidationError) as error:
        _log.warning("%s: not read, the last update is forgotten: %s", folder / LAST, error)
        return None
    if state is UpdateStage.UPDATING or state.is_final:
        return offer, state, reason[:32], text[:500]
    return None


def module_on_trial(folder: Path) -> ModulePackage | None:
    """The module that was on trial when the node ended: it may have been committed."""
    last = read_last(folder)
    if last is None or last[1] is not UpdateStage.UPDATING:
        return None
    offer = last[0]
    try:
        module = Download(offer, folder).module()
    except OSError as error:
        _log.warning("%s: not read: %s", folder, error)
        return None
    if module is None:
        return None
    return ModulePackage(
        module=module, envelope=offer.envelope, name=offer.name, version=offer.version
    )
