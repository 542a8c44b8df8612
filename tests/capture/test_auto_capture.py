"""From a scanner to one picture of one touch, and what the member is told on the way."""

import threading
from collections.abc import Callable, Mapping

import numpy as np
import pytest
from numpy.typing import NDArray

from drivers.errors import DeviceError, DeviceRemovedError
from drivers.scanner.base import FingerImage, PlaceAgain, Prompt
from drivers.scanner.errors import PictureRepeatedError
from matcher import assess_quality
from matcher.quality import Quality
from mpos_agent.capture.auto_capture import AutoCapture
from mpos_agent.capture.guidance import Guidance
from mpos_agent.capture.memory import PictureMemory
from mpos_agent.capture.touch import LONGEST_S
from tests.capture.glass import BARE, Clock, ScriptedScanner, noisy

Touches = Mapping[str, NDArray[np.uint8]]
Shown = NDArray[np.uint8] | PlaceAgain | DeviceError


class Bench:
    """One scanner station of one agent: what is remembered of pictures lasts from one attempt to the next."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.timers: list[Callable[[], None]] = []
        self.told: list[Guidance] = []
        self.stop = threading.Event()
        self.scanner = ScriptedScanner([], self.clock, streams=False)
        self.memory = PictureMemory(self._schedule)
        self.auto = AutoCapture(self._judge, self.memory, self.clock)
        self.judged = 0

    def take(self, *shows: Shown, streams: bool = False, timeout_s: float = 30.0) -> FingerImage | PlaceAgain:
        """One attempt while the glass shows this."""
        self.scanner = ScriptedScanner(shows, self.clock, streams=streams)
        self.told.clear()
        return self.auto.take(self.scanner, timeout_s, self.stop, self.told.append)

    def _schedule(self, _seconds: float, act: Callable[[], None]) -> Callable[[], None]:
        self.timers.append(act)
        return lambda: self.timers.remove(act)

    def _judge(self, image: FingerImage) -> Quality:
        self.judged += 1
        return assess_quality(image.pixels, 500)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def shows(picture: object, pixels: NDArray[np.uint8]) -> bool:
    """Whether this is the picture of that sight. A plain truth: no test prints a fingerprint when it fails."""
    return isinstance(picture, FingerImage) and bool(np.abs(picture.pixels.astype(int) - pixels.astype(int)).mean() < 6)


# --- a scanner that gives one picture a touch ---


def test_one_touch_gives_one_picture(bench: Bench, touches: Touches) -> None:
    """The member is told to place the finger, and its picture is what the claim gets."""
    assert shows(bench.take(touches["good"]), touches["good"])
    assert bench.told == [Guidance.PLACE_FINGER]


def test_what_the_driver_says_reaches_the_claim(bench: Bench) -> None:
    """Nobody came, too short, empty, not lifted: said as the scanner said it."""
    for said in (PlaceAgain.NO_FINGER, PlaceAgain.TOO_SHORT, PlaceAgain.EMPTY, PlaceAgain.LIFT_FIRST):
        assert bench.take(said) is said


def test_grease_of_the_last_finger_is_no_finger(bench: Bench, touches: Touches) -> None:
    """The scanner sees what the member before left on the glass: it is asked to be cleaned, and no attempt is used."""
    bench.take(touches["good"])
    picture = bench.take(touches["grease"], touches["again"])
    assert shows(picture, touches["again"])
    assert bench.told == [Guidance.PLACE_FINGER, Guidance.CLEAN_GLASS]
    assert bench.scanner.left(but=picture) == 0


def test_grease_is_turned_away_as_often_as_it_is_seen(bench: Bench, touches: Touches) -> None:
    """Where the last finger lay is known: the scanner may trigger on it again and again, and gets nothing for it."""
    bench.take(touches["good"])
    grease = [noisy(touches["grease"], seed) for seed in range(3)]
    assert shows(bench.take(*grease, touches["again"]), touches["again"])


def test_grease_that_looks_like_a_pale_finger_is_known_by_its_place(bench: Bench, touches: Touches) -> None:
    """Two fifths of the finger's own depth: its looks alone would pass, the ridges lie where they lay before."""
    bench.take(touches["good"])
    strong = (255 - 0.4 * (255 - touches["good"].astype(float))).astype(np.uint8)
    assert bench.take(strong) is PlaceAgain.LEFTOVER
    assert bench.told[-1] is Guidance.CLEAN_GLASS


