"""The line that is logged for each run, how it looks, and what never stands in it."""

from __future__ import annotations

import io
import json
import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oaicompat_proxy.core.events import Usage
from oaicompat_proxy.server.observability import run_log
from oaicompat_proxy.server.observability.run_log import MAX_NAME, RunLine, RunLog, formatter
from oaicompat_proxy.server.observability.run_report import RunSummary
from tests.support.processes import Child, stopping
from tests.support.proxy import StartProxy, chat_body
from tests.support.scripted_gateway import OPENING, Agent, Reply, failure, frame, run, text

NAME = "oaicompat_proxy.runs"


@contextmanager
def written(kind: str) -> Iterator[io.StringIO]:
    """What our handler would write to stderr."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter(kind))
    logger = logging.getLogger("oaicompat_proxy")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield stream
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def over(outcome: str = "success", **fields: Any) -> RunSummary:
    return RunSummary("chat", outcome=outcome, **fields)


async def test_a_line_of_json_has_all_of_a_run(proxy: StartProxy, agent: Agent) -> None:
    agent.replies("/send", Reply(run("Hel", "lo"), headers=(("X-Request-Id", "gw-1"),)))
    front = await proxy(api_key=("s3cr3t-key",))
    with written("json") as stream:
        received = await front.post(chat_body(), headers={"Authorization": "Bearer s3cr3t-key"})
    (line,) = map(json.loads, stream.getvalue().splitlines())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("time"))
    times = {name: line.pop(name) for name in ("waited", "first_event", "first_token", "duration")}
    assert 0 <= times["waited"] <= times["first_event"] < times["first_token"] <= times["duration"] < 5
    assert line.pop("bytes") > len(received.body)
    assert line == {
        "level": "info",
        "logger": NAME,
        "message": "run",
        "request_id": received.headers["x-request-id"],
        "client": "127.0.0.1",
        "key": "key-1",
        "api": "chat",
        "operation": "chat",
        "model": "default",
        "session": agent.runs[0].session,
        "stream": True,
        "status": 200,
        "outcome": "success",
        "finish_reason": "stop",
        "ticks": 1,
        "input_tokens": 11,
        "output_tokens": 7,
        "chunks": 4,
        "execution": "e1",
        "upstream_request_id": "gw-1",
    }


async def test_a_line_of_text_has_the_same(proxy: StartProxy, agent: Agent) -> None:
    agent.plays([*OPENING, text("Hel"), failure("the model is gone")])
    front = await proxy()
    with written("text") as stream:
        received = await front.chat()
    (line,) = stream.getvalue().splitlines()
    pattern = (
        r"[\d-]+ [\d:,]+ WARNING oaicompat_proxy\.runs: run request_id=(\S+) client=127\.0\.0\.1 key=- api=chat "
        r"operation=chat model=default session=\S+ stream=True status=200 outcome=agent_error "
        r"error=agent_error ticks=1 chunks=2 bytes=\d+ waited=\d\.\d{4} first_event=\d\.\d{4} first_token=\d\.\d{4} "
        r"duration=\d\.\d{4} execution=e1"
    )
    found = re.fullmatch(pattern, line)
    assert found, line
    assert found[1] == received.headers["x-request-id"]


async def test_a_failed_gateway_is_explained(proxy: StartProxy, agent: Agent) -> None:
    agent.replies("/send", Reply([b"<html>"], status=500))
    front = await proxy()
    with written("text") as out:
        await front.chat()
    assert " error=upstream_error reason='The agent gateway answered with status 500.' ticks=0 " in out.getvalue()


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("sent", [run("Hello"), [failure("gone")], [*OPENING, text("Hel"), "cut"]])
async def test_a_run_is_one_line(proxy: StartProxy, agent: Agent, sent: list[Any], stream: bool) -> None:
    agent.plays(sent)
    front = await proxy()
    with written("text") as out:
        await front.chat(stream=stream)
    assert len(out.getvalue().splitlines()) == 1, out.getvalue()


@pytest.mark.parametrize("kind", ["text", "json"])
async def test_no_prompt_no_answer_and_no_key_stand_in_it(proxy: StartProxy, agent: Agent, kind: str) -> None:
    secret = "s3cr3t"
    agent.replies(
        "/send",
        Reply(run(f"an answer with {secret}")),
        Reply([*OPENING, text(secret), failure(f"the model said {secret}")]),
        Reply([frame("x" * 10), failure(f"{secret}")]),
    )
    front = await proxy(upstream_token=secret)
    headers = {"Authorization": f"Bearer {secret}", "X-Session-Id": secret, "User-Agent": secret}
    body = {"user": secret, "metadata": {"a": secret}}
    with written(kind) as out:
        for _ in range(3):
            await front.post(chat_body(f"a prompt with {secret}", **body), headers=headers)
        await front.post(chat_body(secret, temperature=secret), headers=headers)
        await front.post(secret.encode(), path=f"/v1/completions?key={secret}", headers=headers)
    agent.kept_sessions.update(each.session for each in agent.runs)
    assert len(out.getvalue().splitlines()) >= 5
    assert secret not in out.getvalue()


@pytest.mark.parametrize(("reason", "level"), [("", logging.INFO), ("Connection refused", logging.WARNING)])
def test_a_store_that_fails_is_a_warning(caplog: pytest.LogCaptureFixture, reason: str, level: int) -> None:
    with caplog.at_level(logging.INFO):
        RunLog(1.0).observe(over("refused", reason=reason))
    assert [record.levelno for record in caplog.records] == [level]


def test_a_share_of_the_good_ones_and_all_others(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = iter([0.0, 0.09, 0.1, 0.5, 0.999])
    monkeypatch.setattr(run_log.random, "random", lambda: next(drawn))
    log = RunLog(0.1)
    with caplog.at_level(logging.INFO):
        for _ in range(5):
            log.observe(over())
        assert len(caplog.records) == 2
        log.observe(over("refused"))
        log.observe(over("agent_error"))
    assert len(caplog.records) == 4
    assert [record.levelname for record in caplog.records] == ["INFO", "INFO", "INFO", "WARNING"]


@pytest.mark.parametrize(("share", "count"), [(0.0, 0), (1.0, 100)])
def test_none_and_all_are_exact(caplog: pytest.LogCaptureFixture, share: float, count: int) -> None:
    log = RunLog(share)
    with caplog.at_level(logging.INFO):
        for _ in range(100):
            log.observe(over())
    assert len(caplog.records) == count


def test_at_warning_only_what_an_operator_has_to_look_at(caplog: pytest.LogCaptureFixture) -> None:
    log = RunLog(1.0)
    with caplog.at_level(logging.WARNING):
        log.observe(over())
        log.observe(over("refused"))
        log.observe(over("agent_error"))
    assert [record.msg.fields()["outcome"] for record in caplog.records] == ["agent_error"]


@pytest.mark.parametrize(
    ("model", "shown"),
    [
        ("owl", "model=owl "),
        ("an owl", "model='an owl' "),
        ("'", 'model="\'" '),
        ("a\nrun outcome=success", r"model='a\nrun outcome=success' "),
        ("Eule\u2028", r"model='Eule\u2028' "),
        ("x" * 1000, f"model='{'x' * 128}\\u2026' "),
    ],
)
def test_a_made_up_name_is_one_word_of_the_line(model: str, shown: str) -> None:
    assert shown in str(RunLine(over(model=model)))


NAMES = st.text(min_size=1, max_size=2 * MAX_NAME)
SECONDS = st.integers(0, 10**9).map(lambda number: number / 2**15)
FIELD = re.compile(r""" (\w+)=('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|\S+)""")


@given(
    fields=st.fixed_dictionaries(
        {"model": NAMES, "key_name": NAMES},
        optional={
            **dict.fromkeys(("session", "execution", "upstream_request_id"), NAMES | st.just("")),
            **dict.fromkeys(("first_event", "first_token"), SECONDS | st.none()),
            "usage": st.builds(Usage, *[st.integers(0, 10**6)] * 3) | st.none(),
            "waited": SECONDS,
            "finish_reason": st.sampled_from(["", "stop"]),
            "trace_id": st.sampled_from(["", "0af7651916cd43dd8448eb211c80319c"]),
            "stream": st.booleans(),
        },
    ),
    outcome=st.sampled_from(["success", "agent_error"]),
)
def test_text_and_json_have_the_same_fields(fields: dict[str, Any], outcome: str) -> None:
    line = RunLine(over(outcome, **fields))
    text = str(line)
    found = FIELD.findall(text)
    assert "run" + "".join(f" {name}={value}" for name, value in found) == text
    assert text.isascii()
    assert text.isprintable()
    assert [name for name, _ in found] == list(line.fields())
    for (name, shown), value in zip(found, line.fields().values(), strict=True):
        if isinstance(value, float):
            assert abs(float(shown) - value) <= 0.5001e-4 + 1e-6
            assert re.fullmatch(r"-?\d+\.\d{4}", shown)
        else:
            assert shown in (str(value), ascii(value)), name


@pytest.mark.parametrize(
    ("moment", "time"),
    [
        (0.0, "1970-01-01T00:00:00.000Z"),
        (1790000000.5, "2026-09-21T14:13:20.500Z"),
        (1790000000.9999, "2026-09-21T14:13:20.999Z"),
    ],
)
def test_the_time_of_a_json_line_is_utc(moment: float, time: str) -> None:
    record = logging.makeLogRecord({"msg": RunLine(over()), "name": "n", "levelname": "INFO", "created": moment})
    assert json.loads(formatter("json").format(record))["time"] == time


def test_the_times_of_a_json_line_have_six_digits() -> None:
    record = logging.makeLogRecord({"msg": RunLine(over(waited=0.123456789)), "levelname": "INFO"})
    assert json.loads(formatter("json").format(record))["waited"] == 0.123457


def test_other_lines_are_json_too() -> None:
    with written("json") as stream:
        try:
            raise ZeroDivisionError("a fault")
        except ZeroDivisionError:
            logging.getLogger("oaicompat_proxy.x").exception("it %s", "failed")
    (line,) = map(json.loads, stream.getvalue().splitlines())
    assert (line["level"], line["logger"], line["message"]) == ("error", "oaicompat_proxy.x", "it failed")
    assert line["exception"].endswith("ZeroDivisionError: a fault")


def test_a_line_of_text_looks_as_the_library_would_write_it() -> None:
    library = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        raise ZeroDivisionError("a fault")
    except ZeroDivisionError:
        failure = sys.exc_info()
    for error in (None, failure):
        record = logging.LogRecord("oaicompat_proxy.x", logging.ERROR, "", 0, "it %s", ("failed",), error)
        assert formatter("text").format(record) == library.format(record)


def test_a_lone_surrogate_is_json_too() -> None:
    """orjson refuses it, and the line would be lost."""
    record = logging.LogRecord("x", logging.INFO, "", 0, "a \ud800 b", (), None)
    line = run_log.formatter("json").format(record)
    assert json.loads(line)["message"] == "a \ud800 b"
    line.encode()


@pytest.mark.slow
def test_the_flag_decides() -> None:
    command = ("-m", "oaicompat_proxy", "--upstream", "http://127.0.0.1:9", "--port", "0", "--log-format", "json")
    with stopping(Child(sys.executable, *command)) as child:
        child.wait_for(r"listens on")
    line = child.wait_for(r"\{.*graceful shutdown.*\}")[0]
    assert json.loads(line)["message"].startswith("SIGTERM: graceful shutdown")
