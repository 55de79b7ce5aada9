import json
import time

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oaicompat_proxy.api.json_size import MAX_DEPTH, find_excess

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text('a,:[]{}"\\ é'),
    lambda children: st.lists(children) | st.dictionaries(st.text(',:[{"\\'), children),
    max_leaves=20,
)
MEBIBYTE = 1024 * 1024


def marks_of(value):
    """Counted on the values: commas, colons and opening brackets."""
    if isinstance(value, dict):
        return 1 + len(value) + max(0, len(value) - 1) + sum(map(marks_of, value.values()))
    if isinstance(value, list):
        return 1 + max(0, len(value) - 1) + sum(map(marks_of, value))
    return 0


@given(VALUES, st.booleans())
def test_what_stands_in_strings_is_not_counted(value, escapes):
    body, marks = json.dumps([value], ensure_ascii=escapes).encode(), marks_of([value])
    assert find_excess(body, marks) is None
    if marks > 1:
        assert "values and keys" in find_excess(body, marks - 1)


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}"), (b'[{"]":"[",  "a":', b"}]")])
def test_depth_is_found_exactly(opening, closing):
    levels = opening.count(b"[") + opening.count(b"{") - (b'"["' in opening)
    times = MAX_DEPTH // levels
    deepest, inside = opening * times + b"1" + closing * times, b"1"
    assert find_excess(deepest, 10_000) is None
    assert find_excess(b"[" + b",".join([deepest, inside]) + b"]", 10_000).startswith("is nested more than 128 levels")
    orjson.loads(deepest)


def test_what_is_wide_is_not_deep():
    assert find_excess(b"[" + b",".join([b'{"a":[[]]}'] * 1000) + b"]", 10_000) is None


@pytest.mark.parametrize("body", [b"", b'"', b'\\"[[[', b'""""""', b"]" * 1000, b"[" * 100, b'{"\\":[[[['])
def test_what_is_no_json_is_left_to_the_parser_or_has_too_much(body):
    assert find_excess(body, 10_000) is None
    assert find_excess(body, 0) is None or not body or any(mark in body for mark in (b"[", b'"'))


@pytest.mark.slow
@pytest.mark.parametrize(
    "piece",
    [b"[],", b"[[[[],", b'"",', b'"\\"",', b'"\\\\",', b'"\\\\\\"[",', b'{"a":1},', b"a", b"\\\\", b'\\"', b" "],
)
def test_it_costs_some_milliseconds_for_each_megabyte(piece):
    """Less than parsing it would, at the least."""
    body = b'{"a":[' + piece * (4 * MEBIBYTE // len(piece))
    times = []
    for _ in range(3):
        start = time.thread_time()
        find_excess(body, 100_000)
        times.append(time.thread_time() - start)
    assert min(times) < 4 * 0.02
