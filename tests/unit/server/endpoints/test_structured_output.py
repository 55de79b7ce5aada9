"""A request for JSON: its answer is checked, or an error comes before the run."""

from __future__ import annotations

from typing import Any

import pytest

from oaicompat_proxy.config.settings import Config, ConfigError
from oaicompat_proxy.core.errors import InvalidRequest
from oaicompat_proxy.core.request import AnswerFormat
from oaicompat_proxy.server.endpoints import structured_output
from oaicompat_proxy.server.endpoints.structured_output import check_packages, new_check, wants_json
from oaicompat_proxy.server.event_loop.processor_thread import ProcessorThread


@pytest.mark.parametrize("size", [10, 10_000_000])
async def test_a_schema_that_is_none_names_its_place(size: int) -> None:
    wanted = AnswerFormat({"type": "strin"}, "text.format.schema", "Invalid schema for 'tide': ")
    with pytest.raises(InvalidRequest, match=r"^Invalid schema for 'tide': Input should be .*, at /type\.$") as caught:
        await new_check(wanted, size, ProcessorThread())
    assert (caught.value.param, caught.value.code) == ("text.format.schema", "invalid_json_schema")


@pytest.mark.parametrize("size", [10, 10_000_000])
@pytest.mark.parametrize("schema", [None, {"type": "object"}, True])
async def test_an_answer_is_checked(schema: Any, size: int) -> None:
    check = await new_check(AnswerFormat(schema, "", ""), size, ProcessorThread())
    assert check.check_briefly("{}")


def test_it_is_off_unless_it_is_asked_for() -> None:
    assert not wants_json(Config(demo=True))
    assert wants_json(Config(demo=True, structured="check"))
    assert wants_json(Config(demo=True, structured_strip_fences=True))


@pytest.mark.parametrize(
    ("settings", "needed"),
    [
        ({}, False),
        ({"structured_strip_fences": True}, False),
        ({"structured": "check"}, True),
        ({"model_setting": {"owl:structured": "check"}}, True),
        ({"model_setting": {"owl:structured": "pass"}}, False),
    ],
)
def test_without_the_packages_a_check_is_refused_at_the_start(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], needed: bool
) -> None:
    config = Config(demo=True, **settings)
    check_packages(config)
    monkeypatch.setattr(structured_output, "PACKAGES", ("jsonschema", "no_such_package"))
    if not needed:
        check_packages(config)
        return
    with pytest.raises(ConfigError, match=r"oaicompat-proxy\[structured\]"):
        check_packages(config)
