"""Changes of the schema, migrations, flush and fixtures leave nothing stale."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from django.apps.registry import Apps
from django.conf import settings
from django.core.management import call_command
from django.db import DatabaseError, connections, models, transaction
from django.db.migrations.executor import MigrationExecutor
from django.test import override_settings

import querycache
from querycache.cache import QueryCache
from tests.environment import add_database, configure, elsewhere
from tests.kinds import every, mariadb, on, servers
from tests.library.models import Genre
from tests.watching import Watch, execute, seed


def model(name: str, table: str = "passing", /, **fields: models.Field[Any, Any]) -> Any:
    """Make a model that no registry knows."""

    class Meta:
        app_label = "passing"
        apps = Apps()
        db_table = table

    return type(name, (models.Model,), {"Meta": Meta, "__module__": __name__, **fields})


def drop(using: str, *tables: str) -> None:
    for table in tables:
        execute(using, f"DROP TABLE IF EXISTS {table}")


@pytest.fixture
def passing(database: str, cache: QueryCache) -> Iterator[Any]:
    """A model whose table is in the database, with two rows that are cached."""
    found = model("Passing", name=models.CharField(max_length=20))
    with connections[database].schema_editor() as editor:
        editor.create_model(found)
    found.objects.using(database).bulk_create([found(name="a"), found(name="b")])
    yield found
    drop(database, "passing", "renamed")


def rows(of: Any, using: str) -> list[Any]:
    return list(of.objects.using(using).order_by("pk").values())


@every
def test_a_table_that_is_made_anew(database: str, cache: QueryCache, passing: Any) -> None:
    assert len(rows(passing, database)) == len(elsewhere(lambda: rows(passing, database))) == 2
    with connections[database].schema_editor() as editor:
        editor.delete_model(passing)
    with pytest.raises(DatabaseError):
        rows(passing, database)
    with connections[database].schema_editor() as editor:
        editor.create_model(passing)
    assert elsewhere(lambda: rows(passing, database)) == []
    assert rows(passing, database) == []


@every
def test_altered_fields(database: str, cache: QueryCache, passing: Any) -> None:
    watch = Watch(database)
    assert [row["name"] for row in rows(passing, database)] == ["a", "b"]
    number = models.IntegerField(default=7)
    number.set_attributes_from_name("number")
    with connections[database].schema_editor() as editor:
        editor.add_field(passing, number)
    more = model(
        "More", name=models.CharField(max_length=20), number=models.IntegerField(default=7)
    )
    assert [row["number"] for row in elsewhere(lambda: rows(more, database))] == [7, 7]
    assert [row["number"] for row in rows(more, database)] == [7, 7]
    text = models.CharField(max_length=20, db_column="name", null=True)
    text.set_attributes_from_name("name")
    with connections[database].schema_editor() as editor:
        editor.alter_field(more, more._meta.get_field("name"), text)
    wide = models.CharField(max_length=20)
    wide.set_attributes_from_name("number")
    with connections[database].schema_editor() as editor:
        editor.alter_field(more, more._meta.get_field("number"), wide)
    changed = model(
        "Changed", name=models.CharField(max_length=20), number=models.CharField(max_length=20)
    )
    assert [row["number"] for row in elsewhere(lambda: rows(changed, database))] == ["7", "7"]
    assert [row["number"] for row in rows(changed, database)] == ["7", "7"]
    with connections[database].schema_editor() as editor:
        editor.remove_field(changed, changed._meta.get_field("number"))
    assert [row["name"] for row in elsewhere(lambda: rows(passing, database))] == ["a", "b"]
    # Tables that no change named are still there.
    watch.check_rows()


@every
def test_renamed_tables(database: str, cache: QueryCache, passing: Any) -> None:
    renamed = model("Renamed", "renamed", name=models.CharField(max_length=20))
    assert len(rows(passing, database)) == 2
    with connections[database].schema_editor() as editor:
        editor.alter_db_table(passing, "passing", "renamed")
    assert len(elsewhere(lambda: rows(renamed, database))) == 2
    with pytest.raises(DatabaseError):
        rows(passing, database)
    renamed.objects.using(database).all().delete()
    with connections[database].schema_editor() as editor:
        editor.alter_db_table(renamed, "renamed", "passing")
    assert elsewhere(lambda: rows(passing, database)) == []
    assert rows(passing, database) == []


@on("sqlite", "sqlite_wal", "postgresql")
def test_a_change_that_is_rolled_back(database: str, cache: QueryCache, passing: Any) -> None:
    assert len(rows(passing, database)) == 2
    with transaction.atomic(database):
        # Not with the schema editor, which wants SQLite's foreign keys off.
        execute(database, "DELETE FROM passing")
        execute(database, "ALTER TABLE passing ADD COLUMN number int DEFAULT 3")
        assert rows(passing, database) == []
        transaction.set_rollback(True, using=database)
    assert len(rows(passing, database)) == len(elsewhere(lambda: rows(passing, database))) == 2


@mariadb
def test_ddl_commits_what_was_written(database: str, passing: Any, watch: Watch) -> None:
    genres = Genre.objects.using(database).order_by("name").values_list("name", flat=True)
    with transaction.atomic(database):
        genres.create(name="own")
        assert elsewhere(lambda: list(genres.all())) == ["crime", "poetry"]
        execute(database, "ALTER TABLE passing ADD COLUMN number int")
        assert elsewhere(lambda: list(genres.all())) == ["crime", "own", "poetry"]
        genres.create(name="z")
        assert list(genres.all()) == ["crime", "own", "poetry", "z"]
        transaction.set_rollback(True, using=database)
    assert list(genres.all()) == ["crime", "own", "poetry"]
    assert elsewhere(watch.wrong) == {}


@mariadb
def test_ddl_that_fails_commits_too(database: str, cache: QueryCache, passing: Any) -> None:
    seed(database)
    genres = Genre.objects.using(database).order_by("name").values_list("name", flat=True)
    assert elsewhere(lambda: list(genres.all())) == ["crime", "poetry"]
    with transaction.atomic(database):
        genres.create(name="own")
        with pytest.raises(DatabaseError):
            execute(database, "CREATE TABLE passing (id int)")
        assert elsewhere(lambda: list(genres.all())) == ["crime", "own", "poetry"]
        assert list(genres.all()) == ["crime", "own", "poetry"]


# -- migrations --------------------------------------------------------------------------------


@pytest.fixture
def travel() -> Iterator[None]:
    """An app with two migrations."""
    with override_settings(INSTALLED_APPS=[*settings.INSTALLED_APPS, "tests.travel"]):
        yield


class Trip(models.Model):
    objects: ClassVar[models.Manager[Trip]] = models.Manager()
    city = models.TextField(db_column="town")

    class Meta:
        app_label = "travel"
        apps = Apps()
        db_table = "travel_trip"


class LaterTrip(models.Model):
    objects: ClassVar[models.Manager[LaterTrip]] = models.Manager()
    city = models.TextField()
    days = models.IntegerField()

    class Meta:
        app_label = "travel"
        apps = Apps()
        db_table = "travel_trip"


@pytest.mark.usefixtures("travel")
@every
def test_migrations(database: str, cache: QueryCache) -> None:
    seed(database)
    connection = connections[database]

    def migrate(name: str | None) -> None:
        MigrationExecutor(connection).migrate([("travel", name)])

    try:
        migrate("0001_first")
        watch = Watch(database)
        assert [row["city"] for row in rows(Trip, database)] == ["Rome"]
        migrate("0002_second")
        expected = [("Rome", 3), ("Oslo", 3)]
        trips = LaterTrip.objects.using(database).order_by("pk").values_list("city", "days")
        assert elsewhere(lambda: list(trips.all())) == list(trips.all()) == expected
        migrate("0001_first")
        assert [row["city"] for row in elsewhere(lambda: rows(Trip, database))] == ["Rome", "Oslo"]
        assert watch.wrong() == {}
        # With nothing to do, nothing changes.
        watch = Watch(database)
        rows(Trip, database)
        migrate("0001_first")
        assert querycache.explain(Trip.objects.using(database).order_by("pk").values()).hit
        watch.check()
        migrate(None)
        with pytest.raises(DatabaseError):
            rows(Trip, database)
    finally:
        drop(database, "travel_trip", "django_migrations")


@pytest.mark.usefixtures("travel")
@every
def test_the_command_with_nothing_to_do(database: str, cache: QueryCache) -> None:
    try:
        call_command("migrate", "travel", database=database, verbosity=0, run_syncdb=False)
        watch = Watch.seeded(database)
        call_command("migrate", "travel", database=database, verbosity=0)
        watch.check()
    finally:
        drop(database, "travel_trip", "django_migrations")


# -- flush and fixtures ------------------------------------------------------------------------


@every
@pytest.mark.parametrize("raw_sql", ["track", "ignore"])
def test_flush(database: str, store_url: str, raw_sql: str) -> None:
    configure(STORE=store_url, RAW_SQL=raw_sql)
    watch = Watch.seeded(database)
    call_command("flush", database=database, interactive=False, verbosity=0)
    watch.check_rows()
    assert Genre.objects.using(database).count() == 0


@every
def test_fixtures(database: str, tmp_path: Path, watch: Watch) -> None:
    fixture = tmp_path / "genres.json"
    fixture.write_text(
        json.dumps([{"model": "library.genre", "pk": 4711, "fields": {"name": "loaded"}}])
    )
    call_command("loaddata", str(fixture), database=database, verbosity=0)
    watch.check("library_genre")
    assert Genre.objects.using(database).get(pk=4711).name == "loaded"
    out = io.StringIO()
    call_command("dumpdata", "library.genre", database=database, stdout=out)
    assert len(json.loads(out.getvalue())) == 3
    watch.check()


# -- test databases ----------------------------------------------------------------------------


@servers
def test_a_clone_that_is_made_anew(database: str, cache: QueryCache) -> None:
    """No statement runs in a clone as it is made, yet its tables are others than before."""
    seed(database)
    creation = connections[database].creation
    clone = f"{database}_clone"
    add_database(clone, creation.get_test_db_clone_settings("1"))
    genres = Genre.objects.using(clone).order_by("name").values_list("name", flat=True)
    try:
        for expected in (["crime", "poetry"], ["crime", "new", "poetry"]):
            connections[database].close()
            connections[clone].close()
            creation.clone_test_db("1", verbosity=0)
            assert list(genres.all()) == list(genres.all()) == expected
            Genre.objects.using(database).create(name="new")
    finally:
        connections[clone].close()
        del connections[clone]
        del connections.settings[clone]
        with creation._nodb_cursor() as cursor:  # type: ignore[attr-defined]
            cursor.execute(f"DROP DATABASE {creation.get_test_db_clone_settings('1')['NAME']}")
