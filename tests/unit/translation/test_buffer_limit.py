import pytest

from oaicompat_proxy.core.errors import UpstreamAnswerTooLong
from oaicompat_proxy.translation.buffer_limit import ITEM_SIZE, BufferLimit


def test_what_is_held_is_bounded_and_what_is_released_makes_room() -> None:
    held = BufferLimit(2 * ITEM_SIZE + 10)
    assert held.add(5, items=1) == ITEM_SIZE + 5
    assert held.add(5, items=1) == ITEM_SIZE + 5
    with pytest.raises(UpstreamAnswerTooLong):
        held.add(1)
    held.release(ITEM_SIZE + 6)
    assert held.add(-5) == -5
    assert held.size == ITEM_SIZE
    assert held.add(ITEM_SIZE) == ITEM_SIZE
