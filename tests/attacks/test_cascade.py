"""The cascade's guarantees, its journal, and the signs by which it distrusts itself."""

import functools
import json
import os
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lipjax import attacks, evaluation, values
from lipjax.evaluation import Stage, Suite
from lipjax.evaluation.cascade import task
from lipjax.losses import cross_entropy, targeted_dlr
from lipjax.networks import from_functions
from lipjax.norms import l1, l2, linf
from lipjax.types import Attack, Batch, Model, Output, Variables

SHORT = {"num_steps": 15}
LENGTHS = {"apgd_ce": SHORT, "apgd_t": SHORT, "fab_t": SHORT, "square": {"num_queries": 60}}
RIGHT = linf.ball(8 / 255)


class short(Suite):
    """The standard suite with fewer steps, or some of its stages."""

    ball: Any = RIGHT
    which: tuple[int, ...] = (0, 1, 2, 3)
    num_steps: int = 15

    def stages(self, num_classes):
        lengths = LENGTHS | {"fab_t": {"num_steps": self.num_steps}}
        shortened = [
            stage.replace(attack=stage.attack.replace(**lengths[stage.name]), repeats=min(stage.repeats, 3))
            for stage in evaluation.standard(self.ball).stages(num_classes)
        ]
        return [shortened[index] for index in self.which]


class corner(Attack):
    """A random corner of the ball."""

    ball: Any = RIGHT

    def __call__(self, key, objective, center):
        return center + self.ball.radius * jax.random.rademacher(key, center.shape)


class random_start(Suite):
    """A suite that compiles fast and uses its keys: two random corners of the ball."""

    ball: Any = RIGHT

    def stages(self, num_classes):
        return [Stage("corner", corner(self.ball), repeats=2)]


class one_step(Suite):
    """A suite that compiles fast: two runs of FGSM."""

    ball: Any = RIGHT
    names: tuple[str, ...] = ("fgsm",)
    repeats: int = 2

    def stages(self, num_classes):
        return [Stage(name, attacks.fgsm(self.ball), repeats=self.repeats) for name in self.names]


@pytest.fixture(scope="module")
def result(four_classes):
    f, inputs, labels = four_classes
    return evaluation.cascade(jax.random.key(0), f, Batch(inputs, labels), short(linf.ball(0.06)))


def predictions(f, points):
    return np.asarray(jnp.argmax(jax.vmap(f)(jnp.asarray(points)), axis=1))


def test_robust_accuracy_never_rises_along_the_cascade(result):
    assert list(result.accuracies) == ["clean", "apgd_ce", "apgd_t", "fab_t", "square"]
    accuracies = list(result.accuracies.values())
    assert accuracies == sorted(accuracies, reverse=True)
    assert accuracies[0] == 1.0
    assert 0.0 < accuracies[-1] < 1.0


def test_accuracies_flags_and_names_tell_the_same(result):
    assert result.accuracies["square"] == np.mean(result.robust)
    np.testing.assert_array_equal(result.robust, result.fooled_by == "")
    survivors = np.isin(result.fooled_by, ["", "fab_t", "square"])
    np.testing.assert_allclose(result.accuracies["apgd_t"], np.mean(survivors))


def test_adversarial_inputs_are_misclassified_and_legal_and_robust_inputs_are_untouched(result, four_classes):
    f, inputs, labels = four_classes
    np.testing.assert_array_equal(predictions(f, result.points) == np.asarray(labels), result.robust)
    assert np.max(np.abs(result.points - np.asarray(inputs))) <= 0.06 + 1e-6
    assert result.points.min() >= 0.0
    assert result.points.max() <= 1.0
    np.testing.assert_array_equal(result.points[result.robust], np.asarray(inputs)[result.robust])


def test_a_healthy_evaluation_raises_no_flag(result):
    assert result.health.flags == {}


