from __future__ import annotations

from django.http import HttpRequest, JsonResponse
from django.urls import path

from tenants_apart_tests.inside.models import Note


def notes(request: HttpRequest) -> JsonResponse:
    if request.GET.get("add"):
        Note.objects.create(text=request.GET["add"])
    found = [list(Note.objects.order_by("pk").values_list("text", flat=True)) for _ in range(2)]
    return JsonResponse(found, safe=False)


urlpatterns = [path("notes/", notes)]
