"""The wording of every refusal of a number: its name, what was found, what is permitted.

`depth_m` = 7 m: permitted above 0 and at most 5 m
"""

from __future__ import annotations

__all__ = ["between", "check_range", "format_number", "out_of_range"]


def format_number(value: float) -> str:
    """The shortest text of a number, without a trailing `.0`."""
    if isinstance(value, int):
        return str(value)
    value = float(value)  # a number of NumPy has a longer name
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)


def between(
    low: float | None, high: float | None, *, above: bool = False, below: bool = False
) -> str:
    """The text of a range, such as `0 to 5`, `above 0 and at most 5`, `at least 1`.

    None is no bound; `above` and `below` say that the bound itself is not permitted.
    """
    if low is not None and high is not None and not above and not below:
        return f"{format_number(low)} to {format_number(high)}"
    least = "" if low is None else f"{'above' if above else 'at least'} {format_number(low)}"
    most = "" if high is None else f"{'below' if below else 'at most'} {format_number(high)}"
    return " and ".join(filter(None, (least, most)))


def out_of_range(name: str, value: object, permitted: str, unit: str = "") -> str:
    """The refusal of a value; `permitted` is a text of `between`, or names the choices."""
    found = format_number(value) if isinstance(value, int | float) else str(value)
    return f"{f'`{name}` = {found} {unit}'.rstrip()}: {f'permitted {permitted} {unit}'.rstrip()}"


def check_range(
    name: str,
    value: float,
    low: float | None,
    high: float | None,
    unit: str = "",
    *,
    above: bool = False,
    below: bool = False,
) -> None:
    """Raise ValueError unless a number lies between its bounds; NaN lies nowhere."""
    enough = low is None or (low < value if above else low <= value)
    if value == value and enough and (high is None or (value < high if below else value <= high)):
        return
    raise ValueError(out_of_range(name, value, between(low, high, above=above, below=below), unit))
