from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from levada.sim.run import soils
from levada.sim.run.rundir import RunDir
from levada.sim.run.runner import run_scenario
from levada.sim.scenario import load as scenarios
from levada.sim.scenario.diagnostics import ScenarioError
from levada.sim.scenario.expand import ZoneConfig, expand
from levada.sim.soil.drainage import drains_to
from levada.sim.soil.model import Observed, new_observed
from levada.sim.soil.richards import Richards
from levada.sim.soil.texture import by_class, by_fractions
from levada.sim.soil.uptake import FEDDES
from levada.testing import small_field

MEASURED = "theta_fc = 0.184\ntheta_wp = 0.092\n"

LAYERS = """
[[zone.soil.layer]]
thickness_m = 0.3
theta_r = 0.065
theta_s = 0.41
alpha_per_m = 7.5
n = 1.89
ks_m_d = 1.061
theta_fc = 0.20
theta_wp = 0.10
[[zone.soil.layer]]
thickness_m = 0.5
theta_r = 0.078
theta_s = 0.43
alpha_per_m = 3.6
n = 1.56
ks_m_d = 0.2496
"""
"""Sandy loam over loam, both of Carsel and Parrish (1988); the upper one's limits measured."""


def zone(
    directory: Path, soil: str = MEASURED, model: str = "richards", **changes: str
) -> ZoneConfig:
    """A zone with this soil; `changes` are from key to line."""
    body = small_field(model=model)
    if "[[zone.soil.layer]]" in soil:
        keys, _, layers = soil.partition("[[")
        body = body.replace(MEASURED, keys).replace("[zone.crop]", "[[" + layers + "[zone.crop]")
    else:
        body = body.replace(MEASURED, soil)
    for key, line in changes.items():
        body = body.replace(key, line)
    path = directory / "soil.toml"
    path.write_text(body, encoding="utf-8")
    return expand(scenarios.load(path))[0]


