"""The site in Pyramid."""

import html
import time

from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPFound
from pyramid.response import Response
from pyramid.session import SignedCookieSessionFactory
from site_parts import SECRET, SLOW, STATIC, blocks, digest, memory, served


def index(request):
    return Response(f"<h1>{html.escape(request.params['name'])}</h1>")


def form(request):
    return {"name": request.POST["name"], "tags": request.POST.getall("tag")}


def files(request):
    found = request.POST.getall("file")
    return {
        "title": request.POST["title"],
        "files": [{"name": file.filename} | digest(file.file) for file in found],
    }


def raw(request):
    return digest(request.body_file)


def json(request):
    return {"got": request.json_body}


def download(request):
    count = int(request.matchdict["count"])
    return Response(app_iter=blocks(count), content_type="application/octet-stream")


def login(request):
    request.session["name"] = request.POST["name"]
    return HTTPFound("/me")


def me(request):
    return {"name": request.session.get("name")}


def logout(request):
    request.session.invalidate()
    return {}


def slow(request):
    time.sleep(SLOW)
    return {}


def fail(request):
    raise RuntimeError("as asked for")


def used(request):
    return memory()


def make_site():
    with Configurator(session_factory=SignedCookieSessionFactory(SECRET)) as config:
        config.add_static_view("static", STATIC)
        routes = {
            "/": index,
            "/form": form,
            "/files": files,
            "/raw": raw,
            "/json": json,
            "/download/{count}": download,
            "/login": login,
            "/me": me,
            "/logout": logout,
            "/slow": slow,
            "/fail": fail,
            "/memory": used,
        }
        for pattern, view in routes.items():
            config.add_route(pattern, pattern)
            config.add_view(view, route_name=pattern, renderer="json")
        return config.make_wsgi_app()


app = served(make_site())
