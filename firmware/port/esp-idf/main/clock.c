#include "clock.h"

#include <stddef.h>
#include <sys/time.h>

#include "esp_check.h"
#include "esp_netif_sntp.h"
#include "esp_sntp.h"
#include "sdkconfig.h"

void clock_begin(void)
{
    static bool begun;
    const esp_sntp_config_t config = ESP_NETIF_SNTP_DEFAULT_CONFIG(CONFIG_LEVADA_SNTP_SERVER);
    if (!begun)
        ESP_ERROR_CHECK(esp_netif_sntp_init(&config));
    else
        (void)esp_netif_sntp_start();
    begun = true;
}

/* 2024-01-01, before which no board of this kind was set right. */
#define EARLIEST_MS 1704067200000LL

bool clock_is_set(void) { return clock_ms() > EARLIEST_MS; }

int64_t clock_ms(void)
{
    struct timeval now;
    gettimeofday(&now, NULL);
    return (int64_t)now.tv_sec * 1000 + now.tv_usec / 1000 + CONFIG_LEVADA_UTC_OFFSET_MIN * 60000LL;
}
