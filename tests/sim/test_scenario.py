from __future__ import annotations

import datetime
import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st

from levada.guest.limits import Budget
from levada.guest.module.inspect import inspect
from levada.guest.module.metadata import Parameter
from levada.guest.shipped import DEFAULT_GUEST
from levada.guest.text.plain import UNPRINTABLE
from levada.sim.run import runner
from levada.sim.scenario import docs as scenario_docs
from levada.sim.scenario.diagnostics import Problem, ScenarioError
from levada.sim.scenario.dump import dump, pinned, sha256_of
from levada.sim.scenario.expand import expand
from levada.sim.scenario.load import load, read
from levada.sim.scenario.model import Scenario

ROOT = Path(__file__).resolve().parents[2]
SCENARIOS = sorted((ROOT / "levada/scenarios").glob("*.toml"))
WEATHER = ROOT / "levada/scenarios" / "weather" / "greeley_co_2023_daily.csv"

BASE = """\
version = 1
name = "test"
[site]
latitude_deg = 40
longitude_deg = -104
elevation_m = 1400
utc_offset_h = -7
[period]
start = 2023-05-01
end = 2023-05-31
[weather]
file = "weather.csv"
[[zone]]
name = "north"
soil.model = "bucket"
soil.texture = "loam"
[zone.crop]
name = "maize"
planting = 2023-05-02
"""
"""Nineteen lines; what a test adds starts at line 20."""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "weather.csv").write_bytes(WEATHER.read_bytes())
    return tmp_path


def guest_parameters(file: str | Path = DEFAULT_GUEST) -> dict[str, Parameter]:
    metadata = inspect(Path(file).read_bytes()).metadata
    assert metadata is not None
    return {parameter.name: parameter for parameter in metadata.parameters}


def write(directory: Path, text: str) -> Path:
    path = directory / "s.toml"
    path.write_text(text, "utf-8")
    return path


def problems(directory: Path, text: str, **options: Any) -> list[Problem]:
    with pytest.raises(ScenarioError) as caught:
        load(write(directory, text), **options)
    return list(caught.value.problems)


def place(problem: Problem) -> tuple[int, int, str, str]:
    return problem.line, problem.column, problem.message, problem.hint


class TestShippedScenarios:
    @pytest.mark.parametrize("path", SCENARIOS, ids=lambda p: p.stem)
    def test_loads_and_tells_a_story_with_expectations(self, path: Path) -> None:
        scenario = load(path)
        assert scenario.name == path.stem
        assert len(scenario.description) > 100
        assert len(scenario.expect) >= 3

    @pytest.mark.parametrize("path", SCENARIOS, ids=lambda p: p.stem)
    def test_asks_of_the_shipped_guest_only_what_it_accepts(self, path: Path) -> None:
        document = read(path)
        file = document.scenario.guest.file or DEFAULT_GUEST
        assert document.check_parameters(guest_parameters(file)) == []

    @pytest.mark.parametrize("path", SCENARIOS, ids=lambda p: p.stem)
    def test_comes_back_equal_after_it_was_written_out(self, path: Path, tmp_path: Path) -> None:
        scenario = load(path)
        copy = tmp_path / "run" / "scenario.toml"
        copy.parent.mkdir()
        copy.write_text(dump(scenario, copy.parent), "utf-8")
        assert load(copy) == scenario

    @pytest.mark.parametrize("path", SCENARIOS, ids=lambda p: p.stem)
    def test_fits_the_json_schema(self, path: Path) -> None:
        schema = json.loads((ROOT / "levada/scenarios/levada.schema.json").read_text("utf-8"))
        data = json.loads(json.dumps(tomllib.loads(path.read_text("utf-8")), default=str))
        import jsonschema  # takes four seconds

        jsonschema.Draft202012Validator(schema).validate(data)

    def test_there_are_the_eight_that_were_promised(self) -> None:
        names = {path.stem for path in SCENARIOS}
        assert names >= {
            "quickstart",
            "dry-spell",
            "storm",
            "stuck-probe",
            "stuck-valve",
            "power-loss",
            "sandy-soil",
            "fleet-100",
        }


class TestGeneratedPages:
    def test_docs_scenario_md_is_current(self) -> None:
        assert scenario_docs.PAGE.read_text("utf-8") == scenario_docs.page()

    def test_the_schema_is_current(self) -> None:
        assert json.loads(scenario_docs.SCHEMA.read_text("utf-8")) == scenario_docs.schema()

    def test_the_schema_refuses_what_the_models_refuse(self) -> None:
        import jsonschema

        validator = jsonschema.Draft202012Validator(scenario_docs.schema())
        data = json.loads(json.dumps(tomllib.loads(BASE), default=str))
        validator.validate(data)
        data["zone"][0]["valve"] = {"flow_l_min": 0, "colour": "red"}
        data["fault"] = [{"kind": "probe-drift", "start": "1 d"}]
        data["expect"] = [{"name": "x", "kind": "total"}]
        found = sorted(".".join(map(str, error.path)) for error in validator.iter_errors(data))
        assert found == ["expect.0", "fault.0", "zone.0.valve", "zone.0.valve.flow_l_min"]

    def test_every_key_is_described(self) -> None:
        lacking = [
            f"{name}.{key}"
            for name, table in scenario_docs.schema()["$defs"].items()
            for key, field in table.get("properties", {}).items()
            if not field.get("description")
        ]
        assert lacking == []


