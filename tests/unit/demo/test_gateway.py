"""The demo gateway over real sockets: statuses, bodies, streams, and its faults."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from oaicompat_proxy.demo.gateway import STATE, create_gateway, serve, serve_app
from oaicompat_proxy.demo.http_bodies import EMBEDDED_ERROR, NEWER_ERROR, STANDALONE_ERROR
from oaicompat_proxy.demo.script import DropConnection, Hang, Raw, RawScript
from oaicompat_proxy.demo.settings import GatewaySettings
from oaicompat_proxy.demo.state import GatewayState

Frames = list[dict[str, Any]]

NOSTREAM = """execution_start tick_start compiled model_request provider_request model_response
entry_committed entry_committed tick_end context_update result execution_end execution_end"""


class Caller:
    """A client of one gateway, and the gateway's inside."""

    def __init__(self, http: aiohttp.ClientSession, state: GatewayState) -> None:
        self.http = http
        self.state = state

    async def post(self, path: str, body: Any = None, **more: Any) -> tuple[int, Any]:
        async with self.http.post(path, **({"json": body} if body is not None else {}), **more) as response:
            raw = await response.read()
            return response.status, json.loads(raw) if raw else None

    def open(self, text: str, session: str | None = "s", **metadata: Any) -> Any:
        return self.http.post("/send", json=sending(text, session, **metadata))

    async def send(self, text: str, session: str | None = "s", **metadata: Any) -> Frames:
        async with self.open(text, session, **metadata) as response:
            assert response.status == 200
            return frames_in(await response.read())


def sending(text: str, session: str | None = "s", **metadata: Any) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "user", "content": [{"type": "text", "text": text}]}
    if metadata:
        message["metadata"] = metadata
    return {"sessionId": session, "message": message}


def frames_in(body: bytes) -> Frames:
    return [json.loads(frame.removeprefix(b"data: ")) for frame in body.strip().split(b"\n\n") if frame]


def names(frames: Frames) -> list[str]:
    return [frame["event"] for frame in frames]


def text_of(frames: Frames) -> str:
    return "".join(frame["data"]["delta"] for frame in frames if frame["event"] == "content_delta")


@asynccontextmanager
async def calling(**settings: Any) -> AsyncIterator[Caller]:
    app = create_gateway(GatewaySettings(**{"pace": 0, **settings}))
    async with serve_app(app) as url, aiohttp.ClientSession(url) as http:
        yield Caller(http, app[STATE])


@pytest.fixture
async def caller() -> AsyncIterator[Caller]:
    async with calling() as there:
        yield there


async def test_serve_yields_an_address() -> None:
    async with serve() as url, aiohttp.ClientSession(url) as http, http.get("/send") as response:
        assert url.startswith("http://127.0.0.1:")
        assert (response.status, await response.json()) == (405, {"error": "Method not allowed"})


