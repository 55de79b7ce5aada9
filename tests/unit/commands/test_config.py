"""`config check`, `config show` and `config example`, as users run them."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from oaicompat_proxy.cli import main
from oaicompat_proxy.config.file import example_file
from oaicompat_proxy.config.settings import SETTINGS


@pytest.fixture(autouse=True)
def file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where the usual file would be."""
    monkeypatch.chdir(tmp_path)
    return tmp_path / "oaicompat.toml"


def run(*arguments: str, **variables: str) -> Result:
    return CliRunner().invoke(main, [*arguments], env=variables, prog_name="oaicompat-proxy")


def test_check_prints_every_error_in_a_line(file: Path) -> None:
    file.write_text('prot = 1\nport = "web"\n')
    result = run("config", "check", "oaicompat.toml")
    assert result.exit_code == 2
    assert result.stdout.splitlines() == [
        "oaicompat.toml, line 1: there is no setting prot; did you mean port?",
        "oaicompat.toml, line 2: port must be a whole number",
    ]


@pytest.mark.parametrize("text", ["", 'upstream = "gateway"', 'demo = true\nprefix = "/"', "port = ", None])
def test_check_refuses_what_the_proxy_would_not_start_with(file: Path, text: str | None) -> None:
    if text is not None:
        file.write_text(text)
    result = run("config", "check", "oaicompat.toml")
    assert result.exit_code == 2
    (line,) = result.stdout.splitlines()
    assert line.startswith("oaicompat.toml")


def test_check_counts_what_the_environment_says(file: Path) -> None:
    file.write_text('demo = true\nhost = "0.0.0.0"\n')
    assert run("config", "check", "oaicompat.toml").exit_code == 2
    result = run("config", "check", "oaicompat.toml", OAICOMPAT_API_KEY="hush")
    assert (result.exit_code, result.stdout) == (0, "oaicompat.toml: all is well\n")


def test_show_prints_where_each_value_comes_from(file: Path) -> None:
    file.write_text('demo = true\nprefix = "/a"\nport = 1\nkeep_alive = 2\n')
    result = run("--keep-alive", "4", "config", "show", OAICOMPAT_PORT="2")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert 'prefix = "/a"  # file oaicompat.toml, line 2' in lines
    assert "port = 2  # environment OAICOMPAT_PORT" in lines
    assert "keep_alive = 4.0  # flag --keep-alive" in lines
    assert 'host = "127.0.0.1"  # default' in lines
    assert list(tomllib.loads(result.stdout)) == [each.name for each in SETTINGS]


def test_show_masks_every_secret() -> None:
    secrets = [each for each in SETTINGS if each.metadata.get("secret")]
    assert {each.name for each in secrets} >= {"upstream_token", "api_key", "session_secret", "redis"}
    flags = [word for each in secrets for word in (f"--{each.name.replace('_', '-')}", "hush")]
    result = run("--upstream", "http://a", *flags, "config", "show")
    assert result.exit_code == 0
    assert "hush" not in result.output
    assert result.stdout.count("***") == len(secrets)


def test_show_prints_what_each_gateway_has_of_its_own(file: Path) -> None:
    file.write_text(
        '[[gateway]]\nprefix = "/a"\nupstream = "http://a"\nupstream_token = "hush"\n'
        '[[gateway]]\nprefix = "/b"\nupstream = "http://b"\n'
    )
    result = run("config", "show")
    assert result.exit_code == 0
    assert "hush" not in result.output
    assert 'upstream_token = "***"  # file oaicompat.toml, line 4\n' in result.stdout
    assert 'prefix = "/b"  # file oaicompat.toml, line 6\n' in result.stdout
    assert [each["prefix"] for each in tomllib.loads(result.stdout)["gateway"]] == ["/a", "/b"]


def test_show_prints_what_a_model_is(file: Path) -> None:
    file.write_text(
        'upstream = "http://a"\n[model_info."a.b"]\ntools = false\ninput_modalities = ["text"]\n'
        '[[gateway]]\nprefix = "/a"\n[gateway.model_info."*"]\ndescription = "An agent"\n'
    )
    result = run("config", "show")
    assert result.exit_code == 0
    assert "tools = false  # file oaicompat.toml, line 3\n" in result.stdout
    shown = tomllib.loads(result.stdout)
    assert shown["model_info"] == {"a.b": {"tools": False, "input_modalities": ["text"]}}
    assert shown["gateway"][0]["model_info"] == {"*": {"description": "An agent"}}
    assert 'description = "An agent"  # file oaicompat.toml, line 8\n' in result.stdout


def test_show_says_too_that_it_would_not_start() -> None:
    result = run("--port", "1", "config", "show")
    assert result.exit_code == 2
    assert "port = 1  # flag --port\n" in result.stdout
    assert result.stderr.startswith("Error: no gateway")


def test_show_needs_a_file_that_can_be_used(file: Path) -> None:
    file.write_text("port = 'web'")
    result = run("--demo", "config", "show")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "Error: oaicompat.toml, line 1: port must be a whole number\n"


def test_example_is_a_file_that_changes_nothing(file: Path) -> None:
    result = run("config", "example")
    assert (result.exit_code, result.stdout) == (0, example_file())
    file.write_text(result.stdout)
    assert run("config", "check", "oaicompat.toml", OAICOMPAT_DEMO="1").exit_code == 0