def test_grease_as_strong_as_a_finger_is_no_finger(bench: Bench, touches: Touches) -> None:
    """Breath or light can make what was left as dark as the finger was. It still lies where the finger lay."""
    bench.take(touches["good"])
    assert bench.take(noisy(touches["good"], 1)) is PlaceAgain.LIFT_FIRST
    assert bench.told[-1] is Guidance.LIFT_FINGER
    assert bench.scanner.left() == 0


def test_only_grease_until_the_time_is_over(bench: Bench, touches: Touches) -> None:
    """The operator hears that the glass is dirty, not that nobody placed a finger."""
    bench.take(touches["good"])
    assert bench.take(touches["grease"]) is PlaceAgain.LEFTOVER
    assert bench.take(touches["grease"], PlaceAgain.LIFT_FIRST) is PlaceAgain.LEFTOVER


def test_grease_of_before_the_start_is_known_by_its_looks(bench: Bench, touches: Touches) -> None:
    """The very first sight after the start is pale patches of ridges: it is turned away, once."""
    assert shows(bench.take(touches["grease"], touches["good"]), touches["good"])
    assert bench.told == [Guidance.PLACE_FINGER, Guidance.CLEAN_GLASS]


def test_a_finger_that_is_pale_by_nature_is_taken_the_second_time(bench: Bench, touches: Touches) -> None:
    """Somebody's ridges may be as pale as grease: then quality says so, and the claim counts a poor picture."""
    assert shows(bench.take(touches["grease"], touches["other_grease"]), touches["other_grease"])


def test_a_scanner_that_triggers_on_grease_for_ever_ends_with_the_time(bench: Bench, touches: Touches) -> None:
    """It gives a picture at once, whatever time it is given: the operator waits no longer than the attempt lasts."""
    bench.take(touches["good"])
    grease = [noisy(touches["grease"], seed) for seed in range(12)]
    assert bench.take(*grease, timeout_s=3.0) is PlaceAgain.LEFTOVER
    assert len(bench.scanner.given) == 3, "a second each"


def test_stopping_ends_an_attempt_on_a_scanner_that_triggers_for_ever(bench: Bench, touches: Touches) -> None:
    """The operator cancels while the glass is being cleaned: no further picture is asked for."""
    bench.take(touches["good"])
    grease = [noisy(touches["grease"], seed) for seed in range(12)]

    def tell(guidance: Guidance) -> None:
        if guidance is Guidance.CLEAN_GLASS:
            bench.stop.set()

    scanner = ScriptedScanner(grease, bench.clock, streams=False)
    assert bench.auto.take(scanner, 30.0, bench.stop, tell) is PlaceAgain.NO_FINGER
    assert len(scanner.given) == 1
    assert scanner.left() == 0


def test_the_same_finger_placed_again_is_a_new_touch(bench: Bench, touches: Touches) -> None:
    """Attempt after attempt with one finger: no placement is taken for what was left of the one before."""
    for name in ("good", "again", "third"):
        assert shows(bench.take(touches[name]), touches[name])


def test_a_picture_is_used_once(bench: Bench, touches: Touches) -> None:
    """The very bytes of an earlier attempt, of this claim or another, are no live finger."""
    bench.take(touches["good"])
    bench.take(touches["again"])
    picture = bench.take(touches["good"], touches["third"])
    assert shows(picture, touches["third"])
    assert bench.told == [Guidance.PLACE_FINGER, Guidance.LIFT_FINGER]
    assert bench.scanner.left(but=picture) == 0


def test_a_scanner_that_has_only_old_pictures_is_named(bench: Bench, touches: Touches) -> None:
    """A stuck scanner, or one that somebody replaced by a recording, is a fault of the device."""
    bench.take(touches["good"])
    bench.take(touches["again"])
    with pytest.raises(PictureRepeatedError):
        bench.take(touches["good"], touches["again"], touches["good"], touches["third"])
    assert bench.scanner.left() == 0


def test_a_test_picture_is_no_claims_picture(bench: Bench, touches: Touches) -> None:
    """What a technician took for a test cannot come back as somebody's finger."""
    bench.auto.hand_out(FingerImage(touches["good"].copy(), 500.0, "test"))
    assert bench.take(touches["good"]) is PlaceAgain.LIFT_FIRST


