/* The smallest reactor guest: water for a minute when the soil is drier than the node's limit. */
#include "levada.h"

LEVADA_GUEST({"name": "threshold", "version": "1.0.0", "abi": 1,
    "parameters": [{"id": 0, "name": "pause_s", "unit": "s",
                    "minimum": 60, "maximum": 86400, "default": 3600}],
    "outputs": [{"pin": 23, "name": "valve"}]})

#define OPEN_S 60

static int pause_s = 3600;
static int open;

int levada_param_get(int id) { return id == 0 ? pause_s : LEVADA_INVALID; }

int levada_param_set(int id, int value)
{
    if (id != 0 || value < 60 || value > 86400)
        return LEVADA_INVALID;
    pause_s = value;
    return LEVADA_OK;
}

int levada_init(void)
{
    set_output(LEVADA_PIN_VALVE, 0);
    return pause_s * 1000;
}

int levada_step(void)
{
    int raw = read_sensor(LEVADA_SENSOR_MOISTURE);
    open = !open && raw > get_config(LEVADA_CONFIG_LIMIT); /* a missing probe reads negative */
    set_output(LEVADA_PIN_VALVE, open);
    mqtt_publish("data", open ? "{\"irrigar\":1}" : "{\"irrigar\":0}");
    return (open ? OPEN_S : pause_s) * 1000;
}