REFUSED: list[tuple[str, str, list[tuple[int, int, str, str]]]] = [
    (
        "a table that does not exist",
        "[zones]\n",
        [(20, 1, "unknown key `zones`", "did you mean `zone`?")],
    ),
    (
        "a key that is misspelt",
        "[zone.valve]\nflow_lmin = 5\n",
        [(21, 1, "unknown key `flow_lmin`", "did you mean `flow_l_min`?")],
    ),
    (
        "a number out of range, with its unit",
        "[zone.valve]\nflow_l_min = -2.5\n",
        [
            (
                21,
                14,
                "`flow_l_min` = -2.5 L/min: permitted above 0 and at most 100000 L/min",
                "",
            )
        ],
    ),
    (
        "text where a number belongs",
        '[zone.probe]\ndepth_m = "0.2"\n',
        [(21, 11, '`depth_m` = "0.2": must be a number [m], this is text', "")],
    ),
    (
        "a fraction where a whole number belongs",
        "[zone.probe]\nadc_bits = 10.5\n",
        [(21, 12, "`adc_bits` = 10.5: must be a whole number, this is a number", "")],
    ),
    (
        "true where a number belongs",
        "[zone.probe]\nnoise_counts = true\n",
        [
            (
                21,
                16,
                "`noise_counts` = true: must be a number [counts], this is true or false",
                "",
            )
        ],
    ),
    (
        "not a number",
        "[zone.probe]\nnoise_counts = nan\n",
        [(21, 16, "`noise_counts` = nan: must be a finite number", "")],
    ),
    (
        "an unknown choice",
        '[zone.valve]\nmethod = "sprinkle"\n',
        [
            (
                21,
                10,
                '`method` = "sprinkle": permitted "drip", "sprinkler", "basin"',
                "did you mean `sprinkler`?",
            )
        ],
    ),
    (
        "two descriptions of one soil",
        "[zone.probe]\n[[zone]]\nname = 'b'\nsoil = {sand_pct = 30, theta_fc = 0.3}\n"
        "crop = {name = 'maize', planting = 2023-05-02}\n",
        [
            (
                23,
                8,
                "a soil is described in exactly one way: found `sand_pct`, `silt_pct`, `clay_pct` "
                "and `theta_fc`, `theta_wp`",
                "`texture`; or `sand_pct`, `silt_pct`, `clay_pct`; or `theta_fc`, `theta_wp`; "
                "or `[[zone.soil.layer]]`",
            ),
            (23, 20, "`sand_pct` needs `silt_pct` and `clay_pct` too", ""),
            (23, 35, "`theta_fc` needs `theta_wp` too", ""),
        ],
    ),
    (
        "fractions that are no soil",
        "[[zone]]\nname = 'b'\nsoil = {sand_pct = 50, silt_pct = 30, clay_pct = 30}\n"
        "crop = {name = 'maize', planting = 2023-05-02}\n",
        [
            (
                22,
                20,
                "`sand_pct` + `silt_pct` + `clay_pct` = 110 %: permitted 99 to 101 %",
                "",
            )
        ],
    ),
    (
        "a wilting point above field capacity",
        "[[zone]]\nname = 'b'\nsoil = {theta_fc = 0.2, theta_wp = 0.3}\n"
        "crop = {name = 'maize', planting = 2023-05-02}\n",
        [(22, 20, "`theta_fc` = 0.2: must be at least 0.01 above `theta_wp` = 0.3", "")],
    ),
    (
        "a layer that cannot drain",
        "[[zone]]\nname = 'b'\ncrop = {name = 'maize', planting = 2023-05-02}\n"
        "[[zone.soil.layer]]\nthickness_m = 1\ntheta_r = 0.3\ntheta_s = 0.2\n"
        "alpha_per_m = 3\nn = 1.5\nks_m_d = 0.2\n",
        [(26, 11, "`theta_s` = 0.2: must be above `theta_r` = 0.3", "")],
    ),
    (
        "three values for two depths",
        "[[zone]]\nname = 'b'\ncrop = {name = 'maize', planting = 2023-05-02}\n"
        "soil.texture = 'sand'\nsoil.initial.theta = [0.1, 0.2, 0.3]\n"
        "soil.initial.depth_m = [0.1, 0.5]\n",
        [(24, 22, "`theta` has 3 values for 2 depths", "")],
    ),
    (
        "a crop that no table knows",
        "[[zone]]\nname = 'b'\nsoil.texture = 'sand'\n"
        "crop = {name = 'mais', planting = 2023-05-02}\n",
        [(23, 16, '`name` = "mais": not a crop of the table', "did you mean `maize`?")],
    ),
    (
        "a crop without name and numbers",
        "[[zone]]\nname = 'b'\nsoil.texture = 'sand'\ncrop = {planting = 2023-05-02}\n",
        [
            (
                23,
                8,
                "a crop without `name` needs `stages`, `kcb_ini`, `kcb_mid`, `kcb_end`, "
                "`height_max_m`, `zr_max_m`, `depletion_fraction`",
                "",
            )
        ],
    ),
    (
        "planting after the harvest of the run",
        "[[zone]]\nname = 'b'\nsoil.texture = 'sand'\n"
        "crop = {name = 'maize', planting = 2024-05-02}\n",
        [(23, 36, "`planting` = 2024-05-02: after the period, which ends 2023-05-31", "")],
    ),
    (
        "a probe below the soil",
        "[zone.probe]\ndepth_m = 1.98\n",
        [
            (
                21,
                11,
                "`depth_m` = 1.98 m: the probe, 0.05 m to either side, would reach below the soil, "
                "0 to 2 m",
                "",
            )
        ],
    ),
    (
        "suction from a model that has none",
        '[zone.probe]\nkind = "tensiometer"\n',
        [
            (
                21,
                8,
                '`kind` = "tensiometer": the bucket has no suction',
                'set model = "richards" in [zone.soil]',
            )
        ],
    ),
    (
        "one zone name twice",
        "[[zone]]\nname = 'north'\nsoil.texture = 'sand'\n"
        "crop = {name = 'maize', planting = 2023-05-02}\n",
        [(21, 8, "the zone name `north` is used twice", "")],
    ),
    (
        "a node that is none",
        '[[zone]]\nname = "b"\nsoil.texture = "sand"\nnode = "usb0"\n'
        "crop = {name = 'maize', planting = 2023-05-02}\n",
        [
            (
                23,
                8,
                '`node` = "usb0": unknown kind of node `usb0`: permitted sim, virtual, '
                "virtual:ENGINE?trust=KEY&flash=FILE, serial:PORT?baud=N (any pyserial URL), "
                "mqtt://HOST/PREFIX/NODE",
                "",
            )
        ],
    ),
    (
        "one port for two zones",
        '[[zone]]\nname = "b"\nsoil.texture = "sand"\ncount = 2\nnode = "serial:/dev/ttyUSB0"\n'
        "crop = {name = 'maize', planting = 2023-05-02}\n",
        [
            (
                24,
                8,
                "zones b-001 and b-002 have one and the same node /dev/ttyUSB0",
                "give one zone alone a node by its name: --node ZONE=NODE, or `nodes` in [[zone]]",
            )
        ],
    ),
    (
        "nodes that are none, for zones that are not there",
        '[[zone]]\nname = "b"\nsoil.texture = "sand"\ncount = 2\nnodes.b-001 = "sim:x"\n'
        "nodes.b-003 = 'sim'\ncrop = {name = 'maize', planting = 2023-05-02}\n",
        [
            (24, 15, '`b-001` = "sim:x": `sim` takes nothing after it', ""),
            (25, 15, "no zone `b-003` in this table: it has b-001 to b-002", ""),
        ],
    ),
    (
        "a spread of something that is not set",
        "[zone.spread]\nvalve.flow_lmin = 0.1\nprobe.wet_counts = 2\n",
        [
            (
                21,
                19,
                "`valve.flow_lmin` is not a number that is set in this zone",
                "did you mean `valve.flow_l_min`?",
            ),
            (22, 20, "`probe.wet_counts` = 2: permitted 0 to 1", ""),
        ],
    ),
    (
        "a fault of an unknown kind",
        '[[fault]]\nkind = "probe-stick"\nstart = "1 d"\n',
        [
            (
                21,
                8,
                '`kind` = "probe-stick": permitted "probe-stuck", "probe-drift", "probe-spike", '
                '"probe-open", "valve-stuck-open", "valve-stuck-closed", "valve-leak", '
                '"valve-clog", "meter-dead", "meter-slip", "meter-noise", "command-loss", '
                '"reboot", "keep-loss", "reinstall", "brown-out", "clock-skew", '
                '"clock-unset", "link-loss"',
                "did you mean `probe-stuck`?",
            )
        ],
    ),
    (
        "a fault in a zone that is not there",
        '[[fault]]\nkind = "probe-stuck"\nzones = ["nort"]\nstart = "1 d"\n',
        [(22, 10, "no zone fits `nort`", "did you mean `north`?")],
    ),
    (
        "a fault outside the period",
        '[[fault]]\nkind = "probe-stuck"\nstart = 2023-06-01\n'
        '[[fault]]\nkind = "probe-stuck"\nstart = "30 d"\nduration = "36 h"\n',
        [
            (
                22,
                9,
                "`start` = 2023-06-01 00:00:00: outside the period, 2023-05-01 to 2023-05-31 "
                "(31 d)",
                "",
            ),
            (
                26,
                12,
                "`duration` = 1 d 12 h: ends 12 h after the period",
                "leave `duration` out for a fault that lasts to the end",
            ),
        ],
    ),
    (
        "a magnitude without its unit",
        '[[fault]]\nkind = "probe-drift"\nstart = "1 d"\nmagnitude = "40"\n',
        [
            (
                23,
                13,
                '`magnitude` = "40": a unit is missing: write the number with one of counts/d, '
                "counts/h",
                "",
            )
        ],
    ),
    (
        "a magnitude that is missing, one too many, one too large",
        '[[fault]]\nkind = "valve-clog"\nstart = "1 d"\n'
        '[[fault]]\nkind = "reboot"\nstart = "1 d"\nmagnitude = "3 s"\n'
        '[[fault]]\nkind = "valve-leak"\nstart = "1 d"\nmagnitude = "120 %"\n',
        [
            (20, 1, "`magnitude` is missing: valve-clog needs one in %", ""),
            (26, 13, "`magnitude`: reboot has none, leave it out", ""),
            (30, 13, '`magnitude` = "120 %": permitted 0 to 100 %', ""),
        ],
    ),
    (
        "a duration in unknown units, and one that is a number",
        '[[fault]]\nkind = "probe-stuck"\nstart = "1 day"\nduration = 3\n',
        [
            (
                22,
                9,
                '`start` = "1 day": unknown unit of time `day`: write a duration such as "20 min", '
                '"36 h" or "12 d 6 h" (d, h, min, s)',
                "",
            ),
            (
                23,
                12,
                '`duration` = 3: must be a text with its unit such as "20 min", "36 h" or '
                '"12 d 6 h" (d, h, min, s)',
                "",
            ),
        ],
    ),
    (
        "a time with a UTC offset",
        '[[fault]]\nkind = "probe-stuck"\nstart = 2023-05-03T12:00:00Z\n',
        [
            (
                22,
                9,
                "`start` = 2023-05-03T12:00:00+00:00: times are local standard time of the site: "
                "leave the UTC offset out",
                "",
            )
        ],
    ),
    (
        "two faults that contradict each other",
        '[[fault]]\nkind = "valve-stuck-open"\nstart = "1 d"\n'
        '[[fault]]\nkind = "valve-stuck-closed"\nstart = "3 d"\n',
        [(25, 9, "valve-stuck-closed overlaps valve-stuck-open in zone north", "")],
    ),
    (
        "an expectation with an unknown signal",
        '[[expect]]\nname = "a"\nkind = "never"\nthat = "valve_opn"\n',
        [
            (
                23,
                8,
                '`that` = "valve_opn", character 1: unknown signal `valve_opn`',
                "did you mean `valve_open`?",
            )
        ],
    ),
    (
        "an expectation that mixes units",
        '[[expect]]\nname = "a"\nkind = "never"\nthat = "dr_mm > theta_root"\n',
        [
            (
                23,
                8,
                '`that` = "dr_mm > theta_root", character 1: units differ: mm and m3/m3',
                "",
            )
        ],
    ),
    (
        "an expectation with keys of another kind",
        '[[expect]]\nname = "a"\nkind = "total"\nof = "irrigation_mm"\nwithin = "6 h"\n',
        [
            (20, 1, "`above` or `below` is missing: kind `total` needs a limit", ""),
            (
                24,
                10,
                "`within` does not go with `total`",
                "allowed: `of`, `above`, `below`, `per`, `zones`, `start`, `end`",
            ),
        ],
    ),
    (
        "a total of something that is no amount",
        '[[expect]]\nname = "a"\nkind = "total"\nof = "storage_mm"\nbelow = 3\n',
        [
            (
                23,
                6,
                "`storage_mm` is a state: adding up its rows means nothing",
                'use kind = "mean"',
            )
        ],
    ),
    (
        "a time shorter than the trace can show",
        '[[expect]]\nname = "a"\nkind = "never"\nthat = "valve_open"\nlonger_than = "5 min"\n',
        [
            (
                24,
                15,
                "`longer_than` = 5 min: the trace has a row every 600 s and cannot show it",
                "set `record_s` in [period] to less",
            )
        ],
    ),
    (
        "an expectation after a fault that does not come",
        '[[expect]]\nname = "a"\nkind = "happens"\nthat = "why == LEAK"\nafter = "leak"\n'
        '[[fault]]\nkind = "valve-leak"\nstart = "3 d"\nmagnitude = "5 %"\n',
        [(24, 9, "no fault is called `leak`", "did you mean `valve-leak`?")],
    ),
    (
        "a recovery from a fault that does not end",
        '[[expect]]\nname = "a"\nkind = "recovers"\nthat = "ks == 1"\nwithin = "6 h"\n'
        'after = "probe-stuck"\n[[fault]]\nkind = "probe-stuck"\nstart = "3 d"\n',
        [
            (
                25,
                9,
                "probe-stuck ends too late: less than 6 h before the end of the period",
                "",
            )
        ],
    ),
    (
        "suction where there is none",
        '[[expect]]\nname = "a"\nkind = "always"\nthat = "head_probe_m > -3"\n',
        [
            (
                23,
                8,
                "`head_probe_m`: the bucket of zone north has no suction",
                'set model = "richards" in [zone.soil]',
            )
        ],
    ),
]