class TellingScanner(ScriptedScanner):
    """A scanner that knows what it waits for."""

    def capture(self, timeout_s: float, stop: threading.Event | None = None) -> FingerImage | PlaceAgain:
        for waited_for in (Prompt.LIFT, Prompt.PLACE, Prompt.HOLD):
            assert self.prompt is not None
            self.prompt(waited_for)
        return super().capture(timeout_s, stop)


def test_what_the_scanner_waits_for_is_told(bench: Bench, touches: Touches) -> None:
    """Lift, place, hold: the member hears it as the device begins to wait for it; afterwards nobody listens."""
    scanner, told = TellingScanner([touches["good"]], bench.clock, streams=False), list[Guidance]()
    assert shows(bench.auto.take(scanner, 30.0, bench.stop, told.append), touches["good"])
    assert told == [Guidance.PLACE_FINGER, Guidance.LIFT_FINGER, Guidance.PLACE_FINGER, Guidance.HOLD]
    assert scanner.prompt is None


# --- a scanner that streams ---


def test_a_good_finger_is_taken_as_soon_as_it_has_settled(bench: Bench, touches: Touches) -> None:
    """Two good frames are enough: nobody is kept on the glass for three seconds."""
    frames = [noisy(touches["good"], seed) for seed in range(10)]
    picture = bench.take(BARE, BARE, *frames, streams=True)
    assert shows(picture, touches["good"])
    assert len(bench.scanner.given) == 4
    assert bench.told == [Guidance.PLACE_FINGER]
    assert bench.scanner.left(but=picture) == 0


def test_the_member_is_guided_until_it_is_good(bench: Bench, touches: Touches) -> None:
    """Too small, then dry, then good: each word comes when it has lasted, and the good picture is taken."""
    script = [BARE] * 3
    for number, name in enumerate(("small", "dry", "good")):
        script += [noisy(touches[name], 10 * number + seed) for seed in range(4)]
    picture = bench.take(*script, streams=True)
    assert shows(picture, touches["good"])
    assert bench.told == [Guidance.PLACE_FINGER, Guidance.LAY_FLAT, Guidance.TOO_DRY]
    assert bench.scanner.left(but=picture) == 0


def test_the_best_frame_of_a_touch_is_its_picture(bench: Bench, touches: Touches) -> None:
    """A finger that was good for a moment, slid away and was lifted gives the good moment."""
    small, good = touches["small"], touches["good"]
    picture = bench.take(noisy(small, 1), noisy(small, 2), noisy(good, 3), noisy(small, 4), BARE, streams=True)
    assert shows(picture, good)
    assert bench.scanner.left(but=picture) == 0


def test_a_finger_that_stays_poor_is_taken_in_time(bench: Bench, touches: Touches) -> None:
    """After three seconds the best there is goes to the claim, which counts it as poor: one touch, one attempt."""
    script = [noisy(touches["wet"], seed) for seed in range(60)]
    picture = bench.take(*script, streams=True)
    assert shows(picture, touches["wet"])
    assert bench.clock.now == pytest.approx(LONGEST_S, abs=0.3)
    assert bench.told == [Guidance.TOO_WET]


def test_pressing_too_hard_is_not_called_wet(bench: Bench, touches: Touches) -> None:
    """A finger whose first frames were not wet is pressed too hard when its valleys run full."""
    script = [noisy(touches["small"], seed) for seed in range(3)] + [noisy(touches["wet"], seed) for seed in range(6)]
    bench.take(*script, BARE, streams=True)
    assert bench.told[-1] is Guidance.PRESS_SOFTER


def test_something_else_on_the_glass_is_no_touch(bench: Bench, touches: Touches) -> None:
    """A sleeve or a palm is answered with where the finger belongs, and is no attempt."""
    assert bench.take(*[noisy(touches["cloth"], seed) for seed in range(6)], streams=True) is PlaceAgain.NO_FINGER
    assert bench.told == [Guidance.WRONG_POSITION]


def test_a_finger_that_was_not_lifted_is_not_taken_again(bench: Bench, touches: Touches) -> None:
    """The second attempt begins with the first one's finger still there: lift it, then place it anew."""
    stays = [noisy(touches["good"], seed) for seed in range(20)]
    bench.take(*stays[:4], streams=True)
    assert bench.take(*stays[4:10], streams=True) is PlaceAgain.LIFT_FIRST
    assert bench.told == [Guidance.LIFT_FINGER]
    moved = np.roll(touches["good"], 9, axis=1)
    anew = [noisy(touches["again"], seed) for seed in range(4)]
    picture = bench.take(noisy(moved, 1), noisy(moved, 2), *[BARE] * 4, *anew, streams=True)
    assert shows(picture, touches["again"])
    assert bench.told == [Guidance.LIFT_FINGER, Guidance.PLACE_FINGER]