class TestDescription:
    @pytest.mark.parametrize("name", ["sand", "loam", "clay"])
    def test_a_texture_is_that_of_the_table(self, tmp_path: Path, name: str) -> None:
        soil = zone(tmp_path, f'texture = "{name}"\n').soil
        assert soils.described(soil) == by_class(name)
        assert soils.field_capacity(soil) == by_class(name).theta_fc
        assert soils.wilting_point(soil) == by_class(name).theta_wp

    def test_fractions_give_both_models_the_same_field_capacity(self, tmp_path: Path) -> None:
        """Richards' model must not take another one, or the node's calibration would be wrong."""
        given = zone(tmp_path, "sand_pct = 65\nsilt_pct = 20\nclay_pct = 15\n")
        expected = by_fractions(sand_pct=65, silt_pct=20, clay_pct=15)
        (layer,) = soils.richards_profile(given).layers
        assert (layer.fc, layer.wp) == (expected.theta_fc, expected.theta_wp)
        assert soils.field_capacity(given.soil) == expected.theta_fc

    @pytest.mark.parametrize(
        ("fc", "wp"),
        [
            (0.184, 0.092),
            (0.12, 0.045),
            (0.4, 0.25),
            (0.40, 0.10),
            (0.30, 0.05),
            (0.45, 0.10),
            (0.12, 0.02),
            (0.07, 0.02),
            (0.25, 0.03),
        ],
    )
    def test_measured_contents_lie_on_the_retention_curve(
        self, tmp_path: Path, fc: float, wp: float
    ) -> None:
        """At -10 kPa, 1 m of water, and -1500 kPa, 153 m."""
        given = zone(tmp_path, f"theta_fc = {fc}\ntheta_wp = {wp}\n")
        curve = soils.described(given.soil).hydraulics
        assert float(curve.theta(-1.0)) == pytest.approx(fc, abs=1e-4)
        assert float(curve.theta(-153.0)) == pytest.approx(wp, abs=1e-6)
        assert 0.36 <= curve.theta_s <= 0.5
        (layer,) = soils.richards_profile(given).layers
        assert (layer.fc, layer.wp) == (fc, wp)

    def test_pores_are_those_of_the_texture(self, tmp_path: Path) -> None:
        """Sandy loam of Rosetta's class averages: 0.039, 0.387, log10 Ks 1.583 in cm/d."""
        given = zone(tmp_path, 'texture = "sandy loam"\n' + MEASURED)
        (layer,) = soils.summary(given)
        assert (layer["theta_r"], layer["theta_s"]) == (0.039, 0.387)
        assert layer["ks_m_d"] == pytest.approx(0.3828, rel=1e-4)
        assert (layer["theta_fc"], layer["theta_wp"]) == (0.184, 0.092)
        assert layer["theta_1_d"] > layer["theta_fc"] > layer["theta_3_d"] > layer["theta_10_d"]

    def test_what_is_given_beside_a_texture_replaces_its_own(self, tmp_path: Path) -> None:
        given = zone(tmp_path, 'texture = "loam"\ntheta_s = 0.45\nks_m_d = 0.5\n')
        (layer,) = soils.summary(given)
        assert (layer["theta_s"], layer["ks_m_d"], layer["theta_fc"]) == (0.45, 0.5, 0.25)

    @pytest.mark.parametrize(
        ("lines", "message"),
        [
            ("theta_fc = 0.6\ntheta_wp = 0.2\n", "permitted up to 0.5 unless theta_s is given"),
            (
                "theta_fc = 0.6\ntheta_wp = 0.59\ntheta_s = 0.8\n",
                r"theta_wp = 0.59: permitted up to 0\.5\d+",
            ),
            (
                "theta_fc = 0.3\ntheta_wp = 0.0\n",
                "`theta_wp` = 0: permitted above 0",
            ),
            ("theta_fc = 0.3\ntheta_wp = 0.1\ntheta_s = 0.25\n", "theta_fc < theta_s"),
            ("[[zone.soil.layer]]\nthickness_m = 1\ntheta_fc = 0.2\n", "needs `theta_wp` too"),
            ("[[zone.soil.layer]]\nthickness_m = 1\n", "a layer has no description"),
            ("[[zone.soil.layer]]\nthickness_m = 1\nn = 1.4\n", "curve needs `theta_r` and"),
            (
                "theta_s = 0.4\n[[zone.soil.layer]]\nthickness_m = 1\ntexture = 'loam'\n",
                "`theta_s` has no effect beside layers",
            ),
        ],
    )
    def test_contents_that_no_curve_meets_are_refused(
        self, tmp_path: Path, lines: str, message: str
    ) -> None:
        with pytest.raises(ScenarioError, match=message):
            zone(tmp_path, lines)

    def test_peat_needs_its_pores(self, tmp_path: Path) -> None:
        soil = zone(tmp_path, "theta_fc = 0.6\ntheta_wp = 0.2\ntheta_s = 0.85\n").soil
        curve = soils.described(soil).hydraulics
        assert curve.theta_s == 0.85
        assert float(curve.theta(-1.0)) == pytest.approx(0.6, abs=1e-4)
        assert float(curve.theta(-153.0)) == pytest.approx(0.2, abs=1e-6)

    def test_evaporable_water_can_be_given(self, tmp_path: Path) -> None:
        given = zone(tmp_path, MEASURED + "rew_mm = 7.5\n", model="bucket")
        assert soils.rew_mm(given.soil) == 7.5
        assert soils.rew_mm(zone(tmp_path).soil) == by_class("sandy loam").rew_mm, (
            "the nearest class"
        )


class TestLayers:
    def test_the_last_one_reaches_the_bottom(self, tmp_path: Path) -> None:
        upper, lower = soils.horizons(zone(tmp_path, LAYERS).soil)
        assert (upper.thickness_m, lower.thickness_m) == (0.3, 1.7)
        assert (upper.theta_fc, upper.theta_wp) == (0.20, 0.10)
        assert lower.theta_fc == pytest.approx(drains_to(lower.hydraulics, (3.0,))[0])
        assert lower.hydraulics.ks_m_d == 0.2496

    def test_water_contents_or_a_texture_describe_one(self, tmp_path: Path) -> None:
        lines = (
            "[[zone.soil.layer]]\nthickness_m = 0.3\ntheta_fc = 0.257\ntheta_wp = 0.129\n"
            "[[zone.soil.layer]]\nthickness_m = 0.5\ntexture = 'sand'\nks_m_d = 5.0\n"
        )
        for model in ("richards", "bucket"):
            upper, lower = soils.horizons(zone(tmp_path, lines, model=model).soil)
            assert (upper.theta_fc, upper.theta_wp) == (0.257, 0.129)
            assert (lower.theta_fc, lower.theta_wp, lower.ks_m_d) == (0.12, 0.045, 5.0)

    def test_what_lies_below_the_soil_is_cut(self, tmp_path: Path) -> None:
        line = "depth_m = 0.25\ninitial.available_pct"
        given = zone(tmp_path, LAYERS, **{"initial.available_pct": line})
        assert [h.thickness_m for h in soils.horizons(given.soil)] == [0.25]

    def test_field_capacity_is_the_mean_over_depth(self, tmp_path: Path) -> None:
        soil = zone(tmp_path, LAYERS).soil
        loam = soils.horizons(soil)[1].theta_fc
        assert soils.field_capacity(soil) == pytest.approx((0.3 * 0.20 + 1.7 * loam) / 2.0)

    def test_a_probe_is_told_of_the_layer_it_sits_in(self, tmp_path: Path) -> None:
        soil = zone(tmp_path, LAYERS).soil
        assert soils.at_depth(soil, 0.2).theta_fc == 0.20
        assert soils.at_depth(soil, 0.3).theta_fc == 0.20
        assert soils.at_depth(soil, 0.4).theta_fc == pytest.approx(soils.horizons(soil)[1].theta_fc)
        assert soils.at_depth(soil, 9.0).theta_fc == pytest.approx(soils.horizons(soil)[1].theta_fc)