def test_the_chunk_size_does_not_change_the_result(four_classes):
    f, inputs, labels = four_classes
    one, other = (
        evaluation.cascade(jax.random.key(0), f, Batch(inputs, labels), random_start(linf.ball(0.2)), chunk_size=size)
        for size in (9, 40)
    )
    assert 0 < one.robust.sum() < len(labels)
    np.testing.assert_array_equal(other.fooled_by, one.fooled_by)
    np.testing.assert_allclose(other.points, one.points, atol=1e-5)


def test_examples_that_are_wrong_from_the_start_are_not_attacked(four_classes):
    f, inputs, labels = four_classes
    wrong = jnp.where(jnp.arange(len(labels)) < 10, (labels + 1) % 4, labels)
    seen = []
    found = evaluation.cascade(
        jax.random.key(0),
        f,
        Batch(inputs, wrong),
        one_step(linf.ball(0.0)),
        chunk_size=128,
        progress=lambda *event: seen.append(event),
    )
    assert found.accuracies == {"clean": 0.75, "fgsm": 0.75}
    assert (found.fooled_by == "clean").sum() == 10
    assert [name for name, _ in seen] == ["fgsm 1/2", "fgsm 1/2", "fgsm 2/2", "fgsm 2/2"]
    assert [share for _, share in seen] == pytest.approx([16 / 60, 30 / 60, 46 / 60, 1.0])
    assert found.gradients == 60 * Stage("fgsm", attacks.fgsm()).cost


def test_the_share_of_work_that_is_done_never_decreases_and_ends_at_one(four_classes):
    shares = []
    f, *examples = four_classes
    evaluation.cascade(
        jax.random.key(0),
        f,
        Batch(*examples),
        short(linf.ball(0.06)),
        progress=lambda name, share: shares.append(share),
    )
    assert np.all(np.diff(shares) >= 0)
    assert 0 < shares[0] < 0.5
    assert shares[-1] == 1.0


def test_radius_zero_gives_the_clean_accuracy_bit_for_bit(four_classes):
    f, inputs, labels = four_classes
    found = evaluation.cascade(jax.random.key(0), f, Batch(inputs, labels), short(linf.ball(0.0)))
    assert set(found.accuracies.values()) == {1.0}
    np.testing.assert_array_equal(found.points, inputs)


def linear(num_classes):
    """A linear classifier, inputs, their labels, and the distance to every class in linf (no pixel is near the box)."""
    matrix = jax.random.normal(jax.random.key(1), (num_classes, 16))
    inputs = jax.random.uniform(jax.random.key(2), (12, 4, 4, 1), minval=0.4, maxval=0.6)
    f = jax.tree_util.Partial(lambda w, x: w @ (x.ravel() - 0.5), matrix)
    labels = predictions(f, inputs)
    logits = np.asarray(jax.vmap(f)(inputs))
    gaps = logits[np.arange(12), labels][:, None] - logits
    slopes = np.abs(np.asarray(matrix)[labels][:, None] - np.asarray(matrix)).sum(-1)
    return f, inputs, labels, np.where(slopes == 0.0, np.inf, gaps / np.where(slopes == 0.0, 1.0, slopes))


@pytest.mark.parametrize("num_classes", [2, 3, 10])
def test_any_number_of_classes_from_two_is_attacked(num_classes):
    f, inputs, labels, distances = linear(num_classes)
    distances = distances.min(axis=1)
    radius = float(np.median(distances))
    suite = evaluation.fast(linf.ball(radius)) if num_classes == 3 else short(linf.ball(radius), (1, 2))
    found = evaluation.cascade(jax.random.key(0), f, Batch(inputs, labels), suite, chunk_size=12)
    near, far = distances < 0.97 * radius, distances > 1.001 * radius
    assert near.sum() >= 4
    assert far.sum() >= 4
    assert not found.robust[near].any()
    assert found.robust[far].all()


def towards(logits, label, target):
    return logits[target] - logits[label]


