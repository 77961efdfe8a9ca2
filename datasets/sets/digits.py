"""Digits that need no download: small images of handwritten digits, seen by a SIMULATED event camera.

The images are scikit-learn's: 1,797 digits of 8 x 8 pixels, the test part of "Optical Recognition of Handwritten
Digits" (Alpaydin, Kaynak 1998; UCI Machine Learning Repository, doi:10.24432/C50P49, CC BY 4.0). The recordings are
computed from them by `SaccadeCamera` in the form of N-MNIST. They are for trying things out: easier than N-MNIST, and
not comparable with it. A ridge classifier on square roots of event counts reaches 95 % of the test samples.
"""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from snnsim.datasets.cache import cached
from snnsim.datasets.dataset import EventDataset
from snnsim.datasets.event_camera.camera import MICROSECOND, SaccadeCamera
from snnsim.errors import missing_dependency, one_of
from snnsim.numerics.sampling import check_seed, stratified_part
from snnsim.timebase import check_dt

CLASSES = tuple(str(digit) for digit in range(10))
#: The split is part of the data set: it does not depend on the seed of the simulation.
TRAIN_FRACTION, SPLIT_SEED = 1437 / 1797, 1797
#: Raise when the simulation gives another result for the same settings: caches of before are then not found.
SIMULATION_VERSION = 1
SOURCE = (
    "SIMULATED event-camera recordings (snnsim.datasets.SaccadeCamera, three saccades) of the handwritten digits that "
    "come with scikit-learn (Alpaydin, Kaynak 1998, doi:10.24432/C50P49; CC BY 4.0)"
)


def load_digits_events(
    split: str = "train",
    *,
    seed: int = 0,
    dt: float = MICROSECOND,
    camera: SaccadeCamera | None = None,
    cache: bool = True,
) -> EventDataset:
    """Return simulated event-camera recordings of handwritten digits; nothing is downloaded.

    Parameters
    ----------
    split : {"train", "test"}
        1,437 or 360 samples; each class has the same share in both. The split is fixed.
    seed : int
        Seed of the camera: threshold of each pixel, jitter, noise. A sample is the same whichever others are made.
    dt : float
        Seconds a tick, a whole number of microseconds. Several events in one tick stay several.
    camera : SaccadeCamera, optional
        Another camera than the standard one of 34 x 34 pixels.
    cache : bool
        Keep the result in the data folder, and take it from there the next time (see `snnsim.datasets.cached`).

    Returns
    -------
    EventDataset
        Sensor shape (2, 34, 34), 0.3 s a sample. Samples are in the order of scikit-learn's images.

    Raises
    ------
    MissingDependencyError
        scikit-learn is not installed.
    ParameterError
        An argument out of range.

    Notes
    -----
    The same seed gives the same recordings on one machine. On machines whose logarithm differs in the last bit, the
    time of an event may differ by a microsecond.
    """
    one_of("split", split, ("train", "test"))
    check_seed("seed", seed)
    check_dt(dt)
    eye = camera if camera is not None else SaccadeCamera()

    def build() -> EventDataset:
        images, labels = _images()
        chosen = _members(labels, split)
        # A sample is keyed by its number among all the images, not by its place in the split.
        events = eye.record(images[chosen], seed, dt=dt, numbers=chosen)
        return EventDataset(events, labels[chosen], CLASSES, eye.sensor_shape, f"digits-{split}", SOURCE)

    if not cache:
        return build()
    key = {"version": SIMULATION_VERSION, "split": split, "seed": int(seed), "dt": float(dt), "camera": asdict(eye)}
    return cached(build, name=f"digits-{split}", key=key)


def _images() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return brightness 0 to 1, shape (1797, 8, 8), and labels."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise missing_dependency("scikit-learn", "data", "load_digits_events") from error
    digits = load_digits()
    return np.asarray(digits.images, np.float64) / 16.0, np.asarray(digits.target, np.int64)


def _members(labels: NDArray[np.int64], split: str) -> NDArray[np.int64]:
    chosen = np.zeros(labels.size, bool)
    chosen[stratified_part(labels, TRAIN_FRACTION, SPLIT_SEED)] = True
    return np.flatnonzero(chosen if split == "train" else ~chosen)
