"""Write the table of committed experiments in configs/experiment/README.md from what their files report.

Also the table of regimes of transfer in configs/README.md, from the same files: how much of a network is trained,
against how many labels there are and how much the images are like those that it knows.

    python scripts/update_experiments.py

Nothing is measured here: `scripts/state_results.py` has put the values of runs into JSON files beside the experiments,
and `effdl reproduce` checks them. One row per accuracy; a difference in points where the file reports one. In brackets
is the 95 % interval of a mean over several seeds or folds. Of a cross-validation it is the accuracy on the folds.
"To paper" says whether ours agrees with the paper's within our tolerance, or is above or below it.
"""

import math
import sys

from pages import markdown, replace_part

from effdl.config.experiments import experiments, stated
from effdl.measure.metrics import COSTS, metric, on_validation
from effdl.measure.units import UNKNOWN
from effdl.report.reproduction.claims import TOTAL, Claim, beside_paper, stated_claims
from effdl.report.reproduction.table import shown, subtracted

ACCURACY, SIZE = "top1", "size_bytes"
HELD_OUT = on_validation(ACCURACY)
DATA = {"transfer_imagenet": "similar: CIFAR-10", "transfer_regimes": "different: MNIST"}
REGIMES = {
    ("head", "ImageNet"): "last layer",
    ("last:3", "ImageNet"): "last three parts",
    ("all", "ImageNet"): "all of it",
    ("all", "none"): "all, from scratch",
}
COLUMNS = (
    *("effdl reproduce ...", "stage", f"test {metric(ACCURACY).label}", "paper", "to paper", metric(SIZE).label),
    *(metric(key).label for key in COSTS),
)


def accuracy(claim: Claim) -> str:
    """An accuracy, or a difference of two, with its interval if there is one."""
    text, *ends = [shown(value, ACCURACY, claim.is_difference) for value in (claim.value, *(claim.interval or ()))]
    parts = [text, "points" if claim.is_difference else "", f"({' to '.join(ends)})" if ends else ""]
    return " ".join(part for part in [*parts, "on the folds" if claim.metric == HELD_OUT else ""] if part)


def rows(name: str, found: list[Claim]) -> list[list[str]]:
    """The rows of one experiment; what a run cost stands in the row of its last stage."""
    own = {claim.subject: claim for claim in found if not claim.paper}
    papers = {claim.subject: claim for claim in found if claim.paper}
    tops = [claim for claim in own.values() if claim.metric in (ACCURACY, HELD_OUT)]
    lines = []
    for number, claim in enumerate(tops):
        last = number + 1 == len(tops) or tops[number + 1].overrides != claim.overrides

        def cell(stage: str, key: str, claim: Claim = claim) -> str:
            value = own.get((claim.overrides, stage, key, None, None))
            return metric(key).cell(value.value) if value else ""

        paper = papers.get(claim.subject)
        lines.append(
            [
                " ".join(["`" + name, *claim.overrides]) + "`",
                f"{claim.stage} - {other}"
                if (other := subtracted(claim.relative_to, claim.compared_with))
                else claim.stage,
                accuracy(claim),
                accuracy(paper) if paper else UNKNOWN,
                beside_paper(claim.value, paper, claim.tolerance),
                cell(claim.stage, SIZE),
                *(cell(TOTAL, key) if last else "" for key in COSTS),
            ]
        )
    return lines


def regimes() -> str:
    """Test accuracy of each regime of transfer, data set and number of labels; the best in bold."""
    lines = []
    for name, words in DATA.items():
        found = {arm(claim): claim.value for claim in transfers(name)}
        for labels in sorted({labels for labels, _ in found}):
            values = [found.get((labels, regime)) for regime in REGIMES]
            best = max(value for value in values if value is not None)
            texts = [metric(ACCURACY).text(value) for value in values]
            lines.append(
                [
                    words,
                    "all" if labels == math.inf else f"{labels:,}",
                    *(f"**{t}**" if v == best else t for t, v in zip(texts, values, strict=True)),
                ]
            )
    return markdown(("data", "labels", *REGIMES.values()), lines)


def transfers(name: str) -> list[Claim]:
    """The accuracies that an experiment states of runs with a number of labels."""
    found = stated_claims(stated(experiments(None)[name]))
    return [claim for claim in found if claim.metric == ACCURACY and not claim.is_difference and not claim.paper]


def arm(claim: Claim) -> tuple[float, tuple[str, str]]:
    """Number of labels (infinite: all), what learns, and whether it begins with weights."""
    given = dict(override.split("=", 1) for override in claim.overrides)
    labels = given.get("dataset.labelled", "500")
    weights = "none" if given.get("model.weights") == "null" else "ImageNet"
    return int(labels) if labels != "null" else math.inf, (given.get("trainable", "head"), weights)


def main() -> int:
    """Rewrite the part; returns the exit code."""
    lines, sources, papers = [], set(), []
    for name, file in experiments(None).items():
        found = stated_claims(stated(file))
        own = {claim.source for claim in found if not claim.paper}
        if own:
            lines += rows(name, found)
            sources |= {part for source in own for part in source.split("; ")}
            papers += [f"{name}: {claim.source}" for claim in found if claim.paper]
    conditions = f"Measured {'; '.join(sorted(sources))}. Papers: {'; '.join(dict.fromkeys(papers))}."
    replace_part("configs/README.md", "regimes", regimes())
    replace_part("configs/experiment/README.md", "experiments", f"{markdown(COLUMNS, lines)}\n\n{conditions}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