class TestMalformedScenarios:
    @pytest.mark.parametrize(
        ("added", "expected"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED]
    )
    def test_are_refused_with_place_reason_and_hint(
        self, directory: Path, added: str, expected: list[tuple[int, int, str, str]]
    ) -> None:
        assert [place(p) for p in problems(directory, BASE + added)] == expected

    @pytest.mark.parametrize(
        ("old", "new", "expected"),
        [
            (
                "version = 1\n",
                "",
                [(0, 0, "`version` is missing: this levada reads version = 1", "")],
            ),
            (
                "version = 1",
                "version = 2",
                [(1, 11, "`version` = 2: this levada reads version 1", "")],
            ),
            (
                'name = "test"',
                'name = "My Test"',
                [
                    (
                        2,
                        8,
                        '`name` = "My Test": not permitted',
                        "Short name, for directories and reports: small letters, digits and `-`",
                    )
                ],
            ),
            (
                "latitude_deg = 40\n",
                "",
                [(3, 1, "`latitude_deg` is missing", "North is positive")],
            ),
            (
                "end = 2023-05-31",
                "end = 2023-04-30\nstep_s = 700",
                [
                    (10, 7, "`end` = 2023-04-30: before `start` = 2023-05-01", ""),
                    (11, 10, "`step_s` = 700 s: must divide 3600 s", "600 does"),
                ],
            ),
            (
                "end = 2023-05-31",
                "end = 2023-05-31T12:00:00",
                [
                    (
                        10,
                        7,
                        "`end` = 2023-05-31T12:00:00: must be a date such as 2023-04-15, "
                        "this is a date with a time",
                        "",
                    )
                ],
            ),
            (
                'file = "weather.csv"',
                "",
                [(11, 1, "exactly one of `file` and `generator` is needed: found none", "")],
            ),
            (
                "[[zone]]\n",
                "[zone]\n",
                [
                    (
                        13,
                        1,
                        "`zone`: must be an array of tables, written [[zone]], this is a table",
                        "",
                    )
                ],
            ),
            (
                "start = 2023-05-01",
                "start = 2023-05-01\nstart = 2023-05-02",
                [(10, 19, "not TOML: cannot overwrite a value", "")],
            ),
            (
                'name = "test"',
                'name = "test',
                [(2, 13, "not TOML: illegal character '\\n'", "")],
            ),
        ],
    )
    def test_name_what_is_missing_or_broken(
        self, directory: Path, old: str, new: str, expected: list[tuple[int, int, str, str]]
    ) -> None:
        assert BASE.count(old) == 1
        assert [place(p) for p in problems(directory, BASE.replace(old, new))] == expected

    def test_say_how_long_a_text_may_be(self, directory: Path) -> None:
        long = f'version = 1\ntitle = "{"a" * 201}"'
        [found] = problems(directory, BASE.replace("version = 1", long))
        assert place(found)[2].endswith(": permitted at most 200 characters")

    def test_every_problem_is_reported_at_once_even_those_between_good_tables(
        self, directory: Path
    ) -> None:
        text = BASE.replace("latitude_deg = 40", "latitude_deg = 400") + (
            '[[fault]]\nkind = "reboot"\nstart = "40 d"\n'
            '[[expect]]\nname = "a"\nkind = "never"\nthat = "trap != NONE"\nwithin = "1 h"\n'
        )
        found = [(p.line, p.message.split(":")[0]) for p in problems(directory, text)]
        assert found == [
            (4, "`latitude_deg` = 400 deg"),
            (22, "`start` = 40 d"),
            (27, "`within` does not go with `never`"),
        ]

    def test_are_printed_as_compilers_do(self, directory: Path) -> None:
        path = write(directory, BASE.replace("loam", "lome"))
        with pytest.raises(ScenarioError) as caught:
            load(path)
        lines = str(caught.value).splitlines()
        assert lines[0].startswith(f'{path}:16:16: `texture` = "lome": permitted "sand", ')
        assert lines[1:] == [
            '   16 | soil.texture = "lome"',
            "      |                ^^^^^^",
            "      = did you mean `loam`?",
            "1 problem",
        ]

    def test_a_missing_weather_file_is_named_with_its_full_path(self, directory: Path) -> None:
        text = BASE.replace("weather.csv", "wether.csv")
        assert [place(p) for p in problems(directory, text)] == [
            (12, 8, '`file` = "wether.csv": no such file', str(directory / "wether.csv"))
        ]

    def test_another_weather_file_than_the_pinned_one_is_refused(self, directory: Path) -> None:
        digest = "0" * 64
        text = BASE.replace('"weather.csv"', f'"weather.csv"\nsha256 = "{digest}"')
        actual = sha256_of(WEATHER)
        assert [place(p) for p in problems(directory, text)] == [
            (
                13,
                10,
                f"weather.csv is not the file that is pinned: its SHA-256 is {actual}",
                "",
            )
        ]

    def test_a_file_that_is_not_there_or_not_text_is_one_problem(self, directory: Path) -> None:
        path = directory / "s.toml"
        with pytest.raises(ScenarioError, match="cannot be read: No such file or directory"):
            load(path)
        path.write_bytes(b"version = 1\nname = '\xff'\n")
        with pytest.raises(ScenarioError, match="not UTF-8: byte 0xff in line 2"):
            load(path)

    def test_a_parameter_the_guest_does_not_accept_is_named_with_the_range(
        self, directory: Path
    ) -> None:
        document = read(
            write(directory, BASE + "[zone.parameters]\nmax_open = 60\nmin_pause_s = -1\n")
        )
        assert [place(p) for p in document.check_parameters(guest_parameters())] == [
            (21, 12, "the guest has no parameter `max_open`", "did you mean `max_open_s`?"),
            (22, 15, "`min_pause_s` = -1 s: permitted 0 to 86400 s", ""),
        ]

    @pytest.mark.parametrize(
        ("lines", "wanted"),
        [
            (
                "on_pct = 90\noff_pct = 10\n",
                (22, 11, "on_pct = 90 and off_pct = 10: {}on_pct < off_pct unless 0"),
            ),
            (
                "off_pct = 10\non_pct = 90\n",
                (21, 11, "on_pct = 90 and off_pct = 10: {}on_pct < off_pct unless 0"),
            ),
            (  # against a default
                "min_counts = 4000\n",
                (21, 14, "min_counts = 4000 and max_counts = 4000: {}min_counts < max_counts"),
            ),
            (
                "wet_counts = 1500\ndry_counts = 1500\n",
                (
                    21,
                    14,
                    "dry_counts = 1500 and wet_counts = 1500: {}dry_counts != wet_counts unless 0",
                ),
            ),
        ],
    )
    def test_a_pair_of_parameters_that_breaks_a_rule_of_the_guest_is_named_with_it(
        self, directory: Path, lines: str, wanted: tuple[int, int, str]
    ) -> None:
        path = write(directory, f"{BASE}[zone.parameters]\n{lines}")
        with pytest.raises(ScenarioError) as refused:
            runner.check(read(path))
        line, column, text = wanted
        assert [place(p) for p in refused.value.problems] == [
            (line, column, text.format("the guest asks for "), "")
        ]

    @pytest.mark.parametrize(
        "lines", ["on_pct = 90\n", "off_pct = 10\n", "dry_counts = 9\n", "max_counts = 101\n"]
    )
    def test_a_parameter_alone_is_fine_where_the_other_is_derived(
        self, directory: Path, lines: str
    ) -> None:
        runner.check(read(write(directory, f"{BASE}[zone.parameters]\n{lines}")))

    def test_both_ends_of_a_calibration_may_not_be_the_same(self, directory: Path) -> None:
        text = BASE + "[zone.calibration]\nwet_counts = 1500\ndry_counts = 1500\n"
        assert [place(p) for p in problems(directory, text)] == [
            (21, 14, "`wet_counts` = 1500 counts: equals `dry_counts`", "")
        ]


