"""The `[zone.soil]` table: what water moves in, and how much of it is there at the start."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema, model_validator

from levada.guest.text.ranges import between, out_of_range
from levada.sim.scenario.config_table import Table
from levada.sim.settings.base import as_tuple
from levada.sim.settings.explain import unit_of
from levada.sim.settings.issue import Issue
from levada.sim.settings.soil import (
    AlphaPerM,
    KsMD,
    PondingMaxMm,
    PoreConnectivity,
    PoreSizes,
    ThetaR,
    ThetaS,
    ThicknessM,
    conductivity_falls,
    contents_rise,
)
from levada.sim.settings.water import Abstraction, CurveNumber, Moisture

__all__ = [
    "DEFAULT_CELLS",
    "DEFAULT_SOIL_MODEL",
    "Initial",
    "Soil",
    "SoilLayer",
    "Texture",
    "as_tuple",
]

DEFAULT_CELLS: Final = 50
DEFAULT_SOIL_MODEL: Final[Literal["bucket", "richards"]] = "richards"

Texture = Literal[
    "sand",
    "loamy sand",
    "sandy loam",
    "loam",
    "silt",
    "silt loam",
    "sandy clay loam",
    "clay loam",
    "silty clay loam",
    "sandy clay",
    "silty clay",
    "clay",
]
"""Classes of the US Department of Agriculture (Soil Survey Manual 2017, chapter 3)."""

_MOST_LAYERS: Final = 25
"""Each is cut into two cells at least, of 50."""
_FRACTIONS: Final = ("sand_pct", "silt_pct", "clay_pct")
_CONTENTS: Final = ("theta_fc", "theta_wp")


def _one_or_many(values: tuple[float, ...] | None) -> object:
    return values[0] if values is not None and len(values) == 1 else values


def _by_depth(low: float, high: float) -> tuple[object, ...]:
    """A number for the whole soil, or one for each depth."""
    number: dict[str, Any] = {"type": "number", "minimum": low, "maximum": high}
    return (
        BeforeValidator(as_tuple),
        Field(min_length=1, max_length=100),
        PlainSerializer(_one_or_many),
        WithJsonSchema({"anyOf": [number, {"type": "array", "items": number, "minItems": 1}]}),
    )


class Material(Table):
    """What soils and layers may say of a material."""

    texture: Texture | None = None
    """Texture class: field capacity and wilting point of FAO-56 table 19, pores and conductivity of
    Rosetta's class averages. Beside `theta_fc` and `theta_wp` it says pores and conductivity
    only."""
    theta_fc: float | None = Field(default=None, gt=0, le=0.7)
    """Measured water content at field capacity, to which the soil drains in `drainage_time_d`."""
    theta_wp: float | None = Field(default=None, gt=0, le=0.6)
    """Measured water content at the wilting point, -1500 kPa."""
    theta_s: ThetaS | None = None
    """Water content at saturation; without it, that of the texture class."""
    ks_m_d: KsMD | None = None
    """Conductivity at saturation; without it, that of the texture class."""
    pore_connectivity: PoreConnectivity | None = None
    """Mualem's exponent l; without it, 0.5."""
    fc_suction_m: float | None = Field(default=None, ge=0.3, le=10)
    """Suction at field capacity, as a height of water; without it, 1 m (10 kPa)."""
    drainage_time_d: float | None = Field(default=None, ge=0.5, le=20)
    """Time after which a saturated soil has drained to field capacity; without it, 2 d of sand,
    loamy sand and sandy loam, 3 d of others."""

    def given(self) -> dict[str, float | None]:
        """What replaces the numbers of the texture class."""
        return {key: getattr(self, key) for key in _REPLACING}

    def _contents(self) -> Iterator[Issue]:
        """Field capacity and wilting point that some soil has."""
        from levada.sim.soil.texture import by_contents  # loads numpy

        fc, wp = self.theta_fc, self.theta_wp
        if fc is None or wp is None:
            return
        if fc - wp < 0.01:
            yield Issue(
                ("theta_fc",), f"`theta_fc` = {fc}: must be at least 0.01 above `theta_wp` = {wp}"
            )
            return
        try:
            by_contents(theta_fc=fc, theta_wp=wp, texture=self.texture, **self.given())
        except ValueError as error:
            yield Issue(("theta_fc",), str(error))


_REPLACING: Final = ("theta_s", "ks_m_d", "pore_connectivity", "fc_suction_m", "drainage_time_d")


