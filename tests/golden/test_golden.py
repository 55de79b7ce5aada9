"""Transcripts: an agent's stream, and byte for byte the client's answer.

`cases/NAME.native.sse` is what the gateway sent; beside it may lie `NAME.request.json`, the fields of the request
that matter, and `NAME.config.json`, settings. `NAME.openai.sse` is the streamed answer, absent if the run failed
before its first chunk, because then the client gets an error status; `NAME.openai.json` is the body of the answer
that is not streamed. `scripts/golden` writes these two from the current code: read the diff.
"""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from oaicompat_proxy.api.anthropic.api import MESSAGES
from oaicompat_proxy.api.openai.chat.api import CHAT
from oaicompat_proxy.api.openai.responses.api import RESPONSES
from oaicompat_proxy.api.protocol import ClientApi
from oaicompat_proxy.core.answer_options import AnswerOptions
from oaicompat_proxy.recordings.format import Entry, Recording
from tests.support.conformance import check_body, check_error_body, check_stream
from tests.support.messages_conformance import check_message_body, check_message_error, check_message_stream
from tests.support.parsing import parse_chat
from tests.support.paths import GOLDEN
from tests.support.pipeline import Options, run_pipeline
from tests.support.responses_conformance import check_response_body, check_response_stream

NATIVES = sorted(GOLDEN.glob("*.native.sse"))
KINDS = (
    *("native.sse", "openai.sse", "openai.json", "responses.sse", "responses.json", "messages.sse", "messages.json"),
)
NAMES = [path.name.removesuffix(".native.sse") for path in NATIVES]
QUESTION = {"model": "owl", "messages": [{"role": "user", "content": "?"}], "stream": True}


def read_options(name: str) -> Options:
    request = {**QUESTION, **_read_json(f"{name}.request.json")}
    chat = parse_chat(json.dumps(request).encode(), max_media=0, max_messages=1)
    settings = _read_json(f"{name}.config.json")
    return Options(chat.tool_names, chat.form["include_usage"], chat.form["legacy_functions"], **settings)


def _read_json(name: str) -> dict[str, object]:
    path = GOLDEN / name
    return json.loads(path.read_text()) if path.exists() else {}


def answers(name: str, reads: list[bytes] | None = None) -> Iterator[tuple[Path, bytes | None]]:
    """Every file of the answer, with what the current code would have it say; None if it is not to be."""
    options = read_options(name)
    reads = reads or [(GOLDEN / f"{name}.native.sse").read_bytes()]
    yield from both_forms(f"{name}.openai", reads, options, CHAT)
    if not options.legacy_functions:
        for api in (RESPONSES, MESSAGES):
            yield from both_forms(f"{name}.{api.name}", reads, as_items(options), api)


def both_forms(name: str, reads: list[bytes], options: Options, api: ClientApi) -> Iterator[tuple[Path, bytes | None]]:
    """A stream, or None if the run fails before the first part; and a body, which is an error then."""
    streamed = run_pipeline(reads, options, api, stream=True)
    yield GOLDEN / f"{name}.sse", streamed.data if streamed.streamed else None
    yield GOLDEN / f"{name}.json", run_pipeline(reads, options, api, stream=False).data + b"\n"


def as_items(options: Options) -> Options:
    """Other APIs show the agent's own tools where chat hides them by default."""
    return options._replace(server_tools="items") if options.server_tools == "hide" else options


def case_of(name: str, recording: Recording) -> dict[Path, bytes]:
    """The files of a new case: what the gateway sent, and of the options those that are not the default."""
    options = recording.options
    asked = {**options.form, **dataclasses.asdict(options)}
    functions = [{"name": each} for each in options.tool_names]
    tools = [{"type": "function", "function": function} for function in functions]
    request = {
        "functions": functions if options.form.get("legacy_functions") else None,
        "tools": None if options.form.get("legacy_functions") else tools,
        "stream_options": {"include_usage": True} if options.form.get("include_usage") else None,
    }
    settings = {"reasoning_field": "reasoning_content", **dataclasses.asdict(AnswerOptions())}
    kept = ("reasoning_field", "tick_separator", "server_tools", "confirmations")
    config = {key: asked[key] for key in kept if asked.get(key, settings[key]) != settings[key]}
    beside = {"request": {key: value for key, value in request.items() if value}, "config": config}
    return {
        GOLDEN / f"{name}.native.sse": recording.bytes_of("native"),
        **{
            GOLDEN / f"{name}.{kind}.json": json.dumps(words).encode() + b"\n"
            for kind, words in beside.items()
            if words
        },
    }


