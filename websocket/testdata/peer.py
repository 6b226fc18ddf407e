# What TestPeers talks to: Python's websockets, as clients of echoes (`peer.py client URL...`), or as an echo
# that prints its port (`peer.py server on|off`) and ends with its standard input.
import asyncio
import sys

import websockets

LARGE = "0123456789abcdef" * (1 << 16)


async def client(url):
    """Prints the extension that was agreed on."""
    async with websockets.connect(url, max_size=4 << 20) as ws:
        print((getattr(ws, "response_headers", None) or ws.response.headers).get("Sec-WebSocket-Extensions", "none"))

        async def comes_back(want, sent):
            await ws.send(sent)
            assert await ws.recv() == want, "what came back differs"

        for text in ["", "häß€😀", "again and " * 30, "again and " * 31, LARGE]:
            await comes_back(text, text)
        data = bytes(i * i >> 3 & 255 for i in range(5000))
        await comes_back(data, data)
        await comes_back("in three frames", ["in ", "three ", "frames"])
        await comes_back(LARGE + LARGE[1:], [LARGE, LARGE[1:]])
        await (await ws.ping("hello"))
        await ws.close(4001, "bye")
        assert ws.close_code == 4001, ws.close_code


async def echo(ws, *_):
    async for message in ws:
        if message == "close":
            await ws.close(4002, "so long")
            return
        half = len(message) >> 1
        await ws.send([message[:half], message[half:]])


async def server(compression):
    async with websockets.serve(echo, "127.0.0.1", 0, compression=compression, max_size=4 << 20) as s:
        print(s.sockets[0].getsockname()[1], flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


async def main(role, *args):
    if role == "server":
        await server("deflate" if args[0] == "on" else None)
    for url in args if role == "client" else ():
        await client(url)


asyncio.run(main(*sys.argv[1:]))