class SoilLayer(Material):
    """One horizon: by field capacity and wilting point, by texture class, or by its retention curve
    after van Genuchten (1980) with `theta_r`, `theta_s`, `alpha_per_m`, `n` and `ks_m_d`."""

    thickness_m: ThicknessM
    """Height of the layer."""
    theta_r: ThetaR | None = None
    """Residual water content."""
    alpha_per_m: AlphaPerM | None = None
    """Inverse of a typical suction."""
    n: PoreSizes | None = None
    """Width of the pore size distribution."""

    @property
    def has_curve(self) -> bool:
        """Whether the layer is described by its retention curve."""
        return any(getattr(self, key) is not None for key in ("theta_r", "alpha_per_m", "n"))

    def troubles(self) -> Iterator[Issue]:
        """One description, complete and possible."""
        yield from contents_rise(self, ("theta_r", "theta_wp", "theta_fc", "theta_s"))
        if self.has_curve:
            yield from self._curve()
            return
        given = [key for key in _CONTENTS if getattr(self, key) is not None]
        if len(given) == 1:
            missing = next(key for key in _CONTENTS if key not in given)
            yield Issue((given[0],), f"`{given[0]}` needs `{missing}` too")
        elif not given and self.texture is None:
            yield Issue((), "a layer has no description", "; or ".join(_LAYER_WAYS))
        yield from self._contents()

    def _curve(self) -> Iterator[Issue]:
        missing = [f"`{key}`" for key in _CURVE if getattr(self, key) is None]
        if missing:
            yield Issue((), f"a retention curve needs {' and '.join(missing)} too", _LAYER_WAYS[2])
        elif self.pore_connectivity is not None and self.n is not None:
            yield from conductivity_falls(self.pore_connectivity, self.n)
        for key in ("texture", "fc_suction_m"):
            if getattr(self, key) is not None:
                yield Issue((key,), f"`{key}` has no effect beside a retention curve")


_CURVE: Final = ("theta_r", "theta_s", "alpha_per_m", "n", "ks_m_d")
_LAYER_WAYS: Final = ("`theta_fc`, `theta_wp`", "`texture`", ", ".join(f"`{k}`" for k in _CURVE))


_INITIAL: Final = {
    "available_pct": (0.0, 200.0),
    "theta": (0.0, 1.0),
    "head_m": (-1e4, 10.0),
    "water_table_m": (0.0, 100.0),
}


class Initial(Table):
    """Water in the soil at the start: exactly one of four quantities."""

    available_pct: Annotated[tuple[float, ...] | None, *_by_depth(0, 200)] = None
    """Share of the water between wilting point (0) and field capacity (100), up to 200."""
    theta: Annotated[tuple[float, ...] | None, *_by_depth(0, 1)] = None
    """Volumetric water content, 0 to 1."""
    head_m: Annotated[tuple[float, ...] | None, *_by_depth(-1e4, 10)] = None
    """Pressure head, -10000 to 10; suction is negative."""
    water_table_m: float | None = Field(default=None, ge=0, le=100)
    """Depth of a water table, with the soil above it in equilibrium."""
    depth_m: Annotated[tuple[float, ...] | None, *_by_depth(0, 10)] = None
    """Depths of several values, increasing; linear in between, constant outside."""

    @model_validator(mode="before")
    @classmethod
    def _default(cls, data: Any) -> Any:
        return {"available_pct": 100.0} if data == {} else data

    def troubles(self) -> Iterator[Issue]:
        """One quantity, in its range, a value for each depth."""
        given = [key for key in _INITIAL if getattr(self, key) is not None]
        if len(given) != 1:
            names = ", ".join(f"`{key}`" for key in _INITIAL)
            found = " and ".join(f"`{key}`" for key in given) or "none"
            yield Issue((), f"exactly one of {names} is needed: found {found}")
            return
        key = given[0]
        low, high = _INITIAL[key]
        for value in self.values:
            if not low <= value <= high:
                yield Issue((key,), out_of_range(key, value, between(low, high), unit_of(key)))
        if len(self.depths_m) != len(self.values):
            yield Issue(
                (key,),
                f"`{key}` has {len(self.values)} values for {len(self.depths_m)} depths",
                "" if self.depth_m else "give `depth_m` as many values",
            )
        if self.depths_m[0] < 0 or any(b <= a for a, b in pairwise(self.depths_m)):
            yield Issue(("depth_m",), "`depth_m` must increase from 0 or more")

    @property
    def quantity(self) -> str:
        """Which of the four is given."""
        return next(key for key in _INITIAL if getattr(self, key) is not None)

    @property
    def values(self) -> tuple[float, ...]:
        """The values given."""
        value = getattr(self, self.quantity)
        return value if isinstance(value, tuple) else (value,)

    @property
    def depths_m(self) -> tuple[float, ...]:
        """Depth of each value."""
        return self.depth_m or (0.0,)


