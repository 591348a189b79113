"""The registry of metrics: what every number of a run is called, in which unit it is, and which way is better.

Tables, pictures, the page, model cards, sweeps and the glossary read it. A new metric is one entry here and the
function that measures it. Standard library only.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from effdl.measure import units as u
from effdl.measure.pareto import MAX, MIN

# Where a metric is measured: the rows of epochs.jsonl and stages.jsonl, the total of result.json, the rows of
# layers.jsonl, export.json, what `effdl report` computes from all of them, and the rows of `effdl probe`. With
# PRETRAINING only the epochs and the stage of a pretraining, which is never a run's last, have it.
EPOCH, STAGE, TOTAL, LAYER, EXPORT, REPORT, PROBE, PRETRAINING = (
    ("epoch",),
    ("stage",),
    ("total",),
    ("layer",),
    ("export",),
    ("report",),
    ("probe",),
    ("pretraining",),
)


@dataclass(frozen=True)
class Metric:
    """One metric.

    Attributes:
        key: in a run's files.
        label: where there is room for a few words.
        unit: of the stored number, and how it is written.
        better: MIN, MAX, or None if neither is.
        at: where it is measured.
        meaning: one sentence, of Markdown.
        short: above a narrow column, if not `label`.
        long: on an axis, if not `label`.
        alias: another name for the key, in ``--columns`` and file names.
        detail: whether the table of a run's stages leaves it out.
    """

    key: str
    label: str
    unit: u.Unit
    better: str | None
    at: tuple[str, ...]
    meaning: str
    short: str = ""
    long: str = ""
    alias: str = ""
    detail: bool = False

    @property
    def heading(self) -> str:
        """The name above a narrow column."""
        return self.short or self.label

    @property
    def name(self) -> str:
        """The name on an axis."""
        return self.long or self.label

    def text(self, value: object) -> str:
        """A stored value as people read it; a dash if it is None."""
        return u.UNKNOWN if value is None else self.unit.write(value)

    def cell(self, value: object) -> str:
        """A stored value as text for a narrow column; a dash if it is None."""
        return u.UNKNOWN if value is None else self.unit.in_column(value)

    def cost(self, value: float | None) -> float | None:
        """The value with its sign changed where more is better, so that the lowest cost is the best value."""
        return -value if value is not None and self.better == MAX else value

    def on(self, split: str) -> "Metric":
        """The metric measured on a split, which the last word of each name is told of: ``top-1 training accuracy``."""
        *words, last = self.name.split()
        return replace(self, label=f"{split} {self.label}", short="", long=" ".join([*words, split, last]), alias="")


def _top(n: int) -> Metric:
    """The accuracy among the n highest logits."""
    highest = "has the highest logit" if n == 1 else f"is among the {n} highest logits"
    meaning = f"fraction of images whose label {highest}: of the test split, in an epoch of the training split"
    at = EPOCH + STAGE + EXPORT if n == 1 else STAGE
    return Metric(f"top{n}", f"top-{n}", u.PERCENT, MAX, at, meaning, long=f"top-{n} accuracy", alias=f"top{n}")


def _error(n: int) -> Metric:
    """What the accuracy among the n highest logits leaves."""
    return Metric(f"error{n}", f"top-{n} error", u.PERCENT, MIN, REPORT, f"1 - `top{n}`", alias=f"error{n}")


# key, label, unit, better, where, meaning; the order is that of a run's table and of the glossary.
# fmt: off
_ENTRIES = (
    _top(1),
    _top(5),
    Metric("loss", "loss", u.NATS, MIN, EPOCH + STAGE, "mean cross entropy over the images", alias="loss"),
    Metric("val_knn_top1", "validation top-1 of neighbors", u.PERCENT, MAX, EPOCH + STAGE + PRETRAINING,
           "in pretraining, part of the validation images that their 20 nearest training images classify rightly, by"
           " features; in an epoch those of 200, or of a tenth of all", short="val k-NN top-1",
           long="validation accuracy of neighbors", alias="knn"),
    Metric("embedding_std", "deviation of embeddings", u.NUMBER, MAX, EPOCH + STAGE + PRETRAINING,
           "in pretraining, standard deviation of normalized embeddings, mean over dimensions: 0 if they have collapsed"
           " to one direction, 1/sqrt(dimensions) if they are spread evenly", detail=True),
    Metric("embedding_rank", "rank of embeddings", u.NUMBER, MAX, EPOCH + STAGE + PRETRAINING,
           "in pretraining, effective rank of embeddings: how many dimensions they use", detail=True),
    Metric("images", "images", u.PLAIN, None, EPOCH + STAGE, "number of images measured or trained on", detail=True),
    Metric("params", "parameters", u.COUNT, MIN, STAGE + LAYER, "number of parameters", short="params", alias="params"),
    Metric("params_nonzero", "non-zero", u.COUNT, MIN, STAGE + LAYER, "number of parameters that are not exactly zero",
           long="non-zero parameters"),
    Metric("params_pruned", "pruned", u.COUNT, None, STAGE,
           "number of parameters that pruning holds at zero; other zeros come from rounding", detail=True),
    Metric("zero_points", "zero points", u.PLAIN, None, STAGE,
           "number of quantizers of activations whose zero is another code than 0", detail=True),
    Metric("sparsity", "sparsity", u.PERCENT, MAX, STAGE, "1 - `params_nonzero` / `params`"),
    Metric("weights", "weights", u.COUNT, MIN, LAYER, "number of elements of the layer's weight"),
    Metric("weights_nonzero", "non-zero weights", u.COUNT, MIN, LAYER, "number of those that are not exactly zero"),
    Metric("weight_sparsity", "weight sparsity", u.PERCENT, MAX, STAGE + LAYER,
           "part of the weights of convolutions and linear layers that is exactly zero: what `prune=0.5` asks for",
           short="zeros", alias="zeros"),
    Metric("macs", "MACs", u.MACS, MIN, STAGE + LAYER, "multiply-accumulates for one image",
           long="multiply-accumulates", alias="macs"),
    Metric("macs_nonzero", "MACs non-zero", u.MACS, MIN, STAGE + LAYER, "those by weights that are not zero then",
           long="non-zero multiply-accumulates"),
    Metric("weight_bits", "bits per weight", u.BITS, MIN, STAGE + LAYER, "mean bits of a stored weight",
           short="bits", alias="bits"),
    Metric("activation_bits", "bits per activation", u.BITS, MIN, STAGE,
           "mean bits of an activation that enters a layer", short="act. bits",
           alias="activation_bits"),
    Metric("layer_activation_bits", "input bits", u.BITS, MIN, LAYER, "bits of the activations that enter the layer"),
    Metric("arithmetic_bits", "bits multiplied", u.BITS, MIN, LAYER,
           "bits of the layer's weight as it is multiplied: 8 for 7-bit codes, 32 for a codebook"),
    Metric("table", "scales", u.PLAIN, MIN, LAYER, "number of scales, or of a codebook's values, beside the weight"),
    Metric("norm_params", "norm", u.PLAIN, None, LAYER, "parameters of the batch norm that folds into the layer"),
    Metric("folded_biases", "biases", u.PLAIN, None, LAYER, "biases that the layer has with that norm folded"),
    Metric("inputs", "inputs", u.COUNT, None, LAYER, "number of activations that enter the layer"),
    Metric("bops", "bit operations", u.BOPS, MIN, STAGE,
           "sum of `macs_nonzero` x bits of the weight as it is multiplied (32 for a codebook) x input bits"),
    Metric("size_bytes", "size on disk", u.BYTES, MIN, STAGE + EXPORT,
           "length of the stored file: indices, scales, codebooks and headers included", short="size", alias="size"),
    Metric("deployed_bytes", "size as loaded", u.BYTES, MIN, STAGE + EXPORT,
           "what the runtime that was timed loads: the ONNX file, or the tensors that eager PyTorch computes with",
           short="loaded", alias="loaded"),
    Metric("layer_size_bytes", "bytes", u.WHOLE_BYTES, MIN, LAYER, "length of the layer's weight in the stored file",
           long="size on disk"),
    Metric("layer_share_of_size", "of file", u.PERCENT, None, LAYER, "its part of all tensors in the stored file"),
    Metric("layer_share_of_params", "of parameters", u.PERCENT, None, LAYER, "its part of the model's parameters"),
    Metric("size_fp32_bytes", "size in fp32 before any step", u.BYTES, MIN, STAGE,
           "4 x parameters of the dense model, or of the teacher for its own stage", detail=True),
    Metric("compression_ratio", "compression", u.RATIO, MAX, STAGE, "`size_fp32_bytes` / `size_bytes`",
           short="ratio", alias="ratio"),
    Metric("peak_activation_bytes", "activations held at most", u.BYTES, MIN, STAGE,
           "memory that one inference needs for activations in the best order of its operations, a byte for each if the"
           " runtime computes with 8-bit integers; without scratch memory of operations",
           short="act. memory", long="peak memory of activations", alias="activation_memory"),
    Metric("latency_ms", "latency, 1 image", u.MILLISECONDS, MIN, STAGE + EXPORT,
           "median time of one image in the runtime that the model is deployed in", short="latency",
           long="latency of one image", alias="latency"),
    Metric("latency_q1_ms", "latency, 1st quartile", u.MILLISECONDS, MIN, STAGE + EXPORT,
           "a quarter of the runs took less", detail=True),
    Metric("latency_q3_ms", "latency, 3rd quartile", u.MILLISECONDS, MIN, STAGE + EXPORT,
           "a quarter of the runs took more", detail=True),
    Metric("latency_runs", "timed runs", u.PLAIN, None, STAGE + EXPORT, "number of runs that were timed", detail=True),
    Metric("latency_threads", "threads", u.PLAIN, None, STAGE + EXPORT, "threads of the runtime", detail=True),
    Metric("latency_batch", "images per run", u.PLAIN, None, STAGE + EXPORT, "images per timed run", detail=True),
    Metric("latency_runtime", "runs in", u.TEXT, None, STAGE + EXPORT,
           "the runtime that was timed, with its arithmetic: eager PyTorch for floats, ONNX Runtime for int8"),
    Metric("latency_device", "device", u.TEXT, None, STAGE + EXPORT, "what it ran on", detail=True),
    Metric("latency_layout", "memory layout", u.TEXT, None, STAGE + EXPORT,
           "in eager PyTorch that of the run's training; null: the runtime chooses it", detail=True),
    Metric("latency_note", "not timed because", u.TEXT, None, STAGE,
           "why `latency_ms` is null: no runtime computes with the format (2-bit weights)", detail=True),
    Metric("speed", "speed-up", u.TEXT, None, STAGE,
           "measured against predicted speed-up over the dense model, and the likely reason where they part",
           detail=True),
    Metric("speedup", "speed-up over the dense model", u.RATIO, MAX, STAGE + EXPORT,
           "median of the ratios of the times of the dense model and this one, which took turns in the same runtime",
           short="speed-up", alias="speedup", detail=True),
    Metric("speedup_low", "speed-up, lower end", u.RATIO, MAX, STAGE + EXPORT,
           "lower end of the 99 % interval of `speedup`, by order statistics", detail=True),
    Metric("speedup_high", "speed-up, upper end", u.RATIO, MAX, STAGE + EXPORT,
           "upper end of this interval", detail=True),
    Metric("speedup_rounds", "rounds in turns", u.PLAIN, None, STAGE + EXPORT, "number of these ratios", detail=True),
    Metric("speedup_resolution", "speed-up of equals", u.RATIO, None, STAGE + EXPORT,
           "the largest ratio that the interval of the dense model against its own copy does not exclude", detail=True),
    Metric("speedup_shown", "what the times show", u.TEXT, None, STAGE + EXPORT,
           "`faster` (`slower`) only if the interval is wholly above (below) 1 and `speedup_resolution` (its inverse)",
           detail=True),
    Metric("dense_latency_ms", "dense model, in turns", u.MILLISECONDS, None, STAGE + EXPORT,
           "median time of the dense model, in turns with this one and in the same runtime",
           long="latency of the dense model, in turns"),
    Metric("dense_latency_runtime", "the dense model runs in", u.TEXT, None, STAGE + EXPORT,
           "the runtime of `dense_latency_ms`", detail=True),
    Metric("layers", "layers", u.PLAIN, None, STAGE, "number of layers that have a weight", detail=True),
    Metric("model_sha256", "digest of the model", u.TEXT, None, STAGE, "SHA-256 of the stored file that was measured",
           detail=True),
    Metric("throughput_images_per_s", "throughput", u.SPEED, MAX, STAGE,
           "images per second in batches, in the runtime of `latency_ms`"),
    Metric("throughput_batch", "batch of the throughput", u.PLAIN, None, STAGE, "images per batch", detail=True),
    Metric("images_per_s", "training speed", u.SPEED, MAX, EPOCH, "images trained on per second"),
    Metric("trained_in", "trained in", u.TEXT, None, EPOCH,
           "the run of the sweep that trained the epoch, of which this is a copy; not there if it is the run's own",
           detail=True),
    Metric("lr", "learning rate", u.NUMBER, None, EPOCH, "learning rate at the end of the epoch"),
    Metric("memory_peak_bytes", "peak memory", u.BYTES, MIN, EPOCH + STAGE,
           "peak during training: of PyTorch's allocator on a GPU; on a CPU of the process, above what imports take"),
    Metric("epochs", "epochs", u.PLAIN, None, STAGE + TOTAL, "number of epochs trained", detail=True),
    Metric("params_trainable", "parameters trained", u.COUNT, None, EPOCH + STAGE,
           "number of parameters that learn, of a stage in the epoch where most did; the others are frozen",
           short="trained", detail=True),
    Metric("duration_s", "time", u.SECONDS, MIN, EPOCH + STAGE + TOTAL,
           "time of the training and of all that the method computes, measuring apart", short="stage time",
           long="time of the stage", alias="stage_time"),
    Metric("energy_kwh", "energy", u.WATT_HOURS, MIN, EPOCH + STAGE + TOTAL,
           "energy of the same: `cpu_kwh` + `gpu_kwh` + `ram_kwh`, as far as they are known",
           short="stage energy", long="energy of the stage", alias="stage_energy"),
    Metric("co2eq_g", "CO2eq", u.GRAMS, MIN, EPOCH + STAGE + TOTAL, "energy x PUE x carbon intensity of electricity",
           short="stage CO2eq", long="CO2eq of the stage", alias="stage_co2"),
    Metric("cpu_kwh", "energy of the CPU", u.WATT_HOURS, MIN, EPOCH + STAGE + TOTAL,
           "energy of the processor, by the run's CPU time", detail=True),
    Metric("gpu_kwh", "energy of the GPU", u.WATT_HOURS, MIN, EPOCH + STAGE + TOTAL,
           "energy of the GPUs; null without an energy counter", detail=True),
    Metric("ram_kwh", "energy of the memory", u.WATT_HOURS, MIN, EPOCH + STAGE + TOTAL,
           "energy of the memory, by the part that the run holds", detail=True),
    Metric("others_cpu_s", "CPU time of others", u.SECONDS, MIN, EPOCH + STAGE + TOTAL,
           "CPU time that other programs used on the machine meanwhile", detail=True),
    Metric("training_flops", "training compute", u.FLOPS, MIN, EPOCH + STAGE + TOTAL,
           "floating-point operations of the training: forward, backward and teachers, as executed",
           short="stage compute", long="training compute of the stage", alias="stage_compute"),
    Metric("energy_source", "energy known by", u.TEXT, None, STAGE,
           "how the energy of each component is known: `measured`, `estimated`, by a `constant`, or `unavailable`",
           detail=True),
    Metric("resumed", "resumed", u.PLAIN, None, TOTAL, "how often the run was resumed; what that lost is not counted"),
    Metric("training_flops_so_far", "training compute so far", u.FLOPS, MIN, REPORT,
           "training compute of the run up to and with the stage", long="training compute of the run so far"),
    Metric("energy_so_far_kwh", "energy so far", u.WATT_HOURS, MIN, REPORT,
           "energy of the run up to and with the stage", long="energy of the run so far"),
    Metric("feature_width", "features", u.PLAIN, None, PROBE, "number of features of an image, over all positions"),
    Metric("linear_top1", "linear top-1", u.PERCENT, MAX, PROBE,
           "top-1 of logistic regression on the features, its penalty chosen on the validation split",
           long="linear top-1 accuracy"),
    Metric("knn_top1", "k-NN top-1", u.PERCENT, MAX, PROBE,
           "top-1 of the 20 nearest training features by cosine, weighted as in Wu et al. 2018",
           long="k-NN top-1 accuracy"),
    Metric("linear_penalty", "penalty", u.NUMBER, None, PROBE, "factor of half the squared weights in its loss"),
    Metric("top1_difference", "top-1 difference", u.POINTS, None, EXPORT, "`top1` of the export minus that of PyTorch"),
    Metric("argmax_agreement", "same answer", u.PERCENT, MAX, EXPORT, "fraction of images that both answer alike"),
    Metric("logit_difference_max", "largest logit difference", u.NUMBER, MIN, EXPORT, "largest absolute difference"),
    Metric("logit_max", "largest logit", u.NUMBER, None, EXPORT, "largest absolute logit in PyTorch"),
    Metric("probability_difference_max", "largest difference", u.NUMBER, MIN, EXPORT,
           "largest absolute difference of a probability, of an export with `preprocessing=true`"),
    _error(1),
    Metric("train_labels", "labels to train on", u.PLAIN, None, REPORT, "labelled images that the run is trained on",
           detail=True),
    Metric("train_top1", "training top-1", u.PERCENT, MAX, STAGE,
           "top-1 on training images, as many as validate (1,000 if none do), without augmentation", detail=True),
    Metric("top1_change", "change of top-1", u.POINTS, MAX, REPORT,
           "`top1` minus that of the stage in `compared_with`: `dense`, but `teacher` for the teacher",
           short="change", alias="change"),
    Metric("course_score", "course score", u.SCORE, MIN, REPORT,
           "score of the course Efficient Deep Learning (IMT Atlantique)", alias="course"),
    Metric("course_w", "w", u.PLAIN, MIN, REPORT, "the dense model's parameters, w in the formula"),
    Metric("course_f", "f", u.PLAIN, MIN, REPORT, "the dense model's MACs, f in the formula"),
    Metric("course_p_s", "p_s, structured", u.PERCENT, MAX, REPORT,
           "part of the dense model's parameters that is gone", short="p_s"),
    Metric("course_p_s_macs", "p_s of MACs", u.PERCENT, MAX, REPORT, "part of the dense model's MACs that is gone"),
    Metric("course_p_u", "p_u, unstructured", u.PERCENT, MAX, REPORT,
           "part of the dense model's parameters that pruning made zero", short="p_u"),
    Metric("course_zeros", "other zeros", u.PERCENT, None, REPORT,
           "part of the dense model's parameters that is zero otherwise, by rounding: it counts as not pruned"),
    Metric("course_weight_bits", "q_w, counted bits", u.BITS, MIN, REPORT,
           "mean bits that a weight counts as: 8 for the 7 bits that `int8` uses", short="q_w",
           long="counted bits per weight"),
    Metric("course_storage", "term of w", u.SCORE, MIN, REPORT, "the first term of `course_score`"),
    Metric("course_operations", "term of f", u.SCORE, MIN, REPORT, "its second term"),
    Metric("course_score_one_p_s", "with one p_s", u.SCORE, MIN, REPORT,
           "the score with p_s of the parameters for the MACs too, as the formula is written"),
    Metric("course_reached", "90 %", u.REACHED, MAX, REPORT,
           "whether `top1` is at least what the course asks for; on CIFAR-10 only"),
    Metric("micronet_score", "MicroNet score", u.SCORE, MIN, REPORT, "score of the MicroNet Challenge (NeurIPS 2019)",
           alias="micronet"),
    Metric("micronet_storage", "32-bit params", u.COUNT, MIN, REPORT, "32-bit parameters that the model counts as"),
    Metric("micronet_operations", "operations", u.MACS, MIN, REPORT, "multiplications and additions that count"),
    Metric("micronet_reference", "reference", u.TEXT, None, REPORT, "what the MicroNet score is relative to"),
    Metric("dcase_rank", "weighted rank", u.SCORE, MIN, REPORT,
           "rank among the shown rows as in DCASE 2023: half by `top1`, a quarter each by `dcase_memory_kb` and `macs`",
           alias="dcase"),
    Metric("dcase_memory_kb", "memory, KB", u.KILOBYTES, MIN, REPORT,
           "parameters x bits as DCASE counts them since 2022, zeros too", long="memory by DCASE 2023"),
    Metric("dcase_size_kb", "size, KB", u.KILOBYTES, MIN, REPORT, "size as DCASE 2020 task 1b counts it",
           long="size by DCASE 2020"),
    Metric("dcase_complexity_management", "complexity management", u.TEXT, None, REPORT, "methods applied so far"),
    Metric("training_hardware", "hardware", u.TEXT, None, REPORT, "what the run was trained on"),
    Metric("training_power_w", "power, W", u.WATTS, MIN, REPORT, "mean power of the run", long="mean power"),
    Metric("training_hours", "hours", u.HOURS, MIN, REPORT, "hours of the run", long="time of the run"),
    Metric("training_kwh_pue", "kWh x PUE", u.KILOWATT_HOURS, MIN, REPORT, "energy x PUE of Strubell et al. 2019",
           long="energy x PUE"),
    Metric("training_co2e_lbs", "CO2e, lbs", u.POUNDS, MIN, REPORT, "CO2 with the factors of Strubell et al. 2019",
           long="CO2e"),
    Metric("training_cloud_cost_usd", "cloud cost, USD", u.DOLLARS, MIN, REPORT,
           "hours x `energy.price_per_hour`, as in Strubell et al. 2019, table 3", long="cloud cost",
           alias="cloud_cost"),
)
# fmt: on
METRICS: dict[str, Metric] = {entry.key: entry for entry in _ENTRIES}
# What every epoch and stage costs, and a run in total; and all that `effdl.measure.energy` measures of them.
COSTS = ("duration_s", "energy_kwh", "co2eq_g")
METERED = (*COSTS, "cpu_kwh", "gpu_kwh", "ram_kwh", "others_cpu_s")
_VALIDATION = "val_"
_ACCURACY = re.compile(rf"({_VALIDATION})?top(\d+)")
# What a table keeps that has no room for all columns: the later, the longer; what is not named here leaves first.
KEPT = (
    *("co2eq_g", "total_co2eq_g", "params_nonzero", "params", "val_loss", "macs_nonzero", "compression_ratio"),
    *("duration_s", "total_duration_s", "energy_kwh", "total_energy_kwh", "macs", "latency_ms", "val_top1"),
    *("activation_bits", "course_storage", "course_operations", "course_f", "course_w"),
    *("course_p_s_macs", "course_p_s", "course_p_u", "weight_bits", "weight_sparsity", "loss"),
    *("top1_change", "course_reached", "layer_share_of_size", "layer_size_bytes", "size_bytes"),
    *(
        "training_hours",
        "training_co2e_lbs",
        "training_kwh_pue",
        "dcase_rank",
        "micronet_score",
        "course_score",
        "top1",
    ),
)
# Prefixes of keys: what they say of a metric, and its entry with the prefix.
FAMILIES: dict[str, tuple[str, Callable[[Metric], Metric]]] = {
    _VALIDATION: (
        "on the validation split",
        lambda base: replace(base.on("validation"), short=f"val {base.heading}", at=EPOCH + STAGE),
    ),
    "evaluate_": (
        "for measuring the stage: evaluation, export, timing",
        lambda base: replace(
            base,
            label=f"measuring: {base.label}",
            short="",
            long=f"{base.label} of measuring",
            alias=base.alias.replace("stage_", "measuring_"),
            at=STAGE + TOTAL,
        ),
    ),
    "total_": (
        "for all stages of the run",
        lambda base: replace(
            base, short=base.label, long=f"{base.label} of the run", alias=base.alias.removeprefix("stage_"), at=REPORT
        ),
    ),
}


def metric(key: str) -> Metric:
    """The entry of a key.

    Derived keys have one too: ``topN`` and ``errorN`` for any N, those with a prefix of `FAMILIES`, and ``..._std``,
    the standard deviation over seeds. An unknown key, such as a user's own, has a generic entry named like the key.
    """
    if key in METRICS:
        return METRICS[key]
    if match := re.fullmatch(r"(top|error)(\d+)", key):
        return {"top": _top, "error": _error}[match[1]](int(match[2]))
    for prefix, (_, derived) in FAMILIES.items():
        if key.startswith(prefix) and (base := metric(key.removeprefix(prefix))).at:
            return replace(derived(base), key=key)
    if key.endswith("_std") and (base := metric(key.removesuffix("_std"))).at:
        label, name = (f"{text}, standard deviation" for text in (base.label, base.name))
        return replace(base, key=key, label=label, short="", long=name, better=None, alias="")
    return Metric(key, key, u.PLAIN, None, (), "")


def stage_numbers(topk: Iterable[int], own_metrics: Iterable[str] = ()) -> list[str]:
    """The keys of a stage's row that hold numbers, the accuracies first, then the user's own metrics."""
    own = [key for key, entry in METRICS.items() if {*STAGE} <= {*entry.at} and entry.unit is not u.TEXT]
    tested = [*(f"top{k}" for k in topk), "loss", *own_metrics]
    return [
        *tested,
        *map(on_validation, tested),
        *(key for key in own if key not in tested and not accuracies([key])),
        *map(on_measuring, METERED),
    ]


OF_PRETRAINING = [key for key, entry in METRICS.items() if {*PRETRAINING} <= {*entry.at}]


def total_numbers() -> list[str]:
    """The keys of a run's total that hold numbers."""
    return [key for key, entry in METRICS.items() if {*TOTAL} <= {*entry.at} and entry.unit is not u.TEXT]


