"""`serinus rollout ...` on a server in memory."""

import json

import pytest
import yaml

from serinus.cli.rollout.documents import exposed_by
from serinus.core.errors import Refused
from serinus_api.v1 import admin_pb2 as pb
from tests.support.rollout_messages import at, ended, rollout


def test_a_rollout_starts_with_the_default_plan(tell, rollouts):
    """The server is told what it stands for as well."""
    out = tell("rollout", "start", "magika", "1.1.0", "--actor", "ann")
    assert (out.code, out.err) == (0, "")
    assert out.out.splitlines() == [
        "rollout r-new has started: magika 1.0.0 → 1.1.0",
        "▶ shadow 10 % → canary 100 %",
        "'serinus rollout watch r-new' shows how it goes",
    ]
    (request,) = rollouts.asked_for(pb.StartRolloutRequest)
    spec = yaml.safe_load(request.spec_yaml)
    assert (spec["model"], spec["candidate"], request.actor) == ("magika", "1.1.0", "ann")
    assert not request.HasField("expected_revision")


def test_arguments_count_more_than_the_plans_file(tell, rollouts, tmp_path):
    """So that one plan serves many models."""
    plan = tmp_path / "plan.yaml"
    plan.write_text("model: other\nstages:\n- canary: {weight: 20}\n- canary: {weight: 100}\n")
    out = tell(*("rollout", "start", "magika", "canary", "-f", plan, "--force", "--expected-revision", 0, "--json"))
    assert (out.code, json.loads(out.out)["id"]) == (0, "r-new")
    (request,) = rollouts.asked_for(pb.StartRolloutRequest)
    spec = yaml.safe_load(request.spec_yaml)
    assert (spec["model"], spec["candidate"], spec["force"]) == ("magika", "canary", True)
    assert [stage["canary"]["weight"] for stage in spec["stages"]] == [20, 100]
    assert request.expected_revision == 0


def test_a_dry_run_shows_the_whole_plan_and_asks_nobody(tell, rollouts, tmp_path):
    """What it prints is a plan again."""
    out = tell("rollout", "start", "magika", "1.1.0", "--dry-run")
    plan = tmp_path / "plan.yaml"
    plan.write_text(out.out)
    again = tell("rollout", "start", "-f", plan, "--dry-run")
    assert (out.code, again) == (0, out)
    spec = yaml.safe_load(out.out)
    assert [next(iter(stage)) for stage in spec["stages"]] == ["shadow", "canary", "canary", "canary", "canary"]
    assert spec["guardrails"]["alpha"] == 0.01
    assert json.loads(tell("rollout", "start", "magika", "1.1.0", "--dry-run", "--json").out) == spec
    assert rollouts.asked == []


def test_a_plan_that_cannot_be_meant_is_told_field_by_field(tell, rollouts, tmp_path):
    """Before any server is asked."""
    plan = tmp_path / "plan.yaml"
    plan.write_text("model: m\ncandidate: 1.1.0\nstages:\n- canary: {weight: 500}\nguardrails: {alpa: 1}\n")
    out = tell("rollout", "start", "-f", plan)
    assert (out.code, out.out, rollouts.asked) == (2, "", [])
    assert [line.split(": ")[2] for line in out.err.splitlines()] == ["stages[0].canary.weight", "guardrails.alpa"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "expected MODEL and CANDIDATE, or a plan with --file"),
        (
            ("m", "1.1.0", "-f", "/nowhere/plan.yaml"),
            "--file: cannot read '/nowhere/plan.yaml': No such file or directory",
        ),
    ],
)
def test_a_start_without_a_plan_is_a_usage_error(tell, arguments, sentence):
    """Exit code 2."""
    assert tell("rollout", "start", *arguments) == (2, "", f"error: {sentence}\n")


def test_the_status_of_a_model_is_that_of_its_newest_rollout(tell, rollouts):
    """As the picture has it, and what a writer needs to name."""
    rollouts.add(ended(id="r-0"), rollout())
    out = tell("rollout", "status", "magika")
    lines = out.out.splitlines()
    assert (out.code, out.err) == (0, "")
    assert lines[0].startswith("magika 1.0.0 → 1.1.0  RUNNING  for ")
    assert lines[-1] == "revision 7, started 2023-11-14T22:13:20Z by ann@here"
    assert json.loads(tell("rollout", "status", "r-0", "--json").out)["status"] == "succeeded"


def test_the_status_of_all_is_that_of_those_under_way(tell, rollouts):
    """With their numbers; none is no failure."""
    assert tell("rollout", "status").out.startswith("no rollout is under way at ")
    rollouts.add(ended(id="r-0"), rollout(), rollout(id="r-2", model="other"))
    assert [each["id"] for each in json.loads(tell("rollout", "status", "--json").out)] == ["r-2", "r-1"]
    assert tell("rollout", "status").out.count("RUNNING") == 2


