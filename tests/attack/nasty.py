"""What strangers write: into addresses, fields, headers and bodies. PROBE is what must never come back as it was sent."""

from __future__ import annotations

import json
from random import Random

MARK = "zq7"
PROBE = f"{MARK}\"'<{MARK} onload=alert(1)>&{MARK}"
UNESCAPED = (f"<{MARK}".encode(), f"{MARK}\"'".encode())  # as PROBE begins; where it ends, a quote may follow

TEXTS = (
    "",
    " ",
    "0",
    "-1",
    "1",
    "2",
    "999",
    "1.5",
    "1e309",
    "NaN",
    "Infinity",
    str(2**31),
    str(2**63),
    str(2**64),
    "-" + str(2**63 + 1),
    "9" * 4500,
    "0x10",
    "1_000",
    "٣",
    "½",
    "²",
    "null",
    "true",
    "None",
    "[]",
    "{}",
    "../../../../../../etc/passwd",
    "..\\..\\..\\windows\\win.ini",
    "/etc/passwd",
    "....//....//....//etc/passwd",
    "..;/..;/etc/passwd",
    "./.",
    "a/../../b",
    ".",
    "..",
    "/",
    "//",
    "\\",
    "~root",
    "%2e%2e%2fetc%2fpasswd",
    "%252e%252e%252f",
    "..%00.png",
    "a\x00b",
    "\x00",
    "\x1b[31mred\x1b[0m",
    "a\nb",
    "a\rb",
    "\r\nX-Injected: zq7\r\n\r\n<zq7>",
    "\u202egpj.exe",
    "\ufeff",
    "\uffff",
    "\u2028",
    "é" * 60,
    "e\u0301" * 60,
    "𝕏" * 30,
    "A" * 5000,
    "' OR 1=1 --",
    "'; DROP TABLE people; --",
    "%' ESCAPE '",
    "{{7*7}}",
    "${7*7}",
    "%(name)s%n%s%d",
    PROBE,
    f"<script>{MARK}</script>",
    f"<svg/onload={MARK}>",
    f"</textarea></script><{MARK}>",
    f'"><{MARK}>',
    "javascript:alert(1)",
    "data:text/html,<zq7>",
    "//evil.example",
    "https://evil.example/",
    "/\\evil.example",
    "file:///etc/passwd",
    "http://169.254.169.254/latest/meta-data/",
    "$(id)",
    "`id`",
    "|id",
    ";id",
    "-rf",
    "--help",
    "CON",
    "aux.txt",
    "trailing.",
    "=1+1",
    "@SUM(1)",
    "+cmd|' /C calc'!A0",
    "a,b",
    "unix:root",
    ".passerelle",
    ".p-x",
)

RAW_PATHS = (  # as they stand in a request line
    "/",
    "//",
    "/.",
    "/..",
    "/../../../../etc/passwd",
    "/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
    "/%2E%2E%2F%2E%2E%2Fetc%2Fpasswd",
    "/..%2f..%2f..%2fetc%2fpasswd",
    "/..%5c..%5cetc%5cpasswd",
    "/%c0%ae%c0%ae/%c0%af",
    "/%e0%80%ae/%ed%a0%80/%f8%88%80%80%80",
    "/%00",
    "/%0d%0aX-Injected:%20zq7",
    "/%ff%fe",
    "/%u002e%u002e/",
    "/%",
    "/%zz",
    "/%252e%252e/",
    "/;a=b",
    "/*",
    "*",
    "http://evil.example/",
    "//evil.example/%2f..",
    "/static/../app.py",
    "/static/%2e%2e/app.py",
    "/static/..%2fapp.py",
    "/static/%2e%2e%2f%2e%2e%2f__init__.py",
    "/static//etc/passwd",
    "/static/%2fetc%2fpasswd",
    "/static/css/",
    "/static/css",
    "/static/%00",
    "/static/css/base.css/",
    "/static/css/base.css%00.png",
    "/static/" + "a" * 300,
    "/static/" + "a/" * 2000,
    "/" + "a" * 60000,
    "/api/",
    "/api",
    "/api/openapi.json/",
    "/docs",
    "/redoc",
    "/openapi.json",
    "/.git/config",
    "/.env",
    "/favicon.ico",
    "/robots.txt",
    "/%3Czq7%3E",
    "/zq7%22%27%3Czq7%3E",
    "/sessions/1/%2e%2e/%2e%2e/api/sessions",
)

