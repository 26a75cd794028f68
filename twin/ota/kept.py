"""What `rollout.json` must hold so that a rollout can be gone on with."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, Field, model_validator

from levada.twin.mqtt.messages import Sha256
from levada.twin.ota.rollout import ExecutionState, RolloutStatus
from levada.twin.ota.settings import RolloutSettings

__all__ = ["KeptRollout"]

_Time = Annotated[int, Field(strict=True, ge=0)]
"""[ms since 1970]"""


class _KeptExecution(BaseModel):
    node: Annotated[str, Field(min_length=1)]
    group: Annotated[int, Field(strict=True, ge=0)]
    state: ExecutionState
    began_ms: _Time | None
    ended_ms: _Time | None
    reason: str
    breaches: list[str]

    @model_validator(mode="after")
    def _times(self) -> _KeptExecution:
        waits = self.state in (ExecutionState.QUEUED, ExecutionState.CANCELED)
        ended = not waits and self.state is not ExecutionState.IN_PROGRESS
        if (self.began_ms is None) != waits or (self.ended_ms is None) == ended:
            raise ValueError(f"{self.state}, but its times say something else")
        return self


class _KeptState(BaseModel):
    status: RolloutStatus
    reason: str
    last_ms: _Time | None
    settings: dict[str, Any]
    executions: Annotated[list[_KeptExecution], Field(min_length=1)]

    @model_validator(mode="after")
    def _settings(self) -> _KeptState:
        RolloutSettings.model_validate(self.settings, strict=False)
        return self


class KeptRollout(BaseModel):
    """The file, but for what is only to be read by people."""

    name: str
    version: str
    counter: Annotated[int, Field(strict=True, ge=0)] | None
    sha256: Sha256
    """Of the module that the gate has seen."""
    who: str = ""
    override: str = ""
    attempt: Annotated[str, Field(max_length=64)] = ""
    trial_steps: Annotated[int, Field(strict=True, ge=0, le=65_535)] = 3
    rollout: _KeptState
