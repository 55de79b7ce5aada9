"""Citations of the agent's blocks become OpenAI's annotations, from the native frames to the client."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import openai
import pytest
from openai.types.chat.chat_completion_message import Annotation

from tests.support.conformance import Answer, check_body, check_stream
from tests.support.message_parts import request
from tests.support.messages_conformance import check_message_body, check_message_stream
from tests.support.proxy import Proxy, StartProxy
from tests.support.responses_conformance import check_response_body, check_response_stream
from tests.support.scripted_gateway import (
    LAST_WORD,
    OPENING,
    Agent,
    Step,
    closing,
    failure,
    frame,
    run,
    text,
    tool_call,
)

TIDES = "https://tides.example/brest"
MOON = "https://moon.example/"
QUESTION: list[Any] = [{"role": "user", "content": "Hi"}]


def start(**more: Any) -> bytes:
    return frame("content_start", blockType="text", blockIndex=0, **more)


def end(*citations: Any, **more: Any) -> bytes:
    return frame("content_end", blockType="text", blockIndex=0, metadata={"citations": list(citations)}, **more)


def cited(content: str, *citations: Any) -> list[bytes]:
    """A block of text, word by word, with its citations."""
    words = content.split(" ")
    pieces = [word if number == 0 else " " + word for number, word in enumerate(words)]
    return [start(), *map(text, pieces), end(*citations)]


def citation(url: str = TIDES, first: int = 0, last: int = 3, **more: Any) -> dict[str, Any]:
    """As the gateway says it."""
    return {"text": "…", "url": url, "title": "Tides", "startIndex": first, "endIndex": last, **more}


def tick(number: int, *steps: bytes | list[bytes], go_on: bool) -> list[bytes]:
    inner = [each for step in steps for each in (step if isinstance(step, list) else [step])]
    return [
        frame("tick_start", tick=number),
        frame("message_start", role="assistant"),
        *inner,
        frame("message_end", stopReason="stop", usage={"inputTokens": 1, "outputTokens": 1, "totalTokens": 2}),
        frame("tick_end", tick=number, shouldContinue=go_on),
    ]


async def both(front: Proxy, **fields: Any) -> Answer:
    """The answer, after both forms of it have been found to be the same."""
    streamed = check_stream((await front.chat(**fields)).body, include_usage=False)
    whole = check_body((await front.chat(stream=False, **fields)).body)
    assert (streamed.text, streamed.annotations, streamed.finish_reason) == (
        whole.text,
        whole.annotations,
        whole.finish_reason,
    )
    return streamed


def places(answer: Answer) -> list[tuple[str, int, int]]:
    found = [each["url_citation"] for each in answer.annotations]
    return [(each["url"], each["start_index"], each["end_index"]) for each in found]


def quoted(answer: Answer) -> list[str]:
    """The text that each citation is about."""
    return [answer.text[start:end] for _, start, end in places(answer)]


# What becomes of one


async def test_a_citation_is_openais_annotation(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(OPENING, cited("Low at noon.", citation()), closing())
    answer = await both(await proxy())
    assert answer.annotations == [
        {
            "type": "url_citation",
            "url_citation": {"start_index": 0, "end_index": 3, "url": TIDES, "title": "Tides"},
        }
    ]


async def test_annotations_are_one_chunk_right_before_the_finish(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(OPENING, cited("Low at noon.", citation()), cited(" Full moon.", citation(MOON, 1, 5)), closing())
    raw = (await (await proxy()).chat()).body.decode()
    deltas = [json.loads(event[6:])["choices"][0] for event in raw.split("\n\n")[:-2]]
    assert [("annotations" in each["delta"], each["finish_reason"]) for each in deltas[-2:]] == [
        (True, None),
        (False, "stop"),
    ]
    assert raw.count('"annotations"') == 1
    assert len(deltas[-2]["delta"]["annotations"]) == 2


async def test_without_citations_there_is_no_such_chunk_and_an_empty_list(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Low at noon."))
    front = await proxy()
    assert b"annotations" not in (await front.chat()).body
    assert b'"annotations":[]' in (await front.chat(stream=False)).body


@pytest.mark.parametrize("include_usage", [True, False])
async def test_usage_comes_behind_them(proxy: StartProxy, agent: Agent, include_usage: bool) -> None:
    agent.plays(OPENING, cited("Low at noon.", citation()), closing())
    received = await (await proxy()).chat(stream_options={"include_usage": include_usage})
    answer = check_stream(received.body, include_usage=include_usage)
    assert places(answer) == [(TIDES, 0, 3)]
    assert (answer.usage is not None) == include_usage


# Where it stands


async def test_a_second_block_counts_from_its_own_beginning(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(
        OPENING,
        cited("Low at noon. ", citation(TIDES, 7, 11)),
        cited("Full moon.", citation(MOON, 5, 9)),
        closing(),
    )
    answer = await both(await proxy())
    assert quoted(answer) == ["noon", "moon"]


@pytest.mark.parametrize("separator", ["\n\n", "", " — ", "🌊"])
async def test_a_later_tick_is_shifted_by_all_that_was_said(proxy: StartProxy, agent: Agent, separator: str) -> None:
    call = tool_call("c1", "moon", "{}")[:-1]
    agent.plays(
        frame("execution_start", executionId="e1"),
        tick(1, cited("Low at noon.", citation(TIDES, 7, 11)), call, go_on=True),
        tick(2, call, go_on=True),
        tick(3, cited("Full moon.", citation(MOON, 5, 9)), go_on=False),
        LAST_WORD,
    )
    answer = await both(await proxy(tick_separator=separator))
    assert answer.text == f"Low at noon.{separator}Full moon."
    assert quoted(answer) == ["noon", "moon"]


async def test_positions_are_characters_not_bytes_or_halves(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(OPENING, cited("🌊 Ebbe früh.", citation(TIDES, 2, 6)), closing())
    assert quoted(await both(await proxy())) == ["Ebbe"]


async def test_line_ends_that_go_out_escaped_count_as_one_character(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(OPENING, cited("a\u2028b\u2029c\u0085 noon", citation(TIDES, 7, 11)), closing())
    assert quoted(await both(await proxy())) == ["noon"]


async def test_many_pieces_that_come_in_one_read_count_too(proxy: StartProxy, agent: Agent) -> None:
    """Pieces that arrive together may be translated together."""
    words = [f"w{number} " for number in range(300)] + ["noon"]
    full_text = "".join(words)
    block = b"".join([start(), *map(text, words), end(citation(TIDES, len(full_text) - 4, len(full_text)))])
    agent.plays(OPENING, block, cited(" moon", citation(MOON, 1, 5)), closing())
    assert quoted(await both(await proxy())) == ["noon", "moon"]


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        (None, None, (0, 12)),
        (4, None, (4, 12)),
        (None, 3, (0, 3)),
        (0, 10_000, (0, 12)),
        (10_000, 20_000, (12, 12)),
        (8, 2, (8, 8)),
        (-5, 3, (0, 3)),
        ("0", "3", (0, 12)),
        (1.0, 2.0, (1, 2)),
        ([], {}, (0, 12)),
    ],
)
async def test_odd_positions_stay_within_the_text(
    proxy: StartProxy, agent: Agent, first: object, last: object, expected: tuple[int, int]
) -> None:
    agent.plays(OPENING, cited("Low at noon.", {"url": TIDES, "startIndex": first, "endIndex": last}), closing())
    assert places(await both(await proxy())) == [(TIDES, *expected)]


async def test_a_citation_without_positions_is_about_its_block(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(OPENING, cited("Low at noon. "), cited("Full moon.", {"url": MOON}), closing())
    answer = await both(await proxy())
    assert quoted(answer) == ["Full moon."]
    assert answer.annotations[0]["url_citation"]["title"] == ""


async def test_text_without_the_beginning_of_a_block_is_cited_too(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(OPENING, text("Low at noon."), end(citation()), closing())
    assert places(await both(await proxy())) == [(TIDES, 0, 3)]


# What is left out


@pytest.mark.parametrize(
    "given",
    [
        {"text": "a book", "title": "Almanac", "startIndex": 0, "endIndex": 3},
        {"url": "", "startIndex": 0, "endIndex": 3},
        {"url": None, "startIndex": 0, "endIndex": 3},
        {"url": 5},
        "a string",
        None,
        5,
        [],
    ],
    ids=repr,
)
async def test_a_citation_without_an_address_is_left_out(proxy: StartProxy, agent: Agent, given: Any) -> None:
    """OpenAI has only citations of addresses; the others of the block are kept."""
    agent.plays(OPENING, cited("Low at noon.", given, citation(MOON)), closing())
    assert places(await both(await proxy())) == [(MOON, 0, 3)]


@pytest.mark.parametrize("metadata", [None, {}, [], "x", {"citations": None}, {"citations": {}}, {"citations": []}])
async def test_metadata_of_another_shape_is_no_citation(proxy: StartProxy, agent: Agent, metadata: Any) -> None:
    block = [start(), text("Low at noon."), frame("content_end", blockType="text", metadata=metadata)]
    agent.plays(OPENING, block, closing())
    answer = await both(await proxy())
    assert (answer.text, answer.annotations) == ("Low at noon.", [])


async def test_the_same_citation_is_sent_once(proxy: StartProxy, agent: Agent) -> None:
    twice = [citation(), citation()]
    agent.plays(OPENING, cited("Low at noon.", *twice), end(citation()), closing())
    assert places(await both(await proxy())) == [(TIDES, 0, 3)]


async def test_the_same_address_at_another_place_is_another_citation(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(OPENING, cited("Low at noon.", citation(), citation(TIDES, 7, 11)), closing())
    assert quoted(await both(await proxy())) == ["Low", "noon"]


async def test_blocks_that_are_not_text_cite_nothing(proxy: StartProxy, agent: Agent) -> None:
    thought = frame("content_end", blockType="reasoning", metadata={"citations": [citation(MOON)]})
    agent.plays(OPENING, thought, cited("Low at noon.", citation()), closing())
    assert places(await both(await proxy())) == [(TIDES, 0, 3)]


async def test_citations_of_a_child_stay_inside(proxy: StartProxy, agent: Agent) -> None:
    child = end(citation(MOON), spawnPath=["child-1"])
    agent.plays(OPENING, start(), text("Low at noon."), child, end(citation()), closing())
    assert places(await both(await proxy())) == [(TIDES, 0, 3)]


async def test_an_answer_without_text_can_cite_too(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(OPENING, start(), end(citation()), closing())
    assert places(await both(await proxy())) == [(TIDES, 0, 0)]


async def test_a_failed_answer_has_none(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(OPENING, cited("Low at noon.", citation()), failure("Model exploded"))
    received = await (await proxy()).chat()
    assert b"annotations" not in received.body
    assert check_stream(received.body, include_usage=False).error is not None


async def test_an_answer_that_ends_with_the_clients_tool_keeps_them(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(
        OPENING,
        cited("Low at noon.", citation()),
        tool_call("c1", "moon", '{"of":"Brest"}'),
        frame("tick_end", tick=1, shouldContinue=True, stopReason="tool_use"),
        LAST_WORD,
    )
    tools = [{"type": "function", "function": {"name": "moon"}}]
    answer = await both(await proxy(), tools=tools)
    assert (answer.finish_reason, places(answer)) == ("tool_calls", [(TIDES, 0, 3)])


@pytest.mark.parametrize("stream", [True, False])
async def test_responses_keep_them_in_front_of_the_clients_tool(proxy: StartProxy, agent: Agent, stream: bool) -> None:
    agent.plays(OPENING, cited("Low at noon.", citation()), tool_call("c1", "moon", "{}"), closing())
    body = {"model": "owl", "input": "Hi", "stream": stream, "tools": [{"type": "function", "name": "moon"}]}
    received = await (await proxy()).post(json.dumps(body).encode(), path="/v1/responses")
    answer = (check_response_stream if stream else check_response_body)(received.body)
    assert answer.calls == [("c1", "moon", "{}")]
    assert [(each["url"], each["start_index"], each["end_index"]) for each in answer.annotations] == [(TIDES, 0, 3)]


@pytest.mark.parametrize("stream", [True, False])
async def test_messages_keep_them_in_front_of_the_clients_tool(proxy: StartProxy, agent: Agent, stream: bool) -> None:
    agent.plays(OPENING, cited("Low at noon.", citation()), tool_call("c1", "moon", "{}"), closing())
    tool = {"name": "moon", "input_schema": {"type": "object"}}
    received = await (await proxy()).post(request(stream=stream, tools=[tool]), path="/v1/messages")
    answer = (check_message_stream if stream else check_message_body)(received.body)
    assert answer.calls == [("c1", "moon", {})]
    assert [each["url"] for each in answer.content[0]["citations"]] == [TIDES]


@pytest.mark.parametrize("field", ["title", "url"])
async def test_what_a_citation_says_goes_out_safe(proxy: StartProxy, agent: Agent, field: str) -> None:
    odd = 'https://a.example/\u2028\u2029\u0085"\\\r\n🌊\x00'
    given = {**citation(), field: odd}
    agent.plays(OPENING, cited("Low at noon.", given), closing())
    (annotation,) = (await both(await proxy())).annotations
    assert annotation["url_citation"][field] == odd


# The official client


CITING: list[Step | list[bytes]] = [
    OPENING,
    cited("Low at noon. ", citation(TIDES, 7, 11)),
    cited("Full moon.", citation(MOON, 5, 9)),
    closing(),
]


def sdk(front: Proxy) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{front.base}/v1", api_key="k", max_retries=0)


def check_annotations(annotations: list[Annotation] | None, words: str | None) -> None:
    assert words is not None
    assert annotations is not None
    assert all(isinstance(each, Annotation) for each in annotations)
    found = [each.url_citation for each in annotations]
    assert [words[each.start_index : each.end_index] for each in found] == ["noon", "moon"]
    assert [each.url for each in found] == [TIDES, MOON]


async def test_the_official_client_reads_them(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(*CITING)
    async with sdk(await proxy()) as client:
        completion = await client.chat.completions.create(model="owl", messages=QUESTION)
    message = completion.choices[0].message
    check_annotations(message.annotations, message.content)


async def test_the_official_helper_survives_them(proxy: StartProxy, agent: Agent) -> None:
    """It cannot merge two lists of them."""
    agent.plays(*CITING)
    async with sdk(await proxy()) as client, client.chat.completions.stream(model="owl", messages=QUESTION) as stream:
        kinds = [event.type async for event in stream]
        message = (await stream.get_final_completion()).choices[0].message
    assert "content.done" in kinds
    assert message.content == "Low at noon. Full moon."
    annotations = [Annotation.model_validate(each) for each in message.model_dump()["annotations"]]
    check_annotations(annotations, message.content)


async def test_the_blocking_helper_survives_them(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(*CITING)
    front = await proxy()

    def talk() -> str | None:
        with (
            openai.OpenAI(base_url=f"{front.base}/v1", api_key="k", max_retries=0) as client,
            client.chat.completions.stream(model="owl", messages=QUESTION) as stream,
        ):
            for _ in stream:
                pass
            return stream.get_final_completion().choices[0].message.content

    assert await asyncio.to_thread(talk) == "Low at noon. Full moon."
