"""Haystack's simple engine, with the filters that Oscar sets as conditions of the ORM.

The engine that haystack has searches for the filters' values as words, and finds nothing in any
category.
"""

from __future__ import annotations

from typing import Any

from django.db.models import Q
from haystack.backends import SearchNode
from haystack.backends.simple_backend import SimpleEngine, SimpleSearchBackend, SimpleSearchQuery
from haystack.models import SearchResult
from oscar.core.loading import get_model


class Backend(SimpleSearchBackend):
    def update(self, *args: Any, **kwargs: Any) -> None:
        """There is no index to keep: each search asks the tables."""

    remove = update

    def search(self, query_string: Q, **kwargs: Any) -> dict[str, Any]:
        products = get_model("catalogue", "Product").objects.filter(query_string)
        products = products.base_queryset().distinct().order_by("pk")
        results = []
        for product in products[kwargs.get("start_offset") or 0 : kwargs.get("end_offset")]:
            results.append(SearchResult("catalogue", "product", product.pk, 0))
            results[-1]._model, results[-1]._object = type(product), product
        return {"results": results, "hits": products.count()}


class Query(SimpleSearchQuery):
    def build_query(self) -> Q:
        return self._where(self.query_filter)

    def _where(self, node: SearchNode) -> Q:
        found = Q()
        for child in node.children:
            one = self._where(child) if isinstance(child, SearchNode) else self._condition(*child)
            found = found | one if node.connector == SearchNode.OR else found & one
        return ~found if node.negated else found

    @staticmethod
    def _condition(name: str, value: Any) -> Q:
        match name.partition("__")[0]:
            case "content":
                words = getattr(value, "query_string", value)
                return Q(title__icontains=words) | Q(description__icontains=words)
            case "category":
                return Q(categories__in=value)
            case "is_public":
                return Q(is_public=value == "true")
            case "structure":
                return Q(structure__in=value)
        raise ValueError(f"nothing of Oscar's searches by {name}")


class Engine(SimpleEngine):
    backend = Backend
    query = Query
