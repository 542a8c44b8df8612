/* A maker's library for the tests: its glass is a file beside it (the library's path + ".glass"), mapped into memory
 * and played by the test. What shall go wrong stands there too. Layout: struct glass, see played_library.py. */
#define _GNU_SOURCE
#include "mpos_scanner.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { FINE, CRASH, HANG, EXIT, NONSENSE_RESULT, ZERO_SIZE, HUGE_SIZE, OVERFLOW, NO_DPI, ABORT, FAIL, REMOVED, BLANK,
       WRITE_FILE, CHATTER };
enum { NOWHERE, IN_LIST, IN_OPEN, IN_CAPTURE, IN_FRAME, IN_CLOSE };

struct glass {
    _Atomic uint32_t plugged, finger, seen_empty, brief, fault, where, owner, streams, hanging, wrote_file;
    uint32_t width, height;
    uint8_t pixels[1 << 20];
};

struct mpos_scanner {
    struct glass *glass;
    atomic_int cancelled;
    int pictured;
};

static struct glass *glass(void) {
    static struct glass *mapped;
    if (mapped == NULL) {
        Dl_info self;
        char path[4096];
        dladdr((void *)mpos_scanner_version, &self);
        snprintf(path, sizeof path, "%s.glass", self.dli_fname);
        int file = open(path, O_RDWR | O_CLOEXEC);
        if (file < 0) abort();
        mapped = mmap(NULL, sizeof *mapped, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        close(file);
        if (mapped == MAP_FAILED) abort();
    }
    return mapped;
}

/* Go wrong here if the test says so; the faults that are results are left to the caller. */
static uint32_t fault(uint32_t where) {
    struct glass *g = glass();
    uint32_t what = g->where == where ? g->fault : FINE;
    if (what == CRASH) raise(SIGSEGV);
    if (what == ABORT) abort();
    if (what == EXIT) exit(3);
    if (what == HANG) for (g->hanging = 1;;) pause();
    if (what == CHATTER) for (int i = 0; i < 20000; i++) puts("ten thousand words that nobody asked for");
    return what;
}

static int32_t as_result(uint32_t what, int32_t otherwise) {
    if (what == NONSENSE_RESULT) return 12345;
    if (what == FAIL) return MPOS_FAILED;
    if (what == REMOVED) return MPOS_REMOVED;
    return otherwise;
}

#ifndef WRONG_VERSION
#define WRONG_VERSION MPOS_SCANNER_VERSION
#endif

uint32_t mpos_scanner_version(void) { return WRONG_VERSION; }

int32_t mpos_scanner_list(mpos_scanner_info *scanners, uint32_t room, uint32_t *count) {
    struct glass *g = glass();
    uint32_t what = fault(IN_LIST);
    *count = 0;
    if (g->plugged && room > 0) {
        mpos_scanner_info *one = &scanners[0];
        one->flags = (g->streams ? MPOS_STREAMS : 0) | (g->owner && kill((pid_t)g->owner, 0) == 0 ? MPOS_IS_BUSY : 0);
        one->max_width = 1024;
        one->max_height = 1024;
        one->dpi = what == NO_DPI ? 0.0 : 500.0;
        strcpy(one->id, "unit-1");
        strcpy(one->name, "PT CONTOH UJI Model 1");
        strcpy(one->serial, "0001");
        *count = 1;
    }
    return as_result(what, MPOS_OK);
}

int32_t mpos_scanner_open(const char *id, mpos_scanner **scanner) {
    struct glass *g = glass();
    uint32_t what = fault(IN_OPEN);
    if (as_result(what, MPOS_OK) != MPOS_OK) return as_result(what, MPOS_OK);
    if (!g->plugged || strcmp(id, "unit-1") != 0) return MPOS_NOT_FOUND;
    if (g->owner && kill((pid_t)g->owner, 0) == 0) return MPOS_BUSY;
    *scanner = calloc(1, sizeof **scanner);
    if (*scanner == NULL) return MPOS_FAILED;
    (*scanner)->glass = g;
    g->owner = (uint32_t)getpid();
    if (what == WRITE_FILE) {
        Dl_info self;
        char path[4096];
        dladdr((void *)mpos_scanner_version, &self);
        snprintf(path, sizeof path, "%s.dump", self.dli_fname);
        int file = open(path, O_CREAT | O_WRONLY, 0600);
        g->wrote_file = file >= 0 && write(file, "finger", 6) == 6 ? 1 : 2;
        unlink(path);
    }
    return MPOS_OK;
}

static int32_t give(struct glass *g, uint32_t what, mpos_picture *picture) {
    uint64_t size = (uint64_t)g->width * g->height;
    picture->width = g->width;
    picture->height = g->height;
    picture->dpi = what == NO_DPI ? 0.0 : 500.0;
    if (size > picture->capacity) return MPOS_TOO_SMALL;
    if (g->finger && what != BLANK) memcpy(picture->pixels, g->pixels, size);
    else memset(picture->pixels, 240, size);
    if (what == ZERO_SIZE) picture->width = 0;
    if (what == HUGE_SIZE) picture->width = picture->height = 60000;
    if (what == OVERFLOW) memset(picture->pixels + picture->capacity, 1, 16);
    return as_result(what, MPOS_OK);
}

int32_t mpos_scanner_capture(mpos_scanner *scanner, uint32_t timeout_ms, mpos_picture *picture) {
    struct glass *g = scanner->glass;
    scanner->cancelled = 0;
    for (uint32_t waited = 0;; waited += 2) {
        uint32_t what = fault(IN_CAPTURE);
        if (!g->plugged) return MPOS_REMOVED;
        if (g->brief) {
            g->brief = 0;
            return MPOS_TOO_SHORT;
        }
        if (!g->finger || !g->seen_empty) scanner->pictured = 0;
        g->seen_empty = 1;
        if (as_result(what, MPOS_OK) != MPOS_OK) return as_result(what, MPOS_OK);
        if (g->finger && !scanner->pictured) {
            scanner->pictured = 1;
            return give(g, what, picture);
        }
        if (scanner->cancelled) return MPOS_CANCELLED;
        if (waited >= timeout_ms) return scanner->pictured ? MPOS_NOT_LIFTED : MPOS_NO_FINGER;
        usleep(2000);
    }
}

int32_t mpos_scanner_frame(mpos_scanner *scanner, uint32_t timeout_ms, mpos_picture *picture) {
    struct glass *g = scanner->glass;
    uint32_t what = fault(IN_FRAME);
    (void)timeout_ms;
    usleep(5000);
    if (!g->plugged) return MPOS_REMOVED;
    if (scanner->cancelled) {
        scanner->cancelled = 0;
        return MPOS_CANCELLED;
    }
    return give(g, what, picture);
}

#ifndef WITHOUT_CANCEL
void mpos_scanner_cancel(mpos_scanner *scanner) { scanner->cancelled = 1; }
#endif

void mpos_scanner_close(mpos_scanner *scanner) {
    fault(IN_CLOSE);
    scanner->glass->owner = 0;
    free(scanner);
}

const char *mpos_scanner_explain(mpos_scanner *scanner, int32_t result) {
    (void)scanner;
    return result == MPOS_FAILED ? "sensor says 0x2A" : "";
}
