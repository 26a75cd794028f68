/*
 * The one feature profile: what a guest may contain on every tier.
 *
 * The rules, and their reasons, are those of guest/module/features.py and guest/module/state.py; a test compares
 * the verdicts.  Here the first thing outside the profile ends the reading.  What every engine checks
 * itself (types of operands, order of sections) is not checked again.  Time is in proportion to the
 * module, memory is constant, nothing is recursive.
 *
 * Binary format: WebAssembly core specification 2.0, chapter 5.
 */
#include "engine.h"

#include <string.h>

enum {
    PARAMETERS = 64, LOCALS = 128, NESTING = 128, TABLE_ELEMENTS = 1024, MOST_IMPORTS = 64,
    MOST_EXPORTS = 256, FUNCTIONS = 1024, BLOCKS = 4096
};
enum {
    TYPE = 1, IMPORT, FUNCTION, TABLE, MEMORY, GLOBAL, EXPORT, START, ELEMENT, CODE, DATA, DATA_COUNT
};
enum { I32 = 0x7F, I64 = 0x7E, FUNCREF = 0x70, FUNC = 0x60, VOID = 0x40 };
enum {
    UNREACHABLE = 0x00, NOP = 0x01, BLOCK = 0x02, LOOP = 0x03, IF = 0x04, ELSE = 0x05, END = 0x0B,
    BR = 0x0C, BR_IF = 0x0D, BR_TABLE = 0x0E, RETURN = 0x0F, CALL = 0x10, CALL_INDIRECT = 0x11,
    LOCAL_GET = 0x20, LOCAL_SET = 0x21, LOCAL_TEE = 0x22, GLOBAL_GET = 0x23, GLOBAL_SET = 0x24,
    FIRST_LOAD = 0x28, LAST_STORE = 0x3E, MEMORY_SIZE = 0x3F, MEMORY_GROW = 0x40, I32_CONST = 0x41,
    I64_CONST = 0x42, I32_ADD = 0x6A, I32_SUB = 0x6B
};

/* What is refused for another reason than one byte of it. */
enum {
    FLAGS = 0x1000, /* and the flags of a segment, or how many there are of what is there once */
    MULTI_VALUE = 0x2001,
    TABLE_INDEX = 0x2002,
    MEMORY_INDEX = 0x2003,
    TOO_MANY = 0x2004, /* parameters, locals, elements of a table, functions, blocks */
    TOO_DEEP = 0x2005,
    LOCAL_TYPE = 0x3000 /* and the type of a local or a block */
};

typedef struct {
    const uint8_t *at;
    const uint8_t *end;
    int refused; /* 0, or why */
} reader;

static uint32_t at_most(uint32_t value, uint32_t most) { return value < most ? value : most; }

static int outside(int section, uint32_t code) { return -(section << 16 | (int)(code & 0xFFFF)); }

static void refuse(reader *r, int why)
{
    if (!r->refused)
        r->refused = why;
    r->at = r->end;
}

static uint8_t byte(reader *r)
{
    if (r->at == r->end) {
        refuse(r, LV_LOAD_MALFORMED);
        return 0;
    }
    return *r->at++;
}

/* LEB128 of at most 32 bits. */
static uint32_t number(reader *r)
{
    uint32_t value = 0;
    for (int shift = 0; shift < 35; shift += 7) {
        uint8_t b = byte(r);
        if (shift == 28 && b > 0x0F)
            break;
        value |= (uint32_t)(b & 0x7F) << shift;
        if (b < 0x80)
            return value;
    }
    refuse(r, LV_LOAD_MALFORMED);
    return 0;
}

/* LEB128 with a sign, of at most 64 bits; its lower 32. */
static uint32_t signed_number(reader *r)
{
    uint64_t value = 0;
    for (int shift = 0; shift < 70; shift += 7) {
        uint8_t b = byte(r);
        value |= (uint64_t)(b & 0x7F) << shift;
        if (b >= 0x80)
            continue;
        if (b & 0x40 && shift < 57)
            value |= ~(uint64_t)0 << (shift + 7);
        return (uint32_t)value;
    }
    refuse(r, LV_LOAD_MALFORMED);
    return 0;
}

