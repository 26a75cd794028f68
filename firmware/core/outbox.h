/*
 * Which record of the ring leaves next, over a connection that may lose it.
 *
 * Records leave in their order, LV_OUTBOX_WINDOW at once; an acknowledgement lets as many more go as
 * it covers.  Without one for LV_OUTBOX_PATIENCE_MS the next go all the same: what nobody takes,
 * or only the oldest of it, must not hold up what is newer.  Once all have left, and nothing was
 * acknowledged for LV_OUTBOX_AGAIN_MS, they leave again from the oldest.  Whoever stores them
 * knows them by number.
 */
#ifndef LEVADA_OUTBOX_H
#define LEVADA_OUTBOX_H

#include "ring.h"

enum { LV_OUTBOX_WINDOW = 8, LV_OUTBOX_PATIENCE_MS = 5000, LV_OUTBOX_AGAIN_MS = 30000 };

typedef struct {
    bool running;      /* the numbers below hold */
    uint32_t next;     /* number of the record that is to leave */
    uint32_t base;     /* and of the first of its window */
    uint32_t reached;  /* all before it have left at least once */
    uint32_t sent_ms;  /* when the last has left */
    uint32_t heard_ms; /* when one was acknowledged, or this round began */
} lv_outbox;

/* Nothing has left: for a new client, which has numbers of its own for what it sends. */
void lv_outbox_begin(lv_outbox *outbox);
/* What was on its way may be lost: from the oldest, at once. */
void lv_outbox_again(lv_outbox *outbox);
/* Whether a record is to leave now, and how far it is behind the oldest of the ring; `now_ms` is any
 * clock that only goes forward, and may wrap. */
bool lv_outbox_due(lv_outbox *outbox, const lv_ring *ring, uint32_t now_ms, uint16_t *index);
/* The record that lv_outbox_due has named has left. */
void lv_outbox_sent(lv_outbox *outbox, uint32_t now_ms);
/* Something was acknowledged, and has left the ring. */
void lv_outbox_heard(lv_outbox *outbox, uint32_t now_ms);
/* Whether the record of that number has left before. */
bool lv_outbox_has_sent(const lv_outbox *outbox, uint32_t sequence);
/* Whoever took what has left keeps it: the ring need not, and lets go of it. */
void lv_outbox_confirmed(const lv_outbox *outbox, lv_ring *ring);

#endif