class TestOverrides:
    def test_replace_values_by_position_and_by_name(self, directory: Path) -> None:
        scenario = load(
            write(directory, BASE),
            overrides=[
                ("zone.0.crop.name", "wheat"),
                ("zone.north.valve.flow_l_min", "3"),
                ("zone.north.soil", "{theta_fc = 0.3, theta_wp = 0.1}"),
                ("period.end", "2023-06-30"),
            ],
            seed=7,
        )
        zone = scenario.zone[0]
        assert (zone.crop.name, zone.valve.flow_l_min, scenario.seed) == ("wheat", 3.0, 7)
        assert (zone.soil.texture, zone.soil.theta_fc) == (None, 0.3)
        assert scenario.period.end == datetime.date(2023, 6, 30)

    @pytest.mark.parametrize(
        ("key", "value", "message"),
        [
            ("zone.0.crop.nam", "wheat", "unknown key `nam`\n      = did you mean `name`?"),
            ("zone.nrth.area_m2", "3", "no `nrth` in [[zone]]\n      = did you mean `north`?"),
            (
                "zone.4.area_m2",
                "3",
                "no `4` in [[zone]]\n      = by number from 0, or by name: north",
            ),
            ("name.first", "x", "`name` is not a table"),
            (
                "zone.0.area_m2",
                "big",
                '`area_m2` = "big": must be a number [m2], this is text',
            ),
        ],
    )
    def test_are_checked_like_the_file_and_named_as_they_were_given(
        self, directory: Path, key: str, value: str, message: str
    ) -> None:
        found = problems(directory, BASE, overrides=[(key, value)])
        assert [str(p) for p in found] == [f"--set {key}={value}: {message}"]

    def test_a_bad_seed_is_one_of_the_command_line(self, directory: Path) -> None:
        found = problems(directory, BASE, seed=-1)
        assert [str(p) for p in found] == [
            "--seed -1: `seed` = -1: permitted 0 to 9223372036854775807"
        ]


