import asyncio

from oaicompat_proxy.server.turns import give_way


async def test_others_are_served_meanwhile():
    served = []
    asyncio.get_running_loop().call_soon(served.append, True)
    await give_way()
    assert served
