"""A session of the administrator, the same in every database."""

from __future__ import annotations

from datetime import UTC, datetime

SESSION = "benchmarkbenchmarkbenchmark"


def log_in() -> None:
    """Make the administrator and the session; needs the tables of auth and of sessions."""
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
    from django.contrib.auth.models import User
    from django.contrib.sessions.backends.db import SessionStore
    from django.contrib.sessions.models import Session

    user = User.objects.create_superuser("admin", "", "admin")
    content = {
        SESSION_KEY: str(user.pk),
        BACKEND_SESSION_KEY: "django.contrib.auth.backends.ModelBackend",
        HASH_SESSION_KEY: user.get_session_auth_hash(),
    }
    Session.objects.create(
        session_key=SESSION,
        session_data=SessionStore().encode(content),
        expire_date=datetime(2100, 1, 1, tzinfo=UTC),
    )
