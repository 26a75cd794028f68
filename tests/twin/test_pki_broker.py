"""mosquitto as `levada pki broker` sets it up: who gets in, who may say what, who is out."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pki_broker import HOSTS, SecureMosquitto
from small_field import scenario

from levada.hil.errors import BrokerError, UsageError
from levada.hil.line.broker import BrokerAddress, EmbeddedBroker, parse_broker
from levada.hil.line.mqtt_client import MqttClient
from levada.twin.cli.main import main
from levada.twin.errors import PkiError
from levada.twin.pki.authority import Authority, create
from levada.twin.pki.broker import write_broker
from levada.twin.pki.rights import acl, rights

VINE = """
[[zone]]
name = "vine"
node = "mqtts://broker.example/ic/vine"
soil.model = "bucket"
soil.texture = "sandy loam"
crop.name = "maize"
crop.planting = 2023-05-02
"""


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[SecureMosquitto]:
    """The field has maize, for which edge or twin speak, and the board vine."""
    field = scenario(tmp_path, zones=VINE)
    names = ("maize", "vine", "fog", "twin", "edge", "homeassistant", "ota", "stranger")
    with SecureMosquitto(create(tmp_path / "pki"), field, tmp_path / "broker", names=names) as made:
        yield made


class Listener:
    """Hears everything that its user may hear."""

    def __init__(self, address: BrokerAddress) -> None:
        self.heard: set[str] = set()
        self._one = threading.Condition()
        self.client = MqttClient(address, subscription="#", handler=self._hear)

    def _hear(self, topic: str, _payload: bytes) -> None:
        with self._one:
            self.heard.add(topic)
            self._one.notify_all()

    def wait_for(self, topic: str) -> None:
        with self._one:
            self._one.wait_for(lambda: topic in self.heard)


def reach(
    secure: SecureMosquitto, speaker: str, listener: str, topics: list[str], last: str
) -> set[str]:
    """Which of `topics`, published by one, another hears; both may say and hear `last`."""
    hears = Listener(secure.address(listener))
    says = MqttClient(secure.address(speaker))
    try:
        for topic in [*topics, last]:  # one connection: they arrive in order
            assert says.publish(topic, b"{}")
        hears.wait_for(last)
        return hears.heard - {last}
    finally:
        says.close()
        hears.client.close()


def test_a_node_speaks_on_its_own_topics_alone(secure: SecureMosquitto) -> None:
    own = ["ic/vine/data", "ic/vine/status"]
    others = [
        *("ic/maize/data", "ic/vine/ack", "ic/vine/config", "ic/fog/relayed", "ic/vine/alert"),
        *("homeassistant/x", "ic/vinegar/data", "ic/vine"),
    ]
    assert reach(secure, "vine", "twin", [*own, *others], "ic/vine/config/ack") == set(own)


def test_a_node_hears_what_is_for_it_alone(secure: SecureMosquitto) -> None:
    for_it = ["ic/vine/ack", "ic/vine/ask"]
    others = ["ic/maize/ack", "ic/maize/config", "ic/maize/alert", "ic/fog/ack"]
    assert reach(secure, "twin", "vine", [*for_it, *others], "ic/vine/config") == set(for_it)


def test_the_twin_speaks_for_no_board(secure: SecureMosquitto) -> None:
    """For maize, which is no board, a twin on a bench does."""
    found = reach(secure, "twin", "fog", ["ic/vine/data", "ic/maize/data"], "ic/fog/ack")
    assert found == {"ic/maize/data"}


def test_home_assistant_sets_and_reads_and_no_more(secure: SecureMosquitto) -> None:
    asked = ["ic/vine/config", "ic/vine/ack", "ic/vine/ask"]
    assert reach(secure, "homeassistant", "vine", asked, "ic/vine/config") == set()
    found = reach(
        secure, "homeassistant", "twin", ["ic/vine/data", "ic/vine/status"], "homeassistant/y"
    )
    assert found == set()


def test_who_sends_modules_hears_what_becomes_of_them_and_says_nothing_else(
    secure: SecureMosquitto,
) -> None:
    sent = ["ic/vine/ota/request", "ic/vine/ota/chunk/5e00/2048"]
    others = ["ic/vine/config", "ic/vine/ack", "ic/vine/ota/state", "ic/stranger/ota/request"]
    found = reach(secure, "ota", "vine", [*sent[:1], *others], sent[1])
    assert found == set(sent[:1])
    said = ["ic/vine/ota/want", "ic/vine/data"]
    found = reach(secure, "vine", "ota", [*said, "ic/vine/status"], "ic/vine/ota/state")
    assert found == set(said)


def test_a_certificate_of_nobody_in_the_scenario_opens_no_topic(secure: SecureMosquitto) -> None:
    hears, twin = Listener(secure.address("stranger")), Listener(secure.address("twin"))
    says, vine = MqttClient(secure.address("stranger")), MqttClient(secure.address("vine"))
    for topic in ("ic/vine/data", "ic/stranger/data", "homeassistant/x"):
        assert says.publish(topic, b"{}")
    assert says.publish("ic/stranger/data", b"{}")
    says.close()  # after what it had to say
    secure.wait_for("stranger")
    vine.publish("ic/vine/status", b"{}")
    twin.wait_for("ic/vine/status")
    assert twin.heard == {"ic/vine/status"}
    assert hears.heard == set()
    for client in (vine, twin.client, hears.client):
        client.close()


def test_without_a_certificate_nobody_gets_in(secure: SecureMosquitto, tmp_path: Path) -> None:
    with pytest.raises(BrokerError, match="refused us: it asks for a certificate"):
        MqttClient(secure.with_authority_alone(tmp_path / "alone"), timeout_s=1)
    with pytest.raises(BrokerError, match="no authority that is trusted here"):
        MqttClient(secure.address())


def test_a_certificate_of_another_authority_is_out(secure: SecureMosquitto, tmp_path: Path) -> None:
    other = create(tmp_path / "other")
    other.issue("vine")
    folder = other.files("vine")
    with pytest.raises(BrokerError, match=r"no authority that is trusted here.*ca\.pem"):
        MqttClient(replace(secure.address(), pki=str(folder)))
    (folder / "ca.pem").write_bytes((secure.authority.folder / "ca.pem").read_bytes())
    with pytest.raises(BrokerError, match="refused us: our certificate is of another authority"):
        MqttClient(replace(secure.address(), pki=str(folder)))


def test_a_node_cannot_play_the_broker(tmp_path: Path) -> None:
    """Its certificate is one of a client, whatever name it has."""
    authority = create(tmp_path / "pki")
    authority.issue("broker", hosts=HOSTS)
    authority.issue("vine")
    field = scenario(tmp_path, zones=VINE)
    with SecureMosquitto(authority, field, tmp_path / "broker") as secure:
        secure.stop()
        for file in ("cert.pem", "key.pem"):
            stolen = (authority.files("vine") / file).read_bytes()
            (tmp_path / "broker" / file).write_bytes(stolen)
        secure.start()
        with pytest.raises(BrokerError, match="is one of a client, not of a server"):
            MqttClient(secure.address("vine"))


def test_another_host_name_is_not_taken(tmp_path: Path) -> None:
    authority = create(tmp_path / "pki")
    authority.issue("broker", hosts=["pi.example.org"])
    authority.issue("vine")
    field = scenario(tmp_path, zones=VINE)
    broker = SecureMosquitto(authority, field, tmp_path / "broker")
    with (
        broker as secure,
        pytest.raises(BrokerError, match=r"is for other names: .*localhost.*--host"),
    ):
        MqttClient(secure.address("vine"))


def dated(tmp_path: Path, name: str, when: datetime, **options: object) -> Authority:
    """An authority, and a certificate that was issued for a day when it was `when`."""
    authority = create(tmp_path / "pki", now=lambda: when)
    authority.issue(name, days=1, **options)  # type: ignore[arg-type]
    return Authority(authority.folder)


def test_an_expired_certificate_is_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = dated(tmp_path, "vine", datetime.now(UTC) - timedelta(days=9))
    field = scenario(tmp_path, zones=VINE)
    with SecureMosquitto(authority, field, tmp_path / "broker") as secure:
        with pytest.raises(UsageError, match="expired on"):
            MqttClient(secure.address("vine"))  # noticed before anything is sent
        monkeypatch.setattr("levada.hil.line.tls._check_validity", lambda _file: None)
        with pytest.raises(BrokerError, match="refused us: our certificate has expired"):
            MqttClient(secure.address("vine"))  # and by the broker


def test_an_expired_broker_is_not_believed(tmp_path: Path) -> None:
    old = datetime.now(UTC) - timedelta(days=9)
    authority = dated(tmp_path, "broker", old, hosts=HOSTS)
    authority.issue("vine")
    expired = {
        file: (authority.files("broker") / file).read_bytes() for file in ("cert.pem", "key.pem")
    }
    field = scenario(tmp_path, zones=VINE)
    with SecureMosquitto(authority, field, tmp_path / "broker") as secure:
        secure.stop()
        for file, data in expired.items():
            (tmp_path / "broker" / file).write_bytes(data)
        secure.start()
        with pytest.raises(BrokerError, match="its certificate has expired"):
            MqttClient(secure.address("vine"))


def test_a_revoked_device_is_out(secure: SecureMosquitto) -> None:
    """After a reload it gets no new connection, but keeps an open one; a restart ends that."""
    vine = Listener(secure.address("vine"))
    secure.authority.revoke("vine", "key-compromise")
    MqttClient(secure.address("vine")).close()  # the broker does not know yet
    secure.write()
    secure.reload()
    with pytest.raises(BrokerError, match="refused us: our certificate is revoked"):
        MqttClient(secure.address("vine"))
    twin = MqttClient(secure.address("twin"))  # nobody else notices
    assert vine.client.connected
    twin.publish("ic/vine/config", b"{}")
    vine.wait_for("ic/vine/config")
    twin.close()
    secure.stop()
    secure.start()
    while vine.client.failure is None:
        pass
    assert "our certificate is revoked" in str(vine.client.failure)
    assert not vine.client.connected
    vine.client.close()
    MqttClient(secure.address("maize")).close()


def test_a_client_comes_back_after_its_broker_did(secure: SecureMosquitto) -> None:
    twin = Listener(secure.address("twin"))
    vine = MqttClient(secure.address("vine"))
    secure.stop()
    secure.start()
    while not (vine.connected and twin.client.connected):
        time.sleep(0.02)
    assert vine.publish("ic/vine/data", b"{}")
    twin.wait_for("ic/vine/data")
    vine.close()
    twin.client.close()


def test_a_broker_without_tls_is_named(tmp_path: Path) -> None:
    authority = create(tmp_path / "pki")
    authority.issue("vine")
    with EmbeddedBroker() as plain:
        address = replace(plain.address, tls=True, pki=str(authority.files("vine")))
        with pytest.raises(BrokerError):
            MqttClient(address, timeout_s=1)


# -- configuration and options -------------------------------------------------------------------


def test_the_commands_reach_the_broker_with_one_folder(
    secure: SecureMosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"mqtts://localhost:{secure.port}"
    folder = str(secure.authority.files("twin"))
    with pytest.raises(SystemExit) as ended:
        main(["withdraw", "vine", "--broker", url, "--pki", folder])
    assert ended.value.code == 5  # nothing was retained
    monkeypatch.setenv("LEVADA_MQTT_PKI", folder)
    assert parse_broker(url).pki == folder
    monkeypatch.chdir(secure.authority.files("twin").parent)
    assert parse_broker(url, "twin").pki == folder


def test_a_folder_for_a_broker_without_tls_is_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["withdraw", "vine", "--broker", "mqtt://127.0.0.1", "--pki", str(tmp_path)])
    assert ended.value.code == 2
    assert "is for a broker with TLS" in capfd.readouterr().err


def test_a_broker_needs_a_certificate_with_hosts(tmp_path: Path) -> None:
    authority = create(tmp_path / "pki")
    field = scenario(tmp_path)
    with pytest.raises(PkiError, match=r"broker: has no certificate.*--host HOST"):
        write_broker(authority, field, tmp_path / "out")
    authority.issue("broker")
    with pytest.raises(PkiError, match="broker: may only be a client"):
        write_broker(authority, field, tmp_path / "out")


def test_a_node_cannot_be_called_as_a_tier(tmp_path: Path) -> None:
    field = scenario(tmp_path, zones=VINE.replace("vine", "fog"))
    with pytest.raises(PkiError, match="a node cannot be called fog"):
        rights(field)


def test_of_two_brokers_each_knows_its_own_side(tmp_path: Path) -> None:
    """The boards' broker has no twin; at the cloud's nobody says telemetry but through fog."""
    field = scenario(tmp_path, zones=VINE)
    edge, cloud = rights(field, "edge"), rights(field, "cloud")
    assert set(edge) == {"maize", "vine", "edge", "ota", "fog"}
    assert set(cloud) == {"twin", "homeassistant", "fog"}
    assert edge["fog"]["ic/vine/data"] == "read"
    assert "ic/vine/data" not in cloud["fog"]
    assert cloud["fog"]["ic/fog/relayed"] == "write"


def test_topics_of_other_devices_are_theirs(tmp_path: Path) -> None:
    mapped = """
