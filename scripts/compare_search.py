"""Draw budgets, search for each of them, and let random search and NSGA-II look as long: who finds the better model?

    python scripts/compare_search.py OUTPUT_FOLDER [--budgets 10] [--seed 0]

One multilayer perceptron is trained on the embedded digits; every search begins with it. Budgets are drawn, most of
them relative to what it has, each with one metric to optimize. After `effdl search` (the program's default limit of
trials), Optuna's random sampler and its NSGA-II get as many seconds by the clock, with the same keys: filters, zeros
and bits of each layer. Their models are stored and measured in the same way, and the validation split decides. Only the
search trains some models twice as long.
One thread for all.

A search that has ended is not repeated: the script can be killed and started again. In the end it writes its table into
effdl/search/README.md.
Columns: what was asked; whether the search kept to the bounds; the best of the metric that each
found (a model that keeps to the bounds is better than one that does not), after how many models; by how much files and
validation accuracies differed from what was predicted before the model was trained (medians).
"""

import argparse
import functools
import json
import random
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

import optuna
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler
from optuna.trial import Trial as Draw
from pages import markdown, replace_part

from effdl.cli.search import main as search
from effdl.cli.train import train
from effdl.config.overrides import quote
from effdl.measure.metrics import metric
from effdl.models.stored import load_model
from effdl.nn.layers import weights
from effdl.runs.folder import RunFolder
from effdl.search.choices import Choice, families_of
from effdl.search.goal import Goal, parse_goal
from effdl.search.plan import Plan
from effdl.search.study import Study
from effdl.search.trial import row_of
from effdl.search.trials import Trials
from effdl.utils.files import write_json

PAGE = "effdl/search/README.md"
DENSE = ("model=mlp", "epochs=20", "device=cpu", "device.threads=1")
EPOCHS = 10  # of fine-tuning: half of the dense model's, as `effdl search` has it
COLUMNS = ("asked", "verdict", "search", "random", "NSGA-II", "models", "size off", "top-1 off")
OFF = {"size": "{:.1f} %", "top1": "{:.1f} points"}
OTHERS: dict[str, Callable[[int], BaseSampler]] = {
    "random": lambda seed: RandomSampler(seed=seed),
    "nsga2": lambda seed: NSGAIISampler(seed=10_000 + seed, population_size=6),  # whose first models are drawn as well
}


def draw(number: int, seed: int) -> list[list[str]]:
    """So many goals, as words of `effdl search`: bounds are drawn evenly, those on sizes evenly by their logarithm."""
    drawn = random.Random(seed)
    kinds = [
        lambda: [f"budget.top1=dense-{drawn.uniform(0, 0.04):.3f}", "minimize=size_bytes"],
        lambda: [f"budget.size_bytes={10 ** drawn.uniform(3.5, 4.5):.0f}", "maximize=top1"],
        lambda: [f"budget.macs={drawn.uniform(0.1, 0.6):.2f}*dense", "maximize=top1"],
        lambda: [
            f"budget.top1=dense-{drawn.uniform(0, 0.04):.3f}",
            f"budget.macs={drawn.uniform(0.2, 0.7):.2f}*dense",
            "minimize=size_bytes",
        ],
        lambda: [
            f"budget.top1=dense-{drawn.uniform(0, 0.04):.3f}",
            f"budget.size_bytes={10 ** drawn.uniform(3.7, 4.7):.0f}",
            "minimize=macs_nonzero",
        ],
    ]
    return [kinds[place % len(kinds)]() for place in range(number)]


def once(file: Path, make: Callable[[], dict]) -> dict:
    """What a file says, which is written if it is not there."""
    if not file.exists():
        write_json(file, make())
    return json.loads(file.read_bytes())


def searched(dense: Path, words: list[str], folder: Path) -> dict:
    """Search; what was found and how long it took."""
    shutil.rmtree(folder, ignore_errors=True)
    began = time.monotonic()
    code = search([str(dense), *words, "device=cpu", "device.threads=1", f"hydra.run.dir={folder}"])
    seconds = time.monotonic() - began
    if code not in (0, 1):
        raise RuntimeError(f"{folder}: exit code {code}")
    found = json.loads((folder / "search.json").read_bytes())
    ended = [trial for trial in found["trials"] if trial["measured"].get("val_top1") is not None]
    return {"seconds": seconds, "trials": ended, "kept": code == 0}


