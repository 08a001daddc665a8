"""Pictures are uploaded, listed and shown."""

from django.http import FileResponse, HttpRequest, JsonResponse
from django.shortcuts import get_object_or_404
from django.urls import path

from gallery.models import Picture


def pictures(request: HttpRequest) -> JsonResponse:
    if request.method == "POST":
        picture = Picture.objects.create(file=request.FILES["file"])
        return JsonResponse({"id": picture.id}, status=201)
    return JsonResponse({"pictures": list(Picture.objects.order_by("id").values("id", "digest"))})


def show(_: HttpRequest, number: int) -> FileResponse:
    return FileResponse(get_object_or_404(Picture, id=number).file)


urlpatterns = [path("pictures", pictures), path("pictures/<int:number>", show)]
