"""Trees that are moved about by F() updates of many rows, and their admin over HTTP."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.db import transaction
from django.test import TransactionTestCase
from mptt.exceptions import InvalidMove
from truth import rows

from django_mptt_tests.models import Genre


class Trees(TransactionTestCase):
    def setUp(self) -> None:
        self.root = Genre.objects.create(name="music")
        self.rock = Genre.objects.create(name="rock", parent=self.root)
        self.metal = Genre.objects.create(name="metal", parent=self.rock)
        self.jazz = Genre.objects.create(name="jazz", parent=self.root)
        self.art = Genre.objects.create(name="art")

    def check(self) -> None:
        parents = dict(rows("SELECT id, parent_id FROM django_mptt_tests_genre"))
        for _ in range(2):
            for genre in Genre.objects.all():
                above = []
                parent = parents[genre.pk]
                while parent is not None:
                    above.insert(0, parent)
                    parent = parents[parent]
                found = [one.pk for one in genre.get_ancestors()]
                self.assertEqual(found, above, genre)
                children = {pk for pk, parent in parents.items() if parent == genre.pk}
                self.assertEqual({one.pk for one in genre.get_children()}, children)
                below = {
                    pk for pk in parents if pk != genre.pk and self._is_below(parents, pk, genre.pk)
                }
                self.assertEqual({one.pk for one in genre.get_descendants()}, below)
                self.assertEqual(genre.get_descendant_count(), len(below))
            roots = {pk for pk, parent in parents.items() if parent is None}
            self.assertEqual({one.pk for one in Genre.objects.root_nodes()}, roots)

    @staticmethod
    def _is_below(parents: dict[int, int | None], pk: int | None, top: int) -> bool:
        while pk is not None and pk != top:
            pk = parents[pk]
        return pk == top

    def test_moves(self) -> None:
        self.check()
        Genre.objects.move_node(self.jazz, self.rock)
        self.check()
        self.metal.refresh_from_db()
        self.metal.move_to(None)
        self.check()
        self.art.refresh_from_db()
        self.art.parent = Genre.objects.get(name="metal")
        self.art.save()
        self.check()
        Genre.objects.get(name="rock").delete()
        self.check()
        Genre.objects.rebuild()
        self.check()

    def test_in_transactions(self) -> None:
        self.check()
        with transaction.atomic():
            Genre.objects.get(name="jazz").move_to(Genre.objects.get(name="art"))
            self.check()
            with self.assertRaises(InvalidMove), transaction.atomic():
                Genre.objects.get(name="music").move_to(Genre.objects.get(name="metal"))
            self.check()
        self.check()
        with Genre.objects.delay_mptt_updates():
            Genre.objects.create(name="late", parent=Genre.objects.get(name="metal"))
        self.check()

    def test_bulk(self) -> None:
        self.check()
        with Genre.objects.disable_mptt_updates():
            Genre.objects.create(
                name="unplaced", parent=self.root, lft=0, rght=0, level=0, tree_id=0
            )
        Genre.objects.rebuild()
        self.check()

    def test_the_admin(self) -> None:
        User.objects.create_superuser("admin", password="secret")
        self.client.login(username="admin", password="secret")
        page = "/admin/django_mptt_tests/genre/"
        for _ in range(2):
            self.assertContains(self.client.get(page), "metal")
        done = self.client.post(f"{page}add/", {"name": "soul", "parent": self.rock.pk})
        self.assertEqual(done.status_code, 302)
        for _ in range(2):
            self.assertContains(self.client.get(page), "soul")
        done = self.client.post(
            page,
            {
                "cmd": "move_node",
                "position": "last-child",
                "cut_item": Genre.objects.get(name="soul").pk,
                "pasted_on": self.jazz.pk,
            },
            headers={"X-Requested-With": "XMLHttpRequest"},
        )
        self.assertEqual(done.status_code, 200)
        self.check()
        self.assertEqual(Genre.objects.get(name="soul").parent, self.jazz)
        self.client.post(f"{page}{self.rock.pk}/delete/", {"post": "yes"})
        for _ in range(2):
            self.assertNotContains(self.client.get(page), "metal")
        self.check()
