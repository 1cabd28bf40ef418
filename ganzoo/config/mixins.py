"""Mix-ins: regularizers and augmentations that are added to a variant by name, whatever its loss."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ganzoo.errors import GanzooError, UsageError, did_you_mean
from ganzoo.registry.registry import SINGULAR, Registry
from ganzoo.variant import Part, Variant

KINDS = ("regularizers", "augmentations")


def kind_of(name: str, registry: Registry) -> str:
    """Returns "regularizers" or "augmentations", the kind of a mix-in; UsageError if `name` is neither, or both."""
    found = [kind for kind in KINDS if name in registry.names(kind)]
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(
            f"'{name}' is a regularizer and an augmentation. Choose the augmentation with --set augmentation={name}; "
            "a regularizer of such a name can only be mixed in by a plugin's Variant(regularizers=...)."
        )
    clashing = [claim_error for kind in KINDS if (claim_error := _clash(kind, name, registry))]
    if clashing:
        raise clashing[0]
    known = [other for kind in KINDS for other in registry.names(kind)]
    hint = f"{did_you_mean(name, known)} `ganzoo list --parts` lists them."
    raise UsageError(f"No regularizer or augmentation is called {name!r}.{hint}")


def _clash(kind: str, name: str, registry: Registry) -> GanzooError | None:
    """Returns the error of a name that is registered but cannot be used: by several plugins, or by a broken one."""
    try:
        registry.claim(kind, name)
    except UsageError:
        return None
    except GanzooError as error:
        return error
    return None


def mixed_in(variant: Variant, names: Iterable[str], registry: Registry) -> Variant:
    """Returns the variant with each named regularizer or augmentation added, with its default options.

    UsageError for an unknown name, one that is there already, and a second augmentation.
    """
    for name in names:
        kind = kind_of(name, registry)
        if kind == "augmentations":
            if variant.augmentation is not None:
                raise UsageError(_second_augmentation(variant, name))
            variant = replace(variant, augmentation=Part(name))
        elif any(part.name == name for part in variant.regularizers):
            options = f"--set regularizers.{name}.<option>=..."
            raise UsageError(f"'{variant.name}' has the regularizer '{name}' already; its options are {options}")
        else:
            variant = replace(variant, regularizers=(*variant.regularizers, Part(name)))
    return variant


def _second_augmentation(variant: Variant, name: str) -> str:
    present = variant.augmentation.name if variant.augmentation else ""
    if present == name:
        return (
            f"'{variant.name}' has the augmentation '{name}' already; its options are --set augmentation.<option>=..."
        )
    return (
        f"Images can go through one augmentation, not both '{present}' and '{name}': leave one out, "
        f"or take the other with --set augmentation={name}."
    )


def check_kept(variant: Variant, names: Iterable[str], registry: Registry) -> None:
    """UsageError if a mix-in is requested for a resumed run that its variant does not have."""
    parts = (*variant.regularizers, variant.augmentation)
    has = {part.name for part in parts if part is not None}
    for name in names:
        kind = kind_of(name, registry)
        if name not in has:
            raise UsageError(
                f"The run was started without the {SINGULAR[kind]} '{name}'; a new run can have it: "
                "leave out --resume, choose another --out."
            )
