"""Settings of the gallery, whose own values are in the environment."""

import os

SECRET_KEY = os.environ["DJANGO_SECRET_KEY"]
ALLOWED_HOSTS = ["localhost", "127.0.0.1"]
INSTALLED_APPS = ["django.contrib.staticfiles", "gallery"]
MIDDLEWARE = ["whitenoise.middleware.WhiteNoiseMiddleware"]
ROOT_URLCONF = "gallery.urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
# libpq reads PGHOST, PGDATABASE, PGUSER and PGPASSWORD itself; Django asks for the name.
DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql", "NAME": os.environ["PGDATABASE"]}}
STATIC_URL, STATIC_ROOT = "/static/", "/srv/static"
MEDIA_ROOT = "/srv/uploads"
