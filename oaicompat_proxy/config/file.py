"""The settings file: TOML, with the settings' names as keys. Pure: the caller passes the text."""

from __future__ import annotations

import difflib
import json
import re
import textwrap
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, fields
from typing import Any

from .fields import validation_error
from .settings import Config, ConfigError

TOML_TYPES: dict[str, tuple[type | tuple[type, ...], str]] = {
    "str": (str, "a text in quotes"),
    "int": (int, "a whole number"),
    "float": ((int, float), "a number"),
    "bool": (bool, "true or false"),
    "tuple[str, ...]": ((list, tuple), "a list of texts"),
    "Mapping[str, str]": (dict, "a table of texts"),
}
"""The TOML value for each type of setting, with its name for messages."""

_ONE_OR_SEVERAL = {each.name for each in fields(Config) if each.metadata.get("one_or_several")}
"""Settings whose value may be one text instead of a list, as in earlier releases."""

GATEWAY = "gateway"
"""The name of the tables of a file with several gateways."""

_TABLE_HEADER = re.compile(r"\s*(\[+([\w-]+))(?:\.([\w-]+))?")
_KEY = re.compile(r"""\s*["']?([\w-]+)["']?\s*[.=]""")

WIDTH = 100

GATEWAYS_EXAMPLE = r"""\ Several gateways in one process: each has a table with its own prefix at the end of the file.
The comments above say which settings are allowed in a table. A table inherits the settings above it.

[[gateway]]
prefix = "/one/v1"
upstream = "http://127.0.0.1:18790"

[[gateway]]
prefix = "/two/v1"
upstream = "http://127.0.0.1:18791"
"""


MAX_SHOWN_KEY = 100
"""Characters of a key that a message quotes, at most."""

MAX_SHOWN_PROBLEM = 1000
"""Characters of a message, at most."""


def _one_line(text: str) -> str:
    """The text as one printable line, for a log."""
    line = " ".join(text.split())
    return "".join(each if each.isprintable() else "?" for each in line)[:MAX_SHOWN_PROBLEM]


class FileError(ConfigError):
    """An invalid file, with one line for each problem. No line quotes a secret."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = list(map(_one_line, problems))
        more = len(self.problems) - 1
        super().__init__(self.problems[0] + (f" (and {more} more: see config check)" if more else ""))


@dataclass(frozen=True, slots=True)
class SettingsFile:
    name: str
    values: Mapping[str, Any]
    """The values of the settings in the file, in Config's types."""
    lines: Mapping[str, int]
    """Line numbers of the keys, as `location` names them."""
    gateways: tuple[Mapping[str, Any], ...] = ()
    """The values of each `[[gateway]]` table."""

    def location(self, key: str) -> str:
        """File and line of a key: a setting's name, or `gateway[N].NAME` in the Nth of those tables."""
        return f"{self.name}, line {self.lines[key]}" if key in self.lines else self.name


def parse(text: str, name: str) -> SettingsFile:
    """Parses the text of a settings file. `name`: of the file, for messages. Raises FileError."""
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise FileError([f"{name}: invalid TOML: {error}"]) from None
    except (ValueError, RecursionError):  # ValueError: a number of thousands of digits
        raise FileError([f"{name}: invalid TOML: nested too deeply, or a number is too long"]) from None
    tables = found.pop(GATEWAY, [])
    lines = line_numbers(text)
    file = SettingsFile(name, _values(found), lines, tuple(map(_values, tables)) if _are_tables(tables) else ())
    known = {each.name: each for each in fields(Config)}
    errors = [(key, _error_in(key, value, known.get(key), known)) for key, value in found.items()]
    if not _are_tables(tables):
        errors.append((GATEWAY, "gateway must be tables: [[gateway]]"))
    for number, table in enumerate(file.gateways, 1):
        errors += [(f"{GATEWAY}[{number}].{key}", _error_in_gateway(key, value, known)) for key, value in table.items()]
    if problems := [f"{file.location(path)}: {error}" for path, error in errors if error]:
        raise FileError(problems)
    return file


