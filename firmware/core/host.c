#include "host.h"

#include <string.h>

#include "bytes.h"

static void join(char *out, const char *prefix, const char *node)
{
    size_t p = strlen(prefix);
    size_t n = strlen(node);
    memcpy(out, prefix, p);
    memcpy(out + p, node, n);
    memcpy(out + p + n, "/", 2);
}

void lv_host_configure(lv_host *host, const lv_msg_configure *m)
{
    LV_ASSERT(m->pin_count <= LV_PINS);
    LV_ASSERT(memchr(m->node, 0, sizeof m->node) && memchr(m->prefix, 0, sizeof m->prefix));
    join(host->prefix, m->prefix, m->node);
    join(host->alias, m->prefix, "esp32");
    memcpy(host->counts, m->counts, sizeof host->counts);
    host->allowed = m->imports;
    if (host->pin_count != m->pin_count || memcmp(host->pins, m->pins, m->pin_count) != 0) {
        lv_host_close_outputs(host); /* of the old map */
        host->ever_set = 0;
        host->pin_count = m->pin_count;
        memcpy(host->pins, m->pins, m->pin_count);
    }
    host->call_limit = m->host_calls;
    host->log_limit = m->log_bytes;
    host->publish_limit = m->publish_bytes;
}

/* 13 bytes are the most that a call takes besides its text; BOOT, STEP, RETURN and TRAP 26 */
static uint64_t room(uint32_t calls, uint32_t log_bytes, uint32_t publish_bytes)
{
    return 26 + 13 * (uint64_t)calls + log_bytes + publish_bytes;
}

uint64_t lv_host_tape_room(const lv_msg_configure *m)
{
    return room(m->host_calls, m->log_bytes, m->publish_bytes);
}

uint64_t lv_host_run_room(const lv_host *host)
{
    return room(host->call_limit, host->log_limit, host->publish_limit);
}

void lv_host_renew_budget(lv_host *host)
{
    host->calls = 0;
    host->logged = 0;
    host->published = 0;
}

void lv_host_begin(lv_host *host, int64_t time_ms, uint8_t entry)
{
    lv_host_renew_budget(host);
    host->time_ms = time_ms;
    host->delayed_ms = 0;
    host->trap = LV_TRAP_NONE;
    host->trap_call = 0;
    lv_tape_begin(&host->tape, time_ms, entry);
}

void lv_host_close_outputs(lv_host *host)
{
    host->outputs = host->wished = 0;
    for (int k = 0; k < host->pin_count; k++)
        host->config->output(host->config->context, host->pins[k], 0);
}

void lv_host_hold_outputs(lv_host *host)
{
    lv_host_close_outputs(host);
    host->held = true;
}

void lv_host_release_outputs(lv_host *host)
{
    host->held = false;
    for (int k = 0; k < host->pin_count; k++)
        if ((host->outputs ^ host->wished) >> k & 1)
            host->config->output(host->config->context, host->pins[k], host->wished >> k & 1);
    host->outputs = host->wished;
}

static void stop(lv_host *host, uint8_t call, uint8_t trap)
{
    host->trap = trap;
    host->trap_call = call;
}

static bool enter(lv_host *host, uint8_t call)
{
    if (host->config->at)
        host->config->at(host->config->context, LV_AT_CALL);
    if (!(host->allowed >> call & 1)) {
        stop(host, call, LV_TRAP_DENIED);
        return false;
    }
    host->total_calls++;
    if (++host->calls > host->call_limit) {
        stop(host, call, LV_TRAP_HOST_CALLS);
        return false;
    }
    return true;
}

/* Sensors that tell what has come since they were read last; of the carried ones, a run that does not
 * ask leaves it to the next one. */
enum {
    CARRIED = 1 << LV_SENSOR_RAIN | 1 << LV_SENSOR_ET0,
    COUNTED = 1 << LV_SENSOR_FLOW | CARRIED,
    FIRST_FURTHER = LV_SENSOR_FLOW + 1, /* before it, those of which every step tells */
};

void lv_host_forget_readings(lv_host *host)
{
    for (int k = 0; k < LV_SENSORS; k++)
        host->readings[k] = LV_RESULT_UNAVAILABLE;
    host->read = 0;
}

static int32_t further_kind(const lv_msg_step *m, int k)
{
    return (int32_t)lv_get32(m->further + 8 * k);
}

bool lv_host_has_sensors(const lv_msg_step *m)
{
    for (int k = 0; k < m->further_count; k++)
        if (further_kind(m, k) < FIRST_FURTHER || further_kind(m, k) >= LV_SENSORS)
            return false;
    return true;
}

