"""The AsyncAPI 3 description of the MQTT wire, made from `levada.twin.mqtt.messages`.

python -m levada.twin.mqtt.asyncapi > docs/asyncapi.json
"""

from __future__ import annotations

import inspect
import json
import sys
from typing import Any, Final, Literal

from pydantic import BaseModel

from levada.hil.line.mqtt_client import MAX_PAYLOAD_BYTES
from levada.twin.mqtt.messages import (
    Ack,
    Alert,
    Ask,
    Config,
    ConfigAck,
    ForwardedRow,
    Message,
    OtaRequest,
    OtaState,
    OtaWant,
    Processed,
    Relayed,
    Status,
    Telemetry,
)

__all__ = ["document", "text"]

_CHANNELS: Final[dict[str, tuple[type[Message], Literal["send", "receive"], str]]] = {
    "telemetry": (Telemetry, "receive", "Nodes report what they measured and decided."),
    "relayed": (Relayed, "receive", "Fog relays telemetry of nodes: the raw stream."),
    "processed": (Processed, "receive", "Fog forwards what it computed: the filtered stream."),
    "status": (Status, "receive", "Nodes say that they are born, alive, or going."),
    "configAck": (ConfigAck, "receive", "Nodes answer a calibration with the values in force."),
    "config": (Config, "send", "The twin wants a calibration."),
    "ack": (Ack, "send", "The store acknowledges what it has committed."),
    "ask": (Ask, "send", "The twin asks a node to say something again."),
    "alert": (Alert, "send", "The twin tells that something is wrong, or over."),
    "otaRequest": (OtaRequest, "send", "A node is asked to take another module."),
    "otaWant": (OtaWant, "receive", "A node asks for the next bytes of a module."),
    "otaState": (OtaState, "receive", "A node says where its update stands."),
}
"""Channel -> payload, what the twin does there, summary."""


def document() -> dict[str, Any]:
    """The description; the application described is the twin."""
    schemas: dict[str, Any] = {}
    messages: dict[str, Any] = {}
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    for name, (kind, action, summary) in _CHANNELS.items():
        title = kind.__name__
        schema = kind.model_json_schema(ref_template="#/components/schemas/{model}")
        for nested in (ForwardedRow,):
            _describe(nested, schema.get("$defs", {}).get(nested.__name__, {}))
        schemas.update(schema.pop("$defs", {}))
        schemas[title] = _described(kind, schema)
        messages[title] = {
            "name": title,
            "summary": summary,
            "contentType": "application/json",
            "payload": {"$ref": f"#/components/schemas/{title}"},
        }
        channel: dict[str, Any] = {
            "address": kind.topic,
            "messages": {title: {"$ref": f"#/components/messages/{title}"}},
        }
        if "{node}" in kind.topic:
            channel["parameters"] = {"node": {"$ref": "#/components/parameters/node"}}
        channels[name] = channel
        operations[f"{action}{name[0].upper()}{name[1:]}"] = {
            "action": action,
            "channel": {"$ref": f"#/channels/{name}"},
            "summary": summary,
            "messages": [{"$ref": f"#/channels/{name}/messages/{title}"}],
            "bindings": {"mqtt": {"qos": 0, "retain": False, "bindingVersion": "0.2.0"}},
        }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "levada over MQTT",
            "version": "1",
            "description": "Telemetry, acknowledgement and calibration of irrigation nodes. "
            f"Payloads are JSON objects of at most {MAX_PAYLOAD_BYTES} bytes.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "broker": {
                "host": "localhost:1883",
                "protocol": "mqtt",
                "protocolVersion": "3.1.1",
                "description": "Any MQTT 3.1.1 broker.",
            }
        },
        "channels": channels,
        "operations": operations,
        "components": {
            "schemas": schemas,
            "messages": messages,
            "parameters": {
                "node": {"description": "Name of the node; `esp32` unless set.", "default": "esp32"}
            },
        },
    }


def text() -> str:
    """The file as it is kept in `docs`."""
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


def _described(kind: type[Message], schema: dict[str, Any]) -> dict[str, Any]:
    """Field descriptions from the text under each field, as in the source."""
    for base in reversed(kind.__mro__):
        if issubclass(base, Message):
            _describe(base, schema)
    return schema


def _describe(base: type[BaseModel], schema: dict[str, Any]) -> None:
    name = None
    for line in inspect.getsource(base).splitlines():
        code = line.strip()
        if name is not None and code.startswith('"""'):
            schema["properties"][name]["description"] = code.strip('"')
            name = None
            continue
        field = code.partition(":")[0]
        name = field if field in schema.get("properties", {}) else None


if __name__ == "__main__":
    sys.stdout.write(text())
