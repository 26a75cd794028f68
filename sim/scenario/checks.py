"""Rules that tie several tables of a scenario together.

They are asked when each table was judged by itself.  A table that was refused is None here, so that
one mistake does not hide the others, and rules that would need it stay silent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from itertools import combinations
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from levada.guest.module.rules import Rule
from levada.guest.text.ranges import between, out_of_range
from levada.sim.quantities import Moment, format_duration
from levada.sim.scenario.alert import Alert
from levada.sim.scenario.continuum import Cloud, Fog, Link
from levada.sim.scenario.expect import Expect
from levada.sim.scenario.fault import CONTRADICTIONS, FAULTS, Fault, FaultSpan, matching, spans
from levada.sim.scenario.toml_index import Path as KeyPath
from levada.sim.scenario.zone import Zone, spreadable
from levada.sim.settings.issue import Issue, did_you_mean
from levada.sim.settings.supply import WaterSupply

if TYPE_CHECKING:
    from levada.sim.scenario.model import Period

__all__ = [
    "MAX_ZONES",
    "DeclaredParameter",
    "between_tables",
    "guest_parameters",
    "shared_supplies",
    "tiers",
]

MAX_ZONES = 10_000
_LONGEST_GROWTH = timedelta(days=366)


class ZoneName(NamedTuple):
    """A zone before it is expanded."""

    name: str
    group: str


class DeclaredParameter(Protocol):
    """What a module says about one of its parameters."""

    @property
    def minimum(self) -> int:
        """Least value."""

    @property
    def maximum(self) -> int:
        """Greatest value."""

    @property
    def default(self) -> int:
        """Value that the guest starts with."""

    @property
    def unit(self) -> str:
        """Unit, may be empty."""


def between_tables(
    period: Period | None,
    zones: Sequence[Zone | None],
    faults: Sequence[Fault | None],
    expects: Sequence[Expect | None],
    alerts: Sequence[Alert | None],
) -> Iterator[Issue]:
    """Everything wrong between tables; paths start at the top of the file."""
    names = [ZoneName(n, z.name) for z in zones if z is not None for n in z.names()]
    known = names if None not in zones else None
    yield from _zones(period, zones, names)
    yield from _faults(period, faults, known)
    yield from _expectations(period, zones, faults, expects, known)
    yield from _alerts(alerts, known)


def tiers(
    period: Period,
    nodes: Collection[str],
    fog: Fog | None,
    cloud: Cloud | None,
    links: Sequence[Link],
) -> Iterator[Issue]:
    """What is wrong between the tiers and their links; `nodes` are the names of nodes."""
    if fog is not None and fog.name in nodes:
        text = f'`name` = "{fog.name}": a node is called so, and fog would not hear it'
        yield Issue(("fog", "name"), text)
    if cloud is not None and fog is None:
        yield Issue(("cloud",), "[cloud] without [fog]: fog forwards what the cloud takes")
    if fog is not None and cloud is None:
        yield Issue(("fog",), "[fog] without [cloud]: nothing takes what fog forwards")
    seen: set[str] = set()
    for i, link in enumerate(links):
        if fog is None:
            yield Issue(("link", i), "[[link]] has no effect: there is no [fog] and no [cloud]")
        if link.between in seen:
            yield Issue(
                ("link", i, "between"), f'`between` = "{link.between}" is there already: one table'
            )
        seen.add(link.between)
        for j, outage in enumerate(link.outage):
            start_ms = period.moment_ms(outage.start)
            if not period.start_ms <= start_ms < period.end_ms:
                where = ("link", i, "outage", j, "start")
                yield Issue(where, "`start` is outside the period of the scenario")


def _alerts(alerts: Sequence[Alert | None], known: Sequence[ZoneName] | None) -> Iterator[Issue]:
    seen: dict[tuple[str, int], int] = {}
    for i, alert in enumerate(alerts):
        if alert is None or known is None:
            continue
        yield from _unknown_zones(("alert", i, "zones"), alert.zones, known)
        for zone in matching(alert.zones, known):
            if seen.setdefault((alert.kind, zone), i) != i:
                yield Issue(
                    ("alert", i, "kind"),
                    f"a second rule of {alert.kind} in zone {known[zone].name}: one would have no "
                    "effect",
                )
                break


def _zones(
    period: Period | None, zones: Sequence[Zone | None], names: Sequence[ZoneName]
) -> Iterator[Issue]:
    if len(names) > MAX_ZONES:
        yield Issue(("zone",), f"{len(names)} zones: permitted at most {MAX_ZONES}")
    repeated = {name for name, count in Counter(n.name for n in names).items() if count > 1}
    seen: set[str] = set()
    used: dict[str, str] = {}
    for i, zone in enumerate(zones):
        if zone is None:
            continue
        yield from _nodes(i, zone, used)
        numbers = spreadable(zone)
        for key, deviation in zone.spread.items():
            if deviation and numbers[key] == 0.0:
                yield Issue(
                    ("zone", i, "spread", key),
                    f"`{key}` has no effect: it is 0, and every share of it too",
                )
        clash = sorted(repeated.intersection(zone.names()) & seen)
        if clash:
            yield Issue(("zone", i, "name"), f"the zone name `{clash[0]}` is used twice")
        seen.update(zone.names())
        if period is None:
            continue
        planting = zone.crop.planting
        path = ("zone", i, "crop", "planting")
        if planting > period.end:
            yield Issue(path, f"`planting` = {planting}: after the period, which ends {period.end}")
        elif period.start - planting > _LONGEST_GROWTH:
            yield Issue(
                path, f"`planting` = {planting}: more than a year before the period, {period.start}"
            )
        elif zone.crop.growth == "degree-days" and planting < period.start:
            yield Issue(
                path,
                f"`planting` = {planting}: before the period, {period.start}, and degree-days are "
                "counted from its weather",
                "begin the period with the planting, or count in days",
            )


def _nodes(i: int, zone: Zone, used: dict[str, str]) -> Iterator[Issue]:
    """The first zone of a table whose node is another zone's; `used` has those by place."""
    for name in zone.names():
        place = zone.node_of(name).place
        if place and used.setdefault(place, name) != name:
            path = ("nodes", name) if name in zone.nodes else ("node",)
            yield Issue(
                ("zone", i, *path),
                f"zones {used[place]} and {name} have one and the same node {place}",
                "give one zone alone a node by its name: --node ZONE=NODE, or `nodes` in [[zone]]",
            )
            return


