r"""Regular expressions as Cloudflare takes them, translated for Python's `re`.

The engine is Rust's `regex` crate without Unicode mode (wirefilter, rhs_types/regex): neither
lookaround nor backreferences, `$` is the very end, `\w` is ASCII unless `(?u)` says otherwise, a
flag in the middle holds to the end of its group. What Rust has and `re` has not (`\p{…}`, sets in
sets, `x` mode) is refused as not doubled rather than understood differently.

Known difference: Rust's engine takes linear time, `re` backtracks.
"""

from __future__ import annotations

import re
from functools import lru_cache

_POSIX = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "ascii": "\\x00-\\x7F",
    "blank": "\\t ",
    "cntrl": "\\x00-\\x1F\\x7F",
    "digit": "0-9",
    "graph": "!-~",
    "lower": "a-z",
    "print": " -~",
    "punct": "!-/:-@\\[-`{-~",
    "space": "\\t\\n\\v\\f\\r ",
    "upper": "A-Z",
    "word": "0-9A-Za-z_",
    "xdigit": "0-9A-Fa-f",
}
_CLASS_ESCAPES = "dDsSwW"
_CONTROL_ESCAPES = "aftnrv"
_COUNT = re.compile(r"\{(\d+)(,(\d*))?\}")
_GROUP = re.compile(r"\(\?(?:P?<([A-Za-z_][A-Za-z0-9_.\[\]]*)>|([A-Za-z-]*)(:|\)))")
_MAX_REPEAT = 1000
"""Rust's limit is on the compiled size; this keeps well below it."""


