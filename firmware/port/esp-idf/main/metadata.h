/* What the guest says of itself in its custom section `levada` (docs/abi.md), read where it lies. */
#ifndef LEVADA_METADATA_H
#define LEVADA_METADATA_H

#include "../../../core/json.h"
#include "../../../core/node.h"

enum { METADATA_NAME_BYTES = 33 }; /* longest name of anything, and a NUL */

/* None if there is no guest, or it says nothing that can be read. */
lv_json metadata_read(const lv_node *node);
/* The same of a module that lies in memory, which may be NULL. */
lv_json metadata_of(const uint8_t *module, uint32_t size);
/* Ids (4 bytes each) of the parameters that both declare with the same name, range and unit: the
 * number of bytes, `most` at most. */
uint16_t metadata_carried(lv_json former, lv_json new, uint8_t *ids, uint16_t most);
/* Id of a parameter. */
bool metadata_find(lv_json metadata, const char *name, int32_t *id);
/* Name of a parameter; empty if there is none of that id. */
void metadata_name(lv_json metadata, int32_t id, char name[METADATA_NAME_BYTES]);
/* Two digits for each byte, and a NUL. */
void metadata_hexadecimal(const uint8_t *bytes, size_t count, char *out);
/* The same, of 32 bytes at most, as a text. */
void metadata_put_bytes(lv_json_writer *w, const char *name, const uint8_t *bytes, size_t count);
/* Writes an object: every parameter that the guest has, by name, with its value. */
void metadata_put_values(lv_json_writer *w, const char *name, lv_json metadata, lv_node *node);

#endif
