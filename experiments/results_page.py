"""docs/RESULTS.md: what the tables say, claim by claim, beside the talk's numbers."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lipjax import statistics
from lipjax.report import counted
from lipjax.statistics import Interval

from . import findings, zoos
from .findings import ATTACKED, CLEAN, MARGIN, RADII, RELATIVE, Frame, alpha
from .talk import AUTHOR, FIVE, ORDERS, SLIDE_13, SLIDE_17, Order

TITLES = {
    "embedded": "the embedded Fashion-MNIST images, small cnn",
    "cifar10": "CIFAR-10, small cnn",
}
BOUND = f"bound_of_logits[{findings.CONSTANTS['logits']}]"
BASELINES = (
    CLEAN, "train_accuracy", "train_loss", "negative_log_likelihood", MARGIN, "entropy", "calibration_error",
    "log_product_of_norms", "distance_from_start", "jacobian_norm", BOUND, "gap_bound",
    "boundary_distance", "alpha over margin",
)  # fmt: skip
TARGETS = (
    RELATIVE, *(f"{RELATIVE} {name}" for name in ("noise", "blur", "weather", "digital", "fog", "contrast")),
    "mean_corruption_accuracy", *findings.ATTACKS, "certified_accuracy[0.141176]",
)  # fmt: skip


def page(tables: Mapping[str, Frame]) -> str:
    """The page.

    Args:
        tables: Those of docs/results/, by the names of their files.
    """
    networks = {zoo: findings.prepared(tables[zoo]) for zoo in TITLES if zoo in tables}
    lines = [
        "# Results",
        "",
        "Written by `python -m experiments.results` from the tables in `results/`; `--check` computes it again.",
        "Hypotheses, exclusions and tests were fixed before, in [preregistration.md](preregistration.md). Intervals",
        "are 95 % bootstrap intervals over configurations unless said otherwise; all targets are signed so that large",
        "is robust. tau is Kendall's.",
        "",
        *_claims(networks, tables.get("pairs")),
    ]
    for zoo, (kept, excluded) in networks.items():
        lines += _zoo(zoo, kept, excluded)
    return "\n".join([*lines, *NOT_YET]) + "\n"


NOT_YET = (
    "## Not yet run",
    "",
    "PreAct-ResNet18 and WideResNet-28-10 on CIFAR-10 by the authors' recipes, ten seeds, with the standard cascade of",
    "attacks: `benchmarks/gpu.sh`, for want of an accelerator.",
)


def table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Rows as a Markdown table and an empty line.

    Examples:
        >>> table([{"system": "V", "tau": "0.5"}])
        ['| system | tau |', '|---|---|', '| V | 0.5 |', '']
    """
    header = list(rows[0])
    lines = [header, ["---"] * len(header), *([str(row[name]) for name in header] for row in rows)]
    return [f"|{'|'.join(line)}|" if line[0] == "---" else f"| {' | '.join(line)} |" for line in lines] + [""]


def _text(found: Interval) -> str:
    if math.isnan(found.value):
        return "none"
    ends = "" if math.isnan(found.low) else f" [{found.low:+.2f}, {found.high:+.2f}]"
    return f"{found.value:+.2f}{ends}"


def _claims(networks: Mapping[str, tuple[Frame, Frame]], pairs: Frame | None) -> list[str]:
    rows = []
    for zoo in TITLES:
        if zoo not in networks:
            rows.append({"claim": "all", "data": TITLES[zoo], "measured": "", "verdict": "not yet run at this scale"})
            continue
        kept, data = networks[zoo][0], f"{zoo}, {len(networks[zoo][0])} networks"
        for name, claim in (("H1", "relative performance"), ("H2", "attacked accuracy, linf 8/255")):
            hypothesis = next(one for one in findings.HYPOTHESES if one.name == name)
            found = hypothesis.test(kept)
            said = {"claim": f"{name}: small mean alpha(0.05) goes with {claim}", "data": data}
            rows.append(said | {"measured": f"tau {_text(found)}", "verdict": findings.verdict(found, -1)})
        rows += [{"claim": f"order: {order.claim}", "data": zoo} | _ordered(kept, order) for order in ORDERS]
    rows += _pairs(pairs)
    return ["## The talk's claims", "", *table(rows)]


