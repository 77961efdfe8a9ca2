"""Projections with a real delay a synapse, against direct sums, torch's convolution, and published values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from snnsim.errors import ParameterError
from snnsim.training.compute.threads import Workers
from snnsim.training.compute.workspace import Workspace
from snnsim.training.delays import frequency_method as delayed_frequency
from snnsim.training.delays.frequency_method import segments
from snnsim.training.delays.product import DelayedProduct
from snnsim.training.delays.taps import add_gradients, mean_taps, taps_of

METHODS = ("shift", "frequency")
WIDTHS = [("gauss", 0.27), ("gauss", 0.5), ("gauss", 3.3), ("triangle", 1.0), ("triangle", 2.6), ("two_tap", 0.0)]
ALONE = Workers(1)


def taps_by_hand(weights: Any, delays: Any, longest: int, kernel: str, sigma: float) -> Any:
    """Taps (tau, source, target), number by number."""
    count, sources, targets = weights.shape
    found = np.zeros((longest + 1, sources, targets))
    for k in range(count):
        for i in range(sources):
            for j in range(targets):
                away = np.arange(longest + 1) - delays[k, i, j]
                if kernel == "gauss":
                    bump = np.exp(-0.5 * (away / sigma) ** 2)
                else:
                    bump = np.maximum(0.0, (sigma if kernel == "triangle" else 1.0) - np.abs(away))
                found[:, i, j] += weights[k, i, j] * bump / (bump.sum() + 1e-7)
    return found


def by_hand(taps: Any, x: Any, ticks_out: int) -> Any:
    """Sum over delays of the input so many ticks ago."""
    drive = np.zeros((ticks_out, x.shape[1], taps.shape[2]))
    for tick in range(ticks_out):
        for tau in range(taps.shape[0]):
            if 0 <= tick - tau < x.shape[0]:
                drive[tick] += x[tick - tau] @ taps[tau]
    return drive


def recorded(case: dict[str, Any], x: Any, ticks_out: int, weights: Any, delays: Any) -> Any:
    """Return the drive as torch's convolution gives it, with taps that autograd can follow."""
    taus = torch.arange(case["longest"] + 1, dtype=weights.dtype).view(-1, 1, 1, 1)
    away = taus - delays
    if case["kernel"] == "gauss":
        bump = torch.exp(-0.5 * (away / case["sigma"]) ** 2)
    else:
        bump = torch.relu((case["sigma"] if case["kernel"] == "triangle" else 1.0) - away.abs())
    taps = (weights * bump / (bump.sum(0) + 1e-7)).sum(1)  # tau, source, target
    longest = case["longest"]
    padded = torch.nn.functional.pad(x.permute(1, 2, 0), (longest, max(0, ticks_out - x.shape[0])))
    drive = torch.nn.functional.conv1d(padded, taps.flip(0).permute(2, 1, 0))
    return drive[:, :, :ticks_out].permute(2, 0, 1)


def problem(
    seed: int,
    count: int = 1,
    sources: int = 5,
    targets: int = 4,
    ticks_in: int = 11,
    ticks_out: int = 14,
    batch: int = 3,
    longest: int = 6,
    kernel: str = "gauss",
    sigma: float = 0.5,
    dtype: Any = torch.float64,
) -> tuple[dict[str, Any], Any, Any, Any, Any]:
    """Return the kernel's settings, weights, delays, input and gradient of the drive."""
    rng = np.random.default_rng(seed)
    shape = (count, sources, targets)
    weights = torch.from_numpy(rng.normal(size=shape)).to(dtype)
    delays = torch.from_numpy(np.clip(rng.uniform(-1.0, longest + 1.0, shape), 0, longest)).to(dtype)
    x = torch.from_numpy(rng.normal(size=(ticks_in, batch, sources))).to(dtype)
    gradient = torch.from_numpy(rng.normal(size=(ticks_out, batch, targets))).to(dtype)
    return {"longest": longest, "kernel": kernel, "sigma": sigma}, weights, delays, x, gradient


def product(case: dict[str, Any], weights: Any, delays: Any, method: str, workers: Workers = ALONE) -> DelayedProduct:
    return DelayedProduct(weights, delays, **case, workers=workers, workspace=Workspace(), method=method)


