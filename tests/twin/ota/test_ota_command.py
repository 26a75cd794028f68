"""`levada ota` as one types it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import small_field
from command import Done, levada
from mqtt_nodes import MqttNodes
from ota_modules import EXPECTATION, build_variant
from services import Mosquitto

from levada.hil.update.states import UpdateStage
from levada.twin.ota.journal import RolloutFolder
from levada.twin.store.store import Store


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("modules")
    return {
        "good": build_variant(folder, "1.4.0", longest_open_s=600),
        "trap": build_variant(folder, "1.5.0", trap=True),
    }


@pytest.fixture
def site(tmp_path: Path) -> Path:
    small_field.scenario(tmp_path, extra=EXPECTATION)
    return tmp_path


@pytest.fixture
def nodes(mosquitto: Mosquitto) -> Iterator[MqttNodes]:
    names = ["maize", "vine", *(f"plot-{i}" for i in range(10))]

    def verdict(node: str, _module: bytes) -> tuple[UpdateStage, str]:
        return (UpdateStage.FAILED, "TRAP") if node == "vine" else (UpdateStage.UPDATED, "")

    with MqttNodes(mosquitto.address, names, verdict=verdict) as made:
        yield made


@pytest.fixture
def url(mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("LEVADA_MQTT_USER", mosquitto.address.user or "")
    monkeypatch.setenv("LEVADA_MQTT_PASSWORD", mosquitto.address.password or "")
    return f"mqtt://127.0.0.1:{mosquitto.address.port}"


def push(site: Path, module: Path, *more: str | Path) -> Done:
    return levada("ota", "push", module, *more, cwd=site)


def test_a_module_is_tried_on_the_twin_and_then_sent(
    site: Path, nodes: MqttNodes, url: str, modules: dict[str, Path]
) -> None:
    done = push(
        site, modules["good"], "--scenario", "field.toml", "--suite", "none", "--broker", url,
        "--who", "tester",
    )  # fmt: skip
    assert done.returncode == 0, done
    assert nodes.installed["maize"] == [modules["good"].read_bytes()]
    assert "1 hold" in done.stdout
    assert "first different decision, small-field" in done.stdout
    assert "longest time allowed" in " ".join(done.stdout.split())
    assert "completed: 1 succeeded" in done.stdout
    (state,) = site.glob("runs/ota/*/rollout.json")
    about = json.loads(state.read_text())
    assert (about["who"], about["version"], about["override"]) == ("tester", "1.4.0", "")
    assert about["rollout"]["executions"][0]["state"] == "SUCCEEDED"
    status = levada("ota", "status", "--node", "maize", "--broker", url, cwd=site)
    assert status.returncode == 0
    assert about["sha256"][:16] in status.stdout


def test_status_tells_the_attempt_of_each_node_and_a_rollout_that_has_ended_says_so(
    site: Path, nodes: MqttNodes, url: str, modules: dict[str, Path]
) -> None:
    done = push(site, modules["good"], "--node", "maize", "--suite", "none", "--broker", url)
    assert done.returncode == 0, done
    (state,) = site.glob("runs/ota/*/rollout.json")
    attempt = json.loads(state.read_text())["attempt"]
    status = levada("ota", "status", "--node", "maize", "--broker", url, cwd=site)
    assert status.returncode == 0
    assert attempt in status.stdout
    nobody = "mqtt://127.0.0.1:1"  # and nobody is asked
    again = levada("ota", "resume", "--broker", nobody, cwd=site)
    assert again.returncode == 0, again
    assert "has ended already: there is nothing to go on with" in again.stdout
    failed = push(site, modules["good"], "--node", "vine", "--suite", "none", "--broker", url)
    assert failed.returncode == 1
    again = levada("ota", "resume", "--broker", nobody, cwd=site)
    assert (again.returncode, "FAILED" in again.stdout) == (1, True)


def test_who_aborts_is_told_whether_anybody_has_to_ask_the_nodes(
    site: Path, nodes: MqttNodes, url: str, modules: dict[str, Path]
) -> None:
    chosen = ("--node", "maize", "--node", "plot-0", "--node", "plot-1")
    done = push(site, modules["good"], *chosen, "--suite", "none", "--broker", url)
    assert done.returncode == 0, done
    (folder,) = site.glob("runs/ota/*")
    whole = json.loads((folder / "rollout.json").read_text())
    whole["rollout"]["status"] = "IN_PROGRESS"
    for execution, left in zip(whole["rollout"]["executions"][1:], (True, False), strict=True):
        execution |= {"state": "IN_PROGRESS", "ended_ms": None}
        if not left:
            execution |= {"state": "QUEUED", "began_ms": None}
    (folder / "rollout.json").write_text(json.dumps(whole))
    with RolloutFolder(folder).held():
        driven = levada("ota", "abort", cwd=site)
    assert "the levada that runs it stops it" in driven.stdout
    aborted = levada("ota", "abort", cwd=site)
    assert aborted.returncode == 0
    said = " ".join(aborted.stdout.split())
    assert f"1 node, which levada ota resume {folder.name} has give the module up" in said
    assert "1 node committed to the module already, which stays" in said
    ended = levada("ota", "resume", "--broker", url, cwd=site)
    assert ended.returncode == 1
    assert "canceled: 2 succeeded, 1 canceled" in ended.stdout  # plot-0 had committed it
    assert levada("ota", "abort", cwd=site).returncode == 5


def test_what_breaks_an_expectation_is_refused_unless_overridden_with_a_reason_that_is_kept(
    site: Path, nodes: MqttNodes, url: str, modules: dict[str, Path]
) -> None:
    with Store(site / "store.sqlite"):
        pass
    arguments = ("--scenario", "field.toml", "--suite", "none", "--broker", url)
    refused = push(site, modules["trap"], *arguments)
    assert refused.returncode == 1
    assert "No guest is stopped" in refused.stdout
    assert 'refused (--override "reason" sends it all the same)' in refused.stdout
    assert nodes.installed["maize"] == []
    assert not (site / "runs").exists()
    sent = push(
        site, modules["trap"], *arguments, "--store", "store.sqlite", "--override", "a bench only"
    )
    assert sent.returncode == 0, sent
    assert "sent all the same: a bench only" in sent.stdout
    assert len(nodes.installed["maize"]) == 1
    with Store(site / "store.sqlite", existing=True) as store:
        (event,) = store.reader.events(kind="update")
    assert event["text"].endswith("though the gate has refused it: a bench only")
    assert event["severity"] == "warning"
    assert event["evidence"]["override"] == "a bench only"
    assert any("No guest is stopped" in text for text in event["evidence"]["failures"])


def test_no_reason_sends_what_is_not_signed_right(
    site: Path, nodes: MqttNodes, url: str, modules: dict[str, Path]
) -> None:
    assert levada("keys", "new", cwd=site).returncode == 0
    done = push(
        site, modules["good"], "--node", "maize", "--suite", "none", "--broker", url,
        "--trusted", "keys/trusted.json", "--override", "I insist",
    )  # fmt: skip
    assert done.returncode == 1
    assert "none, and there are trusted keys" in done.stdout
    assert nodes.installed["maize"] == []


def test_a_signed_module_is_sent_with_its_envelope(
    site: Path, nodes: MqttNodes, url: str, modules: dict[str, Path]
) -> None:
    module = site / "new.wasm"
    module.write_bytes(modules["good"].read_bytes())
    assert levada("keys", "new", cwd=site).returncode == 0
    assert levada("guest", "sign", module, "--counter", "4", cwd=site).returncode == 0
    done = push(
        site, module, "--node", "maize", "--suite", "none", "--broker", url,
        "--trusted", "keys/trusted.json",
    )  # fmt: skip
    assert done.returncode == 0, done
    assert "counter 4" in done.stdout
    (envelope,) = site.glob("runs/ota/*/envelope.cbor")
    assert envelope.read_bytes() == (site / "new.wasm.manifest").read_bytes()


def test_a_canary_that_fails_stops_the_rollout_and_the_exit_code_says_so(
    site: Path, nodes: MqttNodes, url: str, modules: dict[str, Path]
) -> None:
    names = ["vine", *(f"plot-{i}" for i in range(10))]
    chosen = [part for name in names for part in ("--node", name)]
    done = push(
        site, modules["good"], *chosen, "--suite", "none", "--broker", url, "--canary", "1",
        "--rate", "600/min",
    )  # fmt: skip
    assert done.returncode == 1
    assert "canaries: 0 of 1 succeeded, 100 % are wanted" in done.stdout
    assert "canceled: 1 failed, 10 canceled" in done.stdout
    assert [name for name, found in nodes.installed.items() if found] == []


def test_a_rollout_is_aborted_by_name_and_is_not_resumed_afterwards(
    site: Path, nodes: MqttNodes, url: str, modules: dict[str, Path]
) -> None:
    done = push(site, modules["good"], "--node", "maize", "--suite", "none", "--broker", url)
    assert done.returncode == 0
    (folder,) = site.glob("runs/ota/*")
    assert levada("ota", "abort", cwd=site).returncode == 5  # it has ended already
    state = json.loads((folder / "rollout.json").read_text())
    state["rollout"]["status"] = "IN_PROGRESS"
    state["rollout"]["executions"][0] |= {"state": "QUEUED", "began_ms": None, "ended_ms": None}
    (folder / "rollout.json").write_text(json.dumps(state))
    assert levada("ota", "abort", "--reason", "wrong file", cwd=site).returncode == 0
    again = levada("ota", "resume", folder.name, "--broker", url, cwd=site)
    assert again.returncode == 1
    assert "stopped: wrong file" in again.stdout
    assert len(nodes.installed["maize"]) == 1
    assert levada("ota", "abort", "another", cwd=site).returncode == 2


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--node", "maize", "--rate", "fast"), "50/min"),
        (("--node", "maize", "--abort", "SOMETIMES"), "FAILED:10:20"),
        (("--node", "maize", "--abort", "SOMETIMES:10"), "failure_type"),
        (("--node", "maize", "--group", "30"), "100 %"),
        (("--node", "maize", "--node", "maize"), "twice"),
        ((), "name the nodes"),
        (("--node", "maize", "--suite", "nothing"), "no shipped scenario"),
        (("--node", "a/b",), "node name"),
        (("--node", "serial:"), "serial"),
        (("--node", "virtual:zzz"), "zzz"),
        (("--node", "maize", "--rollout", "missing.toml"), "missing.toml"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_in_words(
    more: tuple[str, ...], said: str, site: Path, modules: dict[str, Path]
) -> None:
    done = push(site, modules["good"], *more, "--broker", "mqtt://127.0.0.1:1")
    assert done.returncode == 2, done
    assert said in " ".join((done.stdout + done.stderr).replace("│", " ").split())
    assert not (site / "runs").exists()


def test_a_file_with_a_rollout_is_read_and_options_win(
    site: Path, nodes: MqttNodes, url: str, modules: dict[str, Path]
) -> None:
    (site / "careful.toml").write_text(
        '[rollout]\ncanary = 3\nsoak = "1 s"\n\n[[rollout.abort]]\nfailure_type = "STRESS"\n'
        'limit = "2 h"\n'
    )
    done = push(
        site, modules["good"], "--node", "maize", "--suite", "none", "--broker", url,
        "--rollout", "careful.toml", "--canary", "1",
    )  # fmt: skip
    assert done.returncode == 0, done
    (state,) = site.glob("runs/ota/*/rollout.json")
    settings = json.loads(state.read_text())["rollout"]["settings"]
    assert (settings["canary"], settings["soak"]) == (1, "1 s")
    assert settings["abort"][0]["failure_type"] == "STRESS"
    assert len(nodes.installed["maize"]) == 1
