from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True
    operations = (
        migrations.CreateModel(
            "Trip", [("id", models.AutoField(primary_key=True)), ("town", models.TextField())]
        ),
        migrations.RunSQL(
            "INSERT INTO travel_trip (town) VALUES ('Rome')", "DELETE FROM travel_trip"
        ),
    )