@pytest.mark.parametrize("name", NAMES)
def test_the_answer_is_the_one_that_was_reviewed(name: str) -> None:
    for path, expected in answers(name):
        assert (path.read_bytes() if path.exists() else None) == expected, path.name


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_cuts_anywhere_change_nothing(name: str) -> None:
    native = (GOLDEN / f"{name}.native.sse").read_bytes()
    byte_by_byte = [native[place : place + 1] for place in range(len(native))]
    assert list(answers(name, byte_by_byte)) == list(answers(name))


@pytest.mark.parametrize("name", NAMES)
def test_a_strict_client_takes_it_and_both_forms_agree(name: str) -> None:
    options = read_options(name)
    stream, body = (GOLDEN / f"{name}.openai.{kind}" for kind in ("sse", "json"))
    failed = "error" in json.loads(body.read_bytes())
    if failed:
        whole = check_error_body(body.read_bytes().removesuffix(b"\n"))
    if stream.exists():
        answer = check_stream(
            stream.read_bytes(), include_usage=options.include_usage, reasoning_field=options.reasoning_field
        )
        assert (answer.error is not None) == failed
        if failed:
            assert answer.error == whole
            return
        answer_whole = check_body(body.read_bytes().removesuffix(b"\n"), reasoning_field=options.reasoning_field)
        if not options.include_usage:
            answer_whole.usage = None
        assert answer == answer_whole


@pytest.mark.parametrize("name", NAMES)
def test_responses_say_what_chat_says_to_a_strict_client(name: str) -> None:
    options = read_options(name)
    if options.legacy_functions:
        return
    stream, body = (GOLDEN / f"{name}.responses.{kind}" for kind in ("sse", "json"))
    whole = None
    if "error" in json.loads(body.read_bytes()) and "object" not in json.loads(body.read_bytes()):
        check_error_body(body.read_bytes().removesuffix(b"\n"))
    else:
        whole = check_response_body(body.read_bytes().removesuffix(b"\n"))
        chat = check_body(
            (GOLDEN / f"{name}.openai.json").read_bytes().removesuffix(b"\n"), reasoning_field=options.reasoning_field
        )
        assert (whole.text, whole.calls) == (chat.text, chat.tool_calls)
    if stream.exists():
        answer = check_response_stream(stream.read_bytes())
        assert (answer.status == "failed") == (whole is None)
        assert whole is None or answer == whole


@pytest.mark.parametrize("name", NAMES)
def test_messages_say_what_chat_says_to_a_strict_client(name: str) -> None:
    options = read_options(name)
    if options.legacy_functions:
        return
    stream, body = (GOLDEN / f"{name}.messages.{kind}" for kind in ("sse", "json"))
    raw, whole = body.read_bytes().removesuffix(b"\n"), None
    if json.loads(raw)["type"] == "error":
        check_message_error(raw)
    else:
        whole = check_message_body(raw)
        chat = check_body(
            (GOLDEN / f"{name}.openai.json").read_bytes().removesuffix(b"\n"), reasoning_field=options.reasoning_field
        )
        assert whole.text == chat.text
        assert [call[:2] for call in whole.calls] == [call[:2] for call in chat.tool_calls]
    if stream.exists():
        answer = check_message_stream(stream.read_bytes())
        assert (answer.error is None) == (whole is not None)
        assert whole is None or answer == whole


@pytest.mark.parametrize("legacy", [True, False])
def test_a_recording_makes_a_case_that_asks_as_its_client_did(
    legacy: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.golden.test_golden.GOLDEN", tmp_path)
    form = {"include_usage": True, "legacy_functions": legacy}
    asked = AnswerOptions(form=form, tool_names=("add",), server_tools="content")
    for path, content in case_of("new", Recording(options=asked, entries=[Entry(0, "native", b"data: x\n\n")])).items():
        path.write_bytes(content)
    expected = Options(frozenset({"add"}), True, legacy, server_tools="content")
    assert read_options("new") == expected
    assert (tmp_path / "new.native.sse").read_bytes() == b"data: x\n\n"


def test_a_recording_of_a_plain_question_makes_one_file() -> None:
    recording = Recording(options=AnswerOptions(), entries=[])
    assert [path.name for path in case_of("new", recording)] == ["new.native.sse"]


def test_there_is_no_answer_without_its_native_transcript() -> None:
    known = {f"{name}.{kind}" for name in NAMES for kind in KINDS}
    known |= {f"{name}.{kind}.json" for name in NAMES for kind in ("request", "config")}
    assert {path.name for path in GOLDEN.iterdir()} <= known
