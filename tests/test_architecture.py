"""The structure of the package: which module may import which, how large a module is, which tests it has.

The allowed imports are written in `setup.cfg`, as contracts of import-linter.
"""

import ast
import configparser
import importlib
import inspect
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "oaicompat_proxy"
TESTS = Path(__file__).parent

LONGEST_MODULE = 300
LONGEST_FUNCTION = 40
MAY_BE_LONGER = {"core.errors"}
"""One tree in one place: a table rather than a program."""

NEED_NO_TEST = {
    "cli": "process/test_cli runs it",
    "server.idempotency.claim_scripts": "unit/server/idempotency/test_claims runs them in a real Redis",
    "server.answer_stores.entry_keys": "test_memory_answers and test_answer_database find entries by them",
    "server.shared_storage.bounded_keys": "test_redis_answers and unit/server/sessions/test_id_store fill a real Redis",
    "api.protocol": "only what is asked of others",
    "api.retry_rules": "only what is asked of others",
    "api.registry": "wire/test_toy_api serves what stands in it",
    "api.openai.openai_api": "unit/api/openai/test_errors and unit/api/openai/test_headers",
    "api.openai.chat.api": "unit/api/openai/chat/test_request, test_encoder and test_collector",
    "api.openai.responses.storage.conversation_routes": "wire/test_responses_conversations asks every route",
    "api.openai.schema.conversations": "wire/test_responses_conversations sends bad bodies",
    "server.endpoints.answer_plan": "test_agent_run makes plans of every kind",
    "server.endpoints.answer_points": "wire/test_responses_tokens and test_responses_points go on in every way",
    "server.endpoints.changed_entry": "wire/test_responses_conversations has two requests at once",
    "api.openai.completions.api": "unit/api/openai/completions/test_request and test_encoder",
    "translation.structured.keywords": "unit/translation/structured/test_json_schema and hostile/test_schemas",
    "translation.structured.schema_types": "unit/translation/structured/test_schema_copy",
    "translation.structured.json_values": "unit/translation/structured/test_json_schema and hostile/test_schemas",
    "translation.structured.steps": "hostile/test_schemas",
    "core.answer": "only words",
    "core.answer_options": "only words",
    "server.endpoints.api_routes": "wire/test_toy_api and openai/responses/storage/test_routes ask every kind of route",
    "server.endpoints.request_reading": "unit/server/endpoints/test_agent_run",
    "server.endpoints.counted_run": "wire/test_budgets",
    "server.endpoints.usage": "wire/test_budgets asks it, and unit/commands/test_usage prints it",
    "server.endpoints.user_in_request": "wire/test_users names users in bodies and in queries",
    "server.endpoints.run_opening": "wire/test_conversations opens every kind of run",
    "core.caller": "only words",
    "core.confirmation_call": "only words",
    "core.redaction": "unit/translation/test_failures reads texts with secrets in them",
    "core.message": "only words",
    "core.request": "only words",
    "server.sinks": "only what is asked of others",
    "translation.pending_calls": "unit/translation/test_agent_tools and test_narration show calls by it",
    "core.events": "only words: they have no behaviour",
    "dialects.protocol": "only what is asked of others",
    "core.turn": "only words",
    "core.recorded_fields": "only words",
    "dialects.agentick.recorded_fields": "unit/recordings/test_masking plants a secret in every field of every event",
    "dialects.ag_ui.recorded_fields": "unit/recordings/test_masking plants a secret in every field of every event",
    "api.openai.parameters": "only a name",
    "api.anthropic.api": "wire/test_messages asks it for everything on a socket",
    "api.anthropic.request.schema.blocks": "unit/api/anthropic/request/test_validation and test_content",
    "api.anthropic.request.schema.requests": "unit/api/anthropic/request/test_validation",
    "api.anthropic.recorded_fields": "unit/recordings/test_masking plants a secret in every field of every answer",
    "api.openai.recorded_fields": "unit/recordings/test_masking plants a secret in every field of every answer",
    "api.openai.responses.recorded_fields": "unit/recordings/test_masking plants a secret in every field",
    "config.fields": "config/test_settings and test_file check every setting by it",
    "config.types": "config/test_settings and test_file have values of every type, and other ones",
    **{
        f"config.sections.{section}": "unit/config/test_settings checks every setting"
        for section in (
            *("access", "answers", "diagnostics", "gateway", "idempotency", "inspection", "process", "sessions"),
            *("single_sign_on", "size_limits", "time_limits", "users"),
        )
    },
    "server.context": "only names",
    "server.inspection.file_server": "unit/commands/test_inspect asks it on a socket",
    "server.inspection.inspector": "unit/server/inspection/test_routes asks it on a socket",
    "server.inspection.overview": "unit/server/inspection/test_routes reads it while requests wait",
    "server.inspection.recorder_pair": "unit/server/inspection/test_routes records a run beside it",
    "server.inspection.responses": "unit/server/inspection/test_routes reads the headers",
    "server.inspection.rows": "unit/server/inspection/test_routes reads rows of every state",
    "server.inspection.run_feed": "unit/server/inspection/test_events follows a run by it",
    "server.upstream.response_check": "wire/test_error_mapping is refused in every way",
    "server.process.runner": "process/test_stopping and unit/server/process/test_reload run on it",
    "server.sessions.conversations": "unit/server/sessions/test_sessions continues in every kind of session",
    "server.sessions.session_finder": "unit/server/sessions/test_sessions leases every kind of session",
    "server.sessions.finalizer": "unit/server/sessions/test_after_request finalizes every kind of session",
    "server.sessions.run_start": "unit/server/sessions/test_sessions starts runs of every kind of lease",
    "server.sessions.replaceable_run": "unit/server/sessions/test_session_check has runs replaced",
    "server.sessions.message_trial": "wire/test_conversations tries every kind of gateway",
    "server.observability.run_recorder": "only what is asked of others",
    "server.observability.telemetry": "only fields",
    "server.runtime": "unit/server/test_gateway replaces it",
    "commands.apis": "unit/commands/test_client and unit/commands/test_chat speak each API",
    "commands.chat_api": "unit/commands/test_client",
    "commands.messages_api": "unit/commands/test_client",
    "commands.responses_api": "unit/commands/test_client",
    "commands.doctor.probe": "unit/commands/doctor/test_doctor goes through it, with and without nginx",
    "commands.doctor.gateway_checks": "unit/commands/doctor/test_doctor",
    "commands.doctor.request_checks": "unit/commands/doctor/test_doctor",
    "commands.doctor.stream_checks": "unit/commands/doctor/test_doctor",
    "demo.agents": "what the demo's apps are called; unit/demo/test_gateway asks for them",
    "demo.http_bodies": "unit/demo/test_gateway sends the bodies over a socket",
    "demo.state": "what is observed in every test of the demo gateway",
    "demo.subscriptions": "unit/demo/test_gateway listens to it",
    "demo.settings": "only values",
    "demo.texts": "only texts",
    "demo.tool_runner": "unit/demo/test_scenarios runs the tools",
}