class TestZones:
    SPREAD = BASE.replace('name = "north"', 'name = "north"\ncount = 200') + (
        "[zone.spread]\nvalve.flow_l_min = 0.1\nprobe.noise_counts = 1.0\nprobe.wet_counts = 0.05\n"
    )

    def test_count_numbers_the_zones(self, directory: Path) -> None:
        zones = expand(load(write(directory, self.SPREAD)))
        assert [zones[0].name, zones[-1].name] == ["north-001", "north-200"]
        assert {zone.group for zone in zones} == {"north"}
        assert [zone.index for zone in zones] == list(range(200))

    def test_a_spread_has_the_mean_and_deviation_it_says(self, directory: Path) -> None:
        flows = np.array([z.valve.flow_l_min for z in expand(load(write(directory, self.SPREAD)))])
        # 200 draws of 10 (1 + 0.1 z): standard error of the mean 0.07, of the deviation 0.05
        assert flows.mean() == pytest.approx(10, abs=0.2)
        assert flows.std() == pytest.approx(1, abs=0.15)
        assert 7 <= flows.min() < flows.max() <= 13

    def test_drawn_values_stay_in_the_permitted_range(self, directory: Path) -> None:
        zones = expand(load(write(directory, self.SPREAD)))
        noise = [z.probe.noise_counts for z in zones]
        assert min(noise) == 0  # a relative deviation of 1 reaches below zero, and is cut there

    def test_equal_seeds_draw_equal_zones_and_others_do_not(self, directory: Path) -> None:
        path = write(directory, self.SPREAD)
        assert expand(load(path)) == expand(load(path))
        assert expand(load(path, seed=2)) != expand(load(path))

    def test_more_zones_or_keys_leave_what_was_drawn_as_it_is(self, directory: Path) -> None:
        before = expand(load(write(directory, self.SPREAD)))
        more = self.SPREAD.replace("count = 200", "count = 300") + "area_m2 = 0.1\n"
        after = expand(load(write(directory, more)))
        assert [z.valve for z in before] == [z.valve for z in after[:200]]
        assert [z.probe for z in before] == [z.probe for z in after[:200]]

    def test_a_spread_that_makes_a_zone_impossible_says_which(self, directory: Path) -> None:
        text = self.SPREAD.replace(
            'soil.texture = "loam"', "soil.theta_fc = 0.3\nsoil.theta_wp = 0.25"
        )
        text += "soil.theta_fc = 0.3\n"
        with pytest.raises(ScenarioError, match=r"makes zone north-\d+ impossible: `theta_fc` = "):
            expand(load(write(directory, text)))

    def test_the_default_budget_is_that_of_the_host(self, directory: Path) -> None:
        assert load(write(directory, BASE)).guest.limits() == Budget()

    def test_sprinklers_wet_everything_unless_they_say_otherwise(self, directory: Path) -> None:
        def fraction(text: str) -> float:
            return load(write(directory, BASE + text)).zone[0].valve.wetted_fraction

        # FAO-56 table 20: trickle 0.3 to 0.4, sprinkler 1.0
        assert fraction("") == 0.35
        assert fraction('valve.method = "sprinkler"\n'.replace("valve.", "[zone.valve]\n")) == 1.0
        assert fraction('[zone.valve]\nmethod = "sprinkler"\nwetted_fraction = 0.8\n') == 0.8


