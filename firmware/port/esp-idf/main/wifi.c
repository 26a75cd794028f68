#include "wifi.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../../core/backoff.h"
#include "esp_check.h"
#include "esp_event.h"
#include "esp_log.h"
#include "esp_mac.h"
#include "esp_netif.h"
#include "esp_random.h"
#include "esp_srp.h"
#include "esp_timer.h"
#include "esp_wifi.h"
#include "freertos/FreeRTOS.h"
#include "freertos/event_groups.h"
#include "network_provisioning/manager.h"
#include "network_provisioning/scheme_softap.h"
#include "sdkconfig.h"
#include "settings.h"
#include "watchdog.h"

enum { CONNECTED = 1, PROVISIONED = 2, PASSWORD_LENGTH = 16, SALT_BYTES = 16, POLL_MS = 500 };
enum { PROVISION_S = 600 };

static const char tag[] = "wifi";
static const char prov_user[] = "levada";
static const char endpoint[] = "custom-data"; /* what `esp_prov --custom_data` writes to */
static EventGroupHandle_t events;
static atomic_bool wanted; /* and then it connects again and again, */
static lv_backoff backoff = {.first_ms = 500, .most_ms = 300000}; /* ever more slowly */
static esp_timer_handle_t retry;

static void connect_again(void *unused)
{
    (void)unused;
    if (wanted)
        (void)esp_wifi_connect();
}

static void on_event(void *context, esp_event_base_t base, int32_t id, void *data)
{
    (void)context;
    (void)data;
    if (base == WIFI_EVENT && id == WIFI_EVENT_STA_START && wanted)
        (void)esp_wifi_connect();
    else if (base == WIFI_EVENT && id == WIFI_EVENT_STA_DISCONNECTED) {
        xEventGroupClearBits(events, CONNECTED);
        if (wanted) /* already under way: then this one is too much */
            (void)esp_timer_start_once(retry,
                                       1000ULL * lv_backoff_wait_ms(&backoff, esp_random()));
    } else if (base == IP_EVENT && id == IP_EVENT_STA_GOT_IP) {
        lv_backoff_reset(&backoff);
        xEventGroupSetBits(events, CONNECTED);
    } else if (base == NETWORK_PROV_EVENT && id == NETWORK_PROV_WIFI_CRED_FAIL) {
        /* a password mistyped: it would be kept, and be a known network after the next start */
        ESP_LOGE(tag, "no connection to that network: forgotten, provision again");
        (void)network_prov_mgr_reset_wifi_sm_state_on_failure();
    } else if (base == NETWORK_PROV_EVENT && id == NETWORK_PROV_END)
        xEventGroupSetBits(events, PROVISIONED);
}

void wifi_begin(void)
{
    const wifi_init_config_t config = WIFI_INIT_CONFIG_DEFAULT();
    const esp_timer_create_args_t timer = {.callback = connect_again, .name = "wifi"};
    ESP_ERROR_CHECK(esp_timer_create(&timer, &retry));
    events = xEventGroupCreate();
    if (!events)
        ESP_ERROR_CHECK(ESP_ERR_NO_MEM);
    ESP_ERROR_CHECK(esp_netif_init());
    ESP_ERROR_CHECK(esp_event_loop_create_default());
    esp_netif_create_default_wifi_sta();
    ESP_ERROR_CHECK(esp_event_handler_register(WIFI_EVENT, ESP_EVENT_ANY_ID, on_event, NULL));
    ESP_ERROR_CHECK(
        esp_event_handler_register(IP_EVENT, IP_EVENT_STA_GOT_IP, on_event, NULL));
    ESP_ERROR_CHECK(
        esp_event_handler_register(NETWORK_PROV_EVENT, ESP_EVENT_ANY_ID, on_event, NULL));
    ESP_ERROR_CHECK(esp_wifi_init(&config));
}

/* Broker and credentials come over the same encrypted session. */
static esp_err_t take_settings(uint32_t session, const uint8_t *in, ssize_t in_length,
                               uint8_t **out, ssize_t *out_length, void *context)
{
    static const char yes[] = "{\"ok\":true}";
    static const char no[] = "{\"ok\":false}";
    const char *answer;
    (void)session;
    (void)context;
    answer = in && in_length > 0 && settings_take((const char *)in, (size_t)in_length) ? yes : no;
    *out = (uint8_t *)strdup(answer);
    *out_length = *out ? (ssize_t)strlen(answer) : 0;
    return *out ? ESP_OK : ESP_ERR_NO_MEM;
}

