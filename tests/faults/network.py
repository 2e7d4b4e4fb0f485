"""A network that misbehaves: a TCP proxy on the way to each room, and a dev stack whose API and worker go through them.

api, worker ──► Link ──► postgres · temporal · sandbox

through   as if it were not there
delay     every piece takes its time
cut       connections end, new ones are refused
hole      nothing gets through, either way, and nobody says so
deaf      what is asked arrives and is done; no answer comes back, and in the end the connection is gone
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

from workers.dev import DevStack
from workers.process import LOCALHOST, free_port

DELAY_S = 0.25
ROOMS = ("postgres", "temporal", "sandbox")


class Link:
    """One way, on a port of its own, to wherever `upstream` says."""

    def __init__(self, upstream: Callable[[], int]) -> None:
        self.port = free_port()
        self.mode = "through"
        self._upstream = upstream
        self._open: set[asyncio.StreamWriter] = set()
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["Link"]:
        """Listen until the block is left."""
        server = await asyncio.start_server(self._serve, LOCALHOST, self.port)
        try:
            yield self
        finally:
            server.close()
            self._hang_up()

    async def turn(self, mode: str) -> None:
        """Behave so from now on."""
        was, self.mode = self.mode, mode
        if mode == "cut" or was == "deaf":
            self._hang_up()
        async with self._changed:
            self._changed.notify_all()

    def _hang_up(self) -> None:
        for writer in self._open:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.mode == "cut":
            writer.transport.abort()
            return
        with suppress(OSError):
            there, back = await asyncio.open_connection(LOCALHOST, self._upstream())
            ways = (self._carry(reader, back, {"hole"}), self._carry(there, writer, {"hole", "deaf"}))
            self._open |= {writer, back}
            try:
                await asyncio.gather(*ways)
            finally:
                self._open -= {writer, back}
                back.close()
        writer.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, held: set[str]) -> None:
        with suppress(OSError):
            while piece := await reader.read(65_536):
                if self.mode == "delay":
                    await asyncio.sleep(DELAY_S)
                async with self._changed:
                    await self._changed.wait_for(lambda: self.mode not in held)
                writer.write(piece)
                await writer.drain()
        writer.close()


class LinkedStack(DevStack):
    """The dev stack with a link before each room."""

    def __init__(self, folder: Path) -> None:
        self.links = {
            "postgres": Link(lambda: self.postgres.port),
            "temporal": Link(lambda: int(self.temporal.address.rpartition(":")[2])),
            "sandbox": Link(lambda: urlsplit(self.sandbox_url).port or 0),
        }
        super().__init__(folder, port=free_port())

    def environment(self) -> dict[str, str]:
        """What its processes are told: the links, where the rooms would be."""
        told = super().environment()
        rooms = {
            "PERENNIAL_DATABASE_URL": "postgres",
            "PERENNIAL_TEMPORAL_ADDRESS": "temporal",
            "PERENNIAL_STRIPE_API_BASE": "sandbox",
            "PERENNIAL_PROVISIONING_URL": "sandbox",
        }
        for name, room in rooms.items():
            direct = told[name]
            at = urlsplit(direct if "//" in direct else f"//{direct}").port
            told[name] = direct.replace(f":{at}", f":{self.links[room].port}")
        return told

    @asynccontextmanager
    async def linked(self) -> AsyncIterator["LinkedStack"]:
        """All links listen until the block is left."""
        async with AsyncExitStack() as stack:
            for link in self.links.values():
                await stack.enter_async_context(link.listening())
            yield self
