/* Remembers how much of each file has reached the disk, so that a test can cut the rest away.
 *
 * SIGKILL leaves the page cache in place and so cannot show a missing fsync. Preloaded into a server, this
 * library appends one record {inode, size} to $SOUNDSTAGE_SHIM_JOURNAL after every successful fsync and
 * fdatasync; the crash suite kills the server and truncates every file of the data folder to its last size.
 * A file that is unlinked or renamed over gets the size 0, for another file may be given its inode.
 * With $SOUNDSTAGE_SHIM_DELAY_MS each flush also takes that long, like a slow disk.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct record {
    uint64_t inode;
    uint64_t size;
};

static void wait_like_a_disk(void) {
    const char *text = getenv("SOUNDSTAGE_SHIM_DELAY_MS");
    if (text == NULL) return;
    long ms = strtol(text, NULL, 10);
    struct timespec left = {ms / 1000, (ms % 1000) * 1000000L};
    while (nanosleep(&left, &left) != 0) {
    }
}

static void note(uint64_t inode, uint64_t size) {
    const char *path = getenv("SOUNDSTAGE_SHIM_JOURNAL");
    if (path == NULL) return;
    int journal = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (journal < 0) return;
    struct record entry = {inode, size};
    ssize_t written = write(journal, &entry, sizeof entry);
    (void)written;
    close(journal);
}

/* The size is read before the flush: bytes that arrive while it runs may not be part of it. */
static int flush(int fd, int (*next)(int)) {
    struct stat before;
    int known = fstat(fd, &before) == 0 && S_ISREG(before.st_mode);
    wait_like_a_disk();
    int result = next(fd);
    if (result == 0 && known) note(before.st_ino, (uint64_t)before.st_size);
    return result;
}

/* Noted before the name goes: afterwards another file may already have the inode, and have been flushed. */
static void note_end(const char *path) {
    struct stat found;
    if (lstat(path, &found) == 0 && S_ISREG(found.st_mode) && found.st_nlink == 1) note(found.st_ino, 0);
}

int fsync(int fd) {
    static int (*next)(int);
    if (next == NULL) next = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    return flush(fd, next);
}

int fdatasync(int fd) {
    static int (*next)(int);
    if (next == NULL) next = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    return flush(fd, next);
}

int unlink(const char *path) {
    static int (*next)(const char *);
    if (next == NULL) next = (int (*)(const char *))dlsym(RTLD_NEXT, "unlink");
    note_end(path);
    return next(path);
}

int rename(const char *from, const char *to) {
    static int (*next)(const char *, const char *);
    if (next == NULL) next = (int (*)(const char *, const char *))dlsym(RTLD_NEXT, "rename");
    note_end(to);
    return next(from, to);
}
