"""Open WebUI, asked as its page asks it, over its own HTTP API."""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass, field
from typing import Any
from urllib.request import Request, urlopen

from tests.clients.applications import PATIENCE, wait_until

PERSON = {"name": "Ada", "email": "ada@example.com", "password": "a-secret-of-ada"}
TASKS = ("title_generation", "tags_generation", "follow_up_generation")
"""What its page wants beside each answer."""
SWITCHES = ("ENABLE_TITLE_GENERATION", "ENABLE_TAGS_GENERATION", "ENABLE_FOLLOW_UP_GENERATION")


@dataclass
class Chat:
    model: str
    # state
    id: str = ""
    title: str = ""
    parent: str | None = None
    """The message that was the last one."""
    messages: list[dict[str, str]] = field(default_factory=list)

    @property
    def answer(self) -> str:
        return self.messages[-1]["content"]


@dataclass(frozen=True)
class OpenWebUI:
    base: str
    token: str = ""
    user: str = ""
    """The id of the person."""

    def sign_up(self) -> OpenWebUI:
        """The first one is the administrator."""
        person = self.call("/api/v1/auths/signup", PERSON)
        return OpenWebUI(self.base, person["token"], person["id"])

    def call(self, path: str, body: Any = None) -> Any:
        return json.loads(self.read(path, body)[-1])

    def read(self, path: str, body: Any = None) -> list[bytes]:
        """An answer's pieces as they arrive, and the whole."""
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.token}"}
        data = None if body is None else json.dumps(body).encode()
        pieces = []
        with urlopen(Request(self.base + path, data, headers), timeout=PATIENCE) as answer:
            while piece := answer.read1(65536):
                pieces.append(piece)
        return [*pieces, b"".join(pieces)]

    def switch(self, on: bool) -> None:
        """Titles, tags and follow-up questions: what its environment variables of these names do at its first start."""
        settings = self.call("/api/v1/tasks/config")
        self.call("/api/v1/tasks/config/update", {**settings, **dict.fromkeys(SWITCHES, on)})

    def models(self) -> list[str]:
        return [model["id"] for model in self.call("/api/models?refresh=true")["data"]]

    def say(self, question: str, chat: Chat) -> str:
        """Sends a person's next message; the id of the answer's message, which the application fills in later."""
        asked, answered = str(uuid.uuid4()), str(uuid.uuid4())
        message: dict[str, Any] = {"id": asked, "parentId": chat.parent, "childrenIds": []}
        message |= {"role": "user", "content": question, "timestamp": int(time.time()), "models": [chat.model]}
        chat.messages.append({"role": "user", "content": question})
        user_message = {
            "model": chat.model,
            "stream": True,
            "parent_id": chat.parent,
            "messages": chat.messages,
            "user_message": message,
            "message_ids": [{"model_id": chat.model, "message_id": answered}],
            "session_id": "page",
            "params": {},
            "features": {},
            "background_tasks": dict.fromkeys(TASKS, True),
        }
        chat.id = self.call("/api/chat/completions", user_message | ({"chat_id": chat.id} if chat.id else {}))[
            "chat_id"
        ]
        chat.parent = answered
        return answered

    def ask(self, question: str, chat: Chat) -> Chat:
        """And waits for the answer, and for all that is asked beside it."""
        answered = self.say(question, chat)
        wait_until(lambda: not self.call(f"/api/tasks/chat/{chat.id}")["task_ids"])
        kept = self.call(f"/api/v1/chats/{chat.id}")
        chat.title = kept["title"]
        message = kept["chat"]["history"]["messages"][answered]
        assert message["done"], message
        chat.messages.append({"role": "assistant", "content": message["content"]})
        return chat
