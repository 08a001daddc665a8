"""The worker: computes the digest of each new picture."""

import hashlib
import time
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand

from gallery.models import Picture

ALIVE = Path("/tmp/alive")


class Command(BaseCommand):
    def handle(self, *_: Any, **__: Any) -> None:
        while True:
            for picture in Picture.objects.filter(digest=""):
                picture.digest = hashlib.sha256(picture.file.read()).hexdigest()
                picture.save(update_fields=["digest"])
            ALIVE.touch()
            time.sleep(0.5)
