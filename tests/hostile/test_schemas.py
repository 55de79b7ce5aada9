"""Schemas and answers with endless checks: each check ends after a bounded number of steps, not of seconds."""

from __future__ import annotations

import json
from typing import Any

import pytest

from oaicompat_proxy.core.errors import AgentOutputInvalid
from oaicompat_proxy.translation.structured.json_schema import AnswerSchema
from oaicompat_proxy.translation.structured.steps import MAX_STEPS, Steps, TooManySteps


def doubling(keyword: str, times: int = 40) -> dict[str, Any]:
    """Each definition refers twice to the one before it."""
    twice = {f"a{i}": {keyword: [{"$ref": f"#/$defs/a{i - 1}"}] * 2} for i in range(1, times)}
    return {"$ref": f"#/$defs/a{times - 1}", "$defs": {"a0": {"type": "string"}, **twice}}


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = {"a": value}
    return value


def in_arrays(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


MANY_NAMES = dict.fromkeys(map(str, range(60_000)), 1)
SEVERAL_NAMES = dict.fromkeys(map(str, range(2000)), 1)
PATTERNS = dict.fromkeys((f"p{number}" for number in range(2000)), True)

BOMBS: dict[str, tuple[Any, Any]] = {
    "anyOf doubles": (doubling("anyOf"), 3),
    "allOf doubles": (doubling("allOf"), "a"),
    "oneOf doubles": (doubling("oneOf"), 3),
    "a reference to itself": ({"$ref": "#"}, 3),
    "a circle of references": ({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#"}}}, 3),
    "not and not": ({"$ref": "#/$defs/a", "$defs": {"a": {"not": {"$ref": "#/$defs/a"}}}}, 3),
    "if and if": ({"if": {"$ref": "#"}}, 3),
    "two ways down each level": ({"properties": {"a": {"allOf": [{"$ref": "#"}] * 2}}}, nested(60)),
    "two ways into each item": ({"items": {"allOf": [{"$ref": "#"}] * 2}}, in_arrays(60)),
    "many patterns, many names": ({"patternProperties": PATTERNS}, SEVERAL_NAMES),
    "a large pattern, a long text": ({"pattern": "(.*a){60}"}, "ab" * 400_000),
    "a large pattern, many texts": ({"items": {"pattern": "(.*a){60}"}}, ["ab" * 500] * 800),
    "a large enum, many items": ({"items": {"enum": [*range(20_000), *"ab"]}}, ["a", "b"] * 20_000),
    "a long text in many errors": ({"anyOf": [{"anyOf": [{"type": "object"}] * 100}] * 40}, ["x" * 900_000]),
    "nothing for many items": ({"allOf": [{"items": True}] * 2000}, [0] * 300_000),
    "names for many names": ({"allOf": [{"propertyNames": True}] * 2000}, MANY_NAMES),
    "no name allowed": (
        {"allOf": [{"patternProperties": {"b": True}, "additionalProperties": True}] * 1000},
        MANY_NAMES,
    ),
    "unique over and over": ({"allOf": [{"uniqueItems": True}] * 4000}, list(range(100_000))),
    "a large constant over and over": ({"anyOf": [{"const": [0] * 200}] * 4000}, [0] * 199),
}
BOMBS["a long text in many errors"][0]["anyOf"] += [{"$ref": "#/anyOf/0"}] * 800


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_ends_after_its_steps(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    count_steps = Steps.count

    def count(self: Steps, steps: int) -> None:
        taken.append(steps)
        count_steps(self, steps)

    monkeypatch.setattr(Steps, "count", count)
    schema, answer = BOMBS[name]
    with pytest.raises(AgentOutputInvalid, match="more steps"):
        AnswerSchema(schema).check(json.dumps(answer))
    assert len(taken) <= MAX_STEPS + 1
    assert sum(taken[:-1]) <= MAX_STEPS


@pytest.mark.parametrize(
    ("schema", "answer"),
    [
        ({"pattern": "(a+)+$"}, "a" * 5_000 + "b"),
        ({"pattern": "^(a|a)*$"}, "a" * 5_000 + "b"),
        ({"uniqueItems": True}, [[i, {"a": i}] for i in range(20_000)] + [[0, {"a": 0}]]),
    ],
)
def test_what_is_slow_elsewhere_is_not_here(schema: Any, answer: Any) -> None:
    """Patterns that backtrack, and items of which each would be compared with every other."""
    with pytest.raises(AgentOutputInvalid, match=r"it breaks '(pattern|uniqueItems)'"):
        AnswerSchema(schema).check(json.dumps(answer))


def test_the_deepest_answer_of_a_recursive_schema_is_checked() -> None:
    schema = {"type": ["object", "integer"], "properties": {"a": {"$ref": "#"}}, "additionalProperties": False}
    AnswerSchema(schema).check(json.dumps(nested(95)))
    with pytest.raises(AgentOutputInvalid, match="deep"):
        AnswerSchema(schema).check(json.dumps(nested(101)))


def test_steps_come_to_an_end() -> None:
    steps = Steps(3)
    steps.count(3)
    with pytest.raises(TooManySteps):
        steps.count(1)
