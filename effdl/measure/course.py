"""The score of the course "Efficient Deep Learning" (IMT Atlantique, lab 4): the formula, and its columns.

Standard library only.
"""

from collections.abc import Sequence

from effdl.measure.scores import counted_bits, missing

_WEIGHTS, _MACS = 5.6e6, 2.8e8  # ResNet-18 on CIFAR-10 in half precision
COURSE_LINE, _DATASET = 0.9, "cifar10"  # top-1 that a model must reach, and on which data set


def course_score(
    weights: float,
    macs: float,
    weight_bits: float,
    activation_bits: float,
    *,
    structured: float = 0.0,
    unstructured: float = 0.0,
    structured_macs: float | None = None,
) -> float:
    """Score of the course "Efficient Deep Learning" (IMT Atlantique, lab 4); the lowest wins.

    ``[1 - (p_s + p_u)] (q_w / 32) w / 5.6e6  +  (1 - p_s) (max(q_w, q_a) / 32) f / 2.8e8``

    Args:
        weights, macs: w and f, of the unpruned network.
        weight_bits, activation_bits: q_w and q_a.
        structured, unstructured: p_s and p_u, the fractions of the weights that are gone and that are zero.
        structured_macs: p_s of the second term, if the MACs shrank by another fraction than the weights.
    """
    gone = structured if structured_macs is None else structured_macs
    return _storage(weights, weight_bits, structured + unstructured) + _operations(
        macs, max(weight_bits, activation_bits), gone
    )


def _storage(weights: float, bits: float, gone: float) -> float:
    """The first term."""
    return (1 - gone) * bits / 32 * weights / _WEIGHTS


def _operations(macs: float, bits: float, gone: float) -> float:
    """The second term."""
    return (1 - gone) * bits / 32 * macs / _MACS


def course_columns(
    row: dict, base: dict | None, layers: Sequence[dict] = (), *, pruned: int | None = None, dataset: str | None = None
) -> dict:
    """The course score of a stage, from its row and that of the stage before any compression.

    - Structured pruning is what is gone from the model. The course has one p_s, and half the channels are a quarter of
      the MACs: ``course_score`` takes the part of the parameters for its first term and that of the MACs for its
      second, ``course_score_one_p_s`` that of the parameters for both. A factorization counts as structured.
    - Unstructured pruning are the zeros that pruning made, as a fraction of the base's parameters. Other zeros, such as
      those that rounding made, are ``course_zeros``, and count as weights.
    - ``course_weight_bits`` is the mean of the layers' `counted_bits`.
    - ``course_w`` and ``course_f`` are the weights and MACs of the base, and ``course_storage`` and
      ``course_operations`` the two terms of ``course_score``.
    - ``course_reached`` says whether top-1 reaches the 90 % that the course asks for on CIFAR-10; None on other data.

    Args:
        layers: the stage's rows of ``layers.jsonl``.
        pruned: number of parameters that pruning set to zero, see `pruned_params`.
        dataset: the name of the data set.
    """
    keys = ("params", "params_nonzero", "macs", "weight_bits", "activation_bits")
    top1 = row.get("top1") if dataset == _DATASET else None
    names = ("w", "f", "p_s", "p_s_macs", "p_u", "zeros", "weight_bits")
    names += ("storage", "operations", "score", "score_one_p_s")
    values: Sequence[float | None] = [None] * len(names)
    if base and pruned is not None and not missing(row, keys) and base.get("params") and base.get("macs"):
        p_s, p_s_macs = 1 - row["params"] / base["params"], 1 - row["macs"] / base["macs"]
        p_u = pruned / base["params"]
        zeros = (row["params"] - row["params_nonzero"] - pruned) / base["params"]
        bits = _mean_bits(layers) or row["weight_bits"]
        w, f, widest = base["params"], base["macs"], max(bits, row["activation_bits"])
        terms = _storage(w, bits, p_s + p_u), _operations(f, widest, p_s_macs)
        one_p_s = course_score(w, f, bits, row["activation_bits"], structured=p_s, unstructured=p_u)
        values = [w, f, p_s, p_s_macs, p_u, zeros, bits, *terms, sum(terms), one_p_s]
    columns = {f"course_{name}": value for name, value in zip(names, values, strict=True)}
    return {**columns, "course_reached": None if top1 is None else top1 >= COURSE_LINE}


def pruned_params(stages: Sequence[dict]) -> int | None:
    """Number of parameters that pruning made zero, at the last of the rows of a model's stages.

    Runs of earlier versions did not record it: there it is the number of zeros at the last stage before the weights had
    fewer bits, since masks are kept and no weight becomes zero by training.
    """
    if not stages or "params_pruned" in stages[-1]:
        return stages[-1]["params_pruned"] if stages else None
    plain = [row for row in stages if not missing(row, ("params", "params_nonzero", "weight_bits"))]
    plain = [row for row in plain if row["weight_bits"] == plain[0]["weight_bits"]]
    return plain[-1]["params"] - plain[-1]["params_nonzero"] if plain else None


def _mean_bits(layers: Sequence[dict]) -> float | None:
    """The mean of `counted_bits` over all weights."""
    weights = sum(layer["weights"] for layer in layers)
    return sum(layer["weights"] * counted_bits(layer) for layer in layers) / weights if weights else None
