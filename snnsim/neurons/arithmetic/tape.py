"""What the arithmetic of a model does with numbers, step by step, and the same steps backwards.

The functions of a model are called once with numbers that write down what is done with them; reverse-mode
differentiation of the list (Griewank and Walther 2008, doi:10.1137/1.9780898717761) is written out as lines of Python,
from which compiled code is made. The derivatives are those that torch has: zero of abs at zero, half to each of two
equal numbers of minimum and maximum.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from snnsim.neurons.arithmetic.symbols import Symbol

#: Lines compute with these, in the precision of the numbers.
ZERO, HALF, ONE = "zero", "half", "one"

#: What a step adds to the derivatives of its arguments, by operation: pairs of an argument's place and a text, of the
#: arguments' names `a`, `b`, `c`, the result `out` and its derivative `bar`.
_BACKWARDS: dict[str, tuple[tuple[int, str], ...]] = {
    "{a} + {b}": ((0, "{bar}"), (1, "{bar}")),
    "{a} - {b}": ((0, "{bar}"), (1, "-{bar}")),
    "{a} * {b}": ((0, "{bar} * {b}"), (1, "{bar} * {a}")),
    "{a} / {b}": ((0, "{bar} / {b}"), (1, "-{bar} * {out} / {b}")),
    "-{a}": ((0, "-{bar}"),),
    "abs({a})": ((0, "({bar} if {a} > zero else (-{bar} if {a} < zero else zero))"),),
    "exp({a})": ((0, "{bar} * {out}"),),
    "minimum({a}, {b})": (
        (0, "({bar} if {a} < {b} else (half * {bar} if {a} == {b} else zero))"),
        (1, "({bar} if {b} < {a} else (half * {bar} if {a} == {b} else zero))"),
    ),
    "maximum({a}, {b})": (
        (0, "({bar} if {a} > {b} else (half * {bar} if {a} == {b} else zero))"),
        (1, "({bar} if {b} > {a} else (half * {bar} if {a} == {b} else zero))"),
    ),
    "where({c}, {a}, {b})": ((0, "({bar} if {c} else zero)"), (1, "(zero if {c} else {bar})")),
    # of a spike: the landing where it is one, what was before where it is zero
    "landed({a}, {b}, {c})": ((0, "{bar} * ({b} - {c})"), (1, "{bar} * {a}"), (2, "{bar} * (one - {a})")),
}


class _Step(NamedTuple):
    """``out = operation(arguments)``."""

    out: str
    operation: str
    arguments: tuple[str, ...]

    def text(self, template: str, **more: str) -> str:
        """Return a template with the names of this step in it."""
        return template.format(**dict(zip("abc", self.arguments, strict=False)), out=self.out, **more)


class Tape:
    """A list of what is done with numbers that stand on it."""

    def __init__(self) -> None:
        self.steps: list[_Step] = []
        #: Numbers that the arithmetic names, by the name that they have in the lines.
        self.constants: dict[str, float] = {}

    def number(self, name: str) -> Recorded:
        """Return a number that is given, under a name."""
        return Recorded(self, name)

    def add(self, operation: str, *arguments: Any, truth: bool = False) -> Recorded:
        """Write a step down and return its result."""
        out = f"v{len(self.steps)}"
        self.steps.append(_Step(out, operation, tuple(self.name(argument) for argument in arguments)))
        return Recorded(self, out, truth=truth)

    def name(self, value: Any) -> str:
        """Return the name of a number of the tape, or of a constant, which gets one."""
        if isinstance(value, Recorded):
            return value.name
        name = f"k{len(self.constants)}"
        self.constants[name] = bool(value) if isinstance(value, bool) else float(value)
        return name

    def forwards(self) -> list[str]:
        """Return the lines that compute every step."""
        return [f"{step.out} = {step.text(step.operation)}" for step in self.steps]

    def backwards(
        self,
        seeds: Mapping[str, str],
        wanted: Iterable[str],
        special: Mapping[str, Callable[[str | None], tuple[list[str], str]]],
    ) -> tuple[list[str], dict[str, str]]:
        """Return lines that follow derivatives back, and the names of those that are wanted.

        Parameters
        ----------
        seeds : dict of str to str
            Name of a number on the tape to a text of the derivative of what is differentiated by it.
        wanted : iterable of str
            Names of given numbers.
        special : dict of str to function
            For operations with a derivative of the caller's own. It is given the name of the derivative by the
            result (None for none), and returns lines and the name of that by the only argument.

        Returns
        -------
        lines : list of str
        found : dict of str to str
            Wanted name to the name of its derivative; missing where nothing depends on it.
        """
        active = set(wanted)
        for step in self.steps:
            if active.intersection(step.arguments):
                active.add(step.out)
        bars: dict[str, str] = {}
        lines: list[str] = []

        def add(name: str, text: str) -> None:
            if name not in active:
                return
            if name in bars:
                lines.append(f"{bars[name]} = {bars[name]} + {text}")
            else:
                bars[name] = f"bar_{name}"
                lines.append(f"{bars[name]} = {text}")

        for name, text in seeds.items():
            add(name, text)
        for step in reversed(self.steps):
            if step.operation in special:
                more, text = special[step.operation](bars.get(step.out))
                lines += more
                add(step.arguments[0], text)
            elif step.out in bars:
                for place, template in _BACKWARDS.get(step.operation, ()):
                    add(step.arguments[place], step.text(template, bar=bars[step.out]))
        return lines, {name: bars[name] for name in wanted if name in bars}


class Recorded(Symbol):
    """A number on a tape."""

    def __init__(self, tape: Tape, name: str, *, truth: bool = False) -> None:
        super().__init__(truth=truth)
        self.tape, self.name = tape, name

    def called(self, function: str, *numbers: Any, condition: Any = None) -> Recorded:
        """Write down what a function makes of numbers."""
        Symbol()._number(*numbers)
        if condition is not None:
            return self.tape.add("where({c}, {a}, {b})", *numbers, condition)
        places = ", ".join(f"{{{letter}}}" for letter in "abc"[: len(numbers)])
        return self.tape.add(f"{function}({places})", *numbers)


def _binary(operation: str, *, turned: bool = False, truth: bool = False) -> Callable[[Recorded, Any], Recorded]:
    def apply(self: Recorded, other: Any) -> Recorded:
        self._number(other)
        both = (other, self) if turned else (self, other)
        return self.tape.add(operation, *both, truth=truth)

    return apply


def _joined(operation: str) -> Callable[[Recorded, Any], Recorded]:
    def apply(self: Recorded, other: Any) -> Recorded:
        self._join(other)
        return self.tape.add(operation, self, other, truth=True)

    return apply


def _unary(operation: str) -> Callable[[Recorded], Recorded]:
    def apply(self: Recorded) -> Recorded:
        self._number()
        return self.tape.add(operation, self) if operation else self

    return apply


for _name, _sign in {"add": "+", "sub": "-", "mul": "*", "truediv": "/"}.items():
    setattr(Recorded, f"__{_name}__", _binary(f"{{a}} {_sign} {{b}}"))
    setattr(Recorded, f"__r{_name}__", _binary(f"{{a}} {_sign} {{b}}", turned=True))
for _name, _sign in {"lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==", "ne": "!="}.items():
    setattr(Recorded, f"__{_name}__", _binary(f"{{a}} {_sign} {{b}}", truth=True))
for _name, _sign in {"and": "&", "or": "|"}.items():
    setattr(Recorded, f"__{_name}__", _joined(f"{{a}} {_sign} {{b}}"))
for _name, _text in {"neg": "-{a}", "pos": "", "abs": "abs({a})"}.items():
    setattr(Recorded, f"__{_name}__", _unary(_text))
