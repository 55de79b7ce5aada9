"""A secret is replaced without a gap: what was signed with the old one still reads as long as it stands behind the new.

Two proxies in front of one gateway and one Redis: one that knows the old secret only, and one that knows both.
"""

from __future__ import annotations

from typing import Any

import pytest

from oaicompat_proxy.demo.settings import GatewaySettings
from tests.support.proxy_harness import Chat, Front, RedisServer, StartFront, result

pytest_plugins = ["tests.support.proxy_fixtures"]

OLD, NEW = "old" * 8, "new" * 8


async def before_and_after(front: StartFront, redis: RedisServer, **settings: Any) -> tuple[Front, Front, Front]:
    """With the old secret, with both, and with the new one only."""
    more = {"redis": redis.url, **settings}
    old = await front(GatewaySettings(pace=0), session_secret=(OLD,), **more)
    both = await front(beside=old, session_secret=(NEW, OLD), **more)
    return old, both, await front(beside=old, session_secret=(NEW,), **more)


def sessions(there: Front) -> list[str]:
    return [run.session_key for run in there.runs]


async def test_a_named_session_goes_on(front: StartFront, redis_server: RedisServer) -> None:
    old, both, new = await before_and_after(front, redis_server)
    for there in (old, both, both, new):
        await there.ask("Hello", name="harbour")
    one, same, again, other = sessions(old)
    assert one == same == again != other
    old.keep_sessions()


async def test_a_name_that_was_never_used_is_made_with_the_new_one(
    front: StartFront, redis_server: RedisServer
) -> None:
    old, both, new = await before_and_after(front, redis_server)
    for there in (both, new):
        await there.ask("Hello", name="harbour")
    one, same = sessions(old)
    assert one == same
    old.keep_sessions()


@pytest.mark.parametrize("name", ["", "harbour"])
async def test_a_conversation_is_recognised(front: StartFront, redis_server: RedisServer, name: str) -> None:
    old, both, new = await before_and_after(front, redis_server, sessions="recognise")
    chat = Chat(old, name=name)
    await chat.say("Hello")
    moved = not name  # the session of a name is found by the secret that has made it
    for there, is_known in ((both, True), (both, True), (new, moved), (both, True)):
        before = sessions(old)[-1]
        again = Chat(there, name=name)
        again.messages = chat.messages
        await again.say("And?")
        chat = again
        assert (sessions(old)[-1] == before) == is_known
    old.keep_sessions()


@pytest.mark.parametrize("knows_both", [True, False])
async def test_an_open_question_can_be_answered(front: StartFront, redis_server: RedisServer, knows_both: bool) -> None:
    old, both, new = await before_and_after(front, redis_server, confirmations="ask")
    chat = Chat(old)
    ((token, _, _),) = (await chat.say("[[scenario:confirm]]")).tool_calls
    messages = [*chat.messages, result(token, "yes")]
    if knows_both:
        assert (await both.ask(messages)).text == "It is over."
    else:
        assert await new.refused(messages) == (400, "confirmation_unknown")
    await old.close_all_sessions()
