/*
 * levada-device: the bench a virtual board stands on.
 *
 * It opens the line (a pseudo terminal, a TCP port of this computer, or its own standard input and
 * output), flash and the record of the pins, starts the board as a process of its own, and starts
 * it again when it resets, with the reason.  While no board runs, its pins are at 0: that is what
 * "off" in the record of the pins means.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "../../core/levada_messages.h"

static const char usage[] =
    "usage: levada-device [--engine wasm3|wasmtime|native|xtensa|esp32|aarch64] [--flash FILE]\n"
    "                     [--pins FILE [--times]] [--tcp PORT | --stdio] [--until-eof]\n"
    "                     [--boot-id N] [--trust HEX]... [--fault KIND,POINT,AFTER,ARGUMENT]...\n"
    "Prints where it can be reached: the path of a terminal, or socket://127.0.0.1:PORT.\n"
    "  --flash FILE   keeps the guest and its parameters; without, they are gone at the end\n"
    "  --pins FILE    gets a line for every change of a pin: \"23 1\"; \"off\" when the board dies\n"
    "  --times        with the change, when it was, the host was heard, the lease was looked at [ms]\n"
    "  --boot-id N    of the first start with an empty flash; a random number unless given\n"
    "  --trust HEX    a public key of Ed25519, 64 digits, at most two: only modules that one of them\n"
    "                 has signed are taken\n"
    "  --until-eof    end when standard input ends, so that no board outlives who started it\n"
    "  --fault        numbers of FaultKind and FaultPoint (docs/wire.md)\n";

enum { FLASH_BYTES = 2 * 4096 + 2 * 64 * 1024, EXIT_RESTART = 64, FAULTS = 8, RAPID_DEATHS = 100 };
enum { KEYS = 2, KEY_DIGITS = 64, RANDOM_BYTES = 16 };

static const char *engine = "wasm3";
static char *fault_texts[FAULTS];
static int fault_count;
static char *key_texts[KEYS];
static int key_count;
static uint32_t first_boot_id; /* 0: a random one */
static bool times;
static int pins_file = -1;
static int flash_file = -1;
static int line_file = -1; /* the board's end of the line */
static pid_t board = -1;

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "levada-device: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void note(const char *text)
{
    if (write(pins_file, text, strlen(text)) < 0)
        fail("record of the pins");
}

/* --- the board ---------------------------------------------------------------------------------- */

static void run_board(int reason)
{
    char path[PATH_MAX];
    char file[PATH_MAX + 64];
    char reason_text[24];
    char boot_text[24];
    char random_text[8 + 2 * RANDOM_BYTES];
    uint8_t drawn[RANDOM_BYTES];
    uint32_t boot_id = first_boot_id;
    /* dc233c: a core with register windows */
    static char *const emulators[][4] = {
        {"xtensa", "qemu-xtensa"},
        {"esp32", "qemu-xtensa", "-cpu", "dc233c"},
        {"aarch64", "qemu-aarch64"},
    };
    char *arguments[FAULTS + KEYS + 10];
    int n = 0;
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
    if (length < 0)
        _exit(127);
    path[length] = 0;
    snprintf(file, sizeof file, "%s/levada-board-%s", dirname(path), engine);
    snprintf(reason_text, sizeof reason_text, "reason=%d", reason);
    while (boot_id == 0 && getrandom(&boot_id, sizeof boot_id, 0) == sizeof boot_id)
        boot_id >>= 1; /* room to count on */
    snprintf(boot_text, sizeof boot_text, "boot=%u", boot_id);
    if (getrandom(drawn, sizeof drawn, 0) != sizeof drawn)
        _exit(127);
    strcpy(random_text, "random=");
    for (size_t k = 0; k < sizeof drawn; k++)
        snprintf(random_text + 7 + 2 * k, 3, "%02x", drawn[k]);
    for (size_t k = 0; k < sizeof emulators / sizeof *emulators; k++)
        for (int i = 1; strcmp(engine, emulators[k][0]) == 0 && i < 4 && emulators[k][i]; i++)
            arguments[n++] = emulators[k][i];
    arguments[n++] = file;
    arguments[n++] = reason_text;
    arguments[n++] = boot_text;
    arguments[n++] = random_text;
    if (times)
        arguments[n++] = "times";
    for (int k = 0; k < key_count; k++)
        arguments[n++] = key_texts[k];
    for (int k = 0; k < fault_count; k++)
        arguments[n++] = fault_texts[k];
    arguments[n] = NULL;
    execvp(arguments[0], arguments);
    fprintf(stderr, "levada-device: %s: %s\n", arguments[0], strerror(errno));
    _exit(127);
}

