"""Reference ET that a weather file brings: taken as it is, computed only where it is absent."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pytest

from levada.sim.crop import et0
from levada.sim.weather import Site, WeatherError, read, write

LYON = Site(latitude_deg=45.7, longitude_deg=4.9, elevation_m=200.0, utc_offset_h=1.0)
DAILY = "date,solar_mj_m2,tmax_c,tmin_c,tdew_c,wind_m_s,rain_mm"
HOURLY = "time,solar_w_m2,temp_c,dewpoint_c,wind_m_s,rain_mm"


def days(tmp_path: Path, columns: str, *cells: str) -> Path:
    path = tmp_path / "days.csv"
    rows = [f"2023-07-{day:02d},22,28,14,12,2,0,{cell}" for day, cell in enumerate(cells, 1)]
    path.write_text("\n".join([f"{DAILY},{columns}", *rows]) + "\n")
    return path


def hours(tmp_path: Path, columns: str, *cells: str) -> Path:
    path = tmp_path / "hours.csv"
    rows = [
        f"2023-07-01T{h:02d}:00,{400 * (6 < h < 20)},20,12,2,0,{cell}"
        for h, cell in enumerate(cells)
    ]
    path.write_text("\n".join([f"{HOURLY},{columns}", *rows]) + "\n")
    return path


def by_day(values: np.ndarray) -> list[float]:
    return [float(total) for total in values.reshape(-1, 24).sum(axis=1)]


def test_days_are_taken_as_they_are_and_absent_ones_computed(tmp_path: Path) -> None:
    plain = by_day(et0.of_weather(read(days(tmp_path, "et0_mm", "", "", ""), LYON)))
    weather = read(days(tmp_path, "et0_mm", "4.2", "", "6.5"), LYON)
    assert by_day(et0.of_weather(weather)) == pytest.approx([4.2, plain[1], 6.5])
    assert weather.notes == (
        "et0_mm: reference ET of grass is the file's in 2 of 3 days, computed in the others",
    )
    assert not weather.filled
    shape = et0.of_weather(weather).reshape(-1, 24)
    assert shape.argmax(axis=1) == pytest.approx(13, abs=2)  # spread as the computed one is


def test_each_column_serves_its_own_surface(tmp_path: Path) -> None:
    weather = read(days(tmp_path, "et0_mm,etr_mm", "4.2,5.6", "5.0,6.7"), LYON)
    assert by_day(et0.of_weather(weather)) == pytest.approx([4.2, 5.0])
    assert by_day(et0.of_weather(weather, surface="tall")) == pytest.approx([5.6, 6.7])
    assert weather.notes[1] == (
        'etr_mm: reference ET of alfalfa for crops with `reference = "tall"` is the file\'s in 2 '
        "of 2 days"
    )
    short = read(days(tmp_path, "et0_mm", "4.2", "5.0"), LYON)
    assert by_day(et0.of_weather(short, surface="tall"))[0] > 5.0  # not told: computed


def test_hours_are_taken_as_they_are(tmp_path: Path) -> None:
    given = [f"{0.03 * max(0, h - 6):.2f}" if h != 12 else "" for h in range(24)]
    given[2] = "-0.02"
    weather = read(hours(tmp_path, "et0_mm", *given), LYON)
    plain = read(hours(tmp_path, "et0_mm", *[""] * 24), LYON)
    found = et0.of_weather(weather)
    assert found[13] == pytest.approx(0.21)
    assert found[2] == 0.0
    assert found[12] == pytest.approx(et0.of_weather(plain)[12])
    assert weather.notes == (
        "et0_mm: reference ET of grass is the file's in 23 of 24 hours, computed in the others",
        "et0_mm below zero in 1 of these: dew, counted as 0",
    )
    assert plain.notes == ()


def test_the_days_of_a_period_keep_theirs(tmp_path: Path) -> None:
    path = days(tmp_path, "et0_mm", "4.1", "4.2", "4.3", "4.4")
    asked = read(path, LYON, start=date(2023, 7, 2), end=date(2023, 7, 3))
    assert by_day(et0.of_weather(asked)) == pytest.approx([4.2, 4.3])
    cut = read(path, LYON).period(date(2023, 7, 3))
    assert by_day(et0.of_weather(cut)) == pytest.approx([4.3, 4.4])


@pytest.mark.parametrize("kind", ["days", "hours"])
def test_what_was_read_is_written(tmp_path: Path, kind: str) -> None:
    path = (
        days(tmp_path, "et0_mm,etr_mm", "4.2,", ",6.7")
        if kind == "days"
        else hours(tmp_path, "etr_mm", *["0.25", ""] * 12)
    )
    weather = read(path, LYON)
    write(weather, tmp_path / "again.csv")
    again = read(tmp_path / "again.csv", LYON)
    assert again.reference_et.keys() == weather.reference_et.keys()
    for surface, values in weather.reference_et.items():
        np.testing.assert_allclose(again.reference_et[surface], values)


def test_a_day_that_is_not_there_is_filled_and_its_reference_et_computed(tmp_path: Path) -> None:
    path = days(tmp_path, "et0_mm", "4.1", "4.2", "4.3")
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if not line.startswith("2023-07-02")))
    with pytest.raises(WeatherError, match="1 day absent"):
        read(path, LYON)
    weather = read(path, LYON, fill="previous-day")
    assert "is the file's in 2 of 3 days, computed in the others" in weather.notes[0]


OPEN_METEO = """latitude,longitude,elevation,utc_offset_seconds,timezone,timezone_abbreviation
45.69,4.92,201.0,3600,Europe/Paris,CET