def drive_of(made: DelayedProduct, x: Any, ticks_out: int, targets: int, dtype: Any, scale: float = 1.0) -> Any:
    out = torch.full((ticks_out, x.shape[1], targets), float("nan"), dtype=dtype)
    made.forward(x, scale, out, True)
    return out


def gradients_of(made: DelayedProduct, x: Any, gradient: Any, like: Any, scale: float = 1.0) -> tuple[Any, Any, Any]:
    below = torch.full((x.shape[0], x.shape[1], like.shape[1]), float("nan"), dtype=like.dtype)
    of_weights, of_delays = torch.zeros_like(like), torch.zeros_like(like)
    made.backward(x, scale, gradient, below, True, of_weights, of_delays)
    return below, of_weights, of_delays


def close(found: Any, expected: Any, tolerance: float) -> None:
    """Assert that the difference is small against the largest number."""
    expected = torch.as_tensor(expected, dtype=torch.float64)
    found = torch.as_tensor(found, dtype=torch.float64)
    assert found.shape == expected.shape
    if expected.numel():
        assert (found - expected).abs().max() <= tolerance * max(1.0, float(expected.abs().max()))


GOLDEN = [5.571484e-10, 4.074451e-05, 5.457444e-02, 1.338849, 6.015838e-01, 4.950882e-03, 7.462617e-07]


def test_published_kernel_and_gradients() -> None:
    # The library counts taps from the longest delay down (n = 6 - tau), and positions from the middle (D = 3 - P).
    weights, delays = torch.full((1, 1, 1), 2.0).double(), torch.full((1, 1, 1), 3 - 0.3).double()
    taps = taps_of(weights, delays, 6, "gauss", 0.5)
    np.testing.assert_allclose(taps.flatten().flip(0).numpy(), GOLDEN, rtol=1e-6)  # they are in single precision
    of_weights, of_delays = torch.zeros_like(weights), torch.zeros_like(weights)
    along = torch.arange(6.0, -1.0, -1.0, dtype=torch.float64).view(7, 1, 1)  # the loss is sum n K[n]
    add_gradients(along, weights, delays, "gauss", 0.5, of_weights, of_delays)
    assert of_weights.item() == pytest.approx(3.2784157, rel=3e-7)
    assert -of_delays.item() == pytest.approx(2.0844023, rel=3e-7)


def test_published_kernel_at_the_border() -> None:
    weights, delays = torch.ones((1, 1, 1)).double(), torch.zeros((1, 1, 1)).double()
    taps = taps_of(weights, delays, 6, "gauss", 3.27)
    expected = [0.042121, 0.070450, 0.107313, 0.148869, 0.188080, 0.216404, 0.226763]
    np.testing.assert_allclose(taps.flatten().flip(0).numpy(), expected, atol=6e-7)


@pytest.mark.parametrize(("kernel", "sigma"), WIDTHS)
def test_taps_sum_to_the_weight_at_every_delay(kernel: str, sigma: float) -> None:
    delays = torch.linspace(0.0, 8.0, 97, dtype=torch.float64).view(1, 1, -1)
    weights = torch.full_like(delays, 1.7)
    taps = taps_of(weights, delays, 8, kernel, sigma)
    np.testing.assert_allclose(taps.sum(0), 1.7, rtol=1e-6)
    np.testing.assert_allclose(taps, taps_by_hand(weights.numpy(), delays.numpy(), 8, kernel, sigma), atol=1e-14)


def test_rounded_delays_have_one_tap() -> None:
    whole = torch.arange(7.0).view(1, 1, 7)
    assert mean_taps(whole, 6, "two_tap", 0.0) == 1.0
    assert mean_taps(whole, 6, "triangle", 1.0) == 1.0
    assert mean_taps(whole + 0.25, 7, "two_tap", 0.0) == 2.0
    assert mean_taps(torch.full((1, 1, 1), 50.0), 100, "gauss", 0.5) == 5.0
    assert mean_taps(torch.full((1, 1, 1), 50.5), 100, "gauss", 0.5) == 6.0


