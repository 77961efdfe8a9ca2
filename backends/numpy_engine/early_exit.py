"""Whether a recording may stop: the confidence of its running answer against the threshold of the tick."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from snnsim.backends.contract.requests import ExitRequest


def is_sure(scores: NDArray[np.float64], exit: ExitRequest, step: int) -> bool:
    """Return whether the softmax of the scores exceeds the threshold of this tick."""
    # Class after class, as `snnsim.dynamic_confidence.softmax_maximum` adds them: np.sum would add in pairs.
    confidence = 1.0 / np.cumsum(np.exp((scores - np.max(scores)) / exit.smoothing))[-1]
    return bool(confidence > exit.thresholds[step])
