#include "trust.h"

#include <string.h>

#include "esp_check.h"
#include "esp_log.h"
#include "sdkconfig.h"
#include "sodium.h"
#include "watchdog.h"

static const char *const texts[LV_KEYS] = {CONFIG_LEVADA_TRUSTED_KEY_1,
                                           CONFIG_LEVADA_TRUSTED_KEY_2};

static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool read_key(const char *text, uint8_t key[32])
{
    if (strlen(text) != 64)
        return false;
    for (int k = 0; k < 32; k++) {
        int high = digit(text[2 * k]);
        int low = digit(text[2 * k + 1]);
        if (high < 0 || low < 0)
            return false;
        key[k] = (uint8_t)(high << 4 | low);
    }
    return true;
}

uint8_t trust_load(uint8_t keys[LV_KEYS][32])
{
    uint8_t count = 0;
    for (int k = 0; k < LV_KEYS; k++) {
        if (!*texts[k])
            continue;
        if (!read_key(texts[k], keys[count])) {
            ESP_LOGE("levada", "trusted key %d is not 64 hexadecimal digits", k + 1);
            ESP_ERROR_CHECK(ESP_ERR_INVALID_ARG);
        }
        count++;
    }
    if (count && sodium_init() < 0)
        ESP_ERROR_CHECK(ESP_FAIL);
    return count;
}

int trust_verify(void *context, const uint8_t signature[64], const uint8_t *message, size_t length,
                 const uint8_t key[32])
{
    (void)context;
    watchdog_feed(); /* it has the whole of the watchdog's time, of which it needs a part */
    int refused = crypto_sign_ed25519_verify_detached(signature, message, length, key);
    watchdog_feed();
    return refused ? -1 : 0;
}
