from __future__ import annotations

from django.contrib import admin
from polymorphic.admin import PolymorphicChildModelAdmin, PolymorphicParentModelAdmin

from django_polymorphic_tests.models import ArtProject, FundedProject, Project, ResearchProject


class ChildAdmin(PolymorphicChildModelAdmin):
    base_model = Project


@admin.register(Project)
class ProjectAdmin(PolymorphicParentModelAdmin):
    base_model = Project
    child_models = [ArtProject, ResearchProject, FundedProject]
    list_display = ["title", "polymorphic_ctype"]


for model in (ArtProject, ResearchProject, FundedProject):
    admin.site.register(model, ChildAdmin)
