"""The words of an answer's end."""

from oaicompat_proxy.api.anthropic.answer.message import STOP_REASONS, usage_object
from oaicompat_proxy.core.answer import FinishReason, UsageTotals


def test_every_reason_has_a_word() -> None:
    assert STOP_REASONS.keys() == set(FinishReason)


def test_more_from_the_cache_than_there_was_is_no_negative_count() -> None:
    assert usage_object(UsageTotals(3, 1, 4, None, 9))["input_tokens"] == 0