class TestStatuses:
    @pytest.mark.parametrize("path", ["/", "/health", "/v1/models", "/send/"])
    async def test_unknown_path(self, caller: Caller, path: str) -> None:
        assert await caller.post(path, {}) == (404, {"error": "Not found"})

    @pytest.mark.parametrize("path", ["/send", "/invoke", "/abort", "/close", "/subscribe", "/channel"])
    async def test_wrong_method(self, caller: Caller, path: str) -> None:
        async with caller.http.put(path) as response:
            assert (response.status, await response.json()) == (405, {"error": "Method not allowed"})

    async def test_options(self, caller: Caller) -> None:
        async with caller.http.options("/anything") as response:
            assert response.status == 204
            assert response.headers["Access-Control-Allow-Headers"] == "Content-Type, Authorization"

    @pytest.mark.parametrize("shown", [None, "Bearer wrong", "bearer secret", "Bearer  secret", "secret"])
    async def test_token_is_asked_before_the_body(self, shown: str | None) -> None:
        async with calling(token="secret") as caller:
            headers = {"Authorization": shown} if shown else {}
            status, body = await caller.post("/send?token=secret", data=b"no json", headers=headers)
            assert (status, body) == (401, {"error": "Authentication failed"})

    async def test_right_token(self) -> None:
        async with calling(token="secret") as caller:
            headers = {"Authorization": "Bearer secret"}
            assert await caller.post("/abort", {}, headers=headers) == (200, {"ok": True})

    @pytest.mark.parametrize("body", [b"", b"null", b"{", b"\xff"])
    @pytest.mark.parametrize("path", ["/send", "/invoke", "/close"])
    async def test_no_json(self, caller: Caller, path: str, body: bytes) -> None:
        assert await caller.post(path, data=body) == (400, {"error": "Invalid request body"})

    @pytest.mark.parametrize(
        ("form", "body", "error"),
        [
            ("standalone", {"messages": [{"role": "user", "content": []}]}, STANDALONE_ERROR),
            ("standalone", {"message": {"role": "user", "content": "text"}}, STANDALONE_ERROR),
            ("standalone", {"message": {"content": []}}, STANDALONE_ERROR),
            ("standalone", [], STANDALONE_ERROR),
            ("embedded", {"message": {"role": "user", "content": []}}, EMBEDDED_ERROR),
            ("embedded", {"messages": []}, EMBEDDED_ERROR),
            ("both", {}, STANDALONE_ERROR),
            ("both", {"messages": []}, EMBEDDED_ERROR),
        ],
    )
    async def test_wrong_shape(self, form: str, body: Any, error: str) -> None:
        async with calling(form=form) as caller:
            assert await caller.post("/send", body) == (400, {"error": error})

    async def test_a_null_message_breaks_the_host(self) -> None:
        async with calling(form="embedded") as caller:
            status, body = await caller.post("/send", {"messages": [None]})
            assert (status, body) == (500, {"error": "Internal server error"})


class TestSend:
    async def test_headers(self, caller: Caller) -> None:
        async with caller.open("hello") as response:
            headers = response.headers
            assert headers["Content-Type"] == "text/event-stream"
            assert headers["Transfer-Encoding"] == "chunked"
            assert headers["X-Accel-Buffering"] == "no"
            assert headers["Access-Control-Allow-Origin"] == "*"

    async def test_one_chunk_a_frame(self, caller: Caller) -> None:
        async with caller.open("hello") as response:
            chunks = [chunk async for chunk, _ in response.content.iter_chunks()]
        assert all(chunk.startswith(b"data: ") and chunk.endswith(b"}\n\n") for chunk in filter(None, chunks))

    async def test_the_answer_quotes_the_prompt(self, caller: Caller) -> None:
        frames = await caller.send("Is anybody there?")
        assert "Is anybody there?" in text_of(frames)
        assert names(frames)[-3:] == ["result", "execution_end", "execution_end"]

    @pytest.mark.parametrize(("session", "echoed"), [("demo:x", "demo:x"), ("x", "x"), (None, "main")])
    async def test_the_session_id_is_echoed_as_sent(self, caller: Caller, session: str | None, echoed: str) -> None:
        assert {frame["sessionId"] for frame in await caller.send("hi", session)} == {echoed}

    async def test_an_unknown_app_is_one_frame_after_200(self, caller: Caller) -> None:
        (frame,) = await caller.send("hi", "nosuchapp:x")
        error = 'Unknown app "nosuchapp". Available: demo, echo, nostream'
        assert frame == {
            "type": "event",
            "event": "error",
            "sessionId": "nosuchapp:x",
            "data": {"error": error},
        }

    async def test_a_number_is_no_session_id(self, caller: Caller) -> None:
        async with caller.http.post("/send", json={**sending("hi"), "sessionId": 7}) as response:
            (frame,) = frames_in(await response.read())
        assert frame["data"] == {"error": "key.split is not a function"}

    async def test_embedded_uses_the_first_message_only(self) -> None:
        messages = [{"role": "user", "content": [{"type": "text", "text": text}]} for text in ("A", "B")]
        body = {"sessionId": "echo:1", "messages": messages}
        async with calling(form="embedded") as caller, caller.http.post("/send", json=body) as sent:
            assert text_of(frames_in(await sent.read())) == "A"

    async def test_embedded_runs_without_a_message_if_its_content_is_a_string(self) -> None:
        async with calling(form="embedded") as caller:
            body = {"messages": [{"role": "user", "content": "lost"}]}
            async with caller.http.post("/send", json=body) as sent:
                frames = frames_in(await sent.read())
        (request,) = [frame["data"] for frame in frames if frame["event"] == "model_request"]
        assert request["input"]["messages"] == []

    async def test_system_messages_are_not_kept(self, caller: Caller) -> None:
        system = {"role": "system", "content": [{"type": "text", "text": "be terse"}]}
        async with caller.http.post("/send", json={"sessionId": "s", "messages": [system]}) as sent:
            frames = frames_in(await sent.read())
        (request,) = [frame["data"] for frame in frames if frame["event"] == "model_request"]
        assert request["input"]["messages"][0]["role"] == "system"
        timeline = frames[-2]["data"]["output"]["timeline"]
        assert [entry["message"]["role"] for entry in timeline] == ["assistant"]

    async def test_with_both_keys_each_form_reads_its_own(self) -> None:
        both = {
            "sessionId": "echo:1",
            "message": sending("one")["message"],
            "messages": [sending("many")["message"]],
        }
        for form, read in (("standalone", "one"), ("embedded", "many")):
            async with calling(form=form) as caller, caller.http.post("/send", json=both) as sent:
                assert text_of(frames_in(await sent.read())) == read

    async def test_a_character_cut_between_packets_is_lost(self, caller: Caller) -> None:
        body = json.dumps(sending("né", "echo:1"), ensure_ascii=False).encode()
        cut = body.index("é".encode()) + 1

        async def packets() -> AsyncIterator[bytes]:
            yield body[:cut]
            yield body[cut:]

        async with caller.http.post("/send", data=packets()) as response:
            assert text_of(frames_in(await response.read())) == "n\ufffd\ufffd"

    async def test_nostream_has_no_message_events(self, caller: Caller) -> None:
        seen = names(await caller.send("hello", "nostream:1"))
        assert seen == NOSTREAM.split()


