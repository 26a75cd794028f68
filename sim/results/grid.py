"""The grid check of a run in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["grid_sentence"]


def grid_sentence(summary: Mapping[str, Any]) -> str | None:
    """What twice the cells change; None if the run was not checked."""
    found = summary.get("grid_check")
    if found is None:
        return None
    root, probe = found["theta_root"], found["theta_probe"]
    return (
        f"twice the cells ({found['finer_cells']} instead of {found['cells']}): theta of the root "
        f"zone differs by {root['mean']:.4f} (at most {root['largest']:.4f}), at the probe by "
        f"{probe['mean']:.4f} (at most {probe['largest']:.4f}); drainage by "
        f"{found['drainage_mm']:+.1f} mm, ET by {found['et_mm']:+.1f} mm, irrigation by "
        f"{found['irrigation_mm']:+.1f} mm"
    )
