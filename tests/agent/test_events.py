"""Whoever listens hears what happens, in order; whoever is slow loses the oldest and nothing else breaks."""

import asyncio
import threading

from mpos_agent.events import Event, EventHub, EventKind


async def collected(hub: EventHub, after: int | None = None) -> list[Event]:
    """Everything until the hub is closed."""
    return [event async for event in hub.read(after)]


def test_events_of_other_threads_arrive_in_order() -> None:
    """A card read in a worker thread is followed from the event loop."""

    async def scene() -> list[Event]:
        hub = EventHub()
        reading = asyncio.create_task(collected(hub))
        await asyncio.sleep(0)

        def work() -> None:
            for step in range(5):
                hub.publish(EventKind.CARD_PROGRESS, fraction=step / 5)
            hub.close()

        thread = threading.Thread(target=work)
        thread.start()
        events = await reading
        thread.join()
        return events

    events = asyncio.run(scene())
    assert [event.number for event in events] == [1, 2, 3, 4, 5]
    assert [event.facts["fraction"] for event in events] == [0, 0.2, 0.4, 0.6, 0.8]


def test_after_a_lost_connection_the_missed_events_come_first() -> None:
    """A page that reconnects with the last number it saw misses nothing."""

    async def scene() -> list[Event]:
        hub = EventHub()
        for _ in range(4):
            hub.publish(EventKind.QUEUE, waiting=1)
        hub.close()
        return await collected(hub, after=2)

    assert [event.number for event in asyncio.run(scene())] == [3, 4]


def test_a_slow_reader_loses_the_oldest_and_holds_up_nobody() -> None:
    """Publishing never waits; the gap in the numbers shows what was lost."""

    async def scene() -> list[Event]:
        hub = EventHub()
        reading = asyncio.create_task(collected(hub))
        await asyncio.sleep(0)
        for _ in range(1_000):
            hub.publish(EventKind.QUEUE)
        hub.close()
        return await reading

    events = asyncio.run(scene())
    assert len(events) < 1_000
    assert events[-1].number == 1_000


def test_a_reader_that_leaves_is_forgotten() -> None:
    """A closed page costs nothing afterwards."""

    async def scene() -> int:
        hub = EventHub()
        source = hub.read()
        waiting = asyncio.ensure_future(anext(source))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await source.aclose()
        hub.publish(EventKind.QUEUE)
        return len(hub._readers)

    assert asyncio.run(scene()) == 0


def test_publishing_after_a_listeners_loop_is_gone_is_harmless() -> None:
    """Events keep flowing while the server that streamed them has stopped."""
    hub = EventHub()

    async def scene() -> None:
        waiting = asyncio.ensure_future(anext(hub.read()))
        await asyncio.sleep(0)
        waiting.cancel()

    asyncio.run(scene())
    assert hub.publish(EventKind.QUEUE).number == 1