class near_targets(Suite):
    """A suite that compiles fast: a step to each of the nearest classes."""

    ball: Any = RIGHT
    reach: Any = 1.0

    def stages(self, num_classes):
        step = attacks.fgsm(self.ball)
        options = {"targeted": True, "repeats": num_classes - 1, "cost": 1.0}
        return [Stage("step", step, loss=towards, reach=self.reach, **options)]


def test_targets_beyond_the_reach_are_passed_over_except_for_the_nearest():
    f, inputs, labels, distances = linear(5)
    nearest = np.sort(distances, axis=1)[:, :4]
    radius = float(np.median(nearest[:, 0]))
    is_robust = nearest[:, 0] > radius
    for reach in (1.0, 2.0, 1000.0):
        found = evaluation.cascade(
            jax.random.key(0), f, Batch(inputs, labels), near_targets(linf.ball(radius), reach), chunk_size=12
        )
        np.testing.assert_array_equal(found.robust, is_robust)
        assert found.gradients == 12 + np.sum(nearest[is_robust, 1:] <= reach * radius)
    with pytest.raises(ValueError, match="only a stage with targets has a reach"):
        Stage("one", attacks.fgsm(), reach=1.0)


def test_a_second_radius_runs_the_same_programs(four_classes):
    f, inputs, labels = four_classes
    traces = []

    def counted(f, x):
        traces.append(1)
        return f(x)

    def run(radius):
        traces.clear()
        victim = jax.tree_util.Partial(counted, f)
        evaluation.cascade(jax.random.key(0), victim, Batch(inputs, labels), one_step(linf.ball(radius)))
        return len(traces)

    first, second = run(0.01), run(0.02)
    # What remains are the shape of the logits and the two calls that look for randomness.
    assert second == 3 < first


def confidence(logits, label):
    return -logits[label]


class two_losses(Suite):
    """One attack that climbs two losses."""

    ball: Any = linf.ball(0.12)

    def stages(self, num_classes):
        attack = attacks.pgd(self.ball, num_steps=3)
        return [Stage("aimed", attack, loss=targeted_dlr, targeted=True), Stage("plain", attack, loss=confidence)]


def test_stages_of_one_attack_are_one_program_and_do_as_each_does_alone(four_classes, monkeypatch):
    f, inputs, labels = four_classes
    traces = []

    def run():
        victim = jax.tree_util.Partial(lambda f, x: traces.append(1) or f(x), f)
        found = evaluation.cascade(jax.random.key(0), victim, Batch(inputs, labels), two_losses())
        return found, len(traces)

    together, num_together = run()
    monkeypatch.setattr(task, "_share_a_program", lambda one, other: False)
    apart, num_both = run()
    assert num_both > num_together
    assert {"aimed", "plain"} <= {*apart.fooled_by}
    assert together.fooled_by.tolist() == apart.fooled_by.tolist()
    np.testing.assert_allclose(together.points, apart.points, atol=1e-6)


def network_of(f):
    def apply(variables, inputs, *, train):
        return Output(jax.vmap(lambda x: f.func(variables.params, x))(inputs), {}), variables.state

    return from_functions(lambda key, shape: Variables(f.args[0], {}), apply)


def test_a_model_its_single_and_uint8_levels_give_what_a_function_and_pixels_give(four_classes):
    f, inputs, labels = four_classes
    levels = np.round(np.asarray(inputs) * 255).astype(np.uint8)
    model = Model(network_of(f), Variables(f.args[0], {}))
    cascade = functools.partial(evaluation.cascade, jax.random.key(0), suite=one_step(linf.ball(0.05)))
    expected = cascade(f, Batch(levels.astype(np.float32) / 255, labels)).points
    for classifier in (f, model, model.single):
        np.testing.assert_allclose(cascade(classifier, Batch(levels, labels)).points, expected, atol=1e-6)


class KilledError(Exception):
    pass


