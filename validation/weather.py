"""Comparisons of reference ET, hours made from days and random weather; see
`validation.comparison`."""

from __future__ import annotations

import csv
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from levada.sim import weather
from levada.sim.crop import et0
from levada.sim.crop.et0 import Surface
from levada.sim.units import HOUR_MS
from levada.sim.weather import Site, generator
from levada.sim.weather.disaggregate import saturation_kpa
from validation.comparison import DATA, ROOT, Comparison, figure
from validation.disaggregation_error import disaggregation_error

FloatArray = npt.NDArray[np.float64]

ET0 = "[reference ET](models/et0.md)"
WEATHER = "[weather](models/weather.md)"
PACIFIC = "America/Los_Angeles"
FALLON = Site(
    latitude_deg=39.4575,
    longitude_deg=-118.77388,
    elevation_m=1208.5,
    utc_offset_h=-8.0,
    wind_height_m=3.0,
)
GREELEY = Site(latitude_deg=40.4487, longitude_deg=-104.638, elevation_m=1427.4, utc_offset_h=-7.0)
WEATHER_FILES = ROOT / "levada/scenarios" / "weather"
REFET = "Ref-ET for Windows (University of Idaho), output kept by github.com/WSWUP/RefET"


def table(path: Path) -> list[dict[str, str]]:
    """Rows of a CSV file with comments."""
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))


def kpa(temp_c: float) -> float:
    """Saturation vapour pressure."""
    return float(saturation_kpa(np.array(temp_c)))


def validate_fao56_daily() -> Comparison:
    """Examples 17, 18 and 20 of FAO-56, chapter 4."""
    bangkok = Site(latitude_deg=13.7333, longitude_deg=100.5, elevation_m=2.0, utc_offset_h=7.0)
    uccle = Site(
        latitude_deg=50.8, longitude_deg=4.35, elevation_m=100.0, utc_offset_h=1.0, wind_height_m=10
    )
    lyon = Site(latitude_deg=45.7167, longitude_deg=4.85, elevation_m=200.0, utc_offset_h=1.0)
    of_april = et0.daily(
        tmax_c=34.8,
        tmin_c=25.6,
        ea_kpa=2.85,
        solar_mj_m2=22.65,
        wind_m_s=2.0,
        day_of_year=105,
        site=bangkok,
        soil_heat_mj_m2=0.14,
    )
    of_july = et0.daily(
        tmax_c=21.5,
        tmin_c=12.3,
        ea_kpa=(kpa(12.3) * 0.84 + kpa(21.5) * 0.63) / 2.0,
        solar_mj_m2=22.07,
        wind_m_s=10.0 / 3.6,
        day_of_year=187,
        site=uccle,
    )
    by_temperature = et0.daily(
        tmax_c=26.6,
        tmin_c=14.8,
        ea_kpa=kpa(14.8),
        solar_mj_m2=22.29,
        wind_m_s=2.0,
        day_of_year=196,
        site=lyon,
    )
    ours = np.concatenate([of_april, of_july, by_temperature])
    off = float(np.max(np.abs(ours - np.array([5.72, 3.88, 4.56]))))
    return Comparison(
        model=ET0,
        name="FAO-56 examples by the day",
        data="Bangkok, Uccle, Lyon: examples 17, 18, 20",
        period="single days",
        reference="Allen et al. 1998, chapter 4: 5.72, 3.88, 4.56 mm/d",
        version="-",
        error=f"at most {off:.3f} mm/d (printed to 0.01)",
        worst=off,
        limit=0.005,
    )


