"""Structured output: checks an answer against the request's JSON schema, and removes code fences around it."""

from __future__ import annotations

from functools import partial
from importlib.util import find_spec

from ...config.settings import Config, ConfigError, parse_model_settings
from ...core.errors import InvalidRequest
from ...core.request import AnswerFormat
from ...translation.structured.structured_answer import OutputCheck
from ..event_loop.processor_thread import ProcessorThread
from ..event_loop.yielding import LARGE_REQUEST

PACKAGES = ("jsonschema", "re2")


def check_packages(config: Config) -> None:
    """Raises ConfigError if the settings need a package that is not installed."""
    of_models = (each for gateway in config.gateways for each in parse_model_settings(gateway.model_setting).values())
    chosen = {*(gateway.structured for gateway in config.gateways), *(each.get("structured") for each in of_models)}
    if "check" in chosen and not all(map(find_spec, PACKAGES)):
        raise ConfigError("--structured check needs more packages: pip install 'oaicompat-proxy[structured]'")


async def new_check(wanted: AnswerFormat, size: int, thread: ProcessorThread) -> OutputCheck:
    """`size`: bytes of the request. Raises InvalidRequest for a schema that cannot be checked."""
    from ...translation.structured.json_schema import AnswerSchema, AnyObject
    from ...translation.structured.schema_copy import InvalidSchema

    if wanted.schema is None:
        return AnyObject()
    build = partial(AnswerSchema, wanted.schema)
    try:
        return build() if size <= LARGE_REQUEST else await thread.run(build)
    except InvalidSchema as error:
        raise InvalidRequest(f"{wanted.prefix}{error}.", param=wanted.param, code="invalid_json_schema") from None


def wants_json(settings: Config) -> bool:
    """Whether the settings use the answer format that a request asks for."""
    return settings.structured != "pass" or settings.structured_strip_fences
