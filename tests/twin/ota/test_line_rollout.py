"""A rollout to lines of this computer: what is told of them, and how it is stopped."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path

import pytest
from ota_bench import package

from levada.hil.errors import LinkError
from levada.hil.line.serial_port import Port
from levada.twin.mqtt.messages import OtaState
from levada.twin.ota.journal import RolloutFolder, described
from levada.twin.ota.line_campaign import LineCampaign
from levada.twin.ota.rollout import Rollout, RolloutStatus
from levada.twin.ota.settings import RolloutSettings


def begun(folder: Path, *nodes: str) -> RolloutFolder:
    made, sent = RolloutFolder(folder / "20230701T000000-test"), package()
    settings = RolloutSettings(rate_per_minute=6_000.0, abort=())
    made.begin(sent, described(sent, attempt="first"), Rollout(settings, nodes))
    return made


@pytest.mark.parametrize(
    ("node", "said"),
    [
        ("serial:/dev/no-such-port", "No such file or directory"),
        ("serial:/dev/no-such-port?baud=9600", "No such file or directory"),
        ("serial:socket://127.0.0.1:1", "Connection refused"),
    ],
)
def test_the_address_of_a_line_is_told_once(node: str, said: str, tmp_path: Path) -> None:
    """It stands beside the reason, as the name of the node."""
    rollout = LineCampaign(begun(tmp_path, node)).run(threading.Event())
    assert rollout.executions[node].reason == f"LINK: cannot be opened: {said}"


def test_a_line_that_cannot_be_opened_is_named_once() -> None:
    with pytest.raises(LinkError) as refused:
        Port("/dev/no-such-port")
    assert str(refused.value).count("/dev/no-such-port") == 1
    assert "Errno" not in str(refused.value)


def test_a_rollout_to_lines_is_stopped_before_the_next_one(tmp_path: Path) -> None:
    nodes = [f"serial:/dev/no-such-port-{k}" for k in range(3)]
    folder = begun(tmp_path, *nodes)

    def stop(rollout: Rollout, _states: Mapping[str, OtaState]) -> None:
        if rollout.counts().get("FAILED"):
            folder.abort("the wrong file")

    rollout = LineCampaign(folder, on_change=stop).run(threading.Event())
    assert (rollout.status, rollout.reason) == (RolloutStatus.CANCELED, "the wrong file")
    assert rollout.counts() == {"FAILED": 1, "CANCELED": 2}
