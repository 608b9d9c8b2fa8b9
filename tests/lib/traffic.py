#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Load for the rotation tests, in a process of its own, and the app that it talks to.

    traffic.py echo PATH [--port 0]       sends back what comes; PATH gets the port
    traffic.py load PORT REPORT           streams that stay, transactions on connections that stay, and connections
        [--streams 200] [--clients 8]     that are made for one transaction each; SIGUSR1 begins a new phase,
        [--newcomers 4]                   SIGTERM ends it and writes REPORT: counts, failures, latencies by phase
    Both accept --host (default: 127.0.0.1; empty for echo: all addresses).

A transaction is a request of random bytes that has to come back whole. A stream sends all the time and hashes both
directions. An early end or a difference between the hashes is a failure.
"""
import argparse
import asyncio
import hashlib
import json
import os
import pathlib
import random
import signal
import sys
import time


async def echo(reader, writer):
    try:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except ConnectionError:
        pass
    finally:
        writer.close()


async def serve(path, host, port):
    server = await asyncio.start_server(echo, host, port, backlog=1024)
    temporary = pathlib.Path(path + '.tmp')
    temporary.write_text(str(server.sockets[0].getsockname()[1]), encoding='ascii')
    temporary.rename(path)
    async with server:
        await server.serve_forever()


class Load:
    def __init__(self, host, port, seed):
        self.host, self.port, self.chance = host, port, random.Random(seed)
        self.ending = asyncio.Event()
        self.failures, self.streams_done, self.bytes = [], 0, 0
        self.phases = [{'transactions': [], 'connections': []}]

    def fail(self, kind, error):
        if len(self.failures) < 1000:
            self.failures.append(f'{kind}: {type(error).__name__}: {error}')

    async def pause(self, seconds):
        """Returns whether the load goes on."""
        try:
            await asyncio.wait_for(self.ending.wait(), seconds)
        except asyncio.TimeoutError:
            pass
        return not self.ending.is_set()

    async def transact(self, reader, writer, size):
        data = self.chance.randbytes(size)
        writer.write(data)
        await writer.drain()
        if await reader.readexactly(size) != data:
            raise ValueError('other bytes came back')

    async def stream(self):
        sent, got = hashlib.sha256(), hashlib.sha256()
        try:
            reader, writer = await asyncio.open_connection(self.host, self.port)

            async def receive():
                while data := await reader.read(1 << 16):
                    got.update(data)
                    self.bytes += len(data)
            receiving = asyncio.ensure_future(receive())
            while await self.pause(self.chance.uniform(0.1, 0.5)):
                if receiving.done():
                    raise EOFError('ended by the other side')
                data = self.chance.randbytes(self.chance.randint(1, 4096))
                sent.update(data)
                writer.write(data)
                await writer.drain()
            writer.write_eof()
            await receiving
            if sent.digest() != got.digest():
                raise ValueError('the hashes differ')
            writer.close()
            self.streams_done += 1
        except Exception as error:
            self.fail('stream', error)

    async def client(self, think):
        """Runs transactions on one connection, like pgbench."""
        try:
            reader, writer = await asyncio.open_connection(self.host, self.port)
            while await self.pause(think):
                begin = time.perf_counter()
                await self.transact(reader, writer, 256)
                self.phases[-1]['transactions'].append(time.perf_counter() - begin)
            writer.close()
        except Exception as error:
            self.fail('transaction', error)

    async def newcomer(self, think):
        """Runs each transaction on a new connection, like pgbench -C."""
        while await self.pause(think):
            begin = time.perf_counter()
            try:
                reader, writer = await asyncio.open_connection(self.host, self.port)
                await self.transact(reader, writer, 64)
                writer.close()
                self.phases[-1]['connections'].append(time.perf_counter() - begin)
            except Exception as error:
                self.fail('connection', error)

    async def run(self, streams, clients, newcomers):
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.ending.set)
        loop.add_signal_handler(
            signal.SIGUSR1, lambda: self.phases.append({'transactions': [], 'connections': []}))
        await asyncio.gather(*(self.stream() for _ in range(streams)), *(self.client(0.005) for _ in range(clients)),
                             *(self.newcomer(0.02) for _ in range(newcomers)))


def latencies(values):
    values = sorted(values)
    return {'count': len(values),
            **{f'p{p}': values[min(len(values) - 1, len(values) * p // 100)] if values else None for p in (50, 99)}}


def main():
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest='command', required=True)
    server = commands.add_parser('echo')
    server.add_argument('path')
    server.add_argument('--port', type=int, default=0)
    load = commands.add_parser('load')
    load.add_argument('port', type=int)
    load.add_argument('report')
    for name, value in (('streams', 200), ('clients', 8), ('newcomers', 4), ('seed', 1)):
        load.add_argument(f'--{name}', type=int, default=value)
    for command in (server, load):
        command.add_argument('--host', default='127.0.0.1')
    args = parser.parse_args()
    if args.command == 'echo':
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
        asyncio.run(serve(args.path, args.host, args.port))
        return 0

    async def run():
        loads = Load(args.host, args.port, args.seed)
        await loads.run(args.streams, args.clients, args.newcomers)
        return loads
    loads = asyncio.run(run())
    pathlib.Path(args.report).write_text(json.dumps({
        'failures': loads.failures, 'streams_done': loads.streams_done, 'stream_bytes': loads.bytes,
        'phases': [{kind: latencies(values) for kind, values in phase.items()} for phase in loads.phases],
    }), encoding='utf-8')
    return 0


if __name__ == '__main__':
    sys.exit(main())
