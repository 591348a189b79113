"""The runs of a search: one for each plan, whichever process it was that trained it."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from effdl.config.overrides import quote, value_of, without
from effdl.measure.metrics import COSTS
from effdl.runs.folder import RunFolder
from effdl.runs.verify import verify
from effdl.search.goal import METHODS, Goal
from effdl.search.plan import Plan
from effdl.search.study import Study
from effdl.search.trial import Trial, best_of, cost_of, front_of, row_of
from effdl.utils.errors import RunError, UserError
from effdl.utils.locks import locked

Run = Callable[[list[str]], Path]  # one run of these overrides, continued if it was cut off; raises if it fails
_LOOK = 1.0  # seconds between two looks at what another process does


class _Outdated(Exception):
    """Another process may have finished what this one had to go on without."""


@dataclass
class Trials:
    """The runs of a search, and what they cost.

    Several processes may work on one search. Each follows the whole strategy: what another has trained is read, and
    what another is training counts as a model that misses, so this one goes on to what would then be next. As soon as
    it knows more, it begins again, and all that was done is read (`settle`).

    Args:
        run: see `Run`.
        folder: of the search.
        goal: with bounds as numbers.
        common: overrides of all runs.
        epochs: of fine-tuning after each step.
        tell: is told of each trial when it is known.
        study: which numbers the plans.
        before: what was spent before the first trial, see `cost_of`.
        found: what the strategy has asked for since it began, and what became of it.
    """

    run: Run
    folder: Path
    goal: Goal
    common: Sequence[str]
    epochs: int
    tell: Callable[[Trial], None]
    study: Study
    before: Mapping[str, float] = field(default_factory=dict)
    found: list[Trial] = field(default_factory=list)
    _known: dict[int, Trial] = field(default_factory=dict)
    _told: set[int] = field(default_factory=set)
    _elsewhere: list[int] = field(default_factory=list)
    _full: bool = False

    @property
    def costs(self) -> dict[str, float]:
        """What all trials and the dense model have cost as far as this process knows."""
        costs = [self.before, *(trial.cost for trial in self._known.values())]
        return {key: sum(cost.get(key, 0.0) for cost in costs) for key in COSTS}

    @property
    def may_go_on(self) -> bool:
        """Whether no limit is reached."""
        return self.left > 0 and not self._full

    @property
    def left(self) -> int:
        """How many models may still be trained."""
        return self.goal.trials - sum(not trial.refused for trial in self.found)

    def settle(self, go: Callable[[], None], wait: Callable[[Sequence[str]], None]) -> None:
        """Follow a strategy until it ends and no other process trains a model; then `found` is all that is known.

        Args:
            go: the whole strategy, from its beginning.
            wait: is told the names of the trials of other processes before they are waited for.
        """
        while True:
            self.found, self._elsewhere, self._full = [], [], False
            try:
                go()
            except _Outdated:
                continue
            busy = [number for number in self.study.plans() if number not in self._known and not self._free(number)]
            if not busy and not self._elsewhere:
                break
            if busy:
                wait([_name(number) for number in busy])
            while busy and not any(map(self._free, busy)):
                time.sleep(_LOOK)
        self.found = self.everything()

    @property
    def best(self) -> Trial | None:
        """The trial of least cost among those that keep to all bounds."""
        return best_of(self.found, self.goal)

    @property
    def front(self) -> list[Trial]:
        """The trials that keep to all bounds and are surpassed by none in both objectives, the cheapest first."""
        return front_of(self.found, self.goal)

    @property
    def models(self) -> list[Trial]:
        """The trials that were measured."""
        return [trial for trial in self.found if trial.row]

    @property
    def nearest(self) -> Trial | None:
        """The trial whose furthest bound is missed by least."""
        return min(self.models, key=lambda trial: self.goal.worst(trial.row).excess(trial.row), default=None)

    def add(self, plan: Plan, sizes: Mapping[str, int]) -> Trial:
        """Compress, train on and measure by a plan; what is there is read.

        A trial without a row that is not in `found` is one that a limit forbids, or that another process trains.

        Args:
            sizes: elements of each layer's weight.

        Raises:
            UserError: no run can begin with these overrides.
            _Outdated: it was trained, but other trials are finished elsewhere meanwhile, perhaps.
        """
        refused = sum(trial.refused for trial in self._known.values())
        number = self.study.number_of(plan, self.goal.trials + refused)
        if number is None:
            self._full = True
            return self._unknown(plan, "", "no more trials are allowed")
        new = number not in self._known
        if new:
            with locked(self._plans(number) / ".lock") as mine:
                if not mine:
                    self._elsewhere.append(number)
                    return self._unknown(plan, _name(number), "another process trains it")
                self._gather()
                if number not in self._known and self.goal.spent(self.costs):
                    self._full = True
                    return self._unknown(plan, _name(number), "limit.hours or limit.co2eq_g is reached")
                if number not in self._known:
                    self._known[number] = self._trained(number, plan, sizes)
        trial = self._known[number]
        self.found.append(trial)
        if number not in self._told:
            self._told.add(number)
            self.tell(trial)
        if new and self._elsewhere:
            raise _Outdated
        return trial

    def overrides_of(self, plan: Plan, folder: Path, sizes: Mapping[str, int], *, taught: bool = True) -> list[str]:
        """The overrides of a run that makes a plan.

        Args:
            folder: for what they refer to, if the plan has layers.
            sizes: elements of each layer's weight.
            taught: whether it learns from the teacher that the search was given, if it was.
        """
        common = list(self.common) if taught else without(list(self.common), "distill", "compression.logits.")
        distilled = value_of(common, "distill") is not None
        others = [f"compression.{name}." for name in METHODS if name not in plan.methods]
        return [*without(common, *others), *plan.overrides(folder, sizes, self.epochs, distilled)]

    def everything(self) -> list[Trial]:
        """All trials that are known, those of other processes too, by number."""
        self._gather()
        return [self._known[number] for number in sorted(self._known)]

    def _trained(self, number: int, plan: Plan, sizes: Mapping[str, int]) -> Trial:
        """What comes of a plan.

        Raises:
            UserError: no run can begin with these overrides.
        """
        folder = self._folder(number)
        overrides = [*self.overrides_of(plan, self._plans(number), sizes), f"hydra.run.dir={quote(folder)}"]
        try:
            self.run([*overrides, "resume=true"])
        except (RunError, UserError) as error:
            if isinstance(error, UserError) and plan.layers and not any(trial.row for trial in self.found):
                raise  # a mistake in the overrides, which no other plan mends
            return Trial(_name(number), plan, folder, {}, False, str(error), refused=isinstance(error, UserError))
        return self._read(number, plan)

    def _read(self, number: int, plan: Plan) -> Trial:
        """A trial that is done.

        Raises:
            UserError: its files are not as they were written.
        """
        folder = RunFolder(self._folder(number))
        verify(folder)
        row, cost = row_of(folder), cost_of(folder.result["stages"])
        return Trial(_name(number), plan, folder.path, row, self.goal.holds(row), None, cost)

    def _gather(self) -> None:
        """Read what is done and not known yet."""
        for number, plan in self.study.plans().items():
            if number not in self._known and RunFolder(self._folder(number)).result:
                self._known[number] = self._read(number, plan)

    def _unknown(self, plan: Plan, name: str, reason: str) -> Trial:
        """A trial of which nothing is known."""
        return Trial(name, plan, self.folder / name, {}, False, reason)

    def _folder(self, number: int) -> Path:
        """The run folder of a trial."""
        return self.folder / _name(number)

    def _plans(self, number: int) -> Path:
        """The folder of what the overrides of a trial refer to, which is created."""
        folder = self.folder / "plans" / _name(number)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _free(self, number: int) -> bool:
        """Whether no process is at a trial."""
        with locked(self._plans(number) / ".lock") as mine:
            return mine


def _name(number: int) -> str:
    """The name of a trial."""
    return f"trial-{number:02d}"