void lv_host_inject(lv_host *host, const lv_msg_step *m)
{
    int32_t readings[LV_SENSORS];
    for (int k = 0; k < LV_SENSORS; k++)
        readings[k] = k < FIRST_FURTHER ? m->readings[k] : LV_RESULT_UNAVAILABLE;
    for (int k = 0; k < m->further_count; k++)
        readings[further_kind(m, k)] = (int32_t)lv_get32(m->further + 8 * k + 4);
    for (int k = 0; k < LV_SENSORS; k++) {
        int32_t unread = CARRIED >> k & 1 && !(host->read >> k & 1) ? host->readings[k] : 0;
        if (unread > 0 && readings[k] >= 0)
            readings[k] = readings[k] > INT32_MAX - unread ? INT32_MAX : readings[k] + unread;
        host->readings[k] = readings[k];
    }
    host->read = 0;
}

int32_t lv_call_read_sensor(lv_host *host, int32_t kind)
{
    int32_t result = LV_RESULT_INVALID;
    if (!enter(host, LV_CALL_READ_SENSOR))
        return 0;
    if (kind >= 0 && kind < LV_SENSORS) {
        result = host->readings[kind];
        if (result >= 0 && COUNTED >> kind & 1) {
            if (host->read >> kind & 1)
                result = 0;
            host->read |= (uint8_t)(1 << kind);
        }
    }
    lv_tape_numbers(&host->tape, LV_CALL_READ_SENSOR, 2, kind, result, 0);
    return result;
}

void lv_call_set_output(lv_host *host, int32_t pin, int32_t state)
{
    if (!enter(host, LV_CALL_SET_OUTPUT))
        return;
    for (int k = 0; k < host->pin_count; k++) {
        uint16_t bit = (uint16_t)(1u << k);
        if (host->pins[k] != pin)
            continue;
        host->wished = (uint16_t)(state ? host->wished | bit : host->wished & ~bit);
        host->ever_set |= bit;
        if (host->held)
            continue;
        host->outputs = host->wished;
        host->config->output(host->config->context, host->pins[k], state != 0);
    }
    lv_tape_numbers(&host->tape, LV_CALL_SET_OUTPUT, 2, pin, state, 0);
}

int32_t lv_call_get_config(lv_host *host, int32_t key)
{
    int32_t result = LV_RESULT_INVALID;
    if (!enter(host, LV_CALL_GET_CONFIG))
        return 0;
    if (key >= 0 && key < 3)
        result = host->counts[key];
    lv_tape_numbers(&host->tape, LV_CALL_GET_CONFIG, 2, key, result, 0);
    return result;
}

static uint32_t at_most(uint32_t value, uint32_t limit) { return value < limit ? value : limit; }

/* Whether `bytes` more are within the limit; counts them.  Saturates, so that it cannot wrap. */
static bool spend(uint32_t *used, uint32_t bytes, uint32_t limit)
{
    *used = *used > UINT32_MAX - bytes ? UINT32_MAX : *used + bytes;
    return *used <= limit;
}

int32_t lv_call_mqtt_publish(lv_host *host, lv_text topic, lv_text message)
{
    int32_t result;
    if (!enter(host, LV_CALL_MQTT_PUBLISH))
        return 0;
    if (!topic.valid || !message.valid) {
        stop(host, LV_CALL_MQTT_PUBLISH, LV_TRAP_POINTER);
        return 0;
    }
    uint32_t topic_kept = at_most(topic.length, LV_TOPIC_BYTES);
    uint32_t message_kept = at_most(message.length, LV_MESSAGE_BYTES);
    if (!spend(&host->published, topic_kept + message_kept, host->publish_limit)) {
        stop(host, LV_CALL_MQTT_PUBLISH, LV_TRAP_PUBLISH_BYTES);
        return 0;
    }
    if (message.length > LV_MESSAGE_BYTES || !lv_topic_allowed(host, topic.bytes, topic.length) ||
        !lv_utf8_valid(message.bytes, message.length)) {
        result = LV_RESULT_REFUSED;
    } else {
        /* offline or not, the ring keeps it until somebody has stored it */
        result = host->online ? LV_RESULT_OK : LV_RESULT_OFFLINE;
        lv_ring_put(host->ring, host->time_ms + host->delayed_ms, topic.bytes, topic.length,
                    message.bytes, message.length);
        host->total_published += topic.length + message.length;
    }
    lv_tape_publish(&host->tape, topic.bytes, topic_kept, message.bytes, message_kept, result);
    return result;
}

void lv_call_wasm_log(lv_host *host, lv_text message)
{
    if (!enter(host, LV_CALL_WASM_LOG))
        return;
    if (!message.valid) {
        stop(host, LV_CALL_WASM_LOG, LV_TRAP_POINTER);
        return;
    }
    uint32_t kept = at_most(message.length, LV_LOG_BYTES);
    if (!spend(&host->logged, kept, host->log_limit)) {
        stop(host, LV_CALL_WASM_LOG, LV_TRAP_LOG_BYTES);
        return;
    }
    lv_tape_log(&host->tape, message.bytes, kept);
}

