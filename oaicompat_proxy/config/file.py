"""The settings file: TOML, with the settings' names as keys. Pure: the caller passes the text."""

from __future__ import annotations

import difflib
import json
import re
import textwrap
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import Field, dataclass, replace
from typing import Any

from .fields import choices_of, default_of, validate
from .model_info import MODEL_INFO, parse_model_info
from .settings import SETTINGS, ConfigError

GATEWAY = "gateway"
"""The name of the tables of a file with several gateways."""

_FIELDS = {each.name: each for each in SETTINGS}
_GATEWAY_FIELDS = {name: each for name, each in _FIELDS.items() if each.metadata.get("gateway")}

_KEY = re.compile(r"""\s*["']?([\w-]+)["']?\s*[.=]""")

WIDTH = 100

MODEL_INFO_EXAMPLE = """\
The description of a model in lists of models, by its name or a pattern such as gpt-*; it overrides the gateway's.
(A gateway may have its own, as [gateway.model_info."coder"]; read again at SIGHUP.)

[model_info."coder"]
description = "Writes and reviews code"
context_length = 200000
max_output_tokens = 32000
input_modalities = ["text", "image"]
tools = true

"""

GATEWAYS_EXAMPLE = """\
Several gateways in one process: each has a table with its own prefix at the end of the file.
The comments above say which settings are allowed in a table. A table inherits the settings above it.

[[gateway]]
prefix = "/one/v1"
upstream = "http://127.0.0.1:18790"

[[gateway]]
prefix = "/two/v1"
upstream = "http://127.0.0.1:18791"
"""


MAX_DEPTH = 4
"""Keys of a table's header that `line_numbers` reads; no valid header has more."""

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
        """File and line of a key, or of the table that holds it: a setting's name, `model_info.MODEL.NAME`, or
        `gateway[N].…` in the Nth of those tables.
        """
        while key not in self.lines and "." in key:
            key = key.rpartition(".")[0]
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
    file = SettingsFile(name, {}, line_numbers(text))
    errors: list[tuple[str, str]] = []
    values = _all_validated(found, _value, errors)
    if not isinstance(tables, list) or not all(isinstance(each, dict) for each in tables):
        errors.append((GATEWAY, "gateway must be tables: [[gateway]]"))
        tables = []
    gateways = [
        _all_validated(table, _gateway_value, errors, f"{GATEWAY}[{number}].") for number, table in enumerate(tables, 1)
    ]
    if errors:
        raise FileError(f"{file.location(path)}: {error}" for path, error in errors)
    return replace(file, values=values, gateways=tuple(gateways))


def _all_validated(
    table: Mapping[str, Any], parse_value: Callable[[str, object], Any], errors: list[tuple[str, str]], prefix: str = ""
) -> dict[str, Any]:
    """The valid values of a table with settings and `model_info` tables."""
    settings = dict(table)
    infos = settings.pop(MODEL_INFO, None)
    values = _validated(settings, parse_value, errors, prefix)
    if infos is not None:
        values[MODEL_INFO] = parse_model_info(infos, errors, prefix)
    return values


def _validated(
    table: Mapping[str, Any], parse_value: Callable[[str, object], Any], errors: list[tuple[str, str]], prefix: str = ""
) -> dict[str, Any]:
    """The valid values of a table. The location and the text of each error are added to `errors`."""
    values = {}
    for key, value in table.items():
        try:
            values[key] = parse_value(key, value)
        except ValueError as error:
            errors.append((prefix + key, str(error)))
    return values


def _gateway_value(key: str, value: object) -> Any:
    if key in _FIELDS and key not in _GATEWAY_FIELDS:
        raise ValueError(f"{key} is the same for all gateways: move it above the first [[gateway]]")
    return _value(key, value, _GATEWAY_FIELDS)


def _value(key: str, value: object, known: Mapping[str, Field[Any]] = _FIELDS) -> Any:
    """The value in the type of its setting. Raises ValueError."""
    if key not in known:
        key = key[:MAX_SHOWN_KEY]
        nearest = difflib.get_close_matches(key.replace("-", "_").lower(), [*known, GATEWAY, MODEL_INFO], 1)
        raise ValueError(f"there is no setting {key}" + (f"; did you mean {nearest[0]}?" if nearest else ""))
    try:
        return validate(known[key], value)
    except ValueError as error:
        raise ValueError(f"{key} {error}") from None


def line_numbers(text: str) -> dict[str, int]:
    """The line of each key, named as `SettingsFile.location` does, since `tomllib` has no line numbers."""
    lines: dict[str, int] = {}
    table: list[str] = []
    gateways = 0
    for number, line in enumerate(text.splitlines(), 1):
        if path := _header_path(line):
            gateways += line.lstrip().startswith("[[") and path == [GATEWAY]
            table = [f"{GATEWAY}[{gateways}]", *path[1:]] if path[0] == GATEWAY else path
            for depth in range(1, len(table) + 1):
                lines.setdefault(".".join(table[:depth]), number)
            if path == [GATEWAY]:
                lines.setdefault(GATEWAY, number)
        elif (key := _KEY.match(line)) and _has_keys(table):
            lines.setdefault(".".join([*table, key[1]]), number)
    return lines


def _header_path(line: str) -> list[str]:
    """The keys in the header of a table; none if the line is no header."""
    if not line.lstrip().startswith("["):
        return []
    try:
        inner: Any = tomllib.loads(line)
    except (ValueError, RecursionError):  # part of a text or of a list
        return []
    path: list[str] = []
    while inner and len(path) < MAX_DEPTH:
        ((key, inner),) = inner.items()
        path.append(key)
        inner = inner[0] if isinstance(inner, list) else inner
    return path


def _has_keys(table: list[str]) -> bool:
    """Whether messages name single keys of the table: the top level, a gateway, or a `model_info` table."""
    inner = table[1:] if table and table[0].startswith(f"{GATEWAY}[") else table
    return not inner or inner[0] == MODEL_INFO


def example_file() -> str:
    """A file with all defaults as comments, each with its help text."""
    lines = [
        "# Settings of oaicompat-proxy: remove the # in front of those to change. Times are seconds, sizes are bytes.",
        "# The environment and the command line override the settings of this file, but not those of a [[gateway]].",
    ]
    for each in SETTINGS:
        lines += ["", *_comment(each), f"#{each.name} = {to_toml(default_of(each))}"]
    lines += ["", *(f"# {line}".rstrip() for line in (MODEL_INFO_EXAMPLE + GATEWAYS_EXAMPLE).splitlines())]
    return "\n".join(lines) + "\n"


def _comment(each: Field[Any]) -> Iterator[str]:
    choices = choices_of(each)
    text = each.metadata["help"] + (f" One of {', '.join(choices)}." if choices else "")
    text += f" ({'A gateway may have its own' if each.metadata.get('gateway') else 'One for all gateways'}; "
    text += f"{'read again at SIGHUP' if each.metadata['reload'] else 'changes at a restart'}.)"
    for line in textwrap.wrap(text, WIDTH, break_long_words=False, break_on_hyphens=False):
        yield f"# {line}"


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
