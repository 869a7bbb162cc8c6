"""One fresh process of a contender: prints the ms of processor time until Django is set up."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path


def main() -> None:
    """Set Django up as a contender, and tell what that took."""
    # What this script alone needs is imported before the clock starts, for everybody alike.
    from benchmarks.contenders import CONTENDERS
    from benchmarks.contenders.base import settings_for

    place = json.loads(sys.argv[1])
    contender = CONTENDERS[place["contender"]]
    settings = settings_for(contender, place["database"], place["store"], Path(place["folder"]))
    start = time.process_time()
    import django
    from django.conf import settings as django_settings

    django_settings.configure(**settings)
    django.setup()
    contender.install()
    print(1000 * (time.process_time() - start))


if __name__ == "__main__":
    main()
