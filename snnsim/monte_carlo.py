"""Many chips of one kind: run something on each, and say how the outcome is spread over them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.errors import DataError, ParameterError, SnnsimError, whole
from snnsim.numerics import rng
from snnsim.storage.json_files import read_json, write_json
from snnsim.system.progress import bar, interruptible
from snnsim.system.tables import table


@dataclass(frozen=True, eq=False)
class MonteCarlo:
    """What came out on each of a number of chips.

    Parameters
    ----------
    values : mapping of str to ndarray, shape (chips done,)
        What was measured, chip by chip.
    chip_seeds : tuple of int
        Seed of each chip that was done.
    seed : int
        From which those were drawn.
    asked : int
        Chips that were asked for; more than were done where the run was stopped.
    """

    values: Mapping[str, NDArray[np.float64]]
    chip_seeds: tuple[int, ...]
    seed: int
    asked: int

    def __len__(self) -> int:
        """Return the number of chips that were done."""
        return len(self.chip_seeds)

    @property
    def complete(self) -> bool:
        """Whether all chips that were asked for were done."""
        return len(self) == self.asked

    def of(self, name: str) -> NDArray[np.float64]:
        """Return one quantity, chip by chip.

        Raises
        ------
        ParameterError
            It was not measured.
        """
        if name not in self.values:
            raise ParameterError(f"{name!r} was not measured; there are: {', '.join(self.values) or 'none'}")
        return self.values[name]

    def mean(self, name: str) -> float:
        """Return the mean over chips."""
        return float(np.mean(self.of(name)))

    def sd(self, name: str) -> float:
        """Return the standard deviation of chips, with n - 1; NaN for a single chip."""
        values = self.of(name)
        return float(np.std(values, ddof=1)) if values.size > 1 else math.nan

    def percentile(self, name: str, percent: float) -> float:
        """Return a percentile of chips, linear between two of them.

        The outermost that n chips tell of is about ``100 / n``: the 5th of twenty lies near the lowest.
        """
        if not 0 <= percent <= 100:
            raise ParameterError(f"percent={percent!r}: must lie in 0 ... 100")
        return float(np.percentile(self.of(name), percent))

    def confidence(self, name: str, level: float = 0.95) -> tuple[float, float]:
        """Return the interval in which the mean of all such chips lies with a confidence, by Student's t.

        Parameters
        ----------
        name : str
        level : float
            Between 0 and 1.

        Returns
        -------
        low, high : float
            Infinite for a single chip, which says nothing of the spread.
        """
        if not 0 < level < 1:
            raise ParameterError(f"level={level!r}: must lie between 0 and 1")
        n, mean = len(self), self.mean(name)
        if n < 2:
            return -math.inf, math.inf
        half = student_quantile(level, n - 1) * self.sd(name) / math.sqrt(n)
        return mean - half, mean + half

    def rows(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """Return the distributions as a header and rows of text."""
        rows = []
        for name in self.values:
            low, high = self.confidence(name)
            between = "" if math.isinf(low) else f"{low:.4g} … {high:.4g}"
            sd = "" if len(self) < 2 else f"{self.sd(name):.3g}"
            inner = [f"{self.percentile(name, percent):.4g}" for percent in (0, 5, 50, 95, 100)]
            rows.append((name, f"{self.mean(name):.4g}", between, sd, *inner))
        return ("quantity", "mean", "95 % confidence", "sd", "lowest", "5 %", "median", "95 %", "highest"), rows

    def __str__(self) -> str:
        header, rows = self.rows()
        stopped = "" if self.complete else f" of {self.asked} asked for (stopped)"
        return f"{len(self)} chips{stopped}, seed {self.seed}\n\n" + table(header, rows, right=range(1, len(header)))

    # -- keeping -----------------------------------------------------------------------------------------

    def save(self, path: str | Path) -> None:
        """Save to a JSON file, which is complete or not there at all."""
        content = {
            "seed": self.seed,
            "asked": self.asked,
            "chip_seeds": list(self.chip_seeds),
            "values": {name: [float(value) for value in values] for name, values in self.values.items()},
        }
        write_json(path, "monte_carlo", content)

    @classmethod
    def load(cls, path: str | Path) -> MonteCarlo:
        """Load what `save` saved."""
        content = read_json(path, "monte_carlo")
        try:
            seeds = tuple(int(seed) for seed in content["chip_seeds"])
            values = {name: np.asarray(given, np.float64) for name, given in content["values"].items()}
            if any(one.shape != (len(seeds),) for one in values.values()):
                raise DataError(f"{path}: the file is damaged: not every quantity has {len(seeds)} values")
            return cls(values, seeds, int(content["seed"]), int(content["asked"]))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            if isinstance(error, SnnsimError):
                raise
            raise DataError(f"{path}: the file is damaged or not complete ({error})") from error


def monte_carlo(
    run_one: Callable[[int], Mapping[str, float]],
    chips: int,
    *,
    seed: int = 0,
    progress: bool = True,
    path: str | Path | None = None,
) -> MonteCarlo:
    """Run something on a number of chips.

    Ctrl-C ends it after the chip that is running, and what is done is returned; a second Ctrl-C acts at once. Where
    what runs on the chip has itself stopped early at the Ctrl-C, as training does, that chip does not count.

    Parameters
    ----------
    run_one : callable
        Takes the seed of a chip, and returns numbers by name, such as ``{"accuracy": 0.97}``: the same names for each
        chip. It makes its own chip of that seed.
    chips : int
        How many, 1 or above. The seeds of the first n chips are the same whatever the number.
    seed : int
        From which the seeds of the chips are drawn, 0 or above.
    progress : bool
        Show a bar with the time left.
    path : str or Path, optional
        JSON file that holds what is done after each chip. Where it is there already, of the same seed, only its first
        chip is run again, which must give what it gave.

    Returns
    -------
    MonteCarlo

    Raises
    ------
    ParameterError
        An argument is wrong, or `run_one` returned no finite numbers, or other names than before.
    DataError
        The file is of another seed, or its first chip gives other numbers now.
    """
    chips, seed = whole("chips", chips, at_least=1), whole("seed", seed)
    seeds = chip_seeds(seed, chips)
    done: dict[str, list[float]] = {}
    count = 0
    if path is not None and Path(path).exists():
        earlier = MonteCarlo.load(path)
        if earlier.seed != seed:
            raise DataError(f"{path}: holds chips of seed {earlier.seed}, not {seed}; give another file")
        count = min(len(earlier), chips)
        done = {name: list(values[:count]) for name, values in earlier.values.items()}

    def so_far() -> MonteCarlo:
        arrays = {name: np.array(values, np.float64) for name, values in done.items()}
        return MonteCarlo(arrays, seeds[:count], seed, chips)

    with interruptible() as stop, bar(progress, chips, "chips") as move:
        if count:
            repeated = run_one(seeds[0])
            if not stop.inside:
                _check_repeats(repeated, done, path)
            if stop.is_set():
                return so_far()
        move(count)
        for number in range(count, chips):
            returned = run_one(seeds[number])
            if stop.inside:  # cut short: not what this chip gives
                break
            outcome = _checked(returned, done, f"chip {number} (seed {seeds[number]})")
            for name, value in outcome.items():
                done.setdefault(name, []).append(value)
            count += 1
            if path is not None:
                so_far().save(path)
            move(1)
            if stop.is_set():
                break
    return so_far()


def chip_seeds(seed: int, chips: int) -> tuple[int, ...]:
    """Return the seeds of the first chips of a Monte Carlo run, below 2^63."""
    drawn = rng.bits(seed, rng.stream_number("monte carlo", "chip"), np.arange(chips)) >> np.uint64(1)
    return tuple(int(one) for one in drawn)


def _check_repeats(outcome: Any, done: Mapping[str, list[float]], path: object) -> None:
    """Raise `DataError` where the first chip of a file gives other numbers: something else runs than did before."""
    now = _checked(outcome, {}, "chip 0")
    before = {name: values[0] for name, values in done.items()}
    if list(now) != list(before):
        raise DataError(f"{path}: holds {', '.join(before)}, run_one returns {', '.join(now)}; give another file")
    for name, value in now.items():
        if not math.isclose(value, before[name], rel_tol=1e-9, abs_tol=0.0):
            raise DataError(
                f"{path}: the first chip gave {name}={before[name]!r} and gives {value!r} now: network, chip or data "
                "have changed, or run_one is not repeatable; give another file"
            )


def _checked(outcome: Any, done: Mapping[str, list[float]], where: str) -> dict[str, float]:
    if not isinstance(outcome, Mapping) or not outcome:  # what a user wrote
        raise ParameterError(f"run_one: {where} returned {outcome!r}; expected numbers by name")
    if done and list(outcome) != list(done):
        raise ParameterError(f"run_one: {where} returned {', '.join(outcome)}; chips before it {', '.join(done)}")
    checked = {}
    for name, value in outcome.items():
        try:
            number = float(value)
        except (TypeError, ValueError) as error:
            raise ParameterError(f"run_one: {where} returned {name}={value!r}: must be a number") from error
        if not math.isfinite(number):
            raise ParameterError(f"run_one: {where} returned {name}={number}: must be finite")
        checked[str(name)] = number
    return checked


def student_quantile(level: float, freedom: int) -> float:
    """Return t within which Student's distribution holds a share of its mass, both sides together.

    By bisection of the finite sums for whole degrees of freedom (Abramowitz and Stegun 1964, 26.7.3 and 26.7.4).

    Parameters
    ----------
    level : float
        Share between -t and t, such as 0.95.
    freedom : int
        Degrees of freedom, 1 or above.
    """
    low, high = 0.0, 1.0
    while _student_share(high, freedom) < level:
        high *= 2
    for _ in range(200):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if _student_share(middle, freedom) < level else (low, middle)
    return high


def _student_share(t: float, freedom: int) -> float:
    """Return the mass of Student's distribution between -t and t."""
    angle = math.atan(t / math.sqrt(freedom))
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = freedom % 2
    term = sine * (cosine if odd else 1.0)
    total = term if freedom > 1 else 0.0
    # Each term is the one before times cos^2 and a ratio of neighbouring whole numbers.
    for k in range(3 if odd else 2, freedom - 1, 2):
        term *= cosine * cosine * (k - 1) / k
        total += term
    return 2 / math.pi * (angle + total) if odd else total