def test_a_rollout_in_json_has_every_number(tell, rollouts):
    """Absent ones are null."""
    rollouts.add(rollout(pairs=pb.PairStatus(pairs=9, disagreements=1)))
    found = json.loads(tell("rollout", "status", "r-1", "--json").out)
    assert found["arms"][1] == {
        "version": "1.1.0", "weight_percent": 5.0, "exposures": 412, "errors": 23, "slow": 4, "invalid": 1,
        "total_exposures": 415, "calls_per_s": 2.5, "p50_s": 0.0011, "p99_s": 0.025, "metrics": {},
    }  # fmt: skip
    assert found["verdict"]["checks"][0] == {
        "name": "errors", "version": "1.1.0", "outcome": "inconclusive", "e_value": 41.2, "limit": 250.0,
        "candidate": 0.0558, "baseline": 0.001, "bound": 3.2, "bound_limit": 1.5, "count": 412,
        "sentence": "errors: 23 of 412 calls against 8 of 7,830",
    }  # fmt: skip
    assert found["pairs"] == {"pairs": 9, "disagreements": 1, "errors": 0, "dropped": 0}
    assert (found["ended_at"], found["stage_began_at"]) == (None, "2023-11-14T22:14:05Z")


def test_nobody_is_called_that(tell):
    """Neither a rollout nor a model."""
    sentence = "no rollout, and no model that has one, is called 'nobody': 'serinus rollout list' shows them all"
    assert tell("rollout", "status", "nobody") == (1, "", f"error: {sentence}\n")


def test_rollouts_are_listed_newest_first(tell, rollouts):
    """Of one model, those that run, or all."""
    rollouts.add(ended(pb.ROLLOUT_STATUS_ROLLED_BACK, id="r-0", reason="too many errors"), rollout(model="other"))
    lines = [line.split() for line in tell("rollout", "list").out.splitlines()]
    assert lines == [
        ["ID", "MODEL", "FROM", "TO", "STATUS", "STAGE", "STARTED", "BY", "REASON"],
        ["r-1", "other", "1.0.0", "1.1.0", "running", "canary", "5", "%", "2023-11-14T22:13:20Z", "ann@here"],
        [
            *("r-0", "magika", "1.0.0", "1.1.0", "rolled_back", "2023-11-14T22:13:20Z", "ann@here"),
            "too",
            "many",
            "errors",
        ],
    ]
    assert [each["id"] for each in json.loads(tell("rollout", "list", "--active", "--json").out)] == ["r-1"]
    assert [each["id"] for each in json.loads(tell("rollout", "list", "--model", "magika", "--json").out)] == ["r-0"]
    assert tell("rollout", "list", "--model", "m").out.startswith("no such rollouts: ")


CHANGES = {
    ("pause",): (pb.PauseRolloutRequest(), "paused"),
    ("resume",): (pb.ResumeRolloutRequest(), "running"),
    ("promote",): (pb.PromoteRolloutRequest(), "running"),
    ("promote", "--force", "--version", "1.1.0"): (pb.PromoteRolloutRequest(force=True, version="1.1.0"), "running"),
    ("abort", "--reason", "no"): (pb.AbortRolloutRequest(reason="no"), "aborted"),
}


@pytest.mark.parametrize("command", CHANGES)
@pytest.mark.parametrize("which", ["r-1", "magika"])
def test_a_person_moves_a_rollout(tell, rollouts, command, which):
    """By its id, or by the model that has no other."""
    expected, status = CHANGES[command]
    rollouts.add(rollout())
    out = tell("rollout", command[0], which, *command[1:], "--actor", "bob", "--expected-revision", 7)
    assert (out.code, out.err) == (0, "")
    assert out.out.splitlines() == [f"magika 1.0.0 → 1.1.0 {status}", "rollout r-1 is at revision 8"]
    expected.id, expected.actor, expected.expected_revision = "r-1", "bob", 7
    assert rollouts.asked_for(type(expected)) == [expected]


def test_the_later_of_two_operators_is_told(tell, rollouts):
    """Both have seen revision 7."""
    rollouts.add(rollout())
    assert tell("rollout", "pause", "r-1", "--expected-revision", 7).code == 0
    loser = tell("rollout", "promote", "r-1", "--expected-revision", 7)
    assert (loser.code, loser.out) == (1, "")
    assert loser.err.startswith("error: rollout 'r-1' is at revision 8, expected 7 (")


def test_a_model_without_an_active_rollout_has_nothing_to_move(tell, rollouts):
    """The last one is named, and no older one is touched."""
    rollouts.add(ended())
    assert tell("rollout", "abort", "magika") == (
        1, "", "error: model 'magika' has no active rollout: its last one, r-1, ended succeeded\n"
    )  # fmt: skip
    assert rollouts.asked_for(pb.AbortRolloutRequest) == []


