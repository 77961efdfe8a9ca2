"""What a model was trained on, kept in its file, so that it is tested on recordings that it did not learn from."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from snnsim.errors import DataError
from snnsim.network import Network
from snnsim.network.fingerprint import fingerprint
from snnsim.storage.hdf5 import read_hdf5, write_hdf5

if TYPE_CHECKING:
    from snnsim.datasets import EventDataset


@dataclass(frozen=True)
class TrainedOn:
    """The data of a training.

    Parameters
    ----------
    data : str
        Name of the data set.
    classes : tuple of str
    recordings : str
        Fingerprint of all recordings and labels, before they were divided.
    share : float, optional
        Part of them that was learned from, the rest held out to test; None where the data came in splits.
    seed : int
        Of that division.
    """

    data: str
    classes: tuple[str, ...]
    recordings: str
    share: float | None
    seed: int

    def divided(self, data: EventDataset) -> tuple[EventDataset, EventDataset] | None:
        """Return what was learned from and what was held out, or None where these are other recordings."""
        if self.share is None or self.recordings != recordings_of(data):
            return None
        return data.split(self.share, seed=self.seed)


def recordings_of(data: EventDataset) -> str:
    """Return a fingerprint of the recordings and labels of a data set."""
    return fingerprint((data.events, data.labels))


def save_model(network: Network, trained_on: TrainedOn, path: str | Path) -> None:
    """Save a network with what it was trained on; the file is complete or not there at all."""
    with write_hdf5(path, "network") as file:
        network.write(file)
        file.attrs["trained_on"] = json.dumps(asdict(trained_on))


def trained_on(path: str | Path) -> TrainedOn | None:
    """Return what the network in a file was trained on, or None where the file does not say."""
    with read_hdf5(path, "network") as file:
        text = file.attrs.get("trained_on")
    try:
        facts = None if text is None else json.loads(text)
        return None if facts is None else TrainedOn(**{**facts, "classes": tuple(facts["classes"])})
    except (TypeError, ValueError, KeyError) as error:
        raise DataError(f"{path}: what the network was trained on is damaged ({error})") from error
