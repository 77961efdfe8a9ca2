"""Learning delays, against dilated convolutions with learnable spacings (DCLS): a whole training step, and inference.

Network and recipe are those of DCLS-Delays for the Spiking Heidelberg Digits (arXiv:2306.17670), 140-256-256-20:
delays of up to 24 ticks, batch norm, dropout, LIF neurons, cross entropy of the summed softmax, Adam. The peer is that
network made of Dcls1d (package dcls), torch and the LIF neurons of spikingjelly, as its published code is. A row of
training is forward, backward and the step of the optimiser; there is one for each width of the kernels. Before anything
is timed, readout and all gradients of both sides are compared, without dropout and in double precision. Memory is the
rise of the resident set over a step, in a process of its own that has made a step on a small batch.
"""

from __future__ import annotations

import ctypes
import gc
import importlib.util
import itertools
import math
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import harness
import torch
from torch import nn

from snnsim.architectures import delayed
from snnsim.training import BPTT, ATan, Outcome, TrainableNetwork
from snnsim.training.loop.schedules import make_optimiser
from snnsim.training.parameters.delay_schedule import FINAL_WIDTH

SIZES, LONGEST, TICKS, DT = (140, 256, 256, 20), 24, 100, 10e-3
NAMES = ("input", "hidden1", "hidden2", "output")
HIDDEN = NAMES[1:-1]
LOSS = "summed_softmax"
#: Standard deviations of the Gaussian: the last of the schedule, the first, and some between.
WIDTHS = (0.5, 1.0, 2.0, 4.0, 12.27)


def ours(dropout: float, dtype: str = "float32") -> TrainableNetwork:
    """Return our network."""
    network = delayed(SIZES[0], SIZES[-1], hidden=SIZES[1:-1], dt=DT)
    return TrainableNetwork(
        network,
        learn=("weights", "delays"),
        surrogate=ATan(5.0),
        batch_norm=HIDDEN,
        dropout=dict.fromkeys(HIDDEN, dropout),
        dtype=dtype,
        lengthen="layer",
    )


