"""What a compression step brought must still hold after the steps that follow it."""


def violations(before: list[dict], after: list[dict]) -> list[str]:
    """What a model lost between two stages, in words; empty if all that was there still holds.

    Zeros may only become more and bits fewer, layer by layer, and MACs fewer in all. A layer whose shape a structural
    step has changed is not compared: such a step comes before masks and quantizers.

    Args:
        before, after: rows of the stored models' layers, as `measure.layers.per_layer` makes them.
    """
    now, problems = {row["name"]: row for row in after}, []
    for row in before:
        later = now.get(row["name"])
        if later is None or later["shape"] != row["shape"]:
            continue
        for key, what in (
            ("weights_nonzero", "non-zero weights"),
            ("weight_bits", "bits a weight"),
            ("activation_bits", "bits an input"),
        ):
            if later[key] > row[key]:
                problems.append(f"{row['name']} has {later[key]} {what}, had {row[key]}")
    sums = {key: (_total(before, key), _total(after, key)) for key in ("weights", "weights_nonzero", "macs")}
    if sums["macs"][1] > sums["macs"][0]:
        problems.append("there are {1:,} MACs, were {0:,}".format(*sums["macs"]))
    if sums["weights"][0] == sums["weights"][1] and sums["weights_nonzero"][1] > sums["weights_nonzero"][0]:
        problems.append("there are {1:,} non-zero weights, were {0:,}".format(*sums["weights_nonzero"]))
    return problems


def summary(rows: list[dict], dense: list[dict]) -> str:
    """What a stored model keeps of the dense one, in words, for the log."""
    weights, nonzero = _total(rows, "weights"), _total(rows, "weights_nonzero")
    bits = sum(row["weights"] * row["weight_bits"] for row in rows) / weights
    return (
        f"{1 - nonzero / weights:.2%} of the weights zero, {bits:.3g} bits a weight, "
        f"{weights / _total(dense, 'weights'):.2%} of the dense model's weights, "
        f"{_total(rows, 'macs') / _total(dense, 'macs'):.2%} of its MACs"
    )


def _total(rows: list[dict], key: str) -> int:
    """Sum over layers."""
    return sum(row[key] for row in rows)
