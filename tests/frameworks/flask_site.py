"""The site in Flask."""

import time

import flask
from flask import request, session
from site_parts import SECRET, SLOW, STATIC, blocks, digest, memory, served

site = flask.Flask(__name__, static_folder=STATIC, static_url_path="/static")
site.secret_key = SECRET


@site.get("/")
def index():
    return flask.render_template_string("<h1>{{ name }}</h1>", name=request.args.get("name"))


@site.post("/form")
def form():
    return {"name": request.form["name"], "tags": request.form.getlist("tag")}


@site.post("/files")
def files():
    return {
        "title": request.form["title"],
        "files": [{"name": file.filename} | digest(file) for file in request.files.getlist("file")],
    }


@site.put("/raw")
def raw():
    return digest(request.stream)


@site.post("/json")
def json():
    return {"got": request.get_json()}


@site.get("/download/<int:count>")
def download(count):
    return flask.Response(blocks(count), mimetype="application/octet-stream")


@site.post("/login")
def login():
    session["name"] = request.form["name"]
    return flask.redirect("/me")


@site.get("/me")
def me():
    return {"name": session.get("name")}


@site.post("/logout")
def logout():
    session.clear()
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