static reader part(reader *r, uint32_t length)
{
    reader inner = {r->at, r->at, 0};
    if (length > (uint32_t)(r->end - r->at)) {
        refuse(r, LV_LOAD_MALFORMED);
        return inner;
    }
    r->at += length;
    inner.end = r->at;
    return inner;
}

static bool is_integer(uint8_t type) { return type == I32 || type == I64; }

/* --- sections ----------------------------------------------------------------------------------- */

static void check_value_types(reader *r, uint32_t most, uint32_t too_many)
{
    uint32_t count = number(r);
    if (count > most)
        refuse(r, outside(TYPE, too_many));
    while (count-- && !r->refused) {
        uint8_t type = byte(r);
        if (!r->refused && !is_integer(type))
            refuse(r, outside(TYPE, type));
    }
}

static void check_types(reader *r)
{
    for (uint32_t count = number(r); count && !r->refused; count--) {
        uint8_t form = byte(r);
        if (form != FUNC)
            refuse(r, outside(TYPE, form));
        check_value_types(r, PARAMETERS, TOO_MANY);
        check_value_types(r, 1, MULTI_VALUE);
    }
}

static bool next_is(reader *name, const char *text)
{
    size_t length = strlen(text);
    return (size_t)(name->end - name->at) == length && memcmp(name->at, text, length) == 0;
}

/* Whether the type of that index is `parameters` times i32 to `results` times i32. */
static bool type_is(reader types, uint32_t index, uint32_t parameters, uint32_t results)
{
    uint32_t count = number(&types);
    if (index >= count)
        return false;
    for (;;) {
        uint32_t found[2];
        bool fits = true;
        (void)byte(&types);
        for (int k = 0; k < 2; k++) {
            found[k] = number(&types);
            for (uint32_t i = 0; i < found[k] && !types.refused; i++)
                fits &= byte(&types) == I32;
        }
        if (types.refused)
            return false;
        if (index-- == 0)
            return fits && found[0] == parameters && found[1] == results;
    }
}

static bool known_import(reader *module, reader *name, uint32_t type, reader types)
{
    for (int k = 0; k < LV_IMPORTS; k++)
        if (next_is(module, "env") && next_is(name, lv_imports[k].name))
            return type_is(types, type, lv_imports[k].parameters, lv_imports[k].results);
    return false;
}

/* What sections tell one another. */
typedef struct {
    reader types;
    uint32_t imported;  /* functions: nothing else may be imported */
    bool passes_text;   /* imports a call that reads text from its memory */
    bool exports_memory;
} contents;

static void check_imports(reader *r, contents *module)
{
    uint32_t count = number(r);
    if (count > MOST_IMPORTS)
        refuse(r, LV_LOAD_IMPORT);
    for (uint32_t k = 0; k < count && !r->refused; k++) {
        reader from = part(r, number(r));
        reader name = part(r, number(r));
        uint8_t kind = byte(r);
        uint32_t type = number(r);
        if (!r->refused && (kind != 0 || !known_import(&from, &name, type, module->types)))
            refuse(r, LV_LOAD_IMPORT);
        module->passes_text |= next_is(&name, "mqtt_publish") || next_is(&name, "wasm_log");
    }
    module->imported = count;
}

/* The least of a table's or memory's limits. */
static uint32_t check_limits(reader *r, int section)
{
    uint8_t flags = byte(r);
    if (flags > 1)
        refuse(r, outside(section, flags));
    uint32_t least = number(r);
    if (flags)
        (void)number(r);
    return least;
}

/* Their types are each engine's business; a name must be there once, and no function may be the
 * host's own: some engines call it as a guest's, others do not find it. */
