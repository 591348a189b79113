"""Write what runs of an experiment measured into the JSON file beside it: no number there is typed by hand.

    effdl reproduce pruned_lenet300 dataset.root=DIR
    python scripts/state_results.py pruned_lenet300 outputs/reproduce/pruned_lenet300
    python scripts/state_results.py --config-dir DIR NAME FOLDER [FOLDER ...]
    python scripts/state_results.py NAME FOLDER --less 'model.weights=null' --less 'model.weights=null optimizer.lr=0.1'
    python scripts/state_results.py NAME FOLDER --with 'distill=null epochs=30'

Takes all finished runs in the folders: those with equal overrides are one point, and its values their means over the
seeds. Runs of another experiment that is this one with other overrides are named by these (`--with`). Of a
cross-validation the accuracy is that on the validation split, its mean over folds and seeds. A difference to other
overrides is stated where a paper states one (`compared_with`), and, with `--less OVERRIDES`, of each point of which
there are also runs with these overrides besides its own. Means of accuracies over several seeds or folds have their
95 % interval by Student's t; seeds of a fold are averaged first. A run of another experiment is refused, so is one on
other images than ``NAME.json`` says (take that file away to state new ones). ``NAME.json`` is replaced; the recipe with
the papers' values, ``NAME.yaml``, stays as it is.

Tolerances: of an accuracy 0.3 points, or three standard errors of the binomial distribution over the test images (of a
cross-validation: over the images of all its folds) if that is more. Of a difference of two accuracies, which are of the
same images and seeds, three standard errors of the paired differences, one per run, for the difference of two means
(3 s sqrt(2 / n)), at least 0.1 points; of a single seed the binomial's times the square root of 2, which is too wide.
Of sizes and of what else the paper counts 2 %. Time, energy and CO2 have none: they are stated, not compared. A model
that a run began with is reported where it was trained.

Numbers are rounded to what they mean: accuracies to a hundredth of a point, counts and seconds to whole ones, energy
and CO2 to three digits, other values to four; tolerances up, to two digits.
"""

import argparse
import json
import math
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from statistics import fmean, stdev

from effdl.config.experiments import config_of, experiment_file, folds_of, results_file, stated
from effdl.config.folds import FOLD
from effdl.config.identity import by_target
from effdl.measure.metrics import COSTS, accuracies, on_validation
from effdl.measure.student_t import mean_interval
from effdl.report.reproduction.claims import FREE, TOTAL, Claim, differing, points, stated_claims
from effdl.report.reproduction.match import changes, fold_of, lacking
from effdl.runs.folder import RunFolder
from effdl.utils.errors import UserError
from effdl.utils.files import write_atomic

COUNTS = ("params_nonzero", "size_bytes")
TEST = "top1"
WHOLE = (*COUNTS, "params", "duration_s")


def overrides_of(folder: RunFolder, name: str, config_dir: str | None) -> tuple[str, ...]:
    """The overrides of a run that make it another point of the experiment."""
    plain = config_of(name, [], config_dir)
    free = (*FREE, "experiment", "hydra", *([FOLD] if folds_of(name, [], config_dir) else []))
    kept = [o for o in folder.overrides if not any(f"{o.partition('=')[0]}.".startswith(f"{key}.") for key in free)]
    return tuple(o for o in kept if differing(plain, config_of(name, [o], config_dir)))


def point_of(folder: RunFolder, name: str, known: list[tuple[str, ...]], config_dir: str | None) -> tuple[str, ...]:
    """The overrides that compose a run's config: those under which the file reports values already, or its own.

    Raises:
        UserError: it is a run of another experiment, or not finished.
    """
    if not folder.result:
        raise UserError(f"{folder.path} is not complete (status {folder.run['status']})")
    for point in [(), *known, own := overrides_of(folder, name, config_dir)]:
        if not (others := changes(name, point, folder.run, config_dir)):
            return point
    raise UserError(f"{folder.path} is not a run of {name} {' '.join(own)}: other {', '.join(others[:5])}")


def sample(folder: RunFolder) -> tuple[int, int]:
    """Fold and seed of a run: runs of two points that are compared have the same."""
    return fold_of(folder.run), folder.run["seed"]


def images(folders: list[RunFolder], accuracy: str) -> int:
    """Number of images on which an accuracy of a point was measured: test images, or those of all folds."""
    from effdl.data.build import load, shipped

    by_fold = {fold_of(folder.run): folder for folder in folders}
    found = [load(shipped(by_target(folder.run["config"])["dataset"])) for folder in by_fold.values()]
    return len(found[0].test) if accuracy == TEST else sum(len(data.val) for data in found)


