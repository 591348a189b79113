"""``hydra/sweeper=optuna``: Optuna chooses the overrides of every job from what the earlier ones returned.

Hydra's own Optuna plugin wants Optuna 2 and stops no trials.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf
from pydantic import Field

from effdl.config.hydra_app import register
from effdl.config.instantiate import keywords
from effdl.config.overrides import without
from effdl.config.types import Count, Natural
from effdl.config.validation import active, check_values
from effdl.measure.costs import SPENT
from effdl.measure.metrics import OF_PRETRAINING, on_test, on_validation, stage_numbers
from effdl.sweep.front import FOUND, PICTURE
from effdl.sweep.loader import sharing
from effdl.utils.errors import RunError, UserError, nearest
from effdl.utils.files import write_atomic, write_json

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.distributions import BaseDistribution

    from effdl.sweep.optuna_study import TrialPruner

_FileName = Annotated[
    str, Field(pattern=r"^[^/.][^/]{0,99}$", description="the name of a file in the folder of the sweep")
]
_GRID = {"max_batch_size": Count | None, "params": dict | None}  # the keys of Hydra's own sweeper


class OptunaSweeper(Sweeper):
    """Asks an Optuna study for trials, launches them as jobs, and tells it their results."""

    def __init__(
        self,
        *,
        n_trials: Count,
        n_jobs: Count,
        sampler: Literal["tpe", "nsga2", "random"],
        startup: Annotated[int, Field(ge=2)],
        seed: Natural,
        objectives: Annotated[list[str], Field(min_length=1)],
        pruner: Literal["none", "median", "hyperband"],
        storage: _FileName,
        trial: int | None = None,
    ):
        self.n_trials, self.n_jobs, self.objectives, self.storage = n_trials, n_jobs, list(objectives), storage
        self.sampler, self.seed, self.startup = sampler, seed, startup

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take what Hydra has composed, and make the launcher."""
        self.hydra_context, self.config = sharing(hydra_context, config), config
        self.folder = Path(config.hydra.sweep.dir)
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=self.hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> list[Sequence[JobReturn]]:
        """Run all trials that are still to be run, and store what was found.

        Exits with 2 for a mistake of the user, 1 for a study that cannot be written.
        """
        try:
            _check_options(self.config.hydra.sweeper)
            returned, study = self.optimize(arguments)
            self.store(study)
        except (UserError, RunError) as error:  # Hydra would show a traceback
            print(f"effdl: {error}", file=sys.stderr)
            sys.exit(2 if isinstance(error, UserError) else 1)
        return returned

    def optimize(self, arguments: list[str]) -> tuple[list[Sequence[JobReturn]], "Study"]:
        """Launch batches of trials until the study has all."""
        from effdl.sweep.optuna_study import open_study, overrides_of, sampler_of, tell, unfinished

        overrides = OverridesParser.create(config_loader=self.hydra_context.config_loader).parse_overrides(arguments)
        space = _space_of(overrides)
        fixed = [override.input_line for override in overrides if not override.is_sweep_override()]
        lasting = without(fixed, "resume")
        study = open_study(self.file(), space, lasting, self.objectives)
        returned, waiting = [], unfinished(study, space)
        while waiting or len(study.get_trials(deepcopy=False)) < self.n_trials:
            while len(waiting) < self.n_jobs and (number := len(study.get_trials(deepcopy=False))) < self.n_trials:
                study.sampler = sampler_of(self.sampler, self.seed + number, self.startup)
                waiting.append(study.ask(space))
            batch, waiting = waiting[: self.n_jobs], waiting[self.n_jobs :]
            results, outcomes = self.launch(study, batch, fixed)
            returned.append(results)
            for trial in batch:
                tell(study, trial, outcomes[overrides_of(trial)], self.objectives)
        return returned, study

    def launch(self, study: "Study", batch: list["Trial"], fixed: list[str]) -> tuple[Sequence[JobReturn], dict]:
        """Run a batch of trials as jobs; returns what Hydra does, and all outcomes so far by their overrides.

        A trial with the values of an earlier one is not run again: it has the same outcome.
        """
        from effdl.sweep.optuna_study import overrides_of

        told = [trial for trial in study.get_trials(deepcopy=False) if "outcome" in trial.user_attrs]
        known = {overrides_of(trial): trial.user_attrs["outcome"] for trial in told}
        new = {overrides_of(trial): trial.number for trial in batch if overrides_of(trial) not in known}
        jobs = [[*fixed, *overrides, f"hydra.sweeper.trial={number}"] for overrides, number in new.items()]
        results = self.launcher.launch(jobs, initial_job_idx=batch[0].number) if jobs else []
        return results, known | {key: result.return_value for key, result in zip(new, results, strict=True)}

    def file(self) -> Path:
        """The journal of the study.

        Raises:
            UserError: there is one, and this sweep is not to continue it.
        """
        file = self.folder / self.storage
        if file.exists() and not self.config.resume:
            raise UserError(f"{file} holds a study: choose another hydra.sweep.dir, or continue it with resume=true")
        self.folder.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(self.config, self.folder / "multirun.yaml")
        return file

    def store(self, study: "Study") -> None:
        """Write all trials and which are the best, and a picture if there is more than one objective."""
        from effdl.sweep.front import front_picture
        from effdl.sweep.optuna_study import summary

        found = summary(study)
        write_json(self.folder / FOUND, found)
        if len(self.objectives) > 1 and found["best"]:
            write_atomic(self.folder / PICTURE, front_picture(found, str(self.folder)))


