"""report.html: the season at a glance, in one file that needs nothing else.

The page carries its charts' program (plotly.js) and its data, both packed with gzip; its content
security policy forbids every request, so that it works offline and tells nobody.  Text is in the
page itself; without JavaScript only charts and decisions are missing.  Names from scenarios and
guests are text wherever they appear: Jinja2 escapes them, and the program writes text only.
"""

from __future__ import annotations

import base64
import gzip
import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from jinja2 import Template
from markupsafe import Markup

from levada.sim.results.baselines import baseline_table
from levada.sim.results.continuum import continuum
from levada.sim.results.grid import grid_sentence
from levada.sim.results.page import style, templates
from levada.sim.results.report_data import BALANCE, ReportedSeason, read_season
from levada.sim.run import stops

__all__ = ["write"]

Json = dict[str, Any]

MOST_SOILS: Final = 4
"""Of a field in which no two are alike."""
_DASH: Final = "–"
_LINK_NAMES: Final = {
    "round_trip_ms": "Round trip [ms]",
    "rtt_ms": "Round trip [ms]",
    "jitter_ms": "Jitter [ms]",
    "loss_pct": "Frames lost [%]",
    "crc_errors": "Frames with a wrong checksum",
    "resyncs": "Times the stream was found again",
    "retransmissions": "Frames sent again",
}


def write(run_dir: Path) -> Path:
    """Write `report.html` of a run directory and return its path.

    Raises RunDirError if the directory is no run, TapeError if its tape cannot be read.
    """
    season = read_season(run_dir)
    path = run_dir / "report.html"
    part = run_dir / "report.html.part"
    part.write_text(_render(season), encoding="utf-8")
    part.replace(path)
    return path


@cache
def _template() -> Template:
    environment = templates().overlay()
    environment.filters = environment.filters | {"num": _num, "small": _scientific}
    return environment.get_template("report.html")


@cache
def _plotly() -> str:
    """The charts' program, packed once for all reports of a process."""
    return _packed((files("plotly") / "package_data" / "plotly.min.js").read_bytes())


def _render(season: ReportedSeason) -> str:
    summary, scenario = season.summary, season.scenario
    several = len(season.balances) > 1
    return _template().render(
        title=str(scenario.get("title") or summary["scenario"]),
        scenario=scenario,
        story=[p for p in str(scenario.get("description", "")).split("\n\n") if p.strip()],
        summary=summary,
        facts=_facts(season),
        verdict=_verdict(summary),
        stops=stops.lines(summary),
        stop_fails=stops.fails(summary),
        glance=_glance(season),
        tiles=_tiles(season),
        expectations=_expectations(season),
        balance=_balance_rows(season),
        energy=_energy(summary),
        use=_use(summary),
        baselines=baseline_table(summary),
        continuum=continuum(summary),
        link=_link(summary.get("link")),
        provenance=_provenance(summary),
        several=several,
        zones=[season.data["zones"][i] | {"index": i} for i in sorted(season.shown)],
        first=season.shown[0] if season.shown else 0,
        hidden_zones=len(season.balances) - len(season.shown),
        profiles=bool(season.data["profiles"]),
        heads=_heads(season),
        data=_packed(json.dumps(season.data, separators=(",", ":"), allow_nan=False).encode()),
        plotly=_plotly(),
        css=style(),
        js=Markup((files("levada.sim.results") / "templates/report.js").read_text("utf-8")),
    )


def _packed(content: bytes) -> str:
    """gzip in base64: a quarter of the size, and nothing in it can end the element it is in."""
    return base64.b64encode(gzip.compress(content, 6, mtime=0)).decode("ascii")


def _num(value: object, digits: int = 0) -> str:
    """1234.5 -> 1,235 (thin spaces between thousands); a dash for what is not known."""
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not math.isfinite(value):
        return _DASH
    text = f"{abs(value):,.{digits}f}".replace(",", "\u202f")
    zero = not text.strip("0.\u202f")
    return f"\u2212{text}" if value < 0 and not zero else text


def _day(ms: int) -> str:
    moment = datetime.fromtimestamp(ms / 1000, UTC)
    return f"{moment.day} {moment:%B %Y}"


def _count(n: float, one: str, many: str = "") -> str:
    return f"{_num(n)} {one if n == 1 else many or one + 's'}"