@pytest.mark.parametrize("method", METHODS)
def test_a_spike_comes_out_after_its_delay(method: str) -> None:
    weights = torch.tensor([[[1.0, 2.0, 3.0, 4.0]]])
    delays = torch.tensor([[[0.0, 1.0, 4.0, 7.0]]])
    made = product({"longest": 7, "kernel": "two_tap", "sigma": 0.0}, weights, delays, method)
    for tick in (0, 2, 5):
        x = torch.zeros(6, 1, 1)
        x[tick] = 1.0
        expected = torch.zeros(12, 1, 4)
        for j, delay in enumerate((0, 1, 4, 7)):
            if tick + delay < 12:
                expected[tick + delay, 0, j] = j + 1.0
        close(drive_of(made, x, 12, 4, torch.float32), expected, 2e-6)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("kernel", "sigma"), WIDTHS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_same_as_convolution_and_its_gradients(
    method: str, kernel: str, sigma: float, dtype: Any, tolerance: float
) -> None:
    case, weights, delays, x, gradient = problem(3, 2, 21, 13, 30, 34, 10, 9, kernel, sigma)
    inputs = [value.clone().requires_grad_() for value in (x, weights, delays)]
    drive = recorded(case, inputs[0], 34, *inputs[1:])
    drive.backward(gradient)
    close(
        drive.detach(), by_hand(taps_by_hand(weights.numpy(), delays.numpy(), 9, kernel, sigma), x.numpy(), 34), 1e-12
    )
    made = product(case, weights.to(dtype), delays.to(dtype), method)
    close(drive_of(made, x.to(dtype), 34, 13, dtype), drive.detach(), tolerance)
    found = gradients_of(made, x.to(dtype), gradient.to(dtype), weights.to(dtype))
    # Single precision moves a delay by 5e-7, which the derivative of a narrow bump feels.
    for mine, theirs in zip(found, inputs, strict=True):
        close(mine, theirs.grad, tolerance)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("kernel", "sigma"), WIDTHS)
def test_gradients_are_those_of_finite_differences(method: str, kernel: str, sigma: float) -> None:
    case, weights, delays, x, gradient = problem(5, 2, 3, 2, 7, 9, 2, 5, kernel, sigma)
    delays = delays.clamp(0.01, 4.99)
    found = gradients_of(product(case, weights, delays, method), x, gradient, weights)

    def loss(values: list[Any]) -> float:
        made = product(case, values[1], values[2], method)
        return float((drive_of(made, values[0], 9, 2, torch.float64) * gradient).sum())

    for which, mine in enumerate(found):
        differences = torch.empty_like(mine)
        for place in np.ndindex(*mine.shape):
            sides = []
            for step in (1e-6, -1e-6):
                values = [value.clone() for value in (x, weights, delays)]
                values[which][place] += step
                sides.append(loss(values))
            differences[place] = (sides[0] - sides[1]) / 2e-6
        close(mine, differences, 1e-7)


EXTENTS = {
    "count": st.integers(1, 3),
    "sources": st.integers(1, 19),
    "targets": st.integers(1, 19),
    "ticks_in": st.integers(1, 40),
    "ticks_out": st.integers(1, 45),
    "batch": st.integers(1, 18),
    "longest": st.integers(0, 12),
}


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1000), st.fixed_dictionaries(EXTENTS), st.sampled_from(WIDTHS), st.booleans(), st.booleans())
def test_both_methods_give_the_same(
    seed: int, extents: dict[str, int], width: tuple[str, float], fresh: bool, spikes: bool
) -> None:
    case, weights, delays, x, gradient = problem(seed, **extents, kernel=width[0], sigma=width[1])
    if spikes:
        x = (x > 1.0).to(torch.uint8) * 2
    found = []
    for method in METHODS:
        made = product(case, weights, delays, method)
        out = torch.full_like(gradient, 0.5)
        made.forward(x, 0.7, out, fresh)
        below = torch.full(x.shape, 0.25, dtype=torch.float64)
        of_weights, of_delays = torch.ones_like(weights), torch.ones_like(weights)
        made.backward(x, 0.7, gradient, below, fresh, of_weights, of_delays)
        found.append((out, below, of_weights, of_delays))
    for mine, other in zip(*found, strict=True):
        close(mine, other, 1e-10)
    taps = taps_by_hand(weights.numpy(), delays.numpy(), extents["longest"], *width)
    drive = by_hand(taps, 0.7 * x.double().numpy(), extents["ticks_out"])
    close(found[0][0], drive + (0.0 if fresh else 0.5), 1e-10)


