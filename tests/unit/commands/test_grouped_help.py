"""`--help` as a user sees it on a screen of 80 columns."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from click.testing import CliRunner, Result

from oaicompat_proxy.cli import main
from oaicompat_proxy.config.option_groups import FIRST, GROUPS
from oaicompat_proxy.config.settings import SETTINGS, flag

LINES, COLUMNS = 40, 80


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, [*arguments], env={"COLUMNS": str(COLUMNS)}, prog_name="oaicompat-proxy")


def words(text: str) -> str:
    return " ".join(text.split())


def letters(text: str) -> str:
    """Without the places where a line may end, as behind a hyphen."""
    return "".join(text.split())


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.name)
def test_a_group_fits_a_screen(group: object) -> None:
    result = run("--help", group.name)  # type: ignore[attr-defined]
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert len(lines) <= LINES
    assert max(map(len, lines)) <= COLUMNS
    assert "OAICOMPAT_LOG_LEVEL" in words(result.stdout), "how a flag is called in the environment"


def test_a_group_shows_its_flags_and_no_others() -> None:
    text = words(run("--help", "sessions").stdout)
    (sessions,) = (group for group in GROUPS if group.name == "sessions")
    for each in SETTINGS:
        assert (f" {flag(each.name)} " in text) == (each.name in sessions.options), each.name
        assert (letters(each.metadata["help"]) in letters(text)) == (each.name in sessions.options), each.name


def test_help_without_a_group_shows_the_first_and_names_the_others() -> None:
    output = run("--help").stdout
    assert run("-h").stdout == run("--help", FIRST.name).stdout == output
    assert "Usage: oaicompat-proxy [OPTIONS] [COMMAND …]" in output
    for name in FIRST.options:
        assert f"{flag(name)} " in output
    _, more = words(output).split("More flags: --help GROUP, with GROUP one of ")
    names, _ = more.split(".", 1)
    assert names.split(", ") == [*(group.name for group in GROUPS[1:]), "all"]


def test_all_shows_every_setting_with_its_reason() -> None:
    text = words(run("--help", "all").stdout)
    for each in SETTINGS:
        assert f" {flag(each.name)} " in text, each.name
        assert letters(each.metadata["help"]) in letters(text), each.name
    assert "--new-key NAME" in text
    assert "--config FILE" in text


def test_the_default_is_shown() -> None:
    assert "--port PORT Port to listen on; 0 takes any free one. [default: 8700]" in words(run("--help").stdout)


@pytest.mark.parametrize("name", ["doctor", "config", "usage"])
def test_the_name_of_a_command_shows_its_help(name: str) -> None:
    assert run("--help", name).stdout == run(name, "--help").stdout


def test_an_unknown_group_is_refused() -> None:
    result = run("--help", "nope")
    assert result.exit_code == 2
    assert "there is no group 'nope', only first, models, " in result.stderr


@pytest.mark.parametrize("arguments", [("--help", "--demo"), ("--demo", "--help"), ("--port", "x", "--help")])
def test_help_comes_before_what_else_is_said(arguments: tuple[str, ...]) -> None:
    assert run(*arguments).stdout == run("--help").stdout


def test_the_error_of_a_wrong_flag_names_the_help() -> None:
    assert "Try 'oaicompat-proxy --help' for help." in run("--nope").stderr


@pytest.mark.slow
def test_a_narrow_screen_and_a_wide_one_are_used() -> None:
    environment = {**os.environ, "COLUMNS": "60"}
    command = [sys.executable, "-m", "oaicompat_proxy", "--help", "all"]
    output = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60).stdout
    assert max(map(len, output.splitlines())) <= 60
