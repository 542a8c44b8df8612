"""The events of ``any_order``: what may happen to devices and head office, in whatever order hypothesis draws.

Each is drawn by itself; a few bring about at one stroke what events drawn one by one seldom do.
"""

import shutil
from collections.abc import Sequence
from contextlib import suppress
from typing import TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from bench.faults.crooked_line import LINES, JumpingClock, spoilt
from bench.faults.world import DEVICES, World
from head_office import commands
from head_office.moment import to_ms
from sync.commands import NewEpoch, Resend
from sync.edge.uploader import RoundOutcome
from sync.envelope import Lane
from sync.errors import StickUnanswerableError

T = TypeVar("T")
MACHINES, LANES, TROUBLES = st.integers(0, DEVICES - 1), st.sampled_from(Lane), st.sampled_from(LINES)
BITS = st.integers(0, 1 << 16)
ANY = st.integers(0, 63)
"""Which of several."""


class AnyOrder(World, RuleBasedStateMachine):
    """The events; which comes next is hypothesis's choice."""

    @initialize(count=st.integers(1, 3))
    def begin(self, count: int) -> None:
        for _ in range(count):
            self.claim(0, Lane.CORE, 300)

    def teardown(self) -> None:
        self.over()

    # An ordinary day, with a line that is none.

    @rule(at=MACHINES, lane=LANES, size=st.sampled_from((100, 3000)))
    def claim(self, at: int, lane: Lane, size: int) -> None:
        self.number += 1
        self.devices[at].put(self.number, lane=lane, size=size)
        self.look()

    @rule(at=MACHINES, trouble=TROUBLES, where=BITS)
    def round(self, at: int, trouble: str, where: int = 0) -> None:
        if trouble != LINES[0]:
            self.broken()
        self.lines[at].trouble, self.lines[at].where = trouble, where
        self.devices[at].round()
        self.lines[at].trouble = LINES[0]
        self.look()

    @rule(at=MACHINES)
    def purge(self, at: int) -> None:
        self.devices[at].purge_all()
        self.look()

    @rule(at=MACHINES)
    def device_restarts(self, at: int) -> None:
        self.broken()
        self.devices[at].close()
        self.devices[at].open()
        self.look()

    @rule()
    def offices_restart(self) -> None:
        self.broken()
        self.offices.restart()
        self.look()

    @rule(at=MACHINES, years=st.sampled_from((-10, -1, 1, 10)))
    def clock_jumps(self, at: int, years: int) -> None:
        self.broken()
        clock = self.devices[at].clock
        assert isinstance(clock, JumpingClock)
        if 2000 < clock.wall.year + years < 2090:
            clock.wall = clock.wall.replace(year=clock.wall.year + years, day=20)

    @rule(at=MACHINES, lane=LANES, resend=st.booleans())
    def office_gives_an_order(self, at: int, lane: Lane, resend: bool) -> None:
        """Send everything of a chain again, or begin a new one; carried by the receipts to come."""
        device = self.devices[at].identity.device_id
        office = self.offices.serving(device)
        if office is None or (self.is_behind(at) and not resend):
            # Of a chain that has ended head office hears only while something of it waits.
            return
        counts = next(one for one in self.devices[at].outbox.counts() if one.lane is lane)
        order = (
            Resend(lane=lane, epoch=counts.epoch, first_seq=1, last_seq=max(1, counts.next_seq - 1))
            if resend
            else NewEpoch(lane=lane, epoch=counts.epoch)
        )
        with office.ledger.transaction() as tx:
            commands.queue(tx, device, order, now_ms=to_ms(self.now), by="bench")

    # Who a device is.

    @rule(at=MACHINES, kept=st.booleans())
    def keys_are_renewed(self, at: int, kept: bool) -> None:
        """What waits was signed with the old key; a device that dies before it keeps the new ones goes on with it."""
        self.broken()
        renewed = self.offices.renew(self.devices[at].identity)
        self.devices[at].become(renewed if kept else self.devices[at].identity)
        self.look()

    @rule(at=MACHINES)
    def enrolled_again(self, at: int) -> None:
        """Under another name, with packets waiting that only the former one can deliver."""
        if self.is_behind(at):
            # Its chains end, as above.
            return
        self.broken()
        device = self.devices[at]
        self.former[at].append(device.identity)
        device.become(self.office(at).enrol(f"SN-{at}"))
        self.look()

    @rule(at=MACHINES)
    def denied_for_a_while(self, at: int) -> None:
        device = self.devices[at].identity.device_id
        office = self.offices.serving(device)
        if office is None:
            return
        self.broken()
        # One that is still to hear where it belongs now is answered by the other cluster.
        is_there = office is self.office(at)
        office.registry.block(device, "lost", by="bench")
        result = self.devices[at].round()
        office.registry.release(device, by="bench")
        assert not is_there or result.outcome is RoundOutcome.FAILED, "a denied device was served"
        self.look()

    # From one cluster to the other.

    @rule(at=MACHINES, documents_too=st.booleans())
    def handed_over(self, at: int, documents_too: bool) -> None:
        """To the other cluster; the file is on its way."""
        self.broken()
        self.offices.hand_over(self.devices[at].identity.device_id, documents_too=documents_too)
        self.look()

    @precondition(lambda self: bool(self.offices.files))
    @rule(which=ANY)
    def taken_over(self, which: int) -> None:
        """Any file, as often as people like."""
        self.offices.take_over(_one_of(self.offices.files, which))
        self.look()

    @rule(at=MACHINES, lane=LANES, trouble=TROUBLES, where=BITS)
    def moved_with_a_claim_on_the_way(self, at: int, lane: Lane, trouble: str, where: int) -> None:
        """Delivered here and on a stick; moved; then the stick arrives there."""
        self.claim(at, lane, 200)
        stick = self.fill_stick(at)
        self.claim(at, lane, 200)
        self.round(at, trouble, where)
        self.handed_over(at, documents_too=True)
        if self.offices.files:
            self.offices.take_over(self.offices.files[-1])
        self.round(at, "good")
        self.claim(at, lane, 200)
        self.round(at, "good")
        self.stick_arrives(stick)

    # Disks that are put back.

    @rule(at=MACHINES)
    def image_is_taken(self, at: int) -> None:
        device = self.devices[at]
        device.close()
        self.images[at] = self.folder / f"image-{at}", device.identity
        shutil.copy(device.path, self.images[at][0])
        device.open()

    @precondition(lambda self: bool(self.images))
    @rule(which=ANY)
    def image_is_put_back(self, which: int) -> None:
        self.put_image_back(_one_of(sorted(self.images), which))

    @rule(at=MACHINES, lane=LANES, trouble=TROUBLES, where=BITS)
    def two_histories(self, at: int, lane: Lane, trouble: str, where: int) -> None:
        """Image, claim, delivery, image put back, another claim."""
        self.image_is_taken(at)
        self.claim(at, lane, 200)
        self.round(at, trouble, where)
        self.put_image_back(at)
        self.claim(at, lane, 200)
        self.round(at, "good")

    @rule()
    def backup_is_made(self) -> None:
        self.back_up()

    @rule()
    def backup_is_put_back(self) -> None:
        self.put_backup_back()

    @rule()
    def places_are_given_up(self) -> None:
        """Two people say so of whatever head office lets them."""
        self.offices.give_up()
        self.look()

    @rule(at=MACHINES, lane=LANES, purged=st.booleans(), trouble=TROUBLES, where=BITS)
    def office_goes_back(self, at: int, lane: Lane, purged: bool, trouble: str, where: int) -> None:
        """A backup, two claims delivered, perhaps purged, and one that waits; the backup put back; hasty people."""
        self.back_up()
        for _ in range(2):
            self.claim(at, lane, 200)
            self.round(at, "good")
        if purged:
            self.purge(at)
        self.claim(at, lane, 200)
        self.put_backup_back()
        self.round(at, trouble, where)
        self.places_are_given_up()

    # Sticks.

    @rule(at=MACHINES)
    def stick_is_filled(self, at: int) -> None:
        self.fill_stick(at)

    @precondition(lambda self: bool(self.on_sticks))
    @rule(which=ANY, cluster=ANY, damaged=st.booleans(), where=BITS)
    def stick_comes_to_office(self, which: int, cluster: int, damaged: bool, where: int) -> None:
        """Any stick, as often as people carry it, to any office; some lay in the sun."""
        self.broken()
        body = _one_of(self.on_sticks, which)
        office = _one_of(sorted(self.offices.open), cluster)
        self.stick_arrives(spoilt(body, where) if damaged else body, office, damaged=damaged)

    @precondition(lambda self: bool(self.receipts_on_sticks))
    @rule(which=ANY)
    def stick_comes_back(self, which: int) -> None:
        at, receipt = _one_of(self.receipts_on_sticks, which)
        # A disk put back does not know the exports made after its image.
        with suppress(StickUnanswerableError):
            self.devices[at].bring(receipt)
        self.look()

    @rule(at=MACHINES)
    def stick_from_before_new_keys(self, at: int) -> None:
        """It is still on its way when head office has seen the device with its new keys; then it arrives."""
        self.broken()
        self.claim(at, Lane.CORE, 200)
        before = self.fill_stick(at)
        self.keys_are_renewed(at, kept=True)
        self.claim(at, Lane.DOCUMENTS, 200)
        # By stick as well, so that what the first one carries is not there before it.
        self.stick_arrives(self.fill_stick(at, but=Lane.CORE))
        self.stick_arrives(before)
        if self.receipts_on_sticks:
            self.stick_comes_back(len(self.receipts_on_sticks) - 1)


def _one_of(several: Sequence[T], which: int) -> T:
    return several[which % len(several)]
