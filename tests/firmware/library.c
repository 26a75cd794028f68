/* The core as a shared library: what tests in Python call. */
#include <string.h>

#include "bytes.h"
#include "frame.h"
#include "host.h"
#include "sha256.h"

int lv_test_copy(uint8_t type, const uint8_t *body, size_t length, uint8_t *out);
size_t lv_test_decode(const uint8_t *bytes, size_t length, size_t piece, uint8_t *out, size_t room);
bool lv_test_topic(const char *node, const uint8_t *topic, uint32_t length);

/* The body unpacked and packed again: its length, or minus an lv_status. */
int lv_test_copy(uint8_t type, const uint8_t *body, size_t length, uint8_t *out)
{
    size_t copied = 0;
    lv_status status = lv_message_copy(type, body, length, out, &copied);
    return status == LV_OK ? (int)copied : -(int)status;
}

/* Feed a stream; for each result a record: i8 status, and for a frame u8 type, u16 sequence, u16
 * length, body.  `piece` only says that state is kept between calls of any size. */
size_t lv_test_decode(const uint8_t *bytes, size_t length, size_t piece, uint8_t *out, size_t room)
{
    static lv_frame_decoder decoder;
    size_t used = 0;
    if (piece == 0)
        lv_frame_reset(&decoder);
    for (size_t k = 0; k < length; k++) {
        lv_frame_status status = lv_frame_feed(&decoder, bytes[k]);
        if (status == LV_FRAME_NONE)
            continue;
        size_t need = status == LV_FRAME_READY ? 6u + decoder.length : 1u;
        if (room - used < need)
            return SIZE_MAX;
        out[used] = (uint8_t)(int8_t)status;
        if (status == LV_FRAME_READY) {
            out[used + 1] = decoder.type;
            lv_put16(out + used + 2, decoder.sequence);
            lv_put16(out + used + 4, decoder.length);
            memcpy(out + used + 6, decoder.body, decoder.length);
        }
        used += need;
    }
    return used;
}

static void no_output(void *context, uint8_t pin, uint8_t state)
{
    (void)context;
    (void)pin;
    (void)state;
}

bool lv_test_topic(const char *node, const uint8_t *topic, uint32_t length)
{
    static const lv_config config = {.output = no_output};
    lv_host host = {.config = &config};
    lv_msg_configure m = {.prefix = "ic/"};
    strncpy(m.node, node, sizeof m.node - 1);
    lv_host_configure(&host, &m);
    return lv_topic_allowed(&host, topic, length);
}
