"""The sources of a model's description, and their precedence."""

from oaicompat_proxy.core.model_info import MODALITIES, UNKNOWN, ModelInfo

ALL = ModelInfo("Coder", "Writes code", 200_000, 32_000, ("text", "image"), True)


def test_nothing_is_known_at_first() -> None:
    assert UNKNOWN.known() == {}


def test_what_the_other_knows_wins_and_the_rest_stays() -> None:
    assert ALL.overridden_by(UNKNOWN) == UNKNOWN.overridden_by(ALL) == ALL
    changed = ALL.overridden_by(ModelInfo(description="Reviews", tools=False))
    assert changed == ModelInfo("Coder", "Reviews", 200_000, 32_000, ("text", "image"), False)


def test_what_is_known_has_the_names_of_the_fields() -> None:
    assert ModelInfo(**ALL.known()) == ALL
    assert ModelInfo(tools=False).known() == {"tools": False}


def test_modalities_begin_with_text() -> None:
    assert MODALITIES[0] == "text"