class Peer(nn.Module):
    """The same network of Dcls1d, torch and spikingjelly, with the weights and delays of ours."""

    def __init__(self, model: TrainableNetwork, dropout: float) -> None:
        from DCLS.construct.modules import Dcls1d
        from spikingjelly.activation_based import layer, neuron, surrogate

        super().__init__()
        self.products = nn.ModuleList()
        self.norms, self.neurons, self.dropouts = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for source, target in itertools.pairwise(NAMES):
            weights, delays = model.weights(f"{source}->{target}"), model.delays(f"{source}->{target}")
            product = Dcls1d(*weights.shape, 1, bias=False, dilated_kernel_size=LONGEST + 1, version="gauss")
            product = product.to(weights.dtype)
            with torch.no_grad():
                product.weight.copy_(weights.t().unsqueeze(2))
                product.P.copy_(LONGEST // 2 - delays.t()[None, :, :, None])
            product.SIG.requires_grad_(False)
            self.products.append(product)
        for size in SIZES[1:-1]:
            self.norms.append(nn.BatchNorm1d(size, dtype=model.dtype))
            self.neurons.append(
                neuron.LIFNode(
                    tau=1.005,
                    decay_input=False,
                    v_threshold=1.0,
                    v_reset=0.0,
                    surrogate_function=surrogate.ATan(5.0),
                    detach_reset=True,
                    step_mode="m",
                )
            )
            self.dropouts.append(layer.Dropout(dropout, step_mode="m"))
        self.readout = neuron.LIFNode(
            tau=1.005, decay_input=False, v_threshold=1e9, v_reset=0.0, step_mode="m", store_v_seq=True
        )

    def width(self, sigma: float) -> None:
        """Set the standard deviation of the kernels."""
        for product in self.products:
            product.SIG.data.fill_(sigma - 0.27)

    def round(self) -> None:
        """Go over to whole delays, as the published code does for evaluation."""
        for product in self.products:
            product.SIG.data.fill_(0.0)
            product.P.data.round_()
            product.version = "max"
            product.DCK.version = "max"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the readout, shape (ticks, batch, classes)."""
        for module in (*self.neurons, *self.dropouts, self.readout):
            module.reset()
        x = x.permute(1, 2, 0)  # (batch, channels, ticks)
        for product, norm, neurons, dropout in zip(
            self.products, self.norms, self.neurons, self.dropouts, strict=False
        ):
            drive = norm(product(nn.functional.pad(x, (LONGEST, LONGEST // 2))))
            x = dropout(neurons(drive.permute(2, 0, 1))).permute(1, 2, 0)
        self.readout(self.products[-1](nn.functional.pad(x, (LONGEST, LONGEST // 2))).permute(2, 0, 1))
        return self.readout.v_seq


class Training:
    """A step of training of each side, on the same counts of spikes."""

    def __init__(self, batch: int, sigma: float | None, *, dropout: float = 0.4, dtype: str = "float32") -> None:
        torch.manual_seed(3)
        self.model = ours(dropout, dtype)
        self.x = torch.poisson(torch.full((TICKS, batch, SIZES[0]), 0.57)).to(self.model.dtype)
        self.given = self.x.transpose(0, 1).contiguous()
        self.labels = torch.arange(batch) % SIZES[-1]
        self.sigma = sigma
        self.optimiser = make_optimiser(self.model, "adam", 1e-3, 1e-5, 0.1)
        if sigma is not None:
            first = LONGEST // 2
            self.model.sharpness = math.log((sigma - 0.27) / first) / math.log(FINAL_WIDTH / first)

    def with_peer(self, dropout: float = 0.4) -> Training:
        """Make the peer, too."""
        self.peer = Peer(self.model, dropout)
        decays = [product.weight for product in self.peer.products]
        groups = [{"params": decays, "weight_decay": 1e-5}, {"params": list(self.peer.norms.parameters())}]
        positions = [product.P for product in self.peer.products]
        self.optimisers = [torch.optim.Adam(groups, 1e-3, fused=True), torch.optim.Adam(positions, 0.1, fused=True)]
        if self.sigma is None:
            self.peer.round()
        else:
            self.peer.width(self.sigma)
        return self

    def gradients(self) -> Outcome:
        """Run our forward and backward pass."""
        self.optimiser.zero_grad(set_to_none=False)
        return BPTT(detach_reset=True).step(self.model, self.given, self.labels, LOSS)

    def step(self) -> None:
        """Make our step."""
        self.gradients()
        self.optimiser.step()

    def peer_gradients(self) -> torch.Tensor:
        """Run the peer's forward and backward pass and return its readout."""
        for optimiser in self.optimisers:
            optimiser.zero_grad()
        readout = self.peer(self.x)
        nn.functional.cross_entropy(readout.softmax(2).sum(0), self.labels).backward()
        return readout.detach()

    def peer_step(self) -> None:
        """Make the peer's step, which ends with the delays in their range."""
        self.peer_gradients()
        for optimiser in self.optimisers:
            optimiser.step()
        for product in self.peer.products:
            product.clamp_parameters()

    def infer(self) -> torch.Tensor:
        """Return our readout with whole delays, shape (batch, ticks, classes)."""
        self.model.eval()
        with torch.no_grad():
            return self.model.readout(self.given)

    def peer_infer(self) -> torch.Tensor:
        """Return the peer's readout with whole delays, shape (ticks, batch, classes)."""
        self.peer.eval()
        with torch.no_grad():
            return self.peer(self.x)


def check(sigma: float | None) -> float:
    """Return how far the two sides are apart, as a share of the largest number; stop where they do not agree."""
    both = Training(16, sigma, dropout=0.0, dtype="float64").with_peer(0.0)
    if sigma is None:
        pairs = [(both.infer().transpose(0, 1), both.peer_infer())]
    else:
        both.model.train()
        both.gradients()
        readout = both.model.readout(both.given).detach().transpose(0, 1)
        pairs = [(readout, both.peer_gradients())]
        for name, product in zip(
            ("input->hidden1", "hidden1->hidden2", "hidden2->output"), both.peer.products, strict=True
        ):
            pairs.append((both.model.weights(name).grad, product.weight.grad[:, :, 0].t()))
            pairs.append((both.model.delays(name).grad, -product.P.grad[0, :, :, 0].t()))
        for name, norm in zip(HIDDEN, both.peer.norms, strict=True):
            pairs.append((both.model.norm(name).weight.grad, norm.weight.grad))
            pairs.append((both.model.norm(name).bias.grad, norm.bias.grad))
    apart = max(float((one - other).abs().max() / other.abs().max()) for one, other in pairs)
    if not apart < 1e-5:
        raise SystemExit(f"snnsim and dcls differ by {apart:.1e} of the largest number; nothing was timed")
    return apart


def timed(batch: int, sigma: float | None, peer: str | None, runs: int) -> dict[str, Any]:
    """Return the row of a training step of one width, or of inference."""
    name = "rounded, inference" if sigma is None else f"sigma {sigma:g}, training"
    both = Training(batch, sigma)
    mine: Callable[[], Any] = both.infer if sigma is None else both.step
    if peer is None:
        mine()
        times = [1e3 * harness.seconds(mine) for _ in range(runs)]
        return harness.row(name, "a batch", "ms", statistics.median(times), spread=(min(times), max(times)))
    print(f"{name}: both sides agree to {check(sigma):.1e}", flush=True)
    both.with_peer()
    return harness.paired(name, "a batch", mine, both.peer_infer if sigma is None else both.peer_step, peer, runs=runs)


def rise(side: str, sigma: float | None, batch: int) -> int:
    """Return the bytes by which the resident set rises at most in a step."""

    def work(samples: int) -> Callable[[], Any]:
        both = Training(samples, sigma)
        if side == "ours":
            return both.infer if sigma is None else both.step
        both.with_peer()
        return both.peer_infer if sigma is None else both.peer_step

    work(4)()
    large = work(batch)
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts anew
    before = status("VmRSS")
    large()
    large()  # with the states of the optimiser there
    return status("VmHWM") - before


def status(name: str) -> int:
    """Return a number of this process in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise SystemExit(f"/proc/self/status has no {name}")


def memory(sigma: float | None, batch: int, peer: str | None) -> dict[str, Any]:
    """Return the row of the memory of a step."""

    def measured(side: str) -> float:
        words = [sys.executable, __file__, "--rise", side, str(sigma or 0.0), str(batch)]
        return int(subprocess.run(words, check=True, capture_output=True, text=True).stdout) / 2**20

    mine, theirs = measured("ours"), None if peer is None else measured("peer")
    name = "rounded, inference" if sigma is None else f"sigma {sigma:g}, training"
    return harness.row(name, "memory rise", "MiB", mine, theirs, peer, None if theirs is None else theirs / mine)


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Run the benchmark."""
    parser = harness.options(__doc__.splitlines()[0])
    parser.add_argument("--rise", nargs=3, help="for a process of its own: print the bytes of one side")
    options = parser.parse_args(arguments)
    torch.set_num_threads(2)
    if options.rise:
        side, sigma, batch = options.rise
        print(rise(side, float(sigma) or None, int(batch)))
        return {}
    batch, runs = (32, 3) if options.quick else (128, 5)
    peer: str | None = "dcls, spikingjelly"
    if any(importlib.util.find_spec(name) is None for name in ("DCLS", "spikingjelly")):
        print("the packages dcls and spikingjelly are not both there (make bench-env adds them): no peer")
        peer = None
    widths = (None, 0.5, 12.27) if options.quick else (None, *WIDTHS)
    rows = [timed(batch, sigma, peer, runs) for sigma in widths]
    rows += [memory(sigma, batch, peer) for sigma in (None, 0.5, 12.27)]
    settings = {"sizes": SIZES, "longest": LONGEST, "ticks": TICKS, "batch": batch, "runs": runs, "threads": 2}
    return harness.finish("delays", {**settings, "quick": options.quick}, rows, options.json)


if __name__ == "__main__":
    main(sys.argv[1:])
