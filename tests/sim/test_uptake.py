from __future__ import annotations

import numpy as np
import pytest

from levada.sim.crop.table import TABLE
from levada.sim.soil import richards_columns
from levada.sim.soil.richards_fluxes import root_uptake
from levada.sim.soil.uptake import FEDDES, LIKE, Feddes, feddes_of, root_shares

MAIZE = FEDDES["maize"]


@pytest.mark.parametrize(
    ("head_m", "share"),
    [
        (0.0, 0.0),
        (-0.15, 0.0),  # h1
        (-0.225, 0.5),  # half way to h2
        (-0.30, 1.0),  # h2
        (-3.25, 1.0),  # h3 at high demand
        (-41.625, 0.5),  # half way to h4
        (-80.0, 0.0),  # h4
        (-500.0, 0.0),
    ],
)
def test_uptake_of_maize_falls_between_its_thresholds(head_m: float, share: float) -> None:
    settings = np.zeros(richards_columns.SETTINGS)
    settings[richards_columns.P_H1] = MAIZE.anaerobic_m
    settings[richards_columns.P_H2] = MAIZE.optimal_wet_m
    settings[richards_columns.P_H4] = MAIZE.wilting_m
    h3 = MAIZE.optimal_dry_high_m
    assert root_uptake(2.0, head_m, 1.0, h3, settings)[0] == pytest.approx(2.0 * share)


def test_stress_begins_later_when_demand_is_low() -> None:
    assert MAIZE.optimal_dry_m(5.0) == pytest.approx(-3.25)
    assert MAIZE.optimal_dry_m(3.0) == pytest.approx(-4.625)
    assert MAIZE.optimal_dry_m(1.0) == pytest.approx(-6.0)
    assert MAIZE.optimal_dry_m(0.0) == pytest.approx(-6.0)


def test_roots_are_shared_as_hoffman_and_van_genuchten_have_it() -> None:
    # density 5/3 above a fifth of the depth, then 25/12 (1 - x), integrated by hand
    np.testing.assert_allclose(
        root_shares(np.array([0.0, 0.1, 0.2, 0.6, 1.0])), [0.0, 1 / 6, 1 / 3, 5 / 6, 1.0]
    )


def test_thresholds_out_of_order_are_refused() -> None:
    with pytest.raises(ValueError, match="permitted: wilting_m < optimal_dry_low_m"):
        Feddes(
            anaerobic_m=-0.15,
            optimal_wet_m=-0.30,
            optimal_dry_high_m=-6.0,
            optimal_dry_low_m=-3.0,
            wilting_m=-80.0,
        )


def test_every_crop_with_thresholds_is_one_of_the_crop_table_or_grass() -> None:
    assert set(FEDDES) - {"grass"} <= set(TABLE)


def test_every_crop_but_rice_has_thresholds_of_its_own_or_of_one_that_suffers_alike() -> None:
    """Beside FAO-56 Table 22: the depletion fractions of the two are near each other."""
    assert set(TABLE) - {"rice"} == (set(FEDDES) | set(LIKE)) - {"grass"}
    assert not set(FEDDES) & set(LIKE)
    for crop, kin in LIKE.items():
        assert feddes_of(crop) == FEDDES[kin.crop]
        assert abs(TABLE[crop].p - TABLE[kin.crop].p) < 0.16, crop
    assert feddes_of("rice") is None


@pytest.mark.parametrize(
    ("crop", "h3_cm", "h4_cm"),
    # Wesseling et al. (1991) through the manual of HYDRUS-1D; Taylor and Ashcroft (1972) through
    # that of SWAP, Table G.1
    [
        ("cotton", (-320, -600), -16000),
        ("groundnut", (-750, -2000), -8000),
        ("pepper", (-320, -600), -16000),
        ("eggplant", (-800, -1500), -8000),
        ("sorghum", (-325, -600), -8000),
        ("spinach", (-400, -600), -8000),
        ("watermelon", (-350, -450), -8000),
        ("pistachio", (-500, -800), -8000),
        ("maize", (-325, -600), -8000),
    ],
)
def test_thresholds_of_a_group_are_published_numbers(
    crop: str, h3_cm: tuple[int, int], h4_cm: int
) -> None:
    found = feddes_of(crop)
    assert found is not None
    assert (found.optimal_dry_high_m, found.optimal_dry_low_m) == tuple(h / 100 for h in h3_cm)
    assert found.wilting_m == h4_cm / 100
