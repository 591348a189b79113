"""What everything that was gathered cost: the "Green AI" totals (Schwartz et al. 2020, CACM 63(12)), the winner's
share among them, so that a good result is seen with all the runs behind it. Standard library only.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from statistics import fmean

from effdl.measure.costs import spent, sum_known, sum_or_none
from effdl.measure.course import COURSE_LINE
from effdl.measure.metrics import COSTS, compared, deciding, images_key, metric, on_measuring, on_validation, split_of
from effdl.measure.units import percent, si
from effdl.report.copies import counted_once
from effdl.report.counts import counted
from effdl.report.gather import Gathered, Run
from effdl.report.inherited import inherited
from effdl.report.naming import SAMPLING, SPLITTING, differing_keys, experiment_of
from effdl.runs.folder import DONE

_FLOPS_PER_MAC = 2
_PASSES = 3  # forward once, backward twice as much
_PETAFLOP_DAY = 1e15 * 24 * 3600


def totals(found: Gathered, last: Sequence[dict], best: str = "top1") -> dict:
    """Sums over all runs, unfinished ones too.

    ======================================================  ===========================================================
    ``runs``, ``damaged``                                   number of runs by status, and of folders nobody can read
    ``epochs``, ``images``                                  of all trainings; ``images_recorded``: or else see `images`
    ``copied_epochs``                                       that runs took over from others, and that no sum has twice
    ``hyperparameters``, ``settings``                       keys that vary and different configs, seed and fold apart
    ``training_flops``, ``training_petaflop_s_days``        see `compute`; ``epochs_without_flops`` are not in them
    ``flops_counted``                                       whether all of them were counted, and none is estimated
    ``duration_h``, ``energy_kwh``, ``co2eq_g``             of all stages; ``evaluate_...``: of measuring them
    ``sources``                                             finished runs by component of the energy and how it is known
    ``runs_without_energy``, ``runs_resumed``               whose energy, or what was cut off of them, is not in it
    ``inherited``                                           the same costs of other runs, whose ``models`` these used,
                                                            without the ``unknown`` ones
    ``winner``                                              see `winner`
    ======================================================  ===========================================================

    A sum leaves out what was not recorded, and says how much that is; it is None if nothing was.

    Args:
        last: rows of the runs' last stages, of which the best by the key `best` is the winner, see `winner`.
    """
    runs = found.runs
    each_once = counted_once(runs)
    epochs = [(run, own) for run, own, _ in each_once]
    computed = [compute(run, rows) for run, rows in epochs]
    flops = sum_known(flops for flops, _, _ in computed)
    costs = [_cost(run, own + copies) for run, own, copies in each_once]
    copied = [_copied(run, copies, cost) for (run, _, copies), cost in zip(each_once, costs, strict=True)]
    return {
        "runs": dict(Counter(run.status for run in runs)),
        "damaged": len(found.damaged),
        "epochs": sum(len(rows) for _, rows in epochs),
        "hyperparameters": len([key for key in differing_keys([run.settings for run in runs]) if key not in SAMPLING]),
        "settings": len({run.experiment for run in runs}),
        "images": sum_known(images for _, images, _ in computed),
        "images_recorded": all("images" in row for _, rows in epochs for row in rows),
        "training_flops": flops,
        "flops_counted": all(row.get("training_flops") is not None for _, rows in epochs for row in rows),
        "training_petaflop_s_days": None if flops is None else flops / _PETAFLOP_DAY,
        "epochs_without_flops": sum(unknown for _, _, unknown in computed),
        "copied_epochs": sum(len(copies) for _, _, copies in each_once),
        **_spent([*costs, *copied]),
        "sources": _sources(runs),
        "runs_without_energy": sum(item["energy_kwh"] is None for item in costs),
        "runs_resumed": sum(bool(run.run.get("resumed")) for run in runs),
        "inherited": _inherited(runs),
        "winner": winner(
            last,
            {str(run.path): item["energy_kwh"] for run, item in zip(runs, costs, strict=True)},
            best,
            -(sum_known(cost["energy_kwh"] for cost in copied) or 0.0),
        ),
    }


def compute(run: Run, epochs: list[dict]) -> tuple[float | None, float | None, int]:
    """FLOPs of the training, images it saw, and epochs for which that is not known.

    Epochs of earlier versions, whose FLOPs were not counted, are estimated as usual (Amodei & Hernandez 2018, "AI and
    Compute"; Sevilla et al. 2022): 2 FLOPs per multiply-accumulate and a backward pass that costs twice the forward
    pass, so 3 x 2 x MACs x images. MACs are those of the model that the stage ended with (of the dense model if the
    stage was not measured); the forward passes of a teacher are then not counted. Validation never is.
    """
    macs = {row["stage"]: row.get("macs") for row in run.stages}

    def flops(row: dict) -> float | None:
        count, each = images(row), macs.get(row.get("stage"), macs.get("dense"))
        if (counted := row.get("training_flops")) is not None:
            return counted
        return None if None in (count, each) else _PASSES * _FLOPS_PER_MAC * each * count

    known = [flops(row) for row in epochs]
    return sum_known(known), sum_known(map(images, epochs)), known.count(None)


def images(epoch: dict) -> float | None:
    """Training images of an epoch: as recorded, else speed times the epoch's time.

    That time has the validation in it, so the product is a little too high, never too low.
    """
    if epoch.get("images") is not None:
        return epoch["images"]
    speed, seconds = epoch.get("images_per_s"), epoch.get("duration_s")
    return None if speed is None or seconds is None else speed * seconds


def _cost(run: Run, epochs: list[dict]) -> dict[str, float | None]:
    """What a run cost, and what measuring it did: its stages, and for an unfinished one the epochs since the last."""
    if run.total:
        return spent(run.stages)
    measured = {row["stage"] for row in run.stages}
    rows = [*run.stages, *(row for row in epochs if row.get("stage") not in measured)]
    return {key: sum_known(row.get(key) for row in rows) for key in (*COSTS, *map(on_measuring, COSTS))}


def _spent(costs: Sequence[dict[str, float | None]]) -> dict[str, float | None]:
    """The sums of what runs cost, as far as it is known; times in hours."""
    found = {}
    for key in (*COSTS, *map(on_measuring, COSTS)):
        total = sum_known(cost[key] for cost in costs)
        is_time = key.endswith("duration_s")
        found[key.replace("duration_s", "duration_h")] = total / 3600 if is_time and total is not None else total
    return found


def _copied(run: Run, copies: list[dict], cost: dict) -> dict[str, float | None]:
    """What is taken off a run's cost because it counts in another run: below 0, None where it is in no sum."""
    measured = {row["stage"]: row for row in run.stages}
    found = {}
    for key in COSTS:
        there = [row.get(key) for row in copies if measured.get(row.get("stage"), row).get(key) is not None]
        known = None if cost[key] is None else sum_known(there)
        found[key] = None if known is None else -known
    return {**found, **dict.fromkeys(map(on_measuring, COSTS))}


def _inherited(runs: Sequence[Run]) -> dict | None:
    """What the models cost that runs began with or learned from, and that are of no run here; None without any."""
    costs = inherited(runs)
    known = [cost for cost in costs if cost]
    sums = _spent([{**dict.fromkeys(map(on_measuring, COSTS)), **cost} for cost in known])
    return {"models": len(costs), "unknown": len(costs) - len(known), **sums} if costs else None


def _sources(runs: Sequence[Run]) -> dict[str, dict[str, int]]:
    """By component of the energy, how many finished runs measured it, estimated it or could not tell."""
    found: dict[str, Counter[str]] = {}
    for run in runs:
        for part, how in (run.total.get("source") or {}).items():
            found.setdefault(part, Counter())[str(how)] += 1
    return {part: dict(counts) for part, counts in found.items()}


def winner(
    rows: Sequence[dict], energy_kwh: dict[str, float | None], best: str, copied_kwh: float = 0.0
) -> dict | None:
    """The finished run whose row is best by a metric; the lowest is, if the metric does not say.

    Accuracies are compared on the validation split, of the runs that were measured on one; on the test split if none
    was. A course score counts from 90 % on. Runs of one config that validate on different images, those of a
    cross-validation, enter by their mean; ``splits`` says how many these are, and the run is the first of them.
    ``share_of_energy`` is their part of the energy of all runs, which `energy_kwh` has by folder, where `copied_kwh` of
    it was spent once and is counted for several; ``compared`` says of how many it is the best, ``split`` on which
    split, or None, and ``left_out`` how many runs have no such split.
    """
    finished = [row for row in rows if row["status"] == DONE and row.get(best) is not None]
    by_accuracy = best in ("top1", "course_score")
    validated = [row for row in finished if by_accuracy and row.get(on_validation("top1")) is not None]
    entered = validated or finished
    accuracy = deciding("top1", entered)
    by = accuracy if best == "top1" else best
    left_out, split = len(finished) - len(entered), split_of([accuracy] if by_accuracy else [])
    entries = _entries(entered) if by_accuracy else [[row] for row in entered]
    many = len(entries)
    if best == "course_score":
        entries = [rows for rows in entries if fmean(row.get(accuracy) or 0 for row in rows) >= COURSE_LINE]
    if not entries:
        return None
    chosen = min(entries, key=lambda rows: metric(by).cost(fmean(row[by] for row in rows)))
    first, splits = chosen[0], len(chosen)
    own = sum_or_none(energy_kwh[row["folder"]] for row in chosen)
    everything = (sum_known(energy_kwh.values()) or 0.0) - copied_kwh
    share = own / everything if own is not None and everything > 0 else None
    found = {
        "folder": first["folder"],
        "name": first["name"],
        "by": by,
        "value": fmean(row[by] for row in chosen),
        "images": first.get(images_key(by) or "") if splits == 1 else None,
        "splits": splits,
    }
    return {
        **found,
        "compared": many,
        "left_out": left_out,
        "split": split,
        "energy_kwh": own,
        "share_of_energy": share,
    }


def _entries(rows: Sequence[dict]) -> list[list[dict]]:
    """The rows that are compared as one: those of a config whose validation images differ, or one by one."""
    experiments: dict[object, list[dict]] = defaultdict(list)
    for row in rows:
        config = row.get("config", {})  # the keys in which the runs differ
        several = any(key in config for key in SPLITTING)
        experiments[experiment_of(config) if several else row["folder"]].append(row)
    return list(experiments.values())


def lines(sums: dict) -> list[str]:
    """The totals for people."""
    runs = ", ".join(f"{count} {status}" for status, count in sorted(sums["runs"].items())) or "none"
    damaged = f", {sums['damaged']} damaged" if sums["damaged"] else ""
    tried = f"{sums['settings']} settings of {sums['hyperparameters']} hyperparameters that vary"
    copied = f" (another {sums['copied_epochs']:,} are copies of these)" if sums["copied_epochs"] else ""
    found = [f"runs: {runs}{damaged}; {sums['epochs']:,} epochs{copied}; {tried}"]
    if sums["training_flops"] is not None:
        unknown = f", without {sums['epochs_without_flops']} epochs" if sums["epochs_without_flops"] else ""
        days = f"{sums['training_petaflop_s_days']:.3g} petaflop/s-days"
        how = "forward, backward and teachers, as executed"
        if not sums["flops_counted"]:
            how = "partly estimated as 3 x 2 x MACs x images: forward once, backward twice"
            how += "" if sums["images_recorded"] else "; images as speed x time"
        found.append(f"training compute: {si(sums['training_flops'], 'FLOP')} = {days} ({how}{unknown})")
    resumed = f"; {sums['runs_resumed']} resumed runs, without what was cut off" if sums["runs_resumed"] else ""
    found.append(f"cost: {_cost_of(sums) or 'not recorded'} ({_how_known(sums)}{resumed})")
    if earlier := sums["inherited"]:
        silent = f", without {earlier['unknown']} that does not tell" if earlier["unknown"] else ""
        plural = "" if earlier["models"] == 1 else "s"
        found.append(
            f"began with, or learned from, {earlier['models']} model{plural} of other runs, not in the cost:"
            f" {_cost_of(earlier) or 'not recorded'}{silent}"
        )
    if measuring := _cost_of({key: sums[on_measuring(key)] for key in ("duration_h", *COSTS[1:])}):
        found.append(f"measuring them, not in the cost: {measuring}")
    if best := sums["winner"]:
        by, value = best["by"], best["value"]
        shown = counted(metric(by).cell(value), by, {by: value, images_key(by) or "": best["images"]})
        share = "" if best["share_of_energy"] is None else f", {percent(best['share_of_energy'])} of the energy"
        name = best["name"] if best["folder"] in best["name"] else f"{best['name']} ({best['folder']})"
        how = compared(best["compared"], best["split"], best["left_out"])
        name += f" and {best['splits'] - 1} of other splits, their mean" if best["splits"] > 1 else ""
        found.append(f"best {by}: {shown} by {name}{share} ({how})")
    return found


def _cost_of(sums: dict) -> str:
    """Time, energy and CO2, as far as they are known."""
    parts = [] if sums["duration_h"] is None else [f"{sums['duration_h']:.3g} h"]
    if sums["energy_kwh"] is not None:
        parts.append(metric("energy_kwh").text(sums["energy_kwh"]))
    if sums["co2eq_g"] is not None:
        parts.append(f"{metric('co2eq_g').text(sums['co2eq_g'])} CO2eq")
    return ", ".join(parts)


def _how_known(sums: dict) -> str:
    """Whether the energy was measured or estimated, by component."""
    parts = [f"{part} {' and '.join(sorted(kinds))}" for part, kinds in sums["sources"].items()]
    if sums["runs_without_energy"]:
        parts.append(f"unknown for {sums['runs_without_energy']} runs")
    return ", ".join(parts) or "energy was not measured"
