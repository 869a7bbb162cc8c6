from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    """Schemas of tenants are made by migrations alone."""

    initial = True
    operations = [
        migrations.CreateModel(
            "Note",
            [
                ("id", models.BigAutoField(primary_key=True)),
                ("text", models.CharField(max_length=50)),
            ],
        )
    ]