def _unknown_zones(
    path: tuple[str | int, ...], patterns: Sequence[str], known: Sequence[ZoneName] | None
) -> Iterator[Issue]:
    if known is None:
        return
    for i, pattern in enumerate(patterns):
        if not matching([pattern], known):
            groups = list(dict.fromkeys(z.group for z in known))
            yield Issue(
                (*path, i), f"no zone fits `{pattern}`", did_you_mean(pattern, groups, "zones")
            )


def _outside(
    period: Period, moment: Moment, path: tuple[str | int, ...], last: bool = False
) -> Iterator[Issue]:
    at_ms = period.moment_ms(moment)
    if period.start_ms <= at_ms < period.end_ms or (last and at_ms == period.end_ms):
        return
    text = format_duration(moment) if isinstance(moment, timedelta) else str(moment)
    yield Issue(
        path,
        f"`{path[-1]}` = {text}: outside the period, {period.start} to {period.end} "
        f"({period.days} d)",
    )


def _faults(
    period: Period | None, faults: Sequence[Fault | None], known: Sequence[ZoneName] | None
) -> Iterator[Issue]:
    labels = Counter(fault.name for fault in faults if fault is not None and fault.name)
    for i, fault in enumerate(faults):
        if fault is None:
            continue
        if labels[fault.name] > 1 and fault.name:
            yield Issue(("fault", i, "name"), f"the fault name `{fault.name}` is used twice")
        if fault.name in FAULTS and fault.name != fault.kind:
            yield Issue(("fault", i, "name"), f"`{fault.name}` is a kind of fault, not a name")
        yield from _unknown_zones(("fault", i, "zones"), fault.zones, known)
        if period is None:
            continue
        troubles = list(_outside(period, fault.start, ("fault", i, "start")))
        yield from troubles
        if fault.duration is not None and not troubles:
            over = period.moment_ms(fault.start) + _ms(fault.duration) - period.end_ms
            if over > 0:
                yield Issue(
                    ("fault", i, "duration"),
                    f"`duration` = {format_duration(fault.duration)}: ends "
                    f"{format_duration(timedelta(milliseconds=over))} after the period",
                    "leave `duration` out for a fault that lasts to the end",
                )
    if period is not None and known is not None:
        yield from _overlaps(period, [(i, f) for i, f in enumerate(faults) if f], known)