class TestPinning:
    def test_a_run_keeps_the_digests_and_a_changed_file_is_refused(self, directory: Path) -> None:
        scenario = pinned(load(write(directory, BASE)), "ab" * 32)
        run = directory / "runs" / "one"
        run.mkdir(parents=True)
        copy = run / "scenario.toml"
        copy.write_text(dump(scenario, run), "utf-8")
        assert 'file = "../../weather.csv"' in copy.read_text("utf-8")
        assert load(copy) == scenario
        (directory / "weather.csv").write_text("date\n", "utf-8")
        with pytest.raises(ScenarioError, match="is not the file that is pinned"):
            load(copy)


DURATIONS = st.integers(1, 29 * 24).map(lambda h: datetime.timedelta(hours=h))
SHOWN = st.characters(codec="utf-8").filter(lambda c: not UNPRINTABLE.match(c) and c not in "\t\n")
"""What a scenario may have in a name."""
TEXTS = st.text(SHOWN, max_size=40)


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    """A scenario with many keys set at random."""

    def number(low: float, high: float) -> float:
        return draw(st.floats(low, high, allow_nan=False, allow_subnormal=False))

    soil = draw(
        st.sampled_from(
            [
                {"texture": "clay loam"},
                {"sand_pct": 40.0, "silt_pct": 40.0, "clay_pct": 20.0},
                {"theta_fc": number(0.2, 0.4), "theta_wp": number(0.05, 0.15)},
                {
                    "model": "richards",
                    "layer": [
                        {
                            "thickness_m": number(0.1, 1),
                            "theta_r": 0.05,
                            "theta_s": number(0.3, 0.5),
                            "alpha_per_m": number(0.5, 10),
                            "n": number(1.1, 3),
                            "ks_m_d": number(0.01, 5),
                        }
                        for _ in range(draw(st.integers(1, 3)))
                    ],
                    "initial": {"head_m": [-1.0, number(-100, -2)], "depth_m": [0.1, 1.0]},
                },
            ]
        )
    )
    longitude_deg = number(-180, 180)
    faults: list[dict[str, Any]] = [
        {"kind": "probe-stuck", "start": draw(DURATIONS)},
        {"kind": "clock-skew", "start": draw(DURATIONS), "magnitude": "-90 min"},
        {"kind": "reboot", "start": datetime.datetime(2023, 5, 7, 6, 30), "name": 'a "name"'},
    ]
    return Scenario.model_validate(
        {
            "version": 1,
            "name": "random",
            "title": draw(TEXTS),
            "description": draw(TEXTS) + "\n" + draw(TEXTS),
            "seed": draw(st.integers(0, 2**63 - 1)),
            "site": {
                "latitude_deg": number(-66, 66),
                "longitude_deg": longitude_deg,
                "elevation_m": number(-400, 5000),
                "utc_offset_h": round(4 * min(max(longitude_deg / 15 + number(-3, 3), -12), 14))
                / 4,
            },
            "period": {
                "start": datetime.date(2023, 5, 1),
                "end": datetime.date(2023, 5, 31),
                "step_s": draw(st.sampled_from([60, 300, 600, 3600])),
                "record_s": draw(st.sampled_from([None, 3600, 86400])),
            },
            "weather": {"file": str(WEATHER)},
            "guest": {"restart": draw(st.sampled_from([None, datetime.timedelta(seconds=30)]))},
            "zone": [
                {
                    "name": "z",
                    "count": draw(st.integers(1, 50)),
                    "soil": soil,
                    "crop": {
                        "name": draw(st.sampled_from(["maize", "sweet potato", "wheat winter"])),
                        "planting": datetime.date(2023, 4, draw(st.integers(1, 30))),
                        "stages": [20, 30, number(1, 100), 30],
                    },
                    "valve": {"flow_l_min": number(1e-6, 1e5)},
                    "parameters": {"max_open_s": draw(st.integers(-(2**31), 2**31 - 1))},
                    "spread": {"valve.flow_l_min": number(0, 1)},
                }
            ],
            "fault": draw(st.sampled_from([[], faults[:1], faults])),
            "expect": [
                {
                    "name": draw(st.text(SHOWN, min_size=1, max_size=20)),
                    "kind": "never",
                    "that": "valve_open",
                }
            ],
        }
    )


