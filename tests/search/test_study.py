"""The numbers of plans in a database."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from effdl.search.choices import Choice
from effdl.search.plan import Plan
from effdl.search.record import Asked, open_study
from effdl.search.study import Study, without_password
from effdl.utils.errors import RunError, UserError

PLANS = [Plan(filters=n / 100, layers={"0": Choice(0.5, 4)}, predicted={"size_bytes": 10.0 * n}) for n in range(12)]


def test_plans_are_numbered_in_the_order_in_which_they_are_asked_for(tmp_path):
    study = Study(f"sqlite:///{tmp_path / 'study.db'}", "one")
    assert [study.number_of(plan, 3) for plan in (PLANS[5], PLANS[2], PLANS[5], PLANS[9])] == [1, 2, 1, 3]
    assert study.number_of(PLANS[0], 3) is None
    assert study.number_of(PLANS[2], 3) == 2
    assert Study(f"sqlite:///{tmp_path / 'study.db'}", "one").plans() == {1: PLANS[5], 2: PLANS[2], 3: PLANS[9]}
    assert Study(f"sqlite:///{tmp_path / 'study.db'}", "another").plans() == {}


def test_what_was_predicted_makes_no_other_plan():
    study = Study("sqlite://", "one")
    again = Plan(PLANS[3].filters, PLANS[3].layers, {"size_bytes": 1.0})
    assert study.number_of(PLANS[3], 9) == study.number_of(again, 9) == 1
    assert study.number_of(Plan(PLANS[3].filters, {"0": Choice(0.5, 3)}), 9) == 2


def test_processes_agree_on_the_numbers(tmp_path):
    def ask(process):
        study = Study(f"sqlite:///{tmp_path / 'study.db'}", "one")
        order = PLANS[process:] + PLANS[:process]
        return {plan.digest: study.number_of(plan, len(PLANS)) for plan in order}

    Study(f"sqlite:///{tmp_path / 'study.db'}", "one")
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(ask, range(4)))
    assert all(answer == answers[0] for answer in answers)
    assert sorted(answers[0].values()) == list(range(1, 13))


def test_a_database_that_is_gone(tmp_path):
    study = Study(f"sqlite:///{tmp_path / 'study.db'}", "one")
    (tmp_path / "study.db").write_bytes(b"no database" * 100)
    with pytest.raises(RunError, match=r"study\.db: .*not a database"):
        study.plans()


def test_a_password_is_not_kept_and_must_be_given_again(tmp_path):
    address = "postgresql://me:secret@host/db"
    assert without_password(address) == "postgresql://me:***@host/db"
    asked = Asked(words=[], dense=None, config_dir=None, study="one", storage=without_password(address))
    with pytest.raises(UserError, match="with its password, which is not kept"):
        open_study(tmp_path, asked, None)
    with pytest.raises(UserError, match=r"storage=postgresql://me:\*\*\*@host/other: this search began with"):
        open_study(tmp_path, asked, "postgresql://me:secret@host/other")


def test_a_driver_that_is_missing_is_named(tmp_path):
    with pytest.raises(UserError, match=r"storage=nothing://me:\*\*\*@host: .*nothing"):
        Study("nothing://me:secret@host", "one")