def _overlaps(
    period: Period, faults: Sequence[tuple[int, Fault]], known: Sequence[ZoneName]
) -> Iterator[Issue]:
    acting = spans(period, [fault for _, fault in faults], known)
    for ((_, a), sa), ((j, b), sb) in combinations(zip(faults, acting, strict=True), 2):
        same = a.kind == b.kind
        if not (same or frozenset({a.kind, b.kind}) in CONTRADICTIONS):
            continue
        both = set(sa.zones) & set(sb.zones)
        if both and sa.start_ms < sb.end_ms and sb.start_ms < sa.end_ms:
            zone = known[min(both)].name
            yield Issue(
                ("fault", j, "start"),
                f"{b.label} overlaps {'another ' if same else ''}{a.label} in zone {zone}",
            )


def _expectations(
    period: Period | None,
    zones: Sequence[Zone | None],
    faults: Sequence[Fault | None],
    expects: Sequence[Expect | None],
    known: Sequence[ZoneName] | None,
) -> Iterator[Issue]:
    named = Counter(e.name for e in expects if e is not None)
    for i, expect in enumerate(expects):
        if expect is None:
            continue
        path = ("expect", i)
        if named[expect.name] > 1:
            yield Issue((*path, "name"), f'the expectation name "{expect.name}" is used twice')
        yield from _unknown_zones((*path, "zones"), expect.zones, known)
        if known is not None:
            yield from _of_bucket(path, expect, [z for z in zones if z is not None])
        if period is not None:
            yield from _window(period, path, expect)
        if expect.after is not None and None not in faults:
            declared = [f for f in faults if f is not None]
            yield from _after(period, path, expect, declared)


_NOT_OF_BUCKET: Final = {"head_probe_m": "suction", "ponding_mm": "water on its surface"}
"""Signals that the bucket never has -> what it lacks."""


def _of_bucket(
    path: tuple[str | int, ...], expect: Expect, zones: Sequence[Zone]
) -> Iterator[Issue]:
    if expect.kind == "summary":
        return
    unknown = [name for name in _NOT_OF_BUCKET if name in expect.expression.signals]
    for zone in zones if unknown else ():
        names = [ZoneName(n, zone.name) for n in zone.names()]
        if zone.soil.model == "bucket" and matching(expect.zones, names):
            key = "that" if expect.that is not None else "of"
            yield Issue(
                (*path, key),
                f"`{unknown[0]}`: the bucket of zone {zone.name} has no "
                f"{_NOT_OF_BUCKET[unknown[0]]}",
                'set model = "richards" in [zone.soil]',
            )
            return


def _window(period: Period, path: tuple[str | int, ...], expect: Expect) -> Iterator[Issue]:
    bounds = [("start", expect.start), ("end", expect.end)]
    troubles = [
        trouble
        for key, moment in bounds
        if moment is not None
        for trouble in _outside(period, moment, (*path, key), last=key == "end")
    ]
    yield from troubles
    if (
        not troubles
        and expect.start is not None
        and expect.end is not None
        and period.moment_ms(expect.end) <= period.moment_ms(expect.start)
    ):
        yield Issue((*path, "end"), "`end`: not after `start`")
    for key in ("longer_than", "within", "at_most"):
        limit: timedelta | None = getattr(expect, key)
        if limit and _ms(limit) < period.trace_s * 1000:
            yield Issue(
                (*path, key),
                f"`{key}` = {format_duration(limit)}: the trace has a row every {period.trace_s} s "
                "and cannot show it",
                "set `record_s` in [period] to less",
            )
    yield from _never_broken(period, path, expect, troubles)