def _by_seed(kept: Frame, column: str) -> Frame:
    """One row per seed that all have, one column for each of the five systems that is not excluded."""
    five = kept[kept.name.isin(FIVE.values())].pivot(index="seed", columns="name", values=column)
    return five.reindex(columns=FIVE.values()).set_axis(list(FIVE), axis=1).dropna(axis=1, how="all").dropna()


def _ordered(kept: Frame, order: Order) -> dict[str, str]:
    values = order.sign * _by_seed(kept, order.column)
    if values.empty:
        return {"measured": "", "verdict": "not yet run at this scale"}
    expected = order.systems or tuple(_by_seed(kept, RELATIVE).mean().sort_values(ascending=False).index)
    found = findings.agreement(values[[name for name in expected if name in values]].to_numpy())
    missing = [name for name in FIVE if name not in values]
    measured = _written(values.mean().sort_values(ascending=False, kind="stable"))
    verdict = "reproduced" if found.value > 0.999 else "opposite" if found.high < 0 else "not reproduced"
    said = f"the talk {' > '.join(order.systems)}; " if order.systems else ""
    said += f"{', '.join(missing)} is excluded; " if missing else ""
    return {
        "measured": f"{said}here {measured}; tau {_text(found)} over {counted(len(values), 'seed')}",
        "verdict": verdict,
    }


def _written(falling: Any) -> str:
    """An order as text, ties as such."""
    steps = zip(falling.index[1:], falling.to_numpy()[1:] < falling.to_numpy()[:-1], strict=True)
    return falling.index[0] + "".join(f" {'>' if less else '='} {name}" for name, less in steps)


def _pairs(pairs: Frame | None) -> list[dict[str, str]]:
    claim = {"claim": "slide 13: pairs of CIFAR-10 that forbid alpha; of those, pairs whose balls of 0.15 meet"}
    if pairs is None:
        return [claim | {"data": "CIFAR-10", "measured": "", "verdict": "not yet run at this scale"}]
    found = pairs.set_index(pairs.distance.round(2))[["pairs", "pairs_within_radius"]]
    measured = [(distance, *map(int, found.loc[distance])) for distance, *_ in SLIDE_13]
    text = "; ".join(
        f"1/alpha = {distance:g}: {every:,} and {near:,} (the talk {talk[0]:,} and {talk[1]:,})"
        for (distance, every, near), (_, *talk) in zip(measured, SLIDE_13, strict=True)
    )
    verdict = "reproduced" if tuple(measured) == SLIDE_13 else "not reproduced"
    return [claim | {"data": "CIFAR-10, 50,000 training images", "measured": text, "verdict": verdict}]


def _zoo(zoo: str, kept: Frame, excluded: Frame) -> list[str]:
    configurations = kept.name.nunique()
    smallest = [statistics.smallest_detectable_tau(count) for count in (configurations, len(kept))]
    names = ", ".join(f"{row['name']} (seed {row.seed})" for _, row in excluded.iterrows()) or "none"
    planned = len(zoos.design(zoo))
    missing = planned - len(kept) - len(excluded)
    return [
        f"## {zoo}: {TITLES[zoo]}",
        "",
        *(
            [f"**Not finished: {missing} of {planned} networks are missing, and all verdicts are preliminary.**", ""]
            * bool(missing)
        ),
        f"{len(kept)} networks of {configurations} configurations and {kept.family.nunique()} families. So many "
        f"independent configurations show |tau| >= {smallest[0]:.2f}, so many independent networks {smallest[1]:.2f} "
        f"(80 % power at 5 %). Excluded at chance: {names}.",
        "",
        *_hypotheses(kept),
        *_primary(zoo, kept, sensitive=0.4 if zoo == "cifar10" else 0.7),
        *_five(kept),
        *_corruptions(zoo, kept),
        *_contrast_and_fog(kept),
        *_bracket(kept),
        *_explored(kept),
    ]


def _hypotheses(kept: Frame) -> list[str]:
    rows = []
    for one in findings.HYPOTHESES:
        found = one.test(kept)
        said = {"": one.name, "measure": one.says, "target": one.target, "expected": "+" if one.sign > 0 else "-"}
        rows.append(said | {"measured": _text(found), "verdict": findings.verdict(found, one.sign)})
    return ["### Preregistered tests", "", *table(rows)]


