"""What Python and Go see in a body: one answer line for each question line, in a canonical spelling.

A question is {"body": base64, "kind": "message" | "answer"}. Python is the `json` module. Go is emulated on its token
stream: encoding/json matches the names of a struct's fields exactly or by simple case folding, lets later members win
and ignores what it does not know.
"""

import base64
import json
import sys


class Number(str):
    """A number by its text."""


class Pairs(list):
    """The members of an object, all of them, in order."""


def quote(text):
    units = text.encode("utf-16-be", "surrogatepass")
    out = []
    for at in range(0, len(units), 2):
        unit = units[at] << 8 | units[at + 1]
        plain = 0x20 <= unit < 0x7F and unit not in (0x22, 0x5C)
        out.append(chr(unit) if plain else "\\u%04x" % unit)
    return '"' + "".join(out) + '"'


def canonical(value, members):
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, str):
        return quote(value)
    if isinstance(value, Pairs):
        inner = sorted(quote(n) + ":" + canonical(v, members) for n, v in members(value))
        return "{" + ",".join(inner) + "}"
    return "[" + ",".join(canonical(v, members) for v in value) + "]"


def refuse(constant):
    raise ValueError(constant)


def tokens(text):
    return json.loads(text, object_pairs_hook=Pairs, parse_int=Number, parse_float=Number)


# Simple case folding: one character stands for all that any simple mapping equates. No letter beyond has a case.
ORBIT = {}
for code in range(0x20000):
    letter = chr(code)
    alike = {f for f in (letter.lower(), letter.upper(), letter.casefold(), letter.title()) if len(f) == 1}
    for other in alike | {letter}:
        ORBIT.setdefault(other, set()).update(alike | {letter})


def orbit(letter):
    found, edge = {letter}, {letter}
    while edge:
        edge = {o for e in edge for o in ORBIT[e]} - found
        found |= edge
    return min(found)


FOLDED = {letter: orbit(letter) for letter, alike in ORBIT.items() if len(alike) > 1}


def fold(name):
    return "".join(FOLDED.get(letter, letter) for letter in name)


class Python:
    """Exact names, the last one wins."""

    @staticmethod
    def members(pairs):
        return dict(pairs).items()

    @staticmethod
    def member(value, name):
        return dict(value).get(name) if isinstance(value, Pairs) else None

    @staticmethod
    def parse(body):
        # The ordinary call has to accept it too, not only the one with hooks.
        json.loads(body, parse_constant=refuse)
        return tokens(body.decode("utf-8"))


class Go(Python):
    """Folded names, the last one wins; `null` leaves a field as it was."""

    @staticmethod
    def member(value, name):
        if not isinstance(value, Pairs):
            return None
        found = None
        for known, inner in value:
            if (known == name or fold(known) == fold(name)) and inner is not None:
                found = inner
        return found


def merged(value):
    """Whether folding makes one member of two, at any depth: a struct at the other end would lose one."""
    if isinstance(value, Pairs):
        names = [fold(name) for name, _ in value]
        return len(set(names)) < len(names) or any(merged(v) for _, v in value)
    return isinstance(value, list) and any(merged(v) for v in value)


LISTS = {"tools": "name", "prompts": "name", "resources": "uri", "resourceTemplates": "uriTemplate", "tasks": "taskId"}


def message(reader, document):
    params = reader.member(document, "params")
    inner = reader.member
    seen = {
        "method": inner(document, "method"),
        "id": inner(document, "id"),
        "name": inner(params, "name"),
        "uri": inner(params, "uri"),
        "arguments": inner(params, "arguments"),
        "params": params,
    }
    return {key: canonical(value, reader.members) for key, value in seen.items()}


def answer(reader, document):
    result = reader.member(document, "result")
    names = []
    for shape, key in LISTS.items():
        entries = reader.member(result, shape)
        for entry in entries if isinstance(entries, list) and not isinstance(entries, Pairs) else []:
            names.append(shape + " " + canonical(reader.member(entry, key), reader.members))
    return {"names": sorted(names)}


def events(stream):
    """The data of all events, as a reader of text that splits at CR LF, CR and LF."""
    text = stream.decode("utf-8", "replace").removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    *blocks, _unfinished = text.split("\n\n") if "\n\n" in text else [text]
    found = []
    for block in blocks:
        data = [line[5:].removeprefix(" ") for line in block.split("\n") if line == "data" or line.startswith("data:")]
        if data:
            found.append("\n".join(data))
    return found


def main():
    for line in sys.stdin:
        question = json.loads(line)
        body = base64.b64decode(question["body"])
        reply = {}
        for name, reader in (("python", Python), ("go", Go)):
            try:
                if question["kind"] == "stream":
                    documents = [reader.parse(data.encode()) for data in events(body) if data]
                    reply[name] = [answer(reader, document) for document in documents]
                    continue
                document = reader.parse(body)
                look = message if question["kind"] == "message" else answer
                reply[name] = look(reader, document)
                if question["kind"] == "message" and reader is Go and merged(document):
                    reply[name] = {"refused": "two members fold to one"}
            except (ValueError, RecursionError) as error:
                reply[name] = {"refused": str(error)}
        sys.stdout.write(json.dumps(reply) + "\n")


main()