def values(
    point: tuple[str, ...],
    runs: dict[tuple[str, ...], list[RunFolder]],
    papers: list[Claim],
    accuracy: str,
    others: Sequence[tuple[str, ...]] = (),
) -> list[dict]:
    """What is reported of one point: of every stage, and in total; differences where a paper's values are.

    Args:
        runs: those of each point, in the same order of seeds and folds.
        accuracy: the key of what is stated of a stage.
        others: points to which the difference is stated besides those of papers.
    """
    folders = runs[point]
    results, count = [folder.result for folder in folders], images(folders, accuracy)
    relative = {claim.stage: claim.relative_to for claim in papers if claim.relative_to}
    rows = []
    for stage in [row["stage"] for row in results[0]["stages"] if row["stage"] != "dense" or row["epochs"]]:
        if None in (own := of_stage(folders, stage, accuracy)):  # a pretraining, which knows no labels
            continue
        claims = [claim for claim in papers if claim.overrides == point and claim.stage == stage]
        subtracted = []
        if base := relative.get(stage):
            subtracted.append(({"relative_to": base}, of_stage(folders, base, accuracy)))
        else:
            rows.append(accuracy_row(stage, accuracy, own, folders, accuracy_tolerance(fmean(own), count)))
        compared = [claim.compared_with for claim in claims if claim.compared_with is not None]
        for other in dict.fromkeys([*compared, *others]):
            if other not in runs:
                raise UserError(f"a paper compares with {' '.join(other)}, of which there is no run")
            subtracted.append(({"compared_with": list(other)}, of_stage(runs[other], stage, accuracy)))
        for what, others in subtracted:
            differences = [mine - its for mine, its in zip(own, others, strict=True)]
            tolerance = difference_tolerance(differences, fmean(own), count)
            rows.append(accuracy_row(stage, accuracy, differences, folders, tolerance, **what))
        asked = [claim.metric for claim in claims if not claim.is_difference and not is_accuracy(claim.metric)]
        for key in dict.fromkeys([*COUNTS, *asked]):
            mean = fmean(of_stage(folders, stage, key))
            rows.append({"stage": stage, "metric": key, "value": mean, "tolerance": rounded_up(0.02 * mean)})
    totals = {key: [result["total"][key] for result in results] for key in COSTS}
    rows += [
        {"stage": TOTAL, "metric": key, "value": fmean(numbers)}
        for key, numbers in totals.items()
        if None not in numbers
    ]
    return [{**({"with": list(point)} if point else {}), **rounded_row(row)} for row in rows]


def without_advantage(
    known: Collection[tuple[str, ...]], less: list[str], name: str, config_dir: str | None
) -> dict[tuple[str, ...], list[tuple[str, ...]]]:
    """For each point the other ones that it becomes with more overrides, such as ``model.weights=null``.

    Raises:
        UserError: no point becomes another one with them.
    """
    configs = {point: config_of(name, list(point), config_dir) for point in known}
    found: dict[tuple[str, ...], list[tuple[str, ...]]] = {point: [] for point in known}
    for overrides in less:
        before = sum(map(len, found.values()))
        for point in known:
            made = config_of(name, [*point, *overrides.split()], config_dir)
            found[point] += [other for other in known if other != point and not differing(made, configs[other])]
        if sum(map(len, found.values())) == before:
            raise UserError(f"--less '{overrides}' makes none of these points another one: {list(map(list, known))}")
    return found


def same_images(folders: list[RunFolder]) -> list[str]:
    """The fingerprints of the images of runs.

    Raises:
        UserError: runs whose seed, fold and data set are the same saw different ones.
    """
    found: dict[str, set[str]] = {}
    for folder in folders:
        saw = json.dumps([sample(folder), {**folder.run["config"]["dataset"], "root": None}])
        found.setdefault(saw, set()).add(folder.run["data_fingerprint"])
    data = list(dict.fromkeys(folder.run["data_fingerprint"] for folder in folders))
    if any(len(fingerprints) > 1 for fingerprints in found.values()):
        raise UserError(f"allowed are runs on the same images, these have {len(data)} fingerprints")
    return data


def of_stage(folders: list[RunFolder], stage: str, key: str) -> list[float | None]:
    """What each run measured of a stage."""
    return [next(row[key] for row in folder.result["stages"] if row["stage"] == stage) for folder in folders]


def accuracy_row(
    stage: str, metric: str, values: list[float], folders: list[RunFolder], tolerance: float, **what
) -> dict:
    """The mean of the accuracies of the runs, or of differences, with its interval if there are several.

    The interval is over the folds if there are several, else over the seeds.

    Args:
        what: to what it is a difference.
    """
    by_fold: dict[int, list[float]] = {}
    for value, folder in zip(values, folders, strict=True):
        by_fold.setdefault(fold_of(folder.run), []).append(value)
    draws = [fmean(found) for found in by_fold.values()] if len(by_fold) > 1 else values
    interval = {"interval": list(mean_interval(draws))} if len(draws) > 1 else {}
    return {"stage": stage, "metric": metric, **what, "value": fmean(values), **interval, "tolerance": tolerance}


def is_accuracy(metric: str) -> bool:
    """Whether a metric is an accuracy, on the test or the validation split."""
    return bool(accuracies([metric.removeprefix(on_validation(""))]))


def accuracy_tolerance(top1: float, count: int) -> float:
    """That of an accuracy on so many images, see above."""
    return rounded_up(max(0.003, 3 * math.sqrt(top1 * (1 - top1) / count)))


