"""Two tenants with the same tables and the same keys: what one reads never comes from the other."""

from __future__ import annotations

from threading import Barrier, Thread

from django.db import connection, transaction
from django.test import Client as Browser
from django.test import TransactionTestCase
from django_tenants.utils import schema_context, tenant_context
from truth import rows

from tenants_apart_tests.inside.models import Note
from tenants_apart_tests.shared.models import Client, Domain


class Apart(TransactionTestCase):
    def setUp(self) -> None:
        self.tenants = []
        for name in ("one", "two"):
            tenant = Client(schema_name=name, name=name)
            tenant.save(verbosity=0)
            Domain.objects.create(domain=f"{name}.test.com", tenant=tenant, is_primary=True)
            with tenant_context(tenant):
                Note.objects.create(text=f"of {name}")
            self.tenants.append(tenant)

    def tearDown(self) -> None:
        connection.set_schema_to_public()
        for tenant in self.tenants:
            tenant.delete(force_drop=True)

    def check(self, **expected: list[str]) -> None:
        for _ in range(3):
            for name, texts in expected.items():
                with schema_context(name):
                    query = Note.objects.order_by("pk")
                    self.assertEqual([note.text for note in query], texts)
                    self.assertEqual(query.count(), len(texts))
                    self.assertEqual(Note.objects.get(pk=1).text, texts[0])
                    found = rows("SELECT text FROM inside_note ORDER BY id")
                    self.assertEqual([text for (text,) in found], texts)

    def test_reads_and_writes_in_turn(self) -> None:
        self.check(one=["of one"], two=["of two"])
        with schema_context("one"):
            Note.objects.create(text="new")
        self.check(one=["of one", "new"], two=["of two"])
        with schema_context("two"):
            Note.objects.update(text="changed")
        self.check(one=["of one", "new"], two=["changed"])
        with schema_context("two"), transaction.atomic():
            Note.objects.create(text="more")
            self.assertEqual(Note.objects.count(), 2)
            with schema_context("one"):
                self.assertEqual(Note.objects.last().text, "new")
            self.assertEqual(Note.objects.last().text, "more")
        self.check(one=["of one", "new"], two=["changed", "more"])

    def test_a_schema_that_is_made_anew(self) -> None:
        self.check(one=["of one"], two=["of two"])
        self.tenants[1].delete(force_drop=True)
        tenant = self.tenants[1] = Client(schema_name="two", name="two")
        tenant.save(verbosity=0)
        with schema_context("two"):
            self.assertEqual(Note.objects.count(), 0)
            Note.objects.create(text="again")
        self.check(one=["of one"], two=["again"])

    def test_over_http(self) -> None:
        of = {name: Browser(headers={"host": f"{name}.test.com"}) for name in ("one", "two")}
        for _ in range(2):
            for name, browser in of.items():
                self.assertEqual(browser.get("/notes/").json(), [[f"of {name}"]] * 2)
        self.assertEqual(of["one"].get("/notes/?add=x").json(), [["of one", "x"]] * 2)
        self.assertEqual(of["two"].get("/notes/").json(), [["of two"]] * 2)
        self.assertEqual(of["one"].get("/notes/").json(), [["of one", "x"]] * 2)

    def test_threads(self) -> None:
        """Each thread serves one tenant after the other, each on a connection of its own."""
        barrier = Barrier(4)
        wrong: list[object] = []

        def serve(names: tuple[str, str]) -> None:
            barrier.wait()
            try:
                for _ in range(20):
                    for name in names:
                        with schema_context(name):
                            texts = [note.text for note in Note.objects.order_by("pk")]
                        if not all(text.endswith(name) for text in texts) or not texts:
                            wrong.append((name, texts))
                    with schema_context(names[0]):
                        Note.objects.create(text=f"more of {names[0]}")
            finally:
                connection.close()

        turns = (("one", "two"), ("two", "one")) * 2
        threads = [Thread(target=serve, args=(names,)) for names in turns]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])
        for name in ("one", "two"):
            with schema_context(name):
                self.assertEqual(Note.objects.count(), 41)
