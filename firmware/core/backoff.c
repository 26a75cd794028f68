#include "backoff.h"

#include "contract.h"

uint32_t lv_backoff_wait_ms(lv_backoff *backoff, uint32_t random)
{
    LV_ASSERT(backoff->first_ms >= 2 && backoff->first_ms <= backoff->most_ms);
    LV_ASSERT(backoff->most_ms <= UINT32_C(1) << 31);
    uint32_t longest = backoff->next_ms ? backoff->next_ms : backoff->first_ms;
    uint32_t half = longest / 2;
    backoff->next_ms = longest <= backoff->most_ms / 2 ? 2 * longest : backoff->most_ms;
    return longest - random % (half + 1);
}

void lv_backoff_reset(lv_backoff *backoff) { backoff->next_ms = 0; }
