"""Every dialect that can be chosen is there, and no other."""

from __future__ import annotations

from dataclasses import fields

from oaicompat_proxy.config import Config
from oaicompat_proxy.dialects.known import DIALECTS


def test_the_setting_and_the_rooms_agree() -> None:
    (setting,) = (each for each in fields(Config) if each.name == "dialect")
    assert set(DIALECTS) == set(setting.metadata["choices"])
    assert setting.default in DIALECTS
