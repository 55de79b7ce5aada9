"""What setup.py compiles, without compiling it: `.ci/run` does, and runs the tests on the compiled form."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.deploy.test_readme import load_script
from tests.support.paths import ROOT

PACKAGE = ROOT / "oaicompat_proxy"


def setup() -> ModuleType:
    return load_script("../setup.py")


def compiled() -> list[Path]:
    return [PACKAGE / room / f"{name}.py" for room, names in setup().COMPILED.items() for name in names.split()]


def classes(path: Path) -> Iterator[tuple[str, set[str]]]:
    """The classes of a module, each with the names of its bases."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ClassDef):
            yield node.name, {ast.unparse(base).partition("[")[0] for base in node.bases}


def test_every_module_that_is_compiled_exists_and_is_named_once() -> None:
    paths = compiled()
    assert [path for path in paths if not path.is_file()] == []
    assert len(paths) == len(set(paths))


def test_no_interpreted_class_inherits_from_a_compiled_one() -> None:
    """mypyc lets it be defined, and raises TypeError when there is to be an instance."""
    paths = compiled()
    special = {"NamedTuple", "Protocol", "Exception"}
    native = {name for path in paths for name, bases in classes(path) if not bases & special}
    for path in {*PACKAGE.rglob("*.py")} - {*paths}:
        own = {name for name, _ in classes(path)}
        found = [name for name, bases in classes(path) if (bases - own) & native]
        assert found == [], f"{path.relative_to(PACKAGE)} inherits from a compiled class: compile it, too"


def test_nothing_that_is_compiled_awaits_in_a_finally() -> None:
    """mypyc forgets the exception that is on its way: a cancellation would be lost."""
    for path in compiled():
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            last = node.finalbody if isinstance(node, ast.Try) else []
            awaits = [each.lineno for line in last for each in ast.walk(line) if isinstance(each, ast.Await)]
            assert awaits == [], path.relative_to(PACKAGE)


@pytest.mark.parametrize("value", [None, "0"])
def test_nothing_is_compiled_unless_it_is_asked_for(value: str | None, tmp_path: Path) -> None:
    environment = {**os.environ, "OAICOMPAT_COMPILE": value} if value else dict(os.environ)
    if not value:
        environment.pop("OAICOMPAT_COMPILE", None)
    command = [sys.executable, "-W", "ignore", "setup.py", "--quiet", "build", "--build-base", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, timeout=60, capture_output=True)
    assert list(tmp_path.rglob("*.so")) == []
    assert list(tmp_path.rglob("oaicompat_proxy/core/sse.py")) != []
