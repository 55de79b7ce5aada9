from typing import Any

import pytest

from oaicompat_proxy.api.protocol import Keeping, ParsedBody
from oaicompat_proxy.api.unkept_answers import UnkeptAnswers
from oaicompat_proxy.core.answer import Envelope
from oaicompat_proxy.core.errors import InternalError

BODY = ParsedBody({"store": True, "background": True}, {}, 10)


def test_nothing_is_kept_and_nothing_is_referred_to() -> None:
    api, whatever = UnkeptAnswers(), Any
    assert api.keeping_of(BODY, whatever) == Keeping(kept=False, background=False)
    assert api.find_references(BODY) == frozenset()
    assert api.expand(BODY, {"x": b"y"}) == BODY
    assert api.request_entries(whatever, Envelope("a", 0, "m")) == api.answer_entries(whatever, {}) == {}


def test_there_is_no_body_of_a_kept_answer() -> None:
    with pytest.raises(NotImplementedError):
        UnkeptAnswers().first_body(Envelope("a", 0, "m"), {}, queued=True)
    with pytest.raises(NotImplementedError):
        UnkeptAnswers().last_body(b"{}", InternalError(), None)