class TestRichards:
    @pytest.mark.parametrize(
        ("initial", "expected"),
        [
            ("initial.available_pct = 50", 0.138),  # halfway from 0.092 to 0.184
            ("initial.theta = 0.15", 0.15),
            ("initial.head_m = -150", 0.092),  # about -1500 kPa
        ],
    )
    def test_each_initial_quantity_is_understood(
        self, tmp_path: Path, initial: str, expected: float
    ) -> None:
        given = zone(tmp_path, **{"initial.available_pct = 60": initial})
        _, theta = Richards([soils.richards_profile(given)]).profile()
        assert theta == pytest.approx(expected, abs=5e-4)

    def test_a_water_table_has_soil_in_equilibrium_above(self, tmp_path: Path) -> None:
        line = "initial.water_table_m = 1.0"
        given = zone(tmp_path, **{"initial.available_pct = 60": line})
        column = Richards([soils.richards_profile(given)])
        depths_m, _ = column.profile()
        np.testing.assert_allclose(column.heads()[0], depths_m - 1.0, atol=1e-3)

    @pytest.mark.parametrize("bottom", ["free-drainage", "zero-flux", "head", "seepage-face"])
    def test_each_bottom_is_understood(self, tmp_path: Path, bottom: str) -> None:
        lines = f'bottom = "{bottom}"\n' + ("bottom_head_m = -1\n" if bottom == "head" else "")
        given = zone(tmp_path, MEASURED + lines)
        profile = soils.richards_profile(given)
        assert profile.bottom.kind == bottom.replace("-", "_")
        assert profile.bottom.head_m == (-1.0 if bottom == "head" else 0.0)

    def test_the_column_is_as_the_zone_says(self, tmp_path: Path) -> None:
        profile = soils.richards_profile(zone(tmp_path, MEASURED + "ponding_max_mm = 7\n"))
        assert profile.depth_m == 2.0
        assert profile.surface.ponding_max_mm == 7.0
        assert profile.surface.wetted_fraction == 0.35, "drip, FAO-56 table 20"
        assert (profile.probe_depth_m, profile.probe_half_height_m) == (0.2, 0.05)


class TestBucket:
    def bucket(self, given: ZoneConfig, zr_m: float) -> Any:
        observed = new_observed(1)
        bucket = soils.bucket([given], [zr_m])
        bucket.observe(observed)
        return observed[0]

    def test_water_at_the_start_is_the_mean_of_what_the_roots_reach(self, tmp_path: Path) -> None:
        """From the wilting point at the surface to field capacity at 1 m: on average a quarter
        within 0.5 m, and 7/8 of the way from there to 2 m."""
        lines = "initial = { available_pct = [0, 100], depth_m = [0, 1] }"
        given = zone(tmp_path, model="bucket", **{"initial.available_pct = 60": lines})
        storage_mm = self.bucket(given, 0.5)[0]
        above = 500 * (0.092 + 0.25 * 0.092)
        below = 1500 * (0.092 + (0.5 * 0.75 + 1.0) / 1.5 * 0.092)
        assert storage_mm == pytest.approx(above + below, rel=1e-2)

    def test_water_above_field_capacity_drains_as_the_first_day_ends(self, tmp_path: Path) -> None:
        """150 % is 0.23: 460 mm in 2 m, of which 368 mm stay; sun and plants have their part."""
        line = "initial.available_pct = 150"
        given = zone(tmp_path, model="bucket", **{"initial.available_pct = 60": line})
        assert self.bucket(given, 0.5)[0] == pytest.approx(460.0)
        found = run_scenario(scenarios.load(tmp_path / "soil.toml"), tmp_path / "r", report=False)
        trace = RunDir(found.path).trace
        time_ms = np.asarray(trace["time_ms"])
        day = time_ms <= time_ms[0] + 86_400_000
        (rain, evaporated, transpired, drained) = (
            np.asarray(trace[name])[day]
            for name in ("rain_mm", "evaporation_mm", "transpiration_mm", "drainage_mm")
        )
        assert np.asarray(trace["storage_mm"])[0] == pytest.approx(460.0, abs=1e-3)
        assert drained[:-1].sum() == 0.0
        assert drained[-1] == pytest.approx(
            92.0 + rain.sum() - evaporated.sum() - transpired.sum(), abs=0.01
        )
        assert abs(found.summary["balance_error_mm"]) < 1e-9

    def test_layers_keep_their_limits_and_their_water(self, tmp_path: Path) -> None:
        """0.3 m between 0.10 and 0.20 over loam; roots to 0.5 m, at 60 % of what they can take."""
        given = zone(tmp_path, LAYERS, model="bucket")
        lower = soils.horizons(given.soil)[1]
        observed = self.bucket(given, 0.5)
        taw = 300 * (0.20 - 0.10) + 200 * (lower.theta_fc - lower.theta_wp)
        assert observed[Observed.TAW_MM] == pytest.approx(taw)
        assert observed[Observed.DR_MM] == pytest.approx(0.4 * taw)
        (_, theta) = soils.bucket([given], [0.5]).profile()
        below = lower.theta_wp + 0.6 * (lower.theta_fc - lower.theta_wp)
        np.testing.assert_allclose(theta, [[0.16, below]])

    def test_soils_of_one_and_of_two_layers_go_together(self, tmp_path: Path) -> None:
        one = zone(tmp_path, model="bucket")
        two = zone(tmp_path, LAYERS, model="bucket")
        together = soils.bucket([one, two], [0.5, 0.5])
        observed = new_observed(2)
        together.observe(observed)
        np.testing.assert_array_equal(observed[0], self.bucket(one, 0.5))
        np.testing.assert_array_equal(observed[1], self.bucket(two, 0.5))