class PatternError(ValueError):
    """A pattern that the engine refuses; `position` is where."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message)
        self.message = message
        self.position = position


@lru_cache(maxsize=1024)
def compile_pattern(pattern: str) -> re.Pattern[str]:
    """The pattern for `search`; PatternError for what Rust refuses or the twin does not double."""
    text = _Translator(pattern).translate()
    try:
        return re.compile(text, re.ASCII)
    except (re.error, OverflowError, RecursionError) as error:
        raise PatternError(f"regex parse error: {error}", getattr(error, "pos", 0) or 0) from None


class _Translator:
    """One pass over a pattern."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.at = 0
        self.out: list[str] = []
        self.levels: list[list[str]] = [[]]
        """The flag groups that are open in each group."""
        self.repeatable = False

    def translate(self) -> str:
        while self.at < len(self.pattern):
            self._piece(self.pattern[self.at])
        if len(self.levels) > 1:
            raise self._error("unclosed group")
        self.out.append(")" * len(self.levels[0]))
        return "".join(self.out)

    def _error(self, message: str) -> PatternError:
        return PatternError(f"regex parse error: {message}", min(self.at, len(self.pattern)))

    def _piece(self, char: str) -> None:
        if char in "*+?{":
            self._repetition(char)
            return
        self.repeatable = True
        if char == "\\":
            self.out.append(self._escape(in_class=False))
        elif char == "[":
            self._class()
        elif char == "(":
            self._open()
        elif char == ")":
            self._close()
        elif char == "|":
            opened = self.levels[-1]
            self.out += [")" * len(opened), "|", *opened]
            self.repeatable = False
            self.at += 1
        elif char == "$":
            # The very end, or a line's end in `m` mode, where the two languages agree.
            multi = any("m" in f.partition("-")[0] for level in self.levels for f in level)
            self.out.append("$" if multi else r"\Z")
            self.at += 1
        else:
            self.out.append(re.escape(char) if char in "#&~ -" else char)
            self.at += 1

    def _repetition(self, char: str) -> None:
        if not self.repeatable:
            raise self._error("repetition operator missing expression")
        if char == "{":
            found = _COUNT.match(self.pattern, self.at)
            if found is None:
                raise self._error("a literal { must be written \\{")
            least = int(found[1])
            most = int(found[3]) if found[3] else least
            if max(least, most) > _MAX_REPEAT:
                raise self._error(f"Compiled regex exceeds size limit ({_MAX_REPEAT} repetitions)")
            if most < least:
                raise self._error("invalid repetition count range")
            text = found[0]
        else:
            text = char
        self.at += len(text)
        if self.at < len(self.pattern) and self.pattern[self.at] == "?":
            text += "?"
            self.at += 1
        if self.at < len(self.pattern) and self.pattern[self.at] in "*+?":
            raise self._error("a repetition of a repetition needs a group in the twin")
        self.out.append(text)
        self.repeatable = True

    def _open(self) -> None:
        if not self.pattern.startswith("(?", self.at):
            self.out.append("(")
            self.levels.append([])
            self.at += 1
        else:
            self._special_group()
        self.repeatable = False

    def _special_group(self) -> None:
        rest = self.pattern[self.at + 2 : self.at + 4]
        if rest[:1] in ("=", "!") or rest in ("<=", "<!"):
            raise self._error("look-around, including look-ahead and look-behind, is not supported")
        found = _GROUP.match(self.pattern, self.at)
        if found is None:
            raise self._error("unrecognized flag or group")
        if found[0] == "(?)":
            raise self._error("repetition operator missing expression")
        self.at = found.end()
        if found[1]:
            if not found[1].isidentifier():
                raise self._error("the twin takes group names of letters, digits and _ only")
            self.out.append(f"(?P<{found[1]}>")
            self.levels.append([])
            return
        opening = self._flags(found[2])
        self.out.append(opening)
        if found[3] == ":":
            self.levels.append([])
            if opening != "(?:":
                self.levels[-1].append(opening)
                self.out.append("(?:")
                # Closed twice: the flags' own group, and the one that was written.
        else:
            self.levels[-1].append(opening)

    def _flags(self, flags: str) -> str:
        on, dash, off = flags.partition("-")
        if (dash and not off) or "-" in off:
            raise self._error("dangling flag negation operator")
        for flag in on + off:
            if flag in "xUR":
                raise self._error(f"the flag {flag} is not doubled by the twin")
            if flag not in "imsu":
                raise self._error("unrecognized flag")
        if len(set(on + off)) != len(on + off):
            raise self._error("duplicate flag")
        charset = "u" if "u" in on else "a" if "u" in off else ""
        on, off = on.replace("u", ""), off.replace("u", "")
        return f"(?{charset}{on}{'-' + off if off else ''}:"

    def _close(self) -> None:
        if len(self.levels) == 1:
            raise self._error("unopened group")
        self.out.append(")" * (len(self.levels.pop()) + 1))
        self.at += 1

    def _escape(self, *, in_class: bool) -> str:
        self.at += 1
        if self.at >= len(self.pattern):
            raise self._error("incomplete escape sequence, reached end of pattern prematurely")
        char = self.pattern[self.at]
        if char in "xuU":
            return self._code_point(char)
        self.at += 1
        if char in _CLASS_ESCAPES or char in _CONTROL_ESCAPES:
            return f"\\{char}"
        if not in_class and char in "bBAz":
            return r"\Z" if char == "z" else f"\\{char}"
        self.at -= 1
        if char.isdigit():
            raise self._error("backreferences are not supported")
        if char in "pP":
            raise self._error(f"\\{char} (Unicode classes) is not doubled by the twin")
        if char.isalnum() or not char.isascii() or char in "<>" or not char.isprintable():
            raise self._error("unrecognized escape sequence")
        self.at += 1
        return re.escape(char)

    def _code_point(self, kind: str) -> str:
        digits = {"x": 2, "u": 4, "U": 8}[kind]
        rest = self.pattern[self.at + 1 :]
        found = re.match(rf"\{{([0-9A-Fa-f]{{1,8}})\}}|([0-9A-Fa-f]{{{digits}}})", rest)
        if found is None:
            raise self._error("invalid hexadecimal escape")
        value = int(found[1] or found[2], 16)
        if value > 0x10FFFF or 0xD800 <= value <= 0xDFFF:
            raise self._error("hexadecimal literal is not a Unicode scalar value")
        self.at += 1 + found.end()
        return re.escape(chr(value))

    def _class(self) -> None:
        self.at += 1
        self.out.append("[")
        if self.pattern.startswith("^", self.at):
            self.out.append("^")
            self.at += 1
        first = True
        while True:
            if self.at >= len(self.pattern):
                raise self._error("unclosed character class")
            char = self.pattern[self.at]
            if char == "]" and not first:
                break
            self._member(char)
            first = False
        self.out.append("]")
        self.at += 1

    def _member(self, char: str) -> None:
        pair = self.pattern[self.at : self.at + 2]
        if pair in ("&&", "--", "~~"):
            raise self._error(f"{pair} in a character class is not doubled by the twin")
        if char == "[":
            self._posix()
        elif char == "\\":
            self.out.append(self._escape(in_class=True))
        else:
            self.out.append(char if char == "-" or char.isalnum() else re.escape(char))
            self.at += 1

    def _posix(self) -> None:
        found = re.compile(r"\[:(\^?)([a-z]+):\]").match(self.pattern, self.at)
        if found is None or found[2] not in _POSIX or found[1]:
            raise self._error("a class in a character class is not doubled by the twin")
        self.out.append(_POSIX[found[2]])
        self.at = found.end()


class WildcardError(ValueError):
    """A wildcard pattern that the engine refuses."""


@lru_cache(maxsize=1024)
def compile_wildcard(pattern: str, *, strict: bool) -> re.Pattern[str]:
    """A pattern with `*` for `fullmatch`; each `*` is a group, as short as possible."""
    out: list[str] = []
    star = False
    chars = iter(pattern)
    for char in chars:
        if char == "*":
            if star:
                raise WildcardError("wildcard contains a double star")
            out.append("(.*?)")
        elif char == "\\":
            escaped = next(chars, "")
            if escaped not in ("*", "\\") or not escaped:
                raise WildcardError("invalid wildcard: after \\ there must be * or \\")
            out.append(re.escape(escaped))
        else:
            out.append(re.escape(char))
        star = char == "*"
    flags = re.DOTALL | re.ASCII
    return re.compile("".join(out), flags if strict else flags | re.IGNORECASE)
