"""The bodies of conversation requests as OpenAI documents them, as types that pydantic checks.

Source: OpenAI's API description 2.3.0, `CreateConversationBody`, `UpdateConversationBody`, and the items' parameters.
"""

from __future__ import annotations

from typing import Annotated, Required

from pydantic import Field, TypeAdapter
from typing_extensions import TypedDict

from .messages import Array
from .response_items import InputItem
from .response_requests import Metadata

MAX_ITEMS = 20
"""Items that one request adds, as at the service."""

Items = Annotated[Array[InputItem], Field(max_length=MAX_ITEMS)]


class NewConversation(TypedDict, total=False):
    items: Items | None
    metadata: Metadata | None


class MetadataUpdate(TypedDict, total=False):
    metadata: Required[Metadata | None]


class ItemsAdded(TypedDict, total=False):
    items: Required[Annotated[Items, Field(min_length=1)]]


CONVERSATION: TypeAdapter[NewConversation] = TypeAdapter(NewConversation)
METADATA: TypeAdapter[MetadataUpdate] = TypeAdapter(MetadataUpdate)
NEW_ITEMS: TypeAdapter[ItemsAdded] = TypeAdapter(ItemsAdded)