def validate_fao56_hourly() -> Comparison:
    """Example 19 of FAO-56, N'Diaye, at night and after noon."""
    site = Site(latitude_deg=16.2167, longitude_deg=-16.25, elevation_m=8.0, utc_offset_h=-1.0)
    ours = et0.hourly(
        temp_c=[28.0, 38.0],
        ea_kpa=[0.90 * kpa(28.0), 0.52 * kpa(38.0)],
        solar_mj_m2=[0.0, 2.450],
        wind_m_s=[1.9, 3.3],
        day_of_year=[274, 274],
        hour=[2, 14],
        site=site,
        form="fao56",
    )
    off = float(np.max(np.abs(ours - np.array([0.00, 0.63]))))
    return Comparison(
        model=ET0,
        name="FAO-56 example by the hour",
        data="N'Diaye, 02:00 and 14:00: example 19, form `fao56`",
        period="single hours",
        reference="Allen et al. 1998, chapter 4: 0.00, 0.63 mm/h",
        version="-",
        error=f"at most {off:.3f} mm/h (printed to 0.01)",
        worst=off,
        limit=0.005,
    )


def validate_asce_hourly() -> Comparison:
    """Appendix C of the ASCE standard, Greeley, 2 July 2000, hours that end at 8:00 to 15:00."""
    site = Site(latitude_deg=40.41, longitude_deg=-104.78, elevation_m=1462.4, utc_offset_h=-7.0)
    ours = et0.hourly(
        temp_c=[22.9, 26.4, 28.2, 29.8, 30.9, 31.8, 32.5, 32.9],
        ea_kpa=[1.39, 1.25, 1.17, 1.03, 1.02, 0.98, 0.87, 0.86],
        solar_mj_m2=[1.74, 2.34, 2.84, 3.25, 3.21, 3.34, 2.96, 2.25],
        wind_m_s=[0.81, 0.67, 1.40, 1.81, 1.90, 2.54, 2.67, 2.85],
        day_of_year=np.full(8, 184),
        hour=np.arange(7, 15),
        site=site,
    )
    printed = np.array([0.32, 0.46, 0.60, 0.72, 0.73, 0.79, 0.74, 0.62])
    off = float(np.max(np.abs(ours - printed)))
    return Comparison(
        model=ET0,
        name="table of the ASCE standard",
        data="Greeley, eight hours of a day in July",
        period="2 July 2000",
        reference="ASCE-EWRI 2005, Appendix C",
        version="-",
        error=f"at most {off:.3f} mm/h (printed to 0.01)",
        worst=off,
        limit=0.005,
        note="In the hour before these the sun is below 0.3 rad: with a clear sky there, as in "
        "`refet`, it is 0.18, in the table 0.19.",
    )


def _fallon_by_the_day(surface: Surface, theirs: str) -> tuple[FloatArray, FloatArray]:
    """Ref-ET's reference ET of every day of 2015 at Fallon, its column `theirs`, and what ours is
    off [mm/d]."""
    rows = table(DATA / "fallon_2015_refet_daily.csv")

    def column(name: str) -> FloatArray:
        return np.array([float(row[name]) for row in rows])

    ours = et0.daily(
        tmax_c=column("tmax_c"),
        tmin_c=column("tmin_c"),
        ea_kpa=saturation_kpa(column("tdew_c")),
        solar_mj_m2=column("solar_mj_m2"),
        wind_m_s=column("wind_m_s"),
        day_of_year=[date.fromisoformat(row["date"]).timetuple().tm_yday for row in rows],
        site=FALLON,
        surface=surface,
    )
    return column(theirs), ours - column(theirs)


def validate_refet_daily() -> Comparison:
    """Every day of 2015 at Fallon beside Ref-ET."""
    theirs, off = _fallon_by_the_day("short", "eto_mm")
    worst = float(np.max(np.abs(off)))

    def draw(axes: Any) -> None:
        axes.plot(theirs, off, "r.", ms=3)
        axes.axhline(0.0, color="k", lw=0.8)
        axes.set(xlabel="Ref-ET [mm/d]", ylabel="levada less Ref-ET [mm/d]")

    return Comparison(
        model=ET0,
        name="a year by the day",
        data=f"Fallon, Nevada, AgriMet, {len(off)} days",
        period="2015",
        reference=REFET,
        version="4.1",
        error=f"at most {worst:.2f} mm/d, RMS {np.sqrt(np.mean(off**2)):.2f}; "
        f"sum {off.sum() / theirs.sum() * 100:+.1f} %",
        worst=worst,
        limit=0.15,
        figure=figure("et0_daily", draw),
        unseen=True,
        note="All of it comes from the clear-sky radiation: FAO-56 Eq. 37 here, Ref-ET computes it "
        "from turbidity and vapour. With that form the same equations are within 0.011 mm/d of "
        "Ref-ET on every day, so Ref-ET is the better model of a clear sky, and the difference is "
        "1 % of ET0.",
    )


