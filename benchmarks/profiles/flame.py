"""Draws stacks as a flame graph: one SVG that needs nothing else, the same for the same stacks."""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape
from typing import Final, NamedTuple

from benchmarks.profiles.stacks import Stacks

WIDTH: Final = 1200
MARGIN: Final = 10
ROW: Final = 17
HEAD: Final = 62
NARROWEST: Final = 0.6
"""Narrower frames are left out, with all above them."""
CHARACTER: Final = 6.3
"""Width of one character at FONT_SIZE in the fonts named below, at most."""
FONT_SIZE: Final = 11

OURS: Final = ("gateway/", "processor/", "storage/", "kit/", "deploy/", "tender/")
HUES: Final = {"ours": 30, "kernel": 265, "native": 205, "library": 95}
"""Ours is orange, other Python green, C blue, the kernel violet."""

_OPEN: Final = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}"'
    ' height="{height}" font-family="Verdana, DejaVu Sans, sans-serif" font-size="{size}">\n'
    '<rect width="100%" height="100%" fill="#fffdf7"/>\n'
    '<text x="{margin}" y="24" font-size="17">{title}</text>\n'
    '<text x="{margin}" y="43" fill="#555">{subtitle}</text>\n'
)


class Box(NamedTuple):
    """A frame as it is drawn. `left` and `width` are in samples."""

    name: str
    depth: int
    left: int
    width: int


@dataclass
class _Node:
    name: str
    count: int = 0
    callees: dict[str, "_Node"] = field(default_factory=dict)


def boxes(stacks: Stacks) -> list[Box]:
    """Lay frames out: callers below, callees above them in the order of their names."""
    root = _Node("all")
    for stack, count in stacks.items():
        root.count += count
        node = root
        for frame in stack:
            node = node.callees.setdefault(frame, _Node(frame))
            node.count += count
    return list(_laid(root, 0, 0))


def _laid(node: _Node, depth: int, left: int) -> Iterator[Box]:
    yield Box(node.name, depth, left, node.count)
    for name in sorted(node.callees):
        callee = node.callees[name]
        yield from _laid(callee, depth + 1, left)
        left += callee.count


def svg(stacks: Stacks, title: str, subtitle: str, whole_us: float | None = None) -> str:
    """Return the picture; `whole_us`, what all samples stand for, puts µs into the tooltips."""
    laid = boxes(stacks)
    whole = laid[0].width
    assert whole, "nothing was sampled"
    scale = (WIDTH - 2 * MARGIN) / whole
    shown = [box for box in laid if box.width * scale >= NARROWEST]
    height = HEAD + ROW * (max(box.depth for box in shown) + 1) + MARGIN
    head = _OPEN.format(
        width=WIDTH,
        height=height,
        size=FONT_SIZE,
        margin=MARGIN,
        title=escape(title),
        subtitle=escape(subtitle),
    )
    drawn = [_drawn(box, scale, height - MARGIN, whole, whole_us) for box in shown]
    return head + "\n".join(drawn) + "\n</svg>\n"


def _drawn(box: Box, scale: float, floor: int, whole: int, whole_us: float | None) -> str:
    left, width = MARGIN + box.left * scale, box.width * scale
    top = floor - (box.depth + 1) * ROW
    share = box.width / whole
    cost = "" if whole_us is None else f", {share * whole_us:.1f} µs per payment"
    label = _cut(box.name, width)
    text = f'<text x="{left + 3:.1f}" y="{top + 12}">{escape(label)}</text>' if label else ""
    return (
        f"<g><title>{escape(box.name)}: {box.width:,} samples, {share:.1%}{cost}</title>"
        f'<rect x="{left:.1f}" y="{top}" width="{max(width - 0.4, 0.3):.1f}" height="{ROW - 1}"'
        f' fill="{colour(box.name)}" rx="1.5"/>{text}</g>'
    )


def _cut(name: str, width: float) -> str:
    """Return as much of a name as fits; nothing if that says nothing."""
    room = int((width - 6) / CHARACTER)
    if len(name) <= room:
        return name
    return name[: room - 1] + "…" if room >= 4 else ""


def colour(name: str) -> str:
    """Return the colour of a frame: the hue says whose it is, the shade tells neighbours apart."""
    digest = zlib.crc32(name.encode())
    hue = HUES[owner(name)] + digest % 17 - 8
    return f"hsl({hue},{62 + digest // 17 % 14}%,{68 + digest // 238 % 10}%)"


def owner(name: str) -> str:
    """Say whose a frame is: ours, a library's in Python, native, or the kernel's."""
    place = name.rpartition(" (")[2].removesuffix(")")
    if place == "kernel":
        return "kernel"
    if place.startswith(OURS):
        return "ours"
    return "library" if place.endswith(".py") or place.startswith("<") else "native"
