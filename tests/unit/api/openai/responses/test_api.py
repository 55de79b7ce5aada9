import json
from types import SimpleNamespace

from oaicompat_proxy.api.openai.responses.api import RESPONSES
from oaicompat_proxy.api.protocol import ClientApi
from oaicompat_proxy.core.answer import (
    AnswerFinished,
    AnswerStarted,
    Envelope,
    FinishReason,
    Part,
    TextPart,
    ToolCallArguments,
    ToolCallOpened,
)
from oaicompat_proxy.core.request import RequestLimits
from tests.support.response_parts import QUESTION
from tests.support.responses_conformance import check_response_body, check_response_stream

API: ClientApi = RESPONSES
LIMITS = RequestLimits(media=0, messages=10)
SETTINGS = SimpleNamespace(responses="stored", responses_reasoning="text", max_answer=100, reasoning_field="none")
ENVELOPE = Envelope("resp_1", 1790000000, "owl")
ASKS: list[Part] = [
    AnswerStarted(),
    ToolCallOpened(0, "confirm_x", "confirm_tool_call"),
    ToolCallArguments(0, QUESTION),
    AnswerFinished(FinishReason.TOOL_CALLS),
]


def form_of(**fields: object) -> dict[str, object]:
    body = json.dumps({"input": "hi", **fields}).encode()
    form = API.form_of(API.build_request(API.read(body, LIMITS), LIMITS), SETTINGS)
    return json.loads(json.dumps(form))  # as a recording keeps it


def test_both_forms_know_what_was_asked() -> None:
    tools = [{"type": "mcp", "server_label": "owl"}]
    form = form_of(instructions="Be brief.", tools=tools)
    encoder, builder = API.new_encoder(ENVELOPE, form), API.new_builder(ENVELOPE, form)
    sent = b"".join(map(encoder.encode, ASKS)) + encoder.end()
    for part in ASKS:
        builder.add(part)
    received = check_response_stream(sent)
    assert received == check_response_body(builder.body())
    assert received.response["instructions"] == "Be brief."
    assert received.approvals[0]["id"] == "mcpr_x"


def test_who_declares_no_such_server_is_asked_by_a_call() -> None:
    builder = API.new_builder(ENVELOPE, form_of(tools=[{"type": "mcp", "server_label": "raven"}]))
    for part in ASKS:
        builder.add(part)
    assert check_response_body(builder.body()).calls[0][1] == "confirm_tool_call"


def test_a_masked_recording_can_be_encoded_again() -> None:
    form = {**form_of(instructions="Be brief."), "echo": "{'xxx': 'xx xxxx.'}"}
    builder = API.new_builder(ENVELOPE, form)
    for part in (AnswerStarted(), TextPart("hi"), AnswerFinished(FinishReason.STOP)):
        builder.add(part)
    assert check_response_body(builder.body()).response["instructions"] is None
