"""Checks an answer against the JSON schema of its request, in a bounded number of steps. Nothing is ever fetched.

Source: JSON Schema 2020-12, Core and Validation; `README.md` beside this module lists keywords that are not applied.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from jsonschema.exceptions import ValidationError
from referencing import Registry

from ...core.errors import AgentOutputInvalid
from .json_values import MAX_DEPTH, TooDeep, wrap
from .keywords import COUNTING
from .schema_copy import MAX_NAME, SchemaCopy
from .steps import CURRENT, MAX_STEPS, Steps, TooManySteps

MAX_ANSWER = 1024 * 1024
"""Characters of an answer that is checked: more JSON than any model writes in one answer."""

BRIEF_SIZE = 16 * 1024
"""Characters of the longest answer that is checked on the event loop, where nothing else is served meanwhile."""

BRIEF_STEPS = 1000
"""Steps of the longest check on the event loop: 4 ms."""

MAX_SHOWN = 240
"""Characters of a JSON pointer in an error."""


class AnswerSchema:
    """The schema that answers have to fit. Raises InvalidSchema."""

    max_size = MAX_ANSWER

    def __init__(self, schema: Mapping[str, Any] | bool) -> None:
        copy = SchemaCopy(schema)
        self._names = copy.names
        self._validator = COUNTING[copy.draft](copy.schema, registry=Registry())

    def check_briefly(self, text: str) -> bool:
        """True if the text fits, False if BRIEF_STEPS are too few to decide. Raises AgentOutputInvalid."""
        return len(text) <= BRIEF_SIZE and self._is_done(text, BRIEF_STEPS)

    def check(self, text: str) -> None:
        """Takes at most a second of CPU time. Raises AgentOutputInvalid if the text does not fit."""
        if not self._is_done(text, MAX_STEPS):
            raise AgentOutputInvalid(
                "the agent's answer takes more steps to check against the request's schema than this server spends; "
                "make the schema simpler, or ask for a shorter answer."
            )

    def _is_done(self, text: str, steps: int) -> bool:
        """True if the text fits, False if the check takes more steps. Raises AgentOutputInvalid."""
        value = parse_answer(text)
        token = CURRENT.set(Steps(steps))
        try:
            error = next(self._validator.iter_errors(value), None)
        except TooManySteps:
            return False
        finally:
            CURRENT.reset(token)
        if error is not None:
            raise _misfit(self._place(error), _rule(error))
        return True

    def _place(self, error: ValidationError) -> str:
        """A JSON pointer into the answer. A name that the schema does not have may be private: `*` replaces it."""
        steps = (step if isinstance(step, int) or step in self._names else "*" for step in error.absolute_path)
        pointer = "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in steps)
        return pointer if len(pointer) <= MAX_SHOWN else pointer[: MAX_SHOWN - 1] + "…"


class AnyObject:
    """Every JSON object fits."""

    max_size = MAX_ANSWER

    def check_briefly(self, text: str) -> bool:
        """False for a text of more than BRIEF_SIZE characters. Raises AgentOutputInvalid."""
        if len(text) > BRIEF_SIZE:
            return False
        self.check(text)
        return True

    def check(self, text: str) -> None:
        """Raises AgentOutputInvalid."""
        if not isinstance(parse_answer(text), dict):
            raise _misfit("", "'type': an object is asked for")


def parse_answer(text: str) -> Any:
    """Raises AgentOutputInvalid."""
    if len(text) > MAX_ANSWER:
        raise AgentOutputInvalid(
            f"the agent's answer is longer than the {MAX_ANSWER} characters that this server checks."
        )
    try:
        return wrap(orjson.loads(text))
    except orjson.JSONDecodeError as error:
        raise AgentOutputInvalid(
            f"the agent's answer is not JSON, which the request asks for: it fails at character {error.pos} of "
            f"{len(text)}. Ask again, or tell the agent to answer with JSON alone."
        ) from None
    except TooDeep:
        raise AgentOutputInvalid(
            f"the agent's answer nests arrays and objects more than {MAX_DEPTH} deep, and is not checked."
        ) from None


def _misfit(place: str, rule: str) -> AgentOutputInvalid:
    where = f"at {place}" if place else "at its top"
    return AgentOutputInvalid(
        f"the agent's answer does not fit the request's JSON schema: {where} it breaks {rule}. Ask again, or make the "
        "schema fit what the agent answers."
    )


def _rule(error: ValidationError) -> str:
    if error.validator == "required":
        missing = next((name for name in error.validator_value if name not in error.instance), "")
        return f"'required': {str(missing)[:MAX_NAME]!r} is missing"
    return f"'{error.validator}'" if error.validator else "a schema that is false"
