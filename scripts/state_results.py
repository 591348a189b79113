"""Write what runs of an experiment measured into the JSON file beside it: no number there is typed by hand.

    effdl reproduce pruned_lenet300 dataset.root=DIR
    python scripts/state_results.py pruned_lenet300 outputs/reproduce/pruned_lenet300
    python scripts/state_results.py --config-dir DIR NAME FOLDER [FOLDER ...]

Takes all finished runs in the folders: those with equal overrides are one point, and its values their means over the
seeds. A run of another experiment is refused, also one on other images than ``NAME.json`` says (take that file away to
state new ones). ``NAME.json`` is replaced; the recipe with the papers' values, ``NAME.yaml``, stays as it is.

Tolerances: of an accuracy 0.3 points, or three standard errors of the binomial distribution over the test images if
that is more. Of a difference of two accuracies, which are of the same images and seeds, three standard errors of the
paired differences, one per seed, for the difference of two means (3 s sqrt(2 / n)), at least 0.1 points; of a single
seed the binomial's times the square root of 2, which is too wide. Of sizes and of what else the paper counts 2 %. Time,
energy and CO2 have none: they are stated, not compared. A model that a run began with is reported where it was trained.

Numbers are rounded to what they mean: accuracies to a hundredth of a point, counts and seconds to whole ones, energy
and CO2 to three digits, other values to four; tolerances up, to two digits.
"""

import argparse
import json
import math
import sys
from pathlib import Path
from statistics import fmean, stdev

from effdl.config.experiments import config_of, experiment_file, results_file, stated
from effdl.config.identity import by_target
from effdl.measure.metrics import COSTS, accuracies
from effdl.report.reproduction.claims import FREE, TOTAL, Claim, differing, points, stated_claims
from effdl.report.reproduction.match import changes
from effdl.runs.folder import RunFolder
from effdl.utils.errors import UserError
from effdl.utils.files import write_atomic

COUNTS = ("params_nonzero", "size_bytes")
WHOLE = (*COUNTS, "params", "duration_s")


def overrides_of(folder: RunFolder, name: str, config_dir: str | None) -> tuple[str, ...]:
    """The overrides of a run that make it another point of the experiment."""
    plain = config_of(name, [], config_dir)
    free = (*FREE, "experiment", "hydra")
    kept = [o for o in folder.overrides if not any(f"{o.partition('=')[0]}.".startswith(f"{key}.") for key in free)]
    return tuple(o for o in kept if differing(plain, config_of(name, [o], config_dir)))


def point_of(folder: RunFolder, name: str, known: list[tuple[str, ...]], config_dir: str | None) -> tuple[str, ...]:
    """The overrides that compose a run's config: those under which the file reports values already, or its own.

    Raises:
        UserError: it is a run of another experiment, or not finished.
    """
    if not folder.result:
        raise UserError(f"{folder.path} is not complete (status {folder.run['status']})")
    for point in [*known, own := overrides_of(folder, name, config_dir)]:
        if not (others := changes(name, point, folder.run, config_dir)):
            return point
    raise UserError(f"{folder.path} is not a run of {name} {' '.join(own)}: other {', '.join(others[:5])}")


def images(folder: RunFolder) -> int:
    """Number of test images of a run."""
    from effdl.data.build import load, shipped

    return len(load(shipped(by_target(folder.run["config"])["dataset"])).test)