class TestSessions:
    async def test_history_is_kept_and_the_sequence_goes_on(self, caller: Caller) -> None:
        first = await caller.send("my name is Ada")
        second = await caller.send("hello", "demo:s")
        assert "my name is Ada" in json.dumps(second)
        assert second[0]["data"]["sequence"] == first[-2]["data"]["sequence"] + 1

    async def test_other_apps_do_not_see_it(self, caller: Caller) -> None:
        await caller.send("my name is Ada")
        assert "Ada" not in json.dumps(await caller.send("hello", "echo:s"))

    async def test_a_failed_send_leaves_nothing(self, caller: Caller) -> None:
        failed = await caller.send("[[scenario:fail]] my name is Ada")
        assert names(failed)[-2:] == ["execution_end", "error"]
        assert failed[-2]["data"]["newTimelineEntries"] == []
        assert "Ada" not in json.dumps(await caller.send("hello"))
        assert caller.state.runs.failed == 1

    async def test_a_reader_that_leaves_does_not_stop_the_run(self, caller: Caller) -> None:
        async with caller.open("[[scenario:confirm]] I am Ada") as response:
            call_id = await asked_for(response)
            response.close()
        await caller.state.wait_until(lambda state: state.runs[0].reader_left)
        assert caller.state.runs.running == 1
        await confirm(caller, call_id, True)
        await caller.state.wait_until(lambda state: state.runs.finished == 1)
        assert "I am Ada" in json.dumps(await caller.send("hello"))

    async def test_a_second_send_gets_the_first_run_and_runs_unseen(self, caller: Caller) -> None:
        async with caller.open("[[scenario:confirm]]") as response:
            await caller.state.wait_until(lambda state: state.runs.started == 1)
            joined = asyncio.create_task(caller.send("and now mine"))
            await caller.state.wait_until(lambda state: state.runs[0].readers == 2)
            call_id = await asked_for(response)
            await confirm(caller, call_id, True)
            rest = frames_in(await response.read())
        second = await joined
        assert second[0]["data"]["sequence"] == 1
        assert names(second)[-6:] == names(rest)[-6:]
        assert names(second)[-4:] == ["execution_end", "execution_start", "tick_start", "execution_end"]
        assert "and now mine" not in text_of(second)
        await caller.state.wait_until(lambda state: state.runs.finished == 2)
        assert "and now mine" in json.dumps(await caller.send("hello"))

    async def test_joined_streams_can_be_corrupt(self) -> None:
        async with calling(corrupt_joined=True) as caller, caller.open("[[scenario:confirm]]") as response:
            call_id = await asked_for(response)
            joined = asyncio.create_task(caller.send("mine"))
            await caller.state.wait_until(lambda state: state.runs[0].readers == 2)
            await confirm(caller, call_id, True)
            first = frames_in(await response.read())
            both = [frame["data"].get("sequence") for frame in first]
            assert len(set(both)) < len(both)
            assert names(first) != names(await joined)

    async def test_five_sessions_at_once(self, caller: Caller) -> None:
        answers = await asyncio.gather(*(caller.send(f"number {n}", f"echo:{n}") for n in range(5)))
        assert [text_of(frames) for frames in answers] == [f"number {n}" for n in range(5)]