static void start_board(int reason)
{
    sigset_t none;
    pid_t parent = getpid();
    note("boot\n");
    board = fork();
    if (board < 0)
        fail("fork");
    if (board == 0) {
        /* at numbers above those that the board finds its files at, then down to them */
        int line = fcntl(line_file, F_DUPFD, 16);
        int pins = fcntl(pins_file, F_DUPFD, 16);
        int flash = fcntl(flash_file, F_DUPFD, 16);
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent || line < 0 || pins < 0 || flash < 0)
            _exit(127);
        if (line_file != STDIN_FILENO) {
            dup2(line, STDIN_FILENO);
            dup2(line, STDOUT_FILENO);
        }
        dup2(pins, 3);
        dup2(flash, 4);
        close_range(5, ~0u, 0);
        run_board(reason);
    }
    fault_count = 0; /* they were for the first life */
}

/* Exit code of the launcher if the board has ended for good, else -1: it was started again. */
static int board_ended(int status)
{
    static int deaths;
    int reason = LV_RESET_UNKNOWN;
    note("off\n");
    board = -1;
    if (WIFSIGNALED(status))
        reason = WTERMSIG(status) == SIGALRM ? LV_RESET_WATCHDOG : LV_RESET_PANIC;
    else if (WEXITSTATUS(status) < EXIT_RESTART ||
             WEXITSTATUS(status) > EXIT_RESTART + LV_RESET_UNKNOWN)
        return WEXITSTATUS(status);
    else
        reason = WEXITSTATUS(status) - EXIT_RESTART;
    if (reason == LV_RESET_PANIC && ++deaths > RAPID_DEATHS) {
        fprintf(stderr, "levada-device: the board crashed %d times\n", deaths);
        return 70;
    }
    start_board(reason);
    return -1;
}

static _Noreturn void end(int code)
{
    if (board > 0) {
        kill(board, SIGKILL);
        waitpid(board, NULL, 0);
        note("off\n");
    }
    exit(code);
}

/* --- the line ----------------------------------------------------------------------------------- */

static void open_terminal(void)
{
    int slave;
    char name[PATH_MAX];
    struct termios raw;
    if (openpty(&line_file, &slave, name, NULL, NULL))
        fail("pseudo terminal");
    tcgetattr(slave, &raw);
    cfmakeraw(&raw);
    tcsetattr(slave, TCSANOW, &raw);
    /* the other end stays open here, so that the board does not see the end of the line when a host
     * closes it, as a real board would not */
    printf("%s\n", name);
}

static int listen_tcp(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int on = 1;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (listener < 0 || setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) ||
        bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 1) ||
        getsockname(listener, (struct sockaddr *)&address, &size))
        fail("TCP port");
    printf("socket://127.0.0.1:%d\n", ntohs(address.sin_port));
    return listener;
}

/* Copy what is there; false at the end. */
static bool relay(int from, int to)
{
    char data[4096];
    ssize_t n = read(from, data, sizeof data);
    for (ssize_t done = 0; done < n;) {
        ssize_t written = write(to, data + done, (size_t)(n - done));
        if (written <= 0)
            return false;
        done += written;
    }
    return n > 0;
}

static int number(const char *what, const char *text, int least, int most)
{
    char *rest;
    long value = strtol(text, &rest, 10);
    if (*rest || rest == text || value < least || value > most) {
        fprintf(stderr, "levada-device: %s %s: must be from %d to %d\n", what, text, least, most);
        exit(2);
    }
    return (int)value;
}

static void trust(const char *digits)
{
    if (key_count == KEYS) {
        fprintf(stderr, "levada-device: --trust: at most %d keys\n", KEYS);
        exit(2);
    }
    if (strlen(digits) != KEY_DIGITS || strspn(digits, "0123456789abcdefABCDEF") != KEY_DIGITS) {
        fprintf(stderr, "levada-device: --trust %s: must be %d hexadecimal digits\n", digits,
                KEY_DIGITS);
        exit(2);
    }
    if (asprintf(&key_texts[key_count++], "trust=%s", digits) < 0)
        fail("key");
}

