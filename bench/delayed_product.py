"""Projections with a real delay a synapse, against the dilated convolution with learnable spacings (DCLS).

The network is 140-256-256-20, delays of up to 24 ticks, input of 100 ticks that grows by 12 a layer. A training row is
forward and backward of its three projections with the gradients of weights and delays, and of the input from the second
layer on, DCLS making its kernels anew as it does in training. The rounded row is forward only, at whole delays, as a
trained network runs. Before anything is timed, drives and gradients of both sides are compared. Memory is the rise of
the resident set in a process of its own, after the same work on a small batch, less the drives and gradients that are
the result. Without the package dcls the rows are ours alone.
"""

from __future__ import annotations

import ctypes
import gc
import importlib.metadata
import itertools
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import harness
import torch

from snnsim.training.delayed_product import DelayedProduct
from snnsim.training.threads import working
from snnsim.training.workspace import Workspace

SIZES = (140, 256, 256, 20)
LONGEST, TICKS = 24, 100
WIDTHS = (0.5, 1.0, 2.0, 4.0, 12.27)
METRIC = "time a batch"


class Case:
    """Weights, delays, spikes and gradients of the three projections, alike for both sides; no sigma is rounded."""

    def __init__(self, batch: int, sigma: float | None) -> None:
        made = torch.Generator().manual_seed(7)
        self.sigma, self.batch = sigma, batch
        self.layers = []
        for layer, (sources, targets) in enumerate(itertools.pairwise(SIZES)):
            bound = (6 / sources) ** 0.5
            weights = torch.empty(1, sources, targets).uniform_(-bound, bound, generator=made)
            delays = torch.empty(1, sources, targets).uniform_(0, LONGEST, generator=made)
            ticks = TICKS + layer * (LONGEST // 2)
            x = (torch.rand(ticks, batch, sources, generator=made) < 0.05).float()
            gradient = torch.randn(ticks + LONGEST // 2, batch, targets, generator=made)
            self.layers.append((weights, delays if sigma else delays.round(), x, gradient))


class Ours:
    """Our products; `forward` and `step` return what `check` compares."""

    def __init__(self, case: Case, method: str = "auto") -> None:
        self.case, self.method = case, method
        self.space = Workspace()
        self.outs = [torch.empty_like(gradient) for *_, gradient in case.layers]
        self.belows = [torch.empty_like(x) if layer else None for layer, (_, _, x, _) in enumerate(case.layers)]
        self.found = [(torch.empty_like(w), torch.empty_like(d)) for w, d, _, _ in case.layers]

    def _product(self, weights: Any, delays: Any, team: Any) -> DelayedProduct:
        return DelayedProduct(
            weights,
            delays,
            longest=LONGEST,
            kernel="gauss" if self.case.sigma else "two_tap",
            sigma=self.case.sigma or 1.0,
            workers=team,
            workspace=self.space,
            method=self.method,
        )

    def forward(self) -> list[Any]:
        """Return the drives."""
        with working() as team:
            for (weights, delays, x, _), out in zip(self.case.layers, self.outs, strict=True):
                self._product(weights, delays, team).forward(x, 1.0, out, True)
        return self.outs

    def step(self) -> list[Any]:
        """Return drives, gradients of weights and delays of each layer, and of the inputs."""
        with working() as team:
            for layer, (weights, delays, x, gradient) in enumerate(self.case.layers):
                product = self._product(weights, delays, team)
                product.forward(x, 1.0, self.outs[layer], True)
                of_weights, of_delays = self.found[layer]
                of_weights.zero_()
                of_delays.zero_()
                product.backward(x, 1.0, gradient, self.belows[layer], True, of_weights, of_delays)
        return [*self.outs, *(one for pair in self.found for one in pair), *self.belows[1:]]

    def chosen(self) -> str:
        """Return the methods that the layers take."""
        with working() as team:
            names = [
                self._product(weights, delays, team).chosen(x.shape[0], gradient.shape[0], self.case.batch)
                for weights, delays, x, gradient in self.case.layers
            ]
        return "/".join(dict.fromkeys(names))


class Dcls:
    """The same with DCLS.construct.modules.Dcls1d; its input is (batch, channels, ticks) and ready in memory."""

    def __init__(self, case: Case) -> None:
        from DCLS.construct.modules import Dcls1d

        self.modules, self.inputs, self.gradients = [], [], []
        for layer, (weights, delays, x, gradient) in enumerate(case.layers):
            version = "gauss" if case.sigma else "max"
            module = Dcls1d(
                weights.shape[1], weights.shape[2], 1, bias=False, dilated_kernel_size=LONGEST + 1, version=version
            )
            with torch.no_grad():
                module.weight.copy_(weights.permute(2, 1, 0))
                module.P.copy_(LONGEST // 2 - delays.permute(2, 1, 0)[None])
                module.SIG.fill_(case.sigma - 0.27 if case.sigma else 0.0)
            module.SIG.requires_grad_(False)
            self.modules.append(module)
            self.inputs.append(x.permute(1, 2, 0).contiguous().requires_grad_(layer > 0))
            self.gradients.append(gradient.permute(1, 2, 0).contiguous())

    def forward(self) -> list[Any]:
        """Return the drives."""
        with torch.no_grad():
            return [self._drive(layer).permute(2, 0, 1) for layer in range(len(self.modules))]

    def _drive(self, layer: int) -> Any:
        return self.modules[layer](torch.nn.functional.pad(self.inputs[layer], (LONGEST, LONGEST // 2)))

    def step(self) -> list[Any]:
        """Return drives, gradients of weights and delays of each layer, and of the inputs."""
        outs = []
        for layer, module in enumerate(self.modules):
            module.weight.grad = module.P.grad = self.inputs[layer].grad = None
            drive = self._drive(layer)
            drive.backward(self.gradients[layer])
            outs.append(drive.detach().permute(2, 0, 1))
        gradients = [
            one for m in self.modules for one in (m.weight.grad.permute(2, 1, 0), -m.P.grad[0].permute(2, 1, 0))
        ]
        return [*outs, *gradients, *(x.grad.permute(2, 0, 1) for x in self.inputs[1:])]


def check(ours: list[Any], theirs: list[Any]) -> None:
    """Stop unless both sides give the same numbers, within single precision."""
    for one, other in zip(ours, theirs, strict=True):
        away = float((one - other).abs().max() / other.abs().max())
        if not away < 1e-4:
            raise SystemExit(f"the products of snnsim and dcls differ by {away:.1e} of the largest; nothing was timed")


def alone(case: str, work: Callable[[], Any], runs: int) -> dict[str, Any]:
    work()
    times = [harness.seconds(work) * 1e3 for _ in range(runs)]
    return harness.row(case, METRIC, "ms", statistics.median(times), spread=(min(times), max(times)))


def timed(case: Case, peer: str | None, runs: int) -> dict[str, Any]:
    ours = Ours(case)
    name = (
        f"sigma {case.sigma:g}, training ({ours.chosen()})" if case.sigma else f"rounded, inference ({ours.chosen()})"
    )
    mine = ours.step if case.sigma else ours.forward
    if peer is None:
        return alone(name, mine, runs)
    dcls = Dcls(case)
    theirs = dcls.step if case.sigma else dcls.forward
    check(mine(), theirs())
    return harness.paired(name, METRIC, mine, theirs, peer, runs=runs)


def rise(side: str, sigma: float | None, batch: int) -> int:
    """Return the bytes by which the resident set rises at most in a step, beyond what the results take."""
    if side == "ours":  # either method, so that no code is loaded later
        smalls: list[Any] = [Ours(Case(8, sigma), method) for method in ("shift", "frequency")]
        large: Any = Ours(Case(batch, sigma))
    else:
        smalls, large = [Dcls(Case(8, sigma))], Dcls(Case(batch, sigma))
    for small in smalls:
        (small.step if sigma else small.forward)()
    del small, smalls
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts anew
    before = _status("VmRSS")
    results = (large.step if sigma else large.forward)()
    return _status("VmHWM") - before - sum(one.numel() * one.element_size() for one in results)


def _status(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise SystemExit(f"/proc/self/status has no {name}")


def memory(sigma: float | None, batch: int, peer: str | None) -> dict[str, Any]:
    def measured(side: str) -> float:
        words = [sys.executable, __file__, "--rise", side, str(sigma or 0.0), str(batch)]
        return int(subprocess.run(words, check=True, capture_output=True, text=True).stdout) / 2**20

    ours, theirs = measured("ours"), None if peer is None else measured("dcls")
    name = f"sigma {sigma:g}, training" if sigma else "rounded, inference"
    ratio = None if theirs is None else theirs / ours
    return harness.row(name, "memory rise", "MiB", ours, theirs, peer, ratio)


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    parser = harness.options(__doc__.splitlines()[0])
    parser.add_argument("--rise", nargs=3, help="for a process of its own: print the bytes of one side")
    options = parser.parse_args(arguments)
    torch.set_num_threads(2)
    if options.rise:
        side, sigma, batch = options.rise
        print(rise(side, float(sigma) or None, int(batch)))
        return {}
    batch, runs = (32, 3) if options.quick else (128, 5)
    try:
        peer: str | None = f"dcls {importlib.metadata.version('dcls')}"
    except importlib.metadata.PackageNotFoundError:
        print("the package dcls is not installed: no peer")
        peer = None
    widths = (None, 0.5, 12.27) if options.quick else (None, *WIDTHS)
    rows = [timed(Case(batch, sigma), peer, runs) for sigma in widths]
    rows += [memory(sigma, batch, peer) for sigma in (None, 0.5, 12.27)]
    settings = {"sizes": SIZES, "longest": LONGEST, "ticks": TICKS, "batch": batch, "runs": runs, "threads": 2}
    return harness.finish("delayed_product", {**settings, "quick": options.quick}, rows, options.json)


if __name__ == "__main__":
    main(sys.argv[1:])