@pytest.mark.parametrize("longest", [0, 5, 60])
def test_long_recordings_go_by_segments(longest: int) -> None:
    case, weights, delays, x, gradient = problem(1, 1, 3, 2, 700, 640, 2, longest, "gauss", 2.0)
    assert len(list(segments(700, 640, longest))) > 1
    one, other = (product(case, weights, delays, method) for method in METHODS)
    close(drive_of(one, x, 640, 2, torch.float64), drive_of(other, x, 640, 2, torch.float64), 1e-11)
    for mine, theirs in zip(
        gradients_of(one, x, gradient, weights), gradients_of(other, x, gradient, weights), strict=True
    ):
        close(mine, theirs, 1e-11)


def test_bands_of_frequencies_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    case, weights, delays, x, gradient = problem(1, 1, 6, 5, 150, 140, 2, 20, "gauss", 2.0)
    whole = product(case, weights, delays, "frequency")
    expected = [drive_of(whole, x, 140, 5, torch.float64), *gradients_of(whole, x, gradient, weights)]
    monkeypatch.setattr(delayed_frequency, "HELD", 8 * 170 * 2 * 11 // 4)  # a quarter of the transforms
    parted = product(case, weights, delays, "frequency")
    for mine, other in zip(
        [drive_of(parted, x, 140, 5, torch.float64), *gradients_of(parted, x, gradient, weights)], expected, strict=True
    ):
        close(mine, other, 1e-12)
    assert parted._workspace.nbytes < whole._workspace.nbytes


@pytest.mark.parametrize("method", METHODS)
def test_nothing_reaches_ticks_long_after_the_input(method: str) -> None:
    case, weights, delays, x, _ = problem(2, ticks_in=4, ticks_out=900, longest=3)
    made = product(case, weights, delays, method)
    drive = drive_of(made, x, 900, 4, torch.float64)
    assert drive[:7].abs().max() > 0.1
    assert drive[7:].abs().max() < 1e-14


@pytest.mark.parametrize("method", METHODS)
def test_linear_in_input_and_scale(method: str) -> None:
    case, weights, delays, x, other = problem(8, targets=5, ticks_in=14, sigma=2.0)
    made = product(case, weights, delays, method)
    both = drive_of(made, 2.0 * x - 3.0 * other, 14, 5, torch.float64, 0.5)
    apart = drive_of(made, x, 14, 5, torch.float64) - 1.5 * drive_of(made, other, 14, 5, torch.float64)
    close(both, apart, 1e-12)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kernel", ["gauss", "two_tap"])
@pytest.mark.parametrize("batch", [1, 9, 32])
def test_threads_change_no_bit(method: str, kernel: str, batch: int) -> None:
    case, weights, delays, x, gradient = problem(4, 1, 70, 48, 40, 44, batch, 10, kernel, 1.5, torch.float32)
    found = []
    for count in (1, 2, 3):
        made = product(case, weights, delays, method, Workers(count))
        with _one_thread():
            found.append((drive_of(made, x, 44, 48, torch.float32), *gradients_of(made, x, gradient, weights)))
    for more in found[1:]:
        for mine, other in zip(found[0], more, strict=True):
            assert torch.equal(mine, other)


class _one_thread:  # noqa: N801
    """torch of the calling thread on one thread, as `threads.working` has it."""

    def __enter__(self) -> None:
        self.count = torch.get_num_threads()
        torch.set_num_threads(1)

    def __exit__(self, *_: object) -> None:
        torch.set_num_threads(self.count)


@pytest.mark.parametrize("method", METHODS)
def test_spikes_as_bytes_are_the_same_as_numbers(method: str) -> None:
    case, weights, delays, x, gradient = problem(9, 1, 12, 7, 20, 22, 9, dtype=torch.float32)
    spikes = (x > 0.5).to(torch.uint8)
    made = product(case, weights, delays, method)
    assert torch.equal(
        drive_of(made, spikes, 22, 7, torch.float32, 2.0), drive_of(made, spikes.float(), 22, 7, torch.float32, 2.0)
    )
    for mine, other in zip(
        gradients_of(made, spikes, gradient, weights, 2.0),
        gradients_of(made, spikes.float(), gradient, weights, 2.0),
        strict=True,
    ):
        assert torch.equal(mine, other)


@pytest.mark.parametrize("method", METHODS)
def test_gradients_that_nobody_asks_for_are_left_out(method: str) -> None:
    case, weights, delays, x, gradient = problem(6)
    made = product(case, weights, delays, method)
    below, of_weights, of_delays = gradients_of(made, x, gradient, weights)
    alone = torch.empty_like(below)
    made.backward(x, 1.0, gradient, alone, True, None, None)
    assert torch.equal(alone, below)
    only = torch.zeros_like(weights)
    made.backward(x, 1.0, gradient, None, True, only, None)
    assert torch.equal(only, of_weights)
    only = torch.zeros_like(weights)
    made.backward(x, 1.0, gradient, None, True, None, only)
    assert torch.equal(only, of_delays)


def test_auto_takes_shifts_for_few_taps_and_frequencies_for_wide_bumps() -> None:
    case, weights, delays, _, _ = problem(0, 1, 128, 128, longest=24, kernel="two_tap", dtype=torch.float32)
    assert product(case, weights, delays.round(), "auto").chosen(100, 112, 64) == "shift"
    case["kernel"], case["sigma"] = "gauss", 12.27
    assert product(case, weights, delays, "auto").chosen(100, 112, 64) == "frequency"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kernel": "square"}, "kernel='square'"),
        ({"sigma": 0.0}, "sigma"),
        ({"longest": -1}, "longest"),
        ({"method": "slow"}, "method='slow'"),
        ({"delays": torch.zeros(1, 5, 3)}, "same shape"),
        ({"weights": torch.zeros(1, 5, 4), "delays": torch.zeros(1, 5, 4).double()}, "float32"),
    ],
)
def test_wrong_arguments_are_named(change: dict[str, Any], message: str) -> None:
    case, weights, delays, _, _ = problem(0)
    given_all = {**case, "weights": weights, "delays": delays, "method": "auto", **change}
    with pytest.raises(ParameterError, match=message):
        DelayedProduct(**given_all, workers=ALONE, workspace=Workspace())