def _facts(season: ReportedSeason) -> list[str]:
    """Where, when, what, who: one line."""
    data, zones = season.data, season.data["zones"]
    facts = [
        str(season.scenario.get("site", {}).get("name", "")),
        f"{_day(data['start_ms'])} to {_day(data['end_ms'] - 1)}",
        _count(len(zones), "zone"),
    ]
    for key in ("crop", "soil"):
        kinds = sorted({zone[key] for zone in zones if zone[key]})
        facts.append(" / ".join(kinds) if len(kinds) <= 3 else f"{len(kinds)} kinds of {key}")
    guest = season.summary["guest"]
    facts.append(f"guest {guest['name']} {guest['version']}" if guest["name"] else "unnamed guest")
    return [fact for fact in facts if fact]


def _verdict(summary: Json) -> Json:
    expectations = summary["expectations"]
    passed = sum(bool(e["passed"]) for e in expectations)
    if not expectations:
        return {"kind": "none", "text": "Nothing was expected of this run"}
    if all(e["passed"] is None for e in expectations):
        return {"kind": "none", "text": "Interrupted: nothing was judged"}
    if summary["partial"]:  # what is known of it already is that a guest was stopped
        return {"kind": "fail", "text": f"{stops.EXPECTATION}: failed; all else was not judged"}
    kind = "pass" if passed == len(expectations) else "fail"
    return {"kind": kind, "text": f"{passed} of {_count(len(expectations), 'expectation')} passed"}


def _glance(season: ReportedSeason) -> list[str]:
    """The season in a few sentences."""
    summary = season.summary
    several = len(season.balances) > 1
    rain, water = season.mean["rain_mm"], season.mean["irrigation_mm"]
    who = "the average zone" if several else "the field"
    sentences = [
        f"In {_count(float(summary['days']), 'day')} {who} received {_num(rain + water)} mm of "
        f"water: {_num(rain)} mm of rain and {_num(water)} mm of irrigation.",
        f"The crop drank {_num(season.mean['transpiration_mm'])} mm and "
        f"{_num(season.mean['evaporation_mm'])} mm evaporated from the soil; "
        f"{_num(season.mean['drainage_mm'])} mm drained away below and "
        f"{_num(season.mean['runoff_mm'])} mm ran off.",
    ]
    wet = float(summary.get("wet_stress_days", 0.0))
    dry = float(summary["stress_days"]) - wet
    average = " (means of the zones)" if several and (dry or wet) else ""
    sentences.append(
        f"The valve{'s' if several else ''} opened {_count(summary['valve_openings'], 'time')}; "
        f"the crop was short of water {_on_days(dry)} and, in soil too wet, short of air "
        f"{_on_days(wet)}{average}."
    )
    faults = season.data["faults"]
    if faults:
        decisions = season.data["decisions"]
        alarms = sum(
            title.startswith("Alarm")
            for title in (decisions["texts"][i] for i in decisions["title"])
        )
        heard = f"raised {_count(alarms, 'alarm')}" if alarms else "raised no alarm"
        sentences.append(
            f"{_count(len(faults), 'fault was', 'faults were')} injected; the "
            f"guest{'s' if several else ''} {heard}."
        )
    return sentences


def _on_days(days: float) -> str:
    if days == 0:
        return "on no day"
    return f"on {_num(days, 0 if days % 1 == 0 else 1)} {'day' if days == 1 else 'days'}"


def _tiles(season: ReportedSeason) -> list[Json]:
    """Key figures: name, value, unit, note, colour."""
    summary, several = season.summary, len(season.balances) > 1
    et = season.mean["evaporation_mm"] + season.mean["transpiration_mm"]
    share = season.mean["transpiration_mm"] / et * 100 if et > 0 else math.nan
    energy = _energy(summary)
    error = abs(float(summary["balance_error_mm"]))
    longest = float(summary["longest_opening_s"])
    digits = 0 if longest % 60 == 0 and longest < 10_800 else 1
    wet = float(summary.get("wet_stress_days", 0.0))
    dry = float(summary["stress_days"]) - wet
    return [
        {
            "name": "Irrigation",
            "value": _num(season.mean["irrigation_mm"]),
            "unit": "mm",
            "note": f"{_num(summary['water_l'] / 1000, 1)} m³ through the valve{'s' * several}",
            "colour": "water",
        },
        {"name": "Rain", "value": _num(season.mean["rain_mm"]), "unit": "mm", "colour": "rain"},
        {
            "name": "Evapotranspiration",
            "value": _num(et),
            "unit": "mm",
            "note": f"{_num(share)} % through the crop",
            "colour": "crop",
        },
        {
            "name": "Drainage",
            "value": _num(season.mean["drainage_mm"]),
            "unit": "mm",
            "note": "below the soil",
            "colour": "drain",
        },
        {
            "name": "Runoff",
            "value": _num(season.mean["runoff_mm"]),
            "unit": "mm",
            "colour": "runoff",
        },
        {
            "name": "Stress",
            "value": _num(summary["stress_days"], 1 if several else 0),
            "unit": "days",
            "note": f"{_num(dry, int(several))} too dry, {_num(wet, int(several))} too wet",
            "colour": "stress",
        },
        {
            "name": "Valve openings",
            "value": _num(summary["valve_openings"]),
            "unit": "",
            "colour": "water",
        },
        {
            "name": "Longest opening",
            "value": _num(longest / 60 if longest < 10_800 else longest / 3600, digits),
            "unit": "min" if longest < 10_800 else "h",
            "note": "",
            "colour": "water",
        },
        {
            "name": "Energy",
            "value": energy["value"],
            "unit": energy["unit"],
            "note": f"{energy['range']}; {energy['label']}",
            "colour": "energy",
        },
        {
            "name": "Balance error",
            "value": _scientific(error),
            "unit": "mm",
            "note": "water made or lost by the model",
            "colour": "soil",
        },
    ]