METHODS = (
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "PATCH",
    "DELETE",
    "OPTIONS",
    "TRACE",
    "CONNECT",
    "PROPFIND",
    "get",
    "GETS",
    "X" * 200,
    "QUERY",
)

HEADERS: tuple[tuple[bytes, tuple[bytes, ...]], ...] = (
    (
        b"host",
        (
            b"evil.example",
            b"",
            b"localhost:99999999",
            b"localhost@evil.example",
            b"[::1",
            b"LOCALHOST",
            b"127.0.0.1:80:80",
            b"a" * 5000,
        ),
    ),
    (
        b"content-length",
        (
            b"-1",
            b"0",
            b"1",
            b"99999999999999999999",
            b"9" * 5000,
            b"\xb2",
            b"1e3",
            b"+5",
            b"0x10",
            b"1, 1",
            b"",
            b" 7",
            b"1048577",
        ),
    ),
    (
        b"content-type",
        (
            b"application/json",
            b"text/plain",
            b"multipart/form-data",
            b"multipart/form-data; boundary=",
            b"\xff\xff",
            b"a/b;charset=zq7",
        ),
    ),
    (b"content-encoding", (b"gzip", b"br", b"zstd", b"identity, gzip")),
    (b"transfer-encoding", (b"chunked", b"chunked, identity", b"gzip")),
    (b"expect", (b"100-continue", b"200-ok")),
    (
        b"range",
        (
            b"bytes=0-0",
            b"bytes=-1",
            b"bytes=5-1",
            b"bytes=0-99999999999999999999999",
            b"bytes=" + b",".join(b"%d-" % i for i in range(1500)),
            b"bytes=0-," * 90 + b"0-",
            b"bytes=a-b",
            b"bytes=\xb2-",
            b"lines=1-2",
            b"bytes=-99999999999999999999999999",
            b"bytes=" + b"9" * 5000 + b"-",
        ),
    ),
    (b"if-range", (b'"zq7"', b"Wed, 99 Foo 9999 99:99:99 GMT", b"\xff")),
    (b"if-none-match", (b"*", b'"a"', b'W/"a"', b'"' * 4000, b", ".join([b'"x"'] * 1500))),
    (
        b"if-modified-since",
        (b"Thu, 01 Jan 1970 00:00:00 GMT", b"zq7", b"99999999999999999999", b"Mon, 01 Jan 99999 00:00:00 GMT"),
    ),
    (b"accept", (b"text/html", b"*/*", b"application/json", b"", b"text/html;q=zq7", b"a/b," * 4000)),
    (b"accept-encoding", (b"gzip", b"gzip;q=0", b"*", b"identity;q=0", b"gzip," * 3000)),
    (b"accept-language", (b"de", b"zq7" * 1000)),
    (
        b"authorization",
        (
            b"Bearer",
            b"Bearer ",
            b"Bearer psr_",
            b"Bearer psr_" + b"A" * 43,
            b"Bearer psr_" + b"\xff" * 20,
            b"bearer null",
            b"Basic YW5uOmFubg==",
            b"Basic zq7",
            b"Digest username=zq7",
            b"\x80\x81",
            b"Bearer " + b"x" * 60000,
            b"Bearer psr_a\x00b",
        ),
    ),
    (
        b"cookie",
        (
            b"passerelle_log_in=",
            b"passerelle_log_in=" + b"A" * 43,
            b'passerelle_log_in="' + b"\\" * 3000 + b'"',
            b"=;=;=;" * 3000,
            b"a=\xff; passerelle_token=" + b"t" * 24,
            b"passerelle_token=" + b"<zq7>",
            b"__Host-passerelle_log_in=" + b"A" * 43,
            b"passerelle_log_in=" + b"A" * 43 + b"; passerelle_log_in=" + b"B" * 43,
            b"\x00\x01\x02",
            b"a" * 60000,
        ),
    ),
    (b"x-passerelle-token", (b"", b"t" * 24, b"\xff" * 30, b"<zq7>", b"a" * 60000)),
    (b"origin", (b"null", b"http://evil.example", b"http://localhost", b"http://[::1", b"http://localhost:abc", b"\xff")),
    (b"referer", (b"http://evil.example/", b"zq7")),
    (b"sec-fetch-site", (b"cross-site", b"same-origin", b"none", b"zq7")),
    (b"x-forwarded-for", (b"127.0.0.1", b"1.2.3.4, 5.6.7.8", b"<zq7>", b"::ffff:127.0.0.1", b"," * 5000, b"a" * 5000)),
    (b"x-forwarded-proto", (b"https", b"zq7")),
    (b"x-forwarded-host", (b"evil.example",)),
    (b"x-forwarded-prefix", (b"/evil", b"//evil.example")),
    (b"forwarded", (b"for=127.0.0.1;host=evil.example;proto=https",)),
    (b"x-original-url", (b"/admin",)),
    (b"x-http-method-override", (b"DELETE", b"PUT")),
    (b"hx-request", (b"true", b"false", b"")),
    (
        b"hx-current-url",
        (
            b"http://evil.example//evil.example/x",
            b"javascript:alert(1)",
            b"http://[::1",
            b"\xff",
            b"http://localhost/%0d%0azq7",
            b"a" * 5000,
        ),
    ),
    (b"hx-target", (b"<zq7>", b"main")),
    (b"last-event-id", (b"0", b"-1", b"\xb2\xb3", b"9" * 30, b"9" * 18, b"zq7", b"1e5")),
    (b"user-agent", (b"<zq7>", b"\xff" * 500, b"a" * 60000, b"() { :; }; id", b"zq7\"'<zq7>")),
    (b"upgrade", (b"websocket", b"h2c")),
    (b"connection", (b"upgrade", b"close, host", b"keep-alive")),
    (b"te", (b"trailers",)),
    (b"traceparent", (b"00-zq7-zq7-00",)),
    (b"accept-charset", (b"utf-7",)),
    (b"x-" + b"y" * 5000, (b"z",)),
)


