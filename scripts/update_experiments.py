"""Write the table of committed experiments in configs/experiment/README.md from what their files report.

    python scripts/update_experiments.py

Nothing is measured here: `scripts/state_results.py` has put the values of runs into JSON files beside the experiments,
and `effdl reproduce` checks them. One row per accuracy; a difference in points where the file reports one. In brackets
is the 95 % interval of a mean over several seeds or folds. Of a cross-validation it is the accuracy on the folds.
"To paper" says whether ours agrees with the paper's within our tolerance, or is above or below it.
"""

import sys

from pages import markdown, replace_part

from effdl.config.experiments import experiments, stated
from effdl.measure.metrics import COSTS, metric, on_validation
from effdl.measure.units import UNKNOWN
from effdl.report.reproduction.claims import TOTAL, Claim, beside_paper, stated_claims
from effdl.report.reproduction.table import shown, subtracted

ACCURACY, SIZE = "top1", "size_bytes"
HELD_OUT = on_validation(ACCURACY)
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
    replace_part("configs/experiment/README.md", "experiments", f"{markdown(COLUMNS, lines)}\n\n{conditions}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
