"""Projections of two modalities: losses against a hand-computed batch, gradients, what is learned, what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from snnsim.errors import DataError, ParameterError
from snnsim.training import ContrastiveProjection, PairHistory, PrototypeProjection
from snnsim.training.contrastive.contrastive import LOWEST_TEMPERATURE, contrastive_loss
from snnsim.training.contrastive.prototypes import prototype_loss
from snnsim.zero_shot import LabelledFeatures, ask, bootstrap_interval, split_classes

#: exp of these is whole: rows (1, 2, 4), (1, 1, 1), (3, 1, 2).
SIMILARITY = torch.log(torch.tensor([[1.0, 2.0, 4.0], [1.0, 1.0, 1.0], [3.0, 1.0, 2.0]], dtype=torch.float64))
LABELS = torch.tensor([5, 2, 5])


def log(value):
    return math.log(value)


# Row sums 7, 3, 6; column sums 5, 4, 7.
IDENTITY_ROWS = (log(7 / 1) + log(3 / 1) + log(6 / 2)) / 3
IDENTITY_COLUMNS = (log(5 / 1) + log(4 / 1) + log(7 / 2)) / 3
# Pairs 0 and 2 are of one class: half a share each.
AWARE_ROWS = (0.5 * (log(7 / 1) + log(7 / 4)) + log(3 / 1) + 0.5 * (log(6 / 3) + log(6 / 2))) / 3
AWARE_COLUMNS = (0.5 * (log(5 / 1) + log(5 / 3)) + log(4 / 1) + 0.5 * (log(7 / 4) + log(7 / 2))) / 3


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        ("identity", 0.5 * (IDENTITY_ROWS + IDENTITY_COLUMNS)),
        ("label_aware", 0.5 * (AWARE_ROWS + AWARE_COLUMNS)),
    ],
)
@pytest.mark.parametrize("temperature", [1.0, 0.25])
def test_loss_equals_a_hand_computed_batch(targets, expected, temperature):
    # Divided by the temperature, the similarities are those above whatever it is.
    found = contrastive_loss(SIMILARITY * temperature, LABELS, temperature, targets)
    assert float(found) == pytest.approx(expected, abs=1e-14)


def test_targets_agree_where_every_label_is_different():
    apart = torch.arange(3)
    one, other = (contrastive_loss(SIMILARITY, apart, 0.5, targets) for targets in ("identity", "label_aware"))
    assert float(one) == pytest.approx(float(other), abs=1e-14)


def test_identity_targets_punish_what_label_aware_ones_want():
    """Classes that are told apart perfectly, with two pairs a class: a false negative each."""
    labels = torch.tensor([0, 0, 1, 1])
    perfect = 40.0 * (labels[:, None] == labels).double()
    assert float(contrastive_loss(perfect, labels, 1.0, "label_aware")) == pytest.approx(log(2), abs=1e-9)
    assert float(contrastive_loss(perfect, labels, 1.0, "identity")) == pytest.approx(log(2), abs=1e-9)
    # A step that pushes the two pairs of each class apart lowers the one and raises the other.
    apart = perfect + torch.eye(4, dtype=torch.float64)
    assert contrastive_loss(apart, labels, 1.0, "identity") < contrastive_loss(perfect, labels, 1.0, "identity") - 0.3
    assert contrastive_loss(apart, labels, 1.0, "label_aware") > log(2) + 0.05


def test_prototype_loss_equals_a_hand_computed_batch():
    queries = torch.tensor([[0.0], [3.0], [1.0]], dtype=torch.float64)
    gallery = torch.tensor([[1.0], [4.0], [3.0]], dtype=torch.float64)
    # Class 5 (pairs 0 and 2) is at 2, class 2 at 4: distances squared (4, 16), (1, 1), (1, 9).
    own = [log(1 + math.exp(-12)), log(2), log(1 + math.exp(-8))]
    assert float(prototype_loss(queries, gallery, LABELS)) == pytest.approx(sum(own) / 3, abs=1e-12)


@pytest.mark.parametrize(
    "model",
    [
        ContrastiveProjection(4, 3, 5, temperature=0.7),
        ContrastiveProjection(4, 3, 5, temperature=0.2, normalised=True, targets="identity"),
        ContrastiveProjection(4, 3, 5, temperature=0.5, normalised=True, learn_temperature=True),
        PrototypeProjection(4, 3, 5),
    ],
    ids=["dot product", "cosine, identity", "learned temperature", "prototypes"],
)
def test_gradients_are_those_of_finite_differences(model):
    random = np.random.default_rng(0)
    queries, gallery = (torch.from_numpy(random.normal(size=(6, size))) for size in (4, 3))
    labels = torch.tensor([0, 1, 1, 2, 0, 0])
    model.loss(queries, gallery, labels).backward()
    for name, parameter in model.named_parameters():
        flat, found = parameter.data.view(-1), parameter.grad.view(-1)
        for place in range(flat.numel()):
            before, step, sides = float(flat[place]), 1e-6, []
            for sign in (1, -1):
                flat[place] = before + sign * step
                sides.append(float(model.loss(queries, gallery, labels).detach()))
            flat[place] = before
            assert float(found[place]) == pytest.approx((sides[0] - sides[1]) / (2 * step), abs=2e-8), (name, place)


def test_scores_equal_a_plain_computation():
    random = np.random.default_rng(1)
    queries, gallery = (LabelledFeatures(random.normal(2, 3, (9, size)), np.arange(9) % 3) for size in (4, 3))
    for normalised in (False, True):
        model = ContrastiveProjection(4, 3, 5, normalised=normalised, seed=3)
        model.fit(queries, gallery, epochs=2)
        sides = []
        for side, name in ((queries, "query"), (gallery, "gallery")):
            x = (side.values - side.values.mean(0)) / side.values.std(0)
            z = (
                x @ getattr(model, f"{name}_weight").detach().numpy().T
                + getattr(model, f"{name}_bias").detach().numpy()
            )
            z = z * 0.5 * (1 + np.vectorize(math.erf)(z / math.sqrt(2)))
            sides.append(z / np.linalg.norm(z, axis=1, keepdims=True) if normalised else z)
        np.testing.assert_allclose(model.scores(queries, gallery), sides[0] @ sides[1].T, atol=1e-12)


# -- learning --------------------------------------------------------------------------------------------

UNSEEN = tuple(range(32, 40))


def made_up(seed=0, classes=40, each=12, noise=0.7):
    """Two modalities that see the same eight hidden numbers of each class, through different matrices."""
    random = np.random.default_rng(seed)
    hidden = random.normal(size=(classes, 8))
    labels = np.repeat(np.arange(classes), each)
    sides = []
    for size in (30, 20):
        seen = hidden[labels] @ random.normal(size=(8, size)) + noise * random.normal(size=(labels.size, size))
        sides.append(LabelledFeatures(seen, labels))
    return sides


def learned(sides, seed=0, kind=ContrastiveProjection, epochs=15, **choices):
    split = split_classes(sides[0].labels, sides[1].labels, seen=range(32), unseen=UNSEEN, seed=seed)
    model = kind(30, 20, 32, seed=seed, **choices)
    model.fit(*split.part("train", *sides), validation=split.part("validation", *sides), unseen=UNSEEN, epochs=epochs)
    return model, ask(model, split, *sides)


@pytest.mark.parametrize(
    ("kind", "choices"),
    [
        (ContrastiveProjection, {}),
        (ContrastiveProjection, {"targets": "identity", "normalised": True, "temperature": 0.1}),
        (ContrastiveProjection, {"normalised": True, "temperature": 0.5, "learn_temperature": True}),
        (PrototypeProjection, {}),
    ],
)
def test_shared_structure_is_found_in_classes_that_were_not_learned(kind, choices):
    _, found = learned(made_up(), kind=kind, **choices)
    assert found["out-of-class"].chance == pytest.approx(1 / 8)
    for scope in ("in-class", "out-of-class"):
        low = min(found[scope].wilson(0.999).low, bootstrap_interval([found[scope]], resamples=200).low)
        assert low > 2 * found[scope].chance, (scope, found[scope].accuracy)


def test_shuffled_labels_fall_to_chance():
    """With classes that mean nothing, retrieval of held-out recordings is a guess."""
    queries, gallery = made_up()
    random = np.random.default_rng(9)
    mixed = [LabelledFeatures(side.values, random.permutation(side.labels)) for side in (queries, gallery)]
    _, found = learned(mixed)
    for retrieval in found.values():
        low, high = retrieval.wilson(0.999)
        assert low <= retrieval.chance <= high


def test_modalities_that_share_nothing_fall_to_chance_in_unseen_classes():
    """In-class retrieval is learned by heart; nothing carries over to other classes."""
    queries, gallery = made_up(seed=0)[0], made_up(seed=77)[1]
    _, found = learned([queries, gallery], normalised=True, temperature=0.1, epochs=25)
    assert found["in-class"].accuracy > 0.5
    # Eight classes may match by accident, so chance is left a margin: it is the classes that are few.
    assert found["out-of-class"].accuracy < 0.4


def test_the_same_seed_gives_the_same_bits():
    threads = torch.get_num_threads()
    runs = []
    try:
        for seed, count in ((0, 1), (0, 2), (1, 1)):
            torch.set_num_threads(count)
            torch.manual_seed(count)  # nothing may come from torch's own generator
            model, found = learned(made_up(), seed=seed, epochs=3)
            runs.append((model.state_dict(), found["in-class"].nearest, model.history.loss))
    finally:
        torch.set_num_threads(threads)
    for name, value in runs[0][0].items():
        assert torch.equal(value, runs[1][0][name]), name
    np.testing.assert_array_equal(runs[0][1], runs[1][1])
    assert runs[0][2] == runs[1][2]
    assert runs[0][2] != runs[2][2]


def test_the_best_epoch_is_kept_and_training_stops_early():
    sides = made_up(noise=2.0)
    split = split_classes(sides[0].labels, sides[1].labels, seen=range(32), unseen=UNSEEN)
    model = ContrastiveProjection(30, 20, 32)
    held_out = split.part("validation", *sides)
    history = model.fit(*split.part("train", *sides), validation=held_out, epochs=200, patience=3, learning_rate=5e-3)
    assert len(history) == history.best_epoch + 3 < 200
    assert history.validation_accuracy[history.best_epoch - 1] == max(history.validation_accuracy)
    nearest = held_out[1].labels[model.scores(*held_out).argmax(axis=1)]
    assert np.mean(nearest == held_out[0].labels) == max(history.validation_accuracy)
    assert f"{history.best_epoch} *" in str(history)


def test_the_best_epoch_of_equals_is_that_of_least_loss():
    history = PairHistory()
    for loss, accuracy in ((3.0, 0.5), (2.0, 0.7), (1.0, 0.7), (0.5, 0.6), (4.0, 0.7)):
        history.add(1.0, loss, accuracy, 1.0, 0.0)
    assert history.best_epoch == 3


def test_a_learned_temperature_moves_and_stays_in_range():
    model, _ = learned(made_up(), normalised=True, temperature=1.0, learn_temperature=True)
    assert model.history.temperature[-1] < 0.95  # what tells classes apart well asks for a sharper softmax
    fixed, _ = learned(made_up(), normalised=True, temperature=0.3, epochs=2)
    assert fixed.history.temperature == [0.3, 0.3]
    low = ContrastiveProjection(30, 20, 8, temperature=LOWEST_TEMPERATURE, learn_temperature=True)
    with torch.no_grad():
        low.log_temperature -= 1.0
    low.after_step()
    assert low.current_temperature == pytest.approx(LOWEST_TEMPERATURE)


def test_a_feature_that_never_changes_says_nothing():
    queries, gallery = made_up(classes=4, each=6)
    queries.values[:, 3] = 0.1
    model = ContrastiveProjection(30, 20, 8)
    model.fit(queries, gallery, epochs=1)
    other = LabelledFeatures(queries.values.copy(), queries.labels)
    other.values[:, 3] = 5.0
    np.testing.assert_array_equal(model.scores(queries, gallery), model.scores(other, gallery))


@pytest.mark.parametrize(
    "model",
    [ContrastiveProjection(30, 20, 8, learn_temperature=True, normalised=True, seed=4), PrototypeProjection(30, 20, 8)],
)
def test_saved_and_loaded(model, tmp_path):
    sides = made_up(classes=4, each=6)
    model.fit(*sides, epochs=2)
    model.save(tmp_path / "model.h5")
    back = type(model).load(tmp_path / "model.h5")
    np.testing.assert_array_equal(back.scores(*sides), model.scores(*sides))
    assert back.settings() == model.settings()
    assert back.classes == model.classes == (0, 1, 2, 3)
    assert back.history.loss == model.history.loss
    other = PrototypeProjection if isinstance(model, ContrastiveProjection) else ContrastiveProjection
    with pytest.raises(DataError, match="expected a file of kind"):
        other.load(tmp_path / "model.h5")
    with pytest.raises(DataError, match="no such file"):
        type(model).load(tmp_path / "absent.h5")


# -- what is refused -------------------------------------------------------------------------------------


def test_a_class_that_must_stay_unseen_is_refused_wherever_it_comes_in():
    queries, gallery = made_up(classes=6, each=4)
    some = np.flatnonzero(queries.labels < 5)
    later = [LabelledFeatures(side.values, side.labels, side.numbers + 1000) for side in (queries, gallery)]
    model = ContrastiveProjection(30, 20, 8)
    with pytest.raises(DataError, match="training data, queries: class 5 must stay unseen"):
        model.fit(queries, gallery, unseen=(5,), epochs=1)
    with pytest.raises(DataError, match="validation data, queries: class 5 must stay unseen"):
        model.fit(queries[some], gallery[some], validation=(later[0], later[1]), unseen=(5,), epochs=1)
    split = split_classes(queries.labels, gallery.labels, seen=range(5), unseen=[5], validation=0.25)
    model.fit(queries, gallery, epochs=1)  # with all six classes, and nobody said that one is unseen
    with pytest.raises(DataError, match="the projection learned from: class 5 must stay unseen"):
        ask(model, split, queries, gallery)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"query_size": 0}, "query_size=0"),
        ({"dimensions": 0}, "dimensions=0"),
        ({"temperature": 0.0}, "temperature=0.0"),
        ({"temperature": math.nan}, "temperature=nan"),
        ({"temperature": 0.001, "learn_temperature": True}, "temperature=0.001"),
        ({"targets": "soft"}, "targets='soft'.*identity"),
        ({"normalised": 1}, "normalised=1"),
        ({"standardised": "yes"}, "standardised='yes'"),
        ({"learn_temperature": None}, "learn_temperature=None"),
        ({"seed": -1}, "seed=-1"),
    ],
)
def test_arguments_out_of_range_are_named(arguments, message):
    with pytest.raises(ParameterError, match=message):
        ContrastiveProjection(**{"query_size": 3, "gallery_size": 3, **arguments})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"epochs": 0}, "epochs=0"),
        ({"batch_size": 1}, "batch_size=1"),
        ({"learning_rate": 0.0}, "learning_rate=0.0"),
        ({"weight_decay": -1.0}, "weight_decay=-1.0"),
        ({"patience": 3}, "patience=3.*validation"),
        ({"redraw": 2}, "redraw=2"),
        ({"seed": 0.5}, "seed=0.5"),
        ({"learning_rate": 1e300, "epochs": 3}, "the loss is .*learning_rate"),
    ],
)
def test_settings_of_a_training_out_of_range_are_named(arguments, message):
    with pytest.raises(ParameterError, match=message):
        ContrastiveProjection(30, 20, 8).fit(*made_up(classes=3, each=4), **arguments)


def test_data_that_do_not_fit_are_refused():
    queries, gallery = made_up(classes=3, each=4)
    model = ContrastiveProjection(30, 20, 8)
    with pytest.raises(DataError, match=r"query: features of shape \(12, 20\).*takes 30"):
        model.fit(gallery, gallery, epochs=1)
    with pytest.raises(DataError, match="gallery: features of shape"):
        model.scores(queries, queries)
    with pytest.raises(DataError, match="recording 0 is both in the training and in the validation data"):
        model.fit(queries, gallery, validation=(queries, gallery), epochs=1)
    with pytest.raises(DataError, match="class 2 is in one of the two modalities only"):
        model.fit(queries, gallery[np.flatnonzero(gallery.labels < 2)], epochs=1)
    with pytest.raises(ParameterError, match="similarity has shape"):
        contrastive_loss(SIMILARITY[:2], LABELS, 1.0, "identity")


@pytest.mark.parametrize("kind", [ContrastiveProjection, PrototypeProjection])
def test_first_weights_are_uniform_within_one_over_the_root_of_the_features(kind):
    model = kind(400, 25, 60, seed=3)
    for side, size in (("query", 400), ("gallery", 25)):
        weight = getattr(model, f"{side}_weight").detach().numpy().ravel() * math.sqrt(size)
        assert np.all(np.abs(weight) <= 1)
        assert np.histogram(weight, 4, (-1, 1))[0] / weight.size == pytest.approx([0.25] * 4, abs=0.05)


def test_features_of_any_spread_are_standardised_and_constant_ones_are_zero():
    random = np.random.default_rng(0)
    spreads = np.array([1e-9, 1e-5, 1.0, 1e6])
    values = random.normal(size=(40, 4)) * spreads + np.array([0.0, 3.0, 0.0, -2e6])
    values = np.concatenate([values, np.full((40, 1), 0.1), np.zeros((40, 1))], axis=1)
    side = LabelledFeatures(values, np.arange(40) % 4)
    model = ContrastiveProjection(6, 6, 5)
    model.fit(side, side, epochs=1)
    scaled = (values - model.query_mean.numpy()) * model.query_scale.numpy()
    np.testing.assert_allclose(scaled[:, :4].std(0), 1.0, rtol=1e-3)
    np.testing.assert_allclose(scaled[:, :4].mean(0), 0.0, atol=1e-3)
    assert np.all(scaled[:, 4:] == 0)


def test_what_is_kept_is_what_the_best_epoch_left():
    """The same as a training that ends there, on data on which it gets worse again."""
    random = np.random.default_rng(2)
    learn = [LabelledFeatures(random.normal(size=(24, 5)), np.arange(24) % 4, np.arange(24)) for _ in range(2)]
    other = [LabelledFeatures(random.normal(size=(24, 5)), np.arange(24) % 4, 100 + np.arange(24)) for _ in range(2)]
    options = {"batch_size": 8, "learning_rate": 0.05, "seed": 2}
    model = ContrastiveProjection(5, 5, 6)
    history = model.fit(*learn, validation=tuple(other), epochs=12, **options)
    assert 1 < history.best_epoch < 12
    short = ContrastiveProjection(5, 5, 6)
    short.fit(*learn, epochs=history.best_epoch, **options)
    for name, value in short.state_dict().items():
        assert torch.equal(value, model.state_dict()[name]), name