static void make_password(char *password)
{
    static const char letters[] = "abcdefghijkmnpqrstuvwxyz23456789"; /* 32: no bias */
    uint8_t random[PASSWORD_LENGTH];
    esp_fill_random(random, sizeof random);
    for (int k = 0; k < PASSWORD_LENGTH; k++)
        password[k] = letters[random[k] % 32];
    password[PASSWORD_LENGTH] = 0;
}

bool wifi_provision(bool wait)
{
    const network_prov_mgr_config_t config = {
        .scheme = network_prov_scheme_softap,
        .scheme_event_handler = NETWORK_PROV_EVENT_HANDLER_NONE,
        .app_event_handler = NETWORK_PROV_EVENT_HANDLER_NONE,
    };
    bool known = false;
    ESP_ERROR_CHECK(network_prov_mgr_init(config));
    ESP_ERROR_CHECK(network_prov_mgr_is_wifi_provisioned(&known));
    if (!known && wait) {
        char password[PASSWORD_LENGTH + 1];
        char name[16];
        uint8_t mac[6];
        char *salt = NULL;
        char *verifier = NULL;
        int verifier_length = 0;
        ESP_ERROR_CHECK(esp_wifi_set_mode(WIFI_MODE_STA));
        ESP_ERROR_CHECK(esp_wifi_start()); /* the random numbers come from the radio's noise */
        make_password(password);
        ESP_ERROR_CHECK(esp_srp_gen_salt_verifier(prov_user, sizeof prov_user - 1, password,
                                                  PASSWORD_LENGTH, &salt, SALT_BYTES, &verifier,
                                                  &verifier_length));
        const protocomm_security2_params_t secret = {.salt = salt,
                                                     .salt_len = SALT_BYTES,
                                                     .verifier = verifier,
                                                     .verifier_len = (uint16_t)verifier_length};
        esp_netif_create_default_wifi_ap();
        ESP_ERROR_CHECK(esp_read_mac(mac, ESP_MAC_WIFI_STA));
        snprintf(name, sizeof name, "levada-%02x%02x%02x", mac[3], mac[4], mac[5]);
        ESP_ERROR_CHECK(network_prov_mgr_endpoint_create(endpoint));
        ESP_ERROR_CHECK(
            network_prov_mgr_start_provisioning(NETWORK_PROV_SECURITY_2, &secret, name, NULL));
        ESP_ERROR_CHECK(network_prov_mgr_endpoint_register(endpoint, take_settings, NULL));
        ESP_LOGW(tag, "no network known: provision %s, user %s, password %s (%d s)", name,
                 prov_user, password, PROVISION_S);
        for (int waited_ms = 0; !known && waited_ms < PROVISION_S * 1000; waited_ms += POLL_MS) {
            watchdog_feed();
            known = xEventGroupWaitBits(events, PROVISIONED, pdFALSE, pdFALSE,
                                        pdMS_TO_TICKS(POLL_MS)) &
                    PROVISIONED;
        }
        if (!known)
            network_prov_mgr_stop_provisioning();
        /* salt and verifier belong to the manager as long as it runs */
        network_prov_mgr_wait();
        free(salt);
        free(verifier);
        (void)esp_wifi_stop();
    }
    network_prov_mgr_deinit();
    return known;
}

bool wifi_up(int longest_s)
{
    if (!wanted) {
        wanted = true;
        if (esp_wifi_set_mode(WIFI_MODE_STA) != ESP_OK || esp_wifi_start() != ESP_OK) {
            ESP_LOGE(tag, "the radio does not start");
            wanted = false;
            return false;
        }
    }
    for (int waited_ms = 0; !wifi_connected() && waited_ms < longest_s * 1000;
         waited_ms += POLL_MS) {
        watchdog_feed();
        xEventGroupWaitBits(events, CONNECTED, pdFALSE, pdFALSE, pdMS_TO_TICKS(POLL_MS));
    }
    return wifi_connected();
}

void wifi_stay_awake(void) { (void)esp_wifi_set_ps(WIFI_PS_NONE); }

bool wifi_connected(void) { return xEventGroupGetBits(events) & CONNECTED; }

void wifi_down(void)
{
    wanted = false;
    (void)esp_timer_stop(retry);
    lv_backoff_reset(&backoff);
    (void)esp_wifi_stop();
    xEventGroupClearBits(events, CONNECTED);
}
