"""A Hugging Face model card of a run: its metadata and its text, from the run's files.

The metadata's keys are those of the Hub's model cards (huggingface.co/docs/hub/model-cards, model-cards-co2).
"""

import shlex
from typing import Any

from effdl.config import naming
from effdl.config.naming import option_name
from effdl.measure.metrics import accuracies, metric
from effdl.report.energy_basis import energy_basis
from effdl.report.scrub import without_paths
from effdl.report.table import known_rows

# What the metadata say of the stored model besides its accuracies.
_METRICS = ("loss", "params", "params_nonzero", "weight_sparsity", "macs_nonzero", "weight_bits", "size_bytes")
_NOT_REPEATED = ("hydra.", "resume=", "logger=")

_TEXT = """\
# {title}

{what}

## Results

{results}

Accuracies are of the test split ({dataset}). The stored model is that of the last column.

## Use

```python
import effdl

model = effdl.load_model("FOLDER")  # where model.safetensors is; a torch.nn.Module in eval mode
```

It takes images as float32 of shape (n, {channels}, {size}, {size}), normalized with the mean and standard deviation of
the training split, and gives logits of shape (n, {classes}).

## Reproduce

{reproduce}

## Cost

{cost}
"""


def metadata(run: dict, result: dict) -> dict[str, Any]:
    """Keyword arguments for ``huggingface_hub.ModelCardData``, without the results and the license."""
    config = run["config"]
    dataset = option_name(config["dataset"])
    methods = [row["method"] for row in result["stages"] if row["method"] != "train"]
    values = {
        "library_name": "effdl",
        "pipeline_tag": "image-classification",
        "tags": ["effdl", "pytorch", "image-classification", *dict.fromkeys(methods)],
        "metrics": ["accuracy"],
        "model_name": _title(run, result),
    }
    if dataset != "image_folder":  # which is no data set's name
        values["datasets"] = [dataset]
    if result["total"]["co2eq_g"] is not None:
        values["co2_eq_emissions"] = _emissions(run, result["total"])
    return values


def _emissions(run: dict, total: dict) -> dict[str, Any]:
    """The metadata's ``co2_eq_emissions``, in grams, which says what was measured and what estimated."""
    return {
        "emissions": total["co2eq_g"],
        "source": f"{total['energy']['tracker']}; energy: {energy_basis(total)}",
        "training_type": "fine-tuning" if run["config"]["model"].get("weights") else "pre-training",
        "geographical_location": total["energy"]["country"] or total["energy"]["grid_source"],
        "hardware_used": _hardware(run),
    }


def _hardware(run: dict) -> str:
    """The device that trained, with its number of threads if it is the processor."""
    return run["hardware"]["gpu"] or f"{run['hardware']['cpu']}, {run['threads']} threads"


def _title(run: dict, result: dict) -> str:
    """The model, the data, and what was done to it."""
    methods = [row["method"] for row in result["stages"] if row["method"] != "train"]
    name = naming.title(run["config"])
    return f"{name}, {', '.join(methods)}" if methods else name


def evaluations(run: dict, result: dict) -> list[dict[str, Any]]:
    """Keyword arguments for ``huggingface_hub.EvalResult``: what was measured of the stored model, the last stage."""
    stage = result["stages"][-1]
    dataset = option_name(run["config"]["dataset"])
    task = {"task_type": "image-classification", "dataset_type": dataset, "dataset_name": dataset}
    named = [("accuracy", metric(key).name, key) for key in accuracies(stage)] + [(key, key, key) for key in _METRICS]
    return [
        {**task, "dataset_split": "test", "metric_type": kind, "metric_name": name, "metric_value": stage[key]}
        for kind, name, key in named
        if stage.get(key) is not None
    ]


def text(run: dict, result: dict, description: dict, overrides: list[str]) -> str:
    """The card below its metadata.

    Args:
        description: what the stored model says of itself.
        overrides: those of the command that made the run.
    """
    config, first, last = run["config"], result["stages"][0], result["stages"][-1]
    dense = next((row for row in result["stages"] if row["stage"] == "dense"), first)
    counts = [metric(key).text(row[key]) for key, row in (("params", dense), ("params_nonzero", last))]
    what = f"{option_name(config['model'])} with {counts[0]} parameters"
    if last is not dense:
        what += f"; the stored model has {counts[1]} that are not zero and is {last['size_bytes']:,} bytes"
    return _TEXT.format(
        title=_title(run, result),
        what=f"{what}. Trained, compressed and measured by effdl {run['versions']['effdl']}.",
        results=_results_table(result["stages"]),
        dataset=option_name(config["dataset"]),
        channels=description["channels"],
        size=description["image_size"],
        classes=description["classes"],
        reproduce=_reproduce(run, overrides),
        cost=_cost(run, result["total"]),
    )


def _results_table(stages: list[dict]) -> str:
    """What was measured after every stage, in Markdown."""
    lines = [["", *(row["stage"] for row in stages)], ["---", *["---:"] * len(stages)]]
    lines += [[label, *cells] for label, cells in known_rows(stages)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _reproduce(run: dict, overrides: list[str]) -> str:
    """The command that makes the run again, and what decides the last digits."""
    kept = [shlex.quote(without_paths(text)) for text in overrides if not text.startswith(_NOT_REPEATED)]
    versions = f"PyTorch {run['versions']['torch']}, {_hardware(run)}"
    return (
        f"```bash\n{' '.join(['effdl train', *kept])}\n```\n\n"
        f"Seed {run['seed']}. Made with {versions}: the same gives the same weights, bit for bit. `PATH` stands for "
        "files of your own; SHA-256 of the decoded data: "
        f"`{run['data_fingerprint']}`."
    )


def _cost(run: dict, total: dict) -> str:
    """Time, energy and CO2 of all stages, without measuring them, and what the figures rest on."""
    how = total["energy"]
    energy, co2 = (
        "not known" if total[key] is None else metric(key).text(total[key]) for key in ("energy_kwh", "co2eq_g")
    )
    lines = [
        f"- {total['epochs']} epochs, {metric('total_duration_s').text(total['duration_s'])} on {_hardware(run)}",
        f"- energy: {energy} ({how['tracker']}: {energy_basis(total)})",
        f"- CO2eq: {co2} (grid: {how['grid_source']}, {how['grid_g_per_kwh']} g/kWh, PUE {how['pue']})",
    ]
    if run["config"]["model"].get("weights"):
        lines.append("- without what the model cost that the training began with")
    if total["resumed"]:
        lines.append(f"- resumed {total['resumed']} times: what the interruptions lost is not counted")
    return "\n".join(lines)