def text(random: Random) -> str:
    """Return a text that somebody may have thought of, or letters of any kind."""
    if random.random() < 0.85:
        return random.choice(TEXTS)
    letters = random.choice(("abc019._- /\\", "\x00\x01\x7f\x80\xff", "äβ漢\u0300\u202e\U0001f600", "<>\"'&=;%+?#"))
    return "".join(random.choice(letters) for _ in range(random.choice((1, 3, 17, 200))))


def json_value(random: Random, depth: int = 0) -> object:
    """Return any value that JSON, or Python's idea of it, can say."""
    kind = random.randrange(10 if depth < 4 else 7)
    if kind < 2:
        return text(random)
    if kind < 4:
        return random.choice((0, 1, -1, 2, 7, 2**31, 2**63, -(2**63) - 1, 10**400, 1.5, -0.0, 1e308, 1e-320))
    if kind < 6:
        return random.choice((None, True, False, float("nan"), float("inf"), -float("inf"), "\ud800", "a\udcffb"))
    if kind == 6:
        return random.choice(([], {}, [[]], {"": ""}))
    if kind == 7:
        return [json_value(random, depth + 1) for _ in range(random.randrange(5))]
    return {text(random)[:300]: json_value(random, depth + 1) for _ in range(random.randrange(5))}


