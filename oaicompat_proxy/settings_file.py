"""The settings file: TOML, with the settings' names as keys. Pure: it is handed the text."""

from __future__ import annotations

import difflib
import json
import re
import textwrap
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, fields
from typing import Any

from .config import Config, ConfigError
from .settings import fault_of

KINDS: dict[str, tuple[type | tuple[type, ...], str]] = {
    "str": (str, "a text in quotes"),
    "int": (int, "a whole number"),
    "float": ((int, float), "a number"),
    "bool": (bool, "true or false"),
    "tuple[str, ...]": (list, "a list of texts"),
    "Mapping[str, str]": (dict, "a table of texts"),
}
"""What TOML has to hold for a setting of each type."""

_HEADER = re.compile(r"\s*\[+\s*([\w-]+)")
_KEY = re.compile(r"""\s*["']?([\w-]+)["']?\s*[.=]""")

WIDTH = 100


class FileError(ConfigError):
    """A file that cannot be used, with every reason: one line each, none of them quoting a secret."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = list(problems)
        more = len(self.problems) - 1
        super().__init__(self.problems[0] + (f" (and {more} more: see config check)" if more else ""))


@dataclass(frozen=True, slots=True)
class SettingsFile:
    name: str
    values: Mapping[str, Any]
    """Of the settings that stand in it, as Config takes them."""
    lines: Mapping[str, int]

    def where(self, key: str) -> str:
        return f"{self.name}, line {self.lines[key]}" if key in self.lines else self.name


def parse(text: str, name: str) -> SettingsFile:
    """`name`: of the file, for messages. Raises FileError."""
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise FileError([f"{name}: it is no TOML: {' '.join(str(error).split())}"]) from None
    file = SettingsFile(name, {key: _frozen(value) for key, value in found.items()}, lines_of(text))
    known = {each.name: each for each in fields(Config)}
    problems = [
        f"{file.where(key)}: {fault}"
        for key, value in found.items()
        if (fault := _fault(key, value, known.get(key), known))
    ]
    if problems:
        raise FileError(problems)
    return file


def _fault(key: str, value: object, each: Field[Any] | None, known: Iterable[str]) -> str:
    """What is wrong with it; empty if nothing is."""
    if each is None:
        nearest = difflib.get_close_matches(key.replace("-", "_").lower(), known, 1)
        return f"there is no setting {key}" + (f"; did you mean {nearest[0]}?" if nearest else "")
    if not _is_of(value, str(each.type)):
        return f"{key} must be {KINDS[str(each.type)][1]}"
    fault = fault_of(each, _frozen(value))
    return f"{key} {fault}" if fault else ""


def _is_of(value: object, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "bool"  # which Python takes for a number too
    if not isinstance(value, KINDS[kind][0]):
        return False
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return all(isinstance(each, str) for each in inner)


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def lines_of(text: str) -> dict[str, int]:
    """The line in which each key of the top level first stands. `tomllib` does not tell."""
    lines: dict[str, int] = {}
    in_table = False
    for number, line in enumerate(text.splitlines(), 1):
        header = _HEADER.match(line)
        in_table = in_table or header is not None
        found = header or (None if in_table else _KEY.match(line))
        if found is not None:
            lines.setdefault(found[1], number)
    return lines


def example() -> str:
    """A file that says nothing but the defaults, each with its reason, and behind a #."""
    lines = [
        "# Settings of oaicompat-proxy: remove the # in front of those to change. Times are seconds, sizes are bytes.",
        "# The environment and the command line override what stands here.",
    ]
    for each in fields(Config):
        lines += ["", *_comment(each), f"#{each.name} = {written(default_of(each))}"]
    return "\n".join(lines) + "\n"


def _comment(each: Field[Any]) -> Iterator[str]:
    choices = each.metadata.get("choices")
    text = each.metadata["help"] + (f" One of {', '.join(choices)}." if choices else "")
    for line in textwrap.wrap(text, WIDTH, break_long_words=False, break_on_hyphens=False):
        yield f"# {line}"


def default_of(each: Field[Any]) -> Any:
    return each.default if each.default is not MISSING else {}


def written(value: object) -> str:
    """As TOML has it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, Mapping):
        pairs = ", ".join(f"{written(key)} = {written(each)}" for key, each in value.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    if isinstance(value, tuple):
        return f"[{', '.join(map(written, value))}]"
    return repr(value)