class TestHeads:
    """Feddes' thresholds of a scenario."""

    def crop(self, directory: Path, lines: str, model: str = "richards") -> ZoneConfig:
        return zone(directory, model=model, **{'name = "maize"': lines})

    def test_a_crop_without_its_own_takes_those_of_its_group_and_says_so(
        self, tmp_path: Path
    ) -> None:
        """Beans in the SWAP manual, Table G.1: h3 from -750 to -2000 cm."""
        given = self.crop(tmp_path, 'name = "soybean"')
        assert soils.heads(given)[2:4] == (-7.5, -20.0)
        (note,) = soils.notes([given, given])
        assert note.startswith(
            "soybean: no suctions are known at which it suffers, so those of bean green (annual "
            "legumes) are taken"
        )
        numbers = soils.feddes(given.crop.model_copy(update={"name": None}))
        assert numbers == FEDDES["maize"]
        assert soils.notes([self.crop(tmp_path, 'name = "wheat"')]) == []
        assert soils.notes([self.crop(tmp_path, 'name = "soybean"', "bucket")]) == []

    def test_they_can_be_given(self, tmp_path: Path) -> None:
        given = self.crop(tmp_path, 'name = "soybean"\nfeddes_m = [-0.1, -0.25, -4, -8, -150]')
        assert soils.heads(given) == (-0.1, -0.25, -4.0, -8.0, -150.0)
        assert soils.notes([given]) == []

    def test_they_can_be_those_of_another_crop(self, tmp_path: Path) -> None:
        """Pea in the SWAP manual, Table G.1: h3 from -300 to -500 cm."""
        given = self.crop(tmp_path, 'name = "lentil"\nfeddes_like = "pea"')
        assert soils.heads(given)[2:4] == (-3.0, -5.0)
        assert soils.notes([given]) == []

    @pytest.mark.parametrize(
        ("lines", "message"),
        [
            ('name = "rice"', "grown under water"),
            ('name = "pea"\nfeddes_m = [-0.1, -0.25, -8, -4, -80]', "permitted 0 >= h1 > h2"),
            ('name = "pea"\nfeddes_like = "rise"', "no heads are known"),
            (
                'name = "pea"\nfeddes_like = "pea"\nfeddes_m = [-0.1, -0.25, -4, -8, -80]',
                "give one",
            ),
        ],
    )
    def test_what_makes_no_sense_is_refused(self, tmp_path: Path, lines: str, message: str) -> None:
        with pytest.raises(ScenarioError, match=message):
            self.crop(tmp_path, lines)

    def test_rice_grows_in_the_bucket_and_on_dry_land(self, tmp_path: Path) -> None:
        assert self.crop(tmp_path, 'name = "rice"', "bucket").crop.name == "rice"
        dry = 'name = "rice"\nfeddes_m = [-0.1, -0.25, -2, -3, -150]'
        assert soils.heads(self.crop(tmp_path, dry))[0] == -0.1