def _are_tables(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, dict) for each in value)


def _values(table: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _value(key, value) for key, value in table.items()}


def _value(key: str, value: object) -> object:
    """The value in Config's type. Some settings accept one text for a list of one."""
    if isinstance(value, str) and key in _ONE_OR_SEVERAL:
        return (value,)
    return tuple(value) if isinstance(value, list) else value


def _error_in_gateway(key: str, value: object, known: Mapping[str, Field[Any]]) -> str:
    each = known.get(key)
    if each is not None and not each.metadata.get("gateway"):
        return f"{key} is the same for all gateways: move it above the first [[gateway]]"
    return _error_in(key, value, each, [name for name, each in known.items() if each.metadata.get("gateway")])


def _error_in(key: str, value: object, each: Field[Any] | None, known: Iterable[str]) -> str:
    """The error in a key or its value; empty if they are valid."""
    if each is None:
        key = key[:MAX_SHOWN_KEY]
        nearest = difflib.get_close_matches(key.replace("-", "_").lower(), [*known, GATEWAY], 1)
        return f"there is no setting {key}" + (f"; did you mean {nearest[0]}?" if nearest else "")
    value = _value(key, value)
    if not _has_type(value, str(each.type)):
        return f"{key} must be {TOML_TYPES[str(each.type)][1]}"
    error = validation_error(each, tuple(value) if isinstance(value, list) else value)
    return f"{key} {error}" if error else ""


def _has_type(value: object, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "bool"  # in Python a bool is also an int
    if not isinstance(value, TOML_TYPES[kind][0]):
        return False
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return all(isinstance(each, str) for each in inner)


def line_numbers(text: str) -> dict[str, int]:
    """The line of each key, named as `SettingsFile.location` does, since `tomllib` has no line numbers."""
    lines: dict[str, int] = {}
    table, gateways = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        if header := _TABLE_HEADER.match(line):
            gateways += header[1] == "[[gateway"
            inner = f"{GATEWAY}[{gateways}]"
            table = f"{inner}.{header[3]}" if header[3] else inner if header[2] == GATEWAY else header[2]
            lines.setdefault(GATEWAY if table == inner else table, number)
        elif (key := _KEY.match(line)) and table in ("", f"{GATEWAY}[{gateways}]"):
            lines.setdefault(f"{table}.{key[1]}" if table else key[1], number)
    return lines


def example_file() -> str:
    """A file with all defaults as comments, each with its help text."""
    lines = [
        "# Settings of oaicompat-proxy: remove the # in front of those to change. Times are seconds, sizes are bytes.",
        "# The environment and the command line override the settings of this file, but not those of a [[gateway]].",
    ]
    for each in fields(Config):
        lines += ["", *_comment(each), f"#{each.name} = {to_toml(default_of(each))}"]
    lines += ["", *(f"# {line}".rstrip() for line in GATEWAYS_EXAMPLE.splitlines())]
    return "\n".join(lines) + "\n"


def _comment(each: Field[Any]) -> Iterator[str]:
    choices = each.metadata.get("choices")
    text = each.metadata["help"] + (f" One of {', '.join(choices)}." if choices else "")
    text += f" ({'A gateway may have its own' if each.metadata.get('gateway') else 'One for all gateways'}; "
    text += f"{'read again at SIGHUP' if each.metadata['reload'] else 'changes at a restart'}.)"
    for line in textwrap.wrap(text, WIDTH, break_long_words=False, break_on_hyphens=False):
        yield f"# {line}"


def default_of(each: Field[Any]) -> Any:
    return each.default if each.default is not MISSING else {}


def to_toml(value: object) -> str:
    """The value in TOML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, Mapping):
        pairs = ", ".join(f"{to_toml(key)} = {to_toml(each)}" for key, each in value.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    if isinstance(value, tuple):
        return f"[{', '.join(map(to_toml, value))}]"
    return repr(value)