def _primary(zoo: str, kept: Frame, sensitive: float) -> list[str]:
    able = kept[kept[CLEAN] >= sensitive].reset_index(drop=True)
    rows: dict[str, dict[str, str]] = {}
    for target in (RELATIVE, ATTACKED):
        found, gain = findings.increment(kept, alpha(), target)
        cells = {
            "tau of alpha, over configurations": findings.tau(kept, alpha(), target),
            "the same, interval over families": findings.tau(kept, alpha(), target, "family"),
            "tau of clean accuracy": findings.tau(kept, CLEAN, target),
            "partial, given clean accuracy": findings.partial(kept, alpha(), target, [CLEAN]),
            "partial, given clean accuracy and family": findings.partial(kept, alpha(), target, [CLEAN, "family"]),
            "within families": findings.within_families(kept, alpha(), target),
            "between families": findings.between_families(kept, alpha(), target),
            f"tau, {len(able)} networks of {sensitive:.0%} clean accuracy": findings.tau(able, alpha(), target),
            "gain of R^2 over {family, clean accuracy, margin}": gain,
        }
        beyond = all(
            cells[name].low > 0 or cells[name].high < 0
            for name in (
                "partial, given clean accuracy and family",
                "gain of R^2 over {family, clean accuracy, margin}",
            )
        )
        texts = {name: _text(one) for name, one in cells.items()} | {
            "R^2 of that baseline": f"{found.baseline_r_squared:.2f}",
            "predicts beyond simple baselines": "yes" if beyond else "no",
        }
        for name, text in texts.items():
            rows.setdefault(name, {"mean alpha(0.05) of probabilities": name})[target] = text
    figure = f"![alpha against targets](results/{zoo}_targets.svg)"
    return ["### The primary measure", "", figure, "", *table([*rows.values()])]


def _five(kept: Frame) -> list[str]:
    """The talk's five systems beside the talk's curves and the first author's rows."""
    percent = [CLEAN, RELATIVE, ATTACKED, "attacked linf 2/255", "corruption_accuracy[gaussian_noise]"]
    by_column = {column: _by_seed(kept, column) for column in [*percent, *(alpha("max", r) for r in RADII)]}
    if by_column[CLEAN].empty:
        return []
    rows, curves = [], []
    for system in by_column[CLEAN]:
        means = {column: values[system] for column, values in by_column.items()}
        author = AUTHOR.get(system, ("",) * 3)
        rows.append(
            {"system": system}
            | {f"{column} %": _spread(100 * means[column]) for column in percent}
            | {"first author: clean, Gaussian noise, PGD 0.01 %": ", ".join(map(str, author)).strip(", ")}
        )
        curve = np.stack([means[alpha("max", radius)] for radius in RADII])
        shares = 100 * curve / curve[-1]
        curves.append(
            {"system": system, "alpha(0.05)": _spread(curve[0], 3), "alpha(1.75)": _spread(curve[-1], 3)}
            | {f"alpha({radius:g}) %": f"{share.mean():.0f}" for radius, share in zip(RADII, shares, strict=True)}
            | {"the talk at 0.05, 0.1, 0.25 %": ", ".join(f"{share:.0f}" for share in SLIDE_17[system])}
        )
    seeds = len(by_column[CLEAN])
    spread = f"Means over {seeds} seeds and their standard deviation" if seeds > 1 else "Of one seed"
    return [
        "### The talk's five systems",
        "",
        f"{spread}; the first author's networks are ResNet18 on CIFAR-10.",
        "",
        *table(rows),
        "The largest slope over training points, and in percent of that at the largest radius; l2 here, a norm that is "
        "not stated in the talk, so the columns are beside each other for their shape only.",
        "",
        *table(curves),
    ]


def _spread(values: Any, digits: int = 1) -> str:
    values = np.asarray(values)
    return f"{values.mean():.{digits}f}" + (f" ± {values.std(ddof=1):.{digits}f}" if len(values) > 1 else "")


def _corruptions(zoo: str, kept: Frame) -> list[str]:
    rows = [
        {"family": f"**{family}**" if not name else "", "corruption": name}
        | {measure: _text(interval) for measure, interval in found.items()}
        for (family, name), found in findings.by_corruption(kept).items()
    ]
    said = "tau of mean alpha(0.05) of probabilities, and of clean accuracy, with corrupted less clean accuracy."
    return [
        "### By corruption",
        "",
        said,
        "",
        f"![tau per corruption](results/{zoo}_corruptions.svg)",
        "",
        *table(rows),
    ]


