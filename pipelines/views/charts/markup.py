"""From the SVG that Vega writes to what stands in a page: small, scalable, every method marked.

Vega writes each mark's `description` into the mark's `aria-label`. A chart sets it to
``mark_of(method, words)``; here it becomes ``data-method="METHOD"``, by which a script finds all
that belongs to the method, and a `title`, the tooltip. The whole drawing is one image with one
label for those who hear it (``role="img"``), so the labels of single marks and axes go. So do
ids, scripts, fonts (the text takes the page's) and all that is not seen.
"""

from __future__ import annotations

import re
from xml.etree import ElementTree

SEPARATOR = "\N{INVISIBLE SEPARATOR}"
UNSEEN = ("class", "id", "role", "font-family", "pointer-events", "stroke-miterlimit", "cursor")
NUMBERS = ("d", "transform", "x", "y", "x2", "y2", "width", "height")
CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
"""What no XML may hold, though a name may."""


def mark_of(method: str, words: str = "") -> str:
    """Return the `description` of a mark that belongs to a method; `words` are its tooltip."""
    return f"{method.replace(SEPARATOR, '')}{SEPARATOR}{words}"


def page_svg(drawn: str, label: str) -> str:
    """Return an ``<svg>`` that fills its column; `label` is read aloud.

    `drawn` is Vega's, so names in it are escaped already, and they stay so.
    """
    root = ElementTree.fromstring(CONTROLS.sub("", drawn))
    size = root.attrib["viewBox"]
    _clean(root)
    root.attrib.clear()
    root.attrib.update({"viewBox": size, "role": "img", "aria-label": CONTROLS.sub("", label)})
    return ElementTree.tostring(root, encoding="unicode", short_empty_elements=True)


def _clean(element: ElementTree.Element) -> None:
    element.tag = element.tag.rpartition("}")[2]
    for child in list(element):
        _clean(child)
        if _empty(child):
            element.remove(child)
    label = element.attrib.pop("aria-label", "")
    for name in [n for n in element.attrib if n in UNSEEN or n.startswith("aria-")]:
        del element.attrib[name]
    for name in NUMBERS:
        if name in element.attrib:
            element.attrib[name] = _rounded(element.attrib[name])
    for name in ("opacity", "stroke-width"):
        if element.attrib.get(name) == "1":
            del element.attrib[name]
    _name(element, label)


def _empty(element: ElementTree.Element) -> bool:
    """Say whether nothing is seen of an element: a group without parts, a path without ink."""
    if element.tag == "path":
        return element.get("display") == "none" or not {"fill", "stroke"} & element.attrib.keys()
    return element.tag in ("g", "defs") and not len(element)


def _rounded(numbers: str) -> str:
    """Return coordinates with one digit: a tenth of a pixel is enough."""
    return re.sub(r"-?\d*\.\d+(e-?\d+)?", lambda found: f"{float(found[0]):.1f}", numbers)


def _name(element: ElementTree.Element, label: str) -> None:
    method, separator, words = label.partition(SEPARATOR)
    if not separator:
        return
    element.set("data-method", method)
    if words:
        title = ElementTree.Element("title")
        title.text = f"{method}: {words}"
        element.insert(0, title)
