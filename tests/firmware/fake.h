/*
 * A board made of memory, for unit tests and fuzzing: flash that fails or loses power at a chosen
 * byte, pins that are remembered, and a guest that does what a test says.
 */
#ifndef LEVADA_FAKE_H
#define LEVADA_FAKE_H

#include <setjmp.h>

#include "link.h"

enum { FAKE_OPERATIONS = 64 };
enum { FAKE_SLOT_BYTES = 2048, FAKE_TAPE = 8192, FAKE_RING = 700, FAKE_SENT = 1 << 16, FAKE_PARAMETERS = 4 };

typedef struct fake {
    lv_config config;
    lv_node node;
    lv_link link;

    /* flash */
    uint8_t records[LV_RECORDS][LV_ENVELOPE_RECORD_BYTES]; /* the longest */
    uint8_t slots[LV_SLOTS][FAKE_SLOT_BYTES];
    long power; /* bytes that may be written before the power goes; negative: any number */
    jmp_buf cut;
    bool flash_broken;
    int failing; /* operation that is refused, from 1; 0: none */
    uint32_t litter; /* seed of what a cut leaves where it should have written; 0: what was there */
    long written;    /* bytes since the start of this board, erased ones among them */
    int operations;  /* on flash; of the first ones: at which byte they began, and how long they are */
    struct {
        long at;
        uint32_t length;
        bool record;
    } operation[FAKE_OPERATIONS];

    /* pins and board */
    uint8_t pins[256];
    int pin_writes;
    int valve_at_send; /* level of pin 23 when something was last sent */
    uint32_t watchdog_ms;
    bool watchdog_was_armed; /* in a call of the guest */
    uint32_t load_watchdog_ms; /* while it was loaded */
    int restarts;
    uint32_t clock_us;

    /* the guest */
    bool loaded;
    const uint8_t *module; /* that was loaded last */
    int load_result;
    void (*on_load)(struct fake *fake); /* what its start function does, or NULL */
    int (*behave)(struct fake *fake, lv_export which, const int32_t *arguments, int32_t *result);
    int32_t parameters[FAKE_PARAMETERS]; /* 0..100 each, 10 at first */
    bool (*rule)(const int32_t *parameters); /* that they keep, or NULL */
    bool has[LV_EXPORTS];
    int unloads;
    int pauses;
    int pause_result;
    lv_limits limits; /* of the last check or load */
    lv_host *host;

    uint8_t ring[FAKE_RING];
    size_t sent_length;
    uint8_t tape[FAKE_TAPE]; /* from here on of no use to whoever starts it again */
    uint8_t sent[FAKE_SENT];
} fake;

/* Blank flash, power on. */
void fake_new(fake *f);
/* Start the firmware: what RAM held is gone, flash stays. */
void fake_boot(fake *f);
/* Make `wasm` the guest, as INSTALL does. */
lv_status fake_install(fake *f, const uint8_t *wasm, uint32_t size);
/* Send a request; the answer's type, 0 if there is none, and its body in *body. */
int fake_ask(fake *f, uint8_t type, uint16_t sequence, const uint8_t *body, size_t length,
             const uint8_t **answer, uint16_t *answer_length);

#endif
