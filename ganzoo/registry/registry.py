"""The registry: loads plugins, leaves out broken ones, and looks up what they register by name. Torch-free."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from types import FunctionType, ModuleType
from typing import Any, NamedTuple

import pluggy

from ganzoo.errors import PluginError, UsageError, did_you_mean
from ganzoo.files.text import quoted
from ganzoo.registry import hookspecs
from ganzoo.registry.discovery import GROUP, Plugin, installed, load
from ganzoo.registry.plugin_guard import SlowLoadWarning, check_api, guard_plugin
from ganzoo.variant import Part, Sizes, Training, Variant, check_name

KINDS = (
    "variants",
    "generators",
    "discriminators",
    "losses",
    "regularizers",
    "augmentations",
    "datasets",
    "conditions",
    "extractors",
    "metrics",
    "layouts",
    "trackers",
    "commands",
)
SINGULAR = {kind: kind[:-1] for kind in KINDS} | {"losses": "loss", "datasets": "data set"}
# Fields of a variant that every command reads: a wrong type would break commands that never use the variant.
FIELD_TYPES: dict[str, type | tuple[type, ...]] = {
    "summary": str,
    "paper": str,
    "year": int,
    "generator": Part,
    "discriminator": (Part, type(None)),
    "loss": Part,
    "sizes": (tuple, Sizes),
    "task": str,
    "kind": str,
    "inputs": Mapping,
    "tags": tuple,
    "regularizers": tuple,
    "augmentation": (Part, type(None)),
    "training": Training,
    "weights": Mapping,
}
IN_PROCESS = "in-process"  # stands for the distribution of what a Python process registers for itself
MARK = f"{GROUP}_impl"  # the attribute in which `hookimpl` stores its options
ITEM_TYPES = {"sizes": int, "tags": str, "regularizers": Part}


class Claim(NamedTuple):
    """A value that a plugin registered under a name."""

    plugin: Plugin
    value: Any


class _Manager(pluggy.PluginManager):
    """Finds hooks without `inspect`, which pluggy uses and which takes longer than importing the plugins."""

    def parse_hookimpl_opts(self, plugin: object, name: str) -> pluggy.HookimplOpts | None:
        if not isinstance(plugin, ModuleType):
            return super().parse_hookimpl_opts(plugin, name)
        found = vars(plugin).get(name)
        return getattr(found, MARK, None) if type(found) is FunctionType else None


class Registry:
    """Loads plugins and looks up their variants and parts; hooks of parts run when a part of that kind is first looked
    up.

    `plugins` are loaded in this order (None: all installed ones). A plugin that fails stays in the list with an
    `error`, and none of its names can be used.
    """

    _filling = False

    def __init__(self, plugins: list[Plugin] | None = None) -> None:
        if Registry._filling:
            raise PluginError(
                "asks for registered names while plugins are still being loaded; do that in a part's factory"
            )
        self.plugins = installed() if plugins is None else plugins
        self._manager = _Manager(GROUP)
        self._manager.add_hookspecs(hookspecs)
        self._owners: dict[int, str] = {}  # plugin names by the id of their module; pluggy's own look-up is linear
        self._claims: dict[str, dict[str, list[Claim]]] = {}
        Registry._filling = True
        try:
            with SlowLoadWarning():
                for plugin in self.plugins:
                    self._load(plugin)
                self._check_hooks()
                self._table("variants")
        finally:
            Registry._filling = False

    @property
    def warnings(self) -> list[str]:
        """One line for every broken plugin, note, and name that several plugins register, in a fixed order."""
        broken = [
            f"Plugin {plugin.name} is broken and left out: {plugin.error}" for plugin in self.plugins if plugin.error
        ]
        clashes = [_clash(kind, name, claims) for kind, name, claims in self._contested()]
        notes = [f"Plugin {plugin.name} {plugin.note}." for plugin in self.plugins if plugin.note]
        return broken + notes + clashes

    def _contested(self) -> list[tuple[str, str, list[Claim]]]:
        """Kind, name and claims of every name that several sound plugins register, of the kinds looked up so far."""
        return [
            (kind, name, self._claims[kind][name])
            for kind in KINDS
            for name in sorted(self._claims.get(kind, ()))
            if len(_sound(self._claims[kind][name])) > 1
        ]

    def clashes(self, plugin: Plugin) -> list[str]:
        """One line for each name that this plugin registers and cannot have: another plugin registers it too."""
        return [
            _clash(kind, name, claims)
            for kind, name, claims in self._contested()
            if any(claim.plugin is plugin and claim is not _winner(claims) for claim in _sound(claims))
        ]

    # -- loading ---------------------------------------------------------------------------------------------------

    def _load(self, plugin: Plugin) -> None:
        if plugin.error:
            return
        with guard_plugin(plugin):
            module = load(plugin.module)
            check_api(module)
            if owner := self._owners.get(id(module)):
                raise PluginError(f"its module {plugin.module} is already in use as plugin {owner}")
            try:
                self._manager.register(module, plugin.name)
            except pluggy.PluginValidationError as error:
                raise PluginError(
                    f"hooks take exactly one argument, `register`; got {self._invalid_hooks(module)}"
                ) from error
            self._owners[id(module)] = plugin.name

    def _invalid_hooks(self, module: object) -> str:
        """Lists the hooks that pluggy refused; its own message depends on its version and the order of a set."""
        from inspect import signature

        hooks = [name for name in dir(module) if self._manager.parse_hookimpl_opts(module, name)]
        forms = [f"{name}({', '.join(signature(getattr(module, name)).parameters)})" for name in hooks]
        return ", ".join(form for form in forms if not form.endswith("(register)"))

    def _check_hooks(self) -> None:
        """Finds mistakes that pluggy reports late or never: unknown hooks, wrappers, and plugins without hooks."""
        mistakes: dict[str, str] = {}
        hooked = set()
        for hook, caller in sorted(vars(self._manager.hook).items()):
            for implementation in caller.get_hookimpls():
                hooked.add(implementation.plugin_name)
                if not caller.has_spec() and not implementation.optionalhook:
                    mistakes[implementation.plugin_name] = (
                        f"implements an unknown hook '{hook}'.{did_you_mean(hook, _hooks())}"
                    )
                elif implementation.hookwrapper or implementation.wrapper:
                    mistakes[implementation.plugin_name] = (
                        f"wraps {hook}; plugins implement hooks, they may not wrap them"
                    )
        for plugin in self.plugins:
            if not plugin.error and plugin.name not in hooked:
                plugin.error = "registers nothing: none of its functions is marked with @ganzoo.hookimpl"
            plugin.error = plugin.error or mistakes.get(plugin.name)

    def _table(self, kind: str) -> dict[str, list[Claim]]:
        """Returns all claims of one kind by name. The first call runs the kind's hook of each plugin, in order."""
        if kind in self._claims:
            return self._claims[kind]
        table = self._claims[kind] = {}
        hook = getattr(self._manager.hook, f"register_{kind}")
        implementations = {implementation.plugin_name: implementation for implementation in hook.get_hookimpls()}
        for plugin in self.plugins:
            if plugin.error or plugin.name not in implementations:
                continue
            mine: dict[str, Any] = {}
            with guard_plugin(plugin, every_command=kind == "variants"):
                implementation = implementations[plugin.name]
                implementation.function(*(_recorder(kind, mine) for _ in implementation.argnames))
            plugin.registered[kind] = sorted(mine)
            for name, value in mine.items():
                table.setdefault(name, []).append(Claim(plugin, value))
        return table

    # -- this process alone ----------------------------------------------------------------------------------------

    def register(self, kind: str, *arguments: Any) -> None:
        """Registers a name for this process alone; one that was registered so before is replaced.

        `arguments` are those of a hook's `register`. UsageError for a name that a plugin has, PluginError if the value
        comes from a plugin's module, which has hooks for that.
        """
        name, value = _checked(kind, arguments)
        module = str(getattr(value, "__module__", ""))
        for plugin in self.plugins:
            root = plugin.module.partition(":")[0]
            if plugin.distribution != IN_PROCESS and (module == root or module.startswith(f"{root}.")):
                raise PluginError(in_plugin_line(kind, plugin.name))
        table = self._table(kind)
        others = [claim.plugin for claim in table.get(name, []) if claim.plugin.distribution != IN_PROCESS]
        if others:
            raise UsageError(f"The {SINGULAR[kind]} '{name}' is one of {others[0].name}: choose another name.")
        own = self._own_plugin()
        own.registered[kind] = sorted({*own.registered.get(kind, ()), name})
        table[name] = [Claim(own, value)]

    def _own_plugin(self) -> Plugin:
        """The plugin that stands for this process, made when it is needed."""
        for plugin in self.plugins:
            if plugin.distribution == IN_PROCESS:
                return plugin
        self.plugins.append(Plugin("python", IN_PROCESS, "0", module=""))
        return self.plugins[-1]

    # -- looking up ------------------------------------------------------------------------------------------------

    def names(self, kind: str) -> list[str]:
        """Returns the usable names of one kind, sorted; of a name that several plugins register, a built-in one."""
        return sorted(name for name, claims in self._table(kind).items() if _winner(claims))

    def claim(self, kind: str, name: str) -> Claim:
        """Returns the claim of a name.

        UsageError with the nearest known name for an unknown one, PluginError if several plugins register it or a
        broken one.
        """
        claims = self._table(kind).get(name, [])
        if winner := _winner(claims):
            return winner
        if len(_sound(claims)) > 1:
            raise PluginError(_clash(kind, name, claims))
        broken = [plugin for plugin in self.plugins if plugin.error]
        for plugin in broken:
            if name in plugin.registered.get(kind, ()) or (kind == "variants" and name == plugin.entry_point):
                raise PluginError(
                    f"The {SINGULAR[kind]} '{name}' is missing because plugin {plugin.name} is broken: {plugin.error}"
                )
        hint = f" ({len(broken)} broken left out: see `ganzoo plugins`)" if broken else ""
        near = self.tag_hint(name) if kind == "variants" else ""
        near = near or did_you_mean(name, self.names(kind))
        raise UsageError(f"No {SINGULAR[kind]} is called {quoted(name)}.{near}{hint}")

    def tag_hint(self, name: str) -> str:
        """Returns the sentence that names the variant of a tag of pretrained weights; "" if `name` is no tag."""
        its_own = next((one.name for one in self.variants() if name in one.weights), None)
        return f" It is a tag of pretrained weights of the variant '{its_own}'." if its_own else ""

    def get(self, kind: str, name: str) -> Any:
        """Returns the value registered under a name (a Variant or a factory); errors as `claim`."""
        return self.claim(kind, name).value

    def table(self, kind: str) -> dict[str, Any]:
        """Returns every usable name of one kind with its value."""
        return {name: self.get(kind, name) for name in self.names(kind)}

    def variants(self) -> list[Variant]:
        """Returns all variants, sorted by name."""
        return list(self.table("variants").values())


