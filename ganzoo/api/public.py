"""What every public function of the API does: it refuses switches that are none, and names arguments in messages."""

from __future__ import annotations

import functools
import inspect
import re
import shlex
from collections.abc import Callable, Collection
from typing import Any, TypeVar, cast

from ganzoo.errors import GanzooError, UsageError
from ganzoo.files.text import quoted

Function = TypeVar("Function", bound=Callable)
ARGUMENTS = {"with": "mixins", "from": "start_from", "set": "overrides", "space": "repo"}  # by the option's name
SETTING = re.compile(r"--set '?([\w.-]+)=([^\s,;)']+?)'?(?=[\s,;)]|\.?(?:\s|$))")
RESUME = re.compile(r"`?(?:ganzoo train )?--out ('(?:[^']|'\"'\"')*'|[^\s']+) --resume\b`?")
OPTION = re.compile(r"(?<![\w-])--(no-)?([a-z][a-z-]*[a-z])\b")


def public(function: Function) -> Function:
    """Makes a function of the command line's rooms one of Python.

    UsageError for a value of a parameter annotated `bool` that is none. Errors name the arguments of the function where
    the rooms below name the options of the command line.
    """
    signature = inspect.signature(function)
    switches = {
        name: parameter.annotation.replace(" ", "").split("|")
        for name, parameter in signature.parameters.items()
        if isinstance(parameter.annotation, str)
    }
    switches = {name: kinds for name, kinds in switches.items() if set(kinds) in ({"bool"}, {"bool", "None"})}

    @functools.wraps(function)
    def called(*arguments: Any, **options: Any) -> Any:
        try:
            given = signature.bind(*arguments, **options).arguments
        except TypeError:
            return function(*arguments, **options)  # Python's own message names the function
        for name, kinds in switches.items():
            value = given.get(name, False)
            if not isinstance(value, bool) and not (value is None and "None" in kinds):
                known = "True, False or None" if "None" in kinds else "True or False"
                raise UsageError(f"{name} is {known}, not {quoted(value)}.")
        try:
            return function(*arguments, **options)
        except GanzooError as error:
            error.args = (in_python(str(error), signature.parameters),)
            raise

    return cast(Function, called)


def in_python(message: str, arguments: Collection[str]) -> str:
    """Returns a message of the command line with the arguments that stand for its options; others stay."""
    if "overrides" in arguments:
        message = SETTING.sub(r'overrides={"\1": \2}', message)
    message = RESUME.sub(lambda match: f'ganzoo.open_run("{"".join(shlex.split(match[1]))}").resume()', message)
    message = message.replace("add --resume", "use Run.resume")

    def argument(match: re.Match[str]) -> str:
        name = match[2].replace("-", "_")
        name = name if name in arguments else ARGUMENTS.get(match[2], name)
        if name not in arguments:
            return match[0]
        return f"{name}=False" if match[1] else name

    return OPTION.sub(argument, message)
