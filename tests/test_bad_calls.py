"""Bad calls, one row each: refused with words that say what is wrong, before any compute, and nothing is written."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lipjax import (
    attacks,
    augmentation,
    bounds,
    certificates,
    checks,
    compatibility,
    corruptions,
    datasets,
    estimators,
    evaluation,
    layers,
    measurements,
    methods,
    networks,
    norms,
    systems,
    training,
    values,
)
from lipjax.norms import l2, linf
from lipjax.types import Batch, Dataset, Model, System

pytestmark = pytest.mark.usefixtures("unchecked_annotations")

KEY = jax.random.key(0)
NAN, INF, HUGE = math.nan, math.inf, 10**30
IMAGES = np.full((2, 8, 8, 1), 0.5, np.float32)
LABELS = np.array([0, 1])
BATCH = Batch(IMAGES, LABELS)
MLP = networks.mlp(2, widths=(2,))
DATASET = Dataset("mine", BATCH, BATCH, 2)


def linear(x: jax.Array) -> jax.Array:
    return jnp.stack([x.sum(), -x.sum()])


def fitted(dataset: Dataset = DATASET, **changes: Any) -> Model:
    options = {"num_steps": 1, "batch_size": 2} | changes
    return training.fit(KEY, System(MLP, methods.parseval()), dataset, training.sgd(0.1), **options)


CALLS: dict[str, tuple[Callable[[], Any], str]] = {
    # Optimisers and schedules.
    "adam b1": (lambda: training.adam(b1=-0.1), "b1 must be at least 0 and below 1, got -0.1"),
    "adam b2": (lambda: training.adam(b2=2), "b2 must be at least 0 and below 1, got 2"),
    "adam b2 word": (lambda: training.adam(b2="much"), "b2 must be a number, got 'much'"),
    "adam eps": (lambda: training.adam(eps=0.0), "eps must be positive"),
    "adam rate": (lambda: training.adam(-1.0), "peak must be positive, got -1"),
    "adam rate word": (lambda: training.adam("fast"), "peak must be a number, got 'fast'"),
    "adamw decay": (lambda: training.adamw(weight_decay=-1), "weight_decay must be 0 or greater"),
    "adamw infinite": (lambda: training.adamw(weight_decay=INF), "weight_decay must be finite, got inf"),
    "sgd momentum": (lambda: training.sgd(momentum=-1), "momentum must be at least 0 and below 1"),
    "sgd nesterov": (lambda: training.sgd(nesterov="maybe"), "nesterov must be True or False, got 'maybe'"),
    "constant nan": (lambda: training.constant(NAN), "peak must be a number, got nan"),
    "constant infinite": (lambda: training.constant(INF), "peak must be finite, got inf"),
    "constant true": (lambda: training.constant(True), "peak must be a number, got True"),
    "constant too large": (lambda: training.constant(10**400), "peak must be a number, got 1000"),
    "cosine warmup": (lambda: training.cosine(1.0, 10, warmup=-1), "warmup must be between 0 and 1"),
    "cosine steps": (lambda: training.cosine(1.0, 2.5), "num_steps must be a whole number, got 2.5"),
    "cosine steps word": (lambda: training.cosine(1.0, "ten"), "num_steps must be a whole number, got 'ten'"),
    "cosine steps nan": (lambda: training.cosine(1.0, NAN), "num_steps must be a whole number, got nan"),
    "cosine steps none": (lambda: training.cosine(1.0, None), "num_steps must be a whole number, got None"),
    "cosine steps true": (lambda: training.cosine(1.0, True), "num_steps must be a whole number, got True"),
    "cosine steps huge": (lambda: training.cosine(1.0, HUGE), "num_steps must be at most 2,147,483,647"),
    "drops at": (lambda: training.drops(1.0, 10, at=(2,)), "each of at must be between 0 and 1"),
    "drops at one": (lambda: training.drops(1.0, 10, at=0.5), "at must be several numbers, got 0.5"),
    "drops at words": (lambda: training.drops(1.0, 10, at=("late",)), "at must be several numbers"),
    "drops at nan": (lambda: training.drops(1.0, 10, at=(NAN,)), "at must be several numbers"),
    "drops factor": (lambda: training.drops(1.0, 10, factor=-1), "factor must be 0 or greater"),
    # Norms and balls.
    "box turned": (lambda: l2.ball(1.0, (1, 0)), "box must be .lowest, highest. in rising order"),
    "box nan": (lambda: l2.ball(1.0, (NAN, 1.0)), "box must be .a number, a number. or None"),
    "box of three": (lambda: l2.ball(1.0, (0.0, 0.5, 1.0)), "box must be .a number, a number."),
    "box word": (lambda: l2.ball(1.0, "unit"), "box must be .a number, a number. or None, got 'unit'"),
    "radius negative": (lambda: l2.ball(-1.0), "radius must be 0 or greater"),
    "radius nan": (lambda: l2.ball(NAN), "radius must be a number, got nan"),
    "radius in levels": (lambda: linf.ball(8), "did you mean 8/255"),
    "radius word": (lambda: l2.ball("wide"), "radius must be a number, got 'wide'"),
    "norm word": (lambda: norms.Ball("l2", 1.0), "norm must be a Norm, got 'l2'"),
    "norm unknown": (lambda: norms.named("l3"), "norm must be one of l1, l2, linf"),
    "mask of weights": (
        lambda: norms.masked(l2, np.array([0.5, 1.0])),
        "mask must be truth values, some of them true, got",
    ),
    "mask of nothing": (lambda: norms.masked(l2, np.zeros(3, bool)), "mask must be truth values, some of them true"),
    # Networks, layers, methods.
    "widths one": (lambda: networks.mlp(2, widths=5), "widths must be several whole numbers, got 5"),
    "widths word": (lambda: networks.mlp(2, widths="ab"), "widths must be several whole numbers, got 'ab'"),
    "widths zero": (lambda: networks.mlp(2, widths=(0,)), "each of widths must be a whole number of at least 1"),
    "widths half": (lambda: networks.mlp(2, widths=(2.5,)), "widths must be several whole numbers"),
    "widths beyond memory": (
        lambda: networks.mlp(2, widths=(1_000_000_000,)).init(KEY, (784,)),
        r"has 3,1\d\d,\d\d\d,\d\d\d,\d\d\d bytes, and this machine has",
    ),
    "classes zero": (lambda: networks.mlp(0), "num_classes must be a whole number of at least 1"),
    "std zero": (lambda: networks.mlp(2, std=0.0), "std must be positive"),
    "std word": (lambda: networks.mlp(2, std="x"), "std must be a number"),
    "mean word": (lambda: networks.mlp(2, mean="x"), "mean must be a number"),
    "dtype": (lambda: networks.mlp(2, dtype="float8"), "dtype must be one of float32, bfloat16, float16"),
    "layers word": (lambda: networks.mlp(2, layers="aol"), "layers must be a Layers, got 'aol'"),
    "layers unknown": (lambda: layers.named("soft"), "layers must be one of vanilla"),
    "depth of resnet": (lambda: networks.preact_resnet(2, depth=19), "depth must be one of"),
    "depth word": (lambda: networks.wide_resnet(2, depth="deep"), "depth must be a whole number, got 'deep'"),
    "cnn of a vector": (lambda: networks.cnn(2).init(KEY, (5,)), "a convolution needs images"),
    "parseval beta": (lambda: methods.parseval(-1.0), "beta must be 0 or greater"),
    "parseval rows": (lambda: methods.parseval(row_fraction=2), "row_fraction must be between 0 and 1"),
    "parseval hidden": (lambda: methods.parseval(hidden_only=1.5), "hidden_only must be True or False"),
    "laplacian power": (lambda: methods.laplacian(power=0), "power must be a whole number of at least 1"),
    "laplacian gamma": (lambda: methods.laplacian(gamma="x"), "gamma must be a number"),
    "gaussian sigma": (lambda: methods.gaussian(-0.1), "sigma must be 0 or greater"),
    "gaussian infinite": (lambda: methods.gaussian(INF), "sigma must be finite"),
    "adversarial ball": (lambda: methods.adversarial(0.1), "ball must be a Ball, got 0.1"),
    "adversarial steps": (lambda: methods.adversarial(num_steps=0), "num_steps must be a whole number of at least 1"),
    "trades beta": (lambda: methods.trades(beta=NAN), "beta must be a number, got nan"),
    "row method": (lambda: systems.Row(method="PGD"), "method must be a Method, got 'PGD'"),
    "crop padding": (lambda: augmentation.random_crop(-1), "padding must be a whole number of at least 0"),
    "crop beyond": (
        lambda: augmentation.random_crop(1000)(KEY, jnp.asarray(IMAGES[0])),
        "padding must be at most the image's size",
    ),
    # Attacks, estimators, measurements.
    "pgd ball": (lambda: attacks.pgd(3), "ball must be a Ball, got 3"),
    "pgd steps": (lambda: attacks.pgd(linf.ball(0.1), num_steps=-1), "num_steps must be a whole number of at least 1"),
    "pgd step size": (lambda: attacks.pgd(linf.ball(0.1), step_size=-1), "step_size must be 0 or greater"),
    "pgd best": (lambda: attacks.pgd(linf.ball(0.1), best_iterate="yes"), "best_iterate must be True or False"),
    "fab bias": (lambda: attacks.fab(linf.ball(0.1), bias=2), "bias must be between 0 and 1"),
    "square share": (lambda: attacks.square(linf.ball(0.1), first_share=-1), "first_share must be between 0 and 1"),
    "suite ball": (lambda: evaluation.standard("linf"), "ball must be a Ball, got 'linf'"),
    "slope ball": (lambda: estimators.ascent_slope(3), "ball must be a Ball, got 3"),
    "slope radius": (lambda: estimators.ascent_slope(l2.ball(0.0)), "radius must be positive"),
    "slope everywhere": (lambda: estimators.ascent_slope(l2.ball(INF)), "radius must be finite"),
    "slope norm": (lambda: estimators.ascent_slope(norm_out="l9"), "norm_out must be a Norm, got 'l9'"),
    "slope samples": (lambda: estimators.sampled_slope(num_samples=0), "num_samples must be a whole number"),
    "slope draw": (lambda: estimators.sampled_slope(draw=3), "draw must be a function or None, got 3"),
    "growing restarts": (
        lambda: estimators.growing_slope(num_samples=1, num_restarts=2),
        "num_samples must be a whole number of at least 2",
    ),
    "slope outside": (
        lambda: estimators.ascent_slope(l2.ball(0.5))(KEY, linear, jnp.array([5.0])),
        "x must be within box",
    ),
    "clever outside": (lambda: estimators.clever(l2.ball(0.5))(KEY, linear, jnp.array([-1.0])), "x must be within box"),
    "clever target": (lambda: estimators.clever(target=-1), "target must be 0 or greater"),
    "clever class": (lambda: estimators.clever(target=7)(KEY, linear, jnp.array([0.5])), "labels must be from 0 to 1"),
    "clever half": (
        lambda: estimators.clever(target=0.5)(KEY, linear, jnp.array([0.5])),
        "target must be a whole number",
    ),
    "curve estimator": (lambda: estimators.curve(KEY, attacks.pgd(linf.ball(0.1)), linear, IMAGES, [1.0]), "Local"),
    "curve radii": (lambda: estimators.slope_curve(KEY, linear, IMAGES, [0.0]), "radii must be positive"),
    "curve radii nan": (lambda: estimators.slope_curve(KEY, linear, IMAGES, [NAN]), "radii must be positive"),
    "curve radii infinite": (lambda: estimators.slope_curve(KEY, linear, IMAGES, [INF]), "radii must be finite"),
    "curve no radii": (lambda: estimators.slope_curve(KEY, linear, IMAGES, []), "radii must have at least one entry"),
    "curve levels": (lambda: estimators.slope_curve(KEY, linear, 255 * IMAGES, [1.0]), "xs must be within box"),
    "curve nan": (lambda: estimators.slope_curve(KEY, linear, NAN * IMAGES, [1.0]), "xs must be finite numbers"),
    "curve whole numbers": (
        lambda: estimators.slope_curve(KEY, linear, LABELS[:, None], [1.0]),
        "uint8 levels or floats",
    ),
    "curve labels": (
        lambda: estimators.slope_curve(KEY, estimators.logit_gaps(linear), Batch(IMAGES, np.array([0, 2])), [1.0]),
        "labels must be from 0 to 1, got 0 to 2",
    ),
    "curve float labels": (
        lambda: estimators.slope_curve(KEY, estimators.logit_gaps(linear), Batch(IMAGES, np.ones(2)), [1.0]),
        "labels must be whole numbers from 0, got float64",
    ),
    "alpha radii": (lambda: measurements.alpha((0.1, -1.0)), "radii must be positive"),
    "alpha no radii": (lambda: measurements.alpha(()), "the number of radii must be a whole number of at least 1"),
    "alpha infinite": (lambda: measurements.alpha((INF,)), "radii must be finite"),
    "alpha of": (lambda: measurements.alpha(of="margins"), "of must be one of probabilities, logits"),
    "alpha bound": (lambda: measurements.alpha(bound="tight"), "bound must be one of interval"),
    "alpha points": (lambda: measurements.alpha(num_points=0), "num_points must be a whole number of at least 1"),
    "alpha estimator": (
        lambda: measurements.alpha(estimator=estimators.jacobian_norm()),
        "estimator must be a LocalEstimator",
    ),
    "attacked attack": (lambda: measurements.attacked("pgd"), "attack must be"),
    "attacked examples": (lambda: measurements.attacked(num_examples=-3), "num_examples must be a whole number of at"),
    "corrupted names": (lambda: measurements.corrupted(("rain",)), "rain"),
    "corrupted severity": (lambda: measurements.corrupted(severities=(6,)), "severities of 1 to 5"),
    "smoothed sigma": (lambda: measurements.smoothed(0.0), "sigma must be positive"),
    "smoothed failure": (lambda: measurements.smoothed(failure=1.0), "failure must be above 0 and below 1"),
    "smoothing failure": (lambda: certificates.smoothed(0.1, failure=2.0), "failure must be above 0 and below 1"),
    "certified at": (lambda: certificates.certified(jnp.ones(2), NAN), "radius must be 0 or greater"),
    "bound outside": (lambda: bounds.local_bound(linear, jnp.array([9.0]), l2.ball(0.1)), "x must be within box"),
    "bound nan": (lambda: bounds.local_bound(linear, jnp.array([NAN]), l2.ball(0.1)), "x must be finite numbers"),
    "bounds radii": (lambda: bounds.upper_curve(linear, IMAGES, [-1.0]), "radii must be 0 or greater"),
    "bounds lower": (
        lambda: bounds.upper_curve(linear, IMAGES, [1.0], local=bounds.LocalBounds(1, lower=np.ones((1, 2)))),
        "lower must be .points, radii., here",
    ),
    "bounds local": (lambda: bounds.upper_curve(linear, IMAGES, [1.0], local=2), "local must be a LocalBounds"),
    "bounds methods": (
        lambda: bounds.upper_curve(linear, IMAGES, [1.0], local=bounds.LocalBounds(1, "linear")),
        "methods must be several words, got 'linear'",
    ),
    "counting": (lambda: compatibility.pair_distances(IMAGES, LABELS, counting=64), "counting must be a Counting"),
    "counting backend": (
        lambda: compatibility.pair_distances(IMAGES, LABELS, counting=compatibility.Counting(backend="gpu")),
        "backend must be a function or None",
    ),
    "bounds levels": (lambda: bounds.upper_curve(linear, 255 * IMAGES, [1.0], ball=l2.ball(1.0)), "xs must be within"),
    "bound ball": (lambda: bounds.local_bound(linear, jnp.ones(2), 0.1), "ball must be a ball"),
    "bound method": (lambda: bounds.global_bound(linear, (2,), method="best"), "method must be one of"),
    "refute claim": (lambda: bounds.refute(linear, -1.0, jnp.ones(2), l2.ball(0.1)), "claimed must be 0 or greater"),
    # Examples.
    "labels beyond": (lambda: evaluation.accuracy(linear, BATCH._replace(labels=np.array([0, 7]))), "from 0 to 1"),
    "labels floats": (lambda: evaluation.accuracy(linear, BATCH._replace(labels=np.ones(2))), "whole numbers from 0"),
    "labels missing": (lambda: evaluation.accuracy(linear, BATCH._replace(labels=LABELS[:1])), "one label for every"),
    "no examples": (lambda: evaluation.accuracy(linear, Batch(IMAGES[:0], LABELS[:0])), "at least one input"),
    "attacked levels": (
        lambda: evaluation.robust_accuracy(KEY, linear, Batch(255 * IMAGES, LABELS), attacks.pgd(linf.ball(0.1))),
        "inputs must be within box",
    ),
    "no attacks": (lambda: evaluation.robust_accuracy(KEY, linear, BATCH, []), "the number of attacks must be"),
    "corrupt levels": (lambda: corruptions.corrupt(KEY, 255 * IMAGES, "fog", 1), "images must be within box"),
    "corrupt nan": (lambda: corruptions.corrupt(KEY, NAN * IMAGES, "fog", 1), "images must be finite numbers"),
    "corrupt name": (lambda: corruptions.corrupt(KEY, IMAGES, "rain", 1), "name must be one of gaussian_noise"),
    "corrupt severity": (lambda: corruptions.corrupt(KEY, IMAGES, "fog", 6), "severity must be one of 1, 2, 3, 4, 5"),
    "corrupt tiny": (lambda: corruptions.corrupt(KEY, IMAGES[:, :4], "fog", 1), "at least 8 x 8"),
    "corrupt table": (lambda: corruptions.corrupt(KEY, IMAGES, "fog", 1, "svhn"), "table must be one of"),
    "fit labels": (
        lambda: fitted(DATASET._replace(train=BATCH._replace(labels=np.array([0, 2])))),
        "labels must be from 0 to 1, got 0 to 2",
    ),
    "fit float labels": (
        lambda: fitted(DATASET._replace(train=BATCH._replace(labels=np.ones(2)))),
        "labels must be whole numbers from 0, got float64",
    ),
    "fit steps": (lambda: fitted(num_steps=0), "num_steps must be a whole number of at least 1"),
    "fit batch": (lambda: fitted(batch_size=3), "batch_size must be at most the 2 examples, got 3"),
    "fit execution": (lambda: fitted(execution=3), "execution must be a Execution"),
    "fit pace": (lambda: fitted(execution=training.Execution(log_every=3, checkpoint_every=4)), "must be a multiple"),
    "pairs thresholds": (
        lambda: compatibility.pair_distances(IMAGES, LABELS, l2, thresholds=[NAN]),
        "thresholds must be 0 or greater",
    ),
    # Datasets, texts, files.
    "dataset unknown": (lambda: datasets.load("cifar1O"), "unknown dataset 'cifar1O'"),
    "dataset of a community": (lambda: datasets.load("huggingface:mnist"), "only a version may follow a colon"),
    "dataset of kubric": (lambda: datasets.load("kubric:movi_a/128x128"), "only a version may follow a colon"),
    "test set of a community": (lambda: datasets.load_test("robotics:mt_opt"), "only a version may follow a colon"),
    "dataset dtype": (lambda: datasets.load("toy", dtype="int8"), "dtype must be one of"),
    "arrays classes": (
        lambda: datasets.from_arrays("mine", (IMAGES, LABELS), (IMAGES, np.array([0, 2]))),
        "labels must be in 0..1",
    ),
    "arrays box": (
        lambda: datasets.from_arrays("mine", (2 * IMAGES + 1, LABELS), (IMAGES, LABELS)),
        "must be in .0, 1",
    ),
    "json type": (lambda: values.from_json({"type": "os:system"}), "is not known here|is not the type of a value"),
    "json setting": (lambda: values.from_json({"type": "lipjax.norms:Ball", "size": 3}), "unexpected keyword"),
    "json range": (
        lambda: values.from_json({"type": "lipjax.training.schedules:constant", "peak": "NaN"}),
        "peak must be a number, got nan",
    ),
    "memory": (lambda: checks.fits_memory("it has", 10**18), "it has 1,000,000,000,000,000,000 bytes"),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_bad_call_is_refused_with_words(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    call, words = CALLS[name]
    monkeypatch.chdir(tmp_path)
    with pytest.raises((ValueError, TypeError), match=words) as caught:
        call()
    assert type(caught.value) in (ValueError, TypeError)
    assert not list(tmp_path.iterdir())
