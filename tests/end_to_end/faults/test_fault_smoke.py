from tests.support.invariants import World
async def test_x(world: World):
    async with world.standing(): pass
    print(await world.server.look())
