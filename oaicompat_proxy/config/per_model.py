"""Settings that a model has of its own (setting `model_setting`). Pure."""

from __future__ import annotations

from dataclasses import replace
from fnmatch import fnmatchcase

from .fields import parse_model_settings
from .settings import Config


def is_pattern(name: str) -> bool:
    """Whether it stands for many names, as in a shell."""
    return any(sign in name for sign in "*?[")


class PerModel:
    """Finds the settings under which a model is answered."""

    def __init__(self, config: Config) -> None:
        self._own = parse_model_settings(config.model_setting, Config)
        self._names = sorted(self._own, key=lambda name: (not is_pattern(name), len(name)))
        """Those that say more come later."""
        self._made: dict[tuple[str, ...], Config] = {(): config}
        """By the names that fit a model: there are few, whatever clients ask for."""

    def of(self, model: str) -> Config:
        if not self._own:
            return self._made[()]
        fitting = tuple(name for name in self._names if name == model or _fits(model, name))
        if fitting not in self._made:
            own = {key: value for name in fitting for key, value in self._own[name].items()}
            self._made[fitting] = replace(self._made[()], model_setting={}, **own)
        return self._made[fitting]


def _fits(model: str, pattern: str) -> bool:
    return is_pattern(pattern) and fnmatchcase(model, pattern)