Module = tuple[str, ...]


def path_of(module: Module) -> Path:
    return PACKAGE.joinpath(*module[:-1], f"{module[-1]}.py")


def name_of(module: Module) -> str:
    return ".".join(module)


MODULES: list[Module] = sorted(
    path.relative_to(PACKAGE).with_suffix("").parts for path in PACKAGE.rglob("*.py") if "__pycache__" not in path.parts
)


@cache
def tree_of(module: Module) -> ast.Module:
    return ast.parse(path_of(module).read_text())


def test_who_may_import_whom() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    linted = subprocess.run([linter, "--no-logo"], cwd=PACKAGE.parent, capture_output=True, text=True, check=False)
    assert linted.returncode == 0, linted.stdout


def test_a_module_of_the_server_that_calls_itself_pure_is_held_to_it() -> None:
    contracts = configparser.ConfigParser()
    contracts.read(PACKAGE.parent / "setup.cfg")
    held = contracts["importlinter:contract:pure_in_server"]["source_modules"].split()
    rooms = [module for module in MODULES if module[0] == "server"]
    pure = [each for each in rooms if re.search(r"\bPure\.", ast.get_docstring(tree_of(each)) or "")]
    assert sorted(held) == [f"{PACKAGE.name}.{name_of(each)}" for each in pure]


def test_the_server_spells_nothing_of_a_client_api() -> None:
    """It asks the API of the registry for everything that clients of the API read."""
    spelled = re.compile(r"\[DONE\]|\bchoices\b|openai-\w+")
    rooms = [module for module in MODULES if module[0] in ("server", "pipeline")]
    assert {name_of(each): found for each in rooms if (found := spelled.findall(path_of(each).read_text()))} == {}


def test_the_package_names_itself_only_from_where_it_stands() -> None:
    own = re.compile(rf"^\s*(?:from|import) {PACKAGE.name}\b", re.MULTILINE)
    assert [name_of(each) for each in MODULES if own.search(path_of(each).read_text())] == []


def test_no_module_is_large() -> None:
    lengths = {name_of(each): len(path_of(each).read_text().splitlines()) for each in MODULES}
    assert {name for name, length in lengths.items() if length > LONGEST_MODULE} == MAY_BE_LONGER


def test_no_function_is_long() -> None:
    long = {
        f"{name_of(module)}.{node.name}": length
        for module in MODULES
        for node in ast.walk(tree_of(module))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (node.end_lineno or 0) - node.lineno + 1) >= LONGEST_FUNCTION
    }
    assert long == {}


def test_every_module_says_what_it_is() -> None:
    silent = [name_of(each) for each in MODULES if not ast.get_docstring(tree_of(each))]
    assert {name.rpartition(".")[2] for name in silent} <= {"__init__", "__main__"}