def in_plugin_line(kind: str, plugin: str) -> str:
    """One line for a plugin that registers for the process instead of with a hook."""
    return (
        f"Plugin {plugin} registers a {SINGULAR[kind]} for this process alone, which is for notebooks and scripts: "
        f"implement the hook register_{kind} (@ganzoo.hookimpl)."
    )


def _recorder(kind: str, mine: dict[str, Any]) -> Callable[..., None]:
    """The `register` argument of a hook: checks what the plugin passes and stores it in `mine`."""

    def register(*arguments: Any) -> None:
        name, value = _checked(kind, arguments)
        if name in mine:
            raise PluginError(f"registers the {SINGULAR[kind]} '{name}' twice")
        mine[name] = value

    return register


def _checked(kind: str, arguments: tuple[Any, ...]) -> tuple[str, Any]:
    if kind == "variants":
        if len(arguments) != 1 or not isinstance(arguments[0], Variant):
            raise PluginError(f"register_variants takes register(Variant), got {_call(arguments)}")
        return arguments[0].name, _checked_variant(arguments[0])
    if len(arguments) != 2 or not callable(arguments[1]):
        raise PluginError(f"register_{kind} takes register(name, factory), got {_call(arguments)}")
    return check_name(arguments[0]), arguments[1]


def _checked_variant(variant: Variant) -> Variant:
    for field, kind in FIELD_TYPES.items():
        value = getattr(variant, field)
        items = value if field in ITEM_TYPES and isinstance(value, tuple) else ()
        if not isinstance(value, kind) or not all(isinstance(item, ITEM_TYPES[field]) for item in items):
            raise PluginError(f"variant '{variant.name}' cannot have {field}={_short(value)}")
    if not all(part is None or isinstance(part, Part) for part in variant.inputs.values()):
        raise PluginError(f"variant '{variant.name}' cannot have inputs={_short(variant.inputs)}: a Part or None each")
    if not all(type(size) is int and size > 0 for size in variant.sizes):
        raise PluginError(f"variant '{variant.name}' cannot have sizes={_short(variant.sizes)}: pixels, from 1")
    if not variant.summary.isprintable():
        raise PluginError(f"the summary of variant '{variant.name}' must be one line, got {_short(variant.summary)}")
    return variant


def _sound(claims: list[Claim]) -> list[Claim]:
    return [claim for claim in claims if not claim.plugin.error]


def _winner(claims: list[Claim]) -> Claim | None:
    sound = _sound(claims)
    builtin = [claim for claim in sound if claim.plugin.builtin]
    if len(builtin) == 1:
        return builtin[0]
    return sound[0] if len(sound) == 1 else None


def _clash(kind: str, name: str, claims: list[Claim]) -> str:
    owners = " and ".join(claim.plugin.name for claim in _sound(claims))
    winner = _winner(claims)
    verdict = f"the built-in one of {winner.plugin.name} is used" if winner else "none is used; uninstall all but one"
    return f"The {SINGULAR[kind]} '{name}' is registered by {owners}: {verdict}."


def _call(arguments: tuple[Any, ...]) -> str:
    return f"register({', '.join(map(_short, arguments))})"


def _short(value: Any) -> str:
    try:
        return quoted(value)
    except Exception:  # a repr of the plugin's own
        return f"a {type(value).__name__}"


def _hooks() -> list[str]:
    return [f"register_{kind}" for kind in KINDS]


@cache
def registry() -> Registry:
    """Returns the registry of this process, loaded at the first call."""
    return Registry()