def test_a_refusal_is_the_servers_sentence(tell, rollouts):
    """With its word."""
    rollouts.add(rollout())
    rollouts.faults["PromoteRollout"] = Refused("the judge does not say pass: use force", reason="NOT_PASSED")
    assert tell("rollout", "promote", "r-1") == (1, "", "error: the judge does not say pass: use force (NOT_PASSED)\n")


NUMBERS = '{"arms": [{"total_exposures": 12000}, {"total_exposures": 415}]}'
EVENTS = [
    pb.RolloutEvent(number=1, at=at(0), actor="ann@here", event="started", status=pb.ROLLOUT_STATUS_PREPARING,
                    reason="", numbers_json=""),
    pb.RolloutEvent(number=2, at=at(300), actor="server", event="failing", status=pb.ROLLOUT_STATUS_FAILING,
                    reason="errors: 23 of 412", numbers_json=NUMBERS),
]  # fmt: skip


def test_the_history_is_the_journal(tell, rollouts):
    """Who, when, what and why; numbers for programs."""
    rollouts.add(rollout())
    rollouts.journal["r-1"] = EVENTS
    lines = [line.split() for line in tell("rollout", "history", "magika").out.splitlines()]
    assert lines == [
        ["AT", "EVENT", "STATUS", "EXPOSED", "ACTOR", "REASON"],
        ["1", "2023-11-14T22:13:20Z", "started", "preparing", "-", "ann@here"],
        ["2", "2023-11-14T22:18:20Z", "failing", "failing", "415", "server", "errors:", "23", "of", "412"],
    ]
    found = json.loads(tell("rollout", "history", "r-1", "--json").out)
    assert [event["numbers"] for event in found] == [{}, json.loads(NUMBERS)]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"arms": 1}', '{"arms": [1, 2]}', '{"arms": []}', "[" * 100_000])
def test_evidence_that_cannot_be_read_is_left_out(text):
    """A server of another version may have written it."""
    assert exposed_by(pb.RolloutEvent(numbers_json=text)) is None


def test_the_explanation_has_the_whole_evidence(tell, rollouts):
    """What happened, who was exposed, what the judge rests on."""
    rollouts.add(ended(pb.ROLLOUT_STATUS_ROLLED_BACK, reason="errors: 23 of 412"))
    rollouts.journal["r-1"] = EVENTS
    out = tell("rollout", "explain", "r-1")
    assert (out.code, out.err) == (0, "")
    lines = [line.rstrip() for line in out.out.splitlines()]
    assert lines[:4] == [
        "magika 1.0.0 → 1.1.0  ROLLED BACK  after 5 min  rollout r-1",
        "errors: 23 of 412",
        "✓ shadow 10 % → ✗ canary 5 % → canary 10 % → canary 50 % → canary 100 %",
        "started 2023-11-14T22:13:20Z by ann@here",
    ]
    exposure = lines.index("Who was exposed")
    assert [line.split() for line in lines[exposure + 2 : exposure + 4]] == [
        ["1.0.0", "12,000", "96.66", "%", "baseline"],
        ["1.1.0", "415", "3.34", "%", "candidate"],
    ]
    judge = lines.index("What the judge says")
    assert lines[judge + 1] == "INCONCLUSIVE"
    assert lines[-2:] == [
        "errors: 23 of 412 calls against 8 of 7,830",
        "latency: 23 of 412 calls against 8 of 7,830",
    ]
    found = json.loads(tell("rollout", "explain", "r-1", "--json").out)
    assert (found["exposed"], len(found["journal"]), found["rollout"]["status"]) == (415, 2, "rolled_back")


def test_a_report_is_counted_once(tell, rollouts):
    """The second time with the same id is not a failure."""
    given = ("rollout", "report", "magika", "1.1.0", "clicks", "--report-id", "a", "0.5", "1")
    assert tell(*given) == (0, "magika@1.1.0: counted 2 of clicks\n", "")
    assert tell(*given) == (0, "magika@1.1.0: this report was counted before\n", "")
    assert json.loads(tell(*given, "--json").out)["counted"] is False
    first = rollouts.asked_for(pb.ReportMetricRequest)[0]
    assert first == pb.ReportMetricRequest(
        model="magika", version="1.1.0", metric="clicks", values=[0.5, 1.0], report_id="a"
    )


def test_a_negative_value_stands_behind_two_dashes(serinus, rollouts):
    """As shells have it everywhere."""
    out = serinus("rollout", "report", "--server", rollouts.target, "magika", "1.1.0", "gain", "--", "-0.5")
    assert (out.code, rollouts.asked_for(pb.ReportMetricRequest)[0].values) == (0, [-0.5])


def test_a_server_that_is_not_there_is_exit_code_3(serinus, closed_port):
    """For every command that asks one."""
    for command in (["status", "m"], ["list"], ["watch", "m"], ["start", "m", "1.1.0"], ["abort", "m"]):
        out = serinus("rollout", *command, "--server", closed_port)
        assert (out.code, out.out) == (3, "")
