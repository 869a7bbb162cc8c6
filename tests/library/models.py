from __future__ import annotations

import uuid

import django
from django.contrib.contenttypes.fields import GenericForeignKey, GenericRelation
from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.db.models import F


class Author(models.Model):
    name = models.CharField(max_length=100)
    born = models.DateField(null=True)
    mentor = models.ForeignKey("self", models.SET_NULL, null=True, related_name="students")

    def __str__(self) -> str:
        return self.name


class Publisher(models.Model):
    name = models.CharField(max_length=100, unique=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Genre(models.Model):
    name = models.CharField(max_length=50)

    def __str__(self) -> str:
        return self.name


class Book(models.Model):
    title = models.CharField(max_length=200)
    author = models.ForeignKey(Author, models.CASCADE, related_name="books")
    publisher = models.ForeignKey(Publisher, models.SET_NULL, null=True, related_name="books")
    genres = models.ManyToManyField(Genre, related_name="books")
    price = models.DecimalField(max_digits=8, decimal_places=2, default=0)
    pages = models.IntegerField(default=0)
    published = models.DateTimeField(null=True)
    isbn = models.UUIDField(default=uuid.uuid4)
    extra = models.JSONField(default=dict)
    in_print = models.BooleanField(default=True)
    double = models.GeneratedField(
        expression=F("pages") * 2, output_field=models.IntegerField(), db_persist=True
    )
    notes = GenericRelation("library.Note")

    def __str__(self) -> str:
        return self.title


class Review(models.Model):
    book = models.ForeignKey(Book, models.CASCADE, related_name="reviews")
    stars = models.IntegerField()
    text = models.TextField(default="")
    length = models.DurationField(null=True)
    at = models.TimeField(null=True)

    def __str__(self) -> str:
        return f"{self.stars}"


class Note(models.Model):
    """Belongs to anything, through a generic foreign key."""

    content_type = models.ForeignKey(ContentType, models.CASCADE)
    object_id = models.PositiveIntegerField()
    target = GenericForeignKey("content_type", "object_id")
    text = models.CharField(max_length=100)

    def __str__(self) -> str:
        return self.text


class Place(models.Model):
    name = models.CharField(max_length=50)

    def __str__(self) -> str:
        return self.name


class Shop(Place):
    """Multi-table inheritance: its rows live in two tables."""

    stock = models.IntegerField(default=0)


class Chapter(models.Model):
    """A composite primary key."""

    pk = models.CompositePrimaryKey("book_id", "number")
    book = models.ForeignKey(Book, models.CASCADE, related_name="chapters")
    number = models.IntegerField()
    title = models.CharField(max_length=100)

    def __str__(self) -> str:
        return self.title


class Thing(models.Model):
    """Binary and wide values, and a unique key to conflict on."""

    code = models.CharField(max_length=20, unique=True)
    data = models.BinaryField(default=b"")
    number = models.BigIntegerField(default=0)
    ratio = models.FloatField(default=0.0)
    address = models.GenericIPAddressField(null=True)

    def __str__(self) -> str:
        return self.code


if django.VERSION >= (6, 1):

    class Shelf(models.Model):
        name = models.CharField(max_length=20)

        def __str__(self) -> str:
            return self.name

    class Box(models.Model):
        """Deleted by the database with its shelf."""

        shelf = models.ForeignKey(Shelf, models.DB_CASCADE)

    class Item(models.Model):
        """Deleted by the database with its box; loses its label."""

        box = models.ForeignKey(Box, models.DB_CASCADE)

    class Label(models.Model):
        item = models.ForeignKey(Item, models.DB_SET_NULL, null=True)
