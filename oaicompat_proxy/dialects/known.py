"""The dialects, by the names that the setting `dialect` has for them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from .ag_ui.dialect import AgUi
from .agentick.dialect import Agentick
from .dialect import Dialect

DIALECTS: Mapping[str, Dialect] = MappingProxyType({"agentick": Agentick(), "ag-ui": AgUi()})