def values(point: tuple[str, ...], folders: list[RunFolder], papers: list[Claim], count: int) -> list[dict]:
    """What is reported of one point: of every stage, and in total; differences where a paper's values are."""
    results = [folder.result for folder in folders]
    relative = {claim.stage: claim.relative_to for claim in papers if claim.relative_to}
    rows = []
    for stage in [row["stage"] for row in results[0]["stages"] if row["stage"] != "dense" or row["epochs"]]:
        found = [next(row for row in result["stages"] if row["stage"] == stage) for result in results]
        own = [claim for claim in papers if claim.overrides == point and claim.stage == stage]
        asked = [claim.metric for claim in own if not claim.relative_to]
        counts = [key for key in dict.fromkeys([*COUNTS, *asked]) if not accuracies([key])]
        mean = {key: fmean(row[key] for row in found) for key in ("top1", *counts)}
        entry = {"stage": stage, "metric": "top1"}
        if base := relative.get(stage):
            bases = [next(row["top1"] for row in result["stages"] if row["stage"] == base) for result in results]
            differences = [row["top1"] - own for row, own in zip(found, bases, strict=True)]
            entry |= {"relative_to": base, "value": fmean(differences)}
            tolerance = difference_tolerance(differences, mean["top1"], count)
        else:
            entry |= {"value": mean["top1"]}
            tolerance = accuracy_tolerance(mean["top1"], count)
        rows.append(entry | {"tolerance": tolerance})
        rows += [
            {"stage": stage, "metric": key, "value": mean[key], "tolerance": rounded_up(0.02 * mean[key])}
            for key in counts
        ]
    totals = {key: [result["total"][key] for result in results] for key in COSTS}
    rows += [
        {"stage": TOTAL, "metric": key, "value": fmean(numbers)}
        for key, numbers in totals.items()
        if None not in numbers
    ]
    rows = [{**row, "value": rounded(row["metric"], row["value"])} for row in rows]
    return [{**({"with": list(point)} if point else {}), **row} for row in rows]


def accuracy_tolerance(top1: float, count: int) -> float:
    """That of an accuracy on so many images, see above."""
    return rounded_up(max(0.003, 3 * math.sqrt(top1 * (1 - top1) / count)))


def difference_tolerance(differences: list[float], top1: float, count: int) -> float:
    """That of the mean of paired differences, one per seed, see above."""
    if len(differences) == 1:
        return rounded_up(max(0.003, 3 * math.sqrt(2 * top1 * (1 - top1) / count)))
    return rounded_up(max(0.001, 3 * stdev(differences) * math.sqrt(2 / len(differences))))


def rounded(metric: str, value: float) -> float:
    """A measured value with the digits that mean something; a whole number without a point."""
    if metric in WHOLE:
        return round(value)
    value = round(value, 4) if metric.startswith("top") else float(f"{value:.{3 if metric in COSTS else 4}g}")
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


def as_json(source: str, seeds: list[int], data: str, rows: list[dict]) -> str:
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
    args = parser.parse_args(arguments)
    file = experiment_file(args.name, args.config_dir)
    found = stated(file)
    found.pop(results_file(file), None)
    papers = stated_claims(found)
    if any(not claim.paper for claim in papers):
        raise UserError(f"{file} states values of runs: take them out, they belong into {results_file(file).name}")
    runs: dict[tuple[str, ...], list[RunFolder]] = {}
    for path in sorted(found.parent for folder in args.folders for found in folder.rglob("run.json")):
        folder = RunFolder(path)
        runs.setdefault(point_of(folder, args.name, points(papers), args.config_dir), []).append(folder)
    order = [(), *points(papers)]
    runs = dict(sorted(runs.items(), key=lambda item: order.index(item[0]) if item[0] in order else len(order)))
    seeds = {point: sorted(folder.run["seed"] for folder in folders) for point, folders in runs.items()}
    if len({tuple(numbers) for numbers in seeds.values()}) != 1 or any(len(set(n)) < len(n) for n in seeds.values()):
        raise UserError(f"allowed is one run per seed, the same seeds for all overrides: {seeds or 'no run there'}")
    folders = [folder for found in runs.values() for folder in found]
    count = images(folders[0])
    rows = [row for point, found in runs.items() for row in values(point, found, papers, count)]
    if len(data := {folder.run["data_fingerprint"] for folder in folders}) > 1:
        raise UserError(f"allowed are runs on the same images, these have {len(data)} fingerprints")
    text = as_json(source(folders), next(iter(seeds.values())), data.pop(), rows)
    write_atomic(results_file(file), text.encode())
    print(f"{results_file(file)}: {len(rows)} values of {len(folders)} runs")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UserError as error:
        sys.exit(f"state_results: {error}")
