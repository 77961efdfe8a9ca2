"""Linear readouts of fixed features: logistic regression, ridge classification and ridge regression.

How strongly a readout is regularised is chosen on a validation part of the training samples, never on what is tested.
Then it is fitted to all training samples with that strength. `compare` fits one to a reservoir and one to the counts
of its input: a reservoir is worth what it adds to the second, so report both.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnsim.errors import DataError, ParameterError, missing_dependency, positive, whole
from snnsim.numerics.sampling import check_seed, stratified_part

Floats = NDArray[np.float64]


class Readout(ABC):
    """Base of the readouts: features to standard scores, a linear map, a strength chosen on validation samples.

    Parameters
    ----------
    strengths : sequence of float
        Strengths of the regularisation to choose from, above zero, larger is stronger.
    validation : float
        Share of the training samples to choose on, where `fit` is given no others.
    seed : int
        Which samples they are.

    Attributes
    ----------
    strength : float
        The one chosen.
    validation_scores : ndarray, shape (strengths,)
        What was seen of each.
    weights : ndarray, shape (features, outputs)
    bias : ndarray, shape (outputs,)
        The map, of features as they come.
    """

    _kind: str

    def __init__(self, strengths: Sequence[float], validation: float = 0.2, seed: int = 0) -> None:
        self.strengths = tuple(float(strength) for strength in strengths)
        if not self.strengths:
            raise ParameterError("strengths is empty; give one or more")
        for strength in self.strengths:
            positive("strengths", strength)
        if not 0 < validation < 1:
            raise ParameterError(f"validation={validation!r}: must lie above 0 and below 1")
        self.validation, self.seed = float(validation), check_seed("seed", seed)
        self.strength = float("nan")
        self.validation_scores: Floats = np.zeros(0)
        self.weights: Floats | None = None
        self.bias: Floats = np.zeros(0)

    def fit(self, features: ArrayLike, targets: ArrayLike, validation: tuple[Any, Any] | None = None) -> Self:
        """Choose the strength, fit to all training samples, and return the readout.

        Parameters
        ----------
        features : array_like, shape (samples, features)
        targets : array_like
            Labels, shape (samples,), or for `Ridge` values, shape (samples,) or (samples, outputs).
        validation : tuple of two arrays, optional
            Features and targets to choose the strength on; the fit is then to `features` alone. Default a share of
            the training samples, which the final fit includes.
        """
        x, y = _matrix("features", features), self._targets(targets)
        if len(x) != len(y):
            raise ParameterError(f"features hold {len(x)} samples, targets {len(y)}")
        if len(self.strengths) == 1:
            self.validation_scores = np.full(1, np.nan)
            chosen = 0
        else:
            if validation is None:
                learn, check = self._division(y)
                parts = x[learn], y[learn], x[check], y[check]
            else:
                parts = x, y, _matrix("validation features", validation[0]), self._targets(validation[1])
            maps = self._path(*parts[:2], self.strengths)
            self.validation_scores = np.array([self._judge(parts[2] @ w + b, parts[3]) for w, b in maps])
            # Of equal ones the strongest, which varies least from sample to sample.
            best = np.flatnonzero(self.validation_scores == self.validation_scores.max())
            chosen = int(max(best, key=lambda number: self.strengths[number]))
        self.strength = self.strengths[chosen]
        ((self.weights, self.bias),) = self._path(x, y, (self.strength,))
        return self

    def outputs(self, features: ArrayLike) -> Floats:
        """Return the linear map of the features, shape (samples, outputs)."""
        if self.weights is None:
            raise ParameterError(f"{type(self).__name__} is not fitted; call fit(features, targets) first")
        x = _matrix("features", features)
        if x.shape[1] != len(self.weights):
            raise ParameterError(f"features has {x.shape[1]} columns, the readout was fitted to {len(self.weights)}")
        return np.asarray(x @ self.weights + self.bias)

    def score(self, features: ArrayLike, targets: ArrayLike) -> float:
        """Return the accuracy, or for `Ridge` the share of the variance that is explained."""
        outputs, wanted = self.outputs(features), self._targets(targets)
        if len(outputs) != len(wanted):
            raise ParameterError(f"features hold {len(outputs)} samples, targets {len(wanted)}")
        return self._judge(outputs, wanted)

    @abstractmethod
    def _targets(self, targets: ArrayLike) -> NDArray[Any]: ...

    @abstractmethod
    def _division(self, targets: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]: ...

    @abstractmethod
    def _judge(self, outputs: Floats, targets: NDArray[Any]) -> float: ...

    @abstractmethod
    def _path(self, x: Floats, y: NDArray[Any], strengths: Sequence[float]) -> list[tuple[Floats, Floats]]:
        """Return weights and bias for each strength."""

    # -- keeping -----------------------------------------------------------------------------------------

    def save(self, path: str | Path) -> None:
        """Save to an HDF5 file; the file is complete or not there at all."""
        from snnsim.storage.hdf5 import write_hdf5

        if self.weights is None:
            raise ParameterError(f"{type(self).__name__} is not fitted; there is nothing to save")
        with write_hdf5(path, "readout") as file:
            file.attrs.update(readout=self._kind, strength=self.strength, validation=self.validation, seed=self.seed)
            arrays = {"strengths": np.array(self.strengths), "validation_scores": self.validation_scores}
            arrays |= {"weights": self.weights, "bias": self.bias, **self._extra()}
            for name, values in arrays.items():
                file[name] = values

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Load what `save` of this kind of readout saved."""
        from snnsim.storage.hdf5 import read_hdf5

        with read_hdf5(path, "readout") as file:
            kind = file.attrs["readout"]
            if kind != cls._kind:
                raise DataError(f"{path}: holds a readout of kind {kind!r}, not {cls._kind!r}")
            new = cls(file["strengths"][()], validation=float(file.attrs["validation"]), seed=int(file.attrs["seed"]))
            new.strength = float(file.attrs["strength"])
            new.validation_scores, new.weights, new.bias = (
                file[name][()] for name in ("validation_scores", "weights", "bias")
            )
            new._take(file)
        return new

    def _extra(self) -> dict[str, NDArray[Any]]:
        return {}

    def _take(self, file: Any) -> None:
        return


