"""The whole message: `test_blocks` compares it with the stream, part by part."""

import json

from oaicompat_proxy.core.answer import TextPart, UsageTotals
from tests.support.message_parts import STOP, body


def test_the_whole_message() -> None:
    assert json.loads(body(TextPart("Hi"), STOP, UsageTotals(3, 1, 4))) == {
        "id": "msg_c1",
        "type": "message",
        "role": "assistant",
        "model": "owl",
        "content": [{"type": "text", "text": "Hi"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 3, "output_tokens": 1},
    }
