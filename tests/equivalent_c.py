"""Mutants of C of which no test can tell, each with its reason; `mutate_c.py` counts them apart."""

from __future__ import annotations

from typing import Final

_SET: Final = "set by what is called before anybody reads it"
_ONE: Final = "of one number the others are not written"
_ROOM: Final = "memory that nobody uses"
_SAME: Final = "both sides are the same where it differs"
_BAD: Final = "any negative number is malformed"
_QUOTE: Final = "a closing quote has to follow as well"
_ARRAY: Final = "the length of an array that is a parameter means nothing"

_ROWS: Final[tuple[tuple[str, str, str, str], ...]] = (
    (
        "kept",
        "what has changed without a generation are zeros of no use",
        "kept->changed |= kept->generation != 0;",
        "kept->changed = kept->generation != 0;",
    ),
    (
        "kept",
        "what is about to run begins to count anew",
        "lv_kept_save(kept, 0, true);",
        "lv_kept_save(kept, 1, true);",
    ),
    (
        "ring",
        _SAME,
        "return length < room ? length : room;",
        "return length <= room ? length : room;",
    ),
    (
        "host",
        _SAME,
        "*used = *used > UINT32_MAX - bytes ? UINT32_MAX : *used + bytes;",
        "*used = *used >= UINT32_MAX - bytes ? UINT32_MAX : *used + bytes;",
    ),
    (
        "host",
        _ONE,
        "lv_tape_numbers(&host->tape, LV_CALL_LOG_INT, 1, value, 0, 0);",
        "lv_tape_numbers(&host->tape, LV_CALL_LOG_INT, 1, value, 1, 0);",
    ),
    (
        "host",
        _ONE,
        "lv_tape_numbers(&host->tape, LV_CALL_LOG_INT, 1, value, 0, 0);",
        "lv_tape_numbers(&host->tape, LV_CALL_LOG_INT, 1, value, 0, 1);",
    ),
    (
        "host",
        _ONE,
        "lv_tape_numbers(&host->tape, LV_CALL_DELAY_MS, 1, ms, 0, 0);",
        "lv_tape_numbers(&host->tape, LV_CALL_DELAY_MS, 1, ms, 1, 0);",
    ),
    (
        "host",
        _ONE,
        "lv_tape_numbers(&host->tape, LV_CALL_DELAY_MS, 1, ms, 0, 0);",
        "lv_tape_numbers(&host->tape, LV_CALL_DELAY_MS, 1, ms, 0, 1);",
    ),
    (
        "tape",
        _ROOM,
        "const int32_t values[3] = {a, b, c};",
        "const int32_t values[4] = {a, b, c};",
    ),
    ("frame", _ROOM, "static const uint32_t low[16] = {", "static const uint32_t low[17] = {"),
    (
        "store",
        "only its first four bytes are compared, and the next line writes the fifth",
        "static const uint8_t magic_envelope[4] = {'l', 'v', 'e', '1'};",
        "static const uint8_t magic_envelope[5] = {'l', 'v', 'e', '1'};",
    ),
    (
        "store",
        _ARRAY,
        "bool lv_store_barred(const lv_store *store, const uint8_t sha256[32])",
        "bool lv_store_barred(const lv_store *store, const uint8_t sha256[33])",
    ),
    ("json", _BAD, "return -1;", "return -2;"),
    ("json", _BAD, "int count = -1;", "int count = -2;"),
    (
        "json",
        _BAD,
        "return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;",
        "return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -2;",
    ),
    (
        "json",
        _BAD,
        "return point < 0 ? -1 : encode(point, out);",
        "return point < 0 ? -2 : encode(point, out);",
    ),
    ("json", _QUOTE, "if (end - p < 4)", "if (end - p <= 4)"),
    ("json", _QUOTE, "if (end - p < 4)", "if (end - p < 5)"),
    (
        "json",
        _QUOTE,
        "if (end - *p < 6 || (*p)[0] != '\\\\' || (*p)[1] != 'u')",
        "if (end - *p <= 6 || (*p)[0] != '\\\\' || (*p)[1] != 'u')",
    ),
    (
        "json",
        _QUOTE,
        "if (end - *p < 6 || (*p)[0] != '\\\\' || (*p)[1] != 'u')",
        "if (end - *p < 7 || (*p)[0] != '\\\\' || (*p)[1] != 'u')",
    ),
    (
        "json",
        "0xDFFF was refused before",
        "if (first < 0xD800 || first > 0xDFFF)",
        "if (first < 0xD800 || first >= 0xDFFF)",
    ),
    (
        "json",
        "the bits that differ are lost in a byte that has them set",
        "return 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);",
        "return 0x10000 + ((first + 0xD800) << 10) + (second - 0xDC00);",
    ),
    (
        "json",
        "the first is never used",
        "static const int32_t lead[] = {0, 0xC0, 0xE0, 0xF0};",
        "static const int32_t lead[] = {1, 0xC0, 0xE0, 0xF0};",
    ),
    (
        "json",
        "a bit that is never looked at",
        "uint32_t objects = 0; /* bit 0: the innermost is an object, "
        "bit 1: the one around it ... */",
        "uint32_t objects = 1; /* bit 0: the innermost is an object, "
        "bit 1: the one around it ... */",
    ),
    (
        "json",
        "at the end there is no value to be read",
        "} while (p < end);",
        "} while (p <= end);",
    ),
    (
        "json",
        "a number begins with a character that was looked at",
        "if (p < end && *p == '-')",
        "if (p <= end && *p == '-')",
    ),
    (
        "json",
        "without room for the NUL it is refused below",
        "if (used + (size_t)count >= size || bytes[0] == 0)",
        "if (used + (size_t)count > size || bytes[0] == 0)",
    ),
    (
        "json",
        "what has no room for its first byte is full with that",
        "*w = (lv_json_writer){.out = out, .size = size, .full = size == 0};",
        "*w = (lv_json_writer){.out = out, .size = size, .full = size == 1};",
    ),
    (
        "json",
        _SAME,
        "uint64_t left = number < 0 ? 0u - (uint64_t)number : (uint64_t)number;",
        "uint64_t left = number <= 0 ? 0u - (uint64_t)number : (uint64_t)number;",
    ),
    (
        "json",
        _SAME,
        "uint64_t left = number < 0 ? 0u - (uint64_t)number : (uint64_t)number;",
        "uint64_t left = number < 1 ? 0u - (uint64_t)number : (uint64_t)number;",
    ),
    ("json", _ROOM, "char bytes[4];", "char bytes[5];"),
    ("json", _ROOM, "char digits[20];", "char digits[21];"),
    (
        "json",
        _ROOM,
        "static int encode(int32_t point, char out[4])",
        "static int encode(int32_t point, char out[5])",
    ),
    (
        "json",
        _ROOM,
        "static int next_bytes(const char **p, const char *end, char out[4])",
        "static int next_bytes(const char **p, const char *end, char out[5])",
    ),
    (
        "irrigation",
        _SAME,
        "elapsed_s += passed < DAY_S ? (int)passed : DAY_S;",
        "elapsed_s += passed <= DAY_S ? (int)passed : DAY_S;",
    ),
    (
        "irrigation",
        _SAME,
        "unsigned pulses = flow < 0 ? 0 : (unsigned)flow;",
        "unsigned pulses = flow <= 0 ? 0 : (unsigned)flow;",
    ),
    (
        "link",
        "the memory was set to zeros, which are the same",
        "lv_frame_reset(&link->decoder);",
        ";",
    ),
    (
        "link",
        _SAME,
        "m.tape_length = (uint16_t)(tape->length < room ? tape->length : room);",
        "m.tape_length = (uint16_t)(tape->length <= room ? tape->length : room);",
    ),
    (
        "link",
        _SAME,
        ".tape_length = (uint16_t)(left < room ? left : room)};",
        ".tape_length = (uint16_t)(left <= room ? left : room)};",
    ),
    ("link", _ROOM, "uint8_t values[8 * LV_PARAMETERS];", "uint8_t values[9 * LV_PARAMETERS];"),
    ("link", _SET, "int32_t value = 0;", "int32_t value = 1;"),
    ("link", _SET, "found.value = 0;", "found.value = 1;"),
    ("link", _SET, "found.value = 0;", ";"),
    ("link", _SET, "reply r = {0};", "reply r = {1};"),
    (
        "link",
        "the type behind the last request is a heartbeat, which is no request",
        "handler handle = f->type < sizeof handlers / sizeof *handlers ? handlers[f->type] : NULL;",
        "handler handle = f->type <= sizeof handlers / sizeof *handlers "
        "? handlers[f->type] : NULL;",
    ),
    (
        "node",
        "only the size of a type",
        "if (!c->engine || strlen(c->engine) >= sizeof((lv_msg_birth *)0)->engine)",
        "if (!c->engine || strlen(c->engine) >= sizeof((lv_msg_birth *)1)->engine)",
    ),
    (
        "node",
        "only the size of a type",
        "if (!c->firmware || strlen(c->firmware) >= sizeof((lv_msg_birth *)0)->firmware)",
        "if (!c->firmware || strlen(c->firmware) >= sizeof((lv_msg_birth *)1)->firmware)",
    ),
    (
        "node",
        "the next start begins to count anew",
        "lv_kept_save(&node->kept, 0, true);",
        "lv_kept_save(&node->kept, 1, true);",
    ),
    (
        "node",
        "the first of a start is written whenever it is",
        "lv_kept_save(&node->kept, 0, true);",
        "lv_kept_save(&node->kept, 0, false);",
    ),
    (
        "node",
        _SAME,
        "if (time_ms > node->seen_ms && (node->host.outputs & 1))",
        "if (time_ms >= node->seen_ms && (node->host.outputs & 1))",
    ),
    (
        "node",
        "without a clock nobody reads it",
        "uint32_t start = c->clock_us ? c->clock_us(c->context) : 0;",
        "uint32_t start = c->clock_us ? c->clock_us(c->context) : 1;",
    ),
    ("node", _SET, "int32_t result = 0;", "int32_t result = 1;"),
    (
        "node",
        "numbers beyond those that are counted",
        "if (!recorded(node, LV_CALL_RETURN, 1, result, 0, 0))",
        "if (!recorded(node, LV_CALL_RETURN, 1, result, 1, 0))",
    ),
    (
        "node",
        "numbers beyond those that are counted",
        "if (!recorded(node, LV_CALL_RETURN, 1, result, 0, 0))",
        "if (!recorded(node, LV_CALL_RETURN, 1, result, 0, 1))",
    ),
    (
        "node",
        _SAME,
        "int32_t wait = result < shortest_ms ? shortest_ms : result;",
        "int32_t wait = result <= shortest_ms ? shortest_ms : result;",
    ),
    (
        "node",
        _SAME,
        "if (wait > LV_LONGEST_WAKE_MS)",
        "if (wait >= LV_LONGEST_WAKE_MS)",
    ),
    (
        "node",
        _SAME,
        "node->wake_ms = host->time_ms + (host->delayed_ms > 0 ? host->delayed_ms : 1);",
        "node->wake_ms = host->time_ms + (host->delayed_ms > 1 ? host->delayed_ms : 1);",
    ),
    (
        "node",
        "numbers beyond those that are counted",
        "else if (status == LV_OK && recorded(node, LV_CALL_RETURN, 1, result, 0, 0)) {",
        "else if (status == LV_OK && recorded(node, LV_CALL_RETURN, 1, result, 1, 0)) {",
    ),
    (
        "node",
        "numbers beyond those that are counted",
        "else if (status == LV_OK && recorded(node, LV_CALL_RETURN, 1, result, 0, 0)) {",
        "else if (status == LV_OK && recorded(node, LV_CALL_RETURN, 1, result, 0, 1)) {",
    ),
    ("node", _SET, "int32_t value = 0;", "int32_t value = 1;"),
    (
        "node",
        "the first of its flags",
        "m->flags |= LV_BIRTH_INSTALLED;",
        "m->flags = LV_BIRTH_INSTALLED;",
    ),
    (
        "node",
        "what it pads too much is written by the next line",
        "strncpy(m->engine, node->config->engine, sizeof m->engine - 1);",
        "strncpy(m->engine, node->config->engine, sizeof m->engine + 1);",
    ),
    (
        "node",
        "1 is that a guest is installed, and one that runs is",
        "m->flags |= (uint8_t)(LV_BIRTH_STARTED | (node->command ? LV_BIRTH_COMMAND : 0));",
        "m->flags |= (uint8_t)(LV_BIRTH_STARTED | (node->command ? LV_BIRTH_COMMAND : 1));",
    ),
    (
        "node",
        _ROOM,
        "const int32_t arguments[2] = {id, value};",
        "const int32_t arguments[3] = {id, value};",
    ),
)

_FOLDERS: Final = {"irrigation": "guest/irrigation"}

EQUIVALENT: Final = {
    (f"{_FOLDERS.get(name, 'firmware/core')}/{name}.c", before, after): why
    for name, why, before, after in _ROWS
}
"""File, line and changed line -> why no test can tell them apart."""
