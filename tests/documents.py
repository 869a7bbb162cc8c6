"""The documentation as blocks, and a program that runs them within a project.

A comment before a fenced block says what becomes of it:

    <!-- file: PATH -->      it is written to a file of the project
    <!-- append: PATH -->    it is appended to one
    <!-- run -->             its lines that begin with `$` are run
    <!-- shell -->           it is typed into a Python shell that goes on from block to block
    <!-- shell: new -->      it is typed into a new one
    <!-- shell: until X -->  it is typed again and again until its last line gives X

On pages other than the tutorial, Python without a comment goes on from block to block too.
"""

from __future__ import annotations

import doctest
import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])

_FENCE = re.compile(r"^( *)(`{3,})([^`\n]*)\n(.*?)^\1\2 *$", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"<!-- (\w+)(?:: (.*?))? -->\s*\Z")
_PATIENCE = 60.0


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Args:
        page: it stands on.
        line: of its first line, from 1.
        language: of the fence.
        text: without indentation.
        action: of the comment before it, or "".
        argument: of that comment, or "".
    """

    page: str
    line: int
    language: str
    text: str
    action: str = ""
    argument: str = ""


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page, in order."""
    source = page.read_text()
    found = []
    for match in _FENCE.finditer(source):
        indent, _, language, text = match.groups()
        comment = _COMMENT.search(source, 0, match.start())
        found.append(
            Block(
                str(page.relative_to(ROOT)),
                source.count("\n", 0, match.start()) + 2,
                language.strip(),
                "".join(line.removeprefix(indent) for line in text.splitlines(keepends=True)),
                comment[1] if comment else "",
                (comment[2] or "") if comment else "",
            )
        )
    return found


def prose(page: Path) -> str:
    """Return a page without its fenced blocks."""
    return _FENCE.sub("", page.read_text())


class Project:
    """A Django project in a folder, with a name that no other has.

    Args:
        folder: empty.
        name: takes the place of the tutorial's ``bookshop``.
        replacements: texts of the pages → what stands for them here.
    """

    def __init__(self, folder: Path, name: str, replacements: dict[str, str] | None = None) -> None:
        self.folder = folder
        self.name = name
        self.replacements = {"bookshop": name, **(replacements or {})}

    def follow(self, page: Path) -> None:
        """Do what a page says, in order.

        Raises:
            AssertionError: a command failed, or a shell printed something else.
        """
        shell: list[Block] = []
        for block in map(self._here, blocks(page)):
            if not block.action and block.language not in ("python", "pycon", "html+django"):
                continue
            if block.action in ("", "shell"):
                if block.argument == "new":
                    self._type(shell)
                    shell = []
                shell.append(block)
                continue
            self._type(shell)
            shell = []
            self._do(block)
        self._type(shell)

    def _here(self, block: Block) -> Block:
        text, argument = block.text, block.argument
        for old, new in self.replacements.items():
            text, argument = text.replace(old, new), argument.replace(old, new)
        return Block(**{**asdict(block), "text": text, "argument": argument})

    def _do(self, block: Block) -> None:
        path = self.folder / block.argument
        if block.action == "file":
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text)
        elif block.action == "append":
            path.write_text(path.read_text() + "\n" + block.text)
        elif block.action == "run":
            for line in block.text.splitlines():
                if line.startswith("$ "):
                    self.run(shlex.split(line[2:]))
        else:
            raise AssertionError(f"{block.page}: unknown comment {block.action!r}")

    def run(self, words: list[str], stdin: str | None = None) -> str:
        """Run a command line of the pages and return what it prints."""
        programs = {
            "python": [sys.executable],
            "django-admin": [sys.executable, "-m", "django"],
            "pytest": [sys.executable, "-m", "pytest"],
        }
        done = subprocess.run(
            [*programs[words[0]], *words[1:]],
            cwd=self.folder,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=300,
            env={
                **os.environ,
                "PYTHONPATH": f"{self.folder}{os.pathsep}{ROOT}",
                "DJANGO_SETTINGS_MODULE": f"{self.name}.settings",
            },
            check=False,
        )
        assert done.returncode == 0, f"{shlex.join(words)}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def _type(self, shell: list[Block]) -> None:
        if shell:
            self.run(["python", __file__], json.dumps([asdict(block) for block in shell]))


# -- within the project ----------------------------------------------------------------------------


def type_in(typed: Iterable[Block]) -> Iterator[str]:
    """Type blocks into this process; yields what goes wrong."""
    from django.conf import settings

    names: dict[str, Any] = {"__name__": "shell", "INSTALLED_APPS": list(settings.INSTALLED_APPS)}
    for block in typed:
        where = f"{block.page}:{block.line}"
        if block.language == "html+django":
            _render(block)
        elif block.language == "pycon":
            deadline = time.monotonic() + _PATIENCE
            while failure := _session(block, names):
                if not block.argument.startswith("until") or time.monotonic() > deadline:
                    yield f"{where}\n{failure}"
                    break
        else:
            exec(compile("\n" * (block.line - 1) + block.text, block.page, "exec"), names)
            if re.search(r"^QUERYCACHE = ", block.text, re.MULTILINE):
                yield from (f"{where}\n{problem}" for problem in _problems(names["QUERYCACHE"]))


def _session(block: Block, names: dict[str, Any]) -> str:
    test = doctest.DocTestParser().get_doctest(
        block.text, names, block.page, block.page, block.line
    )
    # The parser has copied the names; all sessions of a shell share them.
    test.globs = names
    said: list[str] = []
    runner = doctest.DocTestRunner(verbose=False, optionflags=doctest.ELLIPSIS)
    runner.run(test, out=said.append, clear_globs=False)
    return "".join(said)


def _problems(value: Any) -> list[str]:
    from django.test import override_settings

    from querycache import checks, conf

    found = [str(problem) for problem in conf.problems(value)]
    if not found:
        with override_settings(QUERYCACHE=value):
            found = [str(message) for message in checks.check_names(None)]
            found += [str(message) for message in checks.check_store(None)]
    return found


def _render(block: Block) -> None:
    from django.template import engines

    assert engines["django"].from_string(block.text).render().strip(), block


def _main() -> int:
    import django

    django.setup()
    failures = list(type_in(Block(**block) for block in json.load(sys.stdin)))
    sys.stderr.write("\n".join(failures))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(_main())
