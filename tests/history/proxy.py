"""A proxy between workers and a server, in a process of its own: it delays, holds and cuts.

`python -m tests.history.proxy` takes commands as lines of JSON on standard input and answers each
with one; `lanes.Lanes` is the other end. A lane is a port of its own that leads to one address.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from dataclasses import dataclass, field
from typing import Any

_CHUNK = 65536

#: The two directions: to the server, to the client.
UP, DOWN = "up", "down"


@dataclass(eq=False)
class Lane:
    """One port and what happens on it.

    Args:
        host: of the server.
        port: of the server.
        delays: direction → the least and the most that a chunk is late, in seconds.
        flowing: direction → set while bytes go through.
        is_cut: no connection is let through.
        trap: bytes that spring the trap when they pass towards the server; empty: none.
        mute: whether the trap lets these bytes pass and keeps the answer back; else it drops them.
        sprung: how often the trap has sprung.
    """

    host: str
    port: int
    delays: dict[str, tuple[float, float]] = field(default_factory=dict)
    flowing: dict[str, asyncio.Event] = field(default_factory=dict)
    is_cut: bool = False
    trap: bytes = b""
    mute: bool = False
    sprung: int = 0
    writers: set[asyncio.StreamWriter] = field(default_factory=set)

    async def serve(
        self, client_in: asyncio.StreamReader, client_out: asyncio.StreamWriter
    ) -> None:
        """Carry one connection."""
        if self.is_cut:
            client_out.transport.abort()
            return
        try:
            server_in, server_out = await asyncio.open_connection(self.host, self.port)
        except OSError:
            client_out.transport.abort()
            return
        both = {client_out, server_out}
        self.writers |= both
        pumps = [
            asyncio.create_task(self._pump(UP, client_in, server_out, client_out)),
            asyncio.create_task(self._pump(DOWN, server_in, client_out, client_out)),
        ]
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        # The end of one side is the end of both, once what was on its way has arrived.
        await asyncio.wait(pumps, timeout=0.2)
        for pump in pumps:
            pump.cancel()
        for writer in both:
            writer.transport.abort()
        self.writers -= both

    async def _pump(
        self,
        direction: str,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        client: asyncio.StreamWriter,
    ) -> None:
        waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        delivery = asyncio.create_task(self._deliver(direction, waiting, sink))
        clock = asyncio.get_running_loop().time
        due = 0.0
        try:
            while True:
                data = await source.read(_CHUNK)
                if direction == UP and self.trap and self.trap in data.upper():
                    await self._spring(data, sink, client)
                    return
                least, most = self.delays.get(direction, (0.0, 0.0))
                # Bytes never overtake each other.
                due = max(due, clock() + random.uniform(least, most))
                waiting.put_nowait((due, data))
                if not data:
                    break
            await delivery
        except OSError:
            pass
        finally:
            delivery.cancel()

    async def _deliver(
        self,
        direction: str,
        waiting: asyncio.Queue[tuple[float, bytes]],
        sink: asyncio.StreamWriter,
    ) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            due, data = await waiting.get()
            late = due - clock()
            if late > 0:
                await asyncio.sleep(late)
            await self.flowing[direction].wait()
            if not data:
                return
            try:
                sink.write(data)
                await sink.drain()
            except OSError:
                return

    async def _spring(
        self, data: bytes, server: asyncio.StreamWriter, client: asyncio.StreamWriter
    ) -> None:
        self.trap = b""
        self.sprung += 1
        client.transport.abort()
        if self.mute:
            server.write(data)
            await server.drain()
            # The server gets to read it before it learns that its client is gone.
            await asyncio.sleep(0.05)


class Proxy:
    """All lanes, and the commands for them."""

    def __init__(self) -> None:
        self.lanes: dict[str, Lane] = {}

    async def open(self, lane: str, host: str, port: int) -> dict[str, Any]:
        """Open a lane; answers with its port."""
        made = self.lanes[lane] = Lane(host, port)
        for direction in (UP, DOWN):
            made.flowing[direction] = asyncio.Event()
            made.flowing[direction].set()
        server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
        return {"port": server.sockets[0].getsockname()[1]}

    async def delay(self, lane: str, direction: str, least: float, most: float) -> dict[str, Any]:
        """Have bytes arrive later, by seconds."""
        self.lanes[lane].delays[direction] = (least, most)
        return {}

    async def hold(self, lane: str, direction: str, on: bool) -> dict[str, Any]:
        """Keep bytes back, or let go of those that were kept."""
        flowing = self.lanes[lane].flowing[direction]
        if on:
            flowing.clear()
        else:
            flowing.set()
        return {}

    async def cut(self, lane: str, on: bool) -> dict[str, Any]:
        """End all connections and refuse new ones, or let them through again."""
        chosen = self.lanes[lane]
        chosen.is_cut = on
        if on:
            for writer in list(chosen.writers):
                writer.transport.abort()
        return {}

    async def set_trap(self, lane: str, text: str, mute: bool) -> dict[str, Any]:
        """Cut the next connection that says this; answers how often that has happened."""
        chosen = self.lanes[lane]
        chosen.trap, chosen.mute = text.upper().encode(), mute
        return {"sprung": chosen.sprung}

    async def run(self) -> None:
        """Follow commands until standard input ends."""
        reader = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            command = json.loads(line)
            answer = await getattr(self, command.pop("do"))(**command)
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(Proxy().run())