def sampled(dense: RunFolder, goal: Goal, folder: Path, sampler: str, seed: int, seconds: float) -> dict:
    """Let a sampler of Optuna draw plans for so many seconds."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    run = functools.partial(train, quiet=True)
    common = [*DENSE, "epochs=0", f"model.weights={quote(dense.path)}"]
    trials = Trials(run, folder, goal, common, EPOCHS, lambda trial: None, Study("sqlite://", sampler))
    sizes = {name: getattr(module, attribute).numel() for name, module, attribute in weights(load_model(dense.path))}
    study = optuna.create_study(sampler=OTHERS[sampler](seed))
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        drawn = study.ask()
        trial = trials.add(drawn_plan(drawn, list(sizes), goal.keys), sizes)
        if not trial.row:
            study.tell(drawn, state=optuna.trial.TrialState.FAIL)
            continue
        for bound in goal.bounds:
            drawn.set_constraint(bound.key, bound.excess(trial.row))
        study.tell(drawn, goal.cost(trial.row))
    found = [{"measured": dict(trial.row)} for trial in trials.found if trial.row]
    return {"seconds": time.monotonic() - began, "trials": found}


def drawn_plan(draw: Draw, layers: list[str], keys: list[str]) -> Plan:
    """A plan by the values that Optuna draws, of the same choices that the search has."""
    [family] = families_of(keys, "eager")
    sparsities, bits = (sorted({option[place] for option in family.options}) for place in (0, 1))
    filters = draw.suggest_float("filters", 0.0, 0.95) if draw.suggest_categorical("thin", [False, True]) else 0.0
    chosen = {
        name: Choice(
            sparsities[draw.suggest_int(f"{name}.sparsity", 0, len(sparsities) - 1)],
            bits[draw.suggest_int(f"{name}.bits", 0, len(bits) - 1)],
        )
        for name in layers
    }
    return Plan(round(filters, 4), chosen)


def best(found: dict, goal: Goal) -> tuple[float, float]:
    """By how much the best model of a search misses a bound, and its cost: less is better. Infinite without a model."""
    rows = [trial["measured"] for trial in found["trials"]]
    scores = [(max(0.0, goal.worst(row).excess(row)), goal.cost(row)) for row in rows]
    return min(scores, default=(float("inf"), float("inf")))


def line(words: list[str], goal: Goal, results: dict[str, dict]) -> tuple[list[str], bool, Mapping[str, list[float]]]:
    """A line of the table, whether the search is better than both, and the errors of its predictions."""
    scores = {name: best(found, goal) for name, found in results.items()}
    won = all(scores["search"] < score for name, score in scores.items() if name != "search")
    errors = prediction_errors(results["search"]["trials"])
    texts = [_text(scores[name], goal) for name in ("search", *OTHERS)]
    verdict = "holds" if results["search"]["kept"] else "missed"
    models = " / ".join(str(len(found["trials"])) for found in results.values())
    off = [OFF[key].format(100 * median(values)) if values else "" for key, values in errors.items()]
    return [f"`{' '.join(words)}`", verdict, *texts, models, *off], won, errors


def prediction_errors(trials: Sequence[dict]) -> dict[str, list[float]]:
    """By how much models differ from what was predicted before they were trained: files as a part of what was
    predicted, accuracies in absolute terms."""
    first = [trial for trial in trials if not trial.get("longer")]  # of the others a shorter training was measured
    pairs = [(trial["predicted"], trial["measured"]) for trial in first]
    sizes = [(told["size_bytes"], found["size_bytes"]) for told, found in pairs if told.get("size_bytes")]
    top1 = [(told["val_top1"], found["val_top1"]) for told, found in pairs if "val_top1" in told]
    return {
        "size": [abs(found / told - 1) for told, found in sizes],
        "top1": [abs(found - told) for told, found in top1],
    }


def _text(score: tuple[float, float], goal: Goal) -> str:
    """The metric of the best model, or by how much it misses a bound; nothing if there is none."""
    excess, cost = score
    if excess == float("inf"):
        return "-"
    if excess:
        return f"misses by {excess:.3g}"
    return metric(goal.objective).text(abs(cost))


def main() -> int:
    """Run everything and print the table; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--budgets", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    output = args.output.absolute()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    dense = RunFolder(train([*DENSE, f"hydra.run.dir={quote(output / 'dense')}", "resume=true"], quiet=True))
    row = row_of(dense)
    lines, wins, errors = [], 0, {key: [] for key in OFF}
    for number, words in enumerate(draw(args.budgets, args.seed), 1):
        folder = output / f"{number:02d}"
        folder.mkdir(parents=True, exist_ok=True)
        goal = replace(parse_goal(words).resolved(row), trials=10**6)
        found = once(folder / "search.json", lambda: searched(dense.path, words, folder / "search"))  # noqa: B023
        results = {"search": found}
        for name in OTHERS:
            make = functools.partial(sampled, dense, goal, folder / name, name, number, found["seconds"])
            results[name] = once(folder / f"{name}.json", make)
        made, won, own = line(words, goal, results)
        lines.append(made)
        wins, errors = wins + won, {key: [*errors[key], *own[key]] for key in OFF}
        print(" | ".join(made), flush=True)
    size, top1 = (OFF[key].format(100 * median(errors[key])) for key in OFF)
    off = f"Files differ from what was predicted by a median of {size}, accuracies by {top1}."
    kept = sum(cells[1] == "holds" for cells in lines)
    text = f"{kept} of {len(lines)} budgets were met, and the search is better than both in {wins}. {off}"
    record = dense.run
    where = f"{record['hardware']['cpu']}, {record['threads']} threads, PyTorch {record['versions']['torch']}"
    replace_part(PAGE, "comparison", f"{markdown(COLUMNS, lines)}\n\n{text} {where}, {record['started'][:10]}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
