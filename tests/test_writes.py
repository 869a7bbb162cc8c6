"""Every way in which the ORM writes changes the stamps of what it writes, and of nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import django
import pytest
from asgiref.sync import async_to_sync
from django.contrib.contenttypes.models import ContentType
from django.db import connections, transaction
from django.db.models import F, Model, Value
from django.db.models.functions import Concat

from tests.environment import elsewhere
from tests.kinds import every, on
from tests.library.models import (
    Author,
    Book,
    Chapter,
    Genre,
    Note,
    Place,
    Publisher,
    Review,
    Shop,
    Thing,
)
from tests.watching import Watch, seed

Write = Callable[[str], Any]

WRITES: dict[str, tuple[Write, tuple[str, ...]]] = {}


def writes(*tables: str | type[Model]) -> Callable[[Write], Write]:
    """Name the tables that a write changes."""
    names = tuple(table if isinstance(table, str) else table._meta.db_table for table in tables)

    def register(write: Write) -> Write:
        WRITES[write.__name__] = (write, names)
        return write

    return register


BOOK_GENRES = Book.genres.through._meta.db_table
BOOK_AND_CHILDREN = (Book, Review, Note, Chapter, BOOK_GENRES)


@writes(Author)
def create(using: str) -> None:
    Author.objects.using(using).create(name="new")


@writes(Author)
def save_new(using: str) -> None:
    Author(name="new").save(using=using)


@writes(Author)
def save_with_a_chosen_key(using: str) -> None:
    Author(pk=4711, name="new").save(using=using)


@writes(Author)
def save_again(using: str) -> None:
    author = Author.objects.using(using).get(name="Ann")
    author.name = "Anna"
    author.save()


@writes(Author)
def save_some_fields(using: str) -> None:
    author = Author.objects.using(using).get(name="Ann")
    author.name = "Anna"
    author.save(update_fields=["name"])


@writes(Author)
def force_update(using: str) -> None:
    author = Author.objects.using(using).get(name="Ann")
    author.name = "Anna"
    author.save(force_update=True)


@writes(Book)
def save_an_expression(using: str) -> None:
    book = Book.objects.using(using).get(title="Book 1")
    book.pages = F("pages") + 7
    book.save()
    book.refresh_from_db()
    assert (book.pages, book.double) == (107, 214)


@writes(Book)
def save_refreshes_generated_fields(using: str) -> None:
    book = Book.objects.using(using).get(title="Book 1")
    assert book.double == 200
    book.pages = 5
    book.save()
    assert book.double == (10 if django.VERSION >= (6, 0) else 200)
    assert Book.objects.using(using).get(pk=book.pk).double == 10


@writes(Book)
def update(using: str) -> None:
    assert Book.objects.using(using).update(title=Concat("title", Value("!"))) == 2


@writes(Book)
def update_over_a_join(using: str) -> None:
    books = Book.objects.using(using).filter(author__name="Ann")
    assert books.update(pages=F("pages") * 2) == 1


@writes(Author)
def update_of_what_another_table_chooses(using: str) -> None:
    long = Book.objects.using(using).filter(pages__gt=100).values("author")
    assert Author.objects.using(using).filter(pk__in=long).update(name="Long") == 1


@writes(Thing)
def delete_fast(using: str) -> None:
    Thing.objects.using(using).filter(code="a").delete()


@writes(Thing)
def delete_instance(using: str) -> None:
    Thing.objects.using(using).get(code="a").delete()


@writes(Thing)
def delete_raw(using: str) -> None:
    Thing.objects.using(using)._raw_delete(using)


@writes(*BOOK_AND_CHILDREN)
def delete_cascades(using: str) -> None:
    Book.objects.using(using).get(title="Book 1").delete()


@writes(Author, *BOOK_AND_CHILDREN)
def delete_cascades_far(using: str) -> None:
    Author.objects.using(using).filter(name="Ann").delete()


@writes(Publisher, Book)
def delete_sets_null(using: str) -> None:
    Publisher.objects.using(using).all().delete()
    assert set(Book.objects.using(using).values_list("publisher", flat=True)) == {None}


@writes(Author)
def bulk_create(using: str) -> None:
    Author.objects.using(using).bulk_create([Author(name=str(n)) for n in range(5)])


@writes(Thing)
def bulk_create_beside_what_is_there(using: str) -> None:
    Thing.objects.using(using).bulk_create(
        [Thing(code="a", number=9), Thing(code="b")], ignore_conflicts=True
    )
    assert sorted(Thing.objects.using(using).values_list("code", "number")) == [("a", 1), ("b", 0)]


@writes(Thing)
def bulk_create_over_what_is_there(using: str) -> None:
    options: dict[str, Any] = {}
    if connections[using].vendor != "mysql":
        options["unique_fields"] = ["code"]
    Thing.objects.using(using).bulk_create(
        [Thing(code="a", number=9)],
        update_conflicts=True,
        update_fields=["number"],
        **options,
    )
    assert Thing.objects.using(using).get(code="a").number == 9


@writes(Book)
def bulk_update(using: str) -> None:
    books = list(Book.objects.using(using).all())
    for book in books:
        book.title += "?"
    Book.objects.using(using).bulk_update(books, ["title"])


@writes(Genre)
def get_or_create(using: str) -> None:
    genres = Genre.objects.using(using)
    assert genres.get_or_create(name="crime")[1] is False
    assert genres.get_or_create(name="maps")[1] is True
    assert genres.get_or_create(name="maps")[1] is False


@writes(Thing)
def update_or_create(using: str) -> None:
    things = Thing.objects.using(using)
    assert things.update_or_create(code="a", defaults={"number": 5})[1] is False
    assert things.update_or_create(code="z", defaults={"number": 6})[1] is True
    assert sorted(things.values_list("code", "number")) == [("a", 5), ("z", 6)]


@writes(BOOK_GENRES)
def many_to_many_remove(using: str) -> None:
    book = Book.objects.using(using).get(title="Book 1")
    book.genres.remove(*book.genres.filter(name="crime"))
    assert [genre.name for genre in book.genres.all()] == ["poetry"]


@writes(BOOK_GENRES)
def many_to_many_set(using: str) -> None:
    book = Book.objects.using(using).get(title="Book 1")
    book.genres.set(book.genres.filter(name="poetry"))
    assert book.genres.count() == 1


@writes(BOOK_GENRES)
def many_to_many_clear(using: str) -> None:
    Genre.objects.using(using).get(name="crime").books.clear()


@writes(BOOK_GENRES, Genre)
def many_to_many_create(using: str) -> None:
    Book.objects.using(using).get(title="Book 1").genres.create(name="maps")


@writes(Book)
def reverse_foreign_key_remove(using: str) -> None:
    Publisher.objects.using(using).get().books.clear()


@writes(Note)
def generic_relation_create(using: str) -> None:
    book = Book.objects.using(using).get(title="Book 1")
    book.notes.create(text="more")
    assert book.notes.count() == 2


@writes(Note)
def generic_relation_clear(using: str) -> None:
    Book.objects.using(using).get(title="Book 1").notes.clear()


@writes(Note, "django_content_type")
def generic_relation_to_a_new_type(using: str) -> None:
    ContentType.objects.clear_cache()
    genre = Genre.objects.using(using).first()
    assert genre is not None
    Note.objects.db_manager(using).create(target=genre, text="first of its type")
    ContentType.objects.clear_cache()


@writes(Place, Shop)
def inheritance_create(using: str) -> None:
    Shop.objects.using(using).create(name="new", stock=1)


@writes(Place, Shop)
def inheritance_save(using: str) -> None:
    shop = Shop.objects.using(using).get()
    shop.name, shop.stock = "moved", 9
    shop.save()


@writes(Place)
def inheritance_update_of_the_parent(using: str) -> None:
    Shop.objects.using(using).update(name="moved")


@writes(Place, Shop)
def inheritance_update_of_both(using: str) -> None:
    Shop.objects.using(using).update(name="moved", stock=8)


@writes(Shop)
def inheritance_update_of_the_child(using: str) -> None:
    Shop.objects.using(using).update(stock=8)


@writes(Place, Shop)
def inheritance_delete(using: str) -> None:
    Shop.objects.using(using).all().delete()


@writes(Chapter)
def composite_key(using: str) -> None:
    book = Book.objects.using(using).get(title="Book 1")
    chapter = Chapter.objects.using(using).create(book=book, number=1, title="One")
    chapter.title = "Uno"
    chapter.save()


@writes(Book)
def lock_then_save(using: str) -> None:
    with transaction.atomic(using):
        book = Book.objects.using(using).select_for_update().get(title="Book 1")
        book.pages += 1
        book.save()


@writes(Author, Book)
def several_in_one_transaction(using: str) -> None:
    with transaction.atomic(using):
        author = Author.objects.using(using).create(name="new")
        Book.objects.using(using).create(title="new", author=author)


@writes(Author)
def asynchronous(using: str) -> None:
    async def write() -> None:
        author = await Author.objects.using(using).acreate(name="new")
        author.name = "newer"
        await author.asave()
        await Author.objects.using(using).filter(name="Bob").aupdate(name="Rob")

    async_to_sync(write)()


if django.VERSION >= (6, 1):
    from tests.library.models import Box, Item, Label, Shelf

    @writes(Shelf, Box, Item, Label)
    def cascades_of_the_database(using: str) -> None:
        shelf = Shelf.objects.using(using).create(name="top")
        item = Item.objects.using(using).create(box=Box.objects.using(using).create(shelf=shelf))
        label = Label.objects.using(using).create(item=item)
        assert Label.objects.using(using).get().item_id == item.pk
        assert elsewhere(Item.objects.using(using).count) == 1
        shelf.delete()
        assert elsewhere(Item.objects.using(using).count) == 0
        assert (Box.objects.using(using).count(), Item.objects.using(using).count()) == (0, 0)
        assert Label.objects.using(using).get(pk=label.pk).item_id is None


@pytest.mark.parametrize("name", WRITES)
@every
def test_every_connection_sees_the_write(database: str, name: str, watch: Watch) -> None:
    write, tables = WRITES[name]
    write(database)
    _check(watch, write, tables)


@pytest.mark.parametrize("name", WRITES)
@on("sqlite_wal", "postgresql")
def test_every_connection_sees_the_write_of_another(database: str, name: str, watch: Watch) -> None:
    write, tables = WRITES[name]
    elsewhere(lambda: write(database))
    _check(watch, write, tables)


def _check(watch: Watch, write: Write, tables: tuple[str, ...]) -> None:
    # What the write itself read again is warm already.
    assert watch.cold() <= set(tables) | ({"library_shop"} if "library_place" in tables else set())
    watch.check_rows()
    assert watch.cold() == set()


@pytest.mark.parametrize("store_url", ["lmdb", "redis", "memcached"], indirect=True)
@pytest.mark.parametrize(
    "name", ["create", "update_over_a_join", "delete_cascades_far", "inheritance_update_of_both"]
)
def test_on_every_store(database: str, store_url: str, name: str) -> None:
    from tests.environment import configure
    from tests.hooks import eventually

    configure(STORE=store_url, KEY_PREFIX=f"w-{name[:20]}", LEASE=0.2)
    write, _ = WRITES[name]
    seed(database)
    watch = Watch.__new__(Watch)
    watch.using = database
    eventually(lambda: watch.wrong() == {} and watch.cold() == set(), "every table is cached")
    elsewhere(lambda: write(database))
    assert watch.wrong() == {}
    assert elsewhere(watch.wrong) == {}
