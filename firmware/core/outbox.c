#include "outbox.h"

#include "contract.h"

/* By difference: numbers and times may wrap. */
static bool is_before(uint32_t a, uint32_t b) { return (int32_t)(a - b) < 0; }

void lv_outbox_begin(lv_outbox *outbox) { *outbox = (lv_outbox){.running = false}; }

void lv_outbox_again(lv_outbox *outbox) { outbox->running = false; }

static void start_round(lv_outbox *outbox, uint32_t oldest, uint32_t now_ms)
{
    outbox->next = outbox->base = oldest;
    outbox->heard_ms = now_ms;
    if (outbox->reached == 0 || is_before(outbox->reached, oldest))
        outbox->reached = oldest;
}

bool lv_outbox_due(lv_outbox *outbox, const lv_ring *ring, uint32_t now_ms, uint16_t *index)
{
    uint32_t oldest = ring->next - ring->waiting;
    if (!outbox->running)
        start_round(outbox, oldest, now_ms);
    outbox->running = true;
    if (is_before(outbox->base, oldest))
        outbox->base = oldest;
    if (is_before(outbox->next, oldest))
        outbox->next = oldest;
    if (ring->waiting == 0)
        return false;
    if (outbox->next == ring->next) {
        if (now_ms - outbox->heard_ms <= LV_OUTBOX_AGAIN_MS)
            return false;
        start_round(outbox, oldest, now_ms);
    } else if (outbox->next - outbox->base >= LV_OUTBOX_WINDOW) {
        if (now_ms - outbox->sent_ms <= LV_OUTBOX_PATIENCE_MS)
            return false;
        outbox->base = outbox->next;
    }
    *index = (uint16_t)(outbox->next - oldest);
    return true;
}

void lv_outbox_sent(lv_outbox *outbox, uint32_t now_ms)
{
    LV_ASSERT(outbox->running); /* due */
    outbox->next++;
    outbox->sent_ms = now_ms;
    if (is_before(outbox->reached, outbox->next))
        outbox->reached = outbox->next;
}

void lv_outbox_heard(lv_outbox *outbox, uint32_t now_ms) { outbox->heard_ms = now_ms; }

bool lv_outbox_has_sent(const lv_outbox *outbox, uint32_t sequence)
{
    return outbox->reached != 0 && is_before(sequence, outbox->reached);
}

void lv_outbox_confirmed(const lv_outbox *outbox, lv_ring *ring)
{
    if (outbox->running)
        lv_ring_acknowledge(ring, outbox->next - 1);
}