def _use(summary: Json) -> list[str]:
    """How well the irrigation was used, a sentence each."""
    use, relative = summary.get("irrigation_use"), summary.get("relative_yield")
    sentences = []
    if use is not None and use["application_efficiency"] is not None:
        sentences.append(
            f"The valve let {_num(use['gross_mm'], 1)} mm pass (gross), of which "
            f"{_num(use['net_mm'], 1)} mm stayed for the crop (net): an application efficiency of "
            f"{_num(100.0 * use['application_efficiency'])} %."
        )
        if use["spray_loss_mm"] > 0.0 or use["interception_mm"] > 0.0:
            sentences.append(
                f"Wind and sun took {_num(use['spray_loss_mm'], 1)} mm of the spray, and "
                f"{_num(use['interception_mm'], 1)} mm dried on the leaves."
            )
        if use.get("uniformity_among_zones") is not None:
            sentences.append(
                "The quarter of the field that got least had "
                f"{_num(100.0 * use['uniformity_among_zones'])} % of the mean irrigation."
            )
    if relative is not None:
        staged = (summary.get("yield") or {}).get("relative_by_stage")
        stages = "" if staged is None else f" ({_num(100.0 * staged, 1)} % stage by stage)"
        sentences.append(
            f"By FAO-33 the crop yields {_num(100.0 * relative, 1)} % of one that was never short "
            f"of water{stages}."
        )
    return sentences


def _scientific(value: float) -> str:
    if not math.isfinite(value):
        return _DASH
    if value == 0:
        return "0"
    if abs(value) >= 0.005:
        return _num(value, 2)
    if value < 0:
        return f"\u2212{_scientific(-value)}"
    exponent = math.floor(math.log10(value))
    superscript = str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"{value / 10**exponent:.0f}·10{superscript}"


def _energy(summary: Json) -> Json:
    """Energy of all nodes with its bounds and the words that belong to it."""
    energy = summary["energy"]
    low, total, high = (float(energy[f"{key}_j"]) for key in ("low", "nominal", "high"))
    unit, factor = ("kJ", 1000.0) if total >= 10_000 else ("J", 1.0)
    digits = 1 if total / factor < 100 else 0
    return {
        "value": _num(total / factor, digits),
        "unit": unit,
        "range": f"{_num(low / factor, digits)} to {_num(high / factor, digits)} {unit}",
        "label": str(energy["label"]),
        "parts": [
            {
                "name": str(name).replace("_", " "),
                "values": [part[f"{key}_j"] for key in ("low", "nominal", "high")],
            }
            for name, part in energy["parts"].items()
        ],
    }


def _expectations(season: ReportedSeason) -> list[Json]:
    names = [zone["name"] for zone in season.data["zones"]]
    return [
        expectation | {"zone": names.index(zone) if zone in names else season.shown[0]}
        for expectation in season.summary["expectations"]
        for zone in [expectation.get("zone")]
    ]


def _balance_rows(season: ReportedSeason) -> list[Json]:
    """One table body a zone, and one of the mean if there are several."""
    bodies = [
        {"zone": i, "name": season.data["zones"][i]["name"], "values": season.balances[i]}
        for i in season.shown
    ]
    if len(season.balances) > 1:
        bodies.insert(0, {"zone": -1, "name": "Mean of all zones", "values": season.mean})
    return [body | {"rows": _terms(body["values"])} for body in bodies]


