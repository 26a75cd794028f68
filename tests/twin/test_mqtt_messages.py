from __future__ import annotations

import json
from pathlib import Path

import pytest

from levada.guest.abi import WHY
from levada.hil.errors import PayloadError
from levada.twin.mqtt import asyncapi
from levada.twin.mqtt.messages import (
    TOPICS,
    Ack,
    Config,
    ForwardedRow,
    Processed,
    Relayed,
    Status,
    Telemetry,
    check_node,
    decode,
    node_topic,
    split_topic,
)

DOCS = Path(__file__).parents[2] / "docs"


def test_the_asyncapi_file_is_made_from_the_messages() -> None:
    current = (DOCS / "asyncapi.json").read_text(encoding="utf-8")
    assert current == asyncapi.text(), (
        "run: python -m levada.twin.mqtt.asyncapi > docs/asyncapi.json"
    )


def _references(value: object) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if "$ref" in value else []
        return own + [ref for part in value.values() for ref in _references(part)]
    if isinstance(value, list):
        return [ref for part in value for ref in _references(part)]
    return []


def test_every_reference_of_the_asyncapi_file_leads_somewhere() -> None:
    document = asyncapi.document()
    references = _references(document)
    assert len(references) > 20
    for reference in references:
        place = document
        for part in reference.removeprefix("#/").split("/"):
            place = place[part]


def test_every_topic_is_described() -> None:
    channels = {c["address"] for c in asyncapi.document()["channels"].values()}
    assert channels == {message.topic for message in TOPICS.values()}


def test_every_field_is_described_with_its_unit() -> None:
    telemetry = asyncapi.document()["components"]["schemas"]["Telemetry"]["properties"]
    assert telemetry["raw"]["description"] == "Probe reading [counts]; negative: error code."
    assert all("description" in field for field in telemetry.values())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Telemetry", Telemetry(boot=1, seq=0, oldest=0, raw=1500, why=int(WHY.OPENED))),
        ("Ack", Ack(boot=1, seq=7)),
        ("Config", Config(id="a", set={"limit": 1650})),
        ("Status", Status(state="birth", boot=1, guest_sha256="0" * 64)),
        ("Relayed", Relayed(boot=1, seq=0, oldest=0, rows=(ForwardedRow(node="n", raw=30),))),
        ("Processed", Processed(boot=1, seq=0, oldest=0, rows=(ForwardedRow(node="n", filt=3),))),
    ],
)
def test_what_is_sent_fits_the_published_schema(name: str, message: Telemetry) -> None:
    document = asyncapi.document()
    schema = {**document["components"]["schemas"][name], "components": document["components"]}
    import jsonschema  # takes four seconds

    jsonschema.validate(json.loads(message.encode()), schema)


@pytest.mark.parametrize(
    ("topic", "place"),
    [
        ("ic/esp32/data", ("esp32", "data")),
        ("ic/esp32/config/ack", ("esp32", "config/ack")),
        ("ic/fog/relayed", ("fog", "relayed")),
        ("ic/fog/processed", ("fog", "processed")),
        ("ic/horta 1 🌱/status", ("horta 1 🌱", "status")),
        ("ic/esp32/data/x", None),
        ("ic//data", None),
        ("ic/../data", None),
        ("ic/a+b/data", None),
        ("x/esp32/data", None),
        ("ic/" + "n" * 65 + "/data", None),
    ],
)
def test_a_topic_is_ours_or_not(topic: str, place: tuple[str, str] | None) -> None:
    assert split_topic(topic) == place


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a+", "#", "$SYS", "a\0b", "n" * 65])
def test_a_node_may_not_be_called_so(name: str) -> None:
    with pytest.raises(PayloadError, match="permitted are 1 to 64 characters"):
        check_node(name)


def test_topics_of_the_default_node_are_those_of_the_research_project() -> None:
    assert node_topic(Telemetry, "esp32") == "ic/esp32/data"
    assert node_topic(Config, "esp32") == "ic/esp32/config"


def test_numbers_of_a_newer_device_become_series_and_text_does_not() -> None:
    message = decode(
        Telemetry,
        b'{"raw":1,"novo":2.5,"nome":"x","lista":[1],"<script>":1,"nan":NaN,"big":1e999}',
    )
    assert message.signals() == {"raw": 1.0, "novo": 2.5}


def test_a_refusal_names_field_value_and_reason() -> None:
    with pytest.raises(PayloadError, match=r"seq = '-1': .*greater than or equal to 0"):
        decode(Telemetry, b'{"boot":1,"seq":-1,"oldest":0}')


@pytest.mark.parametrize(
    "payload", [b'{"limite":1}', b'{"limiar":1.5}', b'{"set":{"limit":"1"}}', b'{"limiar":NaN}']
)
def test_a_wrong_calibration_is_refused(payload: bytes) -> None:
    with pytest.raises(PayloadError):
        decode(Config, payload)
