"""Rewrites the generated tables of the README files, and the example of a settings file, from the code.

A test compares the files with what this script would write.
"""

from __future__ import annotations

import pathlib
import re
from dataclasses import MISSING
from typing import Any

from oaicompat_proxy.api.openai.errors import TYPES
from oaicompat_proxy.config.fields import choices_of
from oaicompat_proxy.config.file import example_file
from oaicompat_proxy.config.settings import SETTINGS, flag
from oaicompat_proxy.core import errors
from oaicompat_proxy.server.observability import metric_definitions as metric_names
from oaicompat_proxy.server.observability.outcomes import OUTCOMES

ROOT = pathlib.Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "oaicompat_proxy"
EXAMPLE = ROOT / "scripts" / "deploy" / "oaicompat.toml"


def settings_table() -> str:
    rows = ["| flag | default | what it is | per gateway | reload |", "|---|---|---|---|---|"]
    for each in SETTINGS:
        metavar = each.metadata.get("metavar")
        name = flag(each.name) + (f" {metavar}" if metavar else "")
        choices = choices_of(each)
        text = each.metadata["help"] + (f" One of {', '.join(f'`{choice}`' for choice in choices)}." if choices else "")
        own, live = ("✓" if each.metadata.get(mark) else "" for mark in ("gateway", "reload"))
        rows.append(f"| `{name}` | {_default(each)} | {_cell(text)} | {own} | {live} |")
    return "\n".join(rows)


def _default(each: Any) -> str:
    value = each.default
    if value is MISSING or value in ("", False):
        return ""
    if isinstance(value, tuple):
        return ", ".join(f"`{item}`" for item in value)
    if isinstance(value, str) and not value.strip():
        return "a blank line"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def errors_table() -> str:
    rows = ["| status | `type` | `code` | retry? | what it means |", "|---|---|---|---|---|"]
    retry = {True: "yes", False: "no", None: "the client's rule"}
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.ProxyError)]
    kinds.remove(errors.ProxyError)
    kinds.sort(key=lambda kind: (kind.status, kind.code or ""))
    for kind in kinds:
        code = f"`{kind.code}`" if kind.code else ""
        text = _cell(re.sub(r"^\d{3}: ", "", " ".join((kind.__doc__ or "").split())).rstrip("."))
        rows.append(f"| {kind.status} | `{_type_of(kind)}` | {code} | {retry[kind.should_retry]} | {text} |")
    return "\n".join(rows)


def _type_of(error: type[errors.ProxyError]) -> str:
    return next(word for kind, word in TYPES if issubclass(error, kind))


def metrics_table() -> str:
    rows = ["| metric | type | labels | what it measures |", "|---|---|---|---|"]
    for each in metric_names.ALL:
        labels = ", ".join(f"`{label}`" for label in each.labels)
        rows.append(f"| `{each.name}` | {each.kind} | {labels} | {_cell(each.text.rstrip('.'))} |")
    return "\n".join(rows)


def outcomes_table() -> str:
    rows = ["| outcome | what happened |", "|---|---|"]
    return "\n".join([*rows, *(f"| `{outcome}` | {_cell(text)} |" for outcome, text in OUTCOMES.items())])


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


TABLES = {
    PACKAGE / "config" / "README.md": {"settings": settings_table},
    PACKAGE / "api" / "openai" / "README.md": {"errors": errors_table},
    PACKAGE / "server" / "observability" / "README.md": {"metrics": metrics_table, "outcomes": outcomes_table},
}
"""The tables of each page, by the name between their marks."""


def refresh(page: pathlib.Path) -> str:
    """The text of this page with fresh tables between their marks."""
    text = page.read_text("utf-8")
    for name, table in TABLES[page].items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        text, found = pattern.subn(lambda match, table=table: f"{match[1]}{table()}\n{match[2]}", text)
        assert found == 1, f"{page} has no place for the {name}"
    return text


if __name__ == "__main__":
    for page in TABLES:
        page.write_text(refresh(page), "utf-8")
    EXAMPLE.write_text(example_file(), "utf-8")
