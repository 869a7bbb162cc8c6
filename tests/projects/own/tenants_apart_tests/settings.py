from __future__ import annotations

import os

from base_settings import *

DATABASES = {
    "default": {
        "ENGINE": "django_tenants.postgresql_backend",
        "NAME": os.environ["DATABASE_DB"],
        "USER": os.environ["DATABASE_USER"],
        "HOST": os.environ["DATABASE_HOST"],
        "PORT": os.environ["DATABASE_PORT"],
    }
}
DATABASE_ROUTERS = ["django_tenants.routers.TenantSyncRouter"]
ROOT_URLCONF = "tenants_apart_tests.urls"
ALLOWED_HOSTS = [".test.com"]
MIDDLEWARE = ["django_tenants.middleware.main.TenantMainMiddleware"]
TENANT_MODEL = "shared.Client"
TENANT_DOMAIN_MODEL = "shared.Domain"
SHARED_APPS = ["django_tenants", "django.contrib.contenttypes", "tenants_apart_tests.shared"]
TENANT_APPS = ["tenants_apart_tests.inside"]
INSTALLED_APPS = SHARED_APPS + TENANT_APPS
