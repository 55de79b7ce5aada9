"""A feature that works is remembered, and a missing one is tried again later."""

from __future__ import annotations

import pytest

from oaicompat_proxy.server.upstream import gateway_features
from oaicompat_proxy.server.upstream.gateway_features import Feature, GatewayFeatures, SendForm


def test_nothing_is_known_before_it_was_tried() -> None:
    features = GatewayFeatures()
    assert features.known() == {}
    features.abort.update(works=True)
    assert features.known() == {"abort": True}


def test_what_did_not_work_is_tried_again_some_time(monkeypatch: pytest.MonkeyPatch) -> None:
    feature = Feature()
    feature.update(works=False)
    assert feature.works is False
    monkeypatch.setattr(gateway_features, "RETRY_AFTER", 0.0)
    feature.update(works=False)
    assert feature.works is None


def test_what_worked_is_not_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway_features, "RETRY_AFTER", 0.0)
    feature = Feature()
    feature.update(works=True)
    assert feature.works is True


@pytest.mark.parametrize(("announced", "remembered"), [("messages", "messages"), ("", None)])
def test_a_gateway_that_did_not_tell_its_form_is_asked_again_some_time(
    monkeypatch: pytest.MonkeyPatch, announced: str, remembered: str | None
) -> None:
    form = SendForm()
    assert form.name is None
    form.update(announced)
    assert form.name == announced
    monkeypatch.setattr(gateway_features, "RETRY_AFTER", 0.0)
    form.update(announced)
    assert form.name == remembered
    form.forget()
    assert form.name is None
