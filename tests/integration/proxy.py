"""A wire to a real server that can be cut, and repaired, while something uses it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Proxy:
    """Listens on a port of 127.0.0.1 and passes on what comes."""

    def __init__(self, host: str, port: int) -> None:
        self.port = 0
        self._target = host, port
        self._listener: asyncio.Server | None = None
        self._passing = asyncio.Event()
        self._connections: set[asyncio.Task[None]] = set()

    async def up(self) -> None:
        """Pass on what comes; on the same port as before."""
        self._passing.set()
        if self._listener is None:
            self._listener = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
            self.port = self._listener.sockets[0].getsockname()[1]

    async def down(self) -> None:
        """As when the server has stopped: what is connected is cut off, nothing new is let in."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def hang(self) -> None:
        """As when the network swallows everything: connections stand, nothing gets through."""
        self._passing.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            there, back = await asyncio.open_connection(*self._target)
            try:
                async with asyncio.TaskGroup() as directions:
                    directions.create_task(self._pass(reader, back))
                    directions.create_task(self._pass(there, writer))
            except* OSError:
                pass
            finally:
                back.close()
        writer.close()
        self._connections.discard(task)

    async def _pass(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            await self._passing.wait()
            target.write(data)
            await target.drain()
        target.close()


@asynccontextmanager
async def proxy(host: str, port: int) -> AsyncIterator[Proxy]:
    wire = Proxy(host, port)
    await wire.up()
    try:
        yield wire
    finally:
        await wire.down()
