from __future__ import annotations

from django.contrib import admin
from mptt.admin import DraggableMPTTAdmin

from django_mptt_tests.models import Genre

admin.site.register(Genre, DraggableMPTTAdmin)
