"""The site in Bottle."""

import time

import bottle
from bottle import request, response
from site_parts import SECRET, SLOW, STATIC, blocks, digest, memory, served

site = bottle.Bottle()


@site.get("/")
def index():
    return bottle.template("<h1>{{name}}</h1>", name=request.query.name)


@site.post("/form")
def form():
    return {"name": request.forms.name, "tags": request.forms.getall("tag")}


@site.post("/files")
def files():
    found = request.files.getall("file")
    return {
        "title": request.forms.title,
        "files": [{"name": file.raw_filename} | digest(file.file) for file in found],
    }


@site.put("/raw")
def raw():
    # `request.body` is a copy of it all.
    return digest(request.environ["wsgi.input"])


@site.post("/json")
def json():
    return {"got": request.json}


@site.get("/download/<count:int>")
def download(count):
    response.content_type = "application/octet-stream"
    return blocks(count)


@site.get("/static/<name>")
def static(name):
    return bottle.static_file(name, root=STATIC)


@site.post("/login")
def login():
    response.set_cookie("name", request.forms.name, secret=SECRET)
    bottle.redirect("/me")


@site.get("/me")
def me():
    return {"name": request.get_cookie("name", secret=SECRET)}


@site.post("/logout")
def logout():
    response.delete_cookie("name")
    return {}


@site.get("/slow")
def slow():
    time.sleep(SLOW)
    return {}


@site.get("/fail")
def fail():
    raise RuntimeError("as asked for")


@site.get("/memory")
def used():
    return memory()


app = served(site)
