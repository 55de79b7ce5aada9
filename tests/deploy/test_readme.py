"""The README files are true: their tables are fresh, their commands run, their transcripts are what comes."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
import os
import pathlib
import re
import subprocess
import sys
from types import ModuleType
from typing import Any

import click
import pytest

from oaicompat_proxy.config.file import example_file
from oaicompat_proxy.server.access.api_keys import digest_of, parse_keys
from tests.support.agents import asgi
from tests.support.paths import GOLDEN, ROOT, TESTS
from tests.support.processes import Child, proxy, stopping

PACKAGE = ROOT / "oaicompat_proxy"
FRONT = ROOT / "README.md"
AG_UI = PACKAGE / "dialects" / "ag_ui" / "README.md"
COMMANDS = PACKAGE / "commands" / "README.md"
SETTINGS = PACKAGE / "config" / "README.md"
ACCESS = PACKAGE / "server" / "access" / "README.md"
PROMISES = TESTS / "README.md"

ROOMS = (path for top in (PACKAGE, ROOT / "tests", ROOT / "scripts") for path in top.rglob("*.md"))
PAGES = [FRONT, *sorted(path for path in ROOMS if "node_modules" not in path.parts)]
FRONT_PAGE_BYTES = 10_000


def each_page(function: Any) -> Any:
    return pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))(function)


def blocks(page: pathlib.Path, language: str) -> list[str]:
    """The code blocks of one language on a page, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)


def load_script(name: str) -> ModuleType:
    loader = importlib.machinery.SourceFileLoader(f"scripts_{name}", str(ROOT / "scripts" / name))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def curl(command: str, base: str) -> str:
    """Runs a curl command of a page against `base` instead of the address it names."""
    assert "http://127.0.0.1:8700/v1" in command
    return subprocess.run(
        ["bash", "-c", command.replace("http://127.0.0.1:8700/v1", base) + " --silent --show-error --fail"],
        check=True,
        capture_output=True,
        text=True,
        timeout=30,
    ).stdout


def test_tables_are_made_from_the_code_as_it_is() -> None:
    script = load_script("generation/readme.py")
    for page in script.TABLES:
        assert script.refresh(page) == page.read_text("utf-8"), "run scripts/readme"
    assert script.EXAMPLE.read_text("utf-8") == example_file(), "run scripts/readme"


def test_front_page_stays_short() -> None:
    assert len(FRONT.read_bytes()) <= FRONT_PAGE_BYTES


def test_curl_command_gives_the_transcript_that_is_shown() -> None:
    """Each line of the transcript, with anything in place of `…`, comes in this order."""
    command = next(block for block in blocks(FRONT, "sh") if block.startswith("curl")).strip()
    (transcript,) = blocks(FRONT, "text")
    with proxy() as base:
        stream = iter(curl(command, base + "/v1").splitlines())
    for line in transcript.splitlines():
        pattern = re.compile(".*".join(map(re.escape, re.sub(r"chatcmpl-\w+…", "chatcmpl-…", line).split("…"))))
        assert any(pattern.fullmatch(sent) for sent in stream), line


def test_python_client_runs_as_shown() -> None:
    (program,) = blocks(FRONT, "python")
    with proxy() as base:
        run = subprocess.run(
            [sys.executable, "-c", program.replace("http://127.0.0.1:8700", base)],
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        )
    assert "Hello" in run.stdout


def test_start_command_serves_the_demo_agent() -> None:
    command = blocks(FRONT, "sh")[0].strip()
    assert command == "scripts/serve"
    assert answer_of(command, model="demo")["finish_reason"] == "stop"


def test_command_and_agent_of_another_framework_work_as_shown() -> None:
    (command,) = (block for block in blocks(AG_UI, "sh") if "--dialect" in block)
    assert command in blocks(FRONT, "sh")[2]
    (program,) = (block for block in blocks(AG_UI, "python") if "AGUIAdapter" in block)
    namespace: dict[str, Any] = {}
    exec(program, namespace)  # what a reader would do with it
    with asgi.serving(namespace["app"]) as url:
        choice = answer_of(command.replace("http://127.0.0.1:8000", url), model="default")
    assert (choice["message"]["content"], choice["finish_reason"]) == ("success (no tool calls)", "stop")


def test_command_for_a_gateway_works_as_shown() -> None:
    command = blocks(FRONT, "sh")[2].splitlines()[0]
    run = str(GOLDEN / "text.native.sse")
    with stopping(Child(sys.executable, "-m", "oaicompat_proxy", "replay", run, "--serve", "0")) as gateway:
        url = gateway.wait_for(r"a gateway that replays: (http://\S+)")[1]
        choice = answer_of(command.replace("http://127.0.0.1:18790", url), model="default")
    assert choice["finish_reason"] == "stop"


