/*
 * The radio: as a station, with what provisioning has stored in NVS.
 *
 * A board that knows no network opens an access point and waits for the provisioning app or
 * `esp_prov` (SRP6a, user "levada").  The password is made anew each time, printed in the log, and
 * kept nowhere.
 */
#ifndef LEVADA_WIFI_H
#define LEVADA_WIFI_H

#include <stdbool.h>

void wifi_begin(void);
/* Whether a network is known; if not and `wait`, after up to 10 min of provisioning. */
bool wifi_provision(bool wait);
/* Switch on and connect; true if connected within `longest_s`. */
bool wifi_up(int longest_s);
/* No naps between beacons, which would cost each answer some 100 ms. */
void wifi_stay_awake(void);
bool wifi_connected(void);
void wifi_down(void);

#endif