def test_no_room_reexports_anything() -> None:
    rooms = [path for path in PACKAGE.rglob("__init__.py") if path.parent != PACKAGE]
    assert [str(room.relative_to(PACKAGE)) for room in rooms if room.read_text()] == []


def test_every_module_has_a_test_that_is_named_after_it() -> None:
    need = [each for each in MODULES if each[-1] not in ("__init__", "__main__") and name_of(each) not in NEED_NO_TEST]
    tests = {each: (TESTS / "unit").joinpath(*each[:-1], f"test_{each[-1]}.py") for each in need}
    assert [name_of(each) for each, test in tests.items() if not test.exists()] == []


def test_exceptions_are_not_kept_longer_than_needed() -> None:
    known = set(map(name_of, MODULES))
    assert NEED_NO_TEST.keys() <= known
    tests = {path.stem for path in TESTS.rglob("test_*.py")}
    assert {name for why in NEED_NO_TEST.values() for name in re.findall(r"\btest_\w+", why)} <= tests


MAY_USE_PRIVATE_NAMES = {"server.http.aiohttp_internals", "server.observability.batch_histogram"}
"""One module for each library; it has a test that shows what the names mean."""

PUBLIC_ALL_THE_SAME = {
    *("_asdict", "_replace"),  # of every NamedTuple
    "_exit",  # of os
    *("_Decompress", "_Hash"),  # types of zlib and hashlib, which have no other name
}


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def defined_in(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def used_in(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Store):
            yield node.attr
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
            yield node.value  # of getattr, setattr and vars


@cache
def our_names() -> set[str]:
    return {name for module in MODULES for name in defined_in(tree_of(module))} | PUBLIC_ALL_THE_SAME


def test_no_module_uses_a_private_name_of_a_library() -> None:
    foreign = {
        name_of(module): names
        for module in MODULES
        if (names := {name for name in used_in(tree_of(module)) if is_private(name)} - our_names())
    }
    assert foreign.keys() <= MAY_USE_PRIVATE_NAMES, foreign


def classes_of(module: Module) -> Iterator[type]:
    imported = importlib.import_module(".".join((PACKAGE.name, *module)).removesuffix(".__init__"))
    yield from (each for each in vars(imported).values() if inspect.isclass(each))


@cache
def private_names_of(kind: type) -> set[str]:
    """Those that the source of the class defines, and the attributes that its methods set or read."""
    source = textwrap.dedent(inspect.getsource(kind))
    names = {*defined_in(ast.parse(source)), *re.findall(r"(?:self|cls)\.(\w+)", source)}
    return {name for name in names if is_private(name)}


def is_of_a_library(kind: type) -> bool:
    top = kind.__module__.partition(".")[0]
    return top != PACKAGE.name and top not in sys.stdlib_module_names


@pytest.mark.slow
def test_no_class_shares_a_private_name_with_its_base_of_a_library() -> None:
    """Neither by intent nor by accident."""
    modules = [each for each in MODULES if each[-1] != "__main__" and name_of(each) not in MAY_USE_PRIVATE_NAMES]
    shared = {
        (kind, base): names
        for module in modules
        for kind in classes_of(module)
        if kind.__module__ == ".".join((PACKAGE.name, *module))
        for base in filter(is_of_a_library, kind.__mro__)
        if (names := private_names_of(kind) & private_names_of(base))
    }
    assert shared == {}


@pytest.mark.slow
def test_every_module_is_imported_without_a_warning() -> None:
    """In one process: no module stands in a circle, so the order of imports does not matter."""
    names = [f"{PACKAGE.name}.{name_of(module)}" for module in MODULES if module[-1] != "__main__"]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"import {', '.join(names)}"],
        cwd=PACKAGE.parent,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_every_test_stands_in_a_directory_of_its_kind() -> None:
    assert {path.name for path in TESTS.glob("*.py")} == {"__init__.py", "conftest.py", Path(__file__).name}
    units = {path.parent.relative_to(TESTS / "unit") for path in (TESTS / "unit").rglob("test_*.py")}
    assert sorted(str(room) for room in units if not (PACKAGE / room).is_dir()) == []


def test_every_test_of_a_module_is_named_after_it() -> None:
    """`test_store`, or `test_store_` and what of the module it is about."""
    rooms: dict[Path, list[str]] = {}
    for *room, module in MODULES:
        rooms.setdefault(TESTS.joinpath("unit", *room), []).append(f"test_{module}_")
    tests = [*(TESTS / "unit").rglob("test_*.py")]
    assert [str(test) for test in tests if not f"{test.stem}_".startswith(tuple(rooms[test.parent]))] == []


def test_fixtures_that_are_plugins_are_imported_only_by_pytest() -> None:
    """A plain import comes before pytest's, which then collects no module that names the plugin."""
    plain = re.compile(r"^\s*(?:from|import) .*\w_fixtures\b", re.MULTILINE)
    assert [path.name for path in TESTS.rglob("*.py") if plain.search(path.read_text("utf-8"))] == []
