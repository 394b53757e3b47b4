"""What a method file says about itself, read from its source without importing it."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

from fusion.errors import InputError

REQUIRED = ("Paper", "Licence", "Checkpoint")


@dataclass(frozen=True)
class MethodCard:
    """One method as its file describes it: the docstring's fields and the class's switches."""

    name: str
    summary: str
    paper: str
    licence: str
    checkpoint: str
    parameters: tuple[str, ...]
    presets: tuple[str, ...]
    trainable: bool
    pretrained: str
    pretraining_ignores: tuple[str, ...]
    needs_checkpoint: bool
    by_name: bool
    premade: bool
    image_folders: tuple[str, ...]
    stacked: bool
    joins: tuple[str, ...]
    path: Path


def read_card(name: str, path: Path) -> MethodCard:
    """Return the card of the method `name` in the source file `path`.

    Raises InputError naming file and line when the file cannot be parsed, or when its docstring
    lacks the summary or one of the lines ``Paper:``, ``Licence:``, ``Checkpoint:``.
    """
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError, OSError) as error:
        line = getattr(error, "lineno", None) or 1
        raise InputError(f"{path}:{line} is not a readable Python file ({error}).") from error
    text = ast.get_docstring(tree) or ""
    fields = _fields(text)
    for key in REQUIRED:
        if not fields.get(key):
            raise InputError(
                f'{path}:1 has no "{key}:" line in its docstring, so the method "{name}" has no '
                f'complete card; add "{key}: ..." (or "{key}: none").'
            )
    node = _method_node(tree)
    return MethodCard(
        name=name,
        summary=text.split("\n\n")[0].replace("\n", " ").strip(),
        paper=fields["Paper"],
        licence=fields["Licence"],
        checkpoint=fields["Checkpoint"],
        parameters=_parameters(node),
        presets=_presets(node, tree),
        trainable=_switch(node, "trainable"),
        pretrained=_word(node, "pretrained"),
        pretraining_ignores=_words(node, "pretraining_ignores"),
        needs_checkpoint=_switch(node, "needs_checkpoint"),
        by_name=_switch(node, "by_name"),
        premade=_switch(node, "by_name") and not _defines(node, "prepare"),
        image_folders=_words(node, "image_folders"),
        stacked=_text(node, "source") == "both",
        joins=_words(node, "joins"),
        path=path,
    )


def _fields(text: str) -> dict[str, str]:
    """Return the "Key: value" lines of the docstring's body; indented lines continue a value."""
    found: dict[str, str] = {}
    key = ""
    for line in text.splitlines()[1:]:
        head, colon, tail = line.partition(":")
        if line[:1].isspace() and key:
            found[key] += " " + line.strip()
        elif colon and head in REQUIRED:
            key = head
            found[key] = tail.strip()
        else:
            key = ""
    return found


def _method_node(tree: ast.Module) -> ast.ClassDef | None:
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            bases = [ast.unparse(base) for base in node.bases]
            if any(base.split(".")[-1] == "FusionMethod" for base in bases):
                return node
    return None


def _assigned(body: list[ast.stmt], name: str) -> ast.expr | None:
    for node in body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        if isinstance(node, ast.AnnAssign):
            targets = [node.target]
        if any(isinstance(t, ast.Name) and t.id == name for t in targets):
            return node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
    return None


def _switch(node: ast.ClassDef | None, name: str) -> bool:
    value = _assigned(node.body, name) if node else None
    return isinstance(value, ast.Constant) and value.value is True


def _text(node: ast.ClassDef | None, name: str) -> str | None:
    value = _assigned(node.body, name) if node else None
    return value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else None


def _words(node: ast.ClassDef | None, name: str) -> tuple[str, ...]:
    value = _assigned(node.body, name) if node else None
    words = value.elts if isinstance(value, ast.Tuple) else []
    return tuple(str(word.value) for word in words if isinstance(word, ast.Constant))


def _word(node: ast.ClassDef | None, name: str) -> str:
    value = _assigned(node.body, name) if node else None
    return str(value.value) if isinstance(value, ast.Constant) else ""


def _defines(node: ast.ClassDef | None, name: str) -> bool:
    body = node.body if node else []
    return any(isinstance(item, ast.FunctionDef) and item.name == name for item in body)


def _presets(node: ast.ClassDef | None, tree: ast.Module) -> tuple[str, ...]:
    value = _assigned(node.body, "presets") if node else None
    if isinstance(value, ast.Name):
        value = _assigned(tree.body, value.id)
    if isinstance(value, ast.Call) and value.args:  # MappingProxyType({...})
        value = value.args[0]
    keys = value.keys if isinstance(value, ast.Dict) else []
    return tuple(str(k.value) for k in keys if isinstance(k, ast.Constant))


def _parameters(node: ast.ClassDef | None) -> tuple[str, ...]:
    for item in node.body if node else []:
        if isinstance(item, ast.FunctionDef) and item.name == "__init__":
            return tuple(a.arg for a in (*item.args.args[1:], *item.args.kwonlyargs))
    return ()