static void check_exports(reader *r, contents *module)
{
    uint32_t count = number(r);
    if (count > MOST_EXPORTS)
        refuse(r, outside(EXPORT, TOO_MANY));
    for (; count && !r->refused; count--) {
        reader name = part(r, number(r));
        uint8_t kind = byte(r);
        uint32_t index = number(r);
        if (kind == 0 && index < module->imported)
            refuse(r, LV_LOAD_EXPORT);
        module->exports_memory |= kind == 2 && next_is(&name, "memory");
        reader rest = *r;
        for (uint32_t k = 1; k < count && !rest.refused; k++) {
            reader other = part(&rest, number(&rest));
            (void)byte(&rest);
            (void)number(&rest);
            if (other.end - other.at == name.end - name.at &&
                memcmp(other.at, name.at, (size_t)(name.end - name.at)) == 0)
                refuse(r, LV_LOAD_EXPORT);
        }
    }
}

static void check_table(reader *r)
{
    uint32_t count = number(r);
    if (count > 1)
        refuse(r, outside(TABLE, FLAGS | at_most(count, 0xFF)));
    if (!count || r->refused)
        return;
    uint8_t type = byte(r);
    if (type != FUNCREF)
        refuse(r, outside(TABLE, type));
    if (check_limits(r, TABLE) > TABLE_ELEMENTS)
        refuse(r, outside(TABLE, TOO_MANY));
}

static void check_memory(reader *r, uint32_t most_pages)
{
    uint32_t count = number(r);
    if (count > 1)
        refuse(r, outside(MEMORY, FLAGS | at_most(count, 0xFF)));
    if (count && check_limits(r, MEMORY) > most_pages)
        refuse(r, LV_LOAD_MEMORY);
}

static void check_constant(reader *r, int section)
{
    uint8_t opcode = byte(r);
    if (opcode != I32_CONST && opcode != I64_CONST)
        refuse(r, outside(section, opcode));
    (void)signed_number(r);
    opcode = byte(r);
    if (opcode != END)
        refuse(r, outside(section, opcode));
}

static void check_globals(reader *r)
{
    for (uint32_t count = number(r); count && !r->refused; count--) {
        uint8_t type = byte(r);
        if (!is_integer(type))
            refuse(r, outside(GLOBAL, type));
        uint8_t mutable = byte(r);
        if (mutable > 1)
            refuse(r, outside(GLOBAL, FLAGS | (uint32_t)mutable));
        check_constant(r, GLOBAL);
    }
}

/* Element and data segments: placed at a constant, then so many numbers or bytes. */
static void check_segments(reader *r, int section)
{
    for (uint32_t count = number(r); count && !r->refused; count--) {
        uint32_t flags = number(r);
        if (flags)
            refuse(r, outside(section, FLAGS | at_most(flags, 0xFF)));
        check_constant(r, section);
        uint32_t length = number(r);
        if (section == DATA)
            (void)part(r, length);
        else
            while (length-- && !r->refused)
                (void)number(r);
    }
}

/* --- code --------------------------------------------------------------------------------------- */

typedef struct {
    uint16_t opcode;
    uint32_t value; /* its first immediate; of br_table: how many labels follow, then the default */
} instruction;

static bool is_float(uint8_t op)
{
    return op == 0x2A || op == 0x2B || op == 0x38 || op == 0x39 || op == 0x43 || op == 0x44 ||
           (op >= 0x5B && op <= 0x66) || (op >= 0x8B && op <= 0xA6) || (op >= 0xA8 && op <= 0xAB) ||
           (op >= 0xAE && op <= 0xBF);
}

static void block_type(reader *r)
{
    uint8_t type = byte(r);
    if (type == VOID || is_integer(type) || r->refused)
        return;
    /* one byte with bit 6 is a negative number: a value type; else the index of a function type */
    refuse(r, outside(CODE, (type & 0xC0) == 0x40 ? LOCAL_TYPE | (uint32_t)type : MULTI_VALUE));
}

