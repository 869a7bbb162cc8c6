from __future__ import annotations

from asgiref.sync import sync_to_async
from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path

from tests.serving import registers


def read(request: HttpRequest) -> HttpResponse:
    return JsonResponse(registers.read())


def write(request: HttpRequest, register: int, value: int) -> HttpResponse:
    registers.write(register, value)
    return HttpResponse(status=204)


def write_atomically(request: HttpRequest, register: int, value: int) -> HttpResponse:
    with transaction.atomic():
        registers.write(register, value)
    return HttpResponse(status=204)


async def aread(request: HttpRequest) -> HttpResponse:
    return JsonResponse(await registers.aread())


async def awrite(request: HttpRequest, register: int, value: int) -> HttpResponse:
    await registers.awrite(register, value)
    return HttpResponse(status=204)


async def threaded_read(request: HttpRequest) -> HttpResponse:
    return JsonResponse(await sync_to_async(registers.read)())


async def threaded_write(request: HttpRequest, register: int, value: int) -> HttpResponse:
    await sync_to_async(registers.write)(register, value)
    return HttpResponse(status=204)


urlpatterns = [
    path("sync/read/", read),
    path("sync/write/<int:register>/<int:value>/", write),
    path("atomic/read/", read),
    path("atomic/write/<int:register>/<int:value>/", write_atomically),
    path("async/read/", aread),
    path("async/write/<int:register>/<int:value>/", awrite),
    path("threads/read/", threaded_read),
    path("threads/write/<int:register>/<int:value>/", threaded_write),
]