def _terms(values: Mapping[str, float]) -> Json:
    came = [(name, values[key]) for key, name, sign in BALANCE if sign > 0]
    went = [(name, values[key]) for key, name, sign in BALANCE if sign < 0]
    went.append(("Into the soil (change of storage)", values["storage_change_mm"]))
    went.append(("Balance error", values["balance_error_mm"]))
    return {
        "in": came,
        "out": went,
        "in_sum": sum(value for _, value in came),
        "out_sum": sum(value for _, value in went),
    }


def _link(link: object) -> list[tuple[str, str]]:
    """Link quality as name and value; whatever the link measured is shown."""
    if not isinstance(link, Mapping):
        return []
    rows: list[tuple[str, str]] = []
    for key, value in link.items():
        name = _LINK_NAMES.get(str(key), str(key).replace("_", " "))
        rows.append((name, _plain(value)))
    return rows


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{str(k).replace('_', ' ')} {_plain(v)}" for k, v in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(_plain(v) for v in value)
    return _DASH if value is None else str(value)


def _heads(season: ReportedSeason) -> list[str]:
    """The suctions that count as stress in zones whose soil has suctions, one sentence a crop."""
    said: dict[str, None] = {}
    for zone, shown in zip(season.summary["zones"], season.data["zones"], strict=True):
        if zone.get("feddes_m"):
            h1, h2, high, low, h4 = zone["feddes_m"]
            said[
                f"{shown['crop'] or 'crop'}: too wet above {_metres(h2)}, no uptake above "
                f"{_metres(h1)}; too dry below {_metres(high)} on a day of high demand, below "
                f"{_metres(low)} on one of low demand, no uptake below {_metres(h4)}"
            ] = None
    return list(said)


def _metres(value: float) -> str:
    return f"{value:g} m".replace("-", "\u2212")


def _soils(summary: Json) -> list[str]:
    """What each soil was taken to be, top layer first."""
    said: dict[str, None] = {}
    for zone in summary["zones"]:
        layers = [_layer(layer) for layer in zone.get("soil", [])]
        if layers:
            said["; ".join(layers)] = None
    return list(said)


def _layer(layer: dict[str, float]) -> str:
    """One layer: what it holds and, with Richards' equation, how it conducts and drains."""
    said = (
        f"{layer['thickness_m']:g} m: field capacity {layer['theta_fc']:.3f}, wilting point "
        f"{layer['theta_wp']:.3f}, Ks {layer['ks_m_d']:.3g} m/d"
    )
    if "alpha_per_m" not in layer:
        return said
    said += (
        f", theta_s {layer['theta_s']:.3f}, theta_r {layer['theta_r']:.3f}, alpha "
        f"{layer['alpha_per_m']:.3g} per m, n {layer['n']:.3g}"
    )
    if "theta_m" in layer:
        said += (
            f" of a matrix that holds {layer['theta_m']:.3f} and conducts "
            f"{layer['matrix_ks_m_d']:.3g} m/d"
        )
    return said + (
        f"; drains from saturation to {layer['theta_1_d']:.3f} after 1 d, "
        f"{layer['theta_3_d']:.3f} after 3 d, {layer['theta_10_d']:.3f} after 10 d"
    )


def _provenance(summary: Json) -> list[tuple[str, str]]:
    """What was run, by what, and how to see that it is the same again."""
    guest, weather = summary["guest"], summary["weather"]
    soils, checked = _soils(summary), grid_sentence(summary)
    notes = [*weather.get("notes", []), *(f"filled: {gap}" for gap in weather.get("filled", []))]
    versions = {"levada": summary["levada_version"]} | summary["versions"]
    return [
        ("Scenario", str(summary["scenario"])),
        ("Seed", str(summary["seed"])),
        ("Guest", f"{guest['name']} {guest['version']}, {_num(guest['bytes'])} bytes".strip()),
        ("Guest SHA-256", summary["guest_sha256"]),
        *(("Soil", soil) for soil in soils[:MOST_SOILS]),
        *((("Soil", f"{len(soils) - MOST_SOILS} more"),) if len(soils) > MOST_SOILS else ()),
        *((("Grid check", checked),) if checked else ()),
        *(("Note", str(note)) for note in summary.get("notes", [])),
        ("Weather", "; ".join([str(weather["source"]), *map(str, notes)])),
        ("Weather SHA-256", str(weather["sha256"])),
        ("Tape digest", summary["tape_digest"]),
        ("Trace digest", summary["trace_digest"]),
        ("Versions", _plain(versions)),
        (
            "Speed",
            f"{_num(summary['steps'])} guest steps in {_num(summary['wall_s'], 1)} s: "
            f"{_num(summary['field_days_per_s'])} field-days a second",
        ),
    ]
