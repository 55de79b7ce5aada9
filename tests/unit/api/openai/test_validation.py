"""The wording and the paths of faults, on a small schema of their own."""

from typing import Annotated, Any, Literal, Required

import pytest
from pydantic import Field, Tag, TypeAdapter
from typing_extensions import TypedDict

from oaicompat_proxy.api.openai.validation import at_most, by_field, by_json_type, check
from oaicompat_proxy.core.errors import InvalidRequest


class Cat(TypedDict):
    cat: str


class Owl(TypedDict):
    owl: int


Animal = Annotated[Annotated[Cat, Tag("|cat")] | Annotated[Owl, Tag("|owl")], by_field("kind", "cat", "owl")]
Either = Annotated[
    Annotated[str, Tag("|string")] | Annotated[list[Animal], Tag("|array")],
    by_json_type("a string", "array of objects"),
]
Small = Annotated[str, Field(max_length=3)]


class Body(TypedDict, total=False):
    need: Required[int]
    text: str | None
    whole: Annotated[int, Field(ge=1, le=128)]
    real: Annotated[float, Field(ge=-2.0, le=2.0)]
    yes: bool
    word: Literal["a", "b", "c"]
    only: Literal["a"]
    animals: Annotated[list[Animal], Field(min_length=1, max_length=2)]
    either: Either
    free: Annotated[dict[Small, Small], at_most(2)]
    pattern: Annotated[str, Field(pattern="^[a-z]+$")]
    inner: Cat
    odd: Annotated[float, Field(gt=0)]


SCHEMA: TypeAdapter[Body] = TypeAdapter(Body)
NO_BRANCH = "expected one of a string or array of objects, but got an integer instead."
NOT_EMPTY = "Expected an array with minimum length 1, but got an empty array instead."
MATCHING = "Expected a string that matches the pattern '^[a-z]+$'."
OK: dict[str, Any] = {"need": 1}


def fault_of(body):
    with pytest.raises(InvalidRequest) as caught:
        check(SCHEMA, body)
    return caught.value


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"text": None},
        {"whole": 1},
        {"whole": 128},
        {"real": 2},
        {"real": -2.0},
        {"word": "c"},
        {"animals": [{"kind": "cat", "cat": "x"}, {"kind": "owl", "owl": 1, "more": {}}]},
        {"either": "text"},
        {"either": []},
        {"free": {"abc": "abc"}},
        {"unknown": float("inf")},
    ],
)
def test_what_fits_passes(more):
    check(SCHEMA, OK | more)