def _bracket(kept: Frame) -> list[str]:
    """How far the steepest point that was found is below what is certified."""
    found, certified = kept[alpha("max", RADII[-1], "logits")], kept[BOUND]
    shown = Frame({"family": kept.family, "found": found, "certified": certified, "ratio": certified / found})
    rows = [
        {"family": family}
        | {f"{name}, median": f"{own[name].median():.3g}" for name in ("found", "certified", "ratio")}
        | {"ratio, smallest and largest": f"{own.ratio.min():.3g} and {own.ratio.max():.3g}"}
        for family, own in shown.groupby("family", sort=False)
    ]
    said = (
        "The largest slope of the logits within 1.75 (l2) of any training point that was found, and the global bound "
        "that is certified; sampling can miss what lies between them."
    )
    return ["### What sampling may miss", "", said, "", *table(rows)]


def _contrast_and_fog(kept: Frame) -> list[str]:
    rows, said = [], []
    for name in ("contrast", "fog"):
        target = f"{RELATIVE} {name}"
        plain = findings.tau(kept, alpha(), target)
        given = {one: findings.partial(kept, alpha(), target, [one]) for one in CANDIDATES}
        rows.append(
            {"corruption": name, "tau": _text(plain)}
            | {f"given {_short(one)}": _text(found) for one, found in given.items()}
            | {"given all three": _text(findings.partial(kept, alpha(), target, CANDIDATES))}
            | {f"tau of {_short(one)}": _text(findings.tau(kept, one, target)) for one in CANDIDATES}
        )
        said.append(_explained(name, plain, given))
    return [
        "### Why contrast and fog",
        "",
        "Partial rank correlation of alpha with what contrast and fog cost, given one candidate at a time: what takes "
        "it away explains it. " + " ".join(said),
        "",
        *table(rows),
    ]


def _explained(name: str, plain: Interval, given: Mapping[str, Interval]) -> str:
    if plain.low <= 0 <= plain.high:
        return f"Under {name} there is nothing to explain: the interval contains 0."
    sign = math.copysign(1, plain.value)
    taking = [_short(one) for one, found in given.items() if min(sign * found.low, sign * found.high) <= 0]
    away = f"goes away, or turns, given {' or '.join(taking)}" if taking else "is left whatever is given"
    return f"Under {name} steep networks are {'better' if plain.value > 0 else 'worse'}, and that {away}."


CANDIDATES = (CLEAN, MARGIN, "entropy")


def _explored(kept: Frame) -> list[str]:
    alphas = [
        *(
            alpha(statistic, radius, of)
            for of in ("probabilities", "logits")
            for statistic in ("mean", "max")
            for radius in RADII
        ),
        *(alpha("mean", radius, "probabilities, linf") for radius in (0.00784314, 0.0313725)),
    ]
    quantiles = [
        f"alpha_quantile[{q}; {findings.CONSTANTS['probabilities']}; 0.05]" for q in (0.05, 0.25, 0.5, 0.75, 0.95)
    ]
    measures = [name for name in (*alphas, *quantiles, *BASELINES) if name in kept and kept[name].nunique() > 1]
    taus, q_values = findings.explored(kept, measures, [name for name in TARGETS if name in kept])
    found = int((q_values <= 0.05).to_numpy().sum())
    rows = [
        {"measure": _short(measure)}
        | {_short(target): _starred(taus.loc[measure, target], q_values.loc[measure, target]) for target in taus}
        for measure in measures
    ]
    return [
        "### Exploratory: all measures and targets",
        "",
        f"tau over means of configurations; * where the Benjamini-Hochberg q-value over all "
        f"{taus.notna().to_numpy().sum()} cells is at most 0.05 ({found} of them). {_strongest(taus)}",
        "",
        *table(rows),
    ]


def _strongest(taus: Frame) -> str:
    """The three measures that go best with each primary target, found by looking."""
    said = []
    for target in (RELATIVE, ATTACKED):
        best = taus[target].abs().sort_values(ascending=False, kind="stable").index[:3]
        said.append(f"{target}: " + ", ".join(f"{_short(name)} ({taus.loc[name, target]:+.2f})" for name in best))
    return f"Picked after looking, the strongest are, for {'; for '.join(said)}."


def _starred(tau: float, q_value: float) -> str:
    return "" if math.isnan(tau) else f"{tau:+.2f}{'*' if q_value <= 0.05 else ''}"


def _short(column: str) -> str:
    for long, short in (("slope of ", ""), (", l2 to l2", ""), (" to l2", ""), ("_", " "), (" accuracy", "")):
        column = column.replace(long, short)
    return column