def check_sweeper_options(sweeper: DictConfig, overrides: list[Override], configs: Sequence[dict] = ()) -> None:
    """Find a sweep's mistakes before anything is written, and tell Hydra of the Optuna sweeper if that is chosen.

    Args:
        sweeper: ``hydra.sweeper`` of the composed config.
        configs: plain values of jobs' configs, with every swept value in one of them.

    Raises:
        UserError: options or bounds that are none, no Optuna, an interval for a sweeper that only counts, or an
            objective or a pruner that needs what these configs do not measure.
    """
    if "n_trials" in sweeper:
        _check_options(sweeper)
        for config in configs:
            _check_measured(sweeper, config)
        _space_of(overrides)
        register(OptunaSweeper)
        return
    options = OmegaConf.to_container(sweeper, resolve=True)
    check_values("hydra.sweeper.", {key: options[key] for key in _GRID if key in options}, _GRID)
    if interval := next((override for override in overrides if override.is_interval_sweep()), None):
        raise UserError(f"{interval.input_line}: to draw from an interval add hydra/sweeper=optuna")


def _check_measured(sweeper: DictConfig, config: dict) -> None:
    """Check that a run of a config measures what the sweeper asks for.

    Raises:
        UserError: names the key, its value and what is allowed.
    """
    validated = bool(config["dataset"].get("val") or config["dataset"].get("folds"))
    asked = active(config)
    pretrains = bool(asked["pretraining"])
    learns = config["epochs"] or asked["compression"] or not pretrains
    tested = [key for key in stage_numbers(config["topk"], config["metric"]) if on_test(key, config["metric"])]
    held_out = list(map(on_validation, tested))
    hidden = tested if validated else held_out
    known = [*stage_numbers(config["topk"], config["metric"]), *(f"total_{key}" for key in SPENT)]
    known = [key for key in known if key not in hidden and (pretrains or key not in OF_PRETRAINING)]
    for name in sweeper.objectives:
        if name in OF_PRETRAINING and not pretrains:
            raise UserError(f"hydra.sweeper.objectives: {name} is of a pretraining (allowed: {', '.join(known)})")
        if name in (*held_out, "train_top1") and not learns:
            raise UserError(
                f"hydra.sweeper.objectives: {name} is of a last layer that learns nothing with epochs=0 "
                f"(allowed: {', '.join(OF_PRETRAINING)})"
            )
        if name in tested and validated:
            raise UserError(
                f"hydra.sweeper.objectives: {name} is of the test split, which no choice may see "
                f"(allowed: {on_validation(name)})"
            )
        if name in hidden:
            raise UserError(
                f"hydra.sweeper.objectives: {name} needs a validation split: set dataset.val above 0 (without one "
                "trials can be compared on the test split only, by top1 or loss, and are no longer tested by it)"
            )
        if name not in known:
            raise UserError(
                f"hydra.sweeper.objectives: {name} is not measured as a number{nearest(name, known)} "
                f"(allowed: {', '.join(known)})"
            )
    if sweeper.pruner != "none" and not validated:
        raise UserError(f"hydra.sweeper.pruner={sweeper.pruner} needs a validation split: set dataset.val above 0")


def _check_options(node: DictConfig) -> None:
    """Check the keys of ``hydra.sweeper``.

    Raises:
        UserError: names the key, its value and what is allowed.
    """
    options: dict[str, Any] = OmegaConf.to_container(node, resolve=True)
    check_values("hydra.sweeper.", {key: options[key] for key in options if key != "_target_"}, keywords(OptunaSweeper))
    if options["pruner"] != "none" and len(options["objectives"]) > 1:
        raise UserError(
            f"hydra.sweeper.pruner={options['pruner']}: with several objectives none falls behind (allowed: none)"
        )


def _space_of(overrides: list[Override]) -> dict[str, "BaseDistribution"]:
    """What Optuna draws from, by key.

    Raises:
        UserError: nothing, or bounds that are none; or there is no Optuna.
    """
    import effdl.sweep.optuna_study  # noqa: F401 (says how to get Optuna, where it is missing)

    space = {o.get_key_element(): distribution(o) for o in overrides if o.is_sweep_override()}
    if not space:
        raise UserError("hydra/sweeper=optuna: no key to optimize (allowed: KEY=interval(A,B), range(A,B) or A,B)")
    return space


def distribution(override: Override) -> "BaseDistribution":
    """What a swept override lets Optuna draw from: whole numbers if its bounds are, on a log scale if tagged so.

    Raises:
        UserError: bounds that are none.
    """
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    value = override.value()
    log = "log" in getattr(value, "tags", ())
    try:
        if isinstance(value, IntervalSweep):
            whole = isinstance(value.start, int) and isinstance(value.end, int)
            return (IntDistribution if whole else FloatDistribution)(value.start, value.end, log=log)
        if not override.is_range_sweep():
            return CategoricalDistribution(list(override.sweep_string_iterator()))
        numbers = sorted(value.range())
        whole = all(isinstance(number, int) for number in numbers)
        step = None if log and not whole else abs(value.step)
        return (IntDistribution if whole else FloatDistribution)(numbers[0], numbers[-1], log=log, step=step)
    except (ValueError, IndexError) as error:
        raise UserError(f"{override.input_line}: {error}") from error


def trial_pruner(hydra_config: DictConfig) -> "TrialPruner | None":
    """The callback that stops a job's run when it falls behind, if the job is a trial of a sweep with a pruner.

    Args:
        hydra_config: ``HydraConfig.get()`` of the job.
    """
    sweeper = hydra_config.sweeper
    if sweeper.get("trial") is None or sweeper.pruner == "none":
        return None
    from effdl.sweep.optuna_study import pruner_of

    return pruner_of(Path(hydra_config.sweep.dir) / sweeper.storage, sweeper.trial, sweeper.pruner)