async def asked_for(response: aiohttp.ClientResponse) -> str:
    """Reads up to the question for confirmation; returns the call's id."""
    async for line in response.content:
        if b'"event":"tool_confirmation_required"' in line:
            call_id: str = frames_in(line)[0]["data"]["callId"]
            return call_id
    raise AssertionError("nobody asked")


async def confirm(caller: Caller, call_id: str, confirmed: bool) -> None:
    params = {"sessionId": "s", "callId": call_id, "confirmed": confirmed}
    status, body = await caller.post("/invoke", {"method": "tool-confirm", "params": params})
    assert (status, body) == (200, {"ok": True})


NEWER = {"role": "system", "content": [{"type": "text", "text": "Be brief."}]}


class TestNewerWire:
    """The HTTP transports of Agentick 0.10 to 0.14."""

    async def test_the_runs_own_end_is_the_last_frame(self) -> None:
        async with calling(wire="0.14", form="standalone") as caller:
            frames = await caller.send("hello")
        assert frames[-1]["data"]["usage"]
        assert names(frames).count("execution_end") == 1
        assert not {*names(frames)} & {"compiled", "model_request", "model_response", "provider_request"}
        assert frames[0]["data"]["sequence"] == 1

    async def test_embedded_still_sends_both_ends_and_all_frames(self) -> None:
        async with calling(wire="0.14", form="embedded") as caller:
            message = {"role": "user", "content": [{"type": "text", "text": "hello"}]}
            async with caller.http.post("/send", json={"sessionId": "s", "messages": [message]}) as response:
                frames = frames_in(await response.read())
        assert frames[-1]["data"] == {}
        assert {"compiled", "model_response"} <= {*names(frames)}

    async def test_a_failure_and_an_abort_are_followed_by_error(self) -> None:
        async with calling(wire="0.14") as caller:
            frames = await caller.send("[[scenario:fail]]")
            assert names(frames)[-2:] == ["execution_end", "error"]

    @pytest.mark.parametrize("form", ["standalone", "embedded"])
    async def test_all_messages_reach_the_model_but_only_the_users_stay(self, form: str) -> None:
        user = {"role": "user", "content": [{"type": "text", "text": "my name is Ada"}]}
        body = {"sessionId": "echo:s", "messages": [user, NEWER], "metadata": {"a": 1}}
        async with calling(wire="0.14", form=form) as caller:
            async with caller.http.post("/send", json=body) as response:
                assert text_of(frames_in(await response.read())) == "my name is Ada\nBe brief."
            (session,) = caller.state.sessions
            assert [entry["message"]["role"] for entry in session.timeline] == ["user", "assistant"]
            assert caller.state.runs[0].metadata == {"a": 1}
            assert caller.state.runs[0].messages == (user, NEWER)

    @pytest.mark.parametrize("body", [{}, {"message": {"content": []}}, {"messages": "x"}])
    async def test_a_wrong_shape(self, body: dict[str, Any]) -> None:
        async with calling(wire="0.14", form="standalone") as caller:
            assert await caller.post("/send", body) == (400, {"error": NEWER_ERROR})

    async def test_abort_stops_the_run_and_keeps_the_session(self) -> None:
        async with calling(wire="0.14") as caller, caller.open("[[scenario:silent]]") as response:
            await caller.state.wait_until(lambda state: state.runs.running == 1)
            assert await caller.post("/abort", {"sessionId": "s"}) == (200, {"ok": True})
            frames = frames_in(await response.read())
            assert frames[-2]["data"]["aborted"] is True
            assert frames[-1]["data"] == {"error": "Execution aborted"}
            assert [session.key for session in caller.state.sessions] == ["demo:s"]

    @pytest.mark.parametrize(("form", "status"), [("standalone", 500), ("embedded", 404)])
    async def test_abort_of_nothing(self, form: str, status: int) -> None:
        async with calling(wire="0.14", form=form) as caller:
            assert await caller.post("/abort", {}) == (400, {"error": "Missing sessionId"})
            assert await caller.post("/abort", {"sessionId": "s"}) == (status, {"error": "Session not found"})

    async def test_a_tool_response_answers_a_question(self) -> None:
        async with calling(wire="0.14") as caller, caller.open("[[scenario:confirm]]") as response:
            call_id = await asked_for(response)
            answer = {"sessionId": "s", "toolUseId": call_id, "result": {"approved": True}}
            assert await caller.post("/tool-response", answer) == (200, {"ok": True})
            assert names(frames_in(await response.read()))[-1] == "execution_end"
            assert (await caller.post("/tool-response", {}))[0] == 400

    @pytest.mark.parametrize("settings", [{}, {"wire": "0.14", "form": "embedded"}])
    async def test_only_the_newer_standalone_transport_has_that_route(self, settings: dict[str, Any]) -> None:
        async with calling(**settings) as caller:
            assert (await caller.post("/tool-response", {}))[0] == 404

    async def test_events_of_the_sender_are_not_sent_twice(self) -> None:
        async with calling(wire="0.14") as caller:
            listening = [await caller.http.get(f"/events?clientId={each}") for each in ("me", "you")]
            for each in ("me", "you"):
                await caller.post("/subscribe", {"clientId": each, "add": ["s"]})
            async with caller.http.post("/send", json={**sending("hello"), "connectionId": "me"}) as response:
                await response.read()
            caller.state.restart()
            mine, yours = [frames_in(await each.read()) for each in listening]
            assert [frame["type"] for frame in mine] == ["connection"]
            assert yours[-1]["event"] == "execution_end"

    async def test_events_may_stall(self) -> None:
        settings = {"wire": "0.14", "events_limit": 1, "heartbeat": 0.01}
        async with calling(**settings) as caller, caller.http.get("/events?clientId=me") as events:
            await caller.post("/subscribe", {"clientId": "me", "add": ["s"]})
            await caller.send("hello")
            seen = await events.content.readuntil(b":heartbeat\n\n")
            assert b"execution_start" not in seen

    async def test_a_restart_forgets_and_cuts(self) -> None:
        async with calling(wire="0.14") as caller:
            await caller.send("my name is Ada")
            async with caller.open("[[scenario:silent]]") as response:
                await caller.state.wait_until(lambda state: state.runs.running == 1)
                caller.state.restart()
                with pytest.raises(aiohttp.ClientPayloadError):
                    await response.read()
            assert [*caller.state.sessions] == []
            assert caller.state.runs.aborted == 1
            assert (await caller.send("hello"))[0]["data"]["sequence"] == 1


