"""An inner ear: sound to spikes, as it made the Spiking Heidelberg Digits.

Sound moves the basilar membrane (`snnsim.datasets.inner_ear.basilar_membrane`), each place of it opens a hair cell,
whose transmitter makes nerve fibres fire at random, and a bushy cell, a leaky integrate-and-fire neuron, fires where
many fibres of one place do so at once. Every channel is one place and one bushy cell; channel 0 lies at the base and
hears the highest frequencies.

Cramer, Stradmann, Schemmel and Zenke 2020, doi:10.1109/TNNLS.2020.3044364, with the parameters of their program
lauscher 1.0.1; hair cells: Meddis, Journal of the Acoustical Society of America 79:702 (1986) and 83:1056 (1988).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnsim.datasets.inner_ear.audio import check_audio, resample
from snnsim.datasets.inner_ear.basilar_membrane import BasilarMembrane, membrane_table
from snnsim.errors import DataError, ParameterError, positive, whole
from snnsim.events import Events
from snnsim.numerics import rng
from snnsim.system.machine import cores

#: Where the response of a place is below this share of its largest, it counts as none; the interpolation errs by more.
FLOOR = math.log(1e-7)
#: Above the highest frequency that is louder than this share of the loudest, there counts as nothing: a sound of 8 kHz
#: has nothing above 4 kHz, but its rise and fall spread it a little.
QUIET = 1e-7
#: Numbers that a thread holds at a time for one stage: a few channels of a spoken word.
ROOM = 2**17
#: Shorter sounds have too few frequencies to speak of.
SHORTEST = 64


@dataclass(frozen=True)
class HairCell:
    """Parameters of the inner hair cells; the defaults are those of the Spiking Heidelberg Digits (lauscher 1.0.1).

    Parameters
    ----------
    opening, half : float
        A and B, in units of the velocity v: the cell is permeable by ``release * (v + A) / (v + A + B)``.
    most : float
        M, the transmitter up to which more is made.
    release, make, lose, take, reprocess : float
        Rates g (release), y (making), l (loss from the cleft), r (back from the cleft), x (back to use), per second.
    fire : float
        h, the firing rate, per second, of a fibre for each unit of transmitter in the cleft.
    """

    opening: float = 5.0
    half: float = 300.0
    most: float = 1.0
    release: float = 2000.0
    make: float = 5.05
    lose: float = 2500.0
    take: float = 6580.0
    reprocess: float = 66.3
    fire: float = 50_000.0

    def __post_init__(self) -> None:
        for each in fields(self):
            positive(each.name, getattr(self, each.name))

    def a_sample(self, dt: float) -> tuple[float, ...]:
        """Return the parameters in the order above, rates for a sample of `dt` seconds."""
        values = [getattr(self, each.name) for each in fields(self)]
        return (*values[:3], *(rate * dt for rate in values[3:]))


@dataclass(frozen=True)
class BushyCell:
    """Parameters of nerve fibres and bushy cells; the defaults are those of the Spiking Heidelberg Digits.

    Parameters
    ----------
    fibres : int
        Nerve fibres that converge on a cell.
    membrane_time_constant, synapse_time_constant : float
        Seconds.
    refractory : float
        Seconds, of fibres and of bushy cells.
    weight : float
        What a unit of current from all fibres adds to the membrane in a second; the threshold is 1.
    """

    fibres: int = 40
    membrane_time_constant: float = 1e-3
    synapse_time_constant: float = 5e-4
    refractory: float = 1e-3
    weight: float = 13e3

    def __post_init__(self) -> None:
        whole("fibres", self.fibres, at_least=1)
        for name in ("membrane_time_constant", "synapse_time_constant", "refractory", "weight"):
            positive(name, getattr(self, name))

    def pause(self, dt: float) -> int:
        """Return the refractory time in samples of `dt` seconds."""
        return max(1, math.ceil(self.refractory / dt - 1e-9))

    def a_sample(self, dt: float) -> tuple[int, int, float, float, float]:
        """Return what `snnsim.datasets.inner_ear.kernels.bushy_cells` is given."""
        return (
            self.fibres,
            self.pause(dt),
            math.exp(-dt / self.synapse_time_constant),
            math.exp(-dt / self.membrane_time_constant),
            self.weight / self.fibres * dt,
        )


@dataclass(frozen=True)
class InnerEar:
    """Sound to spikes.

    Parameters
    ----------
    channels : int
        Places along the membrane, each with a bushy cell; 700 in the Spiking Heidelberg Digits.
    sample_rate : int
        Samples a second to which sound is brought first, even. Cells are advanced at half of it, which is also the
        resolution of the spikes: 1/24,000 s.
    level : float or None
        Root mean square to which a recording is scaled, so that loud and soft ones excite the ear alike; None leaves
        it as it is.
    ramp : float or None
        Seconds of a raised-cosine rise at the start and fall at the end, at most half of the recording, which None
        means.
    membrane : BasilarMembrane
    hair_cell : HairCell
    bushy_cell : BushyCell

    Examples
    --------
    >>> import numpy as np
    >>> from snnsim.datasets import InnerEar
    >>> time = np.arange(0, 0.2, 1 / 48_000)
    >>> events = InnerEar(channels=70).convert(np.sin(2 * np.pi * 1000 * time), 48_000, seed=1)
    >>> int(np.median(events.sources))  # about the place of 1 kHz
    36
    """

    channels: int = 700
    sample_rate: int = 48_000
    level: float | None = 0.3
    ramp: float | None = None
    membrane: BasilarMembrane = field(default_factory=BasilarMembrane)
    hair_cell: HairCell = field(default_factory=HairCell)
    bushy_cell: BushyCell = field(default_factory=BushyCell)

    def __post_init__(self) -> None:
        whole("channels", self.channels, at_least=1)
        if whole("sample_rate", self.sample_rate, at_least=2000) % 2:
            raise ParameterError(
                f"sample_rate={self.sample_rate}: must be even, since cells are advanced at half of it"
            )
        if self.level is not None:
            positive("level", self.level)
        if self.ramp is not None:
            positive("ramp", self.ramp, zero=True)

    @property
    def dt(self) -> float:
        """Seconds between two samples of the cells; the tick of the spikes."""
        return 2.0 / self.sample_rate

    def convert(
        self,
        audio: ArrayLike,
        sample_rate: float,
        *,
        seed: int = 0,
        recording: int = 0,
        threads: int | None = None,
    ) -> Events:
        """Turn a recording into spikes.

        Parameters
        ----------
        audio : array_like of float, shape (samples,)
            One channel of sound. Its unit does not matter unless ``level`` is None.
        sample_rate : float
            Samples a second. Where it is not that of the ear, the sound is resampled: what lies above the half of the
            lower rate is lost.
        seed, recording : int
            Of the random firing of the fibres. Equal numbers give equal spikes, whatever else is converted, and for any
            number of threads.
        threads : int, optional
            All cores by default.

        Returns
        -------
        Events
            One recording with a source a channel and ticks of 1/24,000 s (2 / `sample_rate` of the ear). Its `times`
            are seconds; ``events.with_dt(24 * events.dt)`` has ticks of a millisecond.

        Raises
        ------
        DataError
            The sound is no flat array of finite numbers, is too short, or is silent while a `level` is asked for.
        ParameterError
            An argument out of range.
        """
        samples = self.prepared(audio, sample_rate)
        workers = cores() if threads is None else whole("threads", threads, at_least=1)
        keys = rng.element_keys(
            seed, rng.stream_number("inner ear", whole("recording", recording)), np.arange(self.channels)
        )
        dt, steps = self.dt, samples.size // 2 + 1
        pause = self.bushy_cell.pause(dt)
        ticks = np.empty((self.channels, steps // (pause + 1) + 1), np.int32)
        counts = np.empty(self.channels, np.int64)
        hair, cell = self.hair_cell.a_sample(dt), self.bushy_cell.a_sample(dt)
        from snnsim.datasets.inner_ear.kernels import bushy_cells, hair_cells

        def hear(some: slice, velocity: NDArray[np.float64]) -> None:
            hair_cells(velocity, hair, velocity)
            bushy_cells(velocity, keys[some], cell, ticks[some], counts[some])

        self._moved(samples, hear, workers)
        filled = np.arange(ticks.shape[1]) < counts[:, None]
        channel, _ = np.nonzero(filled)
        moments = ticks[filled].astype(np.int64)
        order = np.argsort(moments, kind="stable")  # channels ascend already
        return Events(
            moments[order], channel[order].astype(np.int32), np.array([0, order.size]), self.channels, steps, dt
        )

    def prepared(self, audio: ArrayLike, sample_rate: float) -> NDArray[np.float64]:
        """Return the sound as it enters the ear: at its sample rate and level, with its rise and fall."""
        samples = resample(check_audio(audio), sample_rate, self.sample_rate)
        if samples.size < SHORTEST:
            raise DataError(f"audio: {samples.size} samples at {self.sample_rate:,} Hz; at least {SHORTEST} are needed")
        if self.level is not None:
            loudness = math.sqrt(float(np.mean(samples**2)))
            if not loudness > 0.0:
                raise DataError(
                    "audio: the recording is silent, so that its level cannot be set; leave it out, "
                    "or pass level=None for the activity of an ear in silence"
                )
            samples = samples * (self.level / loudness)
        longest = samples.size // 2
        rise = longest if self.ramp is None else min(longest, round(self.ramp * self.sample_rate))
        ramp = np.hanning(2 * rise)[:rise]
        samples[:rise] *= ramp
        samples[samples.size - rise :] *= ramp[::-1]
        return samples

    def velocity(self, audio: ArrayLike, sample_rate: float, *, threads: int | None = None) -> NDArray[np.float64]:
        """Return the velocity of the membrane, shape (channels, samples), a sample every `dt` seconds."""
        samples = self.prepared(audio, sample_rate)
        result = np.empty((self.channels, samples.size // 2 + 1))

        def keep(some: slice, velocity: NDArray[np.float64]) -> None:
            result[some] = velocity

        self._moved(samples, keep, cores() if threads is None else whole("threads", threads, at_least=1))
        return result

    def _moved(
        self, samples: NDArray[np.float64], use: Callable[[slice, NDArray[np.float64]], None], workers: int
    ) -> None:
        """Call ``use(channels, velocity)`` for the velocity of a few channels after another, in several threads."""
        from snnsim.datasets.inner_ear.kernels import membrane_spectra

        steps = samples.size // 2 + 1
        # Zeros are appended for a number of samples that the transform is quick with.
        bins = _smooth(steps)
        highest = self.sample_rate / 2
        table = membrane_table(self.membrane, self.channels, 1.0, highest)
        sound = np.fft.rfft(samples, 2 * (bins - 1))
        first, weights = table.weights(np.linspace(1.0, highest, bins))
        block = max(1, min(ROOM // bins, -(-self.channels // workers)))
        blocks = iter([slice(low, min(low + block, self.channels)) for low in range(0, self.channels, block)])

        def work() -> None:
            # Room is made once: fresh memory for each block would take as long as the hair cells.
            whole_spectrum = np.empty(bins, np.complex128)
            spectra, moved = np.empty((block, bins // 2 + 1), np.complex128), np.empty((block, bins))
            for some in blocks:
                part, velocity = spectra[: some.stop - some.start], moved[: some.stop - some.start]
                membrane_spectra(
                    table.amplitude[some], table.turns[some], first, weights, sound, QUIET, FLOOR, whole_spectrum, part
                )
                np.fft.irfft(part, bins, axis=1, out=velocity)
                use(some, velocity[:, :steps])

        if workers == 1:
            work()
            return
        with ThreadPoolExecutor(workers, "snnsim-ear") as pool:
            for done in [pool.submit(work) for _ in range(workers)]:
                done.result()


def _smooth(number: int) -> int:
    """Return the smallest number from `number` on that has no prime factor above 5."""
    best = 1 << (number - 1).bit_length()
    five = 1
    while five < best:
        three = five
        while three < best:
            rest = -(-number // three)
            best = min(best, three << (rest - 1).bit_length())
            three *= 3
        five *= 5
    return best