@pytest.mark.parametrize(
    ("more", "param", "code", "message"),
    [
        (
            {"text": 5},
            "text",
            "invalid_type",
            "Invalid type for 'text': expected a string, but got an integer instead.",
        ),
        (
            {"whole": "5"},
            "whole",
            "invalid_type",
            "Invalid type for 'whole': expected an integer, but got a string instead.",
        ),
        (
            {"whole": 5.0},
            "whole",
            "invalid_type",
            "Invalid type for 'whole': expected an integer, but got a decimal instead.",
        ),
        (
            {"whole": True},
            "whole",
            "invalid_type",
            "Invalid type for 'whole': expected an integer, but got a boolean instead.",
        ),
        (
            {"real": True},
            "real",
            "invalid_type",
            "Invalid type for 'real': expected a decimal, but got a boolean instead.",
        ),
        (
            {"yes": None},
            "yes",
            "invalid_type",
            "Invalid type for 'yes': expected a boolean, but got null instead.",
        ),
        (
            {"animals": {}},
            "animals",
            "invalid_type",
            "Invalid type for 'animals': expected an array, but got an object instead.",
        ),
        (
            {"free": []},
            "free",
            "invalid_type",
            "Invalid type for 'free': expected an object, but got an array instead.",
        ),
        (
            {"either": 5},
            "either",
            "invalid_type",
            f"Invalid type for 'either': {NO_BRANCH}",
        ),
        (
            {"word": 5},
            "word",
            "invalid_type",
            "Invalid type for 'word': expected one of 'a', 'b', or 'c', but got an integer instead.",
        ),
        (
            {"word": "boss"},
            "word",
            "invalid_value",
            "Invalid value: 'boss'. Supported values are: 'a', 'b', and 'c'.",
        ),
        (
            {"only": "boss"},
            "only",
            "invalid_value",
            "Invalid value: 'boss'. Supported values are: 'a'.",
        ),
        (
            {"whole": 0},
            "whole",
            "integer_below_min_value",
            "Invalid 'whole': integer below minimum value. Expected a value >= 1, but got 0 instead.",
        ),
        (
            {"whole": 129},
            "whole",
            "integer_above_max_value",
            "Invalid 'whole': integer above maximum value. Expected a value <= 128, but got 129 instead.",
        ),
        (
            {"real": 3},
            "real",
            "decimal_above_max_value",
            "Invalid 'real': decimal above maximum value. Expected a value <= 2, but got 3 instead.",
        ),
        (
            {"real": -2.1},
            "real",
            "decimal_below_min_value",
            "Invalid 'real': decimal below minimum value. Expected a value >= -2, but got -2.1 instead.",
        ),
        (
            {"animals": []},
            "animals",
            "empty_array",
            f"Invalid 'animals': empty array. {NOT_EMPTY}",
        ),
        (
            {"animals": [{"kind": "cat", "cat": "x"}] * 3},
            "animals",
            "array_above_max_length",
            "Invalid 'animals': array too long. Expected an array with maximum length 2, but got an array "
            "with length 3 instead.",
        ),
        (
            {"free": {"a": "long"}},
            "free.a",
            "string_above_max_length",
            "Invalid 'free.a': string too long. Expected a string with maximum length 3, but got a string "
            "with length 4 instead.",
        ),
        (
            {"free": {"long": "a"}},
            "free.long",
            "string_above_max_length",
            "Invalid 'free.long': string too long. Expected a string with maximum length 3, but got a string "
            "with length 4 instead.",
        ),
        (
            {"free": {"a": "a", "b": "b", "c": 5}},
            "free",
            "object_above_max_properties",
            "Invalid 'free': too many properties. Expected an object with at most 2 properties, but got 3 "
            "properties instead.",
        ),
        (
            {"pattern": "A"},
            "pattern",
            "invalid_value",
            f"Invalid 'pattern': string does not match pattern. {MATCHING}",
        ),
        (
            {"inner": {}},
            "inner.cat",
            "missing_required_parameter",
            "Missing required parameter: 'inner.cat'.",
        ),
        (
            {"animals": [5]},
            "animals[0]",
            "invalid_type",
            "Invalid type for 'animals[0]': expected an object, but got an integer instead.",
        ),
        (
            {"animals": [{"cat": "x"}]},
            "animals[0].kind",
            "missing_required_parameter",
            "Missing required parameter: 'animals[0].kind'.",
        ),
        (
            {"animals": [{"kind": None}]},
            "animals[0].kind",
            "invalid_type",
            "Invalid type for 'animals[0].kind': expected one of 'cat' or 'owl', but got null instead.",
        ),
        (
            {"animals": [{"kind": "boss"}]},
            "animals[0].kind",
            "invalid_value",
            "Invalid value: 'boss'. Supported values are: 'cat' and 'owl'.",
        ),
        (
            {"odd": 0},
            "odd",
            "invalid_value",
            "Invalid 'odd': the value is not what the API describes.",
        ),
    ],
)
def test_each_kind_of_fault_reads_as_openais(more, param, code, message):
    fault = fault_of(OK | more)
    assert (fault.status, fault.param, fault.code, fault.message) == (400, param, code, message)


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"either": [{"kind": "cat", "cat": 5}]}, "either[0].cat"),
        ({"either": [{"kind": "owl", "owl": "x", "cat": 5}]}, "either[0].owl"),
        ({"either": [{"kind": "cat"}]}, "either[0].cat"),
        ({"either": [{"kind": "cat", "cat": "x"}, 5]}, "either[1]"),
        ({"animals": [{"cat": 5, "kind": "cat"}]}, "animals[0].cat"),
    ],
)
def test_paths_name_fields_and_never_branches(more, param):
    assert fault_of(OK | more).param == param


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"real": 9, "need": "x"}, "real"),
        ({"need": "x", "real": 9}, "need"),
        ({"real": 9}, "real"),
        ({"inner": {"cat": 5}, "need": "x"}, "inner.cat"),
        ({"need": 1, "free": {"b": 5, "a": 5}}, "free.b"),
    ],
)
def test_the_first_fault_in_document_order_is_reported(body, param):
    assert fault_of(body).param == param


def test_a_body_that_lacks_a_field_names_it():
    assert fault_of({}).param == "need"


@pytest.mark.parametrize(
    "more",
    [
        {"word": "x" * 10_000},
        {"animals": [{"kind": "x" * 10_000}]},
        {"free": {"x" * 10_000: "a"}},
        {"free": {"a": "x" * 10_000}},
        {"pattern": "X" * 10_000},
        {"real": 10.0**300},
    ],
)
def test_client_values_are_not_repeated_at_length(more):
    fault = fault_of(OK | more)
    assert len(fault.message) < 250
    assert len(fault.param) < 100


def test_a_key_that_looks_like_a_branch_does_no_harm():
    assert fault_of(OK | {"free": {"|a": "long"}}).param == "free"
