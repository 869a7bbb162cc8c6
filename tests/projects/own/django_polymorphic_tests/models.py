from __future__ import annotations

from django.db import models
from polymorphic.models import PolymorphicModel


class Topic(models.Model):
    name = models.CharField(max_length=50)

    def __str__(self) -> str:
        return self.name


class Project(PolymorphicModel):
    title = models.CharField(max_length=50)
    topic = models.ForeignKey(Topic, models.CASCADE, related_name="projects")

    def __str__(self) -> str:
        return self.title


class ArtProject(Project):
    artist = models.CharField(max_length=50)


class ResearchProject(Project):
    supervisor = models.CharField(max_length=50)


class FundedProject(ResearchProject):
    money = models.IntegerField(default=0)
