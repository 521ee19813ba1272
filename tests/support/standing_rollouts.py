"""A rollout at each place where one can stand."""

from serinus.rollout.machine.machine import advance
from serinus.rollout.rollout import Abort, Followed, Judged, Pause, Status
from tests.support.rollouts import FAIL, INCONCLUSIVE, PASS, TEST, begun, prepared_at

SHADOW = {"shadow": {"percent": 10, "min_s": 30, "max_s": 300}}
FIVE = {"canary": {"weight": 5, "min_s": 60, "max_s": 600}}
WHOLE = {"canary": {"weight": 100, "min_s": 60, "max_s": 600}}
ASK = {"approval": {"note": "look at the costs", "max_s": 600}}
SWITCH = {"blue_green": {"keep_s": 60, "max_s": 600}}
BEST = {"ab": {**TEST["ab"], "max_s": 600, "winner": "best"}}
TALK = {"ab": {**TEST["ab"], "max_s": 600}}

PREPARING = begun(FIVE, WHOLE)
CANARY = prepared_at(10, FIVE, WHOLE)
LAST = prepared_at(10, WHOLE)
SWITCHED = prepared_at(10, SWITCH)
ASKING = prepared_at(10, ASK, WHOLE)
TESTING = prepared_at(10, BEST)
TALKING = prepared_at(10, TALK)
PAUSED = advance(CANARY, Pause(20, "bob"))
HELD = advance(CANARY, Judged(700, INCONCLUSIVE))
OVER = advance(TALKING, Judged(700, PASS))
FAILING = advance(CANARY, Judged(20, FAIL))
ENDED = {
    Status.SUCCEEDED: advance(LAST, Judged(100, PASS)),
    Status.ROLLED_BACK: advance(FAILING, Followed(21)),
    Status.ABORTED: advance(CANARY, Abort(20, "bob")),
}
