"""The surface of NVIDIA's real bindings, laid over a twin: what they do not take fails.

pybind11 methods carry their signatures in their docstrings alone, so `mock.create_autospec` sees no
arity in them: they are read from there. A twin's class stands for the real one of the same name.
"""

from __future__ import annotations

import inspect
import re
from collections import Counter
from collections.abc import Callable, Iterator
from enum import Enum
from inspect import Parameter, Signature
from typing import Any

_FORM = re.compile(r"^(?:\d+\. )?(\w+)\((.*)\) -> ", re.MULTILINE)
_PLAIN = {
    "str": str,
    "bool": bool,
    "int": int,
    "typing.SupportsInt": int,
    "tuple": tuple,
    "list": list,
    "Dims": (tuple, list),
    "typing_extensions.Buffer": (bytes, bytearray),
}


class Mismatch(Exception):
    """A call that the real bindings would not take."""


class Surface:
    """A twin's module as far as the real module has it."""

    def __init__(self, twin: Any, real: Any) -> None:
        self._twin = twin
        self._real = real
        self.used: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        if not hasattr(self._real, name):
            raise Mismatch(f"{self._real.__name__} has no {name}")
        self.used[name] += 1
        real = getattr(self._real, name)
        if not isinstance(real, type):
            return getattr(self._twin, name)  # a version, a function in Python
        if hasattr(real, "__members__"):
            return _Members(getattr(self._twin, name), real)
        if name.startswith("I"):
            return real  # whose methods are overridden, by a class of ours
        return _checked(self, getattr(self._twin, name), real.__init__, real, f"{name}()")


class _Members:
    """An enumeration of the twin as far as the real one has it."""

    def __init__(self, twin: Any, real: Any) -> None:
        self._twin = twin
        self._real = real

    def __getattr__(self, name: str) -> Any:
        if name not in self._real.__members__:
            raise Mismatch(f"{self._real.__name__} has no member {name}")
        return getattr(self._twin, name)


class _Instance:
    """An object of the twin as far as the real class has it."""

    def __init__(self, surface: Surface, twin: Any, real: type) -> None:
        object.__setattr__(self, "_parts", (surface, twin, real))

    def __getattr__(self, name: str) -> Any:
        surface, twin, real = self._parts
        attribute = self._of_real(name)
        surface.used[f"{real.__name__}.{name}"] += 1
        value = getattr(twin, name)
        if callable(attribute):
            return _checked(surface, value, attribute, real, f"{real.__name__}.{name}()")
        return _wrapped(surface, value)

    def __setattr__(self, name: str, value: Any) -> None:
        surface, twin, real = self._parts
        setter = getattr(self._of_real(name), "fset", None)
        if setter is None:
            raise Mismatch(f"{real.__name__}.{name} cannot be set")
        surface.used[f"{real.__name__}.{name}"] += 1
        _bind(_forms(setter), (twin, value), {}, f"{real.__name__}.{name}")
        setattr(twin, name, value)

    def _of_real(self, name: str) -> Any:
        real = self._parts[2]
        if not hasattr(real, name):
            raise Mismatch(f"{real.__name__} has no {name}")
        return getattr(real, name)

    def __bytes__(self) -> bytes:
        return bytes(self._parts[1])


def _checked(
    surface: Surface, twin: Callable[..., Any], real: Any, owner: type, name: str
) -> Callable[..., Any]:
    forms = _forms(real)

    def call(*arguments: Any, **keywords: Any) -> Any:
        surface.used[name] += 1
        given = tuple(_unwrapped(each) for each in arguments)
        _bind(forms, (owner, *given), keywords, name)
        return _wrapped(surface, twin(*given, **keywords))

    return call


def _wrapped(surface: Surface, value: Any) -> Any:
    real = getattr(surface._real, type(value).__name__, None)
    if not isinstance(real, type) or isinstance(value, (Enum, real)):
        return value  # a plain value (the modules have a `bool` of their own), or real already
    return _Instance(surface, value, real)


def _unwrapped(value: Any) -> Any:
    return value._parts[1] if isinstance(value, _Instance) else value