class TestEnding:
    @pytest.mark.parametrize(
        ("settings", "aborts"),
        [
            ({}, True),
            ({"form": "standalone"}, False),
            ({"form": "standalone", "close_works": True}, True),
            ({"close_works": False}, False),
        ],
    )
    async def test_close(self, settings: dict[str, Any], aborts: bool) -> None:
        async with calling(**settings) as caller, caller.open("[[scenario:confirm]]") as response:
            await asked_for(response)
            assert await caller.post("/close", {"sessionId": "s"}) == (200, {"ok": True})
            if aborts:
                last = frames_in(await response.read())[-2:]
                assert last[0]["data"]["aborted"] is True
                assert "error" not in last[0]["data"]
                assert last[1]["data"] == {"error": "Execution aborted"}
            assert caller.state.runs.aborted == int(aborts)

    async def test_standalone_closes_while_somebody_listens(self) -> None:
        async with calling(form="standalone") as caller, caller.open("[[scenario:confirm]]") as response:
            await asked_for(response)
            async with caller.http.get("/events") as events:
                await events.content.readline()
                await caller.state.wait_until(lambda state: bool(state.subscribers))
                await caller.post("/close", {"sessionId": "s"})
                assert frames_in(await response.read())[-1]["event"] == "error"

    async def test_close_forgets_the_session(self, caller: Caller) -> None:
        await caller.send("my name is Ada")
        await caller.post("/close", {"sessionId": "demo:s"})
        assert "Ada" not in json.dumps(await caller.send("hello"))

    async def test_abort_does_nothing(self, caller: Caller) -> None:
        async with caller.open("[[scenario:confirm]]") as response:
            call_id = await asked_for(response)
            assert await caller.post("/abort", {"sessionId": "s"}) == (200, {"ok": True})
            await confirm(caller, call_id, True)
            assert names(frames_in(await response.read()))[-1] == "execution_end"

    @pytest.mark.parametrize(("confirmed", "failed"), [(True, False), (False, True)])
    async def test_confirmation(self, caller: Caller, confirmed: bool, failed: bool) -> None:
        async with caller.open("[[scenario:confirm]]") as response:
            await confirm(caller, await asked_for(response), confirmed)
            frames = frames_in(await response.read())
        (result,) = [frame["data"] for frame in frames if frame["event"] == "tool_result"]
        assert result["isError"] is failed

    async def test_silence_comes_after_the_headers(self, caller: Caller) -> None:
        async with caller.open("[[scenario:silent]]") as response:
            assert response.status == 200
            await caller.post("/close", {"sessionId": "s"})
            assert names(frames_in(await response.read())) == ["execution_end", "error"]

    async def test_cut_has_no_last_chunk(self, caller: Caller) -> None:
        async with caller.open("[[scenario:cut]]") as response:
            with pytest.raises(aiohttp.ClientPayloadError):
                await response.read()


