"""The house stands as `design.md` section 2 draws it: who may import whom, how large a room is, who is tested."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "oaicompat_proxy"
TESTS = Path(__file__).parent

PURE_MAY_NOT = {
    *("aiohttp", "aiohttp_sse", "asyncio", "concurrent", "logging", "random", "secrets", "selectors", "socket", "ssl"),
    *("subprocess", "threading", "time", "urllib3", "uuid", "uvloop"),
}
MAY_DO_IO = {"web", "demo", "console", "cli", "__main__"}
"""Rooms and modules that may await, look at the clock, roll dice and log."""

CORRIDOR = {"translator", "speech", "citations", "conversation", "confirmations"}
"""Where both sides meet: the translator and the conversation, each with what was taken out of it to keep it short."""

LONGEST_MODULE = 300
LONGEST_FUNCTION = 40
MAY_BE_LONGER = {"errors", "config"}
"""One tree, and one list of settings, each in one place: tables rather than programs."""

NEED_NO_TEST = {
    "events": "only words: they have no behaviour",
    "dialects.dialect": "only what is asked of others",
    "turn": "only words",
    "recorded_fields": "only words",
    "dialects.agentick.recorded_fields": "test_masking plants a secret in every field of every event",
    "dialects.ag_ui.recorded_fields": "test_masking plants a secret in every field of every event",
    "openai.recorded_fields": "test_masking plants a secret in every field of every answer",
    "settings": "test_config makes and checks all settings by it",
    "web.keys": "only names",
    "web.gateway_connection": "test_web_stream_client talks over it, cut and broken in every way",
    "web.refusals": "test_web_upstream and test_error_mapping are refused in every way",
    "web.runner": "test_web_stopping, test_web_server and test_web_reloading run on it",
    "web.run": "test_web_upstream calls and reads runs",
    "web.continuations": "test_web_sessions goes on in every kind of session",
    "web.leasing": "test_web_sessions leases every kind of session",
    "web.settling": "test_web_sessions has the table of what becomes of them",
    "web.message_trial": "test_conversations tries every kind of gateway",
    "web.lasting": "test_web_reloading changes settings under it",
    "console.chain": "test_console_doctor goes through it, with and without nginx",
    "console.gateway_checks": "test_console_doctor",
    "console.request_checks": "test_console_doctor",
    "console.stream_checks": "test_console_doctor",
    "demo.agents": "what the demo's apps are called; test_demo_gateway asks for them",
    "demo.bodies": "test_demo_gateway sends the bodies over a socket",
    "demo.house": "what is observed in every test of the demo gateway",
    "demo.listening": "test_demo_gateway listens to it",
    "demo.settings": "only values",
    "demo.texts": "only texts",
    "demo.toolbox": "test_demo_scenarios runs the tools",
}

Module = tuple[str, ...]


def path_of(module: Module) -> Path:
    return PACKAGE.joinpath(*module[:-1], f"{module[-1]}.py")


def name_of(module: Module) -> str:
    return ".".join(module)


MODULES: list[Module] = sorted(
    path.relative_to(PACKAGE).with_suffix("").parts for path in PACKAGE.rglob("*.py") if "__pycache__" not in path.parts
)
PURE = [module for module in MODULES if module[0] not in MAY_DO_IO]


def imports_of(module: Module) -> Iterator[tuple[bool, Module]]:
    """Whether it is our own, and its path: below the package if so."""
    for node in ast.walk(ast.parse(path_of(module).read_text())):
        if isinstance(node, ast.Import):
            yield from ((False, tuple(alias.name.split("."))) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from _imported_from(module, node)


def _imported_from(module: Module, node: ast.ImportFrom) -> Iterator[tuple[bool, Module]]:
    named = tuple(node.module.split(".")) if node.module else ()
    if not node.level:
        yield False, named
        return
    base = (*module[: len(module) - node.level], *named)
    for alias in node.names:
        is_module = (*base, alias.name) in MODULES or PACKAGE.joinpath(*base, alias.name).is_dir()
        yield True, (*base, alias.name) if is_module or not base else base


def outside(module: Module) -> set[str]:
    return {imported[0] for is_ours, imported in imports_of(module) if not is_ours}


def inside(module: Module) -> set[str]:
    """The rooms, or modules of the top level, from which it imports."""
    return {imported[0] for is_ours, imported in imports_of(module) if is_ours and imported[0] != module[0]}


def test_the_rooms_are_those_of_the_design() -> None:
    assert {module[0] for module in MODULES if len(module) > 1} == {"openai", "dialects", "demo", "web", "console"}


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_it_names_its_own_package_only_from_where_it_stands(module: Module) -> None:
    assert PACKAGE.name not in outside(module)


@pytest.mark.parametrize("module", PURE, ids=name_of)
def test_a_pure_room_does_no_io_and_knows_no_room_that_does(module: Module) -> None:
    assert not outside(module) & PURE_MAY_NOT
    assert not inside(module) & MAY_DO_IO


@pytest.mark.parametrize("module", [module for module in MODULES if module[0] == "openai"], ids=name_of)
def test_the_clients_side_does_not_know_the_agents(module: Module) -> None:
    assert not inside(module) & {"dialects", "events"}


@pytest.mark.parametrize("module", [module for module in MODULES if module[0] == "dialects"], ids=name_of)
def test_the_agents_side_does_not_know_the_clients(module: Module) -> None:
    assert "openai" not in inside(module)
    others = {imported[1] for is_ours, imported in imports_of(module) if is_ours and imported[0] == "dialects"}
    assert others <= {module[1], "dialect"} or module == ("dialects", "known")


@pytest.mark.parametrize("module", [module for module in PURE if len(module) == 1], ids=name_of)
def test_only_the_corridor_has_both_keys(module: Module) -> None:
    rooms = inside(module)
    assert not ("openai" in rooms and rooms & {"dialects", "events"}) or module[0] in CORRIDOR
    assert "dialects" not in rooms


@pytest.mark.parametrize("module", [module for module in MODULES if module[0] == "demo"], ids=name_of)
def test_the_demo_knows_nothing_of_the_proxy(module: Module) -> None:
    assert "web" not in inside(module)


@pytest.mark.parametrize("module", [module for module in MODULES if module[0] == "web"], ids=name_of)
def test_the_web_does_not_know_the_command_line(module: Module) -> None:
    assert not inside(module) & {"cli", "console", "__main__"}


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_it_is_small(module: Module) -> None:
    source = path_of(module).read_text()
    assert len(source.splitlines()) < LONGEST_MODULE or module[0] in MAY_BE_LONGER
    functions = [
        node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    sizes = {node.name: (node.end_lineno or 0) - node.lineno + 1 for node in functions}
    assert {name: size for name, size in sizes.items() if size >= LONGEST_FUNCTION} == {}


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_it_says_what_it_is(module: Module) -> None:
    tree = ast.parse(path_of(module).read_text())
    assert module[-1] in ("__init__", "__main__") or ast.get_docstring(tree)


@pytest.mark.parametrize("room", [path for path in PACKAGE.rglob("__init__.py") if path.parent != PACKAGE])
def test_a_room_reexports_nothing(room: Path) -> None:
    assert room.read_text() == ""


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_it_has_a_test_that_is_named_after_it(module: Module) -> None:
    if module[-1] in ("__init__", "__main__") or name_of(module) in NEED_NO_TEST:
        return
    rooms = [part for part in module if part != "dialects"]
    assert (TESTS / f"test_{'_'.join(rooms)}.py").exists()


def test_exceptions_are_not_kept_longer_than_needed() -> None:
    known = set(map(name_of, MODULES))
    assert NEED_NO_TEST.keys() <= known
    assert known >= CORRIDOR


IMPORT_EACH_ALONE = """
import importlib, os, sys, traceback
for name in sys.argv[1].split():
    importlib.import_module(name)
for name in sys.argv[2].split():
    child = os.fork()
    if not child:
        try:
            importlib.import_module(name)
        except BaseException:
            print(name, file=sys.stderr)
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        sys.exit(1)
"""
LIBRARIES = {"aiohttp", "aiohttp_sse", "click", "gunicorn", "multidict", "orjson", "pydantic", "uvloop"}


def test_every_module_can_be_imported_alone_and_without_a_warning() -> None:
    """Each in a process that has imported nothing of ours; the libraries are loaded once for all of them."""
    libraries = sorted({name for module in MODULES for name in outside(module)} & LIBRARIES)
    names = [f"{PACKAGE.name}.{name_of(module)}" for module in MODULES if module[-1] != "__main__"]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", IMPORT_EACH_ALONE, " ".join(libraries), " ".join(names)],
        cwd=PACKAGE.parent,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