def json_body(random: Random) -> bytes:
    """Return a body that calls itself JSON."""
    n = random.choice((10, 90, 400, 980, 5000, 100_000))
    ways = (
        lambda: json.dumps(json_value(random)).encode(),
        lambda: json.dumps(json_value(random)).encode("utf-16"),
        lambda: b"\xef\xbb\xbf{}",
        lambda: b"[" * n,
        lambda: b"[" * n + b"]" * n,
        lambda: b'{"changes":' * n + b"{}" + b"}" * n,
        lambda: b'{"changes":{"motion":{"x":' + b"[" * n + b"]" * n + b"}}}",
        lambda: b'{"thresholds":{' + b",".join(b'"a%d":{}' % i for i in range(n // 10)) + b"}}",
        lambda: b"1" * n,
        lambda: b"-" * n,
        lambda: b"1e" + b"9" * n,
        lambda: b'"' + b"\\ud800" * (n // 10) + b'"',
        lambda: b'"' + b"\\" * n,
        lambda: b'{"a":1,"a":2}',
        lambda: b"\xff\xfe\x00",
        lambda: b"null",
        lambda: b"",
        lambda: b"{" + b" " * n + b"}",
        lambda: random.randbytes(min(n, 5000)),
    )
    return random.choice(ways)()


def form_bomb(random: Random) -> tuple[bytes, bytes]:
    """Return a content type and a body that calls itself a form, and is not one that a browser would send."""
    n = random.choice((5, 300, 1500, 60_000))
    urlencoded = b"application/x-www-form-urlencoded"
    multipart = b"multipart/form-data; boundary=zq7"
    part = b'--zq7\r\nContent-Disposition: form-data; name="a%d"\r\n\r\nb\r\n'
    file = b'--zq7\r\nContent-Disposition: form-data; name="name"; filename="../../<zq7>\x00.exe"\r\nContent-Type: a/b\r\n\r\n'
    ways = (
        lambda: (urlencoded, b"&".join(b"a%d=1" % i for i in range(n))),
        lambda: (urlencoded, b"a=" + b"%" * n),
        lambda: (urlencoded, b"&" * n + b"=" * n),
        lambda: (urlencoded, b"name=%ff%00&name=%c0%af&password=" + b"x" * n),
        lambda: (urlencoded + b"; charset=utf-16", "name=ä&password=ö".encode("utf-16")),
        lambda: (urlencoded + b"; charset=zq7", b"name=a&password=b"),
        lambda: (multipart, b"".join(part % i for i in range(min(n, 3000))) + b"--zq7--\r\n"),
        lambda: (multipart, file + b"x" * n + b"\r\n--zq7--\r\n"),
        lambda: (multipart, b"".join(file + b"x\r\n" for _ in range(min(n, 1500))) + b"--zq7--\r\n"),
        lambda: (multipart, b"--zq7\r\n" + b"A: b\r\n" * min(n, 5000) + b"\r\n\r\n--zq7--"),
        lambda: (multipart, b"--zq7\r\nContent-Disposition: form-data\r\n\r\nb\r\n--zq7--"),
        lambda: (multipart, b'--zq7\r\nContent-Disposition: form-data; name="_charset_"\r\n\r\nutf-7\r\n--zq7--'),
        lambda: (multipart + b"; charset=zq7", part % 1 + b"--zq7--"),
        lambda: (multipart, b"\r\n--zq7" * n),
        lambda: (multipart, part % 1),
        lambda: (b"multipart/form-data", b"--\r\n\r\n----"),
        lambda: (b"multipart/form-data; boundary=" + b"-" * 500, b"-" * n),
        lambda: (b"multipart/mixed; boundary=a", b"--a\r\n\r\n--a--"),
        lambda: (b"application/json; charset=utf-7", b"+AHs-"),
    )
    return random.choice(ways)()
