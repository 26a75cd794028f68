"""The page of a zone: what it is now, why, and its calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dash import dcc, html

from levada.guest.module.metadata import Parameter
from levada.twin.app import words
from levada.twin.app.pages.parts import (
    DEFAULT_WINDOW,
    EXPIRIES,
    POLITE,
    SLOW_MS,
    TICK_MS,
    WINDOWS,
    Children,
    chart,
    choice,
    fact_tile,
    litres_in_all,
    litres_text,
    stamp,
    stress_text,
    theta_text,
    with_unit,
)
from levada.twin.calibration.dry_run import DryRun
from levada.twin.diagnosis import Cause
from levada.twin.snapshot import ZoneView

__all__ = ["now", "zone_page"]


def zone_page(
    zone: ZoneView,
    parameters: Sequence[Parameter],
    changed: Sequence[str],
    *,
    may_change: bool = True,
) -> Children:
    """Device and twin of one zone; `changed` are parameters that the scenario sets."""
    return [
        dcc.Interval(id="tick-zone", interval=TICK_MS),
        dcc.Interval(id="tick-slow", interval=SLOW_MS),
        dcc.Store(id="zone-name", data=zone.name),
        dcc.Store(id="zone-upto"),
        dcc.Store(id="zone-said"),
        html.Div(id="zone-facts", className="facts"),
        html.Section(id="zone-verdict", className="verdict", **POLITE),
        html.Section(
            [
                html.Div(
                    [
                        html.H2("Device and twin"),
                        choice("zone-window", "Time shown", WINDOWS, DEFAULT_WINDOW),
                    ],
                    className="row",
                ),
                html.P(
                    "Water content at the probe, in percent of the soil's volume, as the device "
                    "reads it and as the twin expects it. What differs beyond the band is more "
                    "than noise. Dots beside the valves are decisions (filled: it opens): point "
                    "at one to read why it was taken.",
                    className="hint",
                ),
                chart("zone-chart", "Device and twin over time", 620),
            ]
        ),
        html.Section(
            [
                html.H2("Water in the soil by depth, as the twin has it"),
                chart("zone-profile", "Water in the soil over time and depth", 280),
            ]
        ),
        html.Section(_calibration(zone, parameters, changed, may_change), id="calibration"),
        html.Section(
            [
                html.H2("What happened"),
                # a list that scrolls must be reachable by keyboard
                html.Div(id="zone-events", className="long", tabIndex="0", role="log"),
            ]
        ),
    ]


def _calibration(
    zone: ZoneView, parameters: Sequence[Parameter], changed: Sequence[str], may_change: bool
) -> Children:
    if not parameters:
        said = "The guest declares no parameters, so there is nothing to change."
        return [html.H2("Calibration"), html.P(said, className="hint")]
    first = [p for p in parameters if p.name in changed] or list(parameters[:4])
    rest = [p for p in parameters if p not in first]
    return [
        html.H2("Calibration"),
        html.P(
            "Write new values, try them on the last days with a dry run, then set them. They are "
            "checked against the guest's own ranges, set between two steps, all or none, and read "
            "back from the device.",
            className="hint",
        ),
        None
        if may_change
        else html.P(
            [
                "This browser reads along. To change something, open the link that ",
                html.Code("levada twin"),
                " has printed; it opens the page once with the right to do so.",
            ],
            id="calibrate-locked",
            className="bad",
        ),
        html.Div(_parameter_table(zone, first), className="scroll"),
        html.Details(
            [
                html.Summary(f"{len(rest)} more parameters"),
                html.Div(_parameter_table(zone, rest), className="scroll"),
            ]
        )
        if rest
        else None,
        html.Div(
            [
                html.Span("Keep the new values", className="hint"),
                choice("calibrate-expiry", "Keep the new values", EXPIRIES, "until changed"),
                html.Label("Your name", htmlFor="calibrate-who"),
                dcc.Input(id="calibrate-who", type="text", maxLength=64, debounce=True, value=""),
            ],
            className="row",
        ),
        html.Div(
            [
                html.Button(
                    "Dry run on the last 14 days",
                    id="calibrate-try",
                    n_clicks=0,
                    disabled=not may_change,
                ),
                html.Button(
                    "Set on the device",
                    id="calibrate-set",
                    n_clicks=0,
                    className="primary",
                    disabled=not may_change,
                ),
            ],
            className="row",
        ),
        html.Div(id="calibrate-tried", **POLITE),
        html.Div(id="calibrate-done", **POLITE),
    ]


def _parameter_table(zone: ZoneView, parameters: Sequence[Parameter]) -> html.Table:
    return html.Table(
        [
            html.Thead(html.Tr([html.Th(t) for t in ("parameter", "now", "new", "permitted")])),
            html.Tbody(
                [
                    html.Tr(
                        [
                            html.Th(
                                [html.Code(p.name), html.Span(words.parameter(p.name))],
                                scope="row",
                            ),
                            html.Td(
                                with_unit(zone.parameters.get(p.name, p.default), p.unit),
                                id={"type": "parameter-now", "name": p.name},
                            ),
                            html.Td(
                                dcc.Input(
                                    id={"type": "parameter", "name": p.name},
                                    type="text",
                                    inputMode="numeric",
                                    size="9",
                                    autoComplete="off",
                                    placeholder="as it is",
                                )
                            ),
                            html.Td(f"{p.minimum:,} to {with_unit(p.maximum, p.unit)}"),
                        ]
                    )
                    for p in parameters
                ]
            ),
        ],
        className="parameters",
    )


def now(zone: ZoneView) -> tuple[Children, Children, str]:
    """Facts, verdict and the verdict's class."""
    facts = [
        fact_tile(
            "Probe",
            theta_text(zone.theta),
            "no reading" if zone.counts is None else f"{zone.counts:,} counts",
            "physical",
        ),
        fact_tile("Twin", theta_text(zone.theta_twin), "expected at the probe", "virtual"),
        fact_tile(
            "Difference",
            "–" if zone.residual is None else f"{100 * zone.residual:+.1f} %",
            f"noise explains ±{100 * zone.band:.1f} %",
            "bad" if zone.residual is not None and abs(zone.residual) > zone.band else "",
        ),
        fact_tile(
            "Valve",
            "open" if zone.valve else "closed",
            f"twin: {'open' if zone.valve_twin else 'closed'}"
            + (", water flows" if zone.flowed else ""),
            "physical",
        ),
        fact_tile("Water today", litres_text(zone.water_today_l), litres_in_all(zone.water_l)),
        fact_tile("Crop stressed in", stress_text(zone), "if no water comes"),
    ]
    fine = zone.verdict.cause is Cause.NONE and not zone.alerts
    verdict: Children = [
        html.Div(_headline(zone), className="cause"),
        html.P(zone.verdict.text, className="hint"),
        html.P(zone.decision, className="hint"),
    ]
    if zone.alerts:
        verdict.append(
            html.Ul(
                [
                    html.Li(
                        [
                            html.Span(stamp(alert.since_ms), className="when"),
                            html.Span(alert.text, className=f"severity-{alert.severity}"),
                        ]
                    )
                    for alert in zone.alerts
                ],
                className="list",
                id="zone-alerts",
            )
        )
    return facts, verdict, "verdict" if fine else "verdict bad"


