from __future__ import annotations

import re
import tomllib
from typing import Any

import pytest

from oaicompat_proxy.config.fields import default_of
from oaicompat_proxy.config.file import FileError, example_file, line_numbers, parse, to_toml
from oaicompat_proxy.config.settings import SETTINGS


def problems(text: str) -> list[str]:
    with pytest.raises(FileError) as caught:
        parse(text, "its.toml")
    return caught.value.problems


def test_a_file_holds_settings_by_their_names() -> None:
    file = parse('port = 1\nkeep_alive = 2\nsession_from = ["user"]\n\n[model]\na = "b"\n', "its.toml")
    assert file.values == {"port": 1, "keep_alive": 2, "session_from": ("user",), "model": {"a": "b"}}
    assert [file.location(key) for key in ("port", "model", "host")] == [
        "its.toml, line 1",
        "its.toml, line 5",
        "its.toml",
    ]


def test_an_empty_file_is_one() -> None:
    assert parse("", "its.toml").values == {}


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ('port = "web"', "port must be a whole number"),
        ("port = 8.5", "port must be a whole number"),
        ("port = true", "port must be a whole number"),
        ("port = 65536", "port must be at most 65535, not 65536"),
        ("keep_alive = true", "keep_alive must be a number"),
        ("keep_alive = nan", "keep_alive must be a number"),
        ('prefix = "v1"', "prefix must begin with / and not end with it, not 'v1'"),
        (
            'trusted_proxy = ["nginx"]',
            "trusted_proxy must be an address or a network: 'nginx' does not appear to be an IPv4 or IPv6 network",
        ),
        ("demo = 1", "demo must be true or false"),
        ("host = 1", "host must be a text in quotes"),
        ('log_level = "loud"', "log_level must be one of debug, info, warning, error, not 'loud'"),
        ('session_from = "user"', "session_from must be a list of texts"),
        ("session_from = [1]", "session_from must be a list of texts"),
        ('model = "a=b"', "model must be a table of texts"),
        ("model = { a = 1 }", "model must be a table of texts"),
        ("prot = 1", "there is no setting prot; did you mean port?"),
        ("first-event-wait = 1", "there is no setting first-event-wait; did you mean first_event_wait?"),
        ("zzzzzz = 1", "there is no setting zzzzzz"),
        ("[unheard_of]", "there is no setting unheard_of"),
    ],
)
def test_an_error_is_reported_with_file_line_and_key(line: str, fault: str) -> None:
    assert problems(f"# one\n{line}\n") == [f"its.toml, line 2: {fault}"]


def test_every_error_is_reported_and_the_message_is_one_line() -> None:
    assert len(problems("prot = 1\nport = 65536\nhost = 1")) == 3
    with pytest.raises(FileError, match=r"^its.toml, line 1: [^\n]* \(and 2 more: see config check\)$"):
        parse("prot = 1\nport = 65536\nhost = 1", "its.toml")


def test_invalid_toml_is_reported_with_its_line() -> None:
    (problem,) = problems("port = 1\nport = \n")
    assert problem.startswith("its.toml: invalid TOML:")
    assert "line 2" in problem


@pytest.mark.parametrize("each", [each for each in SETTINGS if each.metadata.get("secret")], ids=lambda e: e.name)
@pytest.mark.parametrize("value", ["{ a = 'hush' }", "['hush', 1]", "hush", "'hush"])
def test_no_fault_quotes_a_secret(each: Any, value: str) -> None:
    assert "hush" not in " ".join(problems(f"{each.name} = {value}"))


def test_a_line_is_that_of_the_first_mention() -> None:
    text = "# a = 1\n 'b' = 2\nc.d = 3\n[e]\na = 4\n[[gateway]]\na = 7\n[gateway.e]\na = 9\n[[gateway]]\na = 11\n"
    first = {"gateway": 6, "gateway[1]": 6, "gateway[1].a": 7, "gateway[1].e": 8, "gateway[2]": 10}
    assert line_numbers(text) == {"b": 2, "c": 3, "e": 4, **first, "gateway[2].a": 11}


# Several gateways


def test_a_gateway_has_a_table() -> None:
    file = parse('port = 1\n[[gateway]]\nprefix = "/a"\n[[gateway]]\nsession_from = ["user"]\n', "its.toml")
    assert file.values == {"port": 1}
    assert file.gateways == ({"prefix": "/a"}, {"session_from": ("user",)})
    assert file.location("gateway[2].session_from") == "its.toml, line 5"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("port = 1", "line 2: port is the same for all gateways: move it above the first [[gateway]]"),
        ("keep_alive = 'x'", "line 2: keep_alive must be a number"),
        ("keep_alive = 0", "line 2: keep_alive must be at least 0.001, not 0"),
        ("keepalive = 1", "line 2: there is no setting keepalive; did you mean keep_alive?"),
        ("[gateway.model]\na = 1", "line 2: model must be a table of texts"),
    ],
)
def test_an_error_in_a_gateway_is_reported_with_its_line(text: str, problem: str) -> None:
    assert problems(f"[[gateway]]\n{text}\n") == [f"its.toml, {problem}"]


@pytest.mark.parametrize("text", ["gateway = 1", "gateway = [1]", "[gateway]\nprefix = '/a'"])
def test_gateways_are_tables(text: str) -> None:
    assert problems(text) == ["its.toml, line 1: gateway must be tables: [[gateway]]"]


@pytest.mark.parametrize("each", SETTINGS, ids=lambda each: each.name)
def test_every_setting_is_a_gateways_or_one_for_all(each: Any) -> None:
    text = f"[[gateway]]\n{each.name} = {to_toml(default_of(each))}\n"
    if each.metadata.get("gateway"):
        assert parse(text, "its.toml").gateways == ({each.name: default_of(each)},)
    else:
        assert "the same for all gateways" in problems(text)[0]


# The example


def test_the_example_without_its_marks_has_the_defaults() -> None:
    assert parse(example_file(), "its.toml").values == {}
    spoken = re.sub(r"^#(?! )", "", example_file(), flags=re.MULTILINE)
    values = parse(spoken, "its.toml").values
    assert values == {each.name: default_of(each) for each in SETTINGS}


def test_the_example_gives_every_settings_reason() -> None:
    words = " ".join(re.sub(r"^#", "", example_file(), flags=re.MULTILINE).split())
    for each in SETTINGS:
        assert " ".join(each.metadata["help"].split()) in words


@pytest.mark.parametrize(
    "value",
    [True, False, 1, 0.001, 1e-9, 'a "b" \\ \n\t \x7f é 😀', ("a", "b"), (), {"gpt-4o": "a", "x.y": ""}, {}],
    ids=repr,
)
def test_what_is_written_reads_as_it_was(value: Any) -> None:
    read = tomllib.loads(f"value = {to_toml(value)}")["value"]
    assert (tuple(read) if isinstance(read, list) else read) == value
