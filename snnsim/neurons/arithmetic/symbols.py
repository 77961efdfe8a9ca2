"""Numbers that are not known yet, by which the arithmetic of a model is tried before it is compiled.

A function of arithmetic is called with symbols once, when its model is registered. What it may do with a number gives
another symbol; everything else (to decide by it, to round it, to hand it to NumPy) is an `UnknownNumberError` that
says what to write instead. So the line is named that would not do on arrays, in compiled code or under autograd.
"""

from __future__ import annotations

from typing import Any


class UnknownNumberError(Exception):
    """What a function does with a number that arithmetic of a model may not do."""


class Symbol:
    """A number, or a truth value, that is not known yet."""

    # NumPy leaves its operators to this class, and refuses its functions.
    __array_ufunc__ = None
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, *, truth: bool = False) -> None:
        self.truth = truth

    def _number(self, *others: Any) -> Symbol:
        for one in (self, *others):
            if isinstance(one, bool) or (isinstance(one, Symbol) and one.truth):
                raise UnknownNumberError("computes with a truth value; write where(condition, 1.0, 0.0)")
            if not isinstance(one, (Symbol, int, float)):
                raise UnknownNumberError(f"computes with {one!r}, which is no number")
        return Symbol()

    def _condition(self, *others: Any) -> Symbol:
        self._number(*others)
        return Symbol(truth=True)

    def _join(self, other: Any) -> Symbol:
        if not (self.truth and isinstance(other, Symbol) and other.truth):
            raise UnknownNumberError("joins what are no conditions by & or |")
        return Symbol(truth=True)

    def called(self, function: str, *numbers: Any, condition: Any = None) -> Symbol:
        """Return what a function of `snnsim.neurons.arithmetic.functions` makes of numbers, of which one is unknown."""
        del function, condition
        return Symbol()._number(*numbers)

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _number
    __neg__ = __pos__ = __abs__ = _number
    __lt__ = __le__ = __gt__ = __ge__ = __eq__ = __ne__ = _condition  # type: ignore[assignment]
    __and__ = __or__ = _join

    def _refuse(self, *_: Any) -> Any:
        raise UnknownNumberError(
            "uses an operation other than + - * / and comparisons; write v * v for v**2, and exp of snnsim.neurons"
        )

    __pow__ = __rpow__ = __mod__ = __rmod__ = __floordiv__ = __rfloordiv__ = __matmul__ = __rmatmul__ = _refuse
    __invert__ = __lshift__ = __rshift__ = __xor__ = __divmod__ = __round__ = _refuse

    def _in_place(self, _: Any) -> Any:
        raise UnknownNumberError("changes a number in place, and arrays of others with it; write x = x + y for x += y")

    __iadd__ = __isub__ = __imul__ = __itruediv__ = __ipow__ = _in_place

    def __bool__(self) -> bool:
        """Refuse: there are many neurons, and each would decide otherwise."""
        raise UnknownNumberError(
            "decides by a number (if, and, or, not, while, min, max), which is another for each neuron; write "
            "where(condition, yes, no), minimum or maximum of snnsim.neurons"
        )

    def _convert(self) -> Any:
        raise UnknownNumberError(
            "hands a number to a function of Python's math; exp, minimum, maximum and where are in snnsim.neurons"
        )

    __float__ = __int__ = __index__ = __complex__ = _convert

    def _part(self, *_: Any) -> Any:
        raise UnknownNumberError("takes a number for a list; each state is one number a neuron")

    __len__ = __iter__ = __getitem__ = _part
