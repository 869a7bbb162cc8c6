from __future__ import annotations

from django.db import transaction
from django.http import HttpRequest, JsonResponse
from django.urls import path

from tests.library.models import Genre


@transaction.non_atomic_requests
def genres(request: HttpRequest) -> JsonResponse:
    """List the genres; add one first where the query says so."""
    if "add" in request.GET:
        Genre.objects.create(name=request.GET["add"])
    names = Genre.objects.order_by("name").values_list("name", flat=True)
    return JsonResponse([list(names.all()), list(names.all())], safe=False)


urlpatterns = [path("genres/", genres)]