def test_wrong_signals_are_named() -> None:
    case, weights, delays, x, gradient = problem(0)
    made = product(case, weights, delays, "auto")
    with pytest.raises(ParameterError, match="same batch"):
        made.forward(x[:, :2], 1.0, gradient, True)
    with pytest.raises(ParameterError, match="uint8"):
        made.forward(x.float(), 1.0, gradient, True)


@pytest.mark.parametrize(("kernel", "version"), [("gauss", "gauss"), ("triangle", "max"), ("two_tap", "v1")])
@pytest.mark.parametrize("method", METHODS)
def test_same_as_the_dcls_library(method: str, kernel: str, version: str) -> None:
    modules = pytest.importorskip("DCLS.construct.modules", reason="the package dcls is not installed")
    sigma = {"gauss": 0.9, "triangle": 1.6, "two_tap": 1.0}[kernel]
    case, weights, delays, x, gradient = problem(7, 2, 6, 5, 12, 15, 3, 6, kernel, sigma)
    theirs = modules.Dcls1d(6, 5, 2, bias=False, dilated_kernel_size=7, version=version).double()
    with torch.no_grad():
        theirs.weight.copy_(weights.permute(2, 1, 0))
        theirs.P.copy_(3.0 - delays.permute(2, 1, 0)[None])
        if version != "v1":
            theirs.SIG.fill_(sigma - (0.27 if kernel == "gauss" else 1.0))
    held = x.clone().requires_grad_()
    drive = theirs(torch.nn.functional.pad(held.permute(1, 2, 0), (6, 3))).permute(2, 0, 1)
    drive.backward(gradient)
    made = product(case, weights, delays, method)
    close(drive_of(made, x, 15, 5, torch.float64), drive.detach(), 1e-11)
    below, of_weights, of_delays = gradients_of(made, x, gradient, weights)
    close(below, held.grad, 1e-11)
    close(of_weights, theirs.weight.grad.permute(2, 1, 0), 1e-11)
    close(of_delays, -theirs.P.grad[0].permute(2, 1, 0), 1e-11)
