import asyncio

from oaicompat_proxy.server.turns import LARGE, give_way


async def others_are_served(size):
    served = []
    asyncio.get_running_loop().call_soon(served.append, True)
    await give_way(size)
    return bool(served)


async def test_only_a_large_request_gives_way():
    assert await others_are_served(LARGE + 1)
    assert not await others_are_served(LARGE)