def answer_of(command: str, *, model: str) -> dict[str, Any]:
    """Starts the proxy as shown, on any port, and asks it something: the choice of its answer."""
    environment = {**os.environ, "OAICOMPAT_VENV": sys.prefix, "OAICOMPAT_PORT": "0"}
    program, *arguments = command.split()
    with stopping(Child(str(ROOT / program), *arguments, env=environment)) as child:
        base = child.wait_for(r"listens on +(http://\S+)", within=60)[1]
        question = {"model": model, "messages": [{"role": "user", "content": "Hello"}]}
        answer = curl(
            f"curl http://127.0.0.1:8700/v1/chat/completions -H 'Content-Type: application/json' "
            f"-d '{json.dumps(question)}'",
            base,
        )
    choice: dict[str, Any] = json.loads(answer)["choices"][0]
    return choice


@each_page
def test_every_script_that_is_named_can_be_run(page: pathlib.Path) -> None:
    for name in re.findall(r"(?<![\w/])scripts/[a-z]+(?![\w/.])", page.read_text("utf-8")):
        assert (ROOT / name).is_dir() or os.access(ROOT / name, os.X_OK), name


def test_keys_file_is_one() -> None:
    (text,) = (block for block in blocks(ACCESS, "toml") if "[keys." in block)
    ((_, caller),) = parse_keys(text, requests_per_minute=0, max_runs=0)
    assert (caller.name, caller.requests_per_minute, caller.max_runs) == ("ada", 60, 4)
    assert caller.may_use("gpt-4o")
    assert not caller.may_use("default")


def test_settings_file_is_one(tmp_path: pathlib.Path) -> None:
    (text,) = (block for block in blocks(SETTINGS, "toml") if block.startswith("upstream"))
    (tmp_path / "oaicompat.toml").write_text(text)
    (shown,) = (block for block in blocks(SETTINGS, "sh") if block.startswith("oaicompat-proxy config"))
    commands = [line.split("#")[0].split() for line in shown.splitlines()]
    check, show, write = (run_command(*words[1:], cwd=tmp_path).stdout for words in commands)
    assert check == "oaicompat.toml: all is well\n"
    assert 'model = { "gpt-4o" = "coder" }  # file oaicompat.toml, line 5\n' in show
    assert write == example_file()


def test_file_of_several_gateways_is_one(tmp_path: pathlib.Path) -> None:
    (text,) = (block for block in blocks(SETTINGS, "toml") if "[[gateway]]" in block)
    (tmp_path / "oaicompat.toml").write_text(text)
    (tmp_path / "keys.toml").write_text(next(block for block in blocks(ACCESS, "toml") if "[keys." in block))
    output = run_command("config", "check", "oaicompat.toml", cwd=tmp_path).stdout
    assert output == "oaicompat.toml: all is well\n"


def test_keys_of_ones_own_are_hashed_as_shown() -> None:
    (command,) = re.findall(r"`(printf [^`]+)`", ACCESS.read_text("utf-8"))
    done = subprocess.run(
        ["bash", "-c", command], env={"KEY": "sk-1", "PATH": os.defpath}, capture_output=True, check=True
    )
    assert done.stdout.split()[0].decode() == digest_of("sk-1").hex()


def command_line(start: str) -> list[str]:
    """The command that begins so, without its name."""
    lines = [line for block in blocks(COMMANDS, "sh") for line in block.splitlines()]
    (line,) = (line for line in lines if line.startswith(f"oaicompat-proxy {start}"))
    return line.split()[1:]


def run_command(*words: str, **more: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "oaicompat_proxy", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, **more)


def test_doctor_command_runs_and_its_findings_are_worded_as_shown() -> None:
    shown = next(block for block in blocks(COMMANDS, "text") if block.startswith("✔"))
    words = command_line("doctor")
    with proxy() as base:
        output = run_command(*words[:-1], base, "--silence", "0", "--idle", "0.1").stdout
    assert {line.split(":")[0] for line in shown.splitlines() if line.startswith("✔")} <= {
        line.split(":")[0] for line in output.splitlines()
    }


def test_chat_command_runs_as_shown() -> None:
    words = command_line("chat")
    with proxy() as base:
        output = run_command(*words[:-1], words[-1].replace("http://127.0.0.1:8700", base), input="Hello\n").stdout
    assert "Hello" in output


def test_what_the_record_command_writes_is_read_by_the_replay_command(tmp_path: pathlib.Path) -> None:
    flags = [word for word in command_line("--demo") if word != "--demo"]
    directory = tmp_path / flags[-1]
    with proxy(*flags[:-1], str(directory)) as base:
        run_command("chat", "--url", base, input="Hello\n")
    (file,) = directory.iterdir()
    first, name, *rest = command_line("replay")
    assert name == f"{flags[-1]}/NAME{file.suffix}"
    assert "the same answer" in run_command(first, str(file), *rest).stderr


