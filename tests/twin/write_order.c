/*
 * Writes down, in order, what a program does to the files of one folder and what it says on its
 * standard output, for `test_power_loss.py`.  Loaded with LD_PRELOAD; WRITE_ORDER_LOG names the
 * record, WRITE_ORDER_FOLDER the folder.
 *
 * A record is a line `KIND NAME OFFSET LENGTH`, followed by LENGTH bytes: W written, T cut to
 * OFFSET bytes, S synchronised, A said (NAME is `-`).
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

static pthread_mutex_t order = PTHREAD_MUTEX_INITIALIZER;
static int record = -1;

static int put(const void *bytes, size_t count)
{
    const char *at = bytes;
    while (count > 0) {
        long done = syscall(SYS_write, record, at, count);
        if (done < 0)
            abort();
        at += done;
        count -= (size_t)done;
    }
    return 0;
}

/* Name of an open file within the folder; 0 if it lies elsewhere. */
static const char *name_of(int file, char path[PATH_MAX])
{
    const char *folder = getenv("WRITE_ORDER_FOLDER");
    char link[64];
    if (folder == NULL)
        return NULL;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length < 0)
        return NULL;
    path[length] = 0;
    size_t prefix = strlen(folder);
    if (strncmp(path, folder, prefix) != 0 || path[prefix] != '/')
        return NULL;
    return path + prefix + 1;
}

static void note(char kind, const char *name, long long offset, const void *bytes, size_t count)
{
    char head[PATH_MAX + 64];
    if (record < 0) {
        const char *log = getenv("WRITE_ORDER_LOG");
        if (log == NULL || (record = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600)) < 0)
            abort();
    }
    int length = snprintf(head, sizeof head, "%c %s %lld %zu\n", kind, name, offset, count);
    put(head, (size_t)length);
    put(bytes, count);
}

/* The record is made before the call returns, and nobody else writes one in between. */
#define NOTED(file, call, kind, offset, bytes, count)        \
    char path[PATH_MAX];                                     \
    const char *name = name_of(file, path);                  \
    if (name == NULL)                                        \
        return call;                                         \
    pthread_mutex_lock(&order);                              \
    __typeof__(call) result = call;                          \
    if (result >= 0)                                         \
        note(kind, name, offset, bytes, count);              \
    pthread_mutex_unlock(&order);                            \
    return result

ssize_t pwrite64(int file, const void *bytes, size_t count, off64_t offset)
{
    NOTED(file, (ssize_t)syscall(SYS_pwrite64, file, bytes, count, offset), 'W', offset, bytes,
          (size_t)result);
}

ssize_t pwrite(int file, const void *bytes, size_t count, off_t offset)
{
    return pwrite64(file, bytes, count, offset);
}

int ftruncate64(int file, off64_t size)
{
    NOTED(file, (int)syscall(SYS_ftruncate, file, size), 'T', size, "", 0);
}

int ftruncate(int file, off_t size)
{
    return ftruncate64(file, size);
}

int fdatasync(int file)
{
    NOTED(file, (int)syscall(SYS_fdatasync, file), 'S', 0LL, "", 0);
}

int fsync(int file)
{
    NOTED(file, (int)syscall(SYS_fsync, file), 'S', 0LL, "", 0);
}

ssize_t write(int file, const void *bytes, size_t count)
{
    if (file == STDOUT_FILENO) {
        pthread_mutex_lock(&order);
        note('A', "-", 0, bytes, count);
        pthread_mutex_unlock(&order);
    }
    return (ssize_t)syscall(SYS_write, file, bytes, count);
}