class TestScenarios:
    @pytest.mark.parametrize(
        ("scenario", "wanted"),
        [
            ("tool_whole", {"tool_call": 1, "tool_call_start": 0, "tool_result": 1, "tick_end": 2}),
            ("tool_twice", {"tool_call": 2, "tool_call_start": 1, "tool_result": 2}),
            ("tool_parallel", {"tool_call": 2, "tool_call_start": 2, "tool_result": 2}),
            ("tool_unended", {"tool_call": 1, "tool_call_end": 1, "tool_result": 1}),
            ("tool_unknown", {"tool_call": 1, "tick_end": 2}),
            ("client_tool", {"tool_call": 1, "tick_end": 1}),
            ("client_tool_faked", {"tool_call": 1, "tick_end": 2}),
            ("adapter_error", {"error": 1, "message_end": 2, "result": 1}),
            ("stop_sequence", {"message_end": 2, "result": 1}),
            ("max_ticks", {"tick_end": 10, "result": 1}),
            ("empty", {"content_start": 0, "message_end": 1}),
            ("fail_start", {"message_start": 0, "error": 1}),
        ],
    )
    async def test_counts(self, caller: Caller, scenario: str, wanted: dict[str, int]) -> None:
        seen = names(await caller.send(f"[[scenario:{scenario}]]"))
        assert {name: seen.count(name) for name in wanted} == wanted

    async def test_late_usage_is_right_in_the_end(self, caller: Caller) -> None:
        frames = {frame["event"]: frame["data"] for frame in (await caller.send("[[scenario:usage_late]]"))[:-1]}
        assert frames["message_end"]["usage"]["totalTokens"] == 0
        assert frames["result"]["result"]["usage"] == {
            "inputTokens": 100,
            "outputTokens": 50,
            "totalTokens": 150,
            "ticks": 1,
        }

    async def test_half_pairs_travel_escaped(self, caller: Caller) -> None:
        async with caller.open("[[scenario:surrogate]]") as response:
            body = await response.read()
        assert rb'"delta":"\ud83d"' in body
        assert rb'"delta":"\ude00 done"' in body
        assert '"response":"😀 done"'.encode() in body

    async def test_big_frames(self, caller: Caller) -> None:
        async with caller.open("[[scenario:big]]") as response:
            frames = (await response.read()).split(b"\n\n")
        assert max(map(len, frames)) > 10 * 1024 * 1024

    async def test_a_declared_tool_is_called_and_its_result_answered(self, caller: Caller) -> None:
        parameters = {"type": "object", "properties": {"city": {"type": "string"}}}
        declared = [{"type": "function", "function": {"name": "forecast", "parameters": parameters}}]
        frames = await caller.send("the weather, please", openai={"tools": declared})
        (call,) = [frame["data"] for frame in frames if frame["event"] == "tool_call"]
        assert (call["name"], call["input"]) == ("forecast", {"city": "Paris"})
        result = (
            "=== Conversation so far: 1 message. ===\n"
            f"[1] result of tool call {call['callId']}, in place of any other\n> sunny\n"
            "=== End of the conversation so far. Continue it as the assistant. ==="
        )
        assert text_of(await caller.send(result, openai={"tools": declared})) == "Your tool answered: sunny"


