"""What everything that was gathered cost: the "Green AI" totals (Schwartz et al. 2020, CACM 63(12)), the winner's
share among them, so that a good result is seen with all the runs behind it. Standard library only.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

from effdl.measure.course import COURSE_LINE
from effdl.measure.metrics import COSTS, compared, deciding, metric, on_validation, split_of
from effdl.measure.units import percent, si
from effdl.report.gather import Gathered, Run
from effdl.report.naming import differing_keys
from effdl.runs.folder import DONE, RunFolder

_FLOPS_PER_MAC = 2
_PASSES = 3  # forward once, backward twice as much
_PETAFLOP_DAY = 1e15 * 24 * 3600


def totals(found: Gathered, last: Sequence[dict], best: str = "top1") -> dict:
    """Sums over all runs, unfinished ones too.

    ======================================================  ===========================================================
    ``runs``, ``damaged``                                   number of runs by status, and of folders nobody can read
    ``epochs``, ``images``                                  of all trainings; ``images_recorded``: or else see `images`
    ``hyperparameters``, ``settings``                       config keys that vary and different configs, seeds apart
    ``training_flops``, ``training_petaflop_s_days``        see `compute`; ``epochs_without_flops`` are not in them
    ``duration_h``, ``energy_kwh``, ``co2eq_g``             of training and evaluation
    ``sources``                                             finished runs by component of the energy and how it is known
    ``runs_without_energy``, ``runs_resumed``               whose energy, or what was cut off of them, is not in it
    ``winner``                                              see `winner`
    ======================================================  ===========================================================

    A sum leaves out what was not recorded, and says how much that is; it is None if nothing was.

    Args:
        last: rows of the runs' last stages, of which the best by the key `best` is the winner, see `winner`.
    """
    runs = found.runs
    epochs = [(run, _epochs_of(run)) for run in runs]
    computed = [compute(run, rows) for run, rows in epochs]
    flops = _sum_known(flops for flops, _, _ in computed)
    spent = [_cost(run, rows) for run, rows in epochs]
    energy = _sum_known(item["energy_kwh"] for item in spent)
    seconds = _sum_known(item["duration_s"] for item in spent)
    return {
        "runs": dict(Counter(run.status for run in runs)),
        "damaged": len(found.damaged),
        "epochs": sum(len(rows) for _, rows in epochs),
        "hyperparameters": len([key for key in differing_keys([run.settings for run in runs]) if key != "seed"]),
        "settings": len({_seedless(run) for run in runs}),
        "images": _sum_known(images for _, images, _ in computed),
        "images_recorded": all("images" in row for _, rows in epochs for row in rows),
        "training_flops": flops,
        "training_petaflop_s_days": None if flops is None else flops / _PETAFLOP_DAY,
        "epochs_without_flops": sum(unknown for _, _, unknown in computed),
        "duration_h": None if seconds is None else seconds / 3600,
        "energy_kwh": energy,
        "co2eq_g": _sum_known(item["co2eq_g"] for item in spent),
        "sources": _sources(runs),
        "runs_without_energy": sum(item["energy_kwh"] is None for item in spent),
        "runs_resumed": sum(bool(run.run.get("resumed")) for run in runs),
        "winner": winner(
            last, {str(run.path): item["energy_kwh"] for run, item in zip(runs, spent, strict=True)}, best
        ),
    }


def _epochs_of(run: Run) -> list[dict]:
    """The rows of ``epochs.jsonl``."""
    return RunFolder(run.path).epochs.read()


def compute(run: Run, epochs: list[dict]) -> tuple[float | None, float | None, int]:
    """FLOPs of the training, images it saw, and epochs for which that is not known.

    The usual estimate (Amodei & Hernandez 2018, "AI and Compute"; Sevilla et al. 2022): 2 FLOPs per multiply-accumulate
    and a backward pass that costs twice the forward pass, so 3 x 2 x MACs x images. MACs are those of the model that
    the stage ended with (of the dense model if the stage was not measured); validation and the forward passes of a
    teacher are not counted.
    """
    macs = {row["stage"]: row.get("macs") for row in run.stages}
    seen = [(images(row), macs.get(row.get("stage"), macs.get("dense"))) for row in epochs]
    flops = [_PASSES * _FLOPS_PER_MAC * m * n for n, m in seen if n is not None and m is not None]
    return _sum_known(flops), _sum_known(n for n, _ in seen), len(seen) - len(flops)


def images(epoch: dict) -> float | None:
    """Training images of an epoch: as recorded, else speed times the epoch's time.

    That time has the validation in it, so the product is a little too high, never too low.
    """
    if epoch.get("images") is not None:
        return epoch["images"]
    speed, seconds = epoch.get("images_per_s"), epoch.get("duration_s")
    return None if speed is None or seconds is None else speed * seconds


def _cost(run: Run, epochs: list[dict]) -> dict[str, float | None]:
    """Seconds, kWh and g CO2eq of a run: its total, or for an unfinished one its epochs and evaluations so far."""
    if run.total:
        return {key: run.total.get(key) for key in COSTS}
    parts = {
        key: [row.get(key) for row in epochs] + [row.get(f"evaluate_{key}") for row in run.stages] for key in COSTS
    }
    return {key: _sum_known(values) for key, values in parts.items()}


def _sources(runs: Sequence[Run]) -> dict[str, dict[str, int]]:
    """By component of the energy, how many finished runs measured it, estimated it or could not tell."""
    found: dict[str, Counter[str]] = {}
    for run in runs:
        for part, how in (run.total.get("source") or {}).items():
            found.setdefault(part, Counter())[str(how)] += 1
    return {part: dict(counts) for part, counts in found.items()}


def winner(rows: Sequence[dict], energy_kwh: dict[str, float | None], best: str) -> dict | None:
    """The finished run whose row is best by a metric; the lowest is, if the metric does not say.

    Accuracies are compared on the validation split, of the runs that were measured on one; on the test split if none
    was. A course score counts from 90 % on. ``share_of_energy`` is the winner's part of the energy of all runs, which
    `energy_kwh` has by folder; ``compared`` says of how many runs it is the best, ``split`` on which split, or None,
    and ``left_out`` how many runs have no such split.
    """
    finished = [row for row in rows if row["status"] == DONE and row.get(best) is not None]
    by_accuracy = best in ("top1", "course_score")
    validated = [row for row in finished if by_accuracy and row.get(on_validation("top1")) is not None]
    entered = validated or finished
    accuracy = deciding("top1", entered)
    by = accuracy if best == "top1" else best
    many, split = len(entered), split_of([accuracy] if by_accuracy else [])
    if best == "course_score":
        entered = [row for row in entered if (row.get(accuracy) or 0) >= COURSE_LINE]
    if not entered:
        return None
    first = min(entered, key=lambda row: metric(by).cost(row[by]))
    own, everything = energy_kwh[first["folder"]], _sum_known(energy_kwh.values())
    share = own / everything if own is not None and everything else None
    found = {"folder": first["folder"], "name": first["name"], "by": by, "value": first[by]}
    return {
        **found,
        "compared": many,
        "left_out": len(finished) - many,
        "split": split,
        "energy_kwh": own,
        "share_of_energy": share,
    }


def _seedless(run: Run) -> tuple:
    """A run's config without its seed, to compare."""
    return tuple((key, repr(value)) for key, value in run.config.items() if key != "seed")


