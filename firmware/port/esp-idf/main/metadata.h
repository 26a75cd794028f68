/* What a guest says about itself: JSON in its custom section `levada` (docs/abi.md). */
#ifndef LEVADA_METADATA_H
#define LEVADA_METADATA_H

#include "../../../core/node.h"
#include "cJSON.h"

/* Of the guest in use, to be deleted; NULL if it says nothing. */
cJSON *metadata_read(const lv_node *node);
/* The id of a parameter by its name. */
bool metadata_find(const cJSON *metadata, const char *name, int32_t *id);
/* Values in force of all parameters, by name, to be deleted; none before the guest has started. */
cJSON *metadata_values(const cJSON *metadata, lv_node *node);
/* The name of a parameter by its id; NULL if there is none. */
const char *metadata_name(const cJSON *metadata, int32_t id);

#endif
