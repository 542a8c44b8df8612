/*
 * mpos_scanner.h - what a fingerprint scanner's library offers to mpos-agent.
 *
 * Version 1. C99 and later, also C++. Apache-2.0, as the rest of mpos-agent: take this file into your own build.
 *
 * Whoever has a closed library for a scanner writes one shared object (.so) that implements the functions below on
 * top of it. The agent is told its path ([scanner.vendor] library); it needs no change and no word of what is
 * behind. docs/vendor-library.md is the guide, with an example.
 *
 * PROCESS   The agent never loads the library into itself. A process of its own loads it, calls it and is ended
 *           with the agent. It has no terminal (standard input and output are /dev/null), a short environment, the
 *           folder / as its working folder, and may not write files: a file-size limit of 0 makes write() to a
 *           regular file fail. Reading files, sockets, USB and device nodes are not limited. A crash is told as a
 *           failure of the scanner, and the next use starts a new process.
 *
 * THREADS   All functions but mpos_scanner_cancel are called by one thread, one at a time. mpos_scanner_cancel is
 *           called by another thread while mpos_scanner_capture or mpos_scanner_frame is running. One scanner is
 *           open in a process at a time. A second process may list, or try to open, while this one is in use.
 *
 * TIME      Each function must come back in its time (see there). One that does not is ended by ending the process.
 *
 * MEMORY    Every buffer is the caller's. The library writes into it during the call only, never beyond its size,
 *           and keeps no pointer to it. The caller overwrites pictures after use; a library that holds a picture in
 *           memory of its own must overwrite it before the next capture and in mpos_scanner_close.
 *
 * PRIVACY   A fingerprint is in memory only: never in a file, a log, a message or on the network.
 *
 * NUMBERS   Each structure begins with its size in bytes, set by the caller. A later version only adds fields at the
 *           end; a library touches no byte beyond the size it was given.
 */
#ifndef MPOS_SCANNER_H
#define MPOS_SCANNER_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define MPOS_EXPORT __attribute__((visibility("default")))
#else
#define MPOS_EXPORT
#endif

#define MPOS_SCANNER_VERSION 1u

/* Results. Not negative: the scanner works. Negative: it failed. */
enum {
    MPOS_OK = 0,

    /* What the member can put right; only from mpos_scanner_capture. */
    MPOS_NO_FINGER = 1,   /* nobody placed a finger in time */
    MPOS_NOT_LIFTED = 2,  /* the time is over, and the finger of the last picture was never lifted */
    MPOS_TOO_SHORT = 3,   /* the finger was lifted before the picture was complete */
    MPOS_EMPTY = 4,       /* a finger was seen, but no ridges */
    MPOS_CANCELLED = 5,   /* mpos_scanner_cancel was called */

    MPOS_NOT_FOUND = -1,      /* no scanner with this id is plugged in */
    MPOS_BUSY = -2,           /* another process has it */
    MPOS_NO_PERMISSION = -3,  /* the operating system does not let this user open it */
    MPOS_REMOVED = -4,        /* it was unplugged, or the link broke, while in use; only close it now */
    MPOS_TIMEOUT = -5,        /* the scanner did not answer */
    MPOS_PROTOCOL = -6,       /* the scanner answered nonsense */
    MPOS_NOT_LICENSED = -7,   /* the library lacks its licence or key file */
    MPOS_TOO_SMALL = -8,      /* the buffer is too small for the picture */
    MPOS_FAILED = -99         /* anything else; see mpos_scanner_explain */
};

/* mpos_scanner_info.flags */
#define MPOS_STREAMS 1u         /* mpos_scanner_frame works: live frames of the glass */
#define MPOS_IS_BUSY 2u         /* seen without opening it */
#define MPOS_IS_NOT_PERMITTED 4u

/* One scanner that is plugged in. Texts are UTF-8 and end with a zero byte. */
typedef struct mpos_scanner_info {
    uint32_t size;
    uint32_t flags;
    uint32_t max_width;   /* of a picture, in pixels; at most 2048 */
    uint32_t max_height;
    double dpi;           /* pixels to the inch of both axes, as the maker states; 0: not known, must be measured */
    char id[128];         /* names this unit or its place until it is unplugged; given to mpos_scanner_open */
    char name[128];       /* maker and model, for people */
    char serial[64];      /* empty: it has none */
} mpos_scanner_info;

/* One picture. */
typedef struct mpos_picture {
    uint32_t size;
    uint32_t width;     /* set by the library */
    uint32_t height;    /* set by the library */
    uint32_t reserved;  /* 0 */
    double dpi;         /* set by the library: of this picture, 0 as in mpos_scanner_info */
    uint8_t *pixels;    /* the caller's buffer: rows from the finger tip down, no padding, ridges dark on light */
    uint64_t capacity;  /* bytes at pixels */
} mpos_picture;

/* An opened scanner: the library's own, never looked into. */
typedef struct mpos_scanner mpos_scanner;

/* MPOS_SCANNER_VERSION of the header the library was built with. Called first. */
MPOS_EXPORT uint32_t mpos_scanner_version(void);

/*
 * Which scanners are plugged in, without opening or disturbing any. At most 5 seconds.
 * scanners: room for `room` entries, each with its size set. *count: how many were written (at most room).
 * None plugged in is MPOS_OK with *count 0.
 */
MPOS_EXPORT int32_t mpos_scanner_list(mpos_scanner_info *scanners, uint32_t room, uint32_t *count);

/* Open one. At most 15 seconds: some load their firmware first. *scanner is set on MPOS_OK only. */
MPOS_EXPORT int32_t mpos_scanner_open(const char *id, mpos_scanner **scanner);

/*
 * Wait for a finger and give its picture: at most timeout_ms and one second more.
 *
 * One touch gives one picture. A finger that lies there when the scanner is opened is pictured. After MPOS_OK or
 * MPOS_EMPTY the glass must have been seen empty before the next picture: wait for that first, within the same time.
 * timeout_ms is 0 for a look without waiting.
 */
MPOS_EXPORT int32_t mpos_scanner_capture(mpos_scanner *scanner, uint32_t timeout_ms, mpos_picture *picture);

/*
 * Only with MPOS_STREAMS: the next frame of the glass, with or without a finger on it; MPOS_TIMEOUT when none came
 * in timeout_ms. Does not count as a touch.
 */
MPOS_EXPORT int32_t mpos_scanner_frame(mpos_scanner *scanner, uint32_t timeout_ms, mpos_picture *picture);

/*
 * From another thread: let the running capture or frame come back with MPOS_CANCELLED within 2 seconds. May come
 * when nothing is running any more; the next capture is not affected by it.
 */
MPOS_EXPORT void mpos_scanner_cancel(mpos_scanner *scanner);

/* Give the scanner back, overwrite what was kept of pictures, free everything. At most 3 seconds. */
MPOS_EXPORT void mpos_scanner_close(mpos_scanner *scanner);

/*
 * May be left out: one line on the last failure for the technician (UTF-8, valid until the next call, nothing of
 * a person in it). scanner is NULL when it failed before one was open.
 */
MPOS_EXPORT const char *mpos_scanner_explain(mpos_scanner *scanner, int32_t result);

#ifdef __cplusplus
}
#endif

#endif
