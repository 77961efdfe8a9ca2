"""Zero-shot retrieval: rankings and their intervals, pairs, splits that keep classes unseen, features, results."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import snnsim as sn
from snnsim.errors import DataError, ParameterError
from snnsim.zero_shot import (
    LabelledFeatures,
    ZeroShotResult,
    ask,
    bootstrap_interval,
    encode,
    input_counts,
    pair_by_class,
    retrieve,
    split_classes,
    wilson_interval,
)
from snnsim.zero_shot.retrieval import DEPTH
from snnsim.zero_shot.split import refuse_unseen

RANDOM = np.random.default_rng


# -- rankings --------------------------------------------------------------------------------------------


def test_the_nearest_item_is_that_of_the_highest_score():
    random = RANDOM(0)
    scores, queries, items = random.normal(size=(30, 100)), random.integers(0, 4, 30), random.integers(0, 4, 100)
    found = retrieve(scores, queries, items)
    assert found.nearest.shape == (30, DEPTH)
    np.testing.assert_array_equal(found.nearest, np.argsort(-scores, axis=1)[:, :DEPTH])
    right = [items[row.argmax()] == label for row, label in zip(scores, queries, strict=True)]
    assert found.accuracy == np.mean(right)
    counts = found.confusion(range(4))
    assert counts.sum() == 30
    assert np.trace(counts) == sum(right)
    assert counts[1, 2] == sum(items[scores[i].argmax()] == 2 for i in np.flatnonzero(queries == 1))


def test_equal_scores_do_not_favour_the_class_that_comes_first():
    items = np.repeat([0, 1], 50)
    answers = [retrieve(np.zeros((1, 100)), [0], items, seed=seed).answers[0] for seed in range(200)]
    assert 0.35 < np.mean(answers) < 0.65
    one, same = (retrieve(np.zeros((3, 100)), [0, 1, 0], items, seed=5) for _ in range(2))
    np.testing.assert_array_equal(one.nearest, same.nearest)


def test_chance_is_what_random_scores_reach():
    queries, items = np.repeat([0, 1, 2], [10, 20, 70]), np.repeat([0, 1, 2], [50, 30, 20])
    expected = 0.1 * 0.5 + 0.2 * 0.3 + 0.7 * 0.2
    found = [retrieve(RANDOM(i).normal(size=(100, 100)), queries, items) for i in range(100)]
    assert found[0].chance == pytest.approx(expected)
    assert np.mean([one.accuracy for one in found]) == pytest.approx(expected, abs=0.015)
    balanced = retrieve(np.zeros((100, 100)), np.arange(100) % 2, items % 2)
    assert balanced.chance == pytest.approx(0.5)  # queries of both classes alike, whatever the gallery holds


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (np.zeros((3, 3)), "gallery_labels: .* must be 2 whole numbers|query_labels"),
        (np.zeros(4), r"scores has shape \(4,\)"),
        (np.zeros((2, 0)), r"scores has shape \(2, 0\)"),
        (np.array([[0.0, 1.0], [np.nan, 0.0]]), "scores: nan of query 1 and item 0"),
    ],
)
def test_scores_that_do_not_fit_are_refused(scores, message):
    with pytest.raises(DataError, match=message):
        retrieve(scores, [0, 1], [0, 1])


def test_labels_and_numbers_that_do_not_fit_are_refused():
    with pytest.raises(DataError, match="query_labels: float64"):
        retrieve(np.zeros((2, 2)), [0.0, 1.0], [0, 1])
    with pytest.raises(DataError, match=r"gallery_numbers: .* must be 2"):
        retrieve(np.zeros((2, 2)), [0, 1], [0, 1], gallery_numbers=[1])
    found = retrieve(np.zeros((2, 2)), [0, 1], [0, 1])
    with pytest.raises(DataError, match="do not all lie in a gallery of 2"):
        replace(found, nearest=np.array([[2], [0]]))


# -- intervals -------------------------------------------------------------------------------------------


def test_wilson_intervals_are_the_published_ones():
    """Newcombe 1998 (doi:10.1002/(SICI)1097-0258(19980430)17:8<857::AID-SIM777>3.0.CO;2-E), table I, method 3."""
    for successes, trials, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611)):
        assert wilson_interval(successes, trials) == pytest.approx((low, high), abs=6e-5)
    low, high = wilson_interval(100, 200)  # two hundred queries say little: +- 7 points
    assert high - 0.5 == pytest.approx(0.5 - low) == pytest.approx(0.069, abs=1e-3)
    assert wilson_interval(20, 20).high == 1.0


@pytest.mark.parametrize(
    "arguments", [(3, 2), (-1, 4), (0, 0), (1, 4, 1.0), (1, 4, 0.0)], ids=lambda arguments: str(arguments)
)
def test_wilson_refuses(arguments):
    with pytest.raises(ParameterError, match=r"successes=|trials=|confidence="):
        wilson_interval(*arguments)


def hubs(seed, queries=200, items=20, strength=0.0):
    """Scores in which every query is near to the same items, the more the larger `strength`."""
    random = RANDOM(seed)
    scores = random.normal(size=(queries, items)) + strength * random.normal(size=items)
    return retrieve(scores, np.arange(queries) % 2, np.arange(items) % 2, seed=seed)


@pytest.mark.parametrize(("noise", "at_least"), [(3.0, 0.85), (0.7, 0.65)])
def test_the_bootstrap_covers_chance_more_often_than_wilson(noise, at_least):
    """Where whole classes are near to the same items by accident, queries are not independent of one another."""
    bootstrap, wilson = [], []
    for seed in range(40):
        found = retrieve(*_unbalanced(seed, noise))
        low, high = bootstrap_interval([found], resamples=100)
        bootstrap.append(low <= 0.5 <= high)
        low, high = found.wilson()
        wilson.append(low <= 0.5 <= high)
    assert np.mean(bootstrap) >= at_least
    assert np.mean(wilson) < np.mean(bootstrap)


def _unbalanced(seed, noise):
    """Queries of the two classes prefer items of their own by chance only, but all of a class the same ones."""
    random = RANDOM(seed)
    queries, items = np.arange(200) % 2, np.arange(60) % 2
    taste = random.normal(size=(2, 60))
    return taste[queries] + noise * random.normal(size=(200, 60)), queries, items


def test_the_bootstrap_agrees_with_the_binomial_where_queries_are_independent():
    """In a gallery so large that a resample of it changes little, its width is that of the queries alone."""
    widths = []
    for seed in range(5):
        random = RANDOM(seed)
        queries, items = np.arange(400) % 2, np.arange(600) % 2
        right = random.random(400) < 0.7
        wanted = np.where(right, queries, 1 - queries)
        scores = random.normal(size=(400, 600)) + 50.0 * (wanted[:, None] == items)
        low, high = bootstrap_interval([retrieve(scores, queries, items)], resamples=400)
        assert low < 0.7 + 0.06
        assert high > 0.7 - 0.06
        widths.append(high - low)
    assert np.mean(widths) == pytest.approx(2 * 1.96 * (0.7 * 0.3 / 400) ** 0.5, rel=0.12)


def test_runs_that_share_their_recordings_are_no_further_recordings():
    one = hubs(3)
    same = bootstrap_interval([one] * 5, seed=1)
    alone = bootstrap_interval([one], seed=1)
    assert same == pytest.approx(alone)
    others = [
        replace(run, query_numbers=run.query_numbers + 1000 * i, gallery_numbers=run.gallery_numbers + 1000 * i)
        for i, run in enumerate([one] * 5)
    ]
    apart = bootstrap_interval(others, seed=1)
    assert apart.high - apart.low < 0.7 * (alone.high - alone.low)


def test_runs_that_differ_widen_the_interval():
    narrow = bootstrap_interval([hubs(3)] * 4)
    random = RANDOM(0)
    runs = []
    for share in (0.2, 0.4, 0.6, 0.8):
        labels = np.arange(200) % 2
        wanted = np.where(random.random(200) < share, labels, 1 - labels)
        runs.append(retrieve(wanted[:, None] == np.arange(20) % 2, labels, np.arange(20) % 2))
    wide = bootstrap_interval(runs)
    assert wide.high - wide.low > 0.3 > narrow.high - narrow.low


def test_the_bootstrap_is_the_same_for_the_same_seed_and_refuses_what_does_not_fit():
    one = hubs(1)
    assert bootstrap_interval([one], seed=4, resamples=50) == bootstrap_interval([one], seed=4, resamples=50)
    assert bootstrap_interval([one], seed=4, resamples=50) != bootstrap_interval([one], seed=5, resamples=50)
    with pytest.raises(ParameterError, match="runs is empty"):
        bootstrap_interval([])
    with pytest.raises(ParameterError, match="resamples=1"):
        bootstrap_interval([one], resamples=1)
    relabelled = replace(one, query_labels=1 - one.query_labels)
    with pytest.raises(DataError, match="queries: recording 0 has different labels"):
        bootstrap_interval([one, relabelled])


# -- pairs and splits ------------------------------------------------------------------------------------


def test_pairs_are_of_one_class_and_use_every_recording_alike():
    queries, items = RANDOM(0).integers(0, 5, 200), RANDOM(1).integers(0, 5, 60)
    first, second = pair_by_class(queries, items, seed=3)
    np.testing.assert_array_equal(queries[first], items[second])
    for label in range(5):
        used = [np.bincount(side[queries[first] == label]) for side in (first, second)]
        counts = [use[use > 0] for use in used]
        assert [count.size for count in counts] == [np.sum(queries == label), np.sum(items == label)]
        assert all(count.max() - count.min() <= 1 for count in counts)
    again = pair_by_class(queries, items, seed=3)
    np.testing.assert_array_equal(second, again[1])
    for other in (pair_by_class(queries, items, seed=4), pair_by_class(queries, items, seed=3, epoch=1)):
        pairs = [set(zip(*sides, strict=True)) for sides in ((first, second), other)]
        assert pairs[0] != pairs[1]
    with pytest.raises(DataError, match="class 4 is in one of the two modalities only"):
        pair_by_class(queries, items[items < 4])
    with pytest.raises(DataError, match="there are no recordings"):
        pair_by_class([], [])


def labels_of(queries=300, items=150):
    return RANDOM(0).permutation(np.arange(queries) % 10), RANDOM(1).permutation(np.arange(items) % 10)


def test_a_split_keeps_recordings_apart_and_classes_unseen():
    queries, items = labels_of()
    split = split_classes(queries, items, seen=range(1, 8), unseen=(8, 9), validation=0.2, test=0.2, seed=5)
    for labels, side in ((queries, split.queries), (items, split.gallery)):
        everything = np.concatenate(list(side.values()))
        np.testing.assert_array_equal(np.sort(everything), np.flatnonzero(labels != 0))  # digit 0 takes no part
        np.testing.assert_array_equal(side["unseen"], np.flatnonzero(labels >= 8))
        each = np.sum(labels == 1)
        for name, share in (("train", 0.6), ("validation", 0.2), ("test", 0.2)):
            np.testing.assert_array_equal(
                np.bincount(labels[side[name]], minlength=10), round(share * each) * np.isin(np.arange(10), range(1, 8))
            )
    other, same = (
        split_classes(queries, items, seen=range(1, 8), unseen=(8, 9), validation=0.2, test=0.2, seed=seed)
        for seed in (6, 5)
    )
    assert not np.array_equal(split.queries["test"], other.queries["test"])
    np.testing.assert_array_equal(split.queries["test"], same.queries["test"])
    np.testing.assert_array_equal(split.queries["unseen"], other.queries["unseen"])


def test_a_leak_of_a_class_is_an_error():
    queries, items = labels_of()
    split = split_classes(queries, items, seen=range(1, 8), unseen=(8, 9))
    sides = LabelledFeatures(np.zeros((300, 2)), queries), LabelledFeatures(np.zeros((150, 2)), items)
    for name in ("train", "validation", "test"):
        first, second = split.part(name, *sides)
        assert set(first.labels) == set(second.labels) == set(range(1, 8))
        np.testing.assert_array_equal(first.numbers, split.queries[name])
    leaked = LabelledFeatures(np.zeros((300, 2)), np.where(queries == 3, 9, queries))
    for name in ("train", "validation", "test"):
        with pytest.raises(DataError, match=f"{name} part, queries: class 9 must stay unseen"):
            split.part(name, leaked, sides[1])
    with pytest.raises(DataError, match="unseen part, gallery: class 1"):
        split.part("unseen", sides[0], LabelledFeatures(np.zeros((150, 2)), np.where(items == 8, 1, items)))
    moved = {**split.queries, "train": np.append(split.queries["train"], split.queries["unseen"][0])}
    with pytest.raises(DataError, match=r"queries: recording .* is in two parts"):
        replace(split, queries=moved)
    taken = {**moved, "unseen": split.queries["unseen"][1:]}
    with pytest.raises(DataError, match=r"train part, queries: class [89] must stay unseen"):
        replace(split, queries=taken).part("train", *sides)
    with pytest.raises(DataError, match=r"here: class 2, 3 must stay unseen \(unseen=\(2, 3\)\)"):
        refuse_unseen([1, 2, 3], (2, 3), "here")
    refuse_unseen([1], (2, 3), "here")


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"seen": ()}, ParameterError, r"seen=\(\)"),
        ({"seen": (1, 1)}, ParameterError, "none of them twice"),
        ({"unseen": (7, 8)}, ParameterError, r"have \[7\] in common"),
        ({"test": 0.0}, ParameterError, "test=0.0"),
        ({"validation": 0.6, "test": 0.4}, ParameterError, "validation=0.6"),
        ({"unseen": (10,)}, DataError, "queries: class 10 has 0 recordings"),
        ({"validation": 0.01}, DataError, "none is left for 'validation'"),
    ],
)
def test_splits_that_cannot_be_are_refused(arguments, kind, message):
    with pytest.raises(kind, match=message):
        split_classes(*labels_of(), **{"seen": range(1, 8), "unseen": (8, 9), **arguments})


# -- features --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "labels", "message"),
    [
        (np.zeros(3), [0, 1, 2], r"values has shape \(3,\)"),
        (np.zeros((3, 2)), [0, 1], "a whole number for each"),
        (np.zeros((2, 2)), [0.5, 1.0], "labels are float64"),
        (np.array([[0.0, np.inf]]), [0], "values: inf of recording 0, feature 1"),
    ],
)
def test_features_that_do_not_fit_are_refused(values, labels, message):
    with pytest.raises(DataError, match=message):
        LabelledFeatures(values, np.asarray(labels))


def test_features_are_mean_spikes_a_tick():
    network = sn.Network(
        [sn.Population("input", 3, sn.Input()), sn.Population("reservoir", 2, sn.IF(threshold=2.0))],
        [sn.Projection("input", "reservoir", sn.Dense(np.array([[1.0, 0.0], [1.0, 2.0], [0.0, 0.0]])))],
        dt=1e-3,
    )
    counts = RANDOM(0).random((7, 20, 3)) < 0.3

    class Data:
        events = sn.Events.from_dense(counts, 1e-3)
        labels = np.arange(7)

    made = []

    def make(given):
        made.append(given)
        return sn.Simulation(given, "reference", dtype="float64")

    found = encode(network, Data, make_simulation=make)
    assert made == [network]
    np.testing.assert_allclose(found.values[:, 0], counts[:, :, :2].sum((1, 2)) // 2 / 20)
    np.testing.assert_allclose(found.values[:, 1], counts[:, :, 1].sum(1) / 20)
    np.testing.assert_array_equal(encode(network, Data).values, found.values)
    np.testing.assert_allclose(input_counts(Data).values, counts.mean(1))
    np.testing.assert_array_equal(found[[4, 2]].numbers, [4, 2])
    assert len(found[[]]) == 0


# -- results ---------------------------------------------------------------------------------------------


class Nearest:
    """A scorer that looks at one feature, which is noise where `noise` is large."""

    classes = tuple(range(1, 8))

    def scores(self, queries, gallery):
        return -np.abs(queries.values[:, :1] - gallery.values[:, 0])


def some_result():
    queries, items = labels_of()
    result = ZeroShotResult(notes={"data": "made up"})
    for seed in range(3):
        random = RANDOM(seed)
        sides = [
            LabelledFeatures((labels + random.normal(size=labels.size))[:, None], labels) for labels in (queries, items)
        ]
        split = split_classes(queries, items, seen=range(1, 8), unseen=(8, 9), seed=seed)
        result.add("one feature", ask(Nearest(), split, *sides))
    return result


def test_a_result_says_what_was_found_and_can_be_kept(tmp_path):
    result = some_result()
    runs = result.runs("one feature", "in-class")
    assert result.accuracy("one feature", "in-class") == pytest.approx(np.mean([run.accuracy for run in runs]))
    low, high = result.interval("one feature", "in-class")
    assert runs[0].chance == pytest.approx(1 / 7)
    assert 1 / 7 < low < result.accuracy("one feature", "in-class") < high
    classes, counts = result.confusion("one feature", "out-of-class")
    assert classes.tolist() == [8, 9]
    assert counts.sum() == 3 * 60
    text = str(result)
    assert "out-of-class" in text
    assert "50.0 %" in text
    assert "data: made up" in text
    result.save(tmp_path / "result.h5")
    back = ZeroShotResult.load(tmp_path / "result.h5")
    assert str(back) == text
    np.testing.assert_array_equal(back.runs("one feature", "in-class")[2].nearest, runs[2].nearest)
    with pytest.raises(ParameterError, match="method='another'"):
        result.accuracy("another", "in-class")
    with pytest.raises(ParameterError, match="scope='both'"):
        result.accuracy("one feature", "both")
    with pytest.raises(ParameterError, match="scope='elsewhere'"):
        result.add("one feature", {"elsewhere": runs[0]})


def test_an_interval_has_width_where_every_answer_is_right():
    result = ZeroShotResult()
    labels = np.repeat([8, 9], 50)
    result.add("perfect", {"out-of-class": retrieve(labels[:, None] == labels, labels, labels)})
    low, high = result.interval("perfect", "out-of-class")
    assert low == pytest.approx(wilson_interval(100, 100).low)
    assert low < 0.97
    assert high == 1.0


def test_a_result_without_notes_and_without_methods_is_kept_too(tmp_path):
    ZeroShotResult().save(tmp_path / "empty.h5")
    assert ZeroShotResult.load(tmp_path / "empty.h5") == ZeroShotResult()
