"""OpenAPI 3.1 of what `levada.twin.app.api` answers.

python -m levada.twin.app.openapi > docs/openapi.json
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from typing import Any, Final

__all__ = ["LONGEST_EXPIRY_S", "MOST_DAYS", "MOST_POINTS", "document", "text"]

MOST_DAYS: Final = 3_660
"""Of a dry run."""
LONGEST_EXPIRY_S: Final = MOST_DAYS * 86_400
MOST_POINTS: Final = 100_000

Json = dict[str, Any]


def _parameter(name: str, where: str, kind: str, text: str, **limits: int) -> Json:
    return {
        "name": name,
        "in": where,
        "required": where == "path",
        "description": text,
        "schema": {"type": kind, **limits},
    }


_ZONE = _parameter("zone", "query", "string", "Name of a zone.")
_START = _parameter("start_ms", "query", "integer", "From this time on [ms since 1970].")
_END = _parameter("end_ms", "query", "integer", "Before this time [ms since 1970].")
_IN_PATH = [
    _parameter("zone", "path", "string", "Name of a zone."),
    _parameter("kind", "path", "string", "raw (device), filtered (fog) or twin."),
    _parameter("signal", "path", "string", "As /api/series names it."),
    _START,
    _END,
    _parameter(
        "points",
        "query",
        "integer",
        "About so many at most; else 2000.",
        minimum=4,
        maximum=MOST_POINTS,
    ),
]


def _get(summary: str, *parameters: Json, media: str = "application/json") -> Json:
    return {
        "get": {
            "summary": summary,
            "parameters": list(parameters),
            "responses": {
                "200": {"description": summary, "content": {media: {}}},
                "default": {"$ref": "#/components/responses/error"},
            },
        }
    }


def _error(text: str) -> Json:
    schema = {"$ref": "#/components/schemas/Error"}
    return {"description": text, "content": {"application/json": {"schema": schema}}}


def document() -> Json:
    """The whole document."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "levada, live twin", "version": version("levada")},
        "paths": {
            "/health": _get(
                "Whether store, broker, page, gateway and devices are well; 503 if one is not."
            ),
            "/health/own": _get("The same; 503 only for what is the twin's own, no device."),
            "/api/field": _get("What is to be seen of the field now."),
            "/api/fleet": _get(
                "Every zone in short, or only those that have changed since.",
                _parameter("since", "query", "integer", "Number of the last answer; else 0."),
                _parameter("run", "query", "string", "Run of the last answer."),
            ),
            "/api/continuum": _get(
                "The tiers: fogs, both streams of every node, and the times of the hops; only "
                "with `levada cloud`."
            ),
            "/api/series": _get("Signals that are stored.", _ZONE),
            "/api/series/{zone}/{kind}/{signal}.json": _get(
                "A window of a signal, thinned on the server.", *_IN_PATH
            ),
            "/api/series/{zone}/{kind}/{signal}.csv": _get(
                "The same as CSV.", *_IN_PATH, media="text/csv"
            ),
            "/api/export.csv": _get(
                "Every value stored of a zone, one a row, with the message that brought it.",
                _ZONE | {"required": True},
                _START,
                _END,
                media="text/csv",
            ),
            "/api/events": _get(
                "Alerts, decisions, calibrations, troubles; oldest first.",
                _ZONE,
                _parameter("kind", "query", "string", "Such as `alert`."),
                _parameter("after", "query", "integer", "Only ids beyond this one."),
                _START,
                _END,
                _parameter(
                    "limit",
                    "query",
                    "integer",
                    "The newest so many; else 500.",
                    minimum=1,
                    maximum=5_000,
                ),
            ),
            "/api/calibrations": _get("Who changed what, when, from what to what.", _ZONE),
            "/api/runs": _get("When the twin ran, on what."),
            "/api/zones/{zone}/calibration": {"post": _calibration()},
            "/api/zones/{zone}/acknowledgement": {"post": _acknowledgement()},
        },
        "components": {
            "responses": {"error": _error("What is wrong.")},
            "schemas": {
                "Error": {
                    "type": "object",
                    "required": ["error"],
                    "properties": {"error": {"type": "string"}},
                }
            },
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _calibration() -> Json:
    integers = {"type": "object", "additionalProperties": {"type": "integer"}}
    return {
        "summary": "Change parameters, all or none, or try the change on the past.",
        "security": [{"token": []}],
        "parameters": [_parameter("zone", "path", "string", "Name of a zone.")],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {
                        "type": "object",
                        "required": ["values"],
                        "properties": {
                            "values": integers,
                            "seen": integers,
                            "who": {"type": "string"},
                            "expires_s": {
                                "type": "number",
                                "exclusiveMinimum": 0,
                                "maximum": LONGEST_EXPIRY_S,
                            },
                            "dry_run_days": {
                                "type": "integer",
                                "minimum": 1,
                                "maximum": MOST_DAYS,
                            },
                        },
                    }
                }
            },
        },
        "responses": {
            "200": {"description": "Values read back, or what the dry run found."},
            "400": _error("The request itself is wrong."),
            "403": _error("The token is missing or wrong, or a foreign page asks."),
            "413": _error("More than 1 MiB."),
            "422": _error(
                "A name or value is wrong, was refused, or `seen` is no longer in force."
            ),
            "504": _error("The device has not answered."),
            "default": {"$ref": "#/components/responses/error"},
        },
    }


def _acknowledgement() -> Json:
    text = {"type": "string"}
    schema = {
        "type": "object",
        "required": ["alert", "who"],
        "properties": {"alert": text, "who": text},
    }
    return {
        "summary": "Note who knows of an alert that stands.",
        "security": [{"token": []}],
        "parameters": [_parameter("zone", "path", "string", "Name of a zone.")],
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
        "responses": {
            "200": {"description": "What was noted."},
            "404": _error("No such alert stands there."),
            "default": {"$ref": "#/components/responses/error"},
        },
    }


def text() -> str:
    """The file as it is kept in `docs`."""
    return json.dumps(document(), indent=2) + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())