class Soil(Material):
    """The soil of a zone: described by exactly one of a texture class, fractions by mass, measured
    water contents, or layers."""

    model: Literal["bucket", "richards"] = DEFAULT_SOIL_MODEL
    """`bucket`: root zone balance of FAO-56; `richards`: flow by depth."""
    sand_pct: float | None = Field(default=None, ge=0, le=100)
    """Sand by mass, together with `silt_pct` and `clay_pct`."""
    silt_pct: float | None = Field(default=None, ge=0, le=100)
    """Silt by mass."""
    clay_pct: float | None = Field(default=None, ge=0, le=100)
    """Clay by mass."""
    layer: Annotated[tuple[SoilLayer, ...], BeforeValidator(as_tuple)] = ()
    """Horizons from the top down; the last one reaches the bottom."""
    depth_m: float = Field(default=2.0, ge=0.2, le=10)
    """Depth to which water is followed."""
    cells: int = Field(default=DEFAULT_CELLS, ge=10, le=1000)
    """Cells of the grid, finest at the surface and where two soils meet; the largest number of all
    zones holds for all; `richards` only."""
    bottom: Literal["free-drainage", "zero-flux", "head", "seepage-face"] = "free-drainage"
    """What happens there; `bucket` knows free drainage only."""
    bottom_head_m: float | None = Field(default=None, ge=-100, le=10)
    """Pressure head there, with `bottom = "head"`; 0 is a water table."""
    intake_mm_h: float | None = Field(default=None, gt=0, le=10_000)
    """Rate above which water runs off in `bucket`; without it, it follows from the soil."""
    ponding_max_mm: PondingMaxMm = 5.0
    """Water that may stand on the surface before it runs off, in `richards`."""
    curve_number: CurveNumber | None = None
    """Runoff of a day's rain by the curve number of the NRCS, of average antecedent moisture; for
    daily rain, which has no intensity. What is left still meets `intake_mm_h`, or ponds."""
    curve_number_moisture: Moisture = "five-day-rain"
    """Antecedent moisture: by the rain of the five days before (NEH-4 table 4.2), or the same
    always."""
    initial_abstraction: Abstraction = 0.2
    """What is held before anything runs off, share of the retention S of the curve number."""
    rew_mm: float | None = Field(default=None, ge=0, le=20)
    """Readily evaporable water, FAO-56 table 19; without it, it follows from the soil."""
    initial: Initial = Initial()
    """Water at the start; without it, field capacity."""

    def troubles(self) -> Iterator[Issue]:
        """One description, complete; depths inside; nothing the bucket does not know."""
        yield from self._description()
        yield from self._contents()
        if self.initial.depths_m[-1] > self.depth_m:
            yield Issue(
                ("initial", "depth_m"),
                f"`depth_m` = {self.initial.depths_m[-1]:g} m: the soil ends at {self.depth_m:g} m",
            )
        if (self.bottom == "head") != (self.bottom_head_m is not None):
            key = "bottom" if self.bottom_head_m is None else "bottom_head_m"
            yield Issue((key,), '`bottom = "head"` and `bottom_head_m` go together')
        if len(self.layer) > _MOST_LAYERS:
            yield Issue(("layer",), f"{len(self.layer)} layers: permitted at most {_MOST_LAYERS}")
        if self.model == "bucket":
            yield from self._bucket()

    def _description(self) -> Iterator[Issue]:
        def there(keys: tuple[str, ...]) -> list[str]:
            return [key for key in keys if getattr(self, key) is not None]

        ways = {
            "`texture`": self.texture is not None and not there(_CONTENTS),
            "`sand_pct`, `silt_pct`, `clay_pct`": bool(there(_FRACTIONS)),
            "`theta_fc`, `theta_wp`": bool(there(_CONTENTS)),
            "`[[zone.soil.layer]]`": bool(self.layer),
        }
        given = [text for text, found in ways.items() if found]
        if len(given) != 1:
            yield Issue(
                (),
                f"a soil is described in exactly one way: found {' and '.join(given) or 'none'}",
                "; or ".join(ways),
            )
        for key in there(_REPLACING) if self.layer else ():
            yield Issue((key,), f"`{key}` has no effect beside layers, which have their own")
        for group in (_FRACTIONS, _CONTENTS):
            present = there(group)
            missing = [f"`{key}`" for key in group if key not in present]
            if present and missing:
                yield Issue((present[0],), f"`{present[0]}` needs {' and '.join(missing)} too")
        if len(there(_FRACTIONS)) == len(_FRACTIONS):
            total = math.fsum(getattr(self, key) for key in _FRACTIONS)
            if abs(total - 100) > 1:
                yield Issue(
                    ("sand_pct",),
                    f"`sand_pct` + `silt_pct` + `clay_pct` = {total:g} %: permitted 99 to 101 %",
                )

    def _bucket(self) -> Iterator[Issue]:
        hint = 'set model = "richards"'
        if self.bottom != "free-drainage":
            yield Issue(("bottom",), f'`bottom` = "{self.bottom}": the bucket drains freely', hint)
        if self.initial.quantity in ("head_m", "water_table_m"):
            key = self.initial.quantity
            yield Issue(("initial", key), f"`{key}`: the bucket has no suction", hint)
        if self.initial.quantity == "theta" and max(self.initial.values) > 0.7:
            yield Issue(
                ("initial", "theta"),
                out_of_range("theta", max(self.initial.values), f"{between(0, 0.7)} in the bucket"),
            )
