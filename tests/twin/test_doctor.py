"""What `levada doctor` says of an installation."""

from __future__ import annotations

import pytest

from levada.twin.cli import doctor


def test_what_is_missing_is_installed_into_the_environment_of_the_clone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(doctor, "_package", lambda _: None)
    monkeypatch.setattr(doctor, "IN_CLONE", True)
    advice = {finding.name: finding.detail for finding in doctor.examine() if finding.optional}
    assert advice["esptool"] == "in the clone: .venv/bin/python -m pip install -e '.[flash]'"
    assert advice["psycopg"] == "in the clone: .venv/bin/python -m pip install -e '.[postgres]'"
