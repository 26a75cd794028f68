#include "line.h"

#include "driver/uart.h"
#include "esp_check.h"
#include "freertos/FreeRTOS.h"
#include "sdkconfig.h"

static const uart_port_t port = CONFIG_LEVADA_LINK_UART;
enum { BUFFER = 4096 };

void line_begin(void)
{
    const uart_config_t config = {
        .baud_rate = CONFIG_LEVADA_LINK_BAUD,
        .data_bits = UART_DATA_8_BITS,
        .parity = UART_PARITY_DISABLE,
        .stop_bits = UART_STOP_BITS_1,
        .flow_ctrl = UART_HW_FLOWCTRL_DISABLE,
        .source_clk = UART_SCLK_DEFAULT,
    };
    /* the longest frame fits several times; what comes while flash is written is lost beyond the
     * 128 bytes that the chip keeps, and is sent again */
    ESP_ERROR_CHECK(uart_driver_install(port, BUFFER, BUFFER, 0, NULL, 0));
    ESP_ERROR_CHECK(uart_param_config(port, &config));
    ESP_ERROR_CHECK(uart_set_pin(port, CONFIG_LEVADA_LINK_TX, CONFIG_LEVADA_LINK_RX,
                                 UART_PIN_NO_CHANGE, UART_PIN_NO_CHANGE));
}

size_t line_read(uint8_t *bytes, size_t size, uint32_t wait_ms)
{
    size_t waiting = 0;
    int n;
    /* all that is there, or else wait for one byte: uart_read_bytes would wait for `size` */
    if (uart_get_buffered_data_len(port, &waiting) == ESP_OK && waiting > 0)
        n = uart_read_bytes(port, bytes, (uint32_t)(waiting < size ? waiting : size), 0);
    else
        n = uart_read_bytes(port, bytes, 1, pdMS_TO_TICKS(wait_ms));
    return n > 0 ? (size_t)n : 0;
}

int line_write(const uint8_t *bytes, size_t length)
{
    return uart_write_bytes(port, bytes, length) == (int)length ? 0 : -1;
}

void line_drain(void) { (void)uart_wait_tx_done(port, pdMS_TO_TICKS(100)); }
