"""The simulated camera and the digits it looks at."""

import sys

import numpy as np
import pytest

from snnsim.datasets import SaccadeCamera, load_digits_events
from snnsim.errors import MissingDependencyError, ParameterError

PLAIN = SaccadeCamera(mismatch=0, jitter=0, noise_rate=0)


def spot(rows=8, columns=8):
    image = np.zeros((1, rows, columns))
    image[0, rows // 2, columns // 2] = 1
    return image


def test_form_of_a_recording():
    events = SaccadeCamera().record(np.random.default_rng(0).random((3, 8, 8)), seed=1)
    assert len(events) == 3
    assert events.n_sources == 2 * 34 * 34
    assert (events.n_ticks, events.dt) == (300_000, 1e-6)
    assert np.all(np.diff(events.offsets) > 500)


def test_a_recording_depends_on_its_own_number_alone():
    camera = SaccadeCamera()
    images = np.random.default_rng(0).random((5, 8, 8))
    together = camera.record(images, seed=3)
    alone = camera.record(images[[4, 2]], seed=3, numbers=[4, 2])
    assert alone[0] == together[4]
    assert alone[1] == together[2]
    assert camera.record(images, seed=4) != together
    assert camera.record(images[[2]], seed=3, numbers=[7]) != together[2]


def test_coarser_ticks_hold_the_same_events():
    camera = SaccadeCamera()
    image = spot()
    assert camera.record(image, seed=1, dt=1e-3) == camera.record(image, seed=1).with_dt(1e-3)


def test_nothing_moves_nothing_is_seen():
    assert PLAIN.record(np.zeros((1, 8, 8))).ticks.size == 0
    assert SaccadeCamera(jitter=0, mismatch=0).record(np.zeros((1, 8, 8))).ticks.size > 0  # noise


def test_light_that_comes_and_goes_makes_as_many_events():
    # The path is closed: the change since the last event is less than one threshold at each pixel, up or down.
    events = PLAIN.record(spot())
    balance = np.zeros(34 * 34, int)
    np.add.at(balance, events.sources % (34 * 34), np.where(events.sources >= 34 * 34, 1, -1))
    assert np.abs(balance).max() <= 1
    assert events.ticks.size > 20


def test_a_bright_edge_moving_right_is_on_ahead_and_off_behind():
    events = PLAIN.record(spot()).crop(95_000, start=200_000)  # the third saccade: back to the left, along x only
    polarity, x = events.sources // (34 * 34), events.sources % 34
    assert x[polarity == 1].mean() < x[polarity == 0].mean() - 1
    first = PLAIN.record(spot()).crop(95_000)
    y = first.sources // 34 % 34
    polarity = first.sources // (34 * 34)
    assert y[polarity == 1].mean() > y[polarity == 0].mean() + 1


def test_the_number_of_events_follows_threshold_and_refractory_time():
    few = SaccadeCamera(threshold=0.6, mismatch=0, jitter=0, noise_rate=0).record(spot()).ticks.size
    many = PLAIN.record(spot()).ticks.size
    assert 2 * few <= many < 4 * few
    slow = SaccadeCamera(refractory=0.02, mismatch=0, jitter=0, noise_rate=0).record(spot())
    for source in np.unique(slow.sources):
        assert np.all(np.diff(slow.ticks[slow.sources == source]) >= 20_000 - 1)


def test_noise_has_the_rate_that_was_asked_for():
    camera = SaccadeCamera(noise_rate=2.0)
    counts = np.diff(camera.record(np.zeros((200, 8, 8)), seed=9).offsets)
    expected = 2.0 * 34 * 34 * 0.3
    assert abs(counts.mean() - expected) < 5 * np.sqrt(expected / 200)
    assert 0.7 < counts.var() / expected < 1.4


def test_no_images():
    assert len(SaccadeCamera().record(np.zeros((0, 8, 8)))) == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"threshold": 0}, "threshold=0"),
        ({"saccade": -0.1}, r"saccade=-0\.1"),
        ({"jitter": float("nan")}, "jitter=nan"),
        ({"noise_rate": -1}, "noise_rate=-1"),
        ({"mismatch": 0.5}, r"mismatch=0\.5"),
        ({"image_size": 30}, "image_size=30: must be 27 or below"),
        ({"contrast": "high"}, "contrast='high'"),
    ],
)
def test_nonsense_cameras(settings, message):
    with pytest.raises(ParameterError, match=message):
        SaccadeCamera(**settings)


@pytest.mark.parametrize(
    ("images", "settings", "message"),
    [
        (np.zeros((8, 8)), {}, r"images has shape \(8, 8\)"),
        (np.full((1, 8, 8), 2.0), {}, "brightness from 0 to 1"),
        (np.full((1, 8, 8), np.nan), {}, "brightness from 0 to 1"),
        (spot(), {"seed": -1}, "seed=-1"),
        (spot(), {"dt": 1e-7}, "dt"),
        (spot(), {"numbers": [1, 2]}, r"numbers=\[1, 2\]"),
        (spot(), {"numbers": [-1]}, r"numbers=\[-1\]"),
    ],
)
def test_nonsense_recordings(images, settings, message):
    with pytest.raises(ParameterError, match=message):
        SaccadeCamera().record(images, **settings)


# -- the digits ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    pytest.importorskip("sklearn", reason="scikit-learn is not installed (extra 'data')")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SNNSIM_DATA", str(tmp_path_factory.mktemp("data")))
        yield load_digits_events("train"), load_digits_events("test")


def test_the_split_is_fixed_and_stratified(digits):
    train, test = digits
    assert (len(train), len(test)) == (1437, 360)
    share = test.class_counts / (train.class_counts + test.class_counts)
    assert np.all(np.abs(share - 360 / 1797) < 0.01)
    assert test.labels[:12].tolist() == [6, 7, 2, 4, 8, 7, 9, 5, 6, 9, 8, 4]


def test_like_nmnist_in_form_and_size(digits):
    train, _ = digits
    assert train.sensor_shape == (2, 34, 34)
    assert train.events.duration == pytest.approx(0.3)
    assert 1500 < np.median(train.event_counts) < 5000
    assert "SIMULATED" in train.source


def test_cached_and_made_afresh_are_the_same(digits):
    _, test = digits
    assert load_digits_events("test").events == test.events
    assert load_digits_events("test", cache=False, seed=1).events != test.events


def test_a_linear_classifier_on_counts(digits):
    from sklearn.linear_model import RidgeClassifier

    train, test = (data.with_dt(0.3) for data in digits)
    features = [np.sqrt(data.frames(dtype=np.float64)).reshape(len(data), -1) for data in (train, test)]
    accuracy = RidgeClassifier(100.0).fit(features[0], train.labels).score(features[1], test.labels)
    assert accuracy > 0.93


@pytest.mark.parametrize(
    ("settings", "message"), [({"split": "all"}, "split='all'"), ({"seed": -1}, "seed=-1"), ({"dt": 0}, "dt=0")]
)
def test_nonsense_arguments(settings, message):
    with pytest.raises(ParameterError, match=message):
        load_digits_events(**settings)


def test_without_scikit_learn(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(MissingDependencyError, match=r"snnsim\[data\]"):
        load_digits_events(cache=False)