def test_grease_on_a_watched_glass(bench: Bench, touches: Touches) -> None:
    """After lifting, the print stays on the glass: it is neither the next touch nor an empty glass."""
    bench.take(*[noisy(touches["good"], seed) for seed in range(3)], streams=True)
    grease = [noisy(touches["grease"], seed) for seed in range(6)]
    assert bench.take(*grease, streams=True) is PlaceAgain.LEFTOVER
    assert bench.told == [Guidance.CLEAN_GLASS]


def test_a_brush_of_the_glass_is_too_short(bench: Bench, touches: Touches) -> None:
    """One frame of a finger and then none: hold it longer."""
    assert bench.take(BARE, touches["good"], BARE, BARE, streams=True) is PlaceAgain.TOO_SHORT
    assert bench.scanner.left() == 0


def test_the_time_runs_out_with_a_finger_on_the_glass(bench: Bench, touches: Touches) -> None:
    """What there is of it is the picture: the member did what was asked."""
    script = [BARE] * 9 + [noisy(touches["dry"], seed) for seed in range(30)]
    picture = bench.take(*script, streams=True, timeout_s=1.0)
    assert shows(picture, touches["dry"])


def test_an_empty_glass_until_the_time_is_over(bench: Bench) -> None:
    """Nobody came."""
    assert bench.take(*[BARE] * 50, streams=True, timeout_s=2.0) is PlaceAgain.NO_FINGER
    assert bench.judged == 0, "an empty glass costs no judgement"


def test_stopping_takes_no_picture(bench: Bench, touches: Touches) -> None:
    """A claim that was cancelled while the finger lies there gets nothing, and nothing stays."""
    bench.told = StopAt(bench.stop)
    assert bench.take(*[noisy(touches["dry"], seed) for seed in range(30)], streams=True) is PlaceAgain.NO_FINGER
    assert bench.scanner.left() == 0


class StopAt(list[Guidance]):
    """Presses the stop button at the first word."""

    def __init__(self, stop: threading.Event) -> None:
        super().__init__()
        self._stop = stop

    def append(self, guidance: Guidance) -> None:
        super().append(guidance)
        self._stop.set()


def test_a_scanner_pulled_out_in_the_middle_of_a_touch(bench: Bench, touches: Touches) -> None:
    """The cause is told, and the frames of the touch are gone."""
    gone = DeviceRemovedError("scripted", "watch")
    with pytest.raises(DeviceRemovedError):
        bench.take(*[noisy(touches["dry"], seed) for seed in range(3)], gone, streams=True)
    assert bench.scanner.left() == 0


# --- what is remembered ---


def test_where_the_last_finger_lay_is_forgotten_in_time(bench: Bench, touches: Touches) -> None:
    """After five minutes nothing biometric is left of it; that its very picture was used is still known."""
    bench.take(touches["good"])
    relief = bench.memory._last
    assert relief is not None
    bench.timers[0]()
    assert bench.memory._last is None
    assert not relief.levels.any()
    assert not relief.ridged.any()
    assert bench.take(touches["good"]) is PlaceAgain.LIFT_FIRST
    assert shows(bench.take(noisy(touches["good"], 1)), touches["good"])


def test_the_next_picture_takes_the_place_of_the_last(bench: Bench, touches: Touches) -> None:
    """One finger's place is remembered at a time, with one timer."""
    bench.take(touches["good"])
    relief = bench.memory._last
    bench.take(touches["again"])
    assert relief is not None
    assert not relief.levels.any()
    assert len(bench.timers) == 1
    bench.auto.forget()
    assert bench.memory._last is None
    assert bench.timers == []


def test_a_timer_that_goes_off_late_takes_only_its_own(bench: Bench, touches: Touches) -> None:
    """The five minutes of one picture end in the moment the next one is taken: the newer stays remembered."""
    bench.take(touches["good"])
    late = bench.timers[0]
    bench.take(touches["again"])
    late()
    assert bench.take(touches["again"]) is PlaceAgain.LIFT_FIRST
    assert bench.memory._last is not None
