"""The site in Django."""

import json as json_module
import time

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse, HttpResponseRedirect, JsonResponse, StreamingHttpResponse
from django.template import engines
from django.urls import path, re_path
from django.views.static import serve
from site_parts import SECRET, SLOW, STATIC, blocks, digest, memory, served

settings.configure(
    ALLOWED_HOSTS=["*"],
    INSTALLED_APPS=["django.contrib.sessions"],
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
    ],
    ROOT_URLCONF=__name__,
    SECRET_KEY=SECRET,
    SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
    USE_TZ=True,
)


def index(request):
    template = engines["django"].from_string("<h1>{{ name }}</h1>")
    return HttpResponse(template.render({"name": request.GET.get("name")}))


def form(request):
    return JsonResponse({"name": request.POST["name"], "tags": request.POST.getlist("tag")})


def files(request):
    found = [{"name": file.name} | digest(file) for file in request.FILES.getlist("file")]
    return JsonResponse({"title": request.POST["title"], "files": found})


def raw(request):
    return JsonResponse(digest(request))


def json(request):
    return JsonResponse({"got": json_module.loads(request.body)})


def download(request, count):
    return StreamingHttpResponse(blocks(count), content_type="application/octet-stream")


def login(request):
    request.session["name"] = request.POST["name"]
    return HttpResponseRedirect("/me")


def me(request):
    return JsonResponse({"name": request.session.get("name")})


def logout(request):
    request.session.flush()
    return JsonResponse({})


def slow(request):
    time.sleep(SLOW)
    return JsonResponse({})


def fail(request):
    raise RuntimeError("as asked for")


def used(request):
    return JsonResponse(memory())


urlpatterns = [
    path("", index),
    path("form", form),
    path("files", files),
    path("raw", raw),
    path("json", json),
    path("download/<int:count>", download),
    path("login", login),
    path("me", me),
    path("logout", logout),
    path("slow", slow),
    path("fail", fail),
    path("memory", used),
    re_path(r"^static/(?P<path>.*)$", serve, {"document_root": STATIC}),
]
django.setup()
app = served(get_wsgi_application())
