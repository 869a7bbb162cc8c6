"""The two pages."""

from __future__ import annotations

from django.contrib import admin
from django.urls import path

from benchmarks.site.views import catalogue

urlpatterns = [
    path("admin/", admin.site.urls),
    path("catalogue/<int:category>/", catalogue),
]
