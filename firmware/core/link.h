/*
 * The device's end of the line: bytes in, one answer out for each request.
 *
 * A request is executed once.  The answer is kept, and a request with the same sequence number is
 * answered from it; one that is neither that nor the successor is refused.  HELLO begins a session
 * with any number, so a device that has restarted executes nothing from before.  A heartbeat stands
 * outside all that: it renews the lease of the session that it names, and is not answered.
 */
#ifndef LEVADA_LINK_H
#define LEVADA_LINK_H

#include "frame.h"
#include "node.h"

typedef struct {
    lv_node *node;
    lv_frame_decoder decoder;
    bool session;
    uint32_t session_number; /* as its host chose it */
    bool heard;              /* the host of the session, since the last tick */
    uint16_t sequence; /* of the last request */
    bool answered;     /* and whether its answer is kept */
    bool restart;      /* once the answer is sent */
    uint8_t body[LV_MAX_BODY];
    uint8_t answer[LV_FRAME_ENCODED];
    uint16_t answer_length;

    uint32_t frames;
    uint32_t bad_frames;
    uint32_t repeats;
} lv_link;

/* A line without a session, for a node that was initialised and must outlive it. */
void lv_link_init(lv_link *link, lv_node *node);
/* Take any bytes from the line, NULL if there are none, and answer each request that they complete:
 * blocks as long as `send` of the port, and as the guest that is asked to run. */
void lv_link_receive(lv_link *link, const uint8_t *bytes, size_t length);
/* Let time pass: `now_ms` is any clock that only goes forward.  Call it after every
 * lv_link_receive, whether more has come or not, and at least every 100 ms. */
void lv_link_tick(lv_link *link, uint32_t now_ms);

#endif
