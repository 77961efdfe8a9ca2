"""Learning across two modalities and answering for classes that were never learned: features, pairs, splits, results.

Recordings of two modalities, such as spoken and written digits, become features (the spike counts of a reservoir each);
a projection learns from pairs of the same class to bring both into one space (`snnsim.training.ContrastiveProjection`);
then a recording of the one modality asks for recordings of the other, of classes that were learned (in-class) and of
classes that neither training nor any choice has seen (out-of-class).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from snnsim.errors import one_of
from snnsim.storage.hdf5 import read_hdf5, write_hdf5
from snnsim.system.tables import table
from snnsim.zero_shot.features import LabelledFeatures
from snnsim.zero_shot.retrieval import Interval, Retrieval, bootstrap_interval, retrieve, wilson_interval
from snnsim.zero_shot.split import ZeroShotSplit, refuse_unseen

IntArray = NDArray[np.int64]
#: What is asked, and of which part of the split.
SCOPES = {"in-class": "test", "out-of-class": "unseen"}


class Scorer(Protocol):
    """Anything that tells how near queries and items are, such as `snnsim.training.ContrastiveProjection`."""

    @property
    def classes(self) -> tuple[int, ...]:
        """Classes that were learned from."""

    def scores(self, queries: LabelledFeatures, gallery: LabelledFeatures) -> NDArray[np.float64]:
        """Return scores, shape (queries, items), the higher the nearer."""


def ask(
    scorer: Scorer, split: ZeroShotSplit, queries: LabelledFeatures, gallery: LabelledFeatures
) -> dict[str, Retrieval]:
    """Retrieve for the queries of seen classes that were held out, and for all queries of unseen classes.

    Parameters
    ----------
    scorer : ContrastiveProjection or anything with ``classes`` and ``scores``
    split : ZeroShotSplit
    queries, gallery : LabelledFeatures
        All recordings, as the split numbers them.

    Returns
    -------
    dict of str to Retrieval
        ``"in-class"`` and ``"out-of-class"``, each among items of its own classes.

    Raises
    ------
    DataError
        The scorer has learned from an unseen class.
    """
    refuse_unseen(scorer.classes, split.unseen, "classes that the projection learned from")
    found = {}
    for scope, part in SCOPES.items():
        first, second = split.part(part, queries, gallery)
        found[scope] = retrieve(
            scorer.scores(first, second),
            first.labels,
            second.labels,
            query_numbers=first.numbers,
            gallery_numbers=second.numbers,
        )
    return found


@dataclass
class ZeroShotResult:
    """Retrievals of several methods, each over runs of several seeds.

    Parameters
    ----------
    retrievals : dict of str to dict of str to list of Retrieval
        By method, then by ``"in-class"`` and ``"out-of-class"``.
    notes : dict of str to str
        Settings and whatever a reader has to know.
    """

    retrievals: dict[str, dict[str, list[Retrieval]]] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)

    def add(self, method: str, found: Mapping[str, Retrieval]) -> None:
        """Add a run of a method, as `ask` returned it."""
        scopes = self.retrievals.setdefault(method, {scope: [] for scope in SCOPES})
        for scope, retrieval in found.items():
            one_of("scope", scope, SCOPES)
            scopes[scope].append(retrieval)

    def runs(self, method: str, scope: str) -> list[Retrieval]:
        """Return the retrievals of a method."""
        one_of("method", method, self.retrievals)
        one_of("scope", scope, SCOPES)
        return self.retrievals[method][scope]

    def accuracy(self, method: str, scope: str) -> float:
        """Return the mean accuracy over runs."""
        return float(np.mean([run.accuracy for run in self.runs(method, scope)]))

    def interval(self, method: str, scope: str, confidence: float = 0.95) -> Interval:
        """Return an interval of the mean accuracy: at each end, the wider of two.

        One is `bootstrap_interval`, which has no width where all answers are right, or all those of a class. The other
        is Wilson's for the queries of one run: runs share recordings, and are not counted as further queries.
        """
        runs = self.runs(method, scope)
        queries = min(len(run) for run in runs)
        by_queries = wilson_interval(round(self.accuracy(method, scope) * queries), queries, confidence)
        over_both = bootstrap_interval(runs, confidence=confidence)
        return Interval(min(by_queries.low, over_both.low), max(by_queries.high, over_both.high))

    def confusion(self, method: str, scope: str) -> tuple[IntArray, IntArray]:
        """Return the classes, and counts over all runs: rows are classes of queries, columns those of answers."""
        runs = self.runs(method, scope)
        classes = np.unique(np.concatenate([run.query_labels for run in runs]))
        return classes, np.sum([run.confusion(classes.tolist()) for run in runs], axis=0)

    def __str__(self) -> str:
        rows = []
        for method, scopes in self.retrievals.items():
            for scope, runs in scopes.items():
                if runs:
                    low, high = self.interval(method, scope)
                    rows.append(
                        (
                            method,
                            scope,
                            f"{100 * self.accuracy(method, scope):.1f} %",
                            f"{100 * low:.1f} to {100 * high:.1f}",
                            f"{100 * np.mean([run.chance for run in runs]):.1f} %",
                            len(runs),
                            len(runs[0]),
                            runs[0].gallery_labels.size,
                        )
                    )
        header = ("method", "classes", "top-1", "95 % interval", "chance", "runs", "queries", "gallery")
        lines = [table(header, rows, right=range(2, 8))]
        lines.append("interval: the wider of a bootstrap over recordings of both modalities and runs, and of Wilson's")
        return "\n".join(lines + [f"{name}: {text}" for name, text in self.notes.items()])

    def save(self, path: str | Path) -> None:
        """Save to an HDF5 file, which is complete or not there at all."""
        with write_hdf5(path, "zero_shot") as file:
            notes = file.create_group("notes", track_order=True)
            for name, text in self.notes.items():
                notes.attrs[name] = text
            kept = file.create_group("methods", track_order=True)
            for number, (method, scopes) in enumerate(self.retrievals.items()):
                group = kept.create_group(f"{number:04d}")
                group.attrs["method"] = method
                for scope, runs in scopes.items():
                    for place, run in enumerate(runs):
                        run.write(group.create_group(f"{scope}/{place:04d}"))

    @classmethod
    def load(cls, path: str | Path) -> ZeroShotResult:
        """Load what `save` saved."""
        result = cls()
        with read_hdf5(path, "zero_shot") as file:
            result.notes = {name: str(text) for name, text in file["notes"].attrs.items()}
            for number in sorted(file["methods"]):
                group = file["methods"][number]
                scopes: dict[str, list[Retrieval]] = {scope: [] for scope in SCOPES}
                for scope in scopes:
                    if scope in group:
                        scopes[scope] = [Retrieval.read(group[scope][place]) for place in sorted(group[scope])]
                result.retrievals[str(group.attrs["method"])] = scopes
        return result