class TestRoundTrip:
    @given(scenario=scenarios())
    def test_a_scenario_written_out_is_read_back_equal(
        self, tmp_path_factory: pytest.TempPathFactory, scenario: Scenario
    ) -> None:
        directory = tmp_path_factory.mktemp("round")
        path = directory / "s.toml"
        path.write_text(dump(scenario, directory), "utf-8")
        assert load(path) == scenario


ANYTHING = st.recursive(
    st.one_of(
        st.integers(-(2**40), 2**40),
        st.floats(),
        st.booleans(),
        TEXTS,
        st.dates(datetime.date(1, 1, 2)),
        st.datetimes(),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["name", "kind", "start", "depth_m", "soil", "that"]), inner, max_size=3
        ),
    ),
    max_leaves=5,
)
FULL = (
    BASE
    + """\
valve.flow_l_min = 3
[zone.spread]
probe.depth_m = 0.1
[[fault]]
kind = "valve-clog"
start = "2 d"
duration = "1 d"
magnitude = "30 %"
[[expect]]
name = "a"
kind = "never"
that = "valve_open"
longer_than = "20 min"
start = "1 d"
[[expect]]
name = "b"
kind = "recovers"
that = "ks == 1"
within = "1 h"
after = "valve-clog"
zones = ["north"]
""".replace("valve.flow_l_min", "[zone.valve]\nflow_l_min")
)


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    return [p for key, inner in items for p in [(*path, key), *paths(inner, (*path, key))]]


class TestAnyMistake:
    def test_the_scenario_to_be_spoilt_is_right(self, directory: Path) -> None:
        assert load(write(directory, FULL)).name == "test"

    @given(path=st.sampled_from(paths(tomllib.loads(FULL))), value=ANYTHING)
    @settings(max_examples=300)
    def test_is_refused_with_problems_or_is_none(
        self, tmp_path_factory: pytest.TempPathFactory, path: tuple[Any, ...], value: Any
    ) -> None:
        data = tomllib.loads(FULL)
        here: Any = data
        for step in path[:-1]:
            here = here[step]
        here[path[-1]] = value
        file = tmp_path_factory.mktemp("any") / "s.toml"
        file.write_text(tomli_w.dumps(data), "utf-8")
        (file.parent / "weather.csv").touch()
        try:
            load(file)
        except ScenarioError as error:
            assert error.problems
            for problem in error.problems:
                assert problem.message
                assert problem.line > 0 or "version" in problem.message
