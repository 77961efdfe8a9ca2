"""A simulated event camera that looks at still images during three saccades, as the one of N-MNIST did.

The light on a pixel is the image, smoothly interpolated and displaced along a triangle. A pixel sends an ON event each
time the logarithm of its light has risen by its threshold since its last event, and an OFF event each time it has
fallen by it (Lichtsteiner, Posch, Delbruck, IEEE Journal of Solid-State Circuits 43:566-576 (2008),
doi:10.1109/JSSC.2007.914337). Thresholds differ from pixel to pixel, times jitter, and some events are noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnsim.errors import ParameterError, positive
from snnsim.events import Events
from snnsim.numerics.sampling import check_seed
from snnsim.timebase import tick_ratio

MICROSECOND = 1e-6
#: Corners of the path in pixels (x, y): down to the right, up to the right, back to the left.
CORNERS = ((0.0, 0.0), (3.5, 7.0), (7.0, 0.0), (0.0, 0.0))
#: How far the path goes, in pixels, along either axis.
REACH = 7.0
#: Instants of a saccade at which the light is computed; its logarithm is taken as linear in between. The image moves
#: by half a pixel at most from one to the next, which is little against a cell of an image of 8 x 8.
STEPS = 25
#: The keys of a sample are (seed, its number); the camera's own fixed pattern uses a number no sample has.
FIXED_PATTERN = 2**64 - 1

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class SaccadeCamera:
    """A simulated event camera in front of still images.

    Parameters
    ----------
    height, width : int
        Pixels of the sensor.
    image_size : int
        Pixels of the sensor that the longer side of an image covers, at most the sensor less the 7 pixels of the path.
    saccade : float
        Seconds that each of the three saccades takes.
    threshold : float
        Mean change of log light that makes an event.
    mismatch : float
        Standard deviation of the thresholds of the pixels, relative to the mean. It belongs to the camera: all
        recordings of a seed share it.
    contrast : float
        Light of the brightest image value over the light of the background, less one.
    refractory : float
        Seconds after an event in which the pixel sends no other; the change goes on counting.
    jitter : float
        Standard deviation in seconds of the time of an event.
    noise_rate : float
        Noise events per pixel and second, ON or OFF alike.
    """

    height: int = 34
    width: int = 34
    image_size: int = 26
    saccade: float = 0.1
    threshold: float = 0.3
    mismatch: float = 0.1
    contrast: float = 4.0
    refractory: float = 1e-3
    jitter: float = 2e-4
    noise_rate: float = 0.3

    def __post_init__(self) -> None:
        for name in ("height", "width", "image_size", "saccade", "threshold", "contrast"):
            positive(name, getattr(self, name))
        for name in ("mismatch", "refractory", "jitter", "noise_rate"):
            positive(name, getattr(self, name), zero=True)
        if self.mismatch > 0.3:
            raise ParameterError(f"mismatch={self.mismatch!r}: must be 0.3 or below, or thresholds would reach zero")
        largest = min(self.height, self.width) - int(REACH)
        if self.image_size > largest:
            raise ParameterError(
                f"image_size={self.image_size!r}: must be {largest} or below, "
                f"so that it stays on the sensor of {self.height} x {self.width} pixels during the saccades"
            )

    @property
    def sensor_shape(self) -> tuple[int, int, int]:
        """(polarity, y, x)."""
        return 2, self.height, self.width

    @property
    def duration(self) -> float:
        """Length of a recording in seconds."""
        return 3 * self.saccade

    def record(
        self, images: ArrayLike, seed: int = 0, *, dt: float = MICROSECOND, numbers: ArrayLike | None = None
    ) -> Events:
        """Record images.

        Parameters
        ----------
        images : array_like, shape (images, rows, columns)
            Brightness from 0 (background) to 1.
        seed : int
            The same seed is the same camera and the same noise.
        dt : float
            Seconds a tick, a whole number of microseconds.
        numbers : array_like of int, shape (images,), optional
            Number of each image, 0, 1, 2, ... by default. A recording depends on the seed, on its own image and on its
            own number, not on the others that are made with it.

        Returns
        -------
        Events
            One recording an image, sources numbered ``(p * height + y) * width + x``.

        Raises
        ------
        ParameterError
            Images of another shape or range, or an argument out of range.
        """
        from snnsim.datasets.event_kernels import to_sorted_ticks

        pictures = np.ascontiguousarray(images, np.float64)
        if pictures.ndim != 3 or min(pictures.shape[1:]) < 2:
            raise ParameterError(f"images has shape {pictures.shape}; expected (images, rows, columns), 2 x 2 or more")
        if pictures.size and not (pictures.min() >= 0 and pictures.max() <= 1):
            raise ParameterError("images must hold brightness from 0 to 1")
        keys = np.arange(len(pictures)) if numbers is None else np.asarray(numbers)
        if keys.shape != (len(pictures),) or keys.dtype.kind not in "iu" or np.any(keys < 0):
            raise ParameterError(
                f"numbers={numbers!r}: must hold a whole number, 0 or above, for each of {len(pictures)} images"
            )
        ratio, n_microseconds = tick_ratio(dt, MICROSECOND), max(round(self.duration / MICROSECOND), 1)
        views, thresholds = self._views(pictures.shape[1:]), self._thresholds(check_seed("seed", seed))
        parts = [
            self._one(picture, views, thresholds, _Uniform(seed, int(number)), n_microseconds)
            for picture, number in zip(pictures, keys, strict=True)
        ]
        empty = np.zeros(0, np.int64), np.zeros(0, np.int32)
        times = np.concatenate([empty[0], *(part for part, _ in parts)])
        sources = np.concatenate([empty[1], *(part for _, part in parts)])
        offsets = np.zeros(len(parts) + 1, np.int64)
        np.cumsum([part.size for part, _ in parts], out=offsets[1:])
        n_sources, n_ticks = 2 * self.height * self.width, -(-n_microseconds // ratio)
        to_sorted_ticks(times, sources, offsets, ratio, n_microseconds, n_sources)
        return Events(times, sources, offsets, n_sources, n_ticks, float(dt))

    def _one(
        self,
        picture: FloatArray,
        views: tuple[FloatArray, FloatArray],
        thresholds: FloatArray,
        random: _Uniform,
        n_microseconds: int,
    ) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Return microseconds, ascending, and sources of one recording."""
        from snnsim.datasets.event_camera.kernels import log_light, threshold_crossings

        light = log_light(picture, views[0], views[1], self.contrast)
        seconds, sources = threshold_crossings(light, thresholds, self.saccade / STEPS, self.refractory)
        seconds = seconds + self.jitter * random.normal(seconds.size)
        noise_seconds, noise_sources = self._noise(random)
        times = np.floor(np.concatenate((seconds, noise_seconds)) / MICROSECOND).astype(np.int64)
        order = np.argsort(times, kind="stable")
        return np.clip(times[order], 0, n_microseconds - 1), np.concatenate((sources, noise_sources))[order]

    def _views(self, shape: tuple[int, ...]) -> tuple[FloatArray, FloatArray]:
        """Return the interpolation onto rows and onto columns of the sensor for each step of the path.

        Shapes (steps + 1, height, image rows) and (steps + 1, width, image columns).
        """
        saccades = np.linspace(0, 3, 3 * STEPS + 1)
        # Each saccade starts and ends at rest, with the speed of a squared sine in between.
        saccades = saccades - np.sin(2 * np.pi * saccades) / (2 * np.pi)
        scale = self.image_size / max(shape)
        weights = []
        for axis, pixels, cells in ((1, self.height, shape[0]), (0, self.width, shape[1])):
            path = np.interp(saccades, np.arange(4), np.array(CORNERS)[:, axis])
            begin = (pixels - cells * scale - REACH) / 2  # the path as a whole is centred on the sensor
            place = (np.arange(pixels) + 0.5 - begin - path[:, None]) / scale - 0.5  # in cells of the image
            weights.append(_cubic(place[:, :, None] - np.arange(cells)))
        return weights[0], weights[1]

    def _thresholds(self, seed: int) -> FloatArray:
        """Return the thresholds for OFF and ON, shape (2, pixels)."""
        spread = _Uniform(seed, FIXED_PATTERN).normal(2 * self.height * self.width)
        return (self.threshold * (1 + self.mismatch * np.clip(spread, -3, 3))).reshape(2, -1)

    def _noise(self, random: _Uniform) -> tuple[FloatArray, NDArray[np.int32]]:
        """Return a Poisson process over all pixels, made of exponential gaps."""
        rate = self.noise_rate * self.height * self.width
        mean = rate * self.duration
        gaps = -np.log1p(-random.draw(int(mean + 10 * np.sqrt(mean) + 20)))
        seconds = np.cumsum(gaps) / rate if rate else np.zeros(0)
        seconds = seconds[seconds < self.duration]
        n_sources = 2 * self.height * self.width
        return seconds, np.floor(random.draw(seconds.size) * n_sources).astype(np.int32)


class _Uniform:
    """Random numbers of one (seed, number), from the raw stream of Philox, which NumPy promises not to change."""

    def __init__(self, seed: int, number: int) -> None:
        self._bits = np.random.Philox(key=np.array([seed, number], np.uint64))

    def draw(self, size: int) -> FloatArray:
        """Return numbers from 0 up to but not including 1."""
        bits = np.asarray(self._bits.random_raw(size), np.uint64)
        return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def normal(self, size: int) -> FloatArray:
        """Return standard normal numbers by the method of Box and Muller."""
        radius = np.sqrt(-2 * np.log1p(-self.draw(size)))
        return np.asarray(radius * np.cos(2 * np.pi * self.draw(size)), np.float64)


def _cubic(distance: FloatArray) -> FloatArray:
    """Return the cubic B-spline of unit spacing: smooth, never negative, and it blurs like a lens."""
    d = np.abs(distance)
    near = 2 / 3 - d**2 + d**3 / 2
    far = (2 - np.minimum(d, 2)) ** 3 / 6
    return np.asarray(np.where(d < 1, near, far), np.float64)
