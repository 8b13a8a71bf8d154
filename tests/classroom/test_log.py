"""Every viewer gets every event, in order, once; slow ones fewer points."""

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor

from d2l_mlp.classroom.log import BEHIND, Log

import pytest
from hypothesis import given
from hypothesis import strategies as st


def run(scenario):
    """Run it in a thread: the browser's tests leave a loop running in this one."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: asyncio.run(scenario())).result()


def parse(chunks):
    events = []
    for block in b"".join(chunks).decode().split("\n\n")[:-1]:
        id, kind, data = block.split("\n")
        events.append((id[4:], kind[7:], json.loads(data[6:])))
    return events


async def take(viewer, seconds=0.05, number=0):
    """Return what a viewer is sent until nothing comes any more.

    A busy machine may take its time for the first ``number`` events.
    """
    chunks = []
    while len(parse(chunks)) < number:
        chunks.append(await asyncio.wait_for(viewer.pending, 20))
        viewer.next()
    while True:
        try:
            chunk = asyncio.wait_for(asyncio.shield(viewer.pending), seconds)
            chunks.append(await chunk)
        except asyncio.TimeoutError:
            return parse(chunks)
        viewer.next()


async def keep(log, taken):
    async for chunk in log.follow(pause=0):
        taken.append(chunk)


class Viewer:
    def __init__(self, log, after=None):
        self.stream = log.follow(after, pause=0)
        self.next()

    def next(self):
        self.pending = asyncio.ensure_future(anext(self.stream))


def test_a_late_viewer_sees_it_from_its_start():
    async def scenario():
        log, taken = Log(), []
        early = asyncio.ensure_future(keep(log, taken))
        for i in range(200):
            log.append({"type": "batch", "i": i})
            if i % 20 == 0:
                await asyncio.sleep(0.001)
        late = Viewer(log)
        events = await take(late)
        assert [event["i"] for _, _, event in events] == list(range(200))
        assert parse(taken) == events
        log.append({"type": "epoch", "i": 200})
        (last,) = await take(late)
        assert last[1:] == ("epoch", {"type": "epoch", "i": 200})
        await asyncio.sleep(0.01)
        assert parse(taken) == [*events, last]
        early.cancel()

    run(scenario)


@given(st.integers(0, 50), st.integers(0, 20))
def test_a_viewer_that_comes_back_misses_nothing_and_gets_nothing_twice(n, more):
    async def scenario():
        log = Log()
        for i in range(n):
            log.append({"type": "epoch", "i": i})
        first = await take(Viewer(log), 0.001, n)
        for i in range(n, n + more):
            log.append({"type": "epoch", "i": i})
        last_id = first[-1][0] if first else None
        second = await take(Viewer(log, last_id), 0.001, more)
        assert [event["i"] for _, _, event in first + second] == list(range(n + more))

    run(scenario)


@pytest.mark.parametrize(
    "strange", ["", "x", "-", "-5", "0-5", "x-٣", "x-" + "9" * 5000, "\n", None]
)
def test_a_strange_id_starts_from_the_beginning(strange):
    log = Log()
    log.append({"type": "epoch"})
    assert log.position(strange) == 0
    if strange:
        # An id of this server's name with a wild number is at most the end.
        name = log._name
        assert log.position(f"{name}-{'9' * 5000}") == 1


def test_another_servers_ids_start_from_the_beginning():
    first, second = Log(), Log()
    for log in (first, second):
        log.append({"type": "epoch"})
        log.append({"type": "epoch"})
    assert second.position(f"{first._name}-0") == 0
    assert second.position(f"{second._name}-0") == 1


def test_only_points_are_thinned_and_only_for_those_behind():
    async def scenario():
        log = Log()
        viewer = Viewer(log)
        log.append({"type": "start"})
        await take(viewer)
        for i in range(3 * BEHIND):
            log.append({"type": "epoch" if i % 10 == 0 else "batch", "i": i})
        # The pending read took what was there when it was woken.
        events = await take(viewer)
        epochs = [event["i"] for _, kind, event in events if kind == "epoch"]
        assert epochs == list(range(0, 3 * BEHIND, 10))
        points = [event["i"] for _, kind, event in events if kind == "batch"]
        assert 0 < len(points) < 3 * BEHIND // 2
        assert points == sorted(set(points))

    run(scenario)