def _never_broken(
    period: Period, path: tuple[str | int, ...], expect: Expect, troubles: Sequence[Issue]
) -> Iterator[Issue]:
    """A tolerated time that is as long as what is looked at."""
    if troubles:
        return
    first_ms = period.start_ms if expect.start is None else period.moment_ms(expect.start)
    last_ms = period.end_ms if expect.end is None else period.moment_ms(expect.end)
    for key in ("longer_than", "at_most"):
        limit: timedelta | None = getattr(expect, key)
        if limit is not None and _ms(limit) >= last_ms - first_ms > 0:
            window = format_duration(timedelta(milliseconds=last_ms - first_ms))
            yield Issue(
                (*path, key),
                f"`{key}` = {format_duration(limit)}: all of the {window} that are looked at, so "
                "that it could not be broken",
            )


def _after(
    period: Period | None, path: tuple[str | int, ...], expect: Expect, faults: Sequence[Fault]
) -> Iterator[Issue]:
    meant = [f for f in faults if expect.after in (f.name, f.kind)]
    if not meant:
        labels = list(dict.fromkeys(f.label for f in faults))
        yield Issue(
            (*path, "after"),
            f"no fault is called `{expect.after}`",
            did_you_mean(str(expect.after), labels, "faults"),
        )
    elif period is not None and expect.kind == "recovers" and expect.within is not None:
        for fault, span in zip(meant, spans(period, meant, []), strict=True):
            if _too_late(period, span, expect.within):
                yield Issue(
                    (*path, "after"),
                    f"{fault.label} ends too late: less than {format_duration(expect.within)} "
                    "before the end of the period",
                )


def _too_late(period: Period, span: FaultSpan, within: timedelta) -> bool:
    return span.end_ms + _ms(within) > period.end_ms


def _ms(duration: timedelta) -> int:
    return round(duration.total_seconds()) * 1000


def guest_parameters(
    tables: Iterable[tuple[KeyPath, Mapping[str, int]]],
    parameters: Mapping[str, DeclaredParameter],
    rules: Sequence[Rule] = (),
) -> Iterator[Issue]:
    """What the module does not accept of tables of parameters, each with its path: unknown names,
    values out of range, with the range, and pairs that break a rule.
    """
    defaults = {name: parameter.default for name, parameter in parameters.items()}
    for table, values in tables:
        in_force = {**defaults, **values}
        for rule in rules:
            if not rule.holds(in_force):
                at = rule.right if rule.right in values else rule.left
                yield Issue((*table, at), rule.complaint(in_force))
        for name, value in values.items():
            path = (*table, name)
            if name not in parameters:
                yield Issue(
                    path,
                    f"the guest has no parameter `{name}`",
                    did_you_mean(name, list(parameters), "parameters"),
                )
                continue
            of = parameters[name]
            if not of.minimum <= value <= of.maximum:
                permitted = between(of.minimum, of.maximum)
                yield Issue(path, out_of_range(name, value, permitted, of.unit))


def shared_supplies(zones: Sequence[Zone], supplies: Sequence[WaterSupply]) -> Iterator[Issue]:
    """Supplies that are named once, and that zones ask for."""
    names = [supply.name for supply in supplies]
    for number, zone in enumerate(zones):
        if zone.supply is not None and zone.supply not in names:
            yield Issue(
                ("zone", number, "supply"),
                f'`supply` = "{zone.supply}": no [[supply]] has this name',
                did_you_mean(zone.supply, names, "supplies") if names else "",
            )
    for number, name in enumerate(names):
        if name in names[:number]:
            yield Issue(("supply", number, "name"), f'`name` = "{name}": given twice')
        if name not in {zone.supply for zone in zones}:
            yield Issue(
                ("supply", number, "name"),
                f'`name` = "{name}" has no effect: no zone has it as its `supply`',
            )
