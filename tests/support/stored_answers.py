"""Small stores of answers, and entries for them."""

from oaicompat_proxy.server.answer_stores.ledgers import Ledgers
from oaicompat_proxy.server.answer_stores.memory_answers import MemoryAnswers
from oaicompat_proxy.server.answer_stores.stored_answers import Bounds
from oaicompat_proxy.server.shared_storage.shared_table import SharedTable

SHORT_LIVED = Bounds(10, 0.3)
MANY = Bounds(10_000, 24 * 3600)
LONG = bytes(range(256)) * 500


def small_memory(*, slots: int = 64, answers: int = 100, max_bytes: int = 1 << 20, ttl: float = 60) -> MemoryAnswers:
    table = SharedTable(slots=slots, slot_size=1024, candidates=8)
    return MemoryAnswers(Bounds(answers, ttl), table, Ledgers(callers=16, max_entries=1000, max_bytes=max_bytes))
