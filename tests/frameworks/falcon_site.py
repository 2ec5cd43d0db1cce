"""The site in Falcon."""

import html
import time
import uuid

import falcon
from site_parts import SLOW, STATIC, blocks, digest, memory, served

sessions = {}


class Resource:
    """A route with the methods that it is given."""

    def __init__(self, **methods):
        for method, respond in methods.items():
            setattr(self, f"on_{method}", respond)


def index(req, resp):
    resp.content_type = falcon.MEDIA_HTML
    resp.text = f"<h1>{html.escape(req.get_param('name'))}</h1>"


def form(req, resp):
    fields = req.get_media()
    tags = fields["tag"]
    resp.media = {"name": fields["name"], "tags": tags if isinstance(tags, list) else [tags]}


def files(req, resp):
    answer = {"files": []}
    for part in req.get_media():
        if part.filename is None:
            answer[part.name] = part.get_text()
        else:
            answer["files"].append({"name": part.filename} | digest(part.stream))
    resp.media = answer


def raw(req, resp):
    resp.media = digest(req.bounded_stream)


def json(req, resp):
    resp.media = {"got": req.get_media()}


def download(req, resp, count):
    resp.content_type = "application/octet-stream"
    resp.stream = blocks(count)


def login(req, resp):
    number = uuid.uuid4().hex
    sessions[number] = req.get_media()["name"]
    resp.set_cookie("session", number, secure=False)
    raise falcon.HTTPFound("/me")


def me(req, resp):
    resp.media = {"name": sessions.get(req.cookies.get("session"))}


def logout(req, resp):
    sessions.pop(req.cookies.get("session"), None)
    resp.unset_cookie("session")
    resp.media = {}


def slow(req, resp):
    time.sleep(SLOW)
    resp.media = {}


def fail(req, resp):
    raise RuntimeError("as asked for")


def used(req, resp):
    resp.media = memory()


site = falcon.App()
site.add_static_route("/static", STATIC)
for path, resource in {
    "/": Resource(get=index),
    "/form": Resource(post=form),
    "/files": Resource(post=files),
    "/raw": Resource(put=raw),
    "/json": Resource(post=json),
    "/download/{count:int}": Resource(get=download),
    "/login": Resource(post=login),
    "/me": Resource(get=me),
    "/logout": Resource(post=logout),
    "/slow": Resource(get=slow),
    "/fail": Resource(get=fail),
    "/memory": Resource(get=used),
}.items():
    site.add_route(path, resource)
app = served(site)
