"""The documentation is true: its commands and snippets run, and its names exist."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import secrets
import shutil
import tomllib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from django.conf import global_settings

import querycache
from querycache import conf
from querycache.stores import SCHEMES
from querycache.stores.lmdb_files import default_path
from tests.documents import DOCS, PAGES, ROOT, Project, blocks, prose
from tests.environment import Environment
from tests.servers import required

REFERENCE = DOCS / "reference"
TUTORIAL = DOCS / "tutorial"
PACKAGE = ROOT / "querycache"

_names_and_paths = [pytest.param(page, id=str(page.relative_to(ROOT))) for page in PAGES]


def text_of(name: str) -> str:
    return (REFERENCE / name).read_text()


def sources() -> str:
    return "\n".join(path.read_text() for path in sorted(PACKAGE.rglob("*.py")))


# -- what can be run -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bookshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """The project of the tutorial's first part, made by following it."""
    name = f"bookshop{secrets.token_hex(4)}"
    project = Project(tmp_path_factory.mktemp("bookshop"), name)
    try:
        project.follow(TUTORIAL / "first-hits.md")
        template = project.folder / "shop/templates/shop/books.html"
        template.parent.mkdir(parents=True)
        template.write_text("books")
        yield project
    finally:
        # The embedded store that its processes share.
        shutil.rmtree(default_path(name), ignore_errors=True)


def test_tutorial(bookshop: Project) -> None:
    assert (bookshop.folder / "db.sqlite3").exists()


def test_tutorial_on_redis(bookshop: Project, environment: Environment, tmp_path: Path) -> None:
    with required():
        url = environment.store_url("redis")
    shutil.copytree(bookshop.folder, tmp_path / "copy")
    place = {"redis://localhost:6379/0": url}
    Project(tmp_path / "copy", bookshop.name, place).follow(TUTORIAL / "redis.md")


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, id=str(page.relative_to(ROOT)))
        for page in PAGES
        if page.parent != TUTORIAL
        and any(
            block.action or block.language in ("python", "pycon", "html+django")
            for block in blocks(page)
        )
    ],
)
def test_snippets(page: Path, bookshop: Project) -> None:
    bookshop.follow(page)


def test_example_of_a_store_keeps_the_contract(bookshop: Project) -> None:
    bookshop.follow(DOCS / "how-to/own-store.md")
    said = bookshop.run(["pytest", "-q", "-p", "no:cacheprovider", "test_dictstore.py"])
    assert re.search(r"\d\d passed", said)
    assert "failed" not in said


def test_every_block_says_what_it_is() -> None:
    known = {"console", "python", "pycon", "html+django"}
    for page in PAGES:
        for block in blocks(page):
            assert block.language in known or block.language == "{toctree}", (page, block.line)


# -- settings, checks, commands --------------------------------------------------------------------


def test_settings_are_all_there_with_their_defaults() -> None:
    sections = re.split(r"^## `([A-Z_]+)`\n", text_of("settings.md"), flags=re.MULTILINE)[1:]
    described = dict(zip(sections[::2], sections[1::2], strict=True))
    assert list(described) == list(conf.KEYS)
    for name, key in conf.KEYS.items():
        head = " ".join(described[name].strip().partition("\n\n")[0].split())
        match = re.match(r"Default: `([^`]*)`\. Allowed: (.*)\.$", head)
        assert match, (name, head)
        assert ast.literal_eval(match[1]) == key.default, name
        assert type(ast.literal_eval(match[1])) is type(key.default), name
        assert match[2] == key.allowed, name


def test_checks_are_all_there() -> None:
    texts = [path.read_text() for path in PACKAGE.glob("*checks.py")]
    raised = set(re.findall(r"querycache\.([EWI]\d{3})", "".join(texts)))
    raised |= set(re.findall(r'= "(E\d{3})"', sources()))
    described = re.findall(
        r"^\| `querycache\.([EWI]\d{3})` \| (.*) \|$", text_of("checks.md"), re.MULTILINE
    )
    assert {number for number, _ in described} == raised
    # The modules' own tables say the same.
    own = "".join(texts).replace("``", "`")
    for number, meaning in described:
        assert f"| {number} | {meaning} |" in own


def test_subcommands_are_all_there() -> None:
    from querycache.management.commands.querycache import Command

    parser = Command().create_parser("manage.py", "querycache")
    (choice,) = (action for action in parser._actions if action.dest == "action")
    subcommands: Any = choice.choices
    page = text_of("command.md")
    described = re.findall(r"^## `manage.py querycache (\w+)`$", page, re.MULTILINE)
    assert sorted(described) == sorted(subcommands)
    ours = {
        option
        for sub in subcommands.values()
        for option in re.findall(r"--[\w-]+", sub.format_usage())
    }
    part = page.partition("## The demo")[0]
    assert set(re.findall(r"--[\w-]+", part)) == ours - _options_of_django(parser)


def _options_of_django(parser: Any) -> set[str]:
    return {option for action in parser._actions for option in action.option_strings}


def test_options_of_the_demo_are_all_there() -> None:
    from querycache.__main__ import _parser

    (commands,) = (a for a in _parser()._actions if a.dest == "command")
    choices: Any = commands.choices
    demo = choices["demo"]
    options = {option for action in demo._actions for option in action.option_strings}
    part = text_of("command.md").partition("## The demo")[2]
    table = "\n".join(line for line in part.splitlines() if line.startswith("|"))
    assert set(re.findall(r"--\w+", table)) == options - {"-h", "--help"}


