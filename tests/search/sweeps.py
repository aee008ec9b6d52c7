"""Sweeps as values, for tests of what is shown of them."""

import math
import random

from olive_engine.config.search.values import Case, Choice, Conditional, FloatRange, IntRange
from olive_engine.search.correlation import rank_correlations
from olive_engine.search.summary import Retrain, SweepSummary
from olive_engine.search.trials import Trial

RUNGS = (0.125, 0.25, 0.5, 1.0)
SEARCHED = {
    "tune.r": Choice(values=(4, 8, 16, 32)),
    "tune.training_args.learning_rate": FloatRange(low=1e-5, high=1e-2, log=True),
    "tune.training_args.per_device_train_batch_size": IntRange(low=1, high=8),
    "tune.target_modules": Choice(values=(("q_proj", "v_proj"), "all-linear", None)),
}


def loss(options, share):
    """Least at a learning rate of 1e-3; the rank matters a little; it falls as training goes on."""
    rate = math.log10(options["tune.training_args.learning_rate"])
    return 0.4 + 0.3 * (rate + 3) ** 2 + 0.5 / options["tune.r"] + 0.8 * (1 - share) ** 2


def halving(count=16, seed=0, **changes):
    """A sweep by successive halving, as an engine would have run it, one trial having failed."""
    draw = random.Random(seed)
    proposals = [
        {
            "tune.r": draw.choice((4, 8, 16, 32)),
            "tune.training_args.learning_rate": 10 ** draw.uniform(-5, -2),
            "tune.training_args.per_device_train_batch_size": draw.randint(1, 8),
            "tune.target_modules": draw.choice((("q_proj", "v_proj"), "all-linear", None)),
        }
        for _ in range(count)
    ]
    live, curves, failed = list(range(count)), {number: {} for number in range(count)}, count // 2
    for rung in RUNGS:
        live = [number for number in live if number != failed]
        for number in live:
            curves[number][rung] = loss(proposals[number], rung)
        if rung < 1:
            live = sorted(live, key=lambda number: curves[number][rung])[: max(2, len(live) // 2)]
    trials = []
    for number, options in enumerate(proposals):
        curve = curves[number]
        state = "failed" if number == failed else "complete" if number in live else "pruned"
        trials.append(
            Trial(
                number,
                number,
                options,
                state=state,
                values=(curve[1.0],) if state == "complete" else (),
                curve=curve,
                cause="step lora: CUDA out of memory" if number == failed else "",
                tokens=round(40_000 * max(curve, default=0)),
                seconds=12.5 * max(curve, default=0.1),
            )
        )
    best = sorted(live, key=lambda number: curves[number][1.0])[:1]
    given = {
        "title": "Phrase tone: rank, learning rate and batch size",
        "study": "phrase-tone-0123456789abcdef",
        "trials": tuple(trials),
        "objectives": (("eval_loss", False),),
        "searched": SEARCHED,
        "rungs": RUNGS,
        "yardstick": ("eval_loss", False),
        "best": tuple(best),
        "correlations": rank_correlations(curves.values()),
        "retrain": {best[0]: Retrain("olive run best/trial_3.yaml --output-dir out", "best/trial_3.yaml")},
        "seed": 7,
        "sampler": "tpe",
        "pruner": "successive_halving",
        "versions": {"olive-engine": "0.1.0", "optuna": "5.0.0", "plotly": "7.1.0"},
    }
    return SweepSummary(**(given | changes))


def pareto(count=20, objectives=2, seed=1, **changes):
    """A sweep without a pruner, over accuracy, size and so on, with an option that only some trials have."""
    draw = random.Random(seed)
    names = (("quality.accuracy_score", True), ("size_on_disk.bytes", False), ("latency.avg", False), ("x.y", True))
    trials = []
    for number in range(count):
        slot = draw.randrange(2)
        options = {"quantize": slot, "tune.r": draw.choice((8, 16, 32))}
        if options["tune.r"] == 8:
            options["tune.alpha"] = draw.choice((8, 16))
        if slot:
            options["quantize[1].symmetric"] = draw.random() < 0.5
        values = (
            0.6 + options["tune.r"] / 100 + draw.uniform(0, 0.1),
            1e6 * (5 + options["tune.r"] / 4 - 2 * slot + draw.random()),
            12 + 3 * draw.random() - slot,
            draw.random(),
        )
        trials.append(Trial(number, number, options, state="complete", values=values[:objectives], seconds=3.0))
    alpha = Conditional(cases=(Case(when={"tune.r": (8,)}, search=Choice(values=(8, 16))),))
    given = {
        "title": "Accuracy against size",
        "study": "accuracy-size",
        "trials": tuple(trials),
        "objectives": names[:objectives],
        "mode": "pareto",
        "searched": {
            "tune.r": Choice(values=(8, 16, 32)),
            "tune.alpha": alpha,
            "quantize[1].symmetric": Choice(values=(False, True)),
        },
        "alternatives": {"quantize": ("OnnxBlockWise", "OnnxDynamic")},
        "best": (2, 5, 7),
        "sampler": "nsga2",
        "pruner": "none",
    }
    return SweepSummary(**(given | changes))
