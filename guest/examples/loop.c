/* The smallest command guest: loops for ever and yields in delay_ms(). */
#include "levada.h"

LEVADA_METADATA({"name": "loop", "version": "1.0.0", "abi": 1,
    "outputs": [{"pin": 23, "name": "valve"}]})

int levada_main(void)
{
    wasm_log("started");
    for (;;) {
        if (read_sensor(LEVADA_SENSOR_MOISTURE) > get_config(LEVADA_CONFIG_LIMIT)) {
            set_output(LEVADA_PIN_VALVE, 1);
            delay_ms(60 * 1000);
            set_output(LEVADA_PIN_VALVE, 0);
        }
        delay_ms(3600 * 1000);
    }
}
