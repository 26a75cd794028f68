/* A guest to start from: water for `open_s` when the soil is drier than the node's limit, then wait
 * for `pause_s` so that the water can reach the probe.  A missing probe keeps the valve closed. */
#include "levada.h"

LEVADA_GUEST({"name": "field", "version": "1.0.0", "abi": 1,
    "parameters": [{"id": 0, "name": "open_s", "unit": "s",
                    "minimum": 60, "maximum": 10800, "default": 3600},
                   {"id": 1, "name": "pause_s", "unit": "s",
                    "minimum": 60, "maximum": 86400, "default": 21600}],
    "outputs": [{"pin": 23, "name": "valve"}]})

#define LOOK_S 600 /* between two looks at the probe while nothing happens */

static int parameter[2] = {3600, 21600};
static const int maximum[2] = {10800, 86400};
static int open;

int levada_param_get(int id) { return id == 0 || id == 1 ? parameter[id] : LEVADA_INVALID; }

int levada_param_set(int id, int value)
{
    if ((id != 0 && id != 1) || value < 60 || value > maximum[id])
        return LEVADA_INVALID;
    parameter[id] = value;
    return LEVADA_OK;
}

int levada_init(void)
{
    set_output(LEVADA_PIN_VALVE, 0);
    return LOOK_S * 1000;
}

int levada_step(void)
{
    int pause = open; /* the step after an opening closes the valve and waits */
    int raw = read_sensor(LEVADA_SENSOR_MOISTURE);
    open = !open && raw > get_config(LEVADA_CONFIG_LIMIT); /* a missing probe reads negative */
    set_output(LEVADA_PIN_VALVE, open);
    mqtt_publish("data", open ? "{\"irrigar\":1}" : "{\"irrigar\":0}");
    return (open ? parameter[0] : pause ? parameter[1] : LOOK_S) * 1000;
}
