"""What the arithmetic of a model may call beside + - * /: `exp`, `minimum`, `maximum` and `where`.

They look at what they are given: NumPy's numbers and arrays, torch tensors (with their gradient), or the symbols by
which a model is checked; compiled code has a twin of each for one number. The values are the same bits everywhere,
since the exponential is that of `snnsim.numerics.elementary`, computed in float64 and rounded once.
"""

from __future__ import annotations

import functools
import sys
from typing import Any

import numpy as np

from snnsim.neurons.arithmetic.symbols import Symbol
from snnsim.numerics import elementary
from snnsim.numerics.specialise import compiled_as, jit


def _exp_of_one(number: type[Any]) -> Any:
    in_float64 = jit(elementary.exp)

    def exp_of_one(x):  # type: ignore[no-untyped-def]
        return number(in_float64(np.float64(x)))

    return jit(exp_of_one)


def _minimum_of_two(number: type[Any]) -> Any:
    def minimum_of_two(x, y):  # type: ignore[no-untyped-def]
        return np.minimum(number(x), number(y))

    return jit(minimum_of_two)


def _maximum_of_two(number: type[Any]) -> Any:
    def maximum_of_two(x, y):  # type: ignore[no-untyped-def]
        return np.maximum(number(x), number(y))

    return jit(maximum_of_two)


def _one_of_two(number: type[Any]) -> Any:
    def one_of_two(condition, yes, no):  # type: ignore[no-untyped-def]
        return number(yes) if condition else number(no)

    return jit(one_of_two)


def _one_that_landed(number: type[Any]) -> Any:
    def one_that_landed(spike, landing, before):  # type: ignore[no-untyped-def]
        return number(landing) if spike != 0 else number(before)

    return jit(one_that_landed)


@compiled_as(_exp_of_one)
def exp(x: Any) -> Any:
    """Return the exponential; `x` is taken as -708 below that and as 709 above that."""
    if isinstance(x, Symbol):
        return x.called("exp", x)
    if _torch(x) is not None:
        return _exp_of_tensors().apply(x)
    kind = type(x) if isinstance(x, float) else np.asarray(x).dtype.type
    with np.errstate(over="ignore"):  # what float32 does not hold is infinite there
        value = elementary.exp(np.float64(x))
        return kind(value)


@compiled_as(_minimum_of_two)
def minimum(x: Any, y: Any) -> Any:
    """Return the smaller of two numbers."""
    if (symbol := _symbol(x, y)) is not None:
        return symbol.called("minimum", x, y)
    torch = _torch(x, y)
    return np.minimum(x, y) if torch is None else torch.minimum(*_tensors(torch, x, y))


@compiled_as(_maximum_of_two)
def maximum(x: Any, y: Any) -> Any:
    """Return the larger of two numbers."""
    if (symbol := _symbol(x, y)) is not None:
        return symbol.called("maximum", x, y)
    torch = _torch(x, y)
    return np.maximum(x, y) if torch is None else torch.maximum(*_tensors(torch, x, y))


@compiled_as(_one_of_two)
def where(condition: Any, yes: Any, no: Any) -> Any:
    """Return `yes` where a condition holds, else `no`; both are computed."""
    if (symbol := _symbol(condition, yes, no)) is not None:
        return symbol.called("where", yes, no, condition=condition)
    torch = _torch(condition, yes, no)
    if torch is None:
        return np.where(condition, yes, no)
    yes, no = _tensors(torch, yes, no)
    return torch.where(torch.as_tensor(condition), yes, no)


@compiled_as(_one_that_landed)
def landed(spike: Any, landing: Any, before: Any) -> Any:
    """Return `landing` where `spike` is 1 and `before` where it is 0; under autograd a function of the spike."""
    if (symbol := _symbol(spike, landing, before)) is not None:
        return symbol.called("landed", spike, landing, before)
    torch = _torch(spike, landing, before)
    if torch is None:
        return np.where(spike != 0, landing, before)
    return _landed_of_tensors().apply(*_tensors(torch, spike, landing, before))


def _symbol(*values: Any) -> Symbol | None:
    """Return the first of the values that is not known yet."""
    return next((value for value in values if isinstance(value, Symbol)), None)


def _torch(*values: Any) -> Any:
    """Return the module of torch where one of the values is a tensor of it: then somebody has imported it."""
    torch = sys.modules.get("torch")
    tensor = getattr(torch, "Tensor", None)
    return torch if tensor is not None and any(isinstance(value, tensor) for value in values) else None


def _tensors(torch: Any, *values: Any) -> Any:
    """Return values as tensors of the type of those that are."""
    kinds = [value.dtype for value in values if isinstance(value, torch.Tensor)]
    kind = kinds[0] if kinds else None
    return tuple(value if isinstance(value, torch.Tensor) else torch.as_tensor(value, dtype=kind) for value in values)


@functools.cache
def _exp_of_tensors() -> Any:
    """Return the function of torch's autograd that computes the same bits as `exp`, and its own derivative."""
    torch = sys.modules["torch"]

    class Exponential(torch.autograd.Function):  # type: ignore[misc, name-defined]
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            values = exp(x.detach().cpu().numpy())
            result = torch.as_tensor(values, dtype=x.dtype, device=x.device)
            ctx.save_for_backward(result)
            return result

        @staticmethod
        def backward(ctx: Any, *gradients: Any) -> Any:
            (result,) = ctx.saved_tensors
            return gradients[0] * result

    return Exponential


@functools.cache
def _landed_of_tensors() -> Any:
    """Return `landed` for torch's autograd: what does not land may be beyond all numbers and does no harm."""
    torch = sys.modules["torch"]

    class Landed(torch.autograd.Function):  # type: ignore[misc, name-defined]
        @staticmethod
        def forward(ctx: Any, spike: Any, landing: Any, before: Any) -> Any:
            ctx.save_for_backward(spike, landing, before)
            return torch.where(spike != 0, landing, before)

        @staticmethod
        def backward(ctx: Any, *gradients: Any) -> Any:
            spike, landing, before = ctx.saved_tensors
            (one,) = gradients
            parts = one * (landing - before), one * spike, one * (1 - spike)
            return tuple(part.sum_to_size(value.shape) for part, value in zip(parts, ctx.saved_tensors, strict=True))

    return Landed