def _sum_known(values: Iterable[float | None]) -> float | None:
    """The sum of the known values; None if there are none."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def lines(sums: dict) -> list[str]:
    """The totals for people."""
    runs = ", ".join(f"{count} {status}" for status, count in sorted(sums["runs"].items())) or "none"
    damaged = f", {sums['damaged']} damaged" if sums["damaged"] else ""
    tried = f"{sums['settings']} settings of {sums['hyperparameters']} hyperparameters that vary"
    found = [f"runs: {runs}{damaged}; {sums['epochs']:,} epochs; {tried}"]
    if sums["training_flops"] is not None:
        unknown = f", without {sums['epochs_without_flops']} epochs" if sums["epochs_without_flops"] else ""
        days = f"{sums['training_petaflop_s_days']:.3g} petaflop/s-days"
        how = "estimated as 3 x 2 x MACs x images: forward once, backward twice"
        how += "" if sums["images_recorded"] else "; images as speed x time"
        found.append(f"training compute: {si(sums['training_flops'], 'FLOP')} = {days} ({how}{unknown})")
    parts = [] if sums["duration_h"] is None else [f"{sums['duration_h']:.3g} h"]
    if sums["energy_kwh"] is not None:
        parts.append(metric("energy_kwh").text(sums["energy_kwh"]))
    if sums["co2eq_g"] is not None:
        parts.append(f"{metric('co2eq_g').text(sums['co2eq_g'])} CO2eq")
    resumed = f"; {sums['runs_resumed']} resumed runs, without what was cut off" if sums["runs_resumed"] else ""
    found.append(f"cost: {', '.join(parts) or 'not recorded'} ({_how_known(sums)}{resumed})")
    if best := sums["winner"]:
        shown = metric(best["by"]).cell(best["value"])
        share = "" if best["share_of_energy"] is None else f", {percent(best['share_of_energy'])} of the energy"
        name = best["name"] if best["folder"] in best["name"] else f"{best['name']} ({best['folder']})"
        how = compared(best["compared"], best["split"], best["left_out"])
        found.append(f"best {best['by']}: {shown} by {name}{share} ({how})")
    return found


def _how_known(sums: dict) -> str:
    """Whether the energy was measured or estimated, by component."""
    parts = [f"{part} {' and '.join(sorted(kinds))}" for part, kinds in sums["sources"].items()]
    if sums["runs_without_energy"]:
        parts.append(f"unknown for {sums['runs_without_energy']} runs")
    return ", ".join(parts) or "energy was not measured"