def _headline(zone: ZoneView) -> str:
    if zone.verdict.cause is not Cause.NONE:
        return f"They differ: {zone.verdict.cause}"
    if not zone.verdict.compared:
        return "Nothing to compare yet"
    if zone.valve != zone.valve_twin:
        return "They agree on the soil, not on the valve"
    return "Device and twin agree"


def tried(outcome: DryRun, values: Mapping[str, int]) -> html.Div:
    """What a dry run found."""
    rows = (
        ("Water", "{:.0f} L", "water_l"),
        ("Irrigation", "{:.1f} mm", "irrigation_mm"),
        ("Days of stress", "{:.0f}", "stress_days"),
        ("Valve openings", "{:.0f}", "openings"),
        ("Drainage", "{:.1f} mm", "drainage_mm"),
    )
    changes = ", ".join(f"{name} = {value}" for name, value in values.items())
    return html.Div(
        [
            html.P(
                f"The twin from {stamp(outcome.start_ms)} to {stamp(outcome.end_ms)}, "
                f"as it was and with {changes}:",
                className="hint",
            ),
            html.Table(
                [
                    html.Thead(html.Tr([html.Th(t) for t in ("", "before", "after")])),
                    html.Tbody(
                        [
                            html.Tr(
                                [
                                    html.Th(label, scope="row"),
                                    html.Td(form.format(getattr(outcome.before, key))),
                                    html.Td(form.format(getattr(outcome.after, key))),
                                ]
                            )
                            for label, form, key in rows
                        ]
                    ),
                ],
                className="parameters",
                id="dry-run",
            ),
        ]
    )
