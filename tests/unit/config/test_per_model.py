"""A model may have settings of its own: by its name, or by a pattern that fits it."""

from __future__ import annotations

import pytest

from oaicompat_proxy.config.per_model import ModelOverrides
from oaicompat_proxy.config.settings import SETTINGS, Config, ConfigError
from tests.support.conformance import check_stream
from tests.support.proxy import StartProxy, chat_body
from tests.support.scripted_gateway import OPENING, Agent, closing, frame, text

OF_A_MODEL = [each.name for each in SETTINGS if each.metadata.get("model")]


NEXT_TICK = [frame("tick_end", tick=1, shouldContinue=True), frame("tick_start", tick=2)]
TWO_TICKS = [*OPENING, text("One."), *NEXT_TICK, text("Two."), *closing()]


def test_a_model_without_settings_of_its_own_has_those_of_all() -> None:
    config = Config(demo=True)
    assert ModelOverrides(config).for_model("owl") is config
    assert ModelOverrides(Config(demo=True, model_setting={"hawk:history": "last"})).for_model("owl").history == "auto"


def test_a_name_counts_before_patterns_and_long_ones_first() -> None:
    own = {"*:history": "fold", "gp*:history": "full", "gpt-4*:history": "last", "gpt-4o:history": "auto"}
    per_model = ModelOverrides(Config(demo=True, model_setting=own))
    models = ("owl", "gpu", "gpt-4", "gpt-4o")
    assert [per_model.for_model(model).history for model in models] == ["fold", "full", "last", "auto"]


def test_what_the_nearest_does_not_say_the_next_one_says() -> None:
    own = {"gpt-*:max_fold": "5000", "gpt-*:tick_separator": " ", "gpt-4:tick_separator": "--"}
    config = ModelOverrides(Config(demo=True, model_setting=own)).for_model("gpt-4")
    assert (config.max_fold, config.tick_separator) == (5000, "--")


def test_a_name_may_hold_colons() -> None:
    assert (
        ModelOverrides(Config(demo=True, model_setting={"llama3:8b:history": "last"})).for_model("llama3:8b").history
        == "last"
    )


def test_any_names_that_clients_ask_for_need_no_more_memory() -> None:
    per_model = ModelOverrides(Config(demo=True, model_setting={"gpt-*:history": "last"}))
    assert len({id(per_model.for_model(f"gpt-{number}")) for number in range(100)}) == 1


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("history", "last", "of the form MODEL:SETTING=VALUE"),
        (":history", "last", "of the form MODEL:SETTING=VALUE"),
        ("owl:port", "1", "a model has no port of its own"),
        ("owl:histroy", "last", "a model has no histroy of its own"),
        ("owl:history", "none", "must be one of auto, fold, last, full"),
        ("owl:max_fold", "many", "must be a whole number"),
        ("owl:max_fold", "1", "must be at least 1000"),
    ],
)
def test_what_cannot_be_is_refused(key: str, value: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        Config(demo=True, model_setting={key: value})


def test_the_help_names_what_a_model_may_have() -> None:
    (text,) = (each.metadata["help"] for each in SETTINGS if each.name == "model_setting")
    assert OF_A_MODEL
    assert all(name in text for name in OF_A_MODEL)


async def test_models_are_answered_each_in_its_own_way(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(*TWO_TICKS)
    front = await proxy(model={"owl": "", "hawk": ""}, model_setting={"hawk:tick_separator": " -- "})
    texts = []
    for model in ("owl", "hawk"):
        received = await front.post(chat_body(model=model))
        texts.append(check_stream(received.body, include_usage=False).text)
    assert texts == ["One.\n\nTwo.", "One. -- Two."]


async def test_completions_too(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(*TWO_TICKS)
    front = await proxy(model={"hawk": ""}, model_setting={"h*:tick_separator": "/"})
    received = await front.post(b'{"model": "hawk", "prompt": "Well?"}', path="/v1/completions")
    assert b'"One./Two."' in received.body
