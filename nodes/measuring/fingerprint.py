"""A name for what a sampling depends on, the same in every process: model, patches, conditioning, guider, sampler.

The host names patches by random numbers that differ from start to start, so everything is named by its content.
Weights are too large to be read whole: of each a few values are taken.
"""

from __future__ import annotations

import dis
import enum
import functools
import hashlib
import inspect
import re
import types
import uuid
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import PurePath
from typing import Any

import torch
from torch import Tensor, nn

from .. import host

WHOLE = 1 << 22  # a tensor of at most so many values is read whole
SAMPLED = 2048  # values of a larger one
NETWORK_VALUES = 64  # values of each tensor of a network that are read
DEEPEST = 32

_SCALAR = str | bytes | int | float | complex | bool | None
_PRINTED = torch.dtype | torch.Size | torch.memory_format | torch.layout
_CODE = (
    types.FunctionType, types.MethodType, types.BuiltinFunctionType, types.CodeType, functools.partial, type
)  # fmt: skip
_CONSTANT = (tuple, frozenset, types.CodeType)  # Python shares equal ones or does not, as it likes
# Random names, and where a thing lies.
_OPAQUE = (uuid.UUID, weakref.ref, types.ModuleType, torch.Generator, torch.device)

_SETTING = _SCALAR | torch.dtype | torch.Size | enum.Enum | PurePath
_MODULES_OWN = frozenset(vars(nn.Module())) - {"training"}
# Names of what ComfyUI notes at a module when it loads it, and torch when it compiles it.
_NOTES = re.compile(r"comfy_|lowvram|^model_(loaded|offload)_|^_?pin_|^_v(_|$)|^_torchdynamo")

_PATCHES = (
    "object_patches", "model_options", "wrappers", "callbacks", "injections", "additional_models", "attachments",
    "weight_wrapper_patches",
)  # fmt: skip

_instances: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()


def fingerprint(*things: Any) -> str:
    """32 hex digits that name the content of `things`.

    They may be numbers, texts, tensors, containers, MODELs, networks, functions and objects of plain Python, and
    whatever these hold in turn. A MODEL counts with all its patches: LoRAs, noise schedule, wrappers.

    Where weights cannot be read, a network has a name of its own as long as it lives, and another one when it is loaded
    again: what was remembered of another network must never pass for its own.
    """
    digest = _Digest()
    for thing in things:
        digest.add(thing)
    return digest.hexdigest()


