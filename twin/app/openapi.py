"""OpenAPI 3.1 of what `twin.app.api` answers."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

__all__ = ["document"]

Json = dict[str, Any]


def _parameter(name: str, where: str, kind: str, text: str) -> Json:
    return {
        "name": name,
        "in": where,
        "required": where == "path",
        "description": text,
        "schema": {"type": kind},
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
    _parameter("points", "query", "integer", "About so many at most, 4 to 100000; else 2000."),
]


def _get(summary: str, *parameters: Json, media: str = "application/json") -> Json:
    return {
        "get": {
            "summary": summary,
            "parameters": list(parameters),
            "responses": {"200": {"description": summary, "content": {media: {}}}},
        }
    }


def document() -> Json:
    """The whole document."""
    integers = {"type": "object", "additionalProperties": {"type": "integer"}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "levada, live twin", "version": version("levada")},
        "paths": {
            "/health": _get("Whether store and twin are well; 503 if nothing can be stored."),
            "/api/field": _get("What is to be seen of the field now."),
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
                _parameter("limit", "query", "integer", "The newest so many, 1 to 5000."),
            ),
            "/api/calibrations": _get("Who changed what, when, from what to what.", _ZONE),
            "/api/runs": _get("When the twin ran, on what."),
            "/api/zones/{zone}/calibration": {
                "post": {
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
                                        "expires_s": {"type": "number"},
                                        "dry_run_days": {"type": "integer"},
                                    },
                                }
                            }
                        },
                    },
                    "responses": {
                        "200": {"description": "Values read back, or what the dry run found."},
                        "403": {"description": "Wrong token."},
                        "422": {
                            "description": "A name or value is wrong, was refused, or "
                            "`seen` is no longer in force."
                        },
                        "504": {"description": "The device has not answered."},
                    },
                }
            },
        },
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
    }