[[mapping]]
topic = "tele/+/SENSOR"
[[mapping.field]]
signal = "raw"
pointer = "/A0"
"""
    text = acl(rights(scenario(tmp_path, zones=VINE, extra=mapped)))
    of_vine = text.split("user vine\n")[1].split("user ")[0]
    assert "topic write tele/vine/SENSOR" in of_vine
    assert "maize" not in of_vine


def test_the_command_writes_what_mosquitto_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    scenario(tmp_path, zones=VINE)
    for command in (["init"], ["issue", "broker", "--host", "pi"], ["issue", "vine", "fog"]):
        with pytest.raises(SystemExit) as ended:
            main(["pki", *command])
        assert ended.value.code == 0
    with pytest.raises(SystemExit) as ended:
        main(["pki", "broker", "field.toml", "--out", "out", "--at", "/etc/mosquitto/levada"])
    assert ended.value.code == 0
    said = capfd.readouterr().out
    assert "without a certificate yet: levada pki issue maize edge ota twin homeassistant" in said
    config = (tmp_path / "out" / "levada.conf").read_text()
    assert "keyfile /etc/mosquitto/levada/key.pem" in config
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"acl", "ca.pem", "cert.pem", "key.pem", "crl.pem", "levada.conf"}
    assert all(path.stat().st_mode & 0o077 == 0 for path in (tmp_path / "out").iterdir())


def test_fog_has_the_rights_that_it_needs(secure: SecureMosquitto, tmp_path: Path) -> None:
    """The command, with its certificate: it takes a reading, acknowledges, and forwards."""
    url = f"mqtts://localhost:{secure.port}"
    config = tmp_path / "fog.toml"
    config.write_text(
        f'edge_broker = "{url}"\npki = "pki/issued/fog"\nhealth_port = 0\nbuffer = "fog.sqlite"\n'
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "levada", "fog", "--config", str(config)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path / "broker",  # files that the file names are relative to it
    )
    assert process.stdout is not None
    twin, vine = Listener(secure.address("twin")), Listener(secure.address("vine"))
    try:
        assert url in process.stdout.readline()
        said = b'{"boot":7,"seq":1,"oldest":1,"t":1688601600000,"raw":1500}'
        while "ic/fog/relayed" not in twin.heard or "ic/vine/ack" not in vine.heard:
            vine.client.publish("ic/vine/data", said)  # as a node does, until it hears
            time.sleep(0.1)
        twin.wait_for("ic/fog/processed")
        twin.wait_for("ic/fog/status")
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()
        twin.client.close()
        vine.client.close()


def test_the_cloud_has_the_rights_that_it_needs(secure: SecureMosquitto, tmp_path: Path) -> None:
    """The command, as `twin`: it acknowledges what fog forwards."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "levada", "cloud", "--port", "0", "--out", str(tmp_path / "c")),
            *("--cloud-broker", f"mqtts://localhost:{secure.port}"),
            *("--pki", str(secure.authority.files("twin"))),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    fog = Listener(secure.address("fog"))
    try:
        assert process.stdout.readline().startswith("http://127.0.0.1:")
        row = '{"node":"vine","boot":7,"seq":1,"t":1688601600000,"received_us":1,"raw":1500}'
        said = f'{{"boot":9,"seq":1,"oldest":1,"sent_us":2,"rows":[{row}]}}'
        while "ic/fog/ack" not in fog.heard:
            fog.client.publish("ic/fog/relayed", said.encode())
            time.sleep(0.1)
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()
        fog.client.close()