class _Digest:
    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=16)
        self._seen: dict[int, int] = {}
        self._alive: list[Any] = []  # the id of an object that is gone would be given to another
        self._depth = 0
        self._whole = WHOLE
        self._cells: list[types.CellType] = []
        self._rebound_cells: set[int] = set()

    def hexdigest(self) -> str:
        self._add_cells()
        return self._hash.hexdigest()

    def add(self, thing: Any) -> None:
        if isinstance(thing, _SCALAR | _PRINTED):
            self._text(f"{type(thing).__name__}:{thing!r}")
        elif isinstance(thing, enum.Enum):
            self._text(f"{_class_name(type(thing))}:{thing.name}")
        elif isinstance(thing, Tensor):
            if not self._tensor(thing):
                self._text(uuid.uuid4().hex)
        elif isinstance(thing, _OPAQUE):
            self._text(_class_name(type(thing)))
        elif id(thing) in self._seen or self._depth == DEEPEST:
            self._text(f"again:{self._seen.get(id(thing))}")
        else:
            if not isinstance(thing, _CONSTANT):
                self._seen[id(thing)] = len(self._seen)
                self._alive.append(thing)
            self._depth += 1
            self._compound(thing)
            self._depth -= 1

    def _compound(self, thing: Any) -> None:
        self._text(_class_name(type(thing)))
        if isinstance(thing, Mapping):
            self._mapping(thing)
        elif isinstance(thing, list | tuple):
            self._items(thing)
        elif isinstance(thing, set | frozenset):
            self._items(sorted(fingerprint(item) for item in thing))
        elif isinstance(thing, _CODE):
            self._code(thing)
        elif isinstance(thing, nn.Module):
            self._network(thing, {})
        elif hasattr(thing, "patches") and isinstance(getattr(thing, "model", None), nn.Module):
            self._patched_model(thing)
        elif hasattr(thing, "__dict__"):
            kept = _kept_from_runs(type(thing), host.runs_of(thing))  # type: ignore[arg-type]  # a class is hashable
            self._mapping(vars(thing), host.left_by_a_run(thing) | kept)
        else:
            self._items(_pickled(thing) or ())

    def _patched_model(self, patcher: Any) -> None:
        """A MODEL: the network as it is without patches, and the patches."""
        prefix = "diffusion_model."
        network = getattr(patcher.model, prefix[:-1], patcher.model)
        replaced = {
            name: entry.weight for name, entry in getattr(patcher, "backup", {}).items() if hasattr(entry, "weight")
        }
        replaced |= getattr(patcher, "object_patches_backup", {})
        self._text(_class_name(type(patcher.model)))
        self._text(_class_name(type(network)))
        if isinstance(network, nn.Module):
            self._network(network, {name.removeprefix(prefix): value for name, value in replaced.items()})
        else:  # an engine that was compiled, for example
            self._instance(network)
        self.add(patcher.get_model_object("model_sampling") if hasattr(patcher.model, "model_sampling") else None)
        with self._sparing():
            self._mapping(patcher.patches)
        for name in _PATCHES:
            self.add(getattr(patcher, name, None))

    def _network(self, network: nn.Module, replaced: Mapping[str, Any]) -> None:
        """Names of all tensors, some values of each, and what the modules hold beside them.

        replaced: by name, what patches have taken the place of.
        """
        modules = dict(network.named_modules(remove_duplicate=False))
        held: dict[str, Tensor] = {
            **dict(network.named_parameters(remove_duplicate=False)),
            **dict(network.named_buffers(remove_duplicate=False)),
        }
        for name, tensor in network.state_dict().items():
            self._text(name)
            if not isinstance(tensor, Tensor):  # what a module of another pack adds
                self.add(tensor)
                continue
            # The state_dict of quantised modules may give tensors without content, and more of them than there are.
            tensor = replaced.get(name, held.get(name, tensor) if tensor.is_meta else tensor)
            readable = self._tensor(tensor, NETWORK_VALUES, NETWORK_VALUES)
            if not readable and (name in held or not tensor.is_meta):
                self._instance(modules.get(name.rpartition(".")[0], network))
        for path, module in network.named_modules():
            self._module(module, f"{path}." if path else "", replaced)

    def _module(self, module: nn.Module, prefix: str, replaced: Mapping[str, Any]) -> None:
        """The plain values among a module's attributes, such as the paths and strengths of LoRAs that it adds.

        What its forward() assigns is left out: that is what the last run has left.
        """
        left_out = _MODULES_OWN | _assigned(type(module).forward)
        for name, value in sorted(vars(module).items()):
            if name in left_out or _NOTES.search(name):
                continue
            value = replaced.get(prefix + name, value)
            for setting in _settings(value, prefix + name):
                self._text(setting)
            if not (isinstance(value, _SETTING) or hasattr(value, "__dict__")) and _pickled(value) is None:
                self._instance(module)

    def _instance(self, thing: Any) -> None:
        """In place of a content that cannot be read: a name that no other object has, in no other process either."""
        self._text(_instances.setdefault(thing, uuid.uuid4().hex))

    def _code(self, code: Any) -> None:
        if isinstance(code, functools.partial):
            self._items([code.func, code.args, code.keywords])
            return
        if isinstance(code, types.CodeType):
            self._items([code.co_code, code.co_names, code.co_consts])
            return
        self._text(f"{code.__module__}.{code.__qualname__}")
        if isinstance(code, types.MethodType | types.BuiltinFunctionType):
            self.add(code.__self__)
        elif isinstance(code, types.FunctionType):
            self._items([code.__code__, code.__defaults__, code.__kwdefaults__])
            rebound = _rebound(code.__code__)
            for name, cell in zip(code.__code__.co_freevars, code.__closure__ or (), strict=True):
                self._cells.append(cell)
                if name in rebound:
                    self._rebound_cells.add(id(cell))

    def _add_cells(self) -> None:
        """What the functions hold of those that made them, but for variables that one of them assigns anew.

        Those change from step to step, as a running mean does. A function may only read what another one assigns, so
        this comes last.
        """
        for cell in self._cells:  # which grows on the way
            if id(cell) not in self._rebound_cells:
                try:
                    self.add(cell.cell_contents)
                except ValueError:  # not filled yet
                    self.add(None)

    def _mapping(self, mapping: Mapping[Any, Any], left_out: frozenset[str] = frozenset()) -> None:
        entries = [(name if isinstance(name, str) else fingerprint(name), value) for name, value in mapping.items()]
        for name, value in sorted(entries, key=lambda entry: entry[0]):
            if name not in left_out:
                self._text(name)
                self.add(value)
        self._text("end")

    def _items(self, items: Iterable[Any]) -> None:
        for item in items:
            self.add(item)
        self._text("end")

    @contextmanager
    def _sparing(self) -> Iterator[None]:
        """Read only some values of every tensor: a LoRA has hundreds."""
        self._whole = SAMPLED
        try:
            yield
        finally:
            self._whole = WHOLE

    def _tensor(self, tensor: Tensor, whole: int | None = None, sampled: int = SAMPLED) -> bool:
        """Whether its values could be read, which those of another pack's quantised kind may not be."""
        self._text(f"{tuple(tensor.shape)}:{tensor.dtype}")
        try:
            flat = tensor.detach().reshape(-1)
            if len(flat) > (self._whole if whole is None else whole):
                flat = flat[:: len(flat) // sampled]
            self._hash.update(flat.cpu().contiguous().view(torch.uint8).numpy().tobytes())
        except (RuntimeError, TypeError, NotImplementedError):
            return False
        return True

    def _text(self, text: str) -> None:
        content = text.encode("utf-8", "surrogatepass")
        self._hash.update(len(content).to_bytes(8, "little") + content)


def _class_name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _pickled(thing: Any) -> list[Any] | None:
    """What an object without a __dict__ (an array, a range, one with __slots__) would put into a pickle.

    None: it cannot be pickled; its content, if it has any, lies outside of Python.
    """
    try:
        parts = thing.__reduce_ex__(4)
    except Exception:
        return None
    return [list(part) if isinstance(part, Iterator) else part for part in parts]


@functools.lru_cache(1024)
def _rebound(code: types.CodeType) -> frozenset[str]:
    """The variables of functions around it that this code, or a function within it, assigns."""
    own = {step.argval for step in dis.get_instructions(code) if step.opname == "STORE_DEREF"}
    within = (_rebound(part) for part in code.co_consts if isinstance(part, types.CodeType))
    return frozenset(own.union(*within).intersection(code.co_freevars))


@functools.lru_cache(1024)
def _assigned(method: Callable[..., Any]) -> frozenset[str]:
    """The attributes that this method assigns."""
    code = getattr(inspect.unwrap(method), "__code__", None)
    steps = dis.get_instructions(code) if code else ()
    return frozenset(step.argval for step in steps if step.opname == "STORE_ATTR")


@functools.lru_cache(256)
def _kept_from_runs(kind: type, runs: tuple[str, ...]) -> frozenset[str]:
    """The attributes in which objects of that class keep a run's own things: what its methods `runs`, and those that
    they use, assign, and no other method sets. A mere constant, such as None, that __init__ puts there is no setting.
    """
    methods = [
        (name, inspect.unwrap(value))
        for base in kind.__mro__
        for name, value in vars(base).items()
        if isinstance(value, types.FunctionType)
    ]
    used, found = set(runs), set[str]()
    while used - found:
        found |= used
        used |= {named for name, method in methods if name in used for named in method.__code__.co_names}
        used &= {name for name, _ in methods}
    running = frozenset().union(*(_assigned(method) for name, method in methods if name in used))
    return running.difference(*(_set_by(method) for name, method in methods if name not in used))


def _is_empty(step: dis.Instruction) -> bool:
    """Whether it puts a constant on the stack, or an empty container."""
    return step.opname in ("LOAD_CONST", "LOAD_SMALL_INT") or (step.opname.startswith("BUILD_") and not step.arg)


def _set_by(method: Callable[..., Any]) -> set[str]:
    """The attributes that this method assigns something other than a constant."""
    steps = list(dis.get_instructions(method))
    return {
        step.argval
        for value, target, step in zip(steps, steps[1:], steps[2:], strict=False)
        if step.opname == "STORE_ATTR"
        and not (target.opname.startswith("LOAD_FAST") and isinstance(target.argval, str) and _is_empty(value))
    }


def _settings(value: Any, place: str, around: tuple[int, ...] = ()) -> Iterator[str]:
    """All numbers, texts and the like in a value or in the containers that it is made of, each with its place."""
    if isinstance(value, _SETTING):
        if value is not None:  # the host gives names that a module lacks the value None
            yield f"{place}={value!r}"
    elif id(value) in around:
        return
    elif isinstance(value, Mapping):
        for key in sorted((key for key in value if isinstance(key, _SETTING)), key=repr):
            yield from _settings(value[key], f"{place}[{key!r}]", (*around, id(value)))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _settings(item, f"{place}[{index}]", (*around, id(value)))
    elif isinstance(value, set | frozenset):
        yield from sorted(f"{place}={item!r}" for item in value if isinstance(item, _SETTING))