class TestRecordings:
    async def test_bytes_are_sent_as_they_are(self) -> None:
        recording = b'data: {"event":"a"}\n\ndata: {"event":"b"}\n\n'
        async with calling(recordings={"play it": recording}) as caller, caller.open("play it") as response:
            assert await response.read() == recording

    async def test_raw_scripts_choose_their_offsets(self) -> None:
        recording = RawScript((Raw(b"data: {"), Raw(b"}\n"), DropConnection()))
        async with calling(recordings={"play it": recording}) as caller, caller.open("play it") as response:
            received = [await response.content.readexactly(len(b"data: {}\n"))]
            with pytest.raises(aiohttp.ClientPayloadError):
                received.append(await response.content.read(1))
        assert received == [b"data: {}\n"]

    async def test_raw_scripts_can_hang(self) -> None:
        recording = RawScript((Raw(b"data: {}\n\n"), Hang()))
        async with calling(recordings={"play it": recording}) as caller, caller.open("play it") as response:
            assert await response.content.readline() == b"data: {}\n"
            assert caller.state.runs.running == 1


class TestState:
    async def test_requests_and_runs_can_be_seen(self, caller: Caller) -> None:
        await caller.send("hello", openai={"temperature": 1})
        ((path, body),) = caller.state.requests
        assert (path, json.loads(body)["sessionId"]) == ("/send", "s")
        record = caller.state.runs[0]
        assert record.session_key == "demo:s"
        assert record.blocks == [{"type": "text", "text": "hello"}]
        assert record.metadata == {"openai": {"temperature": 1}}
        assert (record.status, record.reader_left) == ("finished", False)


class TestEvents:
    async def test_a_listener_gets_a_copy_of_every_frame(self, caller: Caller) -> None:
        async with caller.http.get("/events") as events:
            hello = json.loads((await events.content.readline()).removeprefix(b"data: "))
            assert (hello["type"], hello["subscriptions"]) == ("connection", [])
            subscribe = {"connectionId": hello["connectionId"], "add": ["s"]}
            assert await caller.post("/subscribe", subscribe) == (200, {"subscriptions": ["demo:s"]})
            sent = await caller.send("hello")
            copied: Frames = []
            while len(copied) < len(sent):
                copied += frames_in(await events.content.readline())
            assert copied == sent

    async def test_heartbeats(self) -> None:
        async with calling(heartbeat=0.001) as caller, caller.http.get("/events") as events:
            lines = [await events.content.readline() for _ in range(3)]
            assert lines[2] == b":heartbeat\n"

    async def test_subscribing_nowhere(self, caller: Caller) -> None:
        nowhere = {"connectionId": "x", "add": ["s"]}
        assert await caller.post("/subscribe", nowhere) == (404, {"error": "Connection not found"})

    @pytest.mark.parametrize(
        ("path", "body", "error"),
        [
            ("/subscribe", {}, "clientId or connectionId is required"),
            ("/subscribe", {"clientId": "c"}, "sessionId, add[], or remove[] is required"),
            ("/close", {}, "sessionId is required"),
            ("/channel", {"sessionId": "s"}, "sessionId and channel are required"),
        ],
    )
    async def test_embedded_fields(self, path: str, body: Any, error: str) -> None:
        async with calling(form="embedded") as caller:
            assert await caller.post(path, body) == (400, {"error": error})
