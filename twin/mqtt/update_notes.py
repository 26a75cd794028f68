"""What the record of a site says of updates: who has sent which module, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from levada.hil.update.states import UpdateStage
from levada.twin.mqtt.messages import OtaRequest, OtaState
from levada.twin.store.rows import Event, Severity

__all__ = ["UpdateNote", "update_offer", "update_stage"]


@dataclass(frozen=True, kw_only=True, slots=True)
class UpdateNote:
    """A line of the record; equal notes are the same news."""

    text: str
    severity: Severity
    evidence: Mapping[str, Any] = field(compare=False)

    def event(self, node: str, time_ms: int) -> Event:
        """As it is stored."""
        return Event(
            kind="update",
            text=self.text,
            time_ms=time_ms,
            severity=self.severity,
            node=node,
            evidence=self.evidence,
        )


def update_offer(request: OtaRequest) -> UpdateNote | None:
    """Who sends what, and why if the gate had refused it; None: only a question."""
    if request.action == "status":
        return None
    module = f"{request.name} {request.version}".strip() or "a module"
    who = request.who or "somebody"
    if request.action == "abort":
        return UpdateNote(text=f"{who} gives up {module}", severity="warning", evidence={})
    text = f"{who} sends {module}"
    if request.override:
        text += f", though the gate has refused it: {request.override}"
    return UpdateNote(
        text=text,
        severity="warning" if request.override else "info",
        evidence=request.model_dump(mode="json", exclude={"envelope"}, exclude_none=True),
    )


def update_stage(state: OtaState) -> UpdateNote | None:
    """How far an update is, without the bytes that have come; None: there is none."""
    if state.id is None or state.state is UpdateStage.IDLE:
        return None
    module = f"{state.guest_name or ''} {state.guest_version or ''}".strip() or "unnamed"
    text = f"{state.state}".lower()
    if state.state is UpdateStage.UPDATED:
        text = f"updated: runs {module}"
    elif state.state is UpdateStage.FAILED:
        text = f"not updated ({state.reason}): {state.text or 'no reason told'}; runs {module}"
    return UpdateNote(
        text=text,
        severity="warning" if state.state is UpdateStage.FAILED else "info",
        evidence=state.model_dump(mode="json", exclude_none=True),
    )
