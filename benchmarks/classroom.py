"""Many viewers of one run: is every event received, and what does the run pay?

    python benchmarks/classroom.py --viewers 300

Runs of 10 epochs in turns without viewers and with them, on loopback. A third of the
viewers is cut off at random on the way and comes back.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import statistics
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass, field

EPOCHS = 10


@dataclass
class Viewer:
    """One viewer: what it got, in order."""

    last_id: str = ""
    ids: list[str] = field(default_factory=list)
    epochs: list[tuple[int, int]] = field(default_factory=list)
    batches: int = 0
    cuts: int = 0
    times: dict[tuple[int, int], float] = field(default_factory=dict)
    ended: set[int] = field(default_factory=set)

    async def watch(self, port: int, is_cut: bool) -> None:
        """Follow the events until cancelled; if ``is_cut``, leave at random."""
        while True:
            patience = random.uniform(0.5, 4) if is_cut and self.cuts < 3 else None
            try:
                await asyncio.wait_for(self._follow(port), patience)
            except (TimeoutError, ConnectionError, asyncio.IncompleteReadError):
                self.cuts += 1

    async def _follow(self, port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            last = f"Last-Event-ID: {self.last_id}\r\n" if self.last_id else ""
            writer.write(f"GET /events HTTP/1.1\r\nHost: x\r\n{last}\r\n".encode())
            await reader.readuntil(b"\r\n\r\n")
            block: dict[str, str] = {}
            while True:
                line = (await reader.readuntil(b"\n")).decode().strip()
                name, separator, value = line.partition(": ")
                if separator and name in ("id", "event", "data"):
                    block[name] = value
                elif "data" in block and not line:
                    self._take(block)
                    block = {}
        finally:
            writer.close()

    def _take(self, block: dict[str, str]) -> None:
        self.last_id = block["id"]
        self.ids.append(block["id"])
        data = json.loads(block["data"])
        if block["event"] == "batch":
            self.batches += 1
        elif block["event"] == "epoch":
            self.epochs.append((data["run"], data["epoch"]))
            self.times[data["run"], data["epoch"]] = time.monotonic()
        elif block["event"] == "end":
            self.ended.add(data["run"])


class Server:
    """The page, in a process of its own."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "d2l_mlp", "demo", "--port", "0"],
            stdout=subprocess.PIPE,
            text=True,
        )
        link = self.process.stdout.readline()
        self.port, self.token = re.search(r":(\d+)/#token=(\S+)", link).groups()

    def start(self) -> int:
        """Start a run as fast as it can; return its number."""
        body = {"settings": {"num_epochs": EPOCHS, "seconds_per_epoch": 0}}
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/api/run",
            json.dumps(body).encode(),
            {
                "Authorization": f"Bearer {self.token}",
                "Content-Type": "application/json",
            },
        )
        return json.load(urllib.request.urlopen(request))["run"]

    def memory(self) -> float:
        """Return the server's own resident memory in MB."""
        with open(f"/proc/{self.process.pid}/status") as file:
            return int(re.search(r"VmRSS:\s+(\d+)", file.read())[1]) / 1024


async def run_with(server: Server, viewers: list[Viewer]) -> tuple[int, float, float]:
    """Return a run's number, its seconds, and the server's memory at its end.

    Seconds are those from the end of the first epoch to that of the last, by the clock
    of one viewer that is always there.
    """
    one = Viewer()
    tasks = [asyncio.create_task(one.watch(int(server.port), False))]
    for i, viewer in enumerate(viewers):
        tasks.append(asyncio.create_task(viewer.watch(int(server.port), i % 3 == 0)))
    await asyncio.sleep(1 + len(viewers) / 150)
    number = await asyncio.to_thread(server.start)
    everyone = [one, *viewers]
    while not all(number in viewer.ended for viewer in everyone):
        await asyncio.sleep(0.1)
    await asyncio.sleep(0.5)
    memory = server.memory()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    first, *_, last = (one.times[number, epoch] for epoch in range(1, EPOCHS + 1))
    return number, last - first, memory


def check(viewers: list[Viewer], runs: list[int]) -> None:
    """Raise unless everyone got every epoch of ``runs`` in order, and nothing twice."""
    expected = [(run, epoch) for run in runs for epoch in range(1, EPOCHS + 1)]
    for viewer in viewers:
        assert viewer.epochs == expected, viewer.epochs
        assert len(set(viewer.ids)) == len(viewer.ids)
        numbers = [int(id.split("-")[1]) for id in viewer.ids]
        assert numbers == sorted(numbers)


async def main() -> None:
    """Measure in turns, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--viewers", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    server = Server()
    try:
        runs = [(await run_with(server, []))[0]]
        alone, watched, growth = [], [], []
        cuts = batches = 0
        for _ in range(options.rounds):
            number, seconds, before = await run_with(server, [])
            runs.append(number)
            alone.append(seconds)
            viewers = [Viewer() for _ in range(options.viewers)]
            number, seconds, after = await run_with(server, viewers)
            runs.append(number)
            watched.append(seconds)
            growth.append((after - before) / options.viewers)
            check(viewers, runs)
            cuts += sum(viewer.cuts for viewer in viewers)
            batches = statistics.mean(viewer.batches for viewer in viewers)
    finally:
        server.process.terminate()
        server.process.wait()
    ratio = statistics.median(watched) / statistics.median(alone)
    print(f"{options.viewers} viewers, {options.rounds} rounds of {EPOCHS} epochs")
    print(f"seconds of a run alone:   {[round(s, 2) for s in alone]}")
    print(f"seconds of a run watched: {[round(s, 2) for s in watched]}")
    print(f"median with viewers over median without: {ratio:.2f}")
    print(f"server memory a viewer: {max(growth) * 1024:.0f} kB at most")
    print(f"connections cut and taken up again: {cuts}")
    print(f"every viewer got every epoch of {len(runs)} runs, in order, once")
    print(f"points of curves a viewer got in the last round: {batches:.0f}")


if __name__ == "__main__":
    asyncio.run(main())
