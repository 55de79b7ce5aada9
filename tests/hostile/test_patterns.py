"""Every regular expression of the package takes time and memory in proportion to the text that it meets.

The expressions are found by inspection, so a new one is held to this without anybody thinking of it. What is sent
against each is made from its own words: any few of its characters, repeated, between a beginning and an end that may
let it begin and keep it from finishing.
"""

import ast
import importlib
import pkgutil
import re
import time
import tracemalloc
from collections.abc import Iterator
from itertools import islice, product
from pathlib import Path
from re import _constants as op
from re import _parser as parser
from typing import Any, NamedTuple

import pytest

import oaicompat_proxy

PACKAGE = Path(oaicompat_proxy.__file__).parent

LENGTHS = (16, 20, 24, 28, 32, 64, 250, 1_000, 4_000)
"""Characters. What is exponential is seen at the first of them, and what is a square at the last."""
SUSPECT = 0.001
"""Seconds of processor time from which on the growth is measured. A line takes less for the longest text."""
GROWTH, MOST = 4, 9
"""Four times the text may take nine times the time: a line takes four times, a square sixteen."""


BYTES = 40
"""Of memory for each character, at most. An alternative that is repeated remembers each of its turns, in 120."""


class Pattern(NamedTuple):
    module: str
    name: str
    compiled: re.Pattern[Any]
    is_anchored: bool
    """It is only ever tried at one place (`match`, `fullmatch`), never looked for (`search`, `sub`, …)."""


def modules() -> Iterator[str]:
    for found in pkgutil.walk_packages([str(PACKAGE)], "oaicompat_proxy."):
        if not found.ispkg and not found.name.endswith("__main__"):
            yield found.name


def patterns() -> list[Pattern]:
    return [pattern for module in modules() for pattern in [*held_patterns(module), *inline_patterns(module)]]


def held_patterns(module: str) -> Iterator[Pattern]:
    """Those in the module's own variables, in tables too."""
    loaded = importlib.import_module(module)
    source = source_of(module)
    for name, value in vars(loaded).items():
        if f"{name} = " in source:
            for compiled in patterns_in(value):
                yield Pattern(module, name, compiled, only_anchored(name, source))


def source_of(module: str) -> str:
    """Read beside the package: the `__file__` of a compiled module is no text."""
    return PACKAGE.parent.joinpath(*module.split(".")).with_suffix(".py").read_text()


def patterns_in(value: Any) -> Iterator[re.Pattern[Any]]:
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(value, tuple | list):
        for item in value:
            yield from patterns_in(item)
    elif isinstance(value, dict):
        yield from patterns_in([*value.values()])


def only_anchored(name: str, source: str) -> bool:
    methods = set(re.findall(rf"\b{name}\.([a-z]+)\b", source))
    return bool(methods) and methods <= {"match", "fullmatch"}


def inline_patterns(module: str) -> Iterator[Pattern]:
    """Those that a call such as `re.sub("…", …)` has in it."""
    for call in ast.walk(ast.parse(source_of(module))):
        if isinstance(call, ast.Call) and ast.unparse(call.func).startswith("re.") and call.args:
            method, text = ast.unparse(call.func)[3:], call.args[0]
            if isinstance(text, ast.Constant) and isinstance(text.value, str | bytes) and method != "compile":
                yield Pattern(module, f"line {call.lineno}", re.compile(text.value), method in ("match", "fullmatch"))


def words_of(parsed: Any) -> Iterator[str]:
    """What the expression is made of: its literal texts, and a character of each of its classes."""
    text = ""
    for kind, value in parsed:
        if kind is op.LITERAL:
            text += chr(value)
            continue
        if text:
            yield text
            text = ""
        if kind is op.NOT_LITERAL:
            yield "a" if value != ord("a") else "b"
        elif kind is op.IN:
            yield from class_words(value)
        elif kind is op.ANY:
            yield "a"
        else:
            for inner in subpatterns(value):
                yield from words_of(inner)
    if text:
        yield text


def class_words(items: list[tuple[Any, Any]]) -> Iterator[str]:
    for kind, value in items:
        if kind is op.LITERAL:
            yield chr(value)
        elif kind is op.RANGE:
            yield chr(value[0])
        elif kind is op.NEGATE:
            yield from ("a", " ")
        elif kind is op.CATEGORY:
            yield {op.CATEGORY_DIGIT: "1", op.CATEGORY_SPACE: " ", op.CATEGORY_WORD: "a"}.get(value, "-")


def subpatterns(value: Any) -> Iterator[Any]:
    if isinstance(value, parser.SubPattern):
        yield value
    elif isinstance(value, tuple | list):
        for item in value:
            yield from subpatterns(item)


