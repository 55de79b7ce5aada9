import asyncio

from oaicompat_proxy.server.event_loop.yielding import yield_control


async def test_others_are_served_meanwhile():
    served = []
    asyncio.get_running_loop().call_soon(served.append, True)
    await yield_control()
    assert served