def layer_metric(key: str) -> Metric:
    """The entry of a key of a layer's row, which may have another name there."""
    return METRICS.get(f"layer_{key}") or metric(key)


def _in_total(key: str) -> list[str]:
    """The keys of a metric's totals over a run, if they have short names."""
    return [f"total_{key}"] * (key in (*COSTS, "training_flops")) + [f"total_{on_measuring(key)}"] * (key in COSTS)


def on_measuring(key: str) -> str:
    """The key of what measuring a stage cost, which is not part of what the stage cost."""
    return f"evaluate_{key}"


# Short names of keys, for people to type.
ALIASES = {
    entry.alias: entry.key
    for own in METRICS.values()
    for entry in (own, *map(metric, _in_total(own.key)))
    if entry.alias
}


def on_validation(key: str) -> str:
    """The key of what the validation split says of a metric of the test split."""
    return f"{_VALIDATION}{key}"


def on_test(key: str, own: Iterable[str] = ()) -> bool:
    """Whether a key of a stage's row is measured on the test split, which no choice may see.

    Args:
        own: the keys of the user's own metrics.
    """
    return key == "loss" or key in own or re.fullmatch(r"(top|error)\d+", key) is not None


def split_of(keys: Iterable[str]) -> str | None:
    """The split on which these keys of stages' rows compare models; None if on none."""
    keys = list(keys)
    if any(map(on_test, keys)):
        return "test"
    return "validation" if any(key.startswith(_VALIDATION) for key in keys) else None