/* The next instruction of the profile; its labels, if it is a br_table, are left to be read. */
static instruction next(reader *r)
{
    instruction i = {byte(r), 0};
    switch (i.opcode) {
    case UNREACHABLE: case NOP: case ELSE: case END: case RETURN: case 0x1A: case 0x1B:
        break;
    case BLOCK: case LOOP: case IF:
        block_type(r);
        break;
    case BR: case BR_IF: case BR_TABLE: case CALL: case LOCAL_GET: case LOCAL_SET: case LOCAL_TEE:
    case GLOBAL_GET: case GLOBAL_SET:
        i.value = number(r);
        break;
    case CALL_INDIRECT:
        i.value = number(r);
        if (byte(r) != 0)
            refuse(r, outside(CODE, TABLE_INDEX));
        break;
    case MEMORY_SIZE: case MEMORY_GROW:
        if (byte(r) != 0)
            refuse(r, outside(CODE, MEMORY_INDEX));
        break;
    case I32_CONST: case I64_CONST:
        i.value = signed_number(r);
        break;
    case 0xFB: case 0xFC: case 0xFD: case 0xFE: {
        uint32_t second = number(r);
        refuse(r, outside(CODE, (uint32_t)i.opcode << 8 | at_most(second, 0xFF)));
        break;
    }
    default:
        if (is_float((uint8_t)i.opcode) || i.opcode < FIRST_LOAD || i.opcode > 0xC4)
            refuse(r, outside(CODE, i.opcode));
        else if (i.opcode <= LAST_STORE) {
            if (number(r) >= 0x40) /* alignment, and whether a memory index follows */
                refuse(r, outside(CODE, MEMORY_INDEX));
            (void)number(r);
        }
    }
    return i;
}

/* How many locals a function declares, then its instructions follow. */
static uint64_t locals(reader *r)
{
    uint64_t sum = 0;
    for (uint32_t groups = number(r); groups && !r->refused; groups--) {
        sum += number(r);
        uint8_t type = byte(r);
        if (!is_integer(type))
            refuse(r, outside(CODE, LOCAL_TYPE | (uint32_t)type));
    }
    return sum;
}

static void check_function(reader *r, uint32_t *blocks)
{
    uint32_t nesting = 0;
    if (locals(r) > LOCALS)
        refuse(r, outside(CODE, TOO_MANY));
    while (r->at < r->end) {
        instruction i = next(r);
        if (i.opcode == BR_TABLE)
            for (uint64_t k = 0; k <= i.value && !r->refused; k++)
                (void)number(r);
        if (i.opcode == BLOCK || i.opcode == LOOP || i.opcode == IF) {
            if (++nesting > NESTING)
                refuse(r, outside(CODE, TOO_DEEP));
            if (++*blocks > BLOCKS)
                refuse(r, outside(CODE, TOO_MANY));
        } else if (i.opcode == END)
            nesting -= nesting > 0;
    }
}

static void check_code(reader *r)
{
    uint32_t count = number(r);
    uint32_t blocks = 0;
    if (count > FUNCTIONS)
        refuse(r, outside(CODE, TOO_MANY));
    for (; count && !r->refused; count--) {
        reader body = part(r, number(r));
        check_function(&body, &blocks);
        if (body.refused)
            refuse(r, body.refused);
    }
}

/* --- the module --------------------------------------------------------------------------------- */

static const uint8_t head[8] = {0, 'a', 's', 'm', 1, 0, 0, 0};

/* The next section of a module. */
static reader section(reader *module, uint8_t *kind)
{
    *kind = byte(module);
    return part(module, number(module));
}

static reader opened(const uint8_t *module, uint32_t length)
{
    reader r = {module, module + length, 0};
    if (length < sizeof head || memcmp(module, head, sizeof head) != 0)
        refuse(&r, LV_LOAD_MALFORMED);
    else
        r.at += sizeof head;
    return r;
}

int lv_module_check(const uint8_t *module, uint32_t length, const lv_limits *limits)
{
    reader r = opened(module, length);
    contents found = {.imported = 0};
    while (r.at < r.end) {
        uint8_t kind;
        reader s = section(&r, &kind);
        switch (r.refused ? 0 : kind) {
        case 0: case FUNCTION: break;
        case TYPE: found.types = s; check_types(&s); break;
        case IMPORT: check_imports(&s, &found); break;
        case TABLE: check_table(&s); break;
        case MEMORY: check_memory(&s, limits->memory_pages); break;
        case GLOBAL: check_globals(&s); break;
        case EXPORT: check_exports(&s, &found); break;
        case START: s.refused = LV_LOAD_START; break;
        case ELEMENT: case DATA: check_segments(&s, kind); break;
        case CODE: check_code(&s); break;
        default: s.refused = outside(kind, 0);
        }
        if (s.refused)
            refuse(&r, s.refused);
    }
    if (found.passes_text && !found.exports_memory)
        refuse(&r, LV_LOAD_EXPORT);
    return r.refused;
}