"""


def test_open_meteo_days_bring_theirs_in_any_unit(tmp_path: Path) -> None:
    path = tmp_path / "meteo.csv"
    path.write_text(
        OPEN_METEO + "time,temperature_2m_max (°C),temperature_2m_min (°C),precipitation_sum (mm),"
        "sunshine_duration (s),wind_speed_10m_mean (m/s),dew_point_2m_mean (°C),"
        "et0_fao_evapotranspiration (inch)\n"
        "2023-06-01,26,14,0,36000,2,12,0.20\n2023-06-02,26,14,0,36000,2,12,\n",
        encoding="utf-8",
    )
    weather = read(path, LYON)
    assert by_day(et0.of_weather(weather))[0] == pytest.approx(5.08)
    assert "no radiation: by sunshine_h" in weather.notes[0]


def test_open_meteo_hours_are_those_before_their_label(tmp_path: Path) -> None:
    rows = [
        f"2023-06-{1 + h // 24:02d}T{h % 24:02d}:00,20,55,0,2,100,{h / 100:.2f}" for h in range(25)
    ]
    path = tmp_path / "meteo.csv"
    path.write_text(
        OPEN_METEO + "time,temperature_2m (°C),relative_humidity_2m (%),precipitation (mm),"
        "wind_speed_10m (m/s),shortwave_radiation (W/m²),et0_fao_evapotranspiration (mm)\n"
        + "\n".join(rows)
        + "\n",
        encoding="utf-8",
    )
    found = et0.of_weather(read(path, LYON))
    np.testing.assert_allclose(found, np.arange(1, 25) / 100.0)


@pytest.mark.parametrize(
    ("columns", "cell", "message"),
    [
        ("et0_mm", "55", "et0_mm = 55; allowed for reference ET of grass is -1 to 25 mm"),
        ("etr_mm", "-999", "etr_mm = -999; .* the code of an absent value"),
        ("et0_mm", "x", "`x` in column `et0_mm`; a number is needed"),
        ("et0_in", "0.2", r"unknown column `et0_in`; did you mean `et0_mm` \[mm\]"),
        ("eto_mm", "5", r"unknown column `eto_mm`; did you mean `et[0r]_mm` \[mm\]"),
    ],
)
def test_what_is_no_reference_et_is_refused(
    tmp_path: Path, columns: str, cell: str, message: str
) -> None:
    with pytest.raises(WeatherError, match=message):
        read(days(tmp_path, columns, "5" if columns[-2:] == "mm" else cell, cell), LYON)


def test_inches_over_a_season_are_doubted(tmp_path: Path) -> None:
    path = tmp_path / "days.csv"
    first = np.datetime64("2023-05-01")
    rows = [f"{first + day},22,28,14,12,2,{6 * (day % 9 == 0)},0.21" for day in range(70)]
    path.write_text("\n".join([f"{DAILY},et0_mm", *rows]) + "\n")
    assert "et0_mm is 0.21 mm a day on average: are these inches?" in read(path, LYON).notes
