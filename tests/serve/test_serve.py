"""The server's answers, without a network: pictures bit for bit, and what is refused, with which status."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from kit.serving import decoded, encoded
from kit.testclient import LIMITS, TestClient, application, client_of

import cvsr
from cvsr.io import formats
from cvsr.serve import worker


@pytest.fixture(scope="module")
def client():
    with client_of("cvsr-small") as client:
        yield client


def valid(value: object, schema: dict, document: dict) -> bool:
    """Tell whether a value fits a schema; only keywords that the document uses are checked."""
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    if value is None:
        return schema.get("nullable", False)
    kinds = {"string": str, "integer": int, "number": (int, float), "object": dict, "array": list}
    if not isinstance(value, kinds[schema["type"]]) or isinstance(value, bool):
        return False
    if "enum" in schema and value not in schema["enum"]:
        return False
    if isinstance(value, (int, float)):
        above = value > schema["minimum"] if schema.get("exclusiveMinimum") else value >= schema.get("minimum", value)
        return above and value <= schema.get("maximum", value)
    if isinstance(value, dict):
        inner = schema.get("properties", {})
        rest = schema.get("additionalProperties")
        return set(schema.get("required", [])) <= value.keys() and all(
            valid(each, inner.get(key, rest), document) for key, each in value.items() if inner.get(key, rest)
        )
    return not isinstance(value, list) or all(valid(each, schema["items"], document) for each in value)


@pytest.mark.parametrize("kind", ["color", "gray", "16 bits", "alpha", "16 bits and alpha"])
@pytest.mark.parametrize("scale", [2, 1.5])
def test_the_picture_is_the_librarys_bit_for_bit(client, cat, kind, scale):
    alpha = np.linspace(0, 255, cat[..., 0].size).reshape(cat.shape[:2]).astype(np.uint8)
    image = {
        "color": cat,
        "gray": cat[..., 0],
        "16 bits": cat.astype(np.uint16) * 201,
        "alpha": np.dstack((cat, alpha)),
        "16 bits and alpha": np.dstack((cat, alpha)).astype(np.uint16) * 257,
    }[kind]
    answer = client.post(f"/upscale?scale={scale}", content=encoded(image))
    assert answer.status_code == 200 and answer.headers["content-type"] == "image/png"
    expected = cvsr.upscale(image, scale, model="cvsr-small")
    np.testing.assert_array_equal(decoded(answer.content), expected)
    assert answer.headers["cvsr-size"] == f"{expected.shape[1]}x{expected.shape[0]}"


@pytest.mark.parametrize("model", ["cvsr-medium", "cvsr-small_x3", "bicubic"])
def test_models_by_name(client, cat, model):
    answer = client.post("/upscale", params={"model": model, "scale": 3}, content=encoded(cat))
    np.testing.assert_array_equal(decoded(answer.content), cvsr.upscale(cat, 3, model=model))
    assert answer.headers["cvsr-model"] == model


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tiff", ".bmp"])
@pytest.mark.parametrize("format", ["", "png", "jpg", "webp", "tiff"])
def test_formats_in_and_out(client, cat, suffix, format):
    query = {"format": format} if format else {}
    answer = client.post("/upscale", params=query, content=encoded(cat, suffix))
    wanted = format or suffix[1:].replace("bmp", "png")
    assert answer.headers["content-type"] == formats.FORMATS[wanted].media_type
    assert formats.sniff(memoryview(answer.content)) is formats.FORMATS[wanted]
    assert decoded(answer.content).shape == (160, 240, 3)


def test_forms_are_taken_as_browsers_and_curl_send_them(client, cat):
    expected = client.post("/upscale", content=encoded(cat)).content
    form = {"image": ("../../etc/passwd", encoded(cat), "image/png")}
    assert client.post("/upscale", files=form).content == expected
    assert client.post("/upscale", files=form, data={"note": "x" * 500}).content == expected


def test_exif_turns_the_picture_upright(client, cat):
    exif = b"Exif\0\0II*\0" + struct.pack("<IHHHIHHI", 8, 1, 274, 3, 1, 6, 0, 0)
    plain = encoded(cat, ".jpg")
    turned = plain[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + plain[2:]
    answer = client.post("/upscale?format=png", content=turned)
    expected = cvsr.upscale(np.ascontiguousarray(np.rot90(decoded(plain), -1)), 2, model="cvsr-small")
    np.testing.assert_array_equal(decoded(answer.content), expected)


REFUSED = {
    "empty": (b"", {}, 400),
    "text": (b"hello, this is no picture", {}, 415),
    "a GIF": (b"GIF89a" + bytes(40), {}, 415),
    "a PNG of noise": (b"\x89PNG\r\n\x1a\n" + bytes(range(200)), {}, 422),
    "too many bytes": (bytes(2_000_001), {}, 413),
    "a path": (None, {"model": "/etc/passwd"}, 400),
    "a path up": (None, {"model": "../models/cvsr-small/cvsr-small_x2.onnx"}, 400),
    "auto": (None, {"model": "auto"}, 400),
    "scale 0": (None, {"scale": "0"}, 400),
    "scale nan": (None, {"scale": "nan"}, 400),
    "scale 1e9": (None, {"scale": "1e9"}, 400),
    "quality 0": (None, {"quality": "0"}, 400),
    "quality ٣": (None, {"quality": "٣"}, 400),
    "format gif": (None, {"format": "gif"}, 400),
    "format empty": (None, {"format": ""}, 400),
    "unknown": (None, {"size": "9"}, 400),
    "too large a result": (None, {"scale": "12"}, 413),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_says_why(client, cat, name):
    body, query, status = REFUSED[name]
    answer = client.post("/upscale", params=query, content=encoded(cat) if body is None else body)
    assert answer.status_code == status
    assert set(answer.json()) == {"error"} and len(answer.json()["error"]) > 10


def test_transparency_that_a_format_cannot_hold_is_refused(client, cat):
    clear = np.dstack((cat, np.zeros(cat.shape[:2], np.uint8)))
    assert client.post("/upscale?format=jpg", content=encoded(clear)).status_code == 422


def test_a_cut_off_picture_is_refused(client, cat):
    for suffix in (".jpg", ".webp", ".png"):
        answer = client.post("/upscale", content=encoded(cat, suffix)[:600])
        assert answer.status_code == 422, suffix


def test_pixels_are_counted_before_they_are_decoded(client, monkeypatch):
    flat = encoded(np.zeros((500, 500), np.uint8))
    monkeypatch.setattr(worker.reader, "decode", lambda *_: pytest.fail("it was decoded"))
    assert client.post("/upscale", content=flat).status_code == 413


@pytest.mark.parametrize(
    "form", ["--x\r\n", "--x--\r\n", "", "--x\r\nContent-Disposition: form-data; name=a\r\n\r\n\r\n--x--"]
)
def test_broken_forms_are_refused(client, form):
    answer = client.post("/upscale", content=form, headers={"content-type": "multipart/form-data; boundary=x"})
    assert answer.status_code == 400 and answer.json()["error"]
    answer = client.post("/upscale", content=form or "x", headers={"content-type": "multipart/form-data"})
    assert answer.status_code == 400


def test_other_addresses_and_methods(client):
    for path in ("/nothing", "/static/../app.py", "/app.py", "/%2e%2e/app.py", "//etc/passwd"):
        answer = client.get(path)
        assert answer.status_code == 404 and answer.json()["error"]
    assert client.get("/upscale").status_code == 405 and "error" in client.get("/upscale").json()
    assert client.post("/").status_code == 405


def test_pages_have_strict_security_headers(client):
    for path in ("/", "/viewer.js", "/health", "/nothing"):
        headers = client.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert not [name for name in headers if name.startswith("access-control")]


def test_other_pages_and_other_names_are_refused(client, cat):
    picture = encoded(cat)
    for headers in ({"origin": "http://elsewhere.example"}, {"origin": "null"}, {"host": "elsewhere.example"}):
        answer = client.post("/upscale", content=picture, headers=headers)
        assert answer.status_code == 403 and answer.json()["error"]
    for headers in ({"origin": "http://127.0.0.1"}, {"host": "localhost:8000"}, {"host": "[::1]:8000"}):
        assert client.get("/health", headers=headers).status_code == 200


def test_a_server_for_others_has_names_of_its_own():
    made = application("bilinear", LIMITS, names=["pictures.example"])
    client = TestClient(made, base_url="http://pictures.example")
    assert client.get("/health").status_code == 200
    assert client.get("/health", headers={"host": "other.example"}).status_code == 403
    assert TestClient(application("bilinear", LIMITS, host="0.0.0.0")).get("/health").status_code == 200


def test_a_model_file_of_the_owner_has_a_name_and_no_path(root, cat, tmp_path):
    file = tmp_path / "mine_x2.onnx"
    file.write_bytes((root / "models" / "cvsr-small" / "cvsr-small_x2.onnx").read_bytes())
    client = client_of(str(file))
    told = client.get("/models").json()
    assert str(tmp_path) not in client.get("/models").text
    answer = client.post("/upscale", content=encoded(cat), params={"model": told["default"]})
    np.testing.assert_array_equal(decoded(answer.content), cvsr.upscale(cat, 2, model=file))


def test_the_description_is_true_of_requests(client, cat):
    """Values that the schemas of the parameters allow are accepted, and all others are refused."""
    document = client.get("/openapi.json").json()
    operation = document["paths"]["/upscale"]["post"]
    schemas = {parameter["name"]: parameter["schema"] for parameter in operation["parameters"]}
    tried = {
        "scale": ["1", "0.5", "2.5", "0", "-1", "65", "64.5", "two", ""],
        "model": [*schemas["model"]["enum"], "auto", "cvsr-huge", "", "."],
        "format": [*schemas["format"]["enum"], "gif", "PNG", ""],
        "quality": ["1", "100", "50", "0", "101", "-5", "9.5", ""],
    }
    assert tried.keys() == schemas.keys()
    picture = encoded(cat[:16, :16])
    for name, values in tried.items():
        for text in values:
            value: object = text
            if schemas[name]["type"] != "string":
                value = int(text) if text.lstrip("-").isdecimal() else text
                value = float(text) if text.replace(".", "", 1).isdecimal() and "." in text else value
            answer = client.post("/upscale", params={name: text}, content=picture)
            assert (answer.status_code == 200) == valid(value, schemas[name], document), (name, text)
            described = operation["responses"][str(answer.status_code)]
            if answer.status_code == 200:
                assert answer.headers["content-type"] in described["content"]
                assert {key.lower() for key in described["headers"]} <= set(answer.headers)


def test_the_description_is_true_of_answers(client):
    document = client.get("/openapi.json").json()
    for path in ("/models", "/health"):
        answer = client.get(path)
        schema = document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        assert valid(answer.json(), schema, document), path
        assert set(answer.json()) == set(schema["properties"])
    documented = set(document["paths"]["/upscale"]["post"]["responses"])
    assert {str(status) for *_, status in REFUSED.values()} | {"200", "403", "408", "500", "503", "504"} <= documented