def difference_tolerance(differences: list[float], top1: float, count: int) -> float:
    """That of the mean of paired differences, one per seed, see above."""
    if len(differences) == 1:
        return rounded_up(max(0.003, 3 * math.sqrt(2 * top1 * (1 - top1) / count)))
    return rounded_up(max(0.001, 3 * stdev(differences) * math.sqrt(2 / len(differences))))


def rounded_row(row: dict) -> dict:
    """A row with the digits that mean something in its value and its interval."""
    ends = {"interval": [rounded(row["metric"], end) for end in row["interval"]]} if "interval" in row else {}
    return {**row, "value": rounded(row["metric"], row["value"]), **ends}


def rounded(metric: str, value: float) -> float:
    """A measured value with the digits that mean something; a whole number without a point."""
    if metric in WHOLE:
        return round(value)
    value = round(value, 4) if is_accuracy(metric) else float(f"{value:.{3 if metric in COSTS else 4}g}")
    return int(value) if value.is_integer() else value


def rounded_up(tolerance: float) -> float:
    """The next number of two digits, so that what held still holds."""
    if not tolerance:
        return 0
    power = math.floor(math.log10(tolerance)) - 1
    digits = math.ceil(tolerance / 10**power - 1e-9)
    value = round(digits * 10.0**power, max(0, -power))
    return int(value) if value.is_integer() else value


def source(folders: list[RunFolder]) -> str:
    """When, where and with what the runs were made."""
    made = set()
    for folder in folders:
        run, total = folder.run, folder.result["total"]
        energy = ", ".join(f"{part} {how}" for part, how in total["source"].items())
        device = run["hardware"]["gpu"] or f"{run['hardware']['cpu']}, {run['threads']} threads"
        versions = f"effdl {run['versions']['effdl']}, PyTorch {run['versions']['torch']}"
        made.add(f"{run['started'][:10]}, {device}, {versions}, energy: {energy}")
    return "; ".join(sorted(made))


def as_json(source: str, seeds: list[int], data: str | list[str], rows: list[dict]) -> str:
    """Our own source with its values, one on a line."""
    values = ",\n".join(f"    {json.dumps(row, ensure_ascii=False)}" for row in rows)
    about = {"source": source, "seeds": seeds, "data": data}
    head = ",\n".join(f'  "{key}": {json.dumps(value, ensure_ascii=False)}' for key, value in about.items())
    return f'{{\n{head},\n  "values": [\n{values}\n  ]\n}}\n'


def main(arguments: list[str] | None = None) -> int:
    """Write the file; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--config-dir")
    parser.add_argument(
        "--with", dest="points", action="append", default=[], metavar="OVERRIDES", help="runs may be those of these"
    )
    parser.add_argument("--less", action="append", default=[], metavar="OVERRIDES", help="state differences to these")
    args = parser.parse_args(arguments)
    file = experiment_file(args.name, args.config_dir)
    found = stated(file)
    found.pop(results_file(file), None)
    papers = stated_claims(found)
    if any(not claim.paper for claim in papers):
        raise UserError(f"{file} states values of runs: take them out, they belong into {results_file(file).name}")
    known = [*points(papers), *(tuple(given.split()) for given in args.points)]
    runs: dict[tuple[str, ...], list[RunFolder]] = {}
    for path in sorted(found.parent for folder in args.folders for found in folder.rglob("run.json")):
        folder = RunFolder(path)
        runs.setdefault(point_of(folder, args.name, known, args.config_dir), []).append(folder)
    order = [(), *known]
    if unmatched := [given for given in args.points if tuple(given.split()) not in runs]:
        raise UserError(f"--with '{unmatched[0]}': no run there is of {args.name} with these overrides alone")
    runs = dict(sorted(runs.items(), key=lambda item: order.index(item[0]) if item[0] in order else len(order)))
    runs = {point: sorted(folders, key=sample) for point, folders in runs.items()}
    samples = {point: list(map(sample, folders)) for point, folders in runs.items()}
    if len(set(map(tuple, samples.values()))) != 1 or any(len(set(n)) < len(n) for n in samples.values()):
        raise UserError(
            "allowed is one run per seed (and fold of a cross-validation), the same for all overrides: "
            + ("; ".join(f"{' '.join(point) or args.name} {n}" for point, n in samples.items()) or "no run there")
        )
    folds = folds_of(args.name, [], args.config_dir)
    folders = [folder for found in runs.values() for folder in found]
    if missing := lacking([folder.run for folder in folders], folds):
        raise UserError(f"allowed are runs of all folds, not there are those of (by seed): {missing}")
    accuracy = on_validation(TEST) if folds else TEST
    others = without_advantage(runs, args.less, args.name, args.config_dir)
    rows = [row for point in runs for row in values(point, runs, papers, accuracy, others[point])]
    data = same_images(folders)
    seeds = sorted({folder.run["seed"] for folder in folders})
    text = as_json(source(folders), seeds, data[0] if len(data) == 1 else data, rows)
    write_atomic(results_file(file), text.encode())
    print(f"{results_file(file)}: {len(rows)} values of {len(folders)} runs")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UserError as error:
        sys.exit(f"state_results: {error}")
