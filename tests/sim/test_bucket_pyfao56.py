"""The bucket beside pyfao56 1.4.3: two of the test seasons that program comes with."""

from __future__ import annotations

import numpy as np
import pytest

from levada.sim.soil.model import Flux
from validation.crop import COTTON, MAIZE, Case, our_season, rows, run_bucket, theirs


@pytest.mark.parametrize("case", [COTTON, MAIZE], ids=["cotton 2013", "maize 2023"])
def test_crop_curve_cover_and_roots_are_those_of_pyfao56(case: Case) -> None:
    table = rows(case)
    ours, other = our_season(case, table, constant_p=True), theirs(case, table, constant_p=True)
    days = int(sum(case.crop.stages))
    for name, mine in (
        ("Kcb", ours.kcb),
        ("Kcmax", ours.kc_max),
        ("fc", ours.cover),
        ("Zr", ours.zr_m),
        ("h", ours.height_m),
    ):
        expected = other[name].to_numpy(float)[:days]
        np.testing.assert_allclose(mine[:days], expected, atol=1e-9, err_msg=name)


@pytest.mark.parametrize(
    ("case", "constant_p", "within_mm"),
    [
        # the same equations in the same order: equal to rounding
        (COTTON, True, 1e-9),
        # p from the basal part of ETc, theirs from all of it
        (COTTON, False, 0.5),
        # their layered mode counts roots in whole millimetres
        (MAIZE, True, 0.5),
        # sprinklers wet the whole surface: evaporation, which our p leaves out, is large
        (MAIZE, False, 4.0),
    ],
    ids=["cotton", "cotton, p adjusted", "maize", "maize, p adjusted"],
)
def test_daily_depletion_follows_pyfao56(case: Case, constant_p: bool, within_mm: float) -> None:
    table = rows(case)
    other = theirs(case, table, constant_p=constant_p)
    depletion, fluxes = run_bucket(case, our_season(case, table, constant_p=constant_p), table)
    np.testing.assert_allclose(depletion, other["Dr"].to_numpy(float), rtol=0.0, atol=within_mm)
    for flux, name in (
        (Flux.EVAPORATION_MM, "E"),
        (Flux.TRANSPIRATION_MM, "T"),
        (Flux.DRAINAGE_MM, "DP"),
    ):
        assert fluxes[flux] == pytest.approx(other[name].sum(), abs=within_mm), name
