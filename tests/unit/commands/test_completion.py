"""Completion in the shells themselves, where they are installed."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from oaicompat_proxy.cli import main
from oaicompat_proxy.commands.completion import SHELLS

PATIENCE = 60.0
"""Seconds for a shell that asks a program on a busy machine."""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A program of the proxy's name that completes as the proxy does, and else only writes down its words."""
    program = tmp_path / "oaicompat-proxy"
    program.write_text(
        f"""#!/bin/sh
        case "$_OAICOMPAT_PROXY_COMPLETE$1" in
            *_complete|completion) ;;
            *) printf '%s ' "$@" > "{tmp_path}/words.new"; mv "{tmp_path}/words.new" "{tmp_path}/words"; exit ;;
        esac
        exec "{sys.executable}" -c 'from oaicompat_proxy.cli import main; main(prog_name="oaicompat-proxy")' "$@"
        """
    )
    program.chmod(0o755)
    return {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "TERM": "dumb", "HOME": str(tmp_path)}


def needs(shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_accepts_the_script(shell: str, environment: dict[str, str]) -> None:
    needs(shell)
    script = CliRunner().invoke(main, ["completion", shell]).stdout
    done = subprocess.run(
        [shell, "-n"], input=script, env=environment, capture_output=True, text=True, timeout=PATIENCE
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_other_shells_are_refused() -> None:
    result = CliRunner().invoke(main, ["completion", "tcsh"])
    assert result.exit_code == 2
    assert "'bash', 'zsh', 'fish'" in result.stderr


COMPLETED = [
    ("usa\t--js\t", "usage --json "),
    ("--log-lev\twarn\t", "--log-level warning "),
    ("--help shutd\t", "--help shutdown "),
    ("config exa\t", "config example "),
]
"""Typed text, with a tab for each completion → the words of the command."""


@pytest.mark.slow
@pytest.mark.parametrize(("typed", "words"), COMPLETED)
@pytest.mark.parametrize(
    ("shell", "setup"),
    [
        (["bash", "--norc", "--noprofile", "-i"], 'eval "$(oaicompat-proxy completion bash)"'),
        (
            ["zsh", "-f", "-i"],
            'autoload -U compinit && compinit -u -D && eval "$(oaicompat-proxy completion zsh)"',
        ),
    ],
    ids=["bash", "zsh"],
)
def test_what_is_typed_is_completed(
    shell: list[str], setup: str, typed: str, words: str, environment: dict[str, str], tmp_path: Path
) -> None:
    needs(shell[0])
    leader, follower = pty.openpty()
    with subprocess.Popen(
        shell, stdin=follower, stdout=follower, stderr=follower, env=environment, start_new_session=True
    ) as process:
        os.close(follower)
        try:
            os.write(leader, f"{setup}; echo set''tled\n".encode())
            read_until(leader, b"settled")
            # the completed command is run when the shell has answered each question
            os.write(leader, f"oaicompat-proxy {typed}\n".encode())
            assert written(tmp_path / "words", leader) == words
        finally:
            process.kill()
            os.close(leader)


def read_until(leader: int, mark: bytes) -> None:
    output, deadline = b"", time.monotonic() + PATIENCE
    while mark not in output:
        assert select.select([leader], [], [], deadline - time.monotonic())[0], output
        output += os.read(leader, 65536)


def written(file: Path, leader: int) -> str:
    """The output of the program; the shell's output is read meanwhile, so that it never waits."""
    output, deadline = b"", time.monotonic() + PATIENCE
    while not file.exists():
        assert time.monotonic() < deadline, output
        if select.select([leader], [], [], 0.05)[0]:
            output += os.read(leader, 65536)
    return file.read_text()


@pytest.mark.slow
@pytest.mark.parametrize(("typed", "words"), [(typed, words) for typed, words in COMPLETED if typed.count("\t") == 1])
def test_fish_offers_the_word(typed: str, words: str, environment: dict[str, str]) -> None:
    needs("fish")
    ask = f"oaicompat-proxy completion fish | source; complete -C 'oaicompat-proxy {typed.strip()}'"
    done = subprocess.run(
        ["fish", "--no-config", "-c", ask],
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    assert words.split()[-1] in [line.split("\t")[0] for line in done.stdout.splitlines()]
