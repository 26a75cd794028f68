"""A synthetic run directory for the report: plausible, deterministic, made without the simulator.

The soil is a cascade of cells (what is above field capacity drains, roots draw by depth, the top
cell evaporates), the guest a hysteresis with the safety rules of the shipped one.  Only the file
formats matter here; the tape is packed by hand, so that its reader is tested against the format
and not against its own writer.
"""

from __future__ import annotations

import json
import struct
import zlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cbor2
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from levada.guest.abi import WHY
from levada.sim.run.trace import INDEX, TYPES, TraceWriter
from levada.sim.units import DAY_MS

START_MS = int(datetime(2023, 4, 15, tzinfo=UTC).timestamp() * 1000)
FC, WP, SAT = 0.29, 0.13, 0.43
DRY, WET = 3000, 1200
ON, OFF = 62, 69
ALARMS = (WHY.PROBE_RANGE, WHY.PROBE_STUCK, WHY.PROBE_MISSING, WHY.NO_FLOW, WHY.LEAK)

STORY = (
    "A hundred square metres of maize near Greeley. The probe sticks, the valve clogs, the link "
    "is gone for nine days: the guest must keep the crop alive and never flood it."
)

Fault = dict[str, Any]
FAULTS: list[Fault] = [
    {"kind": "probe_stuck", "zones": [0], "day": 0.30, "days": 6.0, "label": "probe stuck"},
    {"kind": "valve_clog", "zones": [0], "day": 0.52, "days": 4.0, "label": "valve clogged"},
    {"kind": "link_loss", "zones": None, "day": 0.54, "days": 9.0, "label": "link lost"},
    {"kind": "probe_open", "zones": [0], "day": 0.78, "days": 2.0, "label": "probe open circuit"},
]


