"""What TorchScript does with lists, dictionaries and tuples, done with Python's own.

None of it computes, so none of it becomes a step of the network. An operator is found by its name
and by what its first argument is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

#: An operator's arguments to its result. Lists and dictionaries are changed in place.
Operation = Callable[..., Any]


def _set(container: Any, key: Any, value: Any) -> Any:
    container[key] = value
    return container


def _append(items: list[Any], item: Any) -> list[Any]:
    items.append(item)
    return items


def _extend(items: list[Any], more: list[Any]) -> list[Any]:
    items.extend(more)
    return items


def _delete(container: Any, key: Any) -> None:
    del container[key]


def _slice(items: list[Any], start: int | None, end: int | None, step: int = 1) -> list[Any]:
    return items[start:end:step]


def _update(first: dict[Any, Any], second: dict[Any, Any]) -> None:
    first.update(second)


_LIST: dict[str, Operation] = {
    "aten::append": _append,
    "aten::extend": _extend,
    "aten::insert": lambda items, place, item: items.insert(place, item),
    "aten::pop": lambda items, place=-1: items.pop(place),
    "aten::clear": lambda items: items.clear(),
    "aten::reverse": lambda items: items.reverse(),
    "aten::copy": list,
    "aten::list": list,
    "aten::__getitem__": lambda items, place: items[place],
    "aten::_set_item": _set,
    "aten::Delete": _delete,
    "aten::len": len,
    "aten::slice": _slice,
    "aten::add": lambda items, more: [*items, *more],
    "aten::add_": _extend,
    "aten::mul": lambda items, times: items * times,
}

_DICT: dict[str, Operation] = {
    "aten::__getitem__": lambda items, key: items[key],
    "aten::_set_item": _set,
    "aten::Delete": _delete,
    "aten::len": len,
    "aten::keys": lambda items: list(items.keys()),
    "aten::values": lambda items: list(items.values()),
    "aten::items": lambda items: list(items.items()),
    "aten::get": lambda items, key, default=None: items.get(key, default),
    "aten::setdefault": lambda items, key, value: items.setdefault(key, value),
    "aten::pop": lambda items, key, *default: items.pop(key, *default),
    "aten::update": _update,
    "aten::clear": lambda items: items.clear(),
    "aten::copy": dict,
    "aten::dict": dict,
    "aten::__contains__": lambda items, key: key in items,
}

_ANYTHING: dict[str, Operation] = {
    "aten::__is__": lambda a, b: a is b,
    "aten::__isnot__": lambda a, b: a is not b,
    "aten::_unwrap_optional": lambda value: value,
    "aten::format": lambda text, *values: text.format(*values),
    "aten::warn": lambda *_: None,
    "aten::wait": lambda value: value,
    "aten::str": str,
    "prim::unchecked_cast": lambda value: value,
    "prim::data": lambda value: value,
    "prim::Print": lambda *_: None,
    "prim::Uninitialized": lambda: None,
    "prim::ListConstruct": lambda *parts: list(parts),
    "prim::TupleConstruct": lambda *parts: tuple(parts),
    "prim::DictConstruct": lambda *parts: dict(zip(parts[::2], parts[1::2], strict=True)),
    "prim::TupleIndex": lambda parts, place: parts[place],
    "aten::dict.empty": dict,
}

#: Operators that give their parts as several results.
UNPACK = ("prim::TupleUnpack", "prim::ListUnpack")


def operation(kind: str, inputs: list[Any]) -> Operation | None:
    """How Python does an operator on such inputs; ``None`` where it is one that computes."""
    if kind in _ANYTHING:
        return _ANYTHING[kind]
    first = inputs[0] if inputs else None
    if isinstance(first, dict) or (kind == "aten::dict"):
        return _DICT.get(kind)
    if isinstance(first, list):
        return _LIST.get(kind)
    if kind == "aten::mul" and len(inputs) == 2 and isinstance(inputs[1], list):
        return lambda times, items: items * times
    return None
