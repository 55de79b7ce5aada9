"""Overrides of settings for single models (setting `model_setting`)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from fnmatch import fnmatchcase

from .settings import Config, parse_model_settings


def is_pattern(name: str) -> bool:
    """Whether the name is a shell pattern."""
    return any(sign in name for sign in "*?[")


class NamesAndPatterns:
    """Finds the names and patterns that match a model: longer patterns later, the exact name last."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = sorted(names, key=lambda name: (not is_pattern(name), len(name)))

    def matching(self, model: str) -> tuple[str, ...]:
        return tuple(name for name in self._names if name == model or _matches(model, name))


class ModelOverrides:
    """Finds the settings for a model."""

    def __init__(self, config: Config) -> None:
        self._overrides = parse_model_settings(config.model_setting)
        self._names = NamesAndPatterns(self._overrides)
        self._configs: dict[tuple[str, ...], Config] = {(): config}
        """Configs by the names and patterns that match a model: few, however many models clients request."""

    def for_model(self, model: str) -> Config:
        if not self._overrides:
            return self._configs[()]
        matching = self._names.matching(model)
        if matching not in self._configs:
            overrides = {key: value for name in matching for key, value in self._overrides[name].items()}
            self._configs[matching] = replace(self._configs[()], model_setting={}, **overrides)
        return self._configs[matching]


def _matches(model: str, pattern: str) -> bool:
    return is_pattern(pattern) and fnmatchcase(model, pattern)
