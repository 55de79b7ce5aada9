"""The tables of the settings file that describe models."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from oaicompat_proxy.config.command_line import file_option, load_config, options
from oaicompat_proxy.config.file import FileError, parse
from oaicompat_proxy.config.settings import Config
from oaicompat_proxy.core.model_info import ModelInfo

TABLE = """
[model_info."team/coder v1.5"]
description = "Writes code"
context_length = 200000
max_output_tokens = 32000
input_modalities = ["text", "image"]
tools = true
"""
CODER = ModelInfo("", "Writes code", 200_000, 32_000, ("text", "image"), True)


def problems(text: str) -> list[str]:
    with pytest.raises(FileError) as caught:
        parse(text, "its.toml")
    return caught.value.problems


def loaded(text: str, directory: Path) -> Config:
    file = directory / "its.toml"
    file.write_text(text)
    command = click.Command("it", params=[file_option(), *options()])
    return load_config(command.make_context("it", ["--config", str(file)]))


def test_a_table_says_what_a_model_is() -> None:
    assert parse(TABLE, "its.toml").values == {"model_info": {"team/coder v1.5": CODER}}


def test_each_key_may_be_missing() -> None:
    file = parse("[model_info.a]\ntools = false\n[model_info.b]\n", "its.toml")
    assert file.values["model_info"] == {"a": ModelInfo(tools=False), "b": ModelInfo()}


def test_the_settings_have_what_the_file_says(tmp_path: Path) -> None:
    assert loaded("demo = true" + TABLE, tmp_path).model_info == {"team/coder v1.5": CODER}
    assert loaded("demo = true", tmp_path).model_info == {}


def test_a_gateway_has_its_own_or_the_one_above(tmp_path: Path) -> None:
    gateways = """
[[gateway]]
prefix = "/a/v1"
[[gateway]]
prefix = "/b/v1"
[gateway.model_info.owl]
tools = false
"""
    one, two = loaded("upstream = 'http://127.0.0.1:1'" + TABLE + gateways, tmp_path).gateways
    assert one.model_info == {"team/coder v1.5": CODER}
    assert two.model_info == {"owl": ModelInfo(tools=False)}


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("context_lenght = 1", "there is no key context_lenght; did you mean context_length?"),
        (
            "owner = 1",
            "there is no key owner, only description, context_length, max_output_tokens, input_modalities, tools",
        ),
        ("context_length = 0", "context_length must be at least 1, not 0"),
        ("context_length = '200k'", "context_length must be a whole number"),
        ("max_output_tokens = true", "max_output_tokens must be a whole number"),
        ("max_output_tokens = 1e99", "max_output_tokens must be a whole number"),
        ("tools = 1", "tools must be true or false"),
        ("description = 7", "description must be a text in quotes"),
        ("input_modalities = 'text'", "input_modalities must be a list of texts"),
        ("input_modalities = []", "input_modalities must not be empty"),
        (
            "input_modalities = ['text', 'pictures']",
            "input_modalities must be of text, image, audio, video, file, not 'pictures'",
        ),
    ],
)
def test_an_error_is_reported_with_its_line_and_its_table(line: str, problem: str) -> None:
    assert problems(f'# one\n[model_info."a.b/c"]\n{line}\n') == [f'its.toml, line 3: model_info."a.b/c": {problem}']


def test_each_error_is_reported() -> None:
    text = "[model_info.a]\ntool = 1\n[[gateway]]\n[gateway.model_info.b]\ntools = 1\n"
    assert problems(text) == [
        'its.toml, line 2: model_info."a": there is no key tool; did you mean tools?',
        'its.toml, line 5: model_info."b": tools must be true or false',
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("model_info = 1", 'model_info must be tables: [model_info."NAME"]'),
        ("[[model_info]]\ntools = true", 'model_info must be tables: [model_info."NAME"]'),
        ("model_info.tools = true", 'model_info.tools must stand in the table of a model: [model_info."NAME"]'),
        ("[modelinfo.a]", "there is no setting modelinfo; did you mean model_info?"),
    ],
)
def test_what_is_no_table_is_refused(text: str, problem: str) -> None:
    assert problems(text) == [f"its.toml, line 1: {problem}"]


@pytest.mark.parametrize(
    "text", ["[model_info]\ntools = 7", "[model_info.a]\nx.y = 1", "model_info = { a = { b = 1 } }"]
)
def test_each_way_to_write_a_table_has_a_line(text: str) -> None:
    assert problems(text)[0].startswith(f"its.toml, line {text.count(chr(10)) + 1}: model_info")


def test_a_long_name_is_cut_in_messages() -> None:
    (problem,) = problems(f"[model_info.{'n' * 5000}]\n{'k' * 5000} = 1\n")
    assert len(problem) < 500
