"""Django's test runner, which also writes down what became of every test."""

from __future__ import annotations

import json
import os
import traceback
import unittest
from pathlib import Path
from typing import Any

from django.test.runner import DiscoverRunner


class RecordingResult(unittest.TextTestResult):
    """Keeps the outcome of each test, of the parallel ones too, which are replayed here."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.outcomes: dict[str, dict[str, str]] = {}

    def startTest(self, test: unittest.TestCase) -> None:
        super().startTest(test)
        self._note(test, "passed")

    def addError(self, test: unittest.TestCase, err: Any) -> None:
        super().addError(test, err)
        self._note(test, "error", err)

    def addFailure(self, test: unittest.TestCase, err: Any) -> None:
        super().addFailure(test, err)
        self._note(test, "failed", err)

    def addSubTest(self, test: unittest.TestCase, subtest: unittest.TestCase, err: Any) -> None:
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._note(test, "failed", err)

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        super().addSkip(test, reason)
        self._note(test, "skipped")

    def addExpectedFailure(self, test: unittest.TestCase, err: Any) -> None:
        super().addExpectedFailure(test, err)
        self._note(test, "failed as expected")

    def addUnexpectedSuccess(self, test: unittest.TestCase) -> None:
        super().addUnexpectedSuccess(test)
        self._note(test, "passed unexpectedly")

    def _note(self, test: unittest.TestCase, outcome: str, err: Any = None) -> None:
        noted = self.outcomes.setdefault(test.id(), {"outcome": outcome, "why": ""})
        noted["outcome"] = outcome
        if err is not None:
            noted["why"] += "".join(traceback.format_exception(*err))


class RecordingRunner(DiscoverRunner):
    """Writes the outcomes of a run into the folder that ``DJANGO_SUITE_RESULTS`` names."""

    def get_resultclass(self) -> type[unittest.TextTestResult]:
        return RecordingResult

    def suite_result(self, suite: Any, result: Any, **kwargs: Any) -> Any:
        self.write(result.outcomes)
        return super().suite_result(suite, result, **kwargs)

    @staticmethod
    def write(outcomes: dict[str, dict[str, str]]) -> None:
        path = Path(os.environ["DJANGO_SUITE_RESULTS"]) / "outcomes.json"
        # A program may run more than one suite.
        earlier = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps(earlier | outcomes, indent=1, sort_keys=True))
