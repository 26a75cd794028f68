/* The other side of a bare ping-pong: reads RECEIVE bytes, writes SEND bytes, until the end. */
#include <stdlib.h>
#include <unistd.h>

int main(int count, char **arguments)
{
    static char data[4096];
    if (count != 3)
        return 2;
    size_t receive = strtoul(arguments[1], NULL, 10);
    size_t send = strtoul(arguments[2], NULL, 10);
    for (;;) {
        for (size_t done = 0; done < receive;) {
            ssize_t n = read(0, data, receive - done);
            if (n <= 0)
                return 0;
            done += (size_t)n;
        }
        if (write(1, data, send) != (ssize_t)send)
            return 1;
    }
}
