from collections.abc import AsyncIterator

import pytest

from tests.providers.stripe_world import World


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    yield world
    await world.sandbox.idle()
    await world.provider.close()