void lv_call_log_int(lv_host *host, int32_t value)
{
    if (!enter(host, LV_CALL_LOG_INT))
        return;
    if (!spend(&host->logged, 4, host->log_limit)) {
        stop(host, LV_CALL_LOG_INT, LV_TRAP_LOG_BYTES);
        return;
    }
    lv_tape_numbers(&host->tape, LV_CALL_LOG_INT, 1, value, 0, 0);
}

lv_pause lv_call_delay_ms(lv_host *host, int32_t ms)
{
    if (!enter(host, LV_CALL_DELAY_MS))
        return LV_RESUME;
    host->delayed_ms += ms > 0 ? ms : 0;
    lv_tape_numbers(&host->tape, LV_CALL_DELAY_MS, 1, ms, 0, 0);
    if (host->pausing && host->config->guest_pause(host->config->context) != 0)
        return LV_UNWIND;
    return LV_RESUME;
}

/* Whole seconds as i32, which wraps. */
static int32_t seconds(int64_t ms)
{
    int64_t floor = ms / 1000 - (ms % 1000 < 0);
    return (int32_t)(uint32_t)(uint64_t)floor;
}

int32_t lv_call_now_s(lv_host *host)
{
    if (!enter(host, LV_CALL_NOW_S))
        return 0;
    int32_t result = seconds(host->time_ms + host->delayed_ms);
    lv_tape_numbers(&host->tape, LV_CALL_NOW_S, 1, result, 0, 0);
    return result;
}

int32_t lv_call_uptime_s(lv_host *host)
{
    if (!enter(host, LV_CALL_UPTIME_S))
        return 0;
    int32_t result = seconds(host->uptime_ms + host->delayed_ms);
    lv_tape_numbers(&host->tape, LV_CALL_UPTIME_S, 1, result, 0, 0);
    return result;
}

int32_t lv_call_keep_get(lv_host *host, int32_t slot)
{
    if (!enter(host, LV_CALL_KEEP_GET))
        return 0;
    int32_t result = slot >= 0 && slot < LV_KEEP_SLOTS ? host->kept->values[slot] : LV_RESULT_INVALID;
    lv_tape_numbers(&host->tape, LV_CALL_KEEP_GET, 2, slot, result, 0);
    return result;
}

int32_t lv_call_keep_set(lv_host *host, int32_t slot, int32_t value)
{
    int32_t result = LV_RESULT_INVALID;
    if (!enter(host, LV_CALL_KEEP_SET))
        return 0;
    if (slot >= 0 && slot < LV_KEEP_SLOTS) {
        lv_kept_set(host->kept, slot, value);
        result = LV_RESULT_OK;
    }
    lv_tape_numbers(&host->tape, LV_CALL_KEEP_SET, 3, slot, value, result);
    return result;
}

/* RFC 3629, section 4 */
bool lv_utf8_valid(const uint8_t *text, uint32_t length)
{
    uint32_t k = 0;
    LV_ASSERT(text || length == 0);
    while (k < length) {
        uint8_t lead = text[k++];
        uint8_t low = 0x80;
        uint8_t high = 0xBF;
        int tail;
        if (lead < 0x80)
            continue;
        if (lead >= 0xC2 && lead <= 0xDF)
            tail = 1;
        else if (lead >= 0xE0 && lead <= 0xEF) {
            tail = 2;
            if (lead == 0xE0) /* else longer than needed */
                low = 0xA0;
            else if (lead == 0xED) /* surrogates */
                high = 0x9F;
        } else if (lead >= 0xF0 && lead <= 0xF4) {
            tail = 3;
            if (lead == 0xF0)
                low = 0x90;
            else if (lead == 0xF4) /* beyond U+10FFFF */
                high = 0x8F;
        } else
            return false;
        for (; tail; tail--, k++) {
            if (k == length || text[k] < low || text[k] > high)
                return false;
            low = 0x80;
            high = 0xBF;
        }
    }
    return true;
}

static bool starts_with(const uint8_t *text, uint32_t length, const char *prefix)
{
    size_t size = strlen(prefix);
    return length >= size && memcmp(text, prefix, size) == 0;
}

/* A bare level, or the node's own prefix and more; no empty level, no `.` and `..`, none of `+`,
 * `#`, `$` and control characters. */
bool lv_topic_allowed(const lv_host *host, const uint8_t *topic, uint32_t length)
{
    uint32_t level = 0; /* bytes in this level so far */
    uint32_t dots = 0;  /* of which dots */
    bool bare = true;
    if (length == 0 || length > LV_TOPIC_BYTES || !lv_utf8_valid(topic, length))
        return false;
    for (uint32_t k = 0; k <= length; k++) {
        uint8_t c = k == length ? '/' : topic[k];
        if (c == '/') {
            if (level == 0 || (dots == level && level <= 2))
                return false;
            bare = bare && k == length;
            level = dots = 0;
        } else if (c < 0x20 || c == 0x7F || c == '#' || c == '$' || c == '+')
            return false;
        else {
            level++;
            dots += c == '.';
        }
    }
    return bare || starts_with(topic, length, host->prefix) ||
           starts_with(topic, length, host->alias);
}
