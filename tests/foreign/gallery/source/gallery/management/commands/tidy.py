"""The scheduled job: removes files that no picture has."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from gallery.models import Picture


class Command(BaseCommand):
    def handle(self, *_: Any, **__: Any) -> None:
        for file in {*Path(settings.MEDIA_ROOT).iterdir()} - {
            Path(each.file.path) for each in Picture.objects.all()
        }:
            file.unlink()
            self.stdout.write(f"removed {file.name}")