def test_sessions_are_all_there() -> None:
    tree = ast.parse((ROOT / "noxfile.py").read_text())
    sessions = {
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
        and any(ast.unparse(mark).startswith("nox.session") for mark in node.decorator_list)
    }
    contributing = (ROOT / "CONTRIBUTING.md").read_text()
    assert set(re.findall(r"^\| `nox -s (\w+)` \|", contributing, re.MULTILINE)) == sessions
    for page in PAGES:
        assert set(re.findall(r"nox -s (\w+)", page.read_text())) <= sessions


# -- names of Python -------------------------------------------------------------------------------


def test_public_names_are_all_there() -> None:
    headings = re.findall(r"^## (.*)$", text_of("api.md"), re.MULTILINE)
    described = {
        name.partition("(")[0]: name for line in headings for name in re.findall(r"`(.*?)`", line)
    }
    assert set(described) == set(querycache.__all__)
    for name, heading in described.items():
        thing = getattr(querycache, name)
        if inspect.isfunction(thing):
            parameters = inspect.signature(thing).parameters.values()
            plain = [p.replace(annotation=p.empty) for p in parameters]
            assert heading == f"{name}({', '.join(map(str, plain))})"


@pytest.mark.parametrize("name", ["Stats", "Explanation"])
def test_fields_are_all_there(name: str) -> None:
    section = text_of("api.md").partition(f"## `{name}`\n")[2].partition("\n## ")[0]
    fields = list(getattr(querycache, name).__dataclass_fields__)
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == fields


def test_loggers_are_all_there() -> None:
    used = set(re.findall(r'getLogger\("([\w.]+)"\)', sources()))
    assert set(re.findall(r"^\| `([\w.]+)` \|", text_of("logging.md"), re.MULTILINE)) == used


def test_exceptions_are_all_there() -> None:
    from querycache import exceptions

    for name, thing in vars(exceptions).items():
        if inspect.isclass(thing) and thing.__module__ == exceptions.__name__:
            assert f"`querycache.{name}`" in text_of("exceptions.md")
    from querycache.stores import base

    for name, thing in vars(base).items():
        if inspect.isclass(thing) and issubclass(thing, Exception):
            assert f"`{name}`" in text_of("exceptions.md")


def test_schemes_are_all_there() -> None:
    assert set(re.findall(r"`([a-z+]+)://", text_of("stores.md"))) == set(SCHEMES)


def test_dependencies_are_all_there() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = chain(*project["optional-dependencies"].values())
    promised = {
        (found[1].lower(), found[2])
        for requirement in (*project["dependencies"], *extras)
        if (found := re.match(r"([\w-]+)>=([\d.]+)", requirement))
    }
    table = text_of("compatibility.md").partition("## Libraries")[2]
    rows = re.findall(r"^\| ([\w-]+) \| .*\| ([\d.]+) \|$", table, re.MULTILINE)
    assert {(name.lower(), version) for name, version in rows} == promised
    assert project["readme"] == "README.md"


@pytest.mark.parametrize("page", _names_and_paths)
def test_dotted_names_exist(page: Path) -> None:
    loggers = set(re.findall(r'getLogger\("([\w.]+)"\)', sources()))
    text = page.read_text()
    for name in set(re.findall(r"(?<![\w/.-])querycache(?:\.[A-Za-z_]\w*)+", text)):
        if name in loggers or re.fullmatch(r"querycache\.[EWI]\d{3}", name):
            continue
        assert _resolve(name) is not None, f"{page.name}: {name}"


def _resolve(name: str) -> Any:
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:end]))
        except ImportError:
            continue
        for part in parts[end:]:
            found = getattr(found, part, None)
        return found
    return None


@pytest.mark.parametrize("page", _names_and_paths)
def test_files_of_the_package_exist(page: Path) -> None:
    for name in set(re.findall(r"`(querycache/[\w/]+\.py)`", page.read_text())):
        assert (ROOT / name).is_file(), name
    if page.name == "hits.md":
        for name in set(re.findall(r"`(\w+\.py)`", page.read_text())):
            assert (PACKAGE / name).is_file(), name


#: Words in capitals that are no settings.
_CAPITALS = {
    "ATOMIC_REQUESTS",
    "CONN_MAX_AGE",
    "DB_CASCADE",
    "DB_SET_DEFAULT",
    "DB_SET_NULL",
    "QUERYCACHE_REQUIRE_SERVERS",
    "ROOT_URLCONF",
}


@pytest.mark.parametrize("page", _names_and_paths)
def test_settings_that_are_named_exist(page: Path) -> None:
    for name in set(re.findall(r"`\"?([A-Z]+(?:_[A-Z]+)+)\b", prose(page))):
        ours = name in conf.KEYS or hasattr(global_settings, name) or name in _CAPITALS
        theirs = page.name == "migrating.md" and name.startswith(("CACHALOT_", "CACHEOPS_"))
        assert ours or theirs, name
    for name in re.findall(r"`([A-Z_]+): \"", prose(page)):
        assert name in conf.KEYS


_NOT_YET = ("row-level inv",)


@pytest.mark.parametrize("page", _names_and_paths)
def test_nothing_is_promised_that_is_not_there(page: Path) -> None:
    text = page.read_text()
    if page.name == "CHANGELOG.md":
        before, _, after = text.partition("### Not yet")
        assert after
        text = before
    for word in _NOT_YET:
        assert word not in text, word


# -- links -----------------------------------------------------------------------------------------


def _slugs(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings
    }


@pytest.mark.parametrize("page", _names_and_paths)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if link.startswith(("https://", "mailto:")):
            continue
        place, _, anchor = link.partition("#")
        target = (page.parent / place).resolve() if place else page
        assert target.is_file(), link
        if anchor:
            assert anchor in _slugs(target), link


def test_pages_speak_of_the_project_alone() -> None:
    for page in PAGES:
        assert f"{ROOT}/" not in page.read_text(), page