def test_settings_of_a_model_are_some(tmp_path: pathlib.Path) -> None:
    (text,) = (block for block in blocks(SETTINGS, "toml") if block.startswith("[model_setting]"))
    (tmp_path / "oaicompat.toml").write_text(f"demo = true\n{text}")
    assert run_command("config", "check", "oaicompat.toml", cwd=tmp_path).stdout == "oaicompat.toml: all is well\n"


def test_every_promise_names_the_tests_that_hold_it() -> None:
    promises = PROMISES.read_text("utf-8").partition("## Promises")[2].partition("\n## ")[0]
    named = [re.findall(r"`(?:\w+/)*(test_\w+)`", promise) for promise in re.split(r"\n\d+\. ", promises)[1:]]
    assert len(named) == 10
    assert all(named)


@each_page
def test_every_test_that_is_named_exists(page: pathlib.Path) -> None:
    """By its path below `tests`."""
    known = {str(path.relative_to(TESTS).with_suffix("")) for path in TESTS.rglob("test_*.py")}
    named = re.findall(r"`(?:tests/)?((?:\w+/)*test_\w+)(?:\.py)?`", page.read_text("utf-8"))
    assert {*named} <= known


@each_page
def test_every_file_that_is_named_exists(page: pathlib.Path) -> None:
    """In backquotes, with a slash in it: below the page's directory, the package or the repository."""
    for name in re.findall(r"`([a-z_]+/(?:[a-z_]+/)*(?:[\w-]+\.(?:py|md|toml|sh))?)`", page.read_text("utf-8")):
        assert any((top / name).exists() for top in (page.parent, PACKAGE, ROOT)), name


def test_every_name_on_the_developers_page_is_in_the_code() -> None:
    page = (PACKAGE / "README.md").read_text("utf-8")
    code = "\n".join(path.read_text("utf-8") for path in PACKAGE.rglob("*.py"))
    named = set(re.findall(r"`([A-Za-z_]+)(?:\(\))?`", page))
    assert {name for name in named if not re.search(rf"\b{name}\b", code)} == set()
    for kind, room in (("an API", "api"), ("a dialect", "dialects")):
        section = page.partition(f"## How to add {kind}")[2].partition("## ")[0]
        seam = "\n".join(path.read_text("utf-8") for top in (room, "core") for path in (PACKAGE / top).glob("*.py"))
        wanted = set(re.findall(r"`([A-Za-z_]+)`", section)) - {"dialect", "replay"}
        assert {name for name in wanted if not re.search(rf"\b{name}\b", seam)} == set()
    tree = page.partition("## The tree")[2].partition("## ")[0]
    rooms = set(re.findall(r"── (?:\w+\.py\s+)*([a-z_]+(?:/|\.py))", tree))
    assert {room for room in rooms if not any((top / room).exists() for top in (PACKAGE, PACKAGE / "server"))} == set()
    listed = {room.removesuffix("/") for room in rooms}
    assert {each.name for each in PACKAGE.iterdir() if each.is_dir() and each.name != "__pycache__"} <= listed


@each_page
def test_every_link_leads_somewhere(page: pathlib.Path) -> None:
    for link in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text("utf-8")):
        path, _, heading = link.partition("#")
        target = (page.parent / path) if path else page
        assert target.exists(), link
        assert not heading or heading in anchors(target), link


def anchors(page: pathlib.Path) -> set[str]:
    """Names of the headings of a page, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_paper_that_the_code_cites_is_in_the_repository() -> None:
    """With the section: `api/openai/PROTOCOL.md`, "Messages" and "Tools"."""
    cited = re.compile(r'`([\w/-]+\.md)`((?:(?:,| and|)\s+"[^"]+")*)')
    found = 0
    for module in PACKAGE.rglob("*.py"):
        for name, sections in cited.findall(module.read_text("utf-8")):
            page = PACKAGE / name
            assert page.exists(), f"{module} cites {name}"
            for section in re.findall(r'"([^"]+)"', sections):
                heading = " ".join(section.split())
                assert f"\n## {heading}\n" in page.read_text("utf-8"), f"{module} cites {name}, {heading}"
                found += 1
    assert found


def test_every_decision_that_the_code_cites_is_explained() -> None:
    explained = set(re.findall(r"^\*\*(D\d+) ", (PACKAGE / "README.md").read_text("utf-8"), re.MULTILINE))
    cited = {each for path in PACKAGE.rglob("*.py") for each in re.findall(r"\bD\d+\b", path.read_text("utf-8"))}
    assert cited <= explained


@each_page
def test_every_flag_that_is_mentioned_exists(page: pathlib.Path) -> None:
    from oaicompat_proxy.cli import main

    commands = [main, *main.commands.values()]
    options = [option for command in commands for option in command.get_params(click.Context(command))]
    known = {name for option in options for name in (*option.opts, *option.secondary_opts)}
    assert set(re.findall(r"`(--[a-z-]+)", page.read_text("utf-8"))) <= known
