"""A node that fetches a module: what the way does to it, and what it says."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from ota_bench import OLD, Chunk, Node, package, request

from levada.hil.errors import PayloadError
from levada.hil.update.states import UpdateStage
from levada.twin.mqtt.messages import Message, OtaRequest, OtaState
from levada.twin.ota.chunks import CHUNK_BYTES, chunk_payload, split_chunk_topic
from levada.twin.ota.last_update import module_on_trial
from levada.twin.ota.receiver import COMMITTED, Receiver, TransferSettings

SENT = package()
CHUNKS = len(SENT.module) // CHUNK_BYTES


def test_a_module_arrives_and_every_state_is_told_as_thingsboard_names_it() -> None:
    node = Node()
    node.receiver.take(request(SENT))
    assert node.fetch(SENT) == len(SENT.module)
    assert node.installed == [SENT.module]
    assert node.states == ["DOWNLOADING", "DOWNLOADED", "VERIFIED", "UPDATING", "UPDATED"]
    assert node.last.guest_sha256 == SENT.sha256
    assert (node.last.received, node.last.size) == (8_192, 8_192)


@pytest.mark.parametrize("lost", range(CHUNKS))
def test_O1_a_chunk_that_is_lost_is_sent_again_and_nothing_else(lost: int) -> None:
    node, seen = Node(), set[int]()

    def way(chunk: Chunk) -> Iterable[Chunk]:
        if chunk[0] == lost * CHUNK_BYTES and chunk[0] not in seen:
            seen.add(chunk[0])
            return []
        return [chunk]

    node.receiver.take(request(SENT))
    assert node.fetch(SENT, way) == len(SENT.module) + CHUNK_BYTES
    assert node.installed == [SENT.module]


def test_O2_chunks_that_come_twice_make_the_same_module() -> None:
    node = Node()
    node.receiver.take(request(SENT))
    assert node.fetch(SENT, lambda chunk: [chunk, chunk]) == len(SENT.module)
    assert node.installed == [SENT.module]


@pytest.mark.parametrize("seed", range(50))
def test_O3_chunks_in_any_order_make_the_same_module_or_are_asked_for_again(seed: int) -> None:
    node, order, held = Node(), random.Random(seed), list[Chunk]()

    def way(chunk: Chunk) -> Iterable[Chunk]:
        held.append(chunk)
        order.shuffle(held)
        return [held.pop() for _ in range(order.randrange(len(held) + 1))]

    node.receiver.take(request(SENT))
    node.fetch(SENT, way)
    assert node.installed == [SENT.module]


def test_O4_a_chunk_with_any_byte_damaged_is_refused_and_asked_for_again() -> None:
    sent = package(size=300)
    node = Node(TransferSettings(damaged=10_000))
    node.receiver.take(request(sent))
    (want,) = node.wants()
    payload = chunk_payload(sent.module)
    for place in range(len(payload)):
        damaged = bytearray(payload)
        damaged[place] ^= 0x5A
        node.receiver.chunk(sent.id, 0, bytes(damaged))
        assert node.wants() == [want]
    for length in (0, 3, 4, len(payload) - 1):
        node.receiver.chunk(sent.id, 0, payload[:length])
        assert node.wants() == [want]
    node.receiver.chunk(sent.id, 0, payload)
    assert node.installed == [sent.module]


def test_O4_a_chunk_that_is_damaged_five_times_ends_the_update_and_nothing_else() -> None:
    node = Node()
    node.receiver.take(request(SENT))

    def way(chunk: Chunk) -> Iterable[Chunk]:
        spoilt = chunk[0] == 2 * CHUNK_BYTES
        return [(chunk[0], b"\0" * len(chunk[1]) if spoilt else chunk[1])]

    assert node.fetch(SENT, way) == 2 * CHUNK_BYTES + 5 * CHUNK_BYTES
    assert (node.last.state, node.last.reason) == (UpdateStage.FAILED, "DIGEST")
    assert node.installed == []
    node.receiver.take(request(SENT, attempt="second"))  # what was good is kept
    assert node.fetch(SENT) == len(SENT.module) - 2 * CHUNK_BYTES
    assert node.installed == [SENT.module]


def test_O5_bytes_that_do_not_have_the_promised_digest_are_not_installed_and_not_kept() -> None:
    node = Node()
    other = package(seed=2)
    node.receiver.take(request(SENT))
    while not node.receiver.state.is_final:
        for want in node.wants():
            data = other.module[want.offset : want.offset + want.bytes]
            node.receiver.chunk(SENT.id, want.offset, chunk_payload(data))
    assert (node.last.state, node.last.reason) == (UpdateStage.FAILED, "DIGEST")
    assert node.installed == []
    assert node.last.guest_sha256 == "00" * 32
    node.receiver.take(request(SENT, attempt="second"))
    assert node.fetch(SENT) == len(SENT.module)  # from the beginning
    assert node.installed == [SENT.module]


def test_O14_a_module_beyond_the_slot_is_refused_before_a_byte_is_asked_for() -> None:
    sent = package(size=65_537)
    node = Node()
    node.receiver.take(request(sent))
    assert (node.last.state, node.last.reason) == (UpdateStage.FAILED, "SIZE")
    assert node.wants() == []


def test_O14_a_stream_without_end_is_not_taken_beyond_what_was_asked_for() -> None:
    sent = package(size=1_000)
    node = Node()
    node.receiver.take(request(sent))
    for offset in range(0, 1 << 20, 1_000):
        node.receiver.chunk(sent.id, offset, chunk_payload(bytes(1_001)))
    assert (node.last.state, node.last.received) == (UpdateStage.DOWNLOADING, 0)


def test_O15_a_sender_of_a_chunk_a_minute_is_given_up_and_what_came_is_kept() -> None:
    node = Node(TransferSettings(stall_s=45.0))
    node.receiver.take(request(SENT))
    (first,) = node.wants()
    node.receiver.chunk(SENT.id, 0, chunk_payload(SENT.module[: first.bytes]))
    while not node.receiver.state.is_final:
        node.now_s += 0.25
        node.receiver.tick()
    assert (node.last.state, node.last.reason, node.now_s) == (UpdateStage.FAILED, "TIMEOUT", 45.0)
    assert node.last.guest_sha256 == "00" * 32
    assert node.wants()
    node.receiver.take(request(SENT, attempt="second"))
    assert node.fetch(SENT) == len(SENT.module) - CHUNK_BYTES
    assert node.installed == [SENT.module]


def test_O15_a_sender_who_always_sends_just_in_time_does_not_keep_a_node_busy_for_ever() -> None:
    sent = package(size=60_000)
    node = Node(TransferSettings(stall_s=45.0, download_s=300.0))
    node.receiver.take(request(sent))
    while not node.receiver.state.is_final:
        node.now_s += 40.0
        for want in node.wants()[:1]:
            data = sent.module[want.offset : want.offset + want.bytes]
            node.receiver.chunk(sent.id, want.offset, chunk_payload(data))
        node.receiver.tick()
    assert (node.last.reason, node.last.text) == ("TIMEOUT", "not whole after 300 s")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_O24_a_node_that_starts_again_in_the_middle_goes_on_behind_what_it_has(
    share: float, tmp_path: Path
) -> None:
    sent = package(size=100 * 512, seed=3)
    upto = int(share * len(sent.module)) // CHUNK_BYTES * CHUNK_BYTES
    before = Node(folder=tmp_path)
    before.receiver.take(request(sent))
    while before.last.received < upto:
        for want in before.wants():
            data = sent.module[want.offset : want.offset + want.bytes]
            before.receiver.chunk(sent.id, want.offset, chunk_payload(data))
        before.receiver.take(request(sent, action="status"))
    after = Node(folder=tmp_path)
    after.receiver.take(request(sent))
    assert after.fetch(sent) == len(sent.module) - before.last.received
    assert after.installed == [sent.module]
    assert list(tmp_path.glob("*.part")) == []  # nothing of its bytes is kept any longer


def test_O24_half_a_chunk_on_the_disk_is_gone_on_from(tmp_path: Path) -> None:
    (tmp_path / f"{SENT.id}.part").write_bytes(SENT.module[:3_000])
    node = Node(folder=tmp_path)
    node.receiver.take(request(SENT))
    assert node.fetch(SENT) == len(SENT.module) - 3_000
    assert node.installed == [SENT.module]


def test_O25_of_two_senders_one_wins_and_the_other_is_told_that_the_node_is_busy() -> None:
    for race in range(100):
        node, order = Node(), random.Random(race)
        offers = [package(seed=10), package(seed=11)]
        order.shuffle(offers)
        for _ in range(order.randrange(3)):
            node.receiver.take(request(offers[0]))
        node.receiver.take(request(offers[0]))
        node.receiver.take(request(offers[1]))
        busy = node.last
        assert (busy.id, busy.state, busy.reason) == (offers[1].id, UpdateStage.FAILED, "BUSY")
        for want in node.wants():  # the loser hands out bytes as well
            data = offers[1].module[want.offset : want.offset + want.bytes]
            node.receiver.chunk(offers[1].id, want.offset, chunk_payload(data))
            node.receiver.chunk(
                offers[0].id,
                want.offset,
                chunk_payload(offers[0].module[want.offset : want.offset + want.bytes]),
            )
        node.fetch(offers[0])
        assert node.installed == [offers[0].module]


def test_a_request_that_is_repeated_changes_nothing() -> None:
    node = Node(verdict=UpdateStage.FAILED)
    for _ in range(3):
        node.receiver.take(request(SENT))
        node.fetch(SENT)
    assert (node.last.state, node.last.reason) == (UpdateStage.FAILED, "TRAP")
    assert node.states.count("DOWNLOADED") == 1
    node.receiver.take(request(SENT, attempt="second"))
    node.fetch(SENT)
    assert node.states.count("DOWNLOADED") == 2


def test_a_module_that_runs_already_is_not_sent_again() -> None:
    node = Node()
    node.receiver.take(request(SENT))
    node.fetch(SENT)
    node.receiver.take(request(SENT, attempt="second"))
    assert node.wants() == []
    assert node.last.state is UpdateStage.UPDATED


def test_an_update_that_is_given_up_leaves_the_former_module_and_no_bytes(tmp_path: Path) -> None:
    node = Node(folder=tmp_path)
    node.receiver.take(request(SENT))
    (want,) = node.wants()
    node.receiver.chunk(SENT.id, 0, chunk_payload(SENT.module[: want.bytes]))
    node.receiver.take(request(SENT, action="abort"))
    assert (node.last.state, node.last.reason) == (UpdateStage.FAILED, "ABORTED")
    assert list(tmp_path.glob("*.part")) == []
    node.receiver.take(request(package(seed=9)))
    node.fetch(package(seed=9))
    assert node.installed == [package(seed=9).module]


def test_an_abort_reaches_what_is_on_trial_and_says_when_it_comes_too_late() -> None:
    given_up: list[bool] = []
    said: list[Message] = []
    settles: list[Callable[..., None]] = []
    receiver = Receiver(
        said.append,
        identity=lambda: OLD,
        install=lambda _offer, _module, settle: settles.append(settle),
        give_up=lambda: given_up.append(True),
    )
    receiver.take(request(SENT))
    for offset in range(0, len(SENT.module), CHUNK_BYTES):
        receiver.chunk(SENT.id, offset, chunk_payload(SENT.module[offset:][:CHUNK_BYTES]))
    for stage in (UpdateStage.DOWNLOADED, UpdateStage.VERIFIED, UpdateStage.UPDATING):
        settles[0](stage)
        receiver.take(request(package(seed=5), action="abort"))  # somebody else's
        assert not given_up
        receiver.take(request(SENT, action="abort"))
        assert given_up.pop() and receiver.state is stage  # until the device has done so
    settles[0](UpdateStage.UPDATED)
    receiver.take(request(SENT, action="abort"))
    last = said[-1]
    assert isinstance(last, OtaState) and not given_up
    assert (last.state, last.text, last.attempt) == (UpdateStage.UPDATED, COMMITTED, "first")


def test_every_word_tells_which_attempt_it_is_about() -> None:
    node = Node(verdict=UpdateStage.FAILED)
    assert node.said == []
    for attempt in ("first", "second"):
        node.said.clear()
        node.receiver.take(request(SENT, attempt=attempt))
        node.fetch(SENT)
        told = [m.attempt for m in node.said if isinstance(m, OtaState)]
        assert set(told) == {attempt}
    node.receiver.take(request(package(seed=3), attempt="third"))
    node.receiver.take(request(package(seed=4), attempt="of another"))
    assert (node.last.reason, node.last.attempt) == ("BUSY", "of another")


@pytest.mark.parametrize("verdict", [UpdateStage.UPDATED, UpdateStage.FAILED])
def test_a_node_that_starts_again_knows_how_its_last_update_ended(
    verdict: UpdateStage, tmp_path: Path
) -> None:
    before = Node(folder=tmp_path, verdict=verdict)
    before.receiver.take(request(SENT))
    before.fetch(SENT)
    after = Node(folder=tmp_path)
    after.active = before.active
    after.receiver.started_again(before.active.guest_sha256, "", "")
    after.receiver.take(request(SENT))  # of a sender that has missed its last word
    assert after.last.model_copy(update={"received": before.last.received}) == before.last
    assert after.wants() == []
    after.receiver.take(request(SENT, attempt="second"))
    assert (after.wants() == []) == (verdict is UpdateStage.UPDATED)


@pytest.mark.parametrize(
    ("runs", "reason", "found"),
    [
        ("ours", "", (UpdateStage.UPDATED, "")),
        ("00" * 32, "", (UpdateStage.FAILED, "RESTART")),
        ("00" * 32, "CRASHES", (UpdateStage.FAILED, "CRASHES")),
    ],
)
def test_a_node_that_ends_in_a_trial_says_afterwards_what_became_of_it(
    runs: str, reason: str, found: tuple[UpdateStage, str], tmp_path: Path
) -> None:
    before = Node(folder=tmp_path)
    before._install = lambda _offer, _module, settle: settle(  # type: ignore[method-assign]
        UpdateStage.UPDATING
    )
    before.receiver._install = before._install
    before.receiver.take(request(SENT))
    for _ in range(CHUNKS):
        for want in before.wants():
            data = SENT.module[want.offset : want.offset + want.bytes]
            before.receiver.chunk(SENT.id, want.offset, chunk_payload(data))
    on_trial = module_on_trial(tmp_path)
    assert on_trial is not None and on_trial.module == SENT.module
    after = Node(folder=tmp_path)
    assert after.receiver.state is UpdateStage.UPDATING
    after.receiver.started_again(SENT.sha256 if runs == "ours" else runs, reason, "why")
    assert (after.last.state, after.last.reason) == found
    assert module_on_trial(tmp_path) is None


def test_what_is_kept_of_the_last_update_and_damaged_is_forgotten(tmp_path: Path) -> None:
    node = Node(folder=tmp_path)
    node.receiver.take(request(SENT))
    node.fetch(SENT)
    file = tmp_path / "update.json"
    whole = file.read_bytes()
    damages = [whole[:40], b"[]", b"\xff", whole.replace(SENT.sha256.encode(), b"11" * 32)]
    for damaged in damages:
        file.write_bytes(damaged)
        assert Node(folder=tmp_path).receiver.state is UpdateStage.IDLE
    file.write_bytes(whole)
    assert Node(folder=tmp_path).receiver.state is UpdateStage.UPDATED


def test_somebody_elses_abort_ends_nothing() -> None:
    node = Node()
    node.receiver.take(request(SENT))
    node.receiver.take(request(package(seed=5), action="abort"))
    assert node.receiver.state is UpdateStage.DOWNLOADING


def test_a_node_asks_less_and_less_often_while_nobody_answers() -> None:
    node = Node(TransferSettings(stall_s=30.0))
    node.receiver.take(request(SENT))
    asked = []
    while not node.receiver.state.is_final:
        asked += [node.now_s] * len(node.wants())
        node.now_s += 0.25
        node.receiver.tick()
    assert asked == [0.0, 0.5, 1.5, 3.5, 7.5, 12.5, 17.5, 22.5, 27.5]  # 0.5, 1, 2, 4, 5, 5, ... s


def test_who_asks_where_an_update_stands_is_answered() -> None:
    node = Node()
    node.receiver.take(OtaRequest(id="0" * 8, action="status"))
    assert node.said == [
        OtaState(
            state=UpdateStage.IDLE,
            guest_sha256="00" * 32,
            guest_name="irrigation",
            guest_version="1.0.0",
        )
    ]


def test_a_request_without_a_module_or_with_a_broken_envelope_is_refused() -> None:
    with pytest.raises(PayloadError, match="sha256"):
        Node().receiver.take(OtaRequest(id="0" * 8, action="install", size=10))
    for broken in ("A", "AAAAA", "AA="):
        with pytest.raises(PayloadError, match="envelope"):
            Node().receiver.take(request(SENT, envelope=broken))


@pytest.mark.parametrize(
    ("topic", "found"),
    [
        ("ic/north/ota/chunk/00ff00ff/2048", ("north", "00ff00ff", 2048)),
        ("ic/north/ota/chunk/00ff00ff/-1", None),
        ("ic/north/ota/chunk/00FF00FF/0", None),
        ("ic/north/ota/chunk/00ff00ff/0/0", None),
        ("ic/north/ota/chunk/00ff/0", None),
        ("ic/north/ota/chunk/00ff00ff/99999999", None),
        ("ic//ota/chunk/00ff00ff/0", None),
    ],
)
def test_only_topics_of_chunks_are_chunks(topic: str, found: object) -> None:
    assert split_chunk_topic(topic) == found


@pytest.mark.parametrize(
    "changes", [{"sha256": "11" * 32}, {"envelope": "AAAA"}, {"envelope": "A"}, {"id": "ab" * 16}]
)
def test_an_id_stands_for_one_module_and_one_envelope(changes: dict[str, str]) -> None:
    node, sent = Node(), package()
    with pytest.raises(PayloadError):
        node.receiver.take(request(sent, **changes))
    assert node.states == []
    node.receiver.take(request(sent))
    node.fetch(sent)
    assert node.installed == [sent.module]


def test_bytes_of_one_module_are_kept_whatever_is_offered(tmp_path: Path) -> None:
    (tmp_path / "module.wasm.part").write_bytes(b"of somebody else")
    for seed in range(5):
        node, sent = Node(folder=tmp_path), package(seed=seed)
        node.receiver.take(request(sent))
        (want,) = node.wants()
        node.receiver.chunk(sent.id, 0, chunk_payload(sent.module[: want.bytes]))
    assert sorted(f.name for f in tmp_path.iterdir()) == [f"{sent.id}.part", "module.wasm.part"]


def test_what_a_full_disk_has_taken_of_a_chunk_is_not_in_the_way(tmp_path: Path) -> None:
    node, sent = Node(folder=tmp_path), package()
    node.receiver.take(request(sent))
    part = tmp_path / f"{sent.id}.part"
    (want,) = node.wants()
    node.receiver.chunk(sent.id, 0, chunk_payload(sent.module[: want.bytes]))
    with part.open("ab") as file:
        file.write(b"half of a chunk")
    node.fetch(sent)
    assert node.installed == [sent.module]
    again = Node(folder=tmp_path)
    part.write_bytes(sent.module)
    again.receiver.take(request(sent))
    assert again.installed == [sent.module]