def _forms(method: Any) -> list[Signature]:
    """Every overload of a pybind11 method, from its docstring."""
    found = [_signature(match[2]) for match in _FORM.finditer(method.__doc__ or "")
             if match[2] != "*args, **kwargs"]  # fmt: skip
    unnamed = re.match(r"^\((.*)\) -> ", method.__doc__ or "")
    return found or ([_signature(unnamed[1])] if unnamed else [])


def _signature(text: str) -> Signature:
    parameters = []
    for part in _split(text):
        name, _, rest = part.partition(": ")
        annotation, equals, _ = rest.partition(" = ")
        parameters.append(
            Parameter(
                name,
                Parameter.POSITIONAL_OR_KEYWORD,
                annotation=annotation,
                default=None if equals else Parameter.empty,
            )
        )
    return Signature(parameters)


def _split(text: str) -> Iterator[str]:
    """At the commas that lie in no bracket."""
    depth, start = 0, 0
    for index, letter in enumerate(text):
        depth += letter in "[(<"
        depth -= letter in "])>"
        if letter == "," and not depth:
            yield text[start:index].strip()
            start = index + 1
    if text[start:].strip():
        yield text[start:].strip()


def _bind(
    forms: list[Signature], arguments: tuple[Any, ...], keywords: dict[str, Any], name: str
) -> None:
    if not forms:
        raise Mismatch(f"{name} has no signature in its docstring")
    faults = []
    for form in forms:
        try:
            bound = form.bind(*arguments, **keywords).arguments
        except TypeError as error:
            faults.append(str(error))
            continue
        wrong = [
            f"{key} is {type(value).__name__}, not {form.parameters[key].annotation}"
            for key, value in list(bound.items())[1:]
            if not _suits(value, form.parameters[key].annotation)
        ]
        if not wrong:
            return
        faults += wrong
    raise Mismatch(f"{name}: {'; '.join(faults)}")


def _suits(value: Any, annotation: str) -> bool:
    short = annotation.rpartition(".")[2]
    plain = _PLAIN.get(annotation, _PLAIN.get(short))
    if plain is not None:
        return isinstance(value, plain)
    _check_overrides(type(value))
    return short in {base.__name__ for base in type(value).__mro__}


def _check_overrides(ours: type) -> None:
    """A class of ours has every method that NVIDIA's code calls, with as many parameters."""
    for base in ours.__mro__[1:]:
        if not base.__module__.startswith("tensorrt"):
            continue
        for name, method in vars(base).items():
            if name.startswith("_") or not (forms := _forms(method)):
                continue
            override = vars(ours).get(name)
            if override is None:
                raise Mismatch(f"{ours.__name__} has no {name}, which {base.__name__} calls")
            if len(inspect.signature(override).parameters) != len(forms[0].parameters):
                raise Mismatch(f"{ours.__name__}.{name} has other parameters than {forms[0]}")


class CudaSurface:
    """The twin of CUDA's runtime as far as `cuda.bindings.runtime` has it."""

    def __init__(self, twin: Any, real: Any) -> None:
        self._twin = twin
        self._real = real
        self.used: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        if not hasattr(self._real, name):
            raise Mismatch(f"cuda.bindings.runtime has no {name}")
        self.used[name] += 1
        real, twin = getattr(self._real, name), getattr(self._twin, name)
        if isinstance(real, type):
            return _Members(twin, real)
        if not callable(real):
            return twin
        signature = inspect.signature(real)

        def call(*arguments: Any) -> Any:
            try:
                signature.bind(*arguments)
            except TypeError as error:
                raise Mismatch(f"{name}(): {error}") from error
            return tuple(self._seen(value) for value in twin(*arguments))

        return call

    def _seen(self, value: Any) -> Any:
        """A structure as far as the real one has its fields; handles and numbers have none."""
        if type(value).__name__ != "cudaDeviceProp":
            return value
        return _Fields(value, self._real.cudaDeviceProp)


class _Fields:
    def __init__(self, twin: Any, real: type) -> None:
        self._twin = twin
        self._real = real

    def __getattr__(self, name: str) -> Any:
        if not hasattr(self._real, name):
            raise Mismatch(f"{self._real.__name__} has no {name}")
        return getattr(self._twin, name)