def test_a_killed_evaluation_goes_on_with_equal_results_and_repeats_nothing(four_classes, tmp_path):
    f, inputs, labels = four_classes
    cascade = functools.partial(evaluation.cascade, jax.random.key(3), f, Batch(inputs, labels), short(linf.ball(0.06)))
    whole = cascade(journal=tmp_path / "whole")
    events = []

    def kill_later(*event):
        events.append(event)
        if len(events) == 5:
            raise KilledError

    with pytest.raises(KilledError):
        cascade(journal=tmp_path / "killed", progress=kill_later)
    done = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "killed").glob("*.npz")}
    assert len(done) == 5
    resumed = cascade(journal=tmp_path / "killed")
    for field in ("robust", "fooled_by", "points"):
        np.testing.assert_array_equal(getattr(resumed, field), getattr(whole, field))
    for name in ("result.json", "adversarial.npy", "cascade.json"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert {name: (tmp_path / "killed" / name).stat().st_mtime_ns for name in done} == done
    chunks = sorted(path.name for path in (tmp_path / "whole").glob("*.npz"))
    assert sorted(path.name for path in (tmp_path / "killed").glob("*.npz")) == chunks
    assert not list((tmp_path / "killed").glob("*.partial"))


@pytest.fixture
def journaled(four_classes, tmp_path):
    f, inputs, labels = four_classes
    settings = {"f": f, "batch": Batch(inputs, labels), "suite": one_step(linf.ball(0.05)), "journal": tmp_path}
    evaluation.cascade(jax.random.key(0), **settings)
    return settings


def test_the_result_is_saved_with_its_adversarial_inputs(journaled):
    result = json.loads((journaled["journal"] / "result.json").read_text())
    points = np.load(journaled["journal"] / "adversarial.npy", allow_pickle=False)
    robust = predictions(journaled["f"], points) == np.asarray(journaled["batch"].labels)
    assert [name == "" for name in result["fooled_by"]] == robust.tolist()
    assert result["accuracies"]["fgsm"] == np.mean(robust)
    assert result["flags"] == {}


def test_the_journal_of_another_evaluation_is_refused_by_what_differs(journaled):
    other = jax.tree.map(lambda leaf: leaf + 1e-3, journaled["f"])
    changes = [
        ({"suite": one_step(linf.ball(0.04))}, "other ball, stages"),
        ({"suite": one_step(l2.ball(0.05))}, "other ball, stages"),
        ({"suite": one_step(linf.ball(0.05), repeats=1)}, "other stages"),
        ({"f": other}, "other classifier"),
    ]
    for change, message in changes:
        with pytest.raises(ValueError, match=message):
            evaluation.cascade(jax.random.key(0), **(journaled | change))
    with pytest.raises(ValueError, match="other key"):
        evaluation.cascade(jax.random.key(1), **journaled)


def test_suites_and_stages_are_values():
    for norm in (linf, l1):
        suite = evaluation.standard(norm.ball(0.5))
        stages = suite.stages(10)
        assert values.from_json(values.to_json((suite, *stages))) == (suite, *stages)
        assert all(stage.attack.ball == suite.ball for stage in stages)
        assert suite != suite.replace(ball=norm.ball(0.25))


def test_a_boundary_attack_in_a_stage_gets_margins_and_a_climber_a_loss(four_classes):
    f, inputs, labels = four_classes
    for attack in (attacks.deepfool(linf.ball(0.3)), attacks.pgd(linf.ball(0.3))):
        for targeted in (False, True):
            loss = targeted_dlr if targeted else cross_entropy
            stage = Stage("one", attack, loss=loss, targeted=targeted)
            run = jax.jit(lambda x, y, t, stage=stage: stage.run(jax.random.key(0), f, x, y, t))
            others = jnp.where(jnp.arange(4) == labels[:, None], -jnp.inf, jax.vmap(f)(inputs))
            examples = zip(inputs[:3], labels[:3], jnp.argmax(others, axis=1), strict=False)
            fooled = [predictions(f, run(x, y, t)[None])[0] != y for x, y, t in examples]
            assert all(fooled)


def test_stages_of_the_same_names_with_fewer_steps_do_not_go_on_from_other_results(four_classes, tmp_path):
    f, inputs, labels = four_classes
    cascade = functools.partial(evaluation.cascade, jax.random.key(0), f, Batch(inputs, labels), journal=tmp_path)
    cascade(suite=short(linf.ball(0.0), (2,)))
    with pytest.raises(ValueError, match="other stages"):
        cascade(suite=short(linf.ball(0.0), (2,), num_steps=14))


def test_a_foreign_chunk_is_refused_and_a_damaged_one_set_aside_and_computed_again(journaled):
    first, second = sorted(journaled["journal"].glob("*.npz"))[:2]
    first.write_bytes(second.read_bytes())
    with pytest.raises(ValueError, match="about other examples"):
        evaluation.cascade(jax.random.key(0), **journaled)
    first.write_bytes(b"torn")
    with pytest.warns(UserWarning, match=f"{first.name} is set aside as {first.name}.damaged and computed again"):
        evaluation.cascade(jax.random.key(0), **journaled)
    assert first.exists()
    os.remove(f"{first}.damaged")


def backwards(x):
    """The identity, with its derivative's sign changed."""
    return 2.0 * jax.lax.stop_gradient(x) - x


SICK = {
    "zero_gradients": (lambda f, x: f(jnp.round(x * 4) / 4), one_step(linf.ball(0.0))),
    "probabilities": (lambda f, x: jax.nn.softmax(f(x)), one_step(linf.ball(0.0))),
    "random": (lambda f, x: f(x) + 0.05 * np.random.default_rng().normal(size=4), one_step(linf.ball(0.0))),
    "black_box": (lambda f, x: f(backwards(x)), short(linf.ball(0.15), (0, 3))),
}


@pytest.mark.parametrize("sign", SICK)
def test_every_sign_of_sickness_is_raised_by_its_disease_alone(sign, four_classes):
    wrap, suite = SICK[sign]
    f = jax.tree_util.Partial(wrap, four_classes.f)
    labels = predictions(f, four_classes.inputs)
    found = evaluation.cascade(jax.random.key(0), f, Batch(four_classes.inputs, labels), suite)
    assert list(found.health.flags) == [sign]


def test_an_example_whose_logits_are_nan_is_not_robust(four_classes):
    _, inputs, labels = four_classes
    found = evaluation.cascade(jax.random.key(0), lambda x: x.ravel()[:4] * jnp.nan, Batch(inputs, labels), one_step())
    assert not found.robust.any()
    assert found.accuracies["clean"] == 0.0


def test_what_can_not_be_attacked_is_refused(four_classes):
    f, inputs, labels = four_classes

    def cascade(f, inputs, labels, suite=one_step(), **settings):  # noqa: B008 - a frozen record
        evaluation.cascade(jax.random.key(0), f, Batch(inputs, labels), suite, **settings)

    with pytest.raises(ValueError, match="num_classes must be a whole number of at least 2"):
        cascade(lambda x: f(x)[:1], inputs, labels)
    with pytest.raises(ValueError, match="at least one input"):
        cascade(f, inputs[:0], labels[:0])
    with pytest.raises(ValueError, match="labels must be from 0 to 3"):
        cascade(f, inputs, jnp.asarray(labels) + 1)
    with pytest.raises(ValueError, match="inputs must be within box"):
        cascade(f, 255.0 * jnp.asarray(inputs), labels)
    with pytest.raises(ValueError, match="chunk_size must be a whole number"):
        cascade(f, inputs, labels, chunk_size=0)
    for names, message in ((("a", "a"), "stages need different names"), (("../a",), "needs a name of letters")):
        with pytest.raises(ValueError, match=message):
            cascade(f, inputs, labels, one_step(names=names))