int main(int count, char **arguments)
{
    const char *flash = NULL;
    const char *pins = "/dev/null";
    int port = -1;
    bool stdio = false;
    bool until_eof = false;

    for (int k = 1; k < count; k++) {
        const char *option = arguments[k];
        const char *value = k + 1 < count ? arguments[k + 1] : NULL;
        if (strcmp(option, "--stdio") == 0)
            stdio = true;
        else if (strcmp(option, "--until-eof") == 0)
            until_eof = true;
        else if (strcmp(option, "--times") == 0)
            times = true;
        else if (!value || strncmp(option, "--", 2) != 0) {
            fputs(usage, strcmp(option, "--help") == 0 ? stdout : stderr);
            return strcmp(option, "--help") == 0 ? 0 : 2;
        } else {
            k++;
            if (strcmp(option, "--engine") == 0)
                engine = value;
            else if (strcmp(option, "--flash") == 0)
                flash = value;
            else if (strcmp(option, "--pins") == 0)
                pins = value;
            else if (strcmp(option, "--tcp") == 0)
                port = number("port", value, 0, 65535);
            else if (strcmp(option, "--boot-id") == 0)
                first_boot_id = (uint32_t)number("boot id", value, 1, INT32_MAX);
            else if (strcmp(option, "--trust") == 0)
                trust(value);
            else if (strcmp(option, "--fault") == 0 && fault_count < FAULTS) {
                if (asprintf(&fault_texts[fault_count++], "fault=%s", value) < 0)
                    fail("fault");
            } else {
                fputs(usage, stderr);
                return 2;
            }
        }
    }

    pins_file = open(pins, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (pins_file < 0)
        fail(pins);
    flash_file = flash ? open(flash, O_RDWR | O_CREAT | O_CLOEXEC, 0644)
                       : memfd_create("levada flash", MFD_CLOEXEC);
    /* two boards would write one flash; one that is just ending lets go of it */
    if (flash && flash_file >= 0 && flock(flash_file, LOCK_EX))
        fail(flash);
    if (flash_file < 0 || (lseek(flash_file, 0, SEEK_END) < FLASH_BYTES &&
                           ftruncate(flash_file, FLASH_BYTES)))
        fail(flash ? flash : "flash");

    int pair[2] = {-1, -1};
    int listener = -1;
    int connection = -1;
    if (stdio)
        line_file = STDIN_FILENO;
    else if (port < 0)
        open_terminal();
    else {
        listener = listen_tcp(port);
        if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
            fail("socket pair");
        line_file = pair[1];
    }
    fflush(stdout);

    sigset_t caught;
    sigemptyset(&caught);
    sigaddset(&caught, SIGCHLD);
    sigaddset(&caught, SIGTERM);
    sigaddset(&caught, SIGINT);
    sigaddset(&caught, SIGHUP);
    sigprocmask(SIG_BLOCK, &caught, NULL);
    signal(SIGPIPE, SIG_IGN);
    int signals = signalfd(-1, &caught, SFD_CLOEXEC);
    start_board(LV_RESET_POWER_ON);

    for (;;) {
        struct pollfd wait[] = {
            {.fd = signals, .events = POLLIN},
            {.fd = until_eof && !stdio ? STDIN_FILENO : -1, .events = POLLIN},
            {.fd = listener, .events = POLLIN},
            {.fd = connection, .events = POLLIN},
            {.fd = connection >= 0 ? pair[0] : -1, .events = POLLIN},
        };
        if (poll(wait, sizeof wait / sizeof *wait, -1) < 0)
            continue;
        if (wait[0].revents) {
            struct signalfd_siginfo info;
            if (read(signals, &info, sizeof info) != sizeof info)
                fail("signals");
            if (info.ssi_signo != SIGCHLD)
                end(0);
            int status;
            if (board > 0 && waitpid(board, &status, WNOHANG) == board) {
                int code = board_ended(status);
                if (code >= 0)
                    return code;
            }
        }
        if (wait[1].revents) {
            char ignored[256];
            if (read(STDIN_FILENO, ignored, sizeof ignored) <= 0)
                end(0);
        }
        if (wait[2].revents) { /* the newest host has the line */
            int next = accept(listener, NULL, NULL);
            if (next >= 0) {
                if (connection >= 0)
                    close(connection);
                connection = next;
                continue;
            }
        }
        if (connection >= 0 && wait[3].fd == connection &&
            ((wait[3].revents && !relay(connection, pair[0])) ||
             (wait[4].revents && !relay(pair[0], connection)))) {
            close(connection);
            connection = -1;
        }
    }
}
