"""Keeps a store to its policy while a twin fills it: old values thinned, older ones removed."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from levada.guest.lifecycle import Closing
from levada.sim.units import HOUR_MS
from levada.twin.errors import StoreError
from levada.twin.store.policy import Removed, downsample, prune
from levada.twin.store.store import Store

__all__ = ["Keeper", "Policy", "enforce"]

_log = logging.getLogger(__name__)

_EVERY_S: Final = 300.0
"""Between two looks [wall-clock s]."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """How long what is kept, counted back from the store's present; None: for ever."""

    keep_ms: int | None = None
    """Messages, values and events that are older are removed."""
    thin_after_ms: int | None = None
    """Values that are older become means"""
    thin_to_ms: int = HOUR_MS
    """of so long."""

    def __post_init__(self) -> None:
        keep, thin = self.keep_ms, self.thin_after_ms
        if keep is not None and thin is not None and thin >= keep:
            raise StoreError(
                f"values are thinned after {thin / 86.4e6:g} d but removed after "
                f"{keep / 86.4e6:g} d: thin sooner"
            )


def enforce(store: Store, policy: Policy, between: Callable[[], None] = lambda: None) -> Removed:
    """Do now what the policy asks for; what was removed.

    `between` is called before every transaction, and may raise what ends it.
    """
    now_ms = store.now_ms()
    pruned = thinned = Removed()
    if policy.keep_ms is not None:
        pruned = prune(store, before_ms=now_ms - policy.keep_ms, events=True, between=between)
    if policy.thin_after_ms is not None:
        before_ms = (now_ms - policy.thin_after_ms) // policy.thin_to_ms * policy.thin_to_ms
        thinned = downsample(
            store, before_ms=before_ms, every_ms=policy.thin_to_ms, between=between
        )
    return Removed(
        messages=pruned.messages,
        points=pruned.points + thinned.points,
        events=pruned.events,
    )


class Keeper(Closing):
    """Enforces a policy at once and every few minutes, in a thread of its own."""

    def __init__(self, store: Store, policy: Policy, *, every_s: float = _EVERY_S) -> None:
        self._store = store
        self._policy = policy
        self._every_s = every_s
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="store-keeper", daemon=True)
        self._thread.start()

    @property
    def running(self) -> bool:
        """Whether it is at work."""
        return self._thread.is_alive()

    def close(self) -> None:
        """End, after the transaction that is being made: the next keeper goes on."""
        self._closing.set()
        self._thread.join()

    def _keep(self) -> None:
        while True:  # at once: a twin that is started again and again never lives long
            try:
                enforce(self._store, self._policy, self._check_open)
            except _KeeperClosed:
                return
            except StoreError as error:
                _log.warning("nothing removed: %s", error)
            except Exception:  # noqa: BLE001 - next time it may go well
                _log.exception("nothing removed")
            if self._closing.wait(self._every_s):
                return

    def _check_open(self) -> None:
        if self._closing.is_set():
            raise _KeeperClosed


class _KeeperClosed(Exception):  # noqa: N818 - a request, not an error
    pass
