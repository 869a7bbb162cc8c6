"""Rows of several classes in one query, each completed from a table of its own."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Count
from django.test import TransactionTestCase
from truth import rows

from django_polymorphic_tests.models import (
    ArtProject,
    FundedProject,
    Project,
    ResearchProject,
    Topic,
)

#: What each class has besides the title, and where.
TABLES = {
    "artproject": "artist",
    "researchproject": "supervisor",
    "fundedproject": "money",
}


class Reads(TransactionTestCase):
    def setUp(self) -> None:
        self.topic = Topic.objects.create(name="forests")
        Project.objects.create(title="plain", topic=self.topic)
        self.art = ArtProject.objects.create(title="paint", artist="Ann", topic=self.topic)
        ResearchProject.objects.create(title="count", supervisor="Bob", topic=self.topic)
        self.funded = FundedProject.objects.create(
            title="grow", supervisor="Cid", money=5, topic=self.topic
        )

    def check(self) -> None:
        prefix = "django_polymorphic_tests_"
        values = {
            name: dict(
                rows(f"SELECT * FROM (SELECT {key(name)}, {column} FROM {prefix}{name}) AS t")
            )
            for name, column in TABLES.items()
        }
        titles = dict(rows(f"SELECT id, title FROM {prefix}project"))
        for _ in range(3):
            found = list(Project.objects.order_by("pk"))
            self.assertEqual({one.pk: one.title for one in found}, titles)
            for one in found:
                for name, column in TABLES.items():
                    if one.pk in values[name]:
                        self.assertEqual(getattr(one, column), values[name][one.pk])
            kinds = {type(one)._meta.model_name for one in found}
            self.assertLessEqual({n for n, v in values.items() if v} - {"researchproject"}, kinds)
            self.assertEqual(
                {one.pk for one in Project.objects.instance_of(ResearchProject)},
                set(values["researchproject"]),
            )
            self.assertEqual(
                {one.pk for one in Project.objects.not_instance_of(ArtProject)},
                set(titles) - set(values["artproject"]),
            )
            artists = set(values["artproject"].values())
            for artist in ("Ann", "Dee"):
                query = Project.objects.filter(ArtProject___artist=artist)
                self.assertEqual(query.exists(), artist in artists)
            counted = Topic.objects.annotate(n=Count("projects")).get(pk=self.topic.pk).n
            self.assertEqual(counted, len(titles))
            self.assertEqual(len(self.topic.projects.all()), len(titles))
            fetched = Topic.objects.prefetch_related("projects").get(pk=self.topic.pk)
            self.assertEqual({type(one) for one in fetched.projects.all()}, set(map(type, found)))

    def test_writes_of_every_kind(self) -> None:
        self.check()
        self.art.artist = "Dee"
        self.art.save()
        self.check()
        FundedProject.objects.update(money=7)
        self.check()
        FundedProject.objects.update(title="grown")
        self.check()
        ResearchProject.objects.filter(title="count").update(supervisor="Eve")
        self.check()
        ArtProject.objects.create(title="draw", artist="Flo", topic=self.topic)
        self.check()
        self.funded.delete()
        self.check()
        Project.objects.all().delete()
        self.check()

    def test_in_a_transaction(self) -> None:
        self.check()
        with transaction.atomic():
            ArtProject.objects.create(title="draw", artist="Flo", topic=self.topic)
            self.check()
            with self.assertRaises(LookupError), transaction.atomic():
                FundedProject.objects.update(money=100)
                self.check()
                raise LookupError
            self.check()
        self.check()

    def test_the_admin(self) -> None:
        User.objects.create_superuser("admin", password="secret")
        self.client.login(username="admin", password="secret")
        page = "/admin/django_polymorphic_tests/project/"
        for _ in range(2):
            self.assertContains(self.client.get(page), "paint")
        form = {"title": "repaint", "topic": self.topic.pk, "artist": "Ann"}
        self.assertContains(self.client.get(f"{page}{self.art.pk}/change/"), "Ann")
        done = self.client.post(f"{page}{self.art.pk}/change/", form)
        self.assertEqual(done.status_code, 302)
        for _ in range(2):
            self.assertContains(self.client.get(page), "repaint")
        self.check()
        done = self.client.post(f"{page}{self.funded.pk}/delete/", {"post": "yes"}, follow=True)
        # What was deleted is in the message, once.
        self.assertContains(done, "grow")
        for _ in range(2):
            self.assertNotContains(self.client.get(page), "grow")
        self.check()


def key(name: str) -> str:
    return "researchproject_ptr_id" if name == "fundedproject" else "project_ptr_id"
