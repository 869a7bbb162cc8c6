from __future__ import annotations

from typing import Any

from django.db import migrations, models


def more(apps: Any, editor: Any) -> None:
    trips = apps.get_model("travel", "Trip").objects.using(editor.connection.alias)
    assert trips.count() == 1
    trips.create(town="Oslo")
    assert trips.count() == 2


class Migration(migrations.Migration):
    dependencies = (("travel", "0001_first"),)
    operations = (
        migrations.RunPython(more, migrations.RunPython.noop),
        migrations.AddField("Trip", "days", models.IntegerField(default=3)),
        migrations.RenameField("Trip", "town", "city"),
    )