/* --- state in globals ----------------------------------------------------------------------------
 *
 * Follows every function that sets the one global that is set, as guest/module/state.py describes it. */

/* What is known of an operand: a number, or the global at the entry and an offset. */
typedef struct {
    enum { ANY, CONSTANT, ENTRY } kind;
    uint32_t offset;
} value;

typedef struct {
    bool live; /* else control never comes here, and the offset says nothing */
    uint32_t offset;
} place;

typedef struct {
    uint16_t opcode;
    place begin;
    place end; /* as far as branches have come there */
} frame;

typedef struct {
    uint32_t tracked; /* the global */
    place here;
    value top[2]; /* the uppermost operands, the last first */
    bool kept;    /* the address of the frame is in a local */
    uint32_t kept_in;
    uint32_t kept_offset;
    bool lost; /* the global may differ at an end, or that is not known */
    uint32_t depth;
} follower;

static frame frames[NESTING + 1]; /* the first is the function's own */

static void push(follower *f, value v)
{
    f->top[1] = f->top[0];
    f->top[0] = v;
}

static value pop(follower *f)
{
    value v = f->top[0];
    f->top[0] = f->top[1];
    f->top[1].kind = ANY;
    return v;
}

static void join(follower *f, place *at, place from)
{
    if (!from.live)
        return;
    if (at->live && at->offset != from.offset)
        f->lost = true;
    *at = from;
}

static void branch(follower *f, uint32_t label)
{
    if (label >= f->depth) {
        f->lost = true;
        return;
    }
    frame *target = &frames[f->depth - 1 - label];
    if (target->opcode == LOOP) {
        place begin = target->begin;
        join(f, &begin, f->here);
    } else
        join(f, &target->end, f->here);
}

static value sum(uint16_t opcode, value right, value left)
{
    value v = {ANY, 0};
    if (left.kind == ENTRY && right.kind == CONSTANT) {
        v.kind = ENTRY;
        v.offset = opcode == I32_ADD ? left.offset + right.offset : left.offset - right.offset;
    } else if (opcode == I32_ADD && left.kind == CONSTANT && right.kind == ENTRY) {
        v.kind = ENTRY;
        v.offset = left.offset + right.offset;
    }
    return v;
}

/* How often the instructions set that local: 0, 1, or 2 for more. */
static int assignments(reader code, uint32_t local)
{
    int count = 0;
    while (code.at < code.end && count < 2) {
        instruction i = next(&code);
        if (i.opcode == BR_TABLE)
            for (uint64_t k = 0; k <= i.value && !code.refused; k++)
                (void)number(&code);
        count += (i.opcode == LOCAL_SET || i.opcode == LOCAL_TEE) && i.value == local;
    }
    return count;
}

/* Whether it is an instruction whose effect on known operands is known. */
static bool operand(follower *f, instruction i, reader code)
{
    value v = {ANY, 0};
    switch (i.opcode) {
    case GLOBAL_GET:
        if (i.value == f->tracked && f->here.live)
            v = (value){ENTRY, f->here.offset};
        break;
    case I32_CONST:
        v = (value){CONSTANT, i.value};
        break;
    case I32_ADD: case I32_SUB: {
        value right = pop(f);
        v = sum(i.opcode, right, pop(f));
        break;
    }
    case LOCAL_GET:
        if (f->kept && i.value == f->kept_in)
            v = (value){ENTRY, f->kept_offset};
        break;
    case LOCAL_SET: case LOCAL_TEE:
        v = pop(f);
        if (!f->kept && v.kind == ENTRY && f->depth == 1 && assignments(code, i.value) == 1) {
            f->kept = true;
            f->kept_in = i.value;
            f->kept_offset = v.offset;
        }
        if (i.opcode == LOCAL_SET)
            return true;
        break;
    case GLOBAL_SET:
        v = pop(f);
        if (f->here.live && v.kind != ENTRY)
            f->lost = true;
        f->here.offset = v.offset;
        return true;
    case NOP:
        return true;
    default:
        return false;
    }
    push(f, v);
    return true;
}