def validate_refet_tall() -> Comparison:
    """ETr of every day of 2015 at Fallon beside Ref-ET."""
    theirs, off = _fallon_by_the_day("tall", "etr_mm")
    worst = float(np.max(np.abs(off)))
    return Comparison(
        model=ET0,
        name="alfalfa, a year by the day",
        data=f"Fallon, Nevada, AgriMet, {len(off)} days",
        period="2015",
        reference=REFET,
        version="4.1",
        error=f"at most {worst:.2f} mm/d, RMS {np.sqrt(np.mean(off**2)):.2f}; "
        f"sum {off.sum() / theirs.sum() * 100:+.1f} %",
        worst=worst,
        limit=0.15,
        unseen=True,
    )


def validate_refet_hourly() -> Comparison:
    """Every hour of 2015 at Fallon beside Ref-ET, on standard time."""
    found = weather.read(
        WEATHER_FILES / "fallon_nv_2015_hourly.csv", FALLON, time_zone=PACIFIC, fill="linear"
    )
    theirs = refet_hours(found.time_ms)
    ours = et0.hourly(
        temp_c=found.temp_c,
        ea_kpa=found.ea_kpa,
        solar_mj_m2=found.solar_mj_m2,
        wind_m_s=found.wind_m_s,
        day_of_year=found.day_of_year,
        hour=found.time_ms // HOUR_MS % 24,
        site=Site(**{**vars(FALLON), "wind_height_m": 2.0}),
    )
    known = np.isfinite(theirs)
    off = (ours - theirs)[known]
    rms = float(np.sqrt(np.mean(off**2)))
    hour = (found.time_ms // HOUR_MS % 24)[known]

    def draw(axes: Any) -> None:
        axes[0].plot(theirs[known], off, "r.", ms=1, rasterized=True)
        axes[0].set(xlabel="Ref-ET [mm/h]", ylabel="levada less Ref-ET [mm/h]")
        by_hour = [float(np.sqrt(np.mean(off[hour == h] ** 2))) for h in range(24)]
        axes[1].bar(np.arange(24) + 0.5, by_hour, color="r")
        axes[1].set(xlabel="hour (standard time)", ylabel="RMS [mm/h]")

    total = off.sum() / float(np.nansum(theirs)) * 100.0
    return Comparison(
        model=ET0,
        name="a year by the hour",
        data=f"Fallon, Nevada, AgriMet, {off.size} hours, clock time brought to standard time, "
        "form `asce`",
        period="2015",
        reference=REFET,
        version="4.1",
        error=f"RMS {rms:.3f} mm/h, 95 % within {np.percentile(np.abs(off), 95):.3f}, "
        f"at most {np.abs(off).max():.2f}; sum {total:+.1f} %",
        worst=rms,
        limit=0.01,
        figure=figure("et0_hourly", draw, columns=2),
        note="While the sun is below 0.3 rad both go on with the cloudiness of the last hour with "
        "a higher sun. The package `refet` assumes a clear sky there, which loses more heat: RMS "
        "0.013 mm/h, sum -3.3 %. Ref-ET's clear sky of turbidity and vapour instead of that of "
        "elevation brings hours no closer: RMS 0.008, sum -1.5 %.",
    )


def refet_hours(time_ms: npt.NDArray[np.int64]) -> FloatArray:
    """ETo [mm/h] of Ref-ET at the starts of hours of standard time, NaN where it has none."""
    rows = {row["date"]: row for row in table(DATA / "fallon_2015_refet_hourly.csv")}
    zone = ZoneInfo(PACIFIC)
    found = np.full(time_ms.size, np.nan)
    for k, time in enumerate(time_ms.tolist()):
        utc = datetime.fromtimestamp(time / 1000.0, UTC) - timedelta(hours=FALLON.utc_offset_h)
        clock = utc.astimezone(zone)
        text = rows.get(f"{clock:%Y-%m-%d}", {}).get(f"h{clock:%H}", "")
        if text and not clock.fold:  # of the hour that comes twice the file has one
            found[k] = float(text)
    return found


def validate_disaggregation() -> Comparison:
    """Hours made from the days of Fallon 2015 beside the measured ones."""
    found = weather.read(
        WEATHER_FILES / "fallon_nv_2015_hourly.csv", FALLON, time_zone=PACIFIC, fill="linear"
    )
    errors = disaggregation_error(found)
    made = weather.from_days(found.days, found.site)
    of_week = slice(24 * 181, 24 * 188)

    def draw(axes: Any) -> None:
        days = np.arange(24 * 7) / 24.0
        axes[0].plot(days, found.temp_c[of_week], "k", lw=1, label="measured")
        axes[0].plot(days, made.temp_c[of_week], "r", lw=1, label="made")
        axes[0].set(xlabel="days from 1 July", ylabel="degC")
        axes[0].legend()
        axes[1].plot(days, found.solar_mj_m2[of_week] / 0.0036, "k", lw=1)
        axes[1].plot(days, made.solar_mj_m2[of_week] / 0.0036, "r", lw=1)
        axes[1].set(xlabel="days from 1 July", ylabel="W m-2")

    units = {
        "temp_c": "degC",
        "solar_w_m2": "W m-2",
        "wind_m_s": "m/s",
        "ea_kpa": "kPa",
        "et0_mm_h": "mm/h",
    }
    text = ", ".join(f"{key.split('_')[0]} {errors[key].rmse:.3g} {units[key]}" for key in units)
    return Comparison(
        model=WEATHER,
        name="hours made from days",
        data="Fallon, Nevada, measured hours summed to days and spread again",
        period="2015",
        reference="the measured hours, 8760",
        version="-",
        error=f"RMS: {text}",
        worst=errors["et0_mm_h"].rmse,
        limit=0.07,
        figure=figure("disaggregation", draw, columns=2),
    )


def validate_generator() -> Comparison:
    """Twenty generated years beside the months they were fitted to."""
    measured = weather.read(WEATHER_FILES / "greeley_co_2023_daily.csv", GREELEY)
    climate = generator.fit(measured)
    start, end = date(2023, 1, 1), date(2023, 10, 31)
    years = [generator.generate(climate, start, end, seed=seed) for seed in range(20)]
    sums = np.array([float(et0.of_weather(year).sum()) for year in years])
    rains = np.array([float(year.days.rain_mm.sum()) for year in years])
    et0_mm = float(et0.of_weather(measured).sum())
    rain_mm = float(measured.days.rain_mm.sum())
    off = float(sums.mean() / et0_mm - 1.0)

    def draw(axes: Any) -> None:
        axes.plot(rains, sums, "r.", label="generated")
        axes.plot([rain_mm], [et0_mm], "k*", ms=9, label="measured")
        axes.set(xlabel="rain [mm]", ylabel="ET0 [mm]")
        axes.legend()

    return Comparison(
        model=WEATHER,
        name="generated seasons",
        data="fitted to Greeley, Colorado; 20 seeds",
        period="January to October 2023",
        reference=f"the measured year: ET0 {et0_mm:.0f} mm, rain {rain_mm:.0f} mm",
        version="-",
        error=f"mean ET0 {off * 100:+.1f} % (standard deviation {sums.std():.0f} mm), "
        f"rain {(rains.mean() / rain_mm - 1.0) * 100:+.0f} % ({rains.std():.0f} mm)",
        worst=abs(off),
        limit=0.03,
        figure=figure("generator", draw),
        note="One year teaches the generator nothing of the differences between years.",
    )
