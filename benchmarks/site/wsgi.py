"""The site of one contender, for gunicorn; ``BENCHMARKS_PLACE`` says whose."""

from __future__ import annotations

import json
import os
from pathlib import Path

from django.conf import settings
from django.core.wsgi import get_wsgi_application

from benchmarks.contenders import CONTENDERS
from benchmarks.contenders.base import settings_for
from benchmarks.site.settings import with_site

place = json.loads(os.environ["BENCHMARKS_PLACE"])
contender = CONTENDERS[place["contender"]]
settings.configure(
    **with_site(settings_for(contender, place["database"], place["store"], Path(place["folder"])))
)
application = get_wsgi_application()
contender.install()