static void close_frame(follower *f)
{
    if (f->depth == 0) {
        f->lost = true;
        return;
    }
    frame *closed = &frames[--f->depth];
    join(f, &closed->end, f->here);
    if (closed->opcode == IF) /* without an else */
        join(f, &closed->end, closed->begin);
    f->here = closed->end;
    if (f->depth == 0 && f->here.live && f->here.offset != 0)
        f->lost = true;
}

static void control(follower *f, instruction i, reader *r)
{
    switch (i.opcode) {
    case BLOCK: case LOOP: case IF:
        if (f->depth > NESTING)
            f->lost = true;
        else
            frames[f->depth++] = (frame){i.opcode, f->here, {false, 0}};
        break;
    case ELSE:
        if (f->depth == 0) {
            f->lost = true;
            break;
        }
        frames[f->depth - 1].opcode = ELSE;
        join(f, &frames[f->depth - 1].end, f->here);
        f->here = frames[f->depth - 1].begin;
        break;
    case END:
        close_frame(f);
        break;
    case BR_TABLE:
        for (uint64_t k = 0; k <= i.value && !r->refused; k++)
            branch(f, number(r));
        f->here.live = false;
        break;
    case BR: case BR_IF:
        branch(f, i.value);
        f->here.live = f->here.live && i.opcode == BR_IF;
        break;
    case RETURN:
        branch(f, f->depth - 1);
        f->here.live = false;
        break;
    case UNREACHABLE:
        f->here.live = false;
        break;
    default:
        break;
    }
}

/* Whether a function leaves the global as it found it. */
static bool restores(reader r, uint32_t tracked)
{
    follower f = {.tracked = tracked, .here = {true, 0}, .depth = 1};
    const reader code = r;
    frames[0] = (frame){BLOCK, {true, 0}, {false, 0}};
    while (r.at < r.end && !f.lost) {
        instruction i = next(&r);
        if (operand(&f, i, code))
            continue;
        f.top[0].kind = f.top[1].kind = ANY;
        control(&f, i, &r);
    }
    return !r.refused && !f.lost && f.depth == 0;
}

/* The globals that a function sets: none, one and which, or 2 for more. */
static int globals_set(reader r, uint32_t *which, int before)
{
    while (r.at < r.end && before < 2) {
        instruction i = next(&r);
        if (i.opcode == BR_TABLE)
            for (uint64_t k = 0; k <= i.value && !r.refused; k++)
                (void)number(&r);
        if (i.opcode != GLOBAL_SET || (before && i.value == *which))
            continue;
        before++;
        *which = i.value;
    }
    return before;
}

static reader code_of(const uint8_t *module, uint32_t length)
{
    reader r = opened(module, length);
    while (r.at < r.end) {
        uint8_t kind;
        reader s = section(&r, &kind);
        if (kind == CODE)
            return s;
    }
    return (reader){NULL, NULL, 0};
}

bool lv_module_keeps_globals(const uint8_t *module, uint32_t length)
{
    uint32_t tracked = 0;
    int set = 0;
    for (int pass = 0; pass < 2; pass++) { /* first which are set, then by whom and how */
        reader r = code_of(module, length);
        for (uint32_t count = r.at < r.end ? number(&r) : 0; count && !r.refused; count--) {
            reader body = part(&r, number(&r));
            (void)locals(&body);
            uint32_t which = tracked;
            if (pass == 0)
                set = globals_set(body, &tracked, set);
            else if (globals_set(body, &which, 0) && !restores(body, tracked))
                return true;
        }
        if (set > 1)
            return true;
    }
    return false;
}