class _Classifier(Readout):
    """Readouts of labels: the class is that of the largest output."""

    classes: NDArray[np.int64]

    def predict(self, features: ArrayLike) -> NDArray[np.int64]:
        """Return the label of each sample."""
        return np.asarray(self.classes[self.outputs(features).argmax(axis=1)])

    def fit(self, features: ArrayLike, targets: ArrayLike, validation: tuple[Any, Any] | None = None) -> Self:
        """Choose the strength, fit to all training samples, and return the readout; see `Readout.fit`."""
        self.classes = np.unique(self._targets(targets))
        if self.classes.size < 2:
            raise ParameterError(f"labels hold {self.classes.size} class; telling them apart takes two or more")
        return super().fit(features, targets, validation)

    def _targets(self, targets: ArrayLike) -> NDArray[Any]:
        labels = np.asarray(targets)
        if labels.ndim != 1 or labels.dtype.kind not in "iu":
            raise ParameterError(f"labels has shape {labels.shape} of {labels.dtype}; expected flat whole numbers")
        return labels.astype(np.int64)

    def _division(self, targets: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        check = np.zeros(targets.size, bool)
        check[stratified_part(targets, self.validation, self.seed)] = True
        if np.unique(targets[~check]).size < self.classes.size or not check.any():
            raise ParameterError(
                f"validation={self.validation!r} of {targets.size} samples leaves a class without training samples, "
                "or none to choose on"
            )
        return np.flatnonzero(~check), np.flatnonzero(check)

    def _judge(self, outputs: Floats, targets: NDArray[Any]) -> float:
        return float(np.mean(self.classes[outputs.argmax(axis=1)] == targets))

    def _extra(self) -> dict[str, NDArray[Any]]:
        return {"classes": self.classes}

    def _take(self, file: Any) -> None:
        self.classes = file["classes"][()]


class LinearProbe(_Classifier):
    """Multinomial logistic regression on standardised features, by scikit-learn.

    Minimises the mean cross-entropy plus strength / (2 samples) times the squared weights of standardised features.

    Parameters
    ----------
    strengths, validation, seed
        See `Readout`.
    iterations : int
        Most iterations of the solver (L-BFGS); a fit that is not converged by then warns.
    """

    _kind = "linear probe"

    def __init__(
        self,
        strengths: Sequence[float] = tuple(10.0 ** np.arange(-1, 5)),
        validation: float = 0.2,
        seed: int = 0,
        *,
        iterations: int = 1000,
    ) -> None:
        super().__init__(strengths, validation, seed)
        self.iterations = whole("iterations", iterations, at_least=1)

    def _path(self, x: Floats, y: NDArray[Any], strengths: Sequence[float]) -> list[tuple[Floats, Floats]]:
        try:
            from sklearn.linear_model import LogisticRegression
        except ImportError as error:
            raise missing_dependency("scikit-learn", "data", "LinearProbe") from error
        mean, scale = _standard(x)
        z = (x - mean) / scale
        found: dict[float, tuple[Floats, Floats]] = {}
        model = LogisticRegression(max_iter=self.iterations, warm_start=True)
        for strength in sorted(strengths, reverse=True):  # from smooth to sharp, each begins where the last ended
            model.set_params(C=1.0 / strength)
            with _one_thread():
                model.fit(z, y)
            slopes, offsets = model.coef_.T, model.intercept_
            if slopes.shape[1] == 1:  # two classes are one output; make them two
                slopes, offsets = np.hstack((-slopes, slopes)) / 2, np.concatenate((-offsets, offsets)) / 2
            found[strength] = _unstandardised(slopes, offsets, mean, scale)
        return [found[strength] for strength in strengths]


class RidgeClassifier(_Classifier):
    """Ridge regression onto one output a class (1 for the class, 0 for the others), on standardised features.

    Parameters
    ----------
    strengths, validation, seed
        See `Readout`; the squared weights count strength times as much as one squared error.
    """

    _kind = "ridge classifier"

    def __init__(
        self, strengths: Sequence[float] = tuple(10.0 ** np.arange(-2, 6)), validation: float = 0.2, seed: int = 0
    ) -> None:
        super().__init__(strengths, validation, seed)

    def _path(self, x: Floats, y: NDArray[Any], strengths: Sequence[float]) -> list[tuple[Floats, Floats]]:
        return _ridge_path(x, (y[:, None] == self.classes).astype(np.float64), strengths)


class Ridge(Readout):
    """Ridge regression of values on standardised features.

    Samples in time are divided without shuffling: the last share of them is chosen on.

    Parameters
    ----------
    strengths, validation, seed
        See `Readout`; the squared weights count strength times as much as one squared error.
    """

    _kind = "ridge"

    def __init__(
        self, strengths: Sequence[float] = tuple(10.0 ** np.arange(-4, 5)), validation: float = 0.2, seed: int = 0
    ) -> None:
        super().__init__(strengths, validation, seed)

    def _targets(self, targets: ArrayLike) -> NDArray[Any]:
        values = np.asarray(targets, np.float64)
        values = values[:, None] if values.ndim == 1 else values
        return _matrix("targets", values)

    def _division(self, targets: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        kept = round((1.0 - self.validation) * len(targets))
        if not 0 < kept < len(targets):
            raise ParameterError(f"validation={self.validation!r} of {len(targets)} samples leaves one part empty")
        return np.arange(kept), np.arange(kept, len(targets))

    def _judge(self, outputs: Floats, targets: NDArray[Any]) -> float:
        left = ((targets - outputs) ** 2).sum()
        spread = ((targets - targets.mean(axis=0)) ** 2).sum()
        if spread == 0:
            raise ParameterError("targets do not vary; the share of their variance that is explained is undefined")
        return float(1.0 - left / spread)

    def _path(self, x: Floats, y: NDArray[Any], strengths: Sequence[float]) -> list[tuple[Floats, Floats]]:
        return _ridge_path(x, y, strengths)


@dataclass(frozen=True)
class Comparison:
    """A readout of a reservoir beside one of the counts of its input.

    Attributes
    ----------
    reservoir, inputs : float
        Scores on the test samples.
    reservoir_validation, inputs_validation : float
        Best scores on the samples that strengths were chosen on.
    samples : int
        Test samples.
    """

    reservoir: float
    inputs: float
    reservoir_validation: float
    inputs_validation: float
    samples: int

    def __str__(self) -> str:
        # The standard error of a share, as large as it can be.
        error = 0.5 / np.sqrt(self.samples)
        return (
            f"reservoir {self.reservoir:.1%} (validation {self.reservoir_validation:.1%}), counts of the input "
            f"{self.inputs:.1%} (validation {self.inputs_validation:.1%}), {self.samples} test samples, "
            f"one standard error at most {error:.1%}"
        )


def compare(
    train: tuple[ArrayLike, ArrayLike],
    test: tuple[ArrayLike, ArrayLike],
    labels: tuple[ArrayLike, ArrayLike],
    *,
    readout: type[LinearProbe] | type[RidgeClassifier] = LinearProbe,
    **options: Any,
) -> Comparison:
    """Fit one readout to features of a reservoir and one to those of its input, and score both on test samples.

    Parameters
    ----------
    train, test : tuple of two arrays
        Features of the reservoir, and of its input (`snnsim.reservoir.features.spike_counts` of the recordings).
    labels : tuple of two arrays
        Of training and of test samples.
    readout : class
        `LinearProbe` or `RidgeClassifier`.
    **options
        Of the readout.
    """
    fitted = [readout(**options).fit(features, labels[0]) for features in train]
    scores = [one.score(features, labels[1]) for one, features in zip(fitted, test, strict=True)]
    best = [float(one.validation_scores.max()) for one in fitted]
    return Comparison(scores[0], scores[1], best[0], best[1], len(np.asarray(labels[1])))


def _matrix(name: str, values: ArrayLike) -> Floats:
    array = np.asarray(values, np.float64)
    if array.ndim != 2 or 0 in array.shape:
        raise ParameterError(f"{name} has shape {array.shape}, expected (samples, columns), one or more of each")
    if not np.all(np.isfinite(array)):
        raise ParameterError(f"{name} holds {int(np.sum(~np.isfinite(array)))} values that are not finite")
    return array


def _standard(x: Floats) -> tuple[Floats, Floats]:
    """Return mean and standard deviation of each column; 1 where it does not vary."""
    mean, scale = x.mean(axis=0), x.std(axis=0)
    return mean, np.where(scale > 1e-12 * np.maximum(np.abs(mean), 1.0), scale, 1.0)


def _unstandardised(slopes: Floats, offsets: Floats, mean: Floats, scale: Floats) -> tuple[Floats, Floats]:
    weights = slopes / scale[:, None]
    return weights, offsets - mean @ weights


def _ridge_path(x: Floats, y: Floats, strengths: Sequence[float]) -> list[tuple[Floats, Floats]]:
    mean, scale = _standard(x)
    centre = y.mean(axis=0)
    z, found = (x - mean) / scale, []
    # One decomposition serves all strengths: (Z'Z + k)^-1 Z' = Z' (ZZ' + k)^-1, whichever of the two is smaller.
    wide = z.shape[1] > z.shape[0]
    with _one_thread():
        values, vectors = np.linalg.eigh(z @ z.T if wide else z.T @ z)
        left = vectors.T @ (y - centre if wide else z.T @ (y - centre))
        for strength in strengths:
            slopes = vectors @ (left / (np.maximum(values, 0.0) + strength)[:, None])
            found.append(_unstandardised(z.T @ slopes if wide else slopes, centre, mean, scale))
    return found


def _one_thread() -> contextlib.AbstractContextManager[object]:
    """Return a context in which products take one thread: in small ones threads wait longer than they compute."""
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:  # it comes with scikit-learn, which ridge regression does without
        return contextlib.nullcontext()
    limits: contextlib.AbstractContextManager[object] = threadpool_limits(1)
    return limits
