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

from .fields import fault_of
from .settings import Config, ConfigError

KINDS: dict[str, tuple[type | tuple[type, ...], str]] = {
    "str": (str, "a text in quotes"),
    "int": (int, "a whole number"),
    "float": ((int, float), "a number"),
    "bool": (bool, "true or false"),
    "tuple[str, ...]": ((list, tuple), "a list of texts"),
    "Mapping[str, str]": (dict, "a table of texts"),
}
"""What TOML has to hold for a setting of each type."""

_ONE_OR_SEVERAL = {each.name for each in fields(Config) if each.metadata.get("one_or_several")}
"""Lists that were a single text in earlier releases."""

GATEWAY = "gateway"
"""The tables of a file with several gateways."""

_HEADER = re.compile(r"\s*(\[+([\w-]+))(?:\.([\w-]+))?")
_KEY = re.compile(r"""\s*["']?([\w-]+)["']?\s*[.=]""")

WIDTH = 100

SEVERAL = """\
Several gateways in one process: each has a table, with a prefix of its own, at the end of the file. What may stand
there is said above; what does not stand there is as it is above.

[[gateway]]
prefix = "/one/v1"
upstream = "http://127.0.0.1:18790"

[[gateway]]
prefix = "/two/v1"
upstream = "http://127.0.0.1:18791"
"""


LONGEST_KEY = 100
"""Characters of a key that a message repeats."""

LONGEST_PROBLEM = 1000
"""Characters of a message."""


def _one_line(text: str) -> str:
    """For a log: whatever stands in the file."""
    words = " ".join(text.split())
    return "".join(each if each.isprintable() else "?" for each in words)[:LONGEST_PROBLEM]


class FileError(ConfigError):
    """A file that cannot be used, with every reason: one line each, none of them quoting a secret."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = list(map(_one_line, problems))
        more = len(self.problems) - 1
        super().__init__(self.problems[0] + (f" (and {more} more: see config check)" if more else ""))


@dataclass(frozen=True, slots=True)
class SettingsFile:
    name: str
    values: Mapping[str, Any]
    """Of the settings that stand in it, as Config takes them."""
    lines: Mapping[str, int]
    gateways: tuple[Mapping[str, Any], ...] = ()
    """The same of each `[[gateway]]` table."""

    def where(self, key: str) -> str:
        """`key`: a setting's name, or `gateway[N].NAME` in the Nth of such tables."""
        return f"{self.name}, line {self.lines[key]}" if key in self.lines else self.name


def parse(text: str, name: str) -> SettingsFile:
    """`name`: of the file, for messages. Raises FileError."""
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise FileError([f"{name}: it is no TOML: {error}"]) from None
    except (ValueError, RecursionError):  # what else Python's reader says of numbers of thousands of digits
        raise FileError([f"{name}: it is no TOML that can be read: too deep, or a number is too long"]) from None
    tables = found.pop(GATEWAY, [])
    lines = lines_of(text)
    file = SettingsFile(name, _values(found), lines, tuple(map(_values, tables)) if _are_tables(tables) else ())
    known = {each.name: each for each in fields(Config)}
    faults = [(key, _fault(key, value, known.get(key), known)) for key, value in found.items()]
    if not _are_tables(tables):
        faults.append((GATEWAY, "gateway must be tables: [[gateway]]"))
    for number, table in enumerate(file.gateways, 1):
        faults += [(f"{GATEWAY}[{number}].{key}", _fault_of_gateway(key, value, known)) for key, value in table.items()]
    if problems := [f"{file.where(path)}: {fault}" for path, fault in faults if fault]:
        raise FileError(problems)
    return file


def _are_tables(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, dict) for each in value)


def _values(table: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _value(key, value) for key, value in table.items()}


def _value(key: str, value: object) -> object:
    """A single text may stand for a list of one."""
    if isinstance(value, str) and key in _ONE_OR_SEVERAL:
        return (value,)
    return tuple(value) if isinstance(value, list) else value


def _fault_of_gateway(key: str, value: object, known: Mapping[str, Field[Any]]) -> str:
    each = known.get(key)
    if each is not None and not each.metadata.get("gateway"):
        return f"{key} is one for all gateways: it belongs above the first [[gateway]]"
    return _fault(key, value, each, [name for name, each in known.items() if each.metadata.get("gateway")])


def _fault(key: str, value: object, each: Field[Any] | None, known: Iterable[str]) -> str:
    """What is wrong with it; empty if nothing is."""
    if each is None:
        key = key[:LONGEST_KEY]
        nearest = difflib.get_close_matches(key.replace("-", "_").lower(), [*known, GATEWAY], 1)
        return f"there is no setting {key}" + (f"; did you mean {nearest[0]}?" if nearest else "")
    value = _value(key, value)
    if not _is_of(value, str(each.type)):
        return f"{key} must be {KINDS[str(each.type)][1]}"
    fault = fault_of(each, tuple(value) if isinstance(value, list) else value)
    return f"{key} {fault}" if fault else ""


def _is_of(value: object, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "bool"  # which Python takes for a number too
    if not isinstance(value, KINDS[kind][0]):
        return False
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return all(isinstance(each, str) for each in inner)


def lines_of(text: str) -> dict[str, int]:
    """The line in which each key first stands, as `SettingsFile.where` takes them. `tomllib` does not tell."""
    lines: dict[str, int] = {}
    table, gateways = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            gateways += header[1] == "[[gateway"
            inner = f"{GATEWAY}[{gateways}]"
            table = f"{inner}.{header[3]}" if header[3] else inner if header[2] == GATEWAY else header[2]
            lines.setdefault(GATEWAY if table == inner else table, number)
        elif (key := _KEY.match(line)) and table in ("", f"{GATEWAY}[{gateways}]"):
            lines.setdefault(f"{table}.{key[1]}" if table else key[1], number)
    return lines


def example() -> str:
    """A file that says nothing but the defaults, each with its reason, and behind a #."""
    lines = [
        "# Settings of oaicompat-proxy: remove the # in front of those to change. Times are seconds, sizes are bytes.",
        "# The environment and the command line override what stands here, but not what stands in a [[gateway]].",
    ]
    for each in fields(Config):
        lines += ["", *_comment(each), f"#{each.name} = {written(default_of(each))}"]
    lines += ["", *(f"# {line}".rstrip() for line in SEVERAL.splitlines())]
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