def compared(number: int, split: str | None, left_out: int = 0) -> str:
    """How many were compared, for people; by the test split only if there is no other, which is said."""
    note = ": none was measured on a validation split" if split == "test" else ""
    note += f", {left_out} not measured on it" if left_out else ""
    return f"{number} compared" + (f" on the {split} split{note}" if split else "")


def deciding(key: str, rows: Iterable[Mapping]) -> str:
    """The key by which rows are compared where one is chosen: on the validation split, if any of them knows it.

    Rows that do not know it are not compared.
    """
    chosen = on_validation(key)
    return chosen if any(row.get(chosen) is not None for row in rows) else key


def accuracies(row: Iterable[str]) -> list[str]:
    """The keys of the accuracies in a row, such as ``top1`` and ``top5``, in order."""
    return sorted((key for key in row if re.fullmatch(r"top\d+", key)), key=lambda key: int(key.removeprefix("top")))


def errors(row: Mapping) -> dict[str, float | None]:
    """``error1 = 1 - top1`` and so on, for the accuracies in a row, those on the validation split too."""
    found = {key: match for key in row if (match := _ACCURACY.fullmatch(key))}
    return {
        f"{match[1] or ''}error{match[2]}": None if row[key] is None else 1 - row[key] for key, match in found.items()
    }


def images_key(key: str) -> str | None:
    """The key of the number of images of which an accuracy or an error is a share; None for other metrics."""
    match = re.fullmatch(rf"({_VALIDATION})?(top|error)\d+", key)
    return match and f"{match[1] or ''}images"