def sample(parsed: Any) -> str:
    """A text that begins as the expression asks, each repetition as short as it may be, but not left out."""
    text = ""
    for kind, value in parsed:
        if kind is op.LITERAL:
            text += chr(value)
        elif kind in (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT):
            text += sample(value[2]) * max(1, min(value[0], 50))
        elif kind is op.SUBPATTERN:
            text += sample(value[3])
        elif kind is op.BRANCH:
            text += sample(value[1][0])
        elif kind is op.ATOMIC_GROUP:
            text += sample(value)
        elif kind in (op.IN, op.NOT_LITERAL, op.ANY):
            text += next(words_of([(kind, value)]), "a")
    return text


def prefixes(parsed: Any) -> list[str]:
    """Beginnings of a text that matches, cut behind each of the expression's items."""
    items = list(parsed)
    return list(dict.fromkeys(["", *(sample(items[:count]) for count in range(1, len(items) + 1))]))[:8]


def attacks(pattern: re.Pattern[Any]) -> Iterator[tuple[str, str, str]]:
    """Beginning, what is repeated, and end."""
    parsed = parser.parse(pattern.pattern, pattern.flags & ~re.DEBUG)
    words = list(dict.fromkeys([*words_of(parsed), "a", " ", "\\", '"', "\n"]))[:16]
    whole = sample(parsed)
    pumps = list(dict.fromkeys([*words, whole, whole[:-1], *map("".join, product(words[:9], repeat=2))]))
    starts = prefixes(parsed)
    for pump in filter(None, pumps):
        for start in starts:
            for end in ("", "\x00"):
                yield start, pump, end


def text_of(attack: tuple[str, str, str], length: int) -> str:
    start, pump, end = attack
    return start + pump * (length // len(pump) + 1) + end


def seconds(pattern: Pattern, attack: tuple[str, str, str], length: int) -> float:
    """Seconds of processor time."""
    text = text_of(attack, length)
    subject: Any = text.encode("utf-8", "surrogatepass") if isinstance(pattern.compiled.pattern, bytes) else text
    start = time.thread_time()
    if pattern.is_anchored:
        pattern.compiled.fullmatch(subject)
        pattern.compiled.match(subject)
    else:
        for _ in pattern.compiled.finditer(subject):
            pass
    return time.thread_time() - start


def bytes_taken(pattern: Pattern, attack: tuple[str, str, str], length: int) -> int:
    """Peak bytes of memory, without the text."""
    tracemalloc.start()
    try:
        seconds(pattern, attack, length)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def grows_too_fast(pattern: Pattern, attack: tuple[str, str, str]) -> bool:
    """A busy machine slows one measurement down, and not each of three."""
    return all(seems_to_grow_too_fast(pattern, attack) for _ in range(3))


def seems_to_grow_too_fast(pattern: Pattern, attack: tuple[str, str, str]) -> bool:
    length = next((length for length in LENGTHS if seconds(pattern, attack, length) > SUSPECT), None)
    if length is None:
        return False
    if length < 64:
        return seconds(pattern, attack, length) > SUSPECT
    short, long = (min(seconds(pattern, attack, each) for _ in range(4)) for each in (length, GROWTH * length))
    return long > MOST * max(short, SUSPECT / 2)


def offenders(pattern: Pattern) -> Iterator[tuple[str, str, str]]:
    return (attack for attack in attacks(pattern.compiled) if grows_too_fast(pattern, attack))


def label(pattern: Pattern) -> str:
    return f"{pattern.module.removeprefix('oaicompat_proxy.')}:{pattern.name}"


ALL = [pytest.param(each, id=label(each)) for each in patterns()]


@pytest.mark.parametrize("pattern", ALL)
def test_it_takes_time_in_proportion_to_its_text(pattern: Pattern) -> None:
    assert list(islice(offenders(pattern), 1)) == []


@pytest.mark.parametrize("pattern", ALL)
def test_it_takes_memory_in_proportion_to_its_text(pattern: Pattern) -> None:
    greedy = (attack for attack in attacks(pattern.compiled) if bytes_taken(pattern, attack, 4_000) > BYTES * 4_000)
    assert list(islice(greedy, 1)) == []


@pytest.mark.parametrize(
    "words",
    [r"data:([^,;]*)([^,]*),(.*)", r"(a|a)*b", r"a*a*b", r"^=== .*Continue.* ===\s*\Z", r'app ".*"\. Has: (.*)'],
)
def test_what_takes_the_square_of_its_text_is_found_out(words: str) -> None:
    assert next(offenders(Pattern("", "", re.compile(words, re.DOTALL | re.MULTILINE), False)), None)


def test_what_remembers_each_character_is_found_out() -> None:
    quoted = Pattern("", "", re.compile(r'"(?:[^"\\]|\\.)*"'), False)
    assert any(bytes_taken(quoted, attack, 4_000) > BYTES * 4_000 for attack in attacks(quoted.compiled))
