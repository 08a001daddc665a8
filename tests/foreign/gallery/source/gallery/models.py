from django.db import models


class Picture(models.Model):
    file = models.FileField()
    # The worker computes it.
    digest = models.CharField(max_length=64, default="")
