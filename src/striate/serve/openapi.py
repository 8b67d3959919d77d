"""What the server takes and gives, for machines: OpenAPI 3.1."""

from __future__ import annotations

from typing import Any

from striate import __version__
from striate.serve.settings import Settings

Json = dict[str, Any]

REFUSALS = {
    400: "The request cannot be read.",
    401: "The token is missing or wrong.",
    403: "Asked by another page, or under another name.",
    408: "The body did not arrive in time.",
    413: "The body, the number of images or an image's size is more than is taken.",
    415: "The body has another form.",
    422: "No image of the request can be decoded.",
    429: "More is asked than can be answered in time; Retry-After says when to ask again.",
    431: "The head of the request is too large.",
    503: "The network is being loaded, or the server is about to end.",
    504: "No answer in time.",
}
NUMBER = {"type": "integer", "minimum": 1, "maximum": 999999, "default": 5}


def openapi(settings: Settings) -> Json:
    """The description of a server with these settings."""
    found: Json = {
        "openapi": "3.1.0",
        "info": {"title": "striate serve", "version": __version__},
        "paths": {
            "/predict": {"post": _predict(settings)},
            "/health": {"get": _get("The process is alive.", _json({"health": _text()}))},
            "/ready": {
                "get": _get(
                    "The network is loaded.",
                    _json({"ready": {"type": "boolean"}, "model": _text()}),
                    503,
                )
            },
            "/metrics": {"get": _get("Numbers for Prometheus.", {"text/plain": {}})},
            "/openapi.json": {"get": _get("This description.", _json({}))},
            "/": {"get": _get("A page to drop an image on.", {"text/html": {}})},
        },
        "components": {"schemas": _schemas()},
    }
    if settings.token is not None:
        found["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        found["security"] = [{"token": []}]
        found["paths"]["/health"]["get"]["security"] = []
    return found


def _predict(settings: Settings) -> Json:
    limits = settings.limits
    image = {"schema": {"type": "string", "format": "binary", "maxLength": limits.body}}
    form = {
        "type": "object",
        "properties": {"image": {"type": "string", "format": "binary"}, "top": NUMBER},
        "required": ["image"],
    }
    return {
        "summary": "The likeliest classes of one image or several",
        "operationId": "predict",
        "parameters": [
            {
                "name": "top",
                "in": "query",
                "description": "How many classes to tell; at most all there are.",
                "schema": NUMBER,
            }
        ],
        "requestBody": {
            "required": True,
            "content": {
                "image/*": image,
                "application/octet-stream": image,
                "multipart/form-data": {"schema": form},
                "application/json": {"schema": _asked(limits.images)},
            },
        },
        "responses": {
            "200": _response("The classes.", _ref("Predictions")),
            **_refusals(*REFUSALS),
        },
    }


def _asked(most: int) -> Json:
    base64 = {"type": "string", "contentEncoding": "base64", "minLength": 1}
    named = {
        "type": "object",
        "properties": {"name": {"type": ["string", "null"]}, "image": base64},
        "required": ["image"],
        "additionalProperties": False,
    }
    each = {"anyOf": [base64, named]}
    several = {"type": "array", "items": each, "minItems": 1, "maxItems": most}
    return {
        "type": "object",
        "properties": {"image": each, "images": several, "top": NUMBER},
        "oneOf": [{"required": ["image"]}, {"required": ["images"]}],
        "additionalProperties": False,
    }


def _schemas() -> Json:
    guess = {
        "class": _text(),
        "index": {"type": "integer", "minimum": 0},
        "probability": {"type": "number", "minimum": 0},
    }
    top = {"type": "array", "items": _object(guess, *guess)}
    prediction = {"name": {"type": ["string", "null"]}, "top": top, "error": _text()}
    one = _object(prediction, "name") | {"oneOf": [{"required": ["top"]}, {"required": ["error"]}]}
    several = {"type": "array", "items": one}
    return {
        "Predictions": _object({"model": _text(), "predictions": several}, "model", "predictions"),
        "Refusal": _object(
            {"error": _text(), "hint": _text(), "predictions": several}, "error", "hint"
        ),
    }


def _get(summary: str, content: Json, *refused: int) -> Json:
    return {
        "summary": summary,
        "responses": {
            "200": {"description": summary, "content": content},
            **_refusals(401, 403, 431, *refused),
        },
    }


def _refusals(*statuses: int) -> Json:
    return {
        str(status): _response(REFUSALS[status], _ref("Refusal")) for status in sorted(statuses)
    }


def _response(description: str, schema: Json) -> Json:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _json(properties: Json) -> Json:
    return {"application/json": {"schema": _object(properties, *properties)}}


def _object(properties: Json, *required: str) -> Json:
    return {"type": "object", "properties": properties, "required": list(required)}


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _text() -> Json:
    return {"type": "string"}
