from oaicompat_proxy.server.answer_stores.stored_answers import ENTRIES_OF_ANSWER, Bounds, NoAnswers


async def test_nothing_is_stored_where_it_is_not_wanted() -> None:
    await NoAnswers().add("alice", {"h": b"x"})
    assert await NoAnswers().find("alice", ["h"], max_bytes=10) == {}


def test_an_answer_is_its_input_and_its_body() -> None:
    assert Bounds(3, 60).entries == 3 * ENTRIES_OF_ANSWER
