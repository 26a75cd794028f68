"""Weather of a site: read, checked, and brought to hours.

Files of our own (`csv_file`) carry units in the names of their columns; EPW, NASA POWER and
Open-Meteo files are recognised by their first line and become the same table, with the same checks
afterwards.  Times are local standard time; a file kept on a clock that changes to daylight saving
time names its zone, and is brought to standard time.

Nothing is repaired silently: an unknown column, a value that is not a number or implausible for its
unit, a time twice or back in time is refused with file and line.  A period whose values fit another
unit better is refused, or doubted in `Weather.notes`, which also counts what was cut (`checks`).
Absent values are named by column, and filled only by a method that the caller names (`gaps`);
`Weather.filled` says which.

Humidity becomes actual vapour pressure: dew point (FAO-56 Eq. 14) before extremes of relative
humidity (Eq. 17) before their mean (Eq. 19).  Wind is brought to 2 m (Eq. 47).  Left out: NetCDF
and JSON, fetching (a run must not depend on the network), corrections of rain gauges for wind, of
radiation for dirty or shaded sensors.
"""

from __future__ import annotations

from levada.sim.errors import WeatherError
from levada.sim.settings.site import Site
from levada.sim.weather.files import Form, form_of, read
from levada.sim.weather.from_table import build, from_days
from levada.sim.weather.gaps import FILL_METHODS, Fill
from levada.sim.weather.series import Days, Step, Weather, WeatherTable, write
from levada.sim.weather.site import wind_at_2m

__all__ = [
    "FILL_METHODS",
    "Days",
    "Fill",
    "Form",
    "Site",
    "Step",
    "Weather",
    "WeatherError",
    "WeatherTable",
    "build",
    "form_of",
    "from_days",
    "read",
    "wind_at_2m",
    "write",
]
