"""Dynamic Confidence: stop a sample as soon as its running answer is sure enough."""

from snnsim.dynamic_confidence import DynamicConfidence as DynamicConfidence
from snnsim.early_exit.calibration import Calibration as Calibration
from snnsim.early_exit.calibration import calibrate as calibrate
from snnsim.early_exit.curves import AccuracyLatencyCurve as AccuracyLatencyCurve
from snnsim.early_exit.curves import OracleCurve as OracleCurve
from snnsim.early_exit.curves import accuracy_latency_curve as accuracy_latency_curve
from snnsim.early_exit.curves import expected_calibration_error as expected_calibration_error
from snnsim.early_exit.curves import oracle_curve as oracle_curve
from snnsim.early_exit.curves import reliability as reliability
from snnsim.early_exit.measurement import ExitMeasurement as ExitMeasurement
from snnsim.early_exit.measurement import measure_early_exit as measure_early_exit

__all__ = [
    "AccuracyLatencyCurve",
    "Calibration",
    "DynamicConfidence",
    "ExitMeasurement",
    "OracleCurve",
    "accuracy_latency_curve",
    "calibrate",
    "expected_calibration_error",
    "measure_early_exit",
    "oracle_curve",
    "reliability",
]
