"""The twin in the cloud: devices in simulated soil, a fog, and all that is concluded behind it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from time import time_ns

import pytest
from real_soil import NODE, SPEED, field
from small_field import run, scenario, until

from levada.guest.module.inspect import inspect
from levada.guest.shipped import DEFAULT_GUEST
from levada.hil.line.broker import EmbeddedBroker
from levada.sim.run import runner
from levada.sim.scenario.continuum import Cloud
from levada.sim.scenario.continuum import Fog as FogSettings
from levada.sim.units import DAY_MS
from levada.twin.continuum.fog import Fog
from levada.twin.continuum.hops import SHARED
from levada.twin.continuum.recomputation import Recomputation
from levada.twin.continuum.streams import Streams
from levada.twin.sources.mqtt import DeviceTime, MqttDevices
from levada.twin.sources.recording import stored_reports
from levada.twin.sources.shadow import Shadow
from levada.twin.store.rows import StoreSettings
from levada.twin.store.store import Store
from levada.twin.twin import Twin

JITTER_MS = round(1_000 * SPEED)


def test_what_fog_has_kept_for_days_says_nothing_of_the_present() -> None:
    now_ms = time_ns() // 1_000_000
    season = now_ms - 60 * DAY_MS, now_ms + 60 * DAY_MS
    present = DeviceTime(1.0, 0, *season, kept=True)
    present.hear(now_ms - 3 * DAY_MS)
    assert present.now_ms() >= now_ms
    assert not present.believes(present.now_ms() + DAY_MS)


def test_in_a_simulation_the_newest_time_is_the_least_that_it_can_be() -> None:
    present = DeviceTime(600.0, 0, 0, 100 * DAY_MS, kept=True)
    present.hear(DAY_MS)
    present.hear(3 * DAY_MS)
    assert present.now_ms() >= 3 * DAY_MS
    present.hear(1_000 * DAY_MS)  # outside of the period
    assert not present.believes(1_000 * DAY_MS)


@pytest.mark.timeout(600)
def test_the_twin_follows_devices_through_a_fog_and_calibrates_them(tmp_path: Path) -> None:
    story = scenario(tmp_path, zones=NODE)
    module = DEFAULT_GUEST.read_bytes()
    info = inspect(runner.read_guest(story), budget=story.guest.limits())
    devices = MqttDevices(story, info, speed=SPEED, fogs=True)
    settings = StoreSettings(group_rows=1_000, ahead_ms=JITTER_MS, late_ms=JITTER_MS)
    fog_file = tmp_path / "fog.sqlite"
    with (
        EmbeddedBroker() as broker,
        Store(tmp_path / "store.sqlite", clock_ms=devices.time.now_ms, settings=settings) as store,
        Streams(
            store,
            partial(Recomputation, module, Cloud()),
            names=devices.names,
            shift_ms=story.site.utc_offset_ms,
        ) as streams,
        devices,
    ):
        devices.listen(store, broker.address, streams)
        with (
            Fog(FogSettings(), module, edge=broker.address, cloud=broker.address, file=fog_file),
            field(story, broker),
        ):
            devices.wait(120.0)
            twin = Twin(story, store, Shadow(devices, speed=SPEED))
            done = twin.calibrate("maize", {"on_pct": 71}, who="Ada")
            run(twin)
            assert done.result(60) == {"on_pct": 71}
            zone = twin.view.zones[0]
            assert zone.steps > 300
            residual = store.reader.window("maize", "residual", kind="twin")
            assert residual.total > 300
            assert not residual.value.any()
            assert zone.verdict.cause == "none"
            # as they came through fog: each once, under its number
            assert store.flush()
            (upto,) = store.reader.acknowledged("fog").values()
            assert store.reader.count("fog") == upto + 1
            assert store.reader.count("maize") == 0
            view = streams.view
            until(lambda: streams.view.nodes[0].comparison.matched > 300)
            (node,), (fog,) = view.nodes, view.fogs
            assert fog.offset == SHARED
            assert node.tier.guest_sha256 == fog.tier.guest_sha256 == view.cloud.guest_sha256
            assert node.agreement is not None
            assert node.agreement.equal > 300
            assert node.agreement.different == 0
            assert set(view.stages) == {"edge_us", "fog_us", "uplink_us", "commit_us"}
        # what an earlier twin has heard through fog, a later one begins with
        reports = stored_reports(store.url, "maize", story)
        assert len(reports) > 300
        assert len({(r.boot, r.seq) for r in reports}) == len(reports)
