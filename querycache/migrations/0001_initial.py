"""The journal, and the row that names the store."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    """Makes the tables of `querycache.models`."""

    initial = True

    operations = [
        migrations.CreateModel(
            name="Journal",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("dependency", models.CharField(max_length=255)),
                ("holder", models.CharField(default="", max_length=32)),
                ("written", models.BigIntegerField()),
            ],
            options={"db_table": "querycache_journal"},
        ),
        migrations.CreateModel(
            name="ServingStore",
            fields=[
                ("id", models.SmallIntegerField(primary_key=True, serialize=False)),
                ("store", models.CharField(max_length=64)),
                ("label", models.CharField(max_length=255)),
                ("seen", models.BigIntegerField()),
                ("since", models.BigIntegerField(default=0)),
            ],
            options={"db_table": "querycache_store"},
        ),
    ]