def _weather(days: int, steps: int, seed: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Rain and ET0 of every step [mm]."""
    rng = np.random.default_rng(seed)
    rain = np.zeros((days, steps))
    et0 = np.zeros((days, steps))
    hours = (np.arange(steps) + 0.5) * 24 / steps
    sun = np.clip(np.sin((hours - 6) / 13 * np.pi), 0, None) * ((hours > 6) & (hours < 19))
    wet = False
    for day in range(days):
        wet = bool(rng.random() < (0.45 if wet else 0.17))
        daily = 4.6 + 2.2 * np.sin((day + 10) / 180 * np.pi) + rng.normal(0, 0.7)
        if wet:
            daily *= 0.6
            hit = rng.integers(steps * 3 // 5, steps - 6)
            rain[day, hit : hit + 5] = rng.gamma(0.7, 9.0) * np.array([0.15, 0.35, 0.25, 0.15, 0.1])
        et0[day] = max(daily, 0.8) * sun / sun.sum()
    return rain.ravel(), et0.ravel()


def _fault_windows(faults: list[Fault], days: int) -> list[tuple[Fault, int, int]]:
    windows = []
    for fault in faults:
        start = START_MS + int(fault["day"] * days) * DAY_MS + 5 * 3_600_000
        windows.append((fault, start, start + int(fault["days"] * DAY_MS)))
    return windows


class _Guest:
    """The guest of one zone, and its tape."""

    def __init__(self, step_s: int) -> None:
        self.step_s = step_s
        self.tape = bytearray()
        self.filtered = -1.0
        self.open_s = 0
        self.pause_s = 10**9
        self.used_s = 0
        self.same = 0
        self.last = -1
        self.valve = 0
        self.why = -1
        self.pct = -1
        self.no_flow = 0
        self.locked = 0

    def _publish(self, topic: bytes, message: dict[str, int], result: int) -> None:
        text = json.dumps(message, separators=(",", ":")).encode()
        self.tape += struct.pack("<BH", 4, len(topic)) + topic
        self.tape += struct.pack("<H", len(text)) + text + struct.pack("<i", result)

    def step(self, time_ms: int, raw: int, flow: int, online: bool, topic: bytes) -> None:
        tape = self.tape
        tape += struct.pack("<BqB", 0, time_ms, 1)
        tape += struct.pack("<Bii", 1, 0, raw)
        tape += struct.pack("<Bii", 1, 3, flow)
        if time_ms % DAY_MS < self.step_s * 1000:
            self.used_s = 0
            self.locked = 0
        self.same = self.same + 1 if raw == self.last and self.valve else 0
        self.last = raw
        why = WHY.HOLD
        valve = self.valve
        if raw < 0:
            why, valve = WHY.PROBE_MISSING, 0
        elif not 200 <= raw <= 4000:
            why, valve = WHY.PROBE_RANGE, 0
        else:
            self.filtered = raw if self.filtered < 0 else self.filtered + (raw - self.filtered) / 4
            self.pct = round(min(max((DRY - self.filtered) / (DRY - WET) * 100, 0), 100))
            self.no_flow = self.no_flow + 1 if self.valve and not flow else 0
            if self.same >= 2:
                self.locked = WHY.PROBE_STUCK
            if self.no_flow >= 1:
                self.locked = WHY.NO_FLOW
            if self.locked:
                why, valve = WHY(self.locked), 0
            elif self.valve and self.pct >= OFF:
                why, valve = WHY.CLOSED_WET, 0
            elif self.valve and self.open_s >= 7200:
                why, valve = WHY.CLOSED_MAX_OPEN, 0
            elif not self.valve and self.pct < ON:
                if self.pause_s < 7200:
                    why = WHY.WAIT_PAUSE
                elif self.used_s >= 4 * 3600:
                    why = WHY.WAIT_DAILY_CAP
                else:
                    why, valve = WHY.OPENED, 1
        if valve:
            self.open_s += self.step_s
            self.used_s += self.step_s
        else:
            self.pause_s = 0 if self.valve else self.pause_s + self.step_s
            self.open_s = 0
        self.valve, self.why = valve, int(why)
        tape += struct.pack("<Bii", 2, 23, valve)
        message = {
            "raw": raw,
            "pct": self.pct,
            "filt": round(self.filtered),
            "on": ON,
            "off": OFF,
            "irrigar": valve,
            "why": self.why,
            "flow": flow,
        }
        self._publish(topic, message, 0 if online else -4)
        tape += struct.pack("<Bi", 16, self.step_s * 1000)


def _range(nominal: float) -> dict[str, float]:
    return {"low_j": 0.8 * nominal, "nominal_j": float(nominal), "high_j": 1.3 * nominal}


def make_run(
    path: Path,
    *,
    zones: int = 1,
    days: int = 60,
    step_s: int = 1800,
    seed: int = 7,
    name: str = "Maize under one valve",
    zone_name: str = "maize",
    faults: list[Fault] | None = None,
    partial: bool = False,
    profile: bool = True,
    link: dict[str, Any] | None = None,
) -> Path:
    """Write scenario.toml, summary.json, trace.parquet, profile.parquet and tape.cbor to `path`."""
    path.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed + 1)
    steps = 86_400 // step_s
    rain, et0 = _weather(days, steps, seed)
    windows = _fault_windows(FAULTS if faults is None else faults, days)
    names = [zone_name if zones == 1 else f"{zone_name}-{i + 1:03d}" for i in range(zones)]

    cells = 24
    edges = np.concatenate([[0.0], np.cumsum(np.geomspace(0.02, 0.12, cells))])
    dz, depth = np.diff(edges) * 1000, (edges[1:] + edges[:-1]) / 2
    fc = FC + rng.normal(0, 0.012, zones)[:, None] * (zones > 1)
    theta = np.repeat(fc * 0.93, cells, axis=1)
    rate = 8.0 * (1 + rng.normal(0, 0.06, zones) * (zones > 1))  # mm/h while open
    guests = [_Guest(step_s) for _ in range(zones)]
    topics = [b"ic/" + (b"z%03d" % i) + b"/data" for i in range(zones)]
    noise = rng.normal(0, 7, (days * steps, zones))
    valve, held, flow = np.zeros(zones), np.zeros(zones), np.zeros(zones, dtype=int)
    battery = np.full(zones, 4050.0)
    probe_cells = (depth > 0.12) & (depth < 0.28)
    rows = np.zeros((zones, len(TYPES)))
    today: list[npt.NDArray[Any]] = []
    profile_rows: list[tuple[npt.NDArray[Any], ...]] = []
    chunks: list[tuple[int, bytes]] = []
    totals = np.zeros((zones, 7))
    per_zone = {k: np.zeros(zones) for k in ("stress", "openings", "start", "energy", "open_s")}
    per_zone["start"] = (theta * dz).sum(axis=1)
    stressed_today = np.zeros(zones, dtype=bool)
    end = int(days * 0.6) if partial else days

    with TraceWriter(path / "trace.parquet") as trace:
        for k in range(end * steps):
            time_ms = START_MS + (k + 1) * step_s * 1000
            day = k // steps
            active = [
                (i, f) for i, (f, t0, t1) in enumerate(windows) if t0 <= time_ms - step_s * 500 < t1
            ]
            bits = np.zeros(zones)
            clog = np.zeros(zones, dtype=bool)
            for i, f in active:
                which = range(zones) if f["zones"] is None else f["zones"]
                for z in which:
                    bits[z] += 1 << i
                    clog[z] |= f["kind"] == "valve_clog"
            zr = min(0.25 + 0.85 * day / (0.45 * days), 1.1)
            cover = min(max((day / days - 0.08) / 0.4, 0.02), 0.92)
            root = np.clip((zr - edges[:-1]) / np.diff(edges), 0, 1) * dz
            water = rain[k] + np.where(clog, 0.0, valve * rate * step_s / 3600)
            irrigation = np.where(clog, 0.0, valve * rate * step_s / 3600)
            runoff = np.maximum(water - 30.0 * step_s / 3600, 0)
            rest = water - runoff
            for full in (fc, SAT):  # piston flow: fill to field capacity, then the pores above
                room = np.maximum(full - theta, 0) * dz
                filled = np.clip(rest[:, None] - (room.cumsum(axis=1) - room), 0, room)
                theta += filled / dz
                rest = rest - filled.sum(axis=1)
            taw = ((fc - WP) * root).sum(axis=1)
            dr = np.maximum(((fc - theta) * root).sum(axis=1), 0)
            ks = np.clip((taw - dr) / (0.5 * taw), 0, 1)
            transpiration = 1.15 * cover * et0[k] * ks
            weight = root * np.exp(-2 * depth / zr) * np.clip((theta - WP) / 0.06, 0, 1)
            weight /= np.maximum(weight.sum(axis=1, keepdims=True), 1e-9)
            theta -= transpiration[:, None] * weight / dz
            evaporation = np.minimum(
                1.05 * (1 - cover) * et0[k], np.maximum(theta[:, 0] - WP / 2, 0) * dz[0] * 0.25
            )
            theta[:, 0] -= evaporation / dz[0]
            excess = np.maximum(theta - fc, 0) * dz
            q = excess * min(0.25 * step_s / 1800, 0.5)
            theta -= q / dz
            theta[:, 1:] += q[:, :-1] / dz[1:]
            drainage = q[:, -1]
            truth = theta[:, probe_cells].mean(axis=1)
            counts = np.rint(DRY - (truth - 0.06) / 0.32 * (DRY - WET) + noise[k])
            flow = np.where(clog, 0, valve * rate * step_s / 60).astype(int)
            online = np.ones(zones, dtype=bool)
            for _, f in active:
                for z in range(zones) if f["zones"] is None else f["zones"]:
                    if f["kind"] == "probe_stuck":
                        counts[z] = held[z]
                    elif f["kind"] == "probe_open":
                        counts[z] = 4095
                    elif f["kind"] == "link_loss":
                        online[z] = False
            held = counts.copy()
            before = valve.copy()
            for z, guest in enumerate(guests):
                guest.step(time_ms, int(counts[z]), int(flow[z]), bool(online[z]), topics[z])
                valve[z] = guest.valve
            per_zone["openings"] += valve > before
            per_zone["open_s"] += before * step_s
            energy = 0.9 + 1.1 * valve + 0.2 * rng.random(zones)
            per_zone["energy"] += energy
            battery -= energy * 0.0045
            stressed_today |= ks < 0.999
            if (k + 1) % steps == 0:
                per_zone["stress"] += stressed_today
                stressed_today[:] = False
                for z, guest in enumerate(guests):
                    chunks.append((z, bytes(guest.tape)))
                    guest.tape.clear()

            fluxes = (rain[k], irrigation, evaporation, transpiration, drainage, runoff, et0[k])
            for i, flux in enumerate(fluxes):
                totals[:, i] += flux
            span = root.sum()
            values: dict[str, Any] = {
                "time_ms": time_ms,
                "zone": np.arange(zones),
                "storage_mm": (theta * dz).sum(axis=1),
                "theta_root": (theta * root).sum(axis=1) / span,
                "theta_fc_root": fc[:, 0],
                "theta_stress_root": fc[:, 0] - 0.5 * (fc[:, 0] - WP),
                "dr_mm": dr,
                "taw_mm": taw,
                "raw_mm": taw / 2,
                "ks": ks,
                "zr_m": zr,
                "theta_probe": truth,
                "head_probe_m": np.nan,
                "counts": counts,
                "temp_c": 18.0,
                "battery_mv": battery,
                "flow_pulses": flow,
                "flow_l": flow / 5,
                "valve_commanded": valve,
                "valve_open": valve,
                "valve_open_s": before * step_s,
                "valve_run_s": before * step_s,
                "energy_j": energy,
                "steps": 1,
                "pct": [g.pct for g in guests],
                "why": [g.why for g in guests],
                "online": online,
                "fault": bits,
            }
            names_of_fluxes = ("rain", "irrigation", "evaporation", "transpiration")
            names_of_fluxes += ("drainage", "runoff", "et0")
            values |= {f"{n}_mm": f for n, f in zip(names_of_fluxes, fluxes, strict=True)}
            for column, value in values.items():
                rows[:, INDEX[column]] = value
            today.append(rows.copy())
            if (k + 1) % steps == 0:
                trace.write(np.concatenate(today))
                today.clear()
            if profile and (k + 1) % (steps // 4) == 0:
                for z in range(min(zones, 2)):
                    full = np.full(cells, 1)
                    profile_rows.append((full * time_ms, full * z, depth, theta[z].copy()))
        digest = trace.digest()

    with (path / "tape.cbor").open("wb") as file:
        cbor2.dump(
            {
                "format": "levada-tape",
                "version": 1,
                "guest_sha256": "5f" * 32,
                "zones": names,
                "start_ms": START_MS,
            },
            file,
        )
        for zone, data in chunks:
            cbor2.dump([zone, zlib.compress(data)], file)
    if profile:
        time, zone_, z_m, th = (np.concatenate(c) for c in zip(*profile_rows, strict=True))
        table = pa.table(
            {
                "time_ms": time.astype("i8"),
                "zone": zone_.astype("i2"),
                "depth_m": z_m.astype("f4"),
                "theta": th.astype("f4"),
            }
        )
        pq.write_table(table, path / "profile.parquet")

    change = (theta * dz).sum(axis=1) - per_zone["start"]
    keys = ("rain", "irrigation", "evaporation", "transpiration", "drainage", "runoff")
    zone_summaries = []
    for z in range(zones):
        balance = {f"{key}_mm": float(totals[z, i]) for i, key in enumerate(keys)}
        balance["et_mm"] = balance["evaporation_mm"] + balance["transpiration_mm"]
        balance["storage_change_mm"] = float(change[z])
        balance["balance_error_mm"] = (
            balance["rain_mm"]
            + balance["irrigation_mm"]
            - balance["et_mm"]
            - balance["drainage_mm"]
            - balance["runoff_mm"]
            - balance["storage_change_mm"]
        )
        zone_summaries.append(
            {"name": names[z]}
            | balance
            | {
                "stress_days": int(per_zone["stress"][z]),
                "valve_openings": int(per_zone["openings"][z]),
                "energy_j": float(per_zone["energy"][z]),
            }
        )

    def mean(key: str) -> float:
        return float(np.mean([z[key] for z in zone_summaries]))

    summary: dict[str, Any] = {
        "scenario": name,
        "seed": seed,
        "guest_sha256": "5f" * 32,
        "tape_digest": "a1" * 32,
        "trace_digest": digest,
        "start": datetime.fromtimestamp(START_MS / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S"),
        "days": end,
        "steps": end * steps * zones,
        **{f"{k}_mm": mean(f"{k}_mm") for k in (*keys, "et", "storage_change", "balance_error")},
        "stress_days": mean("stress_days"),
        "valve_openings": int(per_zone["openings"].sum()),
        "energy_j": float(per_zone["energy"].sum()),
        "longest_opening_s": 7200.0,
        "water_l": float(totals[:, 1].sum() * 100),
        "energy": {
            "label": "model, not measured",
            **_range(per_zone["energy"].sum()),
            "parts": {"sleep": _range(900.0), "radio": _range(per_zone["energy"].sum() - 900.0)},
        },
        "expectations": [
            {"name": "no trap", "passed": True, "detail": "no guest was stopped"},
            {
                "name": "valve never open longer than 2 h",
                "passed": True,
                "detail": "longest opening 120 min on 2023-06-02 04:30",
            },
            {
                "name": "stress on at most 3 days",
                "passed": False,
                "detail": f"{int(per_zone['stress'].max())} days, the first on 2023-05-09 14:00",
                "time_ms": START_MS + 24 * DAY_MS + 14 * 3_600_000,
                "zone": names[0],
            },
            {"name": "water used below 400 mm", "passed": True, "detail": "within the limit"},
        ],
        "wall_s": 2.31,
        "field_days_per_s": 1234.0,
        "zones": zone_summaries,
        "weather": {"source": "made-up.csv", "sha256": "c3" * 32, "filled": [], "notes": []},
        "levada_version": "0.1.0",
        "versions": {"wasmtime": "50.0.1", "numpy": "2.4.6"},
        "guest": {"name": "irrigation", "version": "1.0.0", "bytes": 4210},
        "link": link,
        "partial": partial,
        "faults": [
            {
                "kind": f["kind"],
                "effect": "",
                "magnitude": None,
                "zones": [names[z] for z in f["zones"] or range(zones)],
                "start_ms": t0,
                "end_ms": t1,
                "label": f["label"],
            }
            for f, t0, t1 in windows
        ],
    }
    for expectation in summary["expectations"]:
        expectation.setdefault("time_ms", None)
        expectation.setdefault("zone", None)
        if partial:  # as `levada.sim.run.runner` has it
            detail = "not judged: the run was interrupted"
            expectation |= {"passed": None, "detail": detail, "time_ms": None, "zone": None}
    (path / "summary.json").write_text(json.dumps(summary, indent=2), encoding="utf-8")
    (path / "scenario.toml").write_text(
        f"""version = 1
name = {json.dumps(name)}
title = {json.dumps(name)}
description = {json.dumps(STORY)}
seed = {seed}

[site]
name = "Greeley, Colorado"
latitude_deg = 40.45
longitude_deg = -104.64
elevation_m = 1427.0

[period]
start = 2023-04-15
end = {datetime.fromtimestamp((START_MS + (days - 1) * DAY_MS) / 1000, UTC).date()}
step_s = {step_s}

[[zone]]
name = {json.dumps(zone_name)}
count = {zones}
area_m2 = 100.0
[zone.soil]
model = "richards"
texture = "loam"
[zone.crop]
name = "maize"
[zone.probe]
depth_m = 0.2
""",
        encoding="utf-8",
    )
    return path
