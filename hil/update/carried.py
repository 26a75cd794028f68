"""Which parameters of a module mean the same in another one."""

from __future__ import annotations

from levada.guest.module.inspect import ModuleInfo

__all__ = ["carried_parameters"]


def carried_parameters(old: ModuleInfo, new: ModuleInfo) -> list[int]:
    """Ids of parameters that both declare alike: what was set holds for the new module too."""
    known = {(p.id, p.name, p.minimum, p.maximum, p.unit) for p in old.parameters}
    return [p.id for p in new.parameters if (p.id, p.name, p.minimum, p.maximum, p.unit) in known]
